//! What is known of an HTTP/2 connection by what passed in both directions: its streams, what its peer allows, and how it ends.
//!
//! ```text
//! opened by a lease ──> HEADERS out ──> END_STREAM out and in, or RST_STREAM, or above a GOAWAY's last id: over
//! ```
//! A stream holds its place from the moment it is opened until it is over, whether its lease is still out or not. A lease that came home before its
//! stream was over leaves it *loose*.

use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Duration;

use super::budget::Budget;
use super::frames::{Found, Frame};
use crate::clock::Moment;
use crate::event::{CloseReason, RetrySafety};
use crate::fault::planted;
use crate::fingerprint::frame::kind;

/// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// Error codes (RFC 9113 section 7).
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A stream that was given up after so long without any frame from the peer casts doubt on the connection.
const QUIET: Duration = Duration::from_secs(1);

/// What has happened to a stream.
mod mark {
    /// Its HEADERS are out.
    pub(crate) const SENT: u8 = 1;
    /// Its request is out to the end.
    pub(crate) const ENDED: u8 = 2;
    /// Its answer is in to the end.
    pub(crate) const ANSWERED: u8 = 4;
    /// One side reset it, or the peer will not look at it any more.
    pub(crate) const RESET: u8 = 8;
    /// The peer said that it did not look at it.
    pub(crate) const REFUSED: u8 = 16;
    /// Its lease has come home.
    pub(crate) const LOOSE: u8 = 32;
    /// The head of an answer has come, if only of an interim one.
    pub(crate) const HEARD: u8 = 64;
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    id: u32,
    marks: u8,
    opened: Moment,
}

impl Stream {
    fn has(&self, marks: u8) -> bool {
        self.marks & marks == marks
    }

    fn is_over(&self) -> bool {
        self.has(mark::RESET) || self.has(mark::ENDED | mark::ANSWERED)
    }
}

/// What a driver has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The peer allows this many streams at once, from now on.
    MaxStreams(u32),
    /// The peer takes no new streams.
    GoAway,
    /// The peer asks for less: it refused a stream, or said to calm down.
    Overloaded,
    /// A loose stream is over.
    Freed,
    /// So many streams were reset here that it had better take no new ones.
    ResetsSpent,
    /// The peer must show life before anybody relies on it.
    Doubtful,
    /// It shows life again.
    Healthy,
    /// It is over.
    Ended(CloseReason),
}

/// Whether the pool has let go of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leave {
    Stay,
    /// It may finish, and say goodbye.
    Soon,
    /// Its time is over, whoever uses it.
    Now,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    /// By id: they mostly end in the order in which they were opened. One entry for each lease that has opened a stream, and one for each loose stream: so many as may be open at once.
    streams: VecDeque<Stream>,
    /// Whoever opens streams has no lease for each: they are loose from the start.
    raw: bool,
    loose: u32,
    /// Of `loose`, what was told last.
    told: u32,
    /// What the peer allows, if it said so since that was told last.
    allowed: Option<u32>,
    settled: bool,
    /// The last id of the peer's GOAWAY.
    last: Option<u32>,
    goaway_told: bool,
    overloaded: bool,
    budget: Budget,
    spent: bool,
    spent_told: bool,
    /// The highest stream whose HEADERS are out.
    latest: u32,
    /// When a frame came from the peer last, and how many have come.
    heard: Moment,
    frames: u64,
    /// Whether it is in doubt, and that has not been told.
    doubted: bool,
    /// Whether the peer has yet to be asked for a sign of life.
    unasked: bool,
    /// Why it is over.
    over: Option<CloseReason>,
    driver: Option<Waker>,
    leave: Leave,
}

impl Book {
    pub(super) fn new() -> Self {
        Book {
            streams: VecDeque::with_capacity(1),
            raw: false,
            loose: 0,
            told: 0,
            allowed: None,
            settled: false,
            last: None,
            goaway_told: false,
            overloaded: false,
            budget: Budget::new(),
            spent: false,
            spent_told: false,
            latest: 0,
            heard: Moment::ZERO,
            frames: 0,
            doubted: false,
            unasked: false,
            over: None,
            driver: None,
            leave: Leave::Stay,
        }
    }

    fn find(&self, id: u32) -> Result<usize, usize> {
        // Where none is missing in between, as mostly, its place follows from the first one's id.
        let first = self.streams.front().map_or(id, |first| first.id);
        let place = (id.wrapping_sub(first) / 2) as usize;
        if self.streams.get(place).is_some_and(|stream| stream.id == id) {
            return Ok(place);
        }
        match self.streams.back() {
            Some(last) if last.id < id => Err(self.streams.len()),
            _ => self.streams.binary_search_by_key(&id, |stream| stream.id),
        }
    }

