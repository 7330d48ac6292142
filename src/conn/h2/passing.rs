//! The reader of frames and the book that is kept by it, without a connection: for fuzz targets.

use std::time::Duration;

use super::book::{Book, News};
use super::frames::{Found, Frames};
use crate::clock::Moment;
use crate::event::{CloseReason, RetrySafety};

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

fn told(found: Found) -> Passed {
    match found {
        Found::Setting(id, value) => Passed::Setting(id, value),
        Found::Frame(frame) => Passed::Frame {
            kind: frame.kind,
            flags: frame.flags,
            stream: frame.stream,
            goaway: (frame.kind == super::frames::kind::GOAWAY).then(|| frame.goaway()),
            reset: (frame.kind == super::frames::kind::RST_STREAM).then(|| frame.reset()),
            ends: frame.ends_stream(),
        },
    }
}
