//! First connections: what goes over the wire has the browser's fingerprint, and the handshake goes through.

use std::sync::Arc;

use hotpool::fingerprint::Ja4;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio_rustls::TlsAcceptor;

use crate::world::{BROWSERS, Browser, Wire, serve, server};

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

/// What goes out together does so on the wire: ChangeCipherSpec and Finished, and after a HelloRetryRequest ChangeCipherSpec and hello.
#[tokio::test]
async fn each_flight_is_one_write() {
    for browser in BROWSERS {
        for (groups, flights) in [(&[][..], 2), (&[kx_group::SECP384R1], 3)] {
            let config = Arc::new(server(groups, &[&TLS13]));
            let connection = browser.client().connect(serve(&config)).await.unwrap();
            let wire = connection.transport();
            let (sent, writes) = (wire.sent.lock(), wire.writes.lock());
            assert_eq!(writes.len(), flights, "{browser:?}: {writes:?}");
            let mut start = 0;
            let kinds = writes.iter().map(|len| {
                start += len;
                sent[start - len]
            });
            let kinds: Vec<u8> = kinds.collect();
            // A hello alone, and then a ChangeCipherSpec before whatever is first.
            assert_eq!(kinds[..2], [22, 20]);
        }
    }
}

/// A proxy is talked to over TLS, and the server behind it over TLS within.
#[tokio::test]
async fn one_within_another() {
    for (outer, inner) in [
        (Browser::Chromium, Browser::Firefox),
        (Browser::Firefox, Browser::Chromium),
        (Browser::Firefox, Browser::Firefox),
    ] {
        for groups in [&[][..], &[kx_group::SECP384R1]] {
            let (near, far) = tokio::io::duplex(1 << 16);
            let acceptor = TlsAcceptor::from(Arc::new(server(groups, &[&TLS13])));
            let behind = serve(&Arc::new(server(groups, &[&TLS13])));
            tokio::spawn(async move {
                let (mut tunnel, mut behind) = (acceptor.accept(far).await?, behind);
                tokio::io::copy_bidirectional(&mut tunnel, &mut behind).await
            });
            let tunnel = outer.client().connect(Wire::new(near)).await.unwrap();
            let connection = inner.client().talk(Wire::new(tunnel)).await.unwrap();
            let within = connection.transport().hellos();
            let around = connection.transport().get_ref().transport().hellos();
            assert_eq!(Ja4::of(&within[0].hello).to_string(), inner.ja4(false));
            assert_eq!(Ja4::of(&around[0].hello).to_string(), outer.ja4(false));
            assert_eq!(within.len(), around.len());
        }
    }
}
