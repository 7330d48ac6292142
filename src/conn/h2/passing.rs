//! The reader of frames, the book that is kept by it, and the shape of what is written, without a connection: for fuzz targets.

use std::io::IoSlice;
use std::time::Duration;

use super::book::{Book, News};
use super::frames::{Found, Frames};
use super::shape::Shape;
use crate::clock::Moment;
use crate::event::{CloseReason, RetrySafety};
use crate::fingerprint::H2Spec;
use crate::fingerprint::frame::kind;

/// What the reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// An entry of SETTINGS.
    Setting(u16, u32),
    /// The end of a frame.
    Frame {
        /// Its type.
        kind: u8,
        /// Its flags.
        flags: u8,
        /// Its stream.
        stream: u32,
        /// Of GOAWAY: the last stream, and why.
        goaway: Option<(u32, u32)>,
        /// Of RST_STREAM: why.
        reset: Option<u32>,
        /// Whether its sender has no more to say on this stream.
        ends: bool,
    },
}

/// An HTTP/2 connection, as far as it is known by what passes.
#[derive(Debug)]
pub struct Passing {
    sent: Frames,
    received: Frames,
    book: Book,
}

impl Passing {
    /// Of a new connection.
    #[expect(clippy::new_without_default, reason = "no part of the API")]
    pub fn new() -> Self {
        Passing {
            sent: Frames::outbound(),
            received: Frames::inbound(),
            book: Book::new(),
        }
    }

    /// A lease opens stream `id`.
    pub fn open(&mut self, at: Duration, id: u32) {
        self.book.open(Moment::ZERO + at, id);
    }

    /// The lease that opened stream `id` comes home. Answers how many streams have no lease.
    pub fn come_home(&mut self, id: u32) -> u32 {
        self.book.come_home(Some(id))
    }

    /// These bytes were written.
    pub fn sent(&mut self, at: Duration, bytes: &[u8], mut passed: impl FnMut(Passed)) {
        self.sent.follow(bytes, |found| {
            self.book.outbound(Moment::ZERO + at, found);
            passed(told(found));
        });
    }

    /// These bytes were read.
    pub fn received(&mut self, at: Duration, bytes: &[u8], mut passed: impl FnMut(Passed)) {
        self.received.follow(bytes, |found| {
            self.book.inbound(Moment::ZERO + at, found);
            passed(told(found));
        });
    }

    /// All that a driver would be told now.
    pub fn news(&mut self) -> Vec<String> {
        let news: Vec<News> = std::iter::from_fn(|| self.book.news()).collect();
        news.iter().map(|news| format!("{news:?}")).collect()
    }

    /// Whether new streams may be opened.
    ///
    /// # Errors
    /// Why not.
    pub fn look(&self) -> Result<(), CloseReason> {
        self.book.look()
    }

    /// What is known of stream `id`, and whether it holds its place.
    pub fn stream(&self, id: u32) -> (RetrySafety, bool) {
        (self.book.safety(id), self.book.is_open(id))
    }

    /// How many streams it remembers: what grows.
    pub fn remembered(&self) -> usize {
        self.book.remembered()
    }
}

/// What h2 writes, in the shape of a spec.
#[derive(Debug)]
pub struct Reshaping {
    shape: Shape,
    received: Frames,
}

impl Reshaping {
    /// Of a new connection.
    pub fn new(spec: &H2Spec) -> Self {
        Reshaping {
            shape: Shape::new(spec),
            received: Frames::inbound(),
        }
    }

    /// These bytes are read from the server. Answers what h2 is given.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut bytes, mask) = (bytes.to_vec(), self.shape.ping_mask());
        self.received
            .follow_and_mask(&mut bytes, mask, |found| self.shape.heard(found));
        bytes
    }

    /// h2 writes these pieces in one call, and the rest of them until all is taken. `out` has what goes out, and what passes uncopied.
    pub fn write(&mut self, pieces: &[&[u8]], out: &mut Vec<u8>) {
        let mut all: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut all[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let count = match self.shape.passable(left) {
                Some(count) => {
                    // As a transport that has little room.
                    let count = count.min(1 + count / 2);
                    let passed = left.iter().flat_map(|piece| piece.iter());
                    out.extend(passed.take(count));
                    self.shape.pass(left, count);
                    count
                }
                None => self.shape.take(left),
            };
            assert!(count > 0, "no progress");
            out.append(self.shape.out());
            IoSlice::advance_slices(&mut left, count);
        }
    }

    /// How many requests were not of the form that can be moved.
    pub fn unshaped(&self) -> u64 {
        self.shape.sent().unshaped_requests()
    }
}

fn told(found: Found) -> Passed {
    match found {
        Found::Setting(id, value) => Passed::Setting(id, value),
        Found::Frame(frame) => Passed::Frame {
            kind: frame.kind,
            flags: frame.flags,
            stream: frame.stream,
            goaway: (frame.kind == kind::GOAWAY).then(|| frame.goaway()),
            reset: (frame.kind == kind::RST_STREAM).then(|| frame.reset()),
            ends: frame.ends_stream(),
        },
    }
}
