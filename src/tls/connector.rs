//! One handshake, with the configuration of its identity.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TlsParts;
use super::error::handshake_error;
use crate::error::{ConfigError, Error, ErrorKind, Phase};
use crate::event::Protocol;
use crate::identity::Require;
use crate::target::Target;

/// Sessions remembered for each identity.
const SESSIONS: usize = 1024;

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version, as rustls names it: `TLSv1_3` or `TLSv1_2`.
    pub version: &'static str,
    /// The cipher suite, as rustls names it: `TLS13_AES_256_GCM_SHA384`, say.
    pub suite: &'static str,
    /// Whether it resumed an earlier session.
    pub resumed: bool,
}

/// Makes TLS connections. One configuration for each set of protocols on offer, and each with a session store of its own: a ticket is never
/// offered under another identity.
pub(crate) struct Connector {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Connector {
    pub(crate) fn new(parts: TlsParts) -> Result<Self, ConfigError> {
        // A whole configuration may have had its sessions turned off, which it cannot be asked: its store stays with the identity that
        // offers both protocols, and the others do without.
        let own_store = parts.whole.is_none();
        let base = parts.into_config()?;
        let derive = |require: Require, keeps_store: bool| {
            let mut config = base.clone();
            config.alpn_protocols = require.offers().iter().map(|p| p.alpn().into()).collect();
            config.enable_early_data = false;
            if own_store {
                config.resumption = Resumption::in_memory_sessions(SESSIONS);
            } else if !keeps_store {
                config.resumption = Resumption::disabled();
            }
            Arc::new(config)
        };
        Ok(Connector {
            any: derive(Require::Any, true),
            http1: derive(Require::Http1, false),
            http2: derive(Require::Http2, false),
        })
    }

    /// Shakes hands with `target` over `stream`; answers the protocol that ALPN settled.
    ///
    /// Cancel safe: dropping it drops the stream.
    pub(crate) async fn connect<IO>(
        &self,
        target: &Target<'_>,
        require: Require,
        stream: IO,
    ) -> Result<(TlsStream<IO>, Protocol, TlsInfo), Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let config = match require {
            Require::Any => &self.any,
            Require::Http1 => &self.http1,
            Require::Http2 => &self.http2,
        };
        let name = server_name(target)?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
            .map_err(handshake_error)?;
        let (protocol, info) = {
            let session = stream.get_ref().1;
            (agreed(session.alpn_protocol(), require)?, info(session))
        };
        Ok((stream, protocol, info))
    }
}

fn server_name(target: &Target<'_>) -> Result<ServerName<'static>, Error> {
    match target.ip() {
        Some(ip) => Ok(ServerName::IpAddress(ip.into())),
        None => ServerName::try_from(target.host().to_owned()).map_err(|_| {
            let problem = io::Error::new(
                io::ErrorKind::InvalidInput,
                "the host is no legal TLS server name",
            );
            Error::new(ErrorKind::Tls, Phase::Tls).with_source(problem)
        }),
    }
}

/// A peer that chose nothing is taken to speak HTTP/1.1, as before ALPN (RFC 7301 section 3.1), unless h2 was required.
fn agreed(alpn: Option<&[u8]>, require: Require) -> Result<Protocol, Error> {
    let protocol = match alpn {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    match require.offers().contains(&protocol) {
        true => Ok(protocol),
        false => Err(Error::new(ErrorKind::Protocol, Phase::Tls)),
    }
}

fn info(session: &rustls::ClientConnection) -> TlsInfo {
    TlsInfo {
        version: session
            .protocol_version()
            .and_then(|version| version.as_str())
            .unwrap_or("unknown"),
        suite: session
            .negotiated_cipher_suite()
            .and_then(|s| s.suite().as_str())
            .unwrap_or("unknown"),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}
