//! What the server sends, until it has chosen: its ServerHello may be edited, the rest passes.

use std::borrow::Cow;

use tokio::io::ReadBuf;

use super::error::Rejected;
use super::records::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, joined, next_record};
use super::state::Shaping;
use super::wire::{NEW_SESSION_TICKET, SERVER_HELLO, message_len, split_message};
use crate::fault::planted;
use crate::fingerprint::write_records;

/// The longest fragment of a record, in octets.
const MAX_FRAGMENT: u16 = 1 << 14;
/// More than any message that rustls takes, in octets. A longer one is left to it.
const LONGEST: usize = 1 << 17;

/// The server's direction, until its ServerHello is through.
#[derive(Default)]
pub(super) struct Inbound {
    /// Records that are not whole.
    begun: Vec<u8>,
    /// The handshake messages of the records in `held`.
    messages: Vec<u8>,
    /// Whole records that wait until the message in them is whole.
    held: Vec<u8>,
    /// What rustls may read, from `read` on.
    out: Vec<u8>,
    read: usize,
    /// The messages of TLS 1.2 are looked at one by one, up to the ChangeCipherSpec.
    follows: bool,
    /// A ticket is taken out of them.
    hides_ticket: bool,
    settled: bool,
    ended: bool,
}

impl Inbound {
    /// Takes what the server sent.
    pub(super) fn push(&mut self, bytes: &[u8], shaping: &Shaping) -> Result<(), Rejected> {
        let bytes = joined(std::mem::take(&mut self.begun), bytes);
        let mut rest = &*bytes;
        // What follows the ServerHello has come with it, as a rule, and goes on behind it.
        self.held.reserve(rest.len());
        while !self.settled {
            let Some((record, after)) = next_record(rest) else {
                break;
            };
            match record.kind {
                HANDSHAKE if !record.fragment.is_empty() => {
                    let messages = joined(std::mem::take(&mut self.messages), record.fragment);
                    if self.follows {
                        self.follow(&messages, record.version, shaping)?;
                    } else {
                        self.held.extend_from_slice(record.whole);
                        self.judge(messages, record.version, shaping)?;
                    }
                }
                kind => {
                    let between = self.messages.is_empty() && self.goes_on_after(kind);
                    self.pass_begun(record.version);
                    self.held.extend_from_slice(record.whole);
                    self.release(!between);
                }
            }
            rest = after;
        }
        match self.settled {
            true => self.out.extend_from_slice(rest),
            false => self.begun.extend_from_slice(rest),
        }
        Ok(())
    }

    /// Whether the handshake goes on after a record of this kind that stands between messages. Within one rustls takes none.
    fn goes_on_after(&self, kind: u8) -> bool {
        match kind {
            // A warning ends nothing (RFC 5246 section 7.2.2): rustls takes four. What does end it is the end for rustls, too.
            ALERT => !planted("warnings_end_the_shaping"),
            // After a HelloRetryRequest one may come, and then the ServerHello.
            CHANGE_CIPHER_SPEC => !self.follows,
            _ => false,
        }
    }

    /// Looks at the first message, if it is whole.
    fn judge(&mut self, messages: Cow<'_, [u8]>, version: u16, shaping: &Shaping) -> Result<(), Rejected> {
        if messages.first() != Some(&SERVER_HELLO) {
            self.release(true);
            return Ok(());
        }
        let len = match message_len(&messages) {
            Some(len) if len > LONGEST => {
                self.release(true);
                return Ok(());
            }
            Some(len) if len <= messages.len() => len,
            _ => {
                self.messages = messages.into_owned();
                return Ok(());
            }
        };
        let (message, after) = messages.split_at(len);
        let Some(choice) = shaping.chosen(message)? else {
            self.release(true);
            return Ok(());
        };
        if let Some(edited) = &choice.edited {
            self.held.clear();
            write_records(edited, version, MAX_FRAGMENT, &mut self.held);
            write_records(after, version, MAX_FRAGMENT, &mut self.held);
        }
        if !choice.follows {
            self.release(!choice.retry);
            return Ok(());
        }
        (self.follows, self.hides_ticket) = (true, choice.hides_ticket);
        self.held.clear();
        let shown = choice.edited.as_deref().unwrap_or(message);
        write_records(shown, version, MAX_FRAGMENT, &mut self.out);
        self.follow(after, version, shaping)
    }

    /// Passes whole messages on, in records of their own, but for the ticket.
    fn follow(&mut self, messages: &[u8], version: u16, shaping: &Shaping) -> Result<(), Rejected> {
        let mut rest = messages;
        while let Some((message, after)) = split_message(rest) {
            shaping.followed(message)?;
            if self.hides_ticket && message[0] == NEW_SESSION_TICKET {
                // There is one at most (RFC 5077 section 3.3): another is for rustls to refuse.
                self.hides_ticket = planted("tickets_are_hidden_without_end");
                shaping.hide(message);
            } else {
                write_records(message, version, MAX_FRAGMENT, &mut self.out);
            }
            rest = after;
        }
        self.messages = rest.to_vec();
        if message_len(rest).is_some_and(|len| len > LONGEST) {
            self.pass_begun(version);
            self.release(true);
        }
        Ok(())
    }

    /// Passes on what was begun and is no message, where messages are passed on one by one.
    fn pass_begun(&mut self, version: u16) {
        if self.follows {
            write_records(&self.messages, version, MAX_FRAGMENT, &mut self.out);
        }
    }

    /// Lets rustls read what was held.
    fn release(&mut self, settled: bool) {
        match self.out.is_empty() {
            true => std::mem::swap(&mut self.out, &mut self.held),
            false => self.out.append(&mut self.held),
        }
        self.messages.clear();
        self.settled = settled;
    }

    /// The server has closed: what is not whole stays so.
    pub(super) fn end(&mut self) {
        self.release(true);
        self.out.append(&mut self.begun);
        self.ended = true;
    }

    /// Whether there is nothing to read here, and more may come.
    pub(super) fn is_dry(&self) -> bool {
        self.out.is_empty() && !self.ended && !self.settled
    }

    /// Reads into `buf`.
    pub(super) fn pull(&mut self, buf: &mut ReadBuf<'_>) {
        let waiting = self.out.get(self.read..).unwrap_or_default();
        let count = waiting.len().min(buf.remaining());
        buf.put_slice(&waiting[..count]);
        self.read += count;
        if self.read == self.out.len() {
            self.out.clear();
            self.read = 0;
        }
    }

    /// Whether everything was read that is not read as it comes.
    pub(super) fn is_over(&self) -> bool {
        self.settled && self.out.is_empty()
    }
}
