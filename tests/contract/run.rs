//! A client whose provider takes notes, a stock server, and the bytes between them.

use std::sync::Arc;

use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::log::{Log, LoggedStore};
use crate::support::certs;

/// The groups that a browser offers, in its order.
pub(crate) const GROUPS: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

/// A handshake that took place.
pub(crate) struct Ran {
    /// What was asked of the client's provider.
    pub(crate) events: Vec<String>,
    /// Every chunk of the client's, as it was written.
    pub(crate) sent: Vec<u8>,
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

/// A client that takes notes.
pub(crate) fn client(log: &Log, with_certificate: bool) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(log.provider(&GROUPS))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(certs::authority().roots());
    let mut config = if with_certificate {
        let leaf = certs::authority().client("client");
        builder
            .with_client_auth_cert(leaf.chain.clone(), leaf.key())
            .unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.resumption = Resumption::store(Arc::new(LoggedStore {
        log: log.clone(),
        inner: ClientSessionMemoryCache::new(8),
    }));
    config
}

/// A stock server.
pub(crate) fn server(
    groups: &[&'static dyn SupportedKxGroup],
    version: &'static SupportedProtocolVersion,
    ask_for_certificate: bool,
) -> ServerConfig {
    let provider = Arc::new(CryptoProvider {
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    });
    let leaf = certs::good();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap();
    let builder = if ask_for_certificate {
        let roots = Arc::new(certs::authority().roots());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(leaf.chain.clone(), leaf.key()).unwrap()
}

/// Lets them shake hands, and the client read what the server sends after.
pub(crate) fn run(log: &Log, client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Ran {
    log.take();
    let mut client = ClientConnection::new(Arc::clone(client), "peer.test".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut sent = Vec::new();
    let mut settled = false;
    loop {
        let mut out = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut out).unwrap();
        }
        sent.extend_from_slice(&out);
        if !client.is_handshaking() && !std::mem::replace(&mut settled, true) {
            log.note("settled");
        }
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        let mut back = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        if out.is_empty() && back.is_empty() {
            break;
        }
        let mut rest = back.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ran {
        events: log.take(),
        sent,
        client,
        server,
    }
}

/// The type, version and content of each record, in front of what is encrypted.
pub(crate) fn records(mut bytes: &[u8]) -> Vec<(u8, u16, Vec<u8>)> {
    let mut records = Vec::new();
    while let [kind, v1, v0, l1, l0, rest @ ..] = bytes {
        let (content, after) = rest.split_at(usize::from(u16::from_be_bytes([*l1, *l0])));
        records.push((*kind, u16::from_be_bytes([*v1, *v0]), content.to_vec()));
        bytes = after;
    }
    records
}
