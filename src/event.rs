//! What happened to a connection, in words that statistics, logs and callers share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering}; // they order nothing: no model checker need see them
use std::time::Duration;

/// The protocol a connection speaks, settled by ALPN in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1: one exchange at a time. Also what a peer that answered no ALPN is taken to speak.
    Http1,
    /// HTTP/2: many streams at once.
    Http2,
}

impl Protocol {
    /// The ALPN name: `http/1.1` or `h2`.
    pub const fn alpn(self) -> &'static str {
        match self {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.alpn())
    }
}

macro_rules! close_reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a connection was closed. Every connection that closes has exactly one reason.
        ///
        /// ```
        /// use hotpool::{CloseReason, HotConnPool};
        ///
        /// let counters = HotConnPool::builder().build()?.stats().counters;
        /// assert!(CloseReason::ALL.iter().all(|reason| counters.closes(*reason) == 0));
        /// # Ok::<(), hotpool::ConfigError>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum CloseReason {
            $($(#[$doc])* $variant,)*
        }

        impl CloseReason {
            /// Every reason, in the order of their declaration.
            pub const ALL: &'static [CloseReason] = &[$(CloseReason::$variant,)*];

            /// The reason as logs and statistics name it, in `snake_case`.
            pub const fn name(self) -> &'static str {
                match self { $(CloseReason::$variant => $name,)* }
            }
        }
    };
}

close_reasons! {
    /// Idle for longer than `idle_timeout`.
    IdleTimeout => "idle_timeout",
    /// Older than its lifetime, which was fixed at birth.
    Lifetime => "lifetime",
    /// The longest idle of a host that would have had more than `max_idle_per_host` idle connections.
    IdleCap => "idle_cap",
    /// The host had more connections than its limits, which had been lowered.
    OverLimit => "over_limit",
    /// Idle, and closed to make room for a connection that somebody waits for.
    Evicted => "evicted",
    /// Closed because its owner said so, with others of its host, its address or its kind.
    Removed => "removed",
    /// Taken out of the pool by its user; its permits came back when that one was done with it.
    Detached => "detached",
    /// Its address is no longer among those that the host resolves to.
    AddressGone => "address_gone",
    /// Its address answered that we are blocked there, or the pool's owner blocked it.
    Blocked => "blocked",
    /// The peer closed it.
    PeerClosed => "peer_closed",
    /// The peer sent bytes that nobody had asked for: while it was idle, before a request, or behind the end of an answer.
    StrayBytes => "stray_bytes",
    /// Came back before the request was written to its end, or was answered before that. HTTP/1.1, as the ones below.
    HalfSent => "half_sent",
    /// Came back before the answer was read to its end.
    HalfRead => "half_read",
    /// Came back while TLS still held some of what was written.
    Unflushed => "unflushed",
    /// One side said that it ends with this exchange: `Connection: close`, or HTTP/1.0 without `keep-alive`.
    ConnectionClose => "connection_close",
    /// Speaks another protocol by now: 101 (Switching Protocols), or CONNECT succeeded.
    Upgraded => "upgraded",
    /// A second request was written before the first was answered.
    Pipelined => "pipelined",
    /// Where a message ended is open to doubt: two framings at once, a malformed chunk, lines that not every reader ends in the same place.
    BadFraming => "bad_framing",
    /// What passed was no HTTP/1.1, or its head was too long to follow, and nobody vouched for it.
    NotFollowed => "not_followed",
    /// The caller said it must not be used again.
    Discarded => "discarded",
    /// Reading or writing failed.
    Failed => "failed",
    /// The peer sent GOAWAY.
    GoAway => "go_away",
    /// The peer did not answer a PING, or showed no life when it had to.
    Unresponsive => "unresponsive",
    /// So many streams were given up on it that one more would look like an attack to its peer.
    ResetsSpent => "resets_spent",
    /// It rests on a TLS setup of the pool's that was replaced.
    IdentityRetired => "identity_retired",
    /// Cut by [`force_cleanup`](crate::HotConnPool::force_cleanup).
    Aborted => "aborted",
    /// The machine's network has changed, or it was suspended: nobody can tell whether it still leads anywhere. HTTP/1.1.
    NetworkChanged => "network_changed",
    /// The pool was closed.
    PoolClosed => "pool_closed",
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is counted of a job that runs by itself.
#[derive(Debug, Default)]
pub(crate) struct TaskCounts {
    runs: AtomicU64,
    panics: AtomicU64,
    /// Whether it panicked when it last ran.
    failing: AtomicBool,
}

impl TaskCounts {
    pub(crate) fn ran(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Runs that went well, and panics.
    pub(crate) fn read(&self) -> (u64, u64) {
        let [runs, panics] = [&self.runs, &self.panics].map(|count| count.load(Ordering::Relaxed));
        (runs, panics)
    }
}

/// What became of a connection that was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Returned {
    /// It is in the pool and may be handed out again.
    Kept,
    /// It was closed, for this reason.
    Closed(CloseReason),
}

/// How an exchange went, as its user saw it: see [`HotConn::report`](crate::HotConn::report).
///
/// What an answer says of the address that gave it, for the origin that it serves, whether a caller reports it here or a
/// [`StatusValidator`](crate::StatusValidator) hears it, of a new connection or of one by which the pool sees whether a blocked address is to be avoided yet:
///
/// | the answer | what it says | reported | heard by a validator |
/// |---|---|---|---|
/// | 200 to 399 | we are welcome | what was held against the address is forgotten | the same, and the connection is taken |
/// | 403 | stay away | the address is blocked for 15 minutes: idle connections there close, leased ones when they come home, and dials go elsewhere | the same |
/// | 429, 503 | come later | dials stand back for as long as `Retry-After` says, 15 minutes at the most, else for a second, twice as long each time in a row; what stands there stays | the same |
/// | any other: 404, 500 | nothing | nothing is held, and nothing forgotten | nothing is forgotten; the connection is not taken, and as after any dial that brings nothing, dials stand back for a second, twice as long each time in a row |
/// | none: a timeout, a reset | nothing, though it should have | dials stand back as after a 429 | the same |
///
/// Only the first row lifts what a 403 said, and only the second blocks like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It went well: as 200.
    Ok,
    /// It was answered with this HTTP status.
    Status(u16),
    /// It was answered that this was too much, and to come again after so long: 429 or 503 with `Retry-After`.
    TryLater(Duration),
    /// It failed: by a timeout or a reset, say.
    Error,
}

/// What is known of a request that was not answered: whether it is safe to send it again, to another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetrySafety {
    /// No byte of it was sent.
    NeverSent,
    /// The peer said that it did not look at it (HTTP/2: refused, or above the last stream of a GOAWAY).
    Unprocessed,
    /// Some of it was sent, but not all: a peer that acts on whole requests only has not acted on it.
    PartlySent,
    /// All of it was sent, or it was answered: it may have been acted upon.
    Sent,
}
