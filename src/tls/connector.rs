//! One handshake, with the configuration of its identity.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

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
use crate::sync::Mutex;
use crate::target::Target;

/// Sessions remembered for each identity and port.
const SESSIONS: usize = 256;
/// Identities and ports whose sessions are remembered; one more, and all sessions are forgotten.
const MOST_CONFIGS: usize = 256;

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

/// Makes TLS connections.
///
/// One configuration for each identity (the protocols on offer) and port, each with a session store of its own, because rustls looks
/// sessions up by the server's name alone: so a ticket is never offered under another identity, nor to another port of the same host. Verifier
/// and client certificate are shared by all, as rustls demands of sessions that it resumes.
pub(crate) struct Connector {
    base: ClientConfig,
    /// Whether `base` came whole from the caller, with a store of its own.
    whole: bool,
    /// The port whose connections use that store: the first that is dialled.
    first_port: OnceLock<u16>,
    configs: Mutex<HashMap<(Require, u16), Arc<ClientConfig>>>,
}

impl Connector {
    pub(crate) fn new(parts: TlsParts) -> Result<Self, ConfigError> {
        let whole = parts.whole.is_some();
        let base = parts.into_config()?;
        Ok(Connector {
            base,
            whole,
            first_port: OnceLock::new(),
            configs: Mutex::default(),
        })
    }

    fn config(&self, require: Require, port: u16) -> Arc<ClientConfig> {
        let mut configs = self.configs.lock();
        if let Some(config) = configs.get(&(require, port)) {
            return Arc::clone(config);
        }
        if configs.len() >= MOST_CONFIGS {
            configs.clear();
        }
        let config = Arc::new(self.derive(require, port));
        configs.insert((require, port), Arc::clone(&config));
        config
    }

    fn derive(&self, require: Require, port: u16) -> ClientConfig {
        let mut config = self.base.clone();
        config.alpn_protocols = require.offers().iter().map(|p| p.alpn().into()).collect();
        config.enable_early_data = false;
        // A whole configuration may have had its sessions turned off, which it cannot be asked: its store stays with one identity and
        // port, and the others do without.
        let first = *self.first_port.get_or_init(|| port);
        match (self.whole, (require, port) == (Require::Any, first)) {
            (false, _) => config.resumption = Resumption::in_memory_sessions(SESSIONS),
            (true, false) => config.resumption = Resumption::disabled(),
            (true, true) => {}
        }
        config
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
        let config = self.config(require, target.port());
        let name = server_name(target)?;
        let stream = TlsConnector::from(config)
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
