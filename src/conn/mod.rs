//! One live connection: a bare TLS stream for HTTP/1.1, a handle and a driver for HTTP/2.

mod h1;
mod h2;
mod info;

use std::task::{Context, Waker};

pub(crate) use self::h1::H1;
pub(crate) use self::h2::{Driver, H2Handle, News, handshake};
pub use self::h2::{H2, H2Response};
pub use self::info::ConnInfo;
use crate::event::CloseReason;

/// What runs below TLS.
pub(crate) type Transport = tokio::net::TcpStream;
/// What runs below HTTP.
pub(crate) type Tls = tokio_rustls::client::TlsStream<Transport>;

/// A connection as the pool keeps it while nobody leases it.
pub(crate) enum Wire {
    /// The stream itself: it moves to its lease and back.
    H1(Box<H1>),
    /// A handle: it stays, and each lease has a clone.
    H2(H2Handle),
}

impl Wire {
    /// Looks whether the connection may be handed out: its peer has neither closed it nor sent what nobody asked for. Reads nothing,
    /// waits for nothing.
    pub(crate) fn look(&mut self) -> Result<(), CloseReason> {
        let cx = &mut Context::from_waker(Waker::noop());
        match self {
            Wire::H1(h1) => h1.look(cx),
            Wire::H2(h2) => h2.look(cx),
        }
    }
}
