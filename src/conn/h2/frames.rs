//! Where one HTTP/2 frame ends and the next begins, in one direction, and the few octets of payload that say something to a pool.
//!
//! Follows frame headers (RFC 9113 section 4.1) as the bytes pass, however they are cut, and copies no payload: of a frame it keeps its header
//! and the first eight octets behind it, of SETTINGS one entry at a time. So it is as small after four million frames as before the first.

use crate::fingerprint::frame::{ENTRY, HEADER, flag, kind, length};

/// What opens every connection, ahead of the first frame (RFC 9113 section 3.4).
const PREFACE: u32 = 24;

/// A frame of which everything has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// The first octets of its payload; zero where there are none, and of DATA and HEADERS.
    start: [u8; 8],
}

impl Frame {
    /// Whether it ends its stream in its direction.
    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
    }

    /// Whether it is SETTINGS that say something.
    pub(super) fn sets(&self) -> bool {
        self.kind == kind::SETTINGS && self.flags & flag::ACK == 0
    }

    /// Whether it is the answer to a PING.
    fn answers_a_ping(&self) -> bool {
        self.kind == kind::PING && self.flags & flag::ACK != 0
    }

    fn word(&self, at: usize) -> u32 {
        self.start[at..]
            .iter()
            .take(4)
            .fold(0, |word, &octet| word << 8 | u32::from(octet))
    }

    /// Of GOAWAY: the last stream that its sender may have acted upon, and why it goes.
    pub(super) fn goaway(&self) -> (u32, u32) {
        (self.word(0) & STREAM_BITS, self.word(4))
    }

    /// Of RST_STREAM: why.
    pub(super) fn reset(&self) -> u32 {
        self.word(0)
    }
}

/// The highest bit of a stream id is reserved.
const STREAM_BITS: u32 = 0x7fff_ffff;

/// What is found on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An entry of SETTINGS.
    Setting(u16, u32),
    /// The end of a frame.
    Frame(Frame),
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Octets of the preface that are still to come.
    preface: u32,
    header: [u8; HEADER],
    /// How much of the header has come.
    got: usize,
    /// How much of the payload has come, and how much there is.
    passed: u32,
    length: u32,
    start: [u8; 8],
}

impl Frames {
    /// What the peer sends.
    pub(super) const fn inbound() -> Self {
        Frames {
            preface: 0,
            header: [0; HEADER],
            got: 0,
            passed: 0,
            length: 0,
            start: [0; 8],
        }
    }

    /// What is sent to it.
    pub(super) const fn outbound() -> Self {
        Frames {
            preface: PREFACE,
            ..Frames::inbound()
        }
    }

