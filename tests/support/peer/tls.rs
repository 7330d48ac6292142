//! The TLS side of a peer: rustls server configurations.

use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::super::certs::{self, Leaf};
use super::Alpn;

/// What a builder says of TLS.
pub(super) struct Options {
    pub(super) alpn: Alpn,
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    pub(super) tickets: usize,
    pub(super) client_roots: Option<Arc<RootCertStore>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            alpn: Alpn::Both,
            versions: rustls::DEFAULT_VERSIONS,
            tickets: 2,
            client_roots: None,
        }
    }
}

/// Makes configurations that differ in their certificate alone.
pub(super) struct Maker(Options);

impl Maker {
    pub(super) fn new(options: Options) -> Self {
        Self(options)
    }

    /// A configuration with a session store of its own, shared by every connection that uses it.
    pub(super) fn make(&self, leaf: &Leaf) -> Arc<ServerConfig> {
        let options = &self.0;
        let builder = ServerConfig::builder_with_provider(certs::provider())
            .with_protocol_versions(options.versions)
            .expect("versions that the provider knows");
        let builder = match &options.client_roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.clone(), certs::provider()).build();
                builder.with_client_cert_verifier(verifier.expect("roots to verify clients by"))
            }
        };
        let mut config = builder
            .with_single_cert(leaf.chain.clone(), leaf.key())
            .expect("a chain and its key");
        config.send_tls13_tickets = options.tickets;
        if options.tickets == 0 {
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        config.alpn_protocols = match options.alpn {
            Alpn::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
            Alpn::Http2 => vec![b"h2".to_vec()],
            Alpn::None => Vec::new(),
        };
        Arc::new(config)
    }
}
