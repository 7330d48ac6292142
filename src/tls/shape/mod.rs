//! A browser's ClientHello on stock rustls.
//!
//! rustls takes no ClientHello from its caller. So the [stream](Shaped) under it sends another one than it wrote, and the provider's hashes are fed that other
//! one as well: both ends of a handshake prove to each other what they saw, so wire and transcript must have the same bytes. Any difference
//! between them breaks the handshake; none can weaken it. rustls still verifies certificates and signatures, and checks the server's choices
//! against what it can do.
//!
//! What it rests on inside rustls stands in `tests/rustls_contract.rs`.

mod aead;
mod answers;
mod certs;
mod chain;
mod editor;
mod error;
mod hash;
mod hello;
mod inbound;
mod kx;
mod offer;
mod outbound;
mod records;
mod scope;
mod shaper;
mod signed;
mod signer;
mod state;
mod stream;
#[cfg(feature = "__internals")]
mod trial;
mod wire;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) use self::error::Rejected;
pub(crate) use self::shaper::Shaper;
use self::state::Shaping;
pub(crate) use self::stream::Shaped;
#[cfg(feature = "__internals")]
pub use self::trial::Trial;
use crate::fault::planted;

/// What becomes of a connection when its shape is the trouble: the server chose what the profile offers and rustls cannot serve, or answered
/// what nobody can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnShapeRejected {
    /// It fails, with the reason: a profile is a promise.
    #[default]
    Fail,
    /// It is dialled once more, without the profile, to the same address and within the same time.
    /// [`TlsInfo::shaped`](crate::TlsInfo::shaped) tells which became of a connection.
    RetryUnshaped,
}

/// What went over the wire, where it is not what rustls says.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether the hellos were shaped.
    pub(crate) shaped: bool,
    /// The hellos' handshake messages: the first, and the one that answered a HelloRetryRequest.
    pub(crate) hellos: Vec<Vec<u8>>,
    /// The group of the key exchange, where rustls was told another one.
    pub(crate) group: Option<u16>,
    /// The extensions with which the server answered offers that are the profile's alone.
    pub(crate) answers: BTreeSet<u16>,
}

/// Shakes hands over `io` in the shape of `shaper`, with a configuration that is built on [its provider](Shaper::provider).
///
/// Cancel safe: dropping it drops the transport.
///
/// # Errors
/// tokio-rustls's, or one whose source is [`Rejected`].
pub(crate) async fn connect<IO>(
    shaper: &Arc<Shaper>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    io: IO,
) -> io::Result<(TlsStream<Shaped<IO>>, Seen)>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let shaping = Shaping::new(shaper, config.max_fragment_size).map_err(io::Error::other)?;
    let stream = Shaped::new(io, Arc::clone(&shaping));
    // The hello is written when the connection is made, which must be inside.
    let handshake = async { TlsConnector::from(config).connect(name, stream).await };
    let result = scope::within(Arc::clone(&shaping), handshake).await;
    if let Some(why) = shaping.rejected() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let stream = result.map_err(|error| match chain::unserved(&error, shaper) {
        Some(why) if !planted("signed_certificates_are_not_named") => {
            io::Error::new(io::ErrorKind::InvalidData, why)
        }
        _ => error,
    })?;
    Ok((stream, shaping.take_seen()))
}

/// Shakes hands over `io` as rustls does it by itself, and looks at the hello on its way.
///
/// Cancel safe: dropping it drops the transport.
///
/// # Errors
/// tokio-rustls's.
pub(crate) async fn watch<IO>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    io: IO,
) -> io::Result<(TlsStream<Shaped<IO>>, Seen)>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = TlsConnector::from(config)
        .connect(name, Shaped::watched(io))
        .await?;
    let hellos = stream.get_mut().0.take_watched();
    let seen = Seen {
        shaped: false,
        hellos,
        group: None,
        answers: BTreeSet::new(),
    };
    Ok((stream, seen))
}