    /// A lease has opened stream `id`. Its HEADERS may be out already.
    pub(super) fn open(&mut self, now: Moment, id: u32) {
        if let Err(place) = self.find(id) {
            self.enter(place, id, 0, now);
        }
    }

    fn enter(&mut self, place: usize, id: u32, marks: u8, opened: Moment) {
        // The peer will not look at it.
        let refused = self.last.is_some_and(|last| id > last);
        let refused = if refused { mark::RESET | mark::REFUSED } else { 0 };
        let marks = marks | refused;
        self.streams.insert(place, Stream { id, marks, opened });
    }

    /// Whether stream `id` still holds its place.
    pub(super) fn is_open(&self, id: u32) -> bool {
        self.find(id).is_ok_and(|place| !self.streams[place].is_over())
    }

    /// What is known of stream `id`, while its lease is out.
    pub(super) fn safety(&self, id: u32) -> RetrySafety {
        let Ok(place) = self.find(id) else {
            return RetrySafety::Sent;
        };
        let stream = &self.streams[place];
        if stream.has(mark::HEARD) && !planted("what_was_answered_is_forgotten") {
            RetrySafety::Sent // whatever else its peer said
        } else if stream.has(mark::REFUSED) && !planted("unprocessed_is_sent") {
            RetrySafety::Unprocessed
        } else if !stream.has(mark::SENT) {
            RetrySafety::NeverSent
        } else if !stream.has(mark::ENDED) {
            RetrySafety::PartlySent
        } else {
            RetrySafety::Sent
        }
    }

    /// A lease opens no further stream after `id` that has ended: nobody will ask for it.
    pub(super) fn forget(&mut self, id: u32) {
        if let Ok(place) = self.find(id)
            && self.streams[place].is_over()
        {
            self.streams.remove(place);
        }
    }

    /// The lease that opened stream `id`, if it opened one, has come home. Answers how many streams have no lease now.
    pub(super) fn come_home(&mut self, id: Option<u32>) -> u32 {
        if let Some(place) = id.and_then(|id| self.find(id).ok()) {
            let stream = &mut self.streams[place];
            if stream.is_over() || planted("streams_end_with_their_lease") {
                self.streams.remove(place);
            } else {
                stream.marks |= mark::LOOSE;
                self.loose += 1;
            }
        }
        self.loose()
    }

    /// How many streams have no lease. Whoever asks need not be told.
    pub(super) fn loose(&mut self) -> u32 {
        self.told = self.loose;
        self.loose
    }

    /// From now on whoever opens streams has one lease for all.
    pub(super) fn make_raw(&mut self) {
        self.raw = true;
    }

    /// The pool has let go of it; none can take that back. Answers whom to wake, under no lock.
    pub(super) fn let_go(&mut self, leave: Leave) -> Option<Waker> {
        self.leave = self.leave.max(leave);
        self.driver.take()
    }

    /// Whether the pool has let go of it.
    pub(super) fn leave(&self) -> Leave {
        self.leave
    }

    /// Somebody wants to see it alive. Whoever drives it is to be woken, once no lock is held.
    pub(super) fn doubt(&mut self) -> Option<Waker> {
        self.doubted = true;
        self.driver.take()
    }

    /// Whether the peer is to be asked for a sign of life; answered once.
    pub(super) fn take_question(&mut self) -> bool {
        std::mem::take(&mut self.unasked)
    }

    /// How many frames have come from the peer.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// How many streams there is an entry for.
    #[cfg(any(test, feature = "__internals"))]
    pub(super) fn remembered(&self) -> usize {
        self.streams.len()
    }

    /// Why no new stream may be opened.
    pub(super) fn look(&self) -> Result<(), CloseReason> {
        match (self.over, self.last) {
            (_, Some(_)) => Err(CloseReason::GoAway),
            (Some(reason), None) => Err(reason),
            (None, None) => Ok(()),
        }
    }

    /// It is over. Answers why, by what passed rather than by what ended it.
    pub(super) fn end(&mut self, reason: CloseReason) -> CloseReason {
        let reason = match self.last {
            Some(_) if reason == CloseReason::PeerClosed => CloseReason::GoAway,
            _ => reason,
        };
        *self.over.get_or_insert(reason)
    }

