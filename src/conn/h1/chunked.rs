//! The chunked coding (RFC 9112 section 7.1), followed as it passes.

use super::head;
use super::held::Held;
use crate::event::CloseReason;

/// The most digits of a chunk's size: what 64 bits hold.
const DIGITS: u8 = 16;
/// The most octets of chunk extensions in one body: nobody uses them, and each chunk may have some.
const EXTENSIONS: u16 = 4096;
/// The most octets of trailers.
const TRAILERS: usize = 16 << 10;

/// A chunked body, as far as it has passed.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Octets of the current chunk: its size as far as it was read, then what is left of it.
    left: u64,
    digits: u8,
    extensions: u16,
}

/// ```text
/// Size ──';'──▶ Extension ──CR──▶ SizeLf ──LF──▶ Data ──left = 0──▶ DataCr ──CR──▶ DataLf ──LF──▶ Size
///   └───────────────────CR──────────▲  └──size = 0──▶ End ──empty line──▶ the end
///                                                     └──▶ Trailers ──empty line──▶ the end
/// ```
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// What comes next is the end, or trailers.
    End,
    Trailers,
}

impl Chunked {
    /// Answers how much of `bytes` belonged to the body, once its end has passed. What has come of its trailers is held.
    pub(super) fn take(&mut self, bytes: &[u8], held: &mut Held) -> Result<Option<usize>, CloseReason> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            match self.state {
                State::Data => {
                    let taken = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                    self.left -= taken as u64; // no more than `left`
                    rest = &rest[taken..];
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::End if rest.starts_with(b"\r\n") => return Ok(Some(bytes.len() - rest.len() + 2)),
                State::End => {
                    held.begin_after_a_line();
                    self.state = State::Trailers;
                }
                State::Trailers => {
                    let Some(taken) = held.take(rest, TRAILERS)? else {
                        return Ok(None);
                    };
                    held.release(head::trailers)?;
                    return Ok(Some(bytes.len() - rest.len() + taken));
                }
                _ => {
                    self.step(byte)?;
                    rest = after;
                }
            }
        }
        Ok(None)
    }

    /// One octet of what stands around the data. Nothing but what the grammar has: blanks around a size, say, mean different sizes to different
    /// readers.
    fn step(&mut self, byte: u8) -> Result<(), CloseReason> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.digits < DIGITS => {
                self.left = self.left << 4 | u64::from(hex(byte));
                self.digits += 1;
                State::Size
            }
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) if self.extensions < EXTENSIONS => {
                self.extensions += 1;
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::End,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                State::Size
            }
            _ => return Err(CloseReason::BadFraming),
        };
        Ok(())
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
