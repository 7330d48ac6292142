//! Shaped handshakes over any stream, with configurations of the caller's own.
//!
//! For this crate's own tests, benches and fuzz targets: what a pool does inside a dial, with every part of it in reach.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::error::ConfigError;
use crate::fingerprint::{ClientHello, HelloSpec};
pub use crate::tls::shape::Trial;
use crate::tls::shape::{Rejected, Shaped, Shaper, connect};
use crate::tls::{Room, Tickets};

/// A spec and the cryptography that serves it.
#[derive(Clone, Debug)]
pub struct Shape(Arc<Shaper>, Arc<Room>);

impl Shape {
    /// A shape of `spec` by the cryptography of `provider`.
    ///
    /// # Errors
    /// Names what the provider lacks.
    pub fn new(spec: &HelloSpec, provider: &CryptoProvider) -> Result<Self, ConfigError> {
        Shaper::new(spec, provider).map(|shaper| Shape(Arc::new(shaper), Arc::default()))
    }

    /// What configurations must be built on.
    pub fn provider(&self) -> Arc<CryptoProvider> {
        Arc::new(self.0.provider())
    }

    /// The versions that configurations must have.
    pub fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        self.0.versions()
    }

    /// Completes a configuration, and gives it a store for sessions. All stores of a shape share one room.
    pub fn complete(&self, config: &mut ClientConfig) {
        self.0.complete(config);
        config.resumption = match self.0.resumes() {
            true => Resumption::store(Arc::new(Tickets::new(false, &self.1))),
            false => Resumption::disabled(),
        };
    }

    /// Sends a hello to nobody.
    ///
    /// # Errors
    /// The name is none, or the configuration is not this shape's.
    pub fn trial(&self, config: &Arc<ClientConfig>, name: &str) -> io::Result<Trial> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Trial::new(&self.0, config, name)
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// tokio-rustls's, or one of which [`reason`] tells why the shape was in the way.
    pub async fn connect<IO>(
        &self,
        config: &Arc<ClientConfig>,
        name: &str,
        io: IO,
    ) -> io::Result<Connection<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let (tls, seen) = connect(&self.0, Arc::clone(config), name, io).await?;
        Ok(Connection {
            tls,
            hellos: seen.hellos,
            group: seen.group,
            answers: seen.answers,
        })
    }
}

/// A connection that was shaped.
pub struct Connection<IO> {
    tls: TlsStream<Shaped<IO>>,
    /// The hellos that went out, as handshake messages.
    hellos: Vec<Vec<u8>>,
    /// The group of the key exchange, where rustls was told another one.
    pub group: Option<u16>,
    /// The extensions with which the server answered offers that rustls did not make.
    pub answers: BTreeSet<u16>,
}

impl<IO> Connection<IO> {
    /// The hellos that went out.
    pub fn hellos(&self) -> Vec<ClientHello> {
        let read = |hello: &Vec<u8>| ClientHello::from_message(hello).ok();
        self.hellos.iter().filter_map(read).collect()
    }

    /// What rustls says of it.
    pub fn session(&self) -> &ClientConnection {
        self.tls.get_ref().1
    }

    /// The transport.
    pub fn transport(&self) -> &IO {
        self.tls.get_ref().0.get_ref()
    }
}

/// Why the shape was in the way of a handshake, if it was.
pub fn reason(error: &io::Error) -> Option<String> {
    let why = error.get_ref()?.downcast_ref::<Rejected>()?;
    Some(why.to_string())
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
