//! First connections: what goes over the wire has the browser's fingerprint, and the handshake goes through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hotpool::fingerprint::Ja4;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

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
        assert_eq!(connection.hellos(), [sent[0].hello.clone()]);
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
            let connection = Box::pin(inner.client().talk(Wire::new(tunnel))).await.unwrap();
            let within = connection.transport().hellos();
            let around = connection.transport().get_ref().transport().hellos();
            assert_eq!(Ja4::of(&within[0].hello).to_string(), inner.ja4(false));
            assert_eq!(Ja4::of(&around[0].hello).to_string(), outer.ja4(false));
            assert_eq!(within.len(), around.len());
        }
    }
}

/// A transport that shakes hands by itself at the first write, with the provider of a shape and without the shape.
enum Lazy {
    Begun(Pin<Box<dyn Future<Output = io::Result<TlsStream<Wire>>>>>),
    Done(Box<TlsStream<Wire>>),
}

impl Lazy {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<Wire>>>> {
        if let Lazy::Begun(handshake) = self {
            *self = Lazy::Done(Box::new(ready!(handshake.as_mut().poll(cx))?));
        }
        match self {
            Lazy::Begun(_) => unreachable!(),
            Lazy::Done(stream) => Poll::Ready(Ok(Pin::new(stream))),
        }
    }
}

impl AsyncRead for Lazy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Lazy {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll(cx))?.poll_shutdown(cx)
    }
}

/// What lies below shakes hands while a handshake above waits for it: it is none of that one's.
#[tokio::test]
async fn what_lies_below_is_left_alone() {
    for browser in BROWSERS {
        let (near, far) = tokio::io::duplex(1 << 16);
        let acceptor = TlsAcceptor::from(Arc::new(server(&[], &[&TLS13])));
        let behind = serve(&Arc::new(server(&[], &[&TLS13])));
        tokio::spawn(async move {
            let (mut tunnel, mut behind) = (acceptor.accept(far).await?, behind);
            tokio::io::copy_bidirectional(&mut tunnel, &mut behind).await
        });
        let client = browser.client();
        let connector = TlsConnector::from(Arc::clone(&client.config));
        let handshake = async move {
            let name = "peer.test".try_into().unwrap();
            connector.connect(name, Wire::new(near)).await
        };
        let connection = client.talk(Lazy::Begun(Box::pin(handshake))).await.unwrap();
        let Lazy::Done(below) = connection.transport() else {
            panic!("it was written to")
        };
        let below = Ja4::of(&below.get_ref().0.hellos()[0].hello).to_string();
        assert_ne!(below, browser.ja4(false));
        assert_eq!(Ja4::of(&connection.hellos()[0]).to_string(), browser.ja4(false));
    }
}