    /// Follows the next `bytes`.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut found: impl FnMut(Found)) {
        let skipped = bytes.len().min(self.preface as usize);
        self.preface -= skipped as u32; // no more than it was
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            let taken = self.step(bytes, &mut found);
            bytes = &bytes[taken..];
        }
    }

    /// The same of what the peer sends, and flips the bits of `mask` in what answers a PING.
    pub(super) fn follow_and_mask(
        &mut self,
        mut bytes: &mut [u8],
        mask: [u8; 8],
        mut found: impl FnMut(Found),
    ) {
        while !bytes.is_empty() {
            if self.got == HEADER && self.frame().answers_a_ping() {
                let places = (self.passed..self.length).zip(&mut *bytes);
                for (place, octet) in places {
                    *octet ^= mask.get(place as usize).unwrap_or(&0);
                }
            }
            let taken = self.step(bytes, &mut found);
            bytes = &mut bytes[taken..];
        }
    }

    /// Follows the rest of a header, or of a payload, as far as it is there. Answers how much that was.
    fn step(&mut self, bytes: &[u8], found: &mut impl FnMut(Found)) -> usize {
        let taken;
        if self.got < HEADER {
            match bytes.first_chunk() {
                // As mostly: all of it at once.
                Some(header) if self.got == 0 => (self.header, taken) = (*header, HEADER),
                _ => {
                    taken = bytes.len().min(HEADER - self.got);
                    self.header[self.got..self.got + taken].copy_from_slice(&bytes[..taken]);
                }
            }
            self.got += taken;
            if self.got < HEADER {
                return taken;
            }
            (self.length, self.passed) = (length(&self.header), 0);
            self.start = [0; 8];
        } else {
            taken = bytes.len().min((self.length - self.passed) as usize);
            self.pass(&bytes[..taken], found);
        }
        if self.passed == self.length {
            self.got = 0;
            found(Found::Frame(self.frame()));
        }
        taken
    }

    /// Follows a piece of payload.
    fn pass(&mut self, piece: &[u8], found: &mut impl FnMut(Found)) {
        if matches!(self.header[3], kind::DATA | kind::HEADERS) {
            self.passed += piece.len() as u32; // no more than `length`; their first octets say nothing here
            return;
        }
        if self.frame().sets() {
            for &octet in piece {
                self.start[self.passed as usize % ENTRY] = octet;
                self.passed += 1;
                if (self.passed as usize).is_multiple_of(ENTRY) {
                    let [i, d, a, b, c, e, ..] = self.start;
                    found(Found::Setting(
                        u16::from_be_bytes([i, d]),
                        u32::from_be_bytes([a, b, c, e]),
                    ));
                }
            }
            return;
        }
        for (place, &octet) in self.start.iter_mut().skip(self.passed as usize).zip(piece) {
            *place = octet;
        }
        self.passed += piece.len() as u32; // no more than `length`
    }

    fn frame(&self) -> Frame {
        let [_, _, _, kind, flags, a, b, c, d] = self.header;
        Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([a, b, c, d]) & STREAM_BITS,
            start: self.start,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A frame on the wire.
    pub(in crate::conn::h2) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn all(frames: &mut Frames, pieces: &[&[u8]]) -> Vec<Found> {
        let mut all = Vec::new();
        for piece in pieces {
            frames.follow(piece, |found| all.push(found));
        }
        all
    }

    /// A little of everything.
    fn stream() -> Vec<u8> {
        [
            frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 6, 0, 1, 0, 0]),
            frame(kind::SETTINGS, 1, 0, &[]),
            frame(kind::HEADERS, 4, 1, &[0x88]),
            frame(kind::DATA, 1, 1, &[7; 300]),
            frame(kind::RST_STREAM, 0, 3, &[0, 0, 0, 8]),
            frame(kind::GOAWAY, 0, 0, b"\xff\xff\xff\xfe\0\0\0\x0bcalm"),
            frame(kind::DATA, 0, 0x8000_0005, &[]),
        ]
        .concat()
    }

    #[test]
    fn the_same_is_found_however_the_bytes_are_cut() {
        let bytes = stream();
        let whole = all(&mut Frames::inbound(), &[&bytes]);
        assert_eq!(whole[..2], [Found::Setting(3, 100), Found::Setting(6, 65536)]);
        assert_eq!(whole.len(), 9);
        for cut in 0..=bytes.len() {
            for next in [cut, (cut + 5).min(bytes.len())] {
                let pieces = [&bytes[..cut], &bytes[cut..next], &bytes[next..]];
                assert_eq!(all(&mut Frames::inbound(), &pieces), whole, "{cut}, {next}");
            }
        }
        let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&mut Frames::inbound(), &one_by_one), whole);
        let sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &bytes].concat();
        for cut in 0..40 {
            let pieces = [&sent[..cut], &sent[cut..]];
            assert_eq!(all(&mut Frames::outbound(), &pieces), whole, "{cut}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_followed_alike_however_they_are_cut(
            short in proptest::collection::vec((0..3_u8, proptest::array::uniform6(0..=255_u8)), 0..40),
            mut cuts in proptest::collection::vec(0..1_000_usize, 0..8),
        ) {
            // Lengths are small, so that many frames pass; the rest is anything.
            let mut bytes = Vec::new();
            for (length, [kind, rest @ ..]) in short {
                bytes.extend([0, 0, length * 6, kind % 12]);
                bytes.extend(rest);
                bytes.extend([7; 9]);
            }
            let whole = all(&mut Frames::inbound(), &[&bytes]);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(bytes.len()));
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([bytes.len()]);
            let begins = [0].into_iter().chain(cuts.iter().copied());
            let pieces: Vec<&[u8]> = begins.zip(ends).map(|(begin, end)| &bytes[begin..end]).collect();
            proptest::prop_assert_eq!(all(&mut Frames::inbound(), &pieces), whole);
        }
    }

    #[test]
    fn what_a_frame_says_is_read() {
        let bytes = stream();
        let frames: Vec<Frame> = all(&mut Frames::inbound(), &[&bytes])
            .into_iter()
            .filter_map(|found| match found {
                Found::Frame(frame) => Some(frame),
                Found::Setting(..) => None,
            })
            .collect();
        assert!(frames[0].sets() && !frames[1].sets());
        assert!(!frames[2].ends_stream() && frames[3].ends_stream());
        assert_eq!((frames[4].stream, frames[4].reset()), (3, 8));
        assert_eq!(frames[5].goaway(), (0x7fff_fffe, 11));
        assert_eq!(frames[6].stream, 5, "the reserved bit is none of it");
    }
}
