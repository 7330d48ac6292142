//! One live connection: a bare TLS stream for HTTP/1.1, a handle and a driver for HTTP/2.

mod candidate;
mod exchange;
mod h1;
mod h2;
mod info;
mod last;
mod records;

use std::task::Context;

pub use self::candidate::Candidate;
pub(crate) use self::candidate::{Asking, carried};
pub(crate) use self::exchange::{Ask, exchange, is_goodbye};
#[cfg(feature = "__internals")]
pub use self::h1::Framing;
pub(crate) use self::h1::H1;
pub(crate) use self::h2::{Driver, H2Handle, Leave, News, handshake};
pub use self::h2::{H2, H2Response, H2Sender, H2Sent};
#[cfg(feature = "__internals")]
pub use self::h2::{Passed, Passing, Reshaping};
pub use self::info::ConnInfo;
use self::last::last_words;
pub(crate) use self::records::Records;
use crate::error::Error;
use crate::event::CloseReason;
use crate::transport::Transport;

/// What runs below TLS.
pub(crate) type Below = Records<Transport>;
/// What runs below HTTP.
pub(crate) type Tls = tokio_rustls::client::TlsStream<crate::tls::Shaped<Below>>;

/// How many octets have left below TLS.
fn written(stream: &Tls) -> u64 {
    stream.get_ref().0.get_ref().written()
}

/// What a look finds on a connection that has neither ended nor been spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing is on its way.
    Clean,
    /// Half a TLS record, of which TLS shows nothing: a session ticket most likely, perhaps bytes that are meant to reach the next caller.
    /// Nobody may have it before the rest has come.
    HalfRecord,
}

/// A connection that serves one caller at a time, as far as the pool touches it between two of them.
pub(crate) trait Single: Send {
    /// Whether it is known to be between two exchanges.
    fn verdict(&self) -> Result<(), CloseReason>;

    /// The same, of one whose user has done with it: what is sent from here on is another's.
    fn come_home(&mut self) -> Result<(), CloseReason> {
        self.verdict()
    }

    /// Looks whether it may be handed out: its peer has neither closed it nor sent what nobody asked for. Reads nothing, waits for nothing;
    /// `cx` is woken when there is reason to look again.
    fn look(&mut self, cx: &mut Context<'_>) -> Result<Seen, CloseReason>;

    /// Closes it, with a goodbye where one can be said without waiting.
    fn end(self: Box<Self>);
}

/// What moves between a pool and its callers.
pub(crate) enum Wire {
    /// The stream itself: it moves to its lease and back.
    H1(Box<H1>),
    /// A handle: the pool has one, and each lease another.
    H2(H2Handle),
    /// A stream of which nothing is real, for tests and benches of the pool's own workings.
    #[cfg(feature = "__internals")]
    Scripted(Box<dyn Single>),
}

impl Wire {
    /// See [`Single::come_home`]. HTTP/2 knows no such state.
    pub(crate) fn come_home(&mut self) -> Result<(), CloseReason> {
        self.single().map_or(Ok(()), |single| single.come_home())
    }

    /// See [`Single::look`].
    pub(crate) fn look(&mut self, cx: &mut Context<'_>) -> Result<Seen, CloseReason> {
        match self {
            Wire::H2(h2) => h2.look().map(|()| Seen::Clean),
            wire => wire.single().map_or(Ok(Seen::Clean), |single| single.look(cx)),
        }
    }

    /// By what TLS has failed, of one that is seen to be broken.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        match self {
            Wire::H1(h1) => h1.failure(),
            Wire::H2(h2) => h2.failure(),
            #[cfg(feature = "__internals")]
            Wire::Scripted(_) => None,
        }
    }

    /// See [`Single::end`]. HTTP/2 says goodbye when the last handle goes.
    pub(crate) fn end(self) {
        match self {
            Wire::H1(h1) => Single::end(h1),
            Wire::H2(_) => {}
            #[cfg(feature = "__internals")]
            Wire::Scripted(scripted) => scripted.end(),
        }
    }

    fn single(&mut self) -> Option<&mut dyn Single> {
        match self {
            Wire::H1(h1) => Some(&mut **h1),
            Wire::H2(_) => None,
            #[cfg(feature = "__internals")]
            Wire::Scripted(scripted) => Some(&mut **scripted),
        }
    }
}

impl Single for H1 {
    fn verdict(&self) -> Result<(), CloseReason> {
        H1::verdict(self)
    }

    fn come_home(&mut self) -> Result<(), CloseReason> {
        H1::come_home(self)
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Result<Seen, CloseReason> {
        H1::look(self, cx)
    }

    fn end(self: Box<Self>) {
        H1::end(*self);
    }
}
