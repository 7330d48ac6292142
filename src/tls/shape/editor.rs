//! The server's encrypted flight, record by record, edited in place.

use std::sync::Arc;

use super::error::Rejected;
use super::state::Shaping;
use super::wire::{HEADER, message_len, split_message};

/// More than any message that rustls takes, in octets; a longer one is left to it.
const LONGEST: usize = 1 << 17;

/// Follows the messages over the records.
pub(super) struct Editor {
    shaping: Arc<Shaping>,
    /// The beginning of a message that goes on in the next record. rustls has it already.
    begun: Vec<u8>,
}

impl Editor {
    pub(super) fn new(shaping: Arc<Shaping>) -> Self {
        Editor {
            shaping,
            begun: Vec::new(),
        }
    }

    /// Edits the text of one record and answers how long it is now.
    ///
    /// # Errors
    /// The answer cannot be taken out; the reason is noted as well.
    pub(super) fn edit(&mut self, text: &mut [u8]) -> Result<usize, Rejected> {
        self.try_edit(text)
            .inspect_err(|why| self.shaping.reject(why.clone()))
    }

    fn try_edit(&mut self, text: &mut [u8]) -> Result<usize, Rejected> {
        let mut read = self.finish_begun(text)?;
        let mut written = read;
        while let Some((message, _)) = split_message(&text[read..]) {
            let len = message.len();
            match self.shaping.answer(message)? {
                // Never longer than what it stands for.
                Some(edited) => {
                    text[written..written + edited.len()].copy_from_slice(&edited);
                    written += edited.len();
                }
                None => {
                    text.copy_within(read..read + len, written);
                    written += len;
                }
            }
            read += len;
        }
        if read < text.len() {
            self.begun.extend_from_slice(&text[read..]);
            text.copy_within(read.., written);
            written += text.len() - read;
        }
        Ok(written)
    }

    /// What of `text` belongs to the message that was begun. Once that is whole it must be one that stays as it is.
    fn finish_begun(&mut self, text: &[u8]) -> Result<usize, Rejected> {
        if self.begun.is_empty() {
            return Ok(0);
        }
        let mut taken = 0;
        while self.begun.len() < HEADER && taken < text.len() {
            self.begun.push(text[taken]);
            taken += 1;
        }
        let Some(len) = message_len(&self.begun).filter(|len| *len <= LONGEST) else {
            return Ok(if self.begun.len() < HEADER {
                taken
            } else {
                text.len()
            });
        };
        let more = (len - self.begun.len()).min(text.len() - taken);
        self.begun.extend_from_slice(&text[taken..taken + more]);
        if self.begun.len() == len {
            let whole = std::mem::take(&mut self.begun);
            if self.shaping.answer(&whole)?.is_some() {
                return Err(Rejected::Split(whole[0]));
            }
        }
        Ok(taken + more)
    }
}
