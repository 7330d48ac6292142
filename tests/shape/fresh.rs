//! First connections: what goes over the wire has the browser's fingerprint, and the handshake goes through.

use std::sync::Arc;

use hotpool::fingerprint::Ja4;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};

use crate::world::{BROWSERS, serve, server};

#[tokio::test]
async fn tls13() {
    for browser in BROWSERS {
        let client = browser.client();
        let config = Arc::new(server(&[], &[&TLS13, &TLS12]));
        let connection = client.talk(serve(&config)).await.unwrap();
        let session = connection.session();
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(
            session.negotiated_key_exchange_group().unwrap().name(),
            NamedGroup::X25519MLKEM768
        );
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        let sent = connection.transport().hellos();
        assert_eq!(sent.len(), 1);
        assert_eq!(Ja4::of(&sent[0].hello).to_string(), browser.ja4(false));
        assert_eq!(connection.hellos, [sent[0].hello.clone()]);
        assert_eq!((sent[0].records.len(), sent[0].records[0].version), (1, 0x0301));
    }
}

#[tokio::test]
async fn tls12() {
    for browser in BROWSERS {
        let client = browser.client();
        let config = Arc::new(server(&[], &[&TLS12]));
        let connection = client.talk(serve(&config)).await.unwrap();
        assert_eq!(
            connection.session().protocol_version(),
            Some(ProtocolVersion::TLSv1_2)
        );
        let sent = connection.transport().hellos();
        assert_eq!(Ja4::of(&sent[0].hello).to_string(), browser.ja4(false));
    }
}