    /// What the driver has to tell next. It is woken when there is more.
    pub(super) fn news(&mut self) -> Option<News> {
        if let Some(allowed) = self.allowed.take() {
            return Some(News::MaxStreams(allowed));
        }
        if std::mem::take(&mut self.overloaded) {
            return Some(News::Overloaded);
        }
        if self.last.is_some() && !std::mem::replace(&mut self.goaway_told, true) {
            return Some(News::GoAway);
        }
        if self.spent && !std::mem::replace(&mut self.spent_told, true) {
            return Some(News::ResetsSpent);
        }
        if std::mem::take(&mut self.doubted) {
            self.unasked = true;
            return Some(News::Doubtful);
        }
        let freed = self.loose < self.told;
        self.told = self.loose;
        freed.then_some(News::Freed)
    }

    pub(super) fn park(&mut self, cx: &Context<'_>) {
        if !self
            .driver
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            self.driver = Some(cx.waker().clone());
        }
    }

    /// Something passed from the peer.
    pub(super) fn inbound(&mut self, now: Moment, found: Found) {
        self.heard = now;
        self.frames += 1;
        match found {
            Found::Setting(MAX_CONCURRENT_STREAMS, allowed) => self.allowed = Some(allowed),
            Found::Setting(..) => {}
            Found::Frame(frame) => self.received(frame),
        }
    }

    fn received(&mut self, frame: Frame) {
        if frame.sets() {
            // The first that says nothing of it sets no limit.
            if !std::mem::replace(&mut self.settled, true) {
                self.allowed.get_or_insert(u32::MAX);
            }
        } else if frame.kind == kind::GOAWAY && !planted("goaway_is_not_read") {
            let (last, why) = frame.goaway();
            self.go_away(last);
            self.overloaded |= why == ENHANCE_YOUR_CALM;
        } else if frame.kind == kind::RST_STREAM {
            let refused = frame.reset() == REFUSED_STREAM;
            self.overloaded |= refused || frame.reset() == ENHANCE_YOUR_CALM;
            self.mark(
                frame.stream,
                mark::RESET | if refused { mark::REFUSED } else { 0 },
            );
        } else {
            let heard = if frame.kind == kind::HEADERS {
                mark::HEARD
            } else {
                0
            };
            let ended = if frame.ends_stream() { mark::ANSWERED } else { 0 };
            if heard | ended > 0 {
                self.mark(frame.stream, heard | ended);
            }
        }
    }

    fn go_away(&mut self, last: u32) {
        let last = self.last.map_or(last, |before| before.min(last));
        self.last = Some(last);
        let above = self.streams.partition_point(|stream| stream.id <= last);
        for place in (above..self.streams.len()).rev() {
            self.mark(self.streams[place].id, mark::RESET | mark::REFUSED);
        }
    }

    /// Something passed to the peer.
    pub(super) fn outbound(&mut self, now: Moment, found: Found) {
        let Found::Frame(frame) = found else { return };
        match frame.kind {
            kind::HEADERS => {
                let ended = if frame.ends_stream() { mark::ENDED } else { 0 };
                match self.find(frame.stream) {
                    Ok(place) => self.mark_at(place, mark::SENT | ended),
                    // Trailers that were on their way when their stream was reset open none.
                    Err(_) if frame.stream <= self.latest => {}
                    Err(place) => {
                        let loose = if self.raw { mark::LOOSE } else { 0 };
                        self.loose += u32::from(self.raw);
                        self.enter(place, frame.stream, mark::SENT | ended | loose, now);
                    }
                }
                self.latest = self.latest.max(frame.stream);
            }
            kind::DATA if frame.ends_stream() => self.mark(frame.stream, mark::ENDED),
            kind::RST_STREAM => {
                // Given up, and for all that is known nobody is there.
                let opened = self.find(frame.stream).map(|place| self.streams[place].opened);
                let quiet = opened.is_ok_and(|opened| now.since(opened.max(self.heard)) >= QUIET);
                self.doubted |= quiet && !planted("silence_is_trusted");
                self.mark(frame.stream, mark::RESET);
                self.spent |= !self.budget.spend(now);
            }
            _ => {}
        }
    }

    fn mark(&mut self, id: u32, marks: u8) {
        if let Ok(place) = self.find(id) {
            self.mark_at(place, marks);
        }
    }

    fn mark_at(&mut self, place: usize, marks: u8) {
        let stream = &mut self.streams[place];
        stream.marks |= marks;
        if stream.is_over() && stream.has(mark::LOOSE) {
            self.streams.remove(place);
            self.loose -= 1;
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
