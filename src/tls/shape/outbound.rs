//! What rustls writes: its hellos are replaced, the rest passes.

use super::error::Rejected;
use super::records::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, joined, next_record};
use super::state::Shaping;
use super::wire::{CLIENT_HELLO, message_len};
use crate::fingerprint::write_records;

/// The longest fragment of a record, in octets.
const MAX_FRAGMENT: u16 = 1 << 14;

/// The client's direction, until it says anything that comes after hellos.
#[derive(Default)]
pub(super) struct Outbound {
    /// Records of rustls's that are not whole.
    begun: Vec<u8>,
    /// A hello of rustls's that is not whole.
    hello: Vec<u8>,
    /// What goes out, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    settled: bool,
}

impl Outbound {
    /// Takes what rustls wrote.
    pub(super) fn push(&mut self, bytes: &[u8], shaping: &Shaping) -> Result<(), Rejected> {
        let bytes = joined(std::mem::take(&mut self.begun), bytes);
        let mut rest = &*bytes;
        while !self.settled {
            let Some((record, after)) = next_record(rest) else {
                break;
            };
            match record.kind {
                // An encrypted Finished of TLS 1.2 stands in such a record as well, and may begin with any byte.
                HANDSHAKE if self.is_hello(record.fragment) && shaping.expects_hello() => {
                    self.hello.extend_from_slice(record.fragment);
                    self.replace(record.version, shaping)?;
                }
                kind => {
                    // After a HelloRetryRequest comes another hello, behind a ChangeCipherSpec.
                    self.settled = ![CHANGE_CIPHER_SPEC, ALERT].contains(&kind);
                    self.out.extend_from_slice(record.whole);
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

    fn is_hello(&self, fragment: &[u8]) -> bool {
        !self.hello.is_empty() || fragment.first() == Some(&CLIENT_HELLO)
    }

    /// Sends another hello in place of the one that has come, if it is whole.
    fn replace(&mut self, version: u16, shaping: &Shaping) -> Result<(), Rejected> {
        if message_len(&self.hello).is_some_and(|len| len <= self.hello.len()) {
            let native = std::mem::take(&mut self.hello);
            shaping.send(native, |hello| {
                write_records(hello, version, MAX_FRAGMENT, &mut self.out);
            })?;
        }
        Ok(())
    }

    /// What is to go out.
    pub(super) fn waiting(&self) -> Option<&[u8]> {
        self.out.get(self.sent..).filter(|waiting| !waiting.is_empty())
    }

    /// So much of it has gone out.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.waiting().is_none() {
            self.out.clear();
            self.sent = 0;
        }
    }

    /// Whether nothing waits, and nothing is to be replaced any more.
    pub(super) fn is_over(&self) -> bool {
        self.settled && self.out.is_empty()
    }
}
