//! Bytes of a head that has not come whole yet.

use crate::event::CloseReason;

/// The longest head that is followed, in bytes.
pub(super) const HEAD_LIMIT: usize = 64 << 10;

/// The largest buffer that stays with a connection, in bytes. An idle one should cost no more for the heads that it once had.
const RETAINED: usize = 4 << 10;

/// What has come of a head, and how far its end has. Nothing at all most of the time: a head that comes in one piece is read where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Option<Box<Pieces>>);

#[derive(Clone, Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    /// How many octets of the final CRLF CRLF have just passed.
    matched: u8,
}

impl Held {
    /// What is held next is a section that begins right after a line: an empty line ends it at once.
    pub(super) fn begin_after_a_line(&mut self) {
        self.0.get_or_insert_default().matched = 2;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |pieces| &pieces.bytes)
    }

    /// What has come, as far as its first line goes.
    pub(super) fn first_line(&self) -> &[u8] {
        self.bytes()
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default()
    }

    /// Takes what belongs to the head and answers how much that was, if its end is in `bytes`. Looks at each octet once, so that a head
    /// that trickles in costs no more than one that does not.
    pub(super) fn take(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, CloseReason> {
        let pieces = self.0.get_or_insert_default();
        let end = pieces.find_end(bytes);
        let taken = &bytes[..end.unwrap_or(bytes.len())];
        if pieces.bytes.len() + taken.len() > limit {
            return Err(CloseReason::NotFollowed);
        }
        pieces.bytes.extend_from_slice(taken);
        Ok(end)
    }

    /// Reads the head, which is whole; nothing is held from here on. A small buffer stays for the next one.
    pub(super) fn release<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> T {
        let answer = read(self.bytes());
        self.0 = self.0.take().filter(|pieces| pieces.bytes.capacity() <= RETAINED);
        if let Some(pieces) = &mut self.0 {
            pieces.bytes.clear();
            pieces.matched = 0;
        }
        answer
    }
}

impl Pieces {
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.matched = match (byte, self.matched) {
                (b'\r', 2) => 3,
                (b'\r', _) => 1,
                (b'\n', 1) => 2,
                (b'\n', 3) => return Some(at + 1),
                _ => 0,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_bytes_come() {
        let text = b"a\r\n\rb\r\r\n\nc: d\r\n\r\nrest";
        let end = text.len() - 4;
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut held = Held::default();
                let mut found = None;
                let mut before = 0;
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    found = held
                        .take(piece, 100)
                        .expect("below the limit")
                        .map(|at| before + at);
                    if found.is_some() {
                        break;
                    }
                    before += piece.len();
                }
                assert_eq!(found, Some(end), "{first} {second}");
                held.release(|whole| assert_eq!(whole, &text[..end]));
                assert!(held.is_empty());
            }
        }
    }

    #[test]
    fn an_empty_section_after_a_line_ends_with_its_first_line() {
        let mut held = Held::default();
        held.begin_after_a_line();
        assert_eq!(held.take(b"\r", 9), Ok(None));
        assert_eq!(held.take(b"\nx", 9), Ok(Some(1)));
    }

    #[test]
    fn no_more_is_held_than_the_limit() {
        let mut held = Held::default();
        assert_eq!(held.take(&[b'x'; 10], 10), Ok(None));
        assert_eq!(held.take(b"x", 10), Err(CloseReason::NotFollowed));
        held.release(|whole| assert_eq!(whole.len(), 10));
    }

    #[test]
    fn a_large_buffer_does_not_stay() {
        for (size, stays) in [(100, true), (RETAINED + 1, false)] {
            let mut held = Held::default();
            let head = ["x".repeat(size).as_bytes(), b"\r\n\r\n"].concat();
            assert_eq!(held.take(&head, HEAD_LIMIT), Ok(Some(head.len())));
            held.release(|_| {});
            assert_eq!(
                (
                    held.is_empty(),
                    held.0.is_some_and(|pieces| pieces.bytes.capacity() > 0)
                ),
                (true, stays),
                "{size}"
            );
        }
    }
}
