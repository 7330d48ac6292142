//! What the peer counts is what clients did.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::clients::{self, http1, http2};
use crate::support::certs;
use crate::support::peer::{Alpn, Peer, To};

#[tokio::test]
async fn one_connection_serves_many_requests_and_says_so() {
    let peer = Peer::builder().ips(3).start();
    let mut stream = http1(peer.addr(1)).await;
    for nth in ["1", "2", "3"] {
        let answer = clients::get(&mut stream, "/bytes/20000").await.unwrap();
        assert_eq!(answer.status(), 200);
        clients::assert_filler(&answer.body, 20000);
        assert_eq!(
            (answer.header("x-conn"), answer.header("x-nth")),
            (Some("1"), Some(nth))
        );
        assert_eq!(
            (answer.header("x-ip"), answer.header("x-proto")),
            (Some("127.0.0.2"), Some("h1"))
        );
    }
    let other = clients::get(&mut http1(peer.addr(2)).await, "/echo/me")
        .await
        .unwrap();
    assert_eq!(
        (other.body.as_slice(), other.header("x-conn")),
        (&b"me"[..], Some("2"))
    );

    let seen = peer.wait_for("the second one gone", |seen| seen.live == 1).await;
    assert_eq!(
        (seen.accepts, seen.hellos, seen.handshakes, seen.http1_requests),
        (2, 2, 2, 4)
    );
    assert_eq!(
        (
            seen.at(peer.ips()[0]).accepts,
            seen.at(peer.ips()[1]).http1_requests
        ),
        (0, 3)
    );
    drop(stream);
    peer.wait_for("the first one gone", |seen| seen.live == 0).await;
    assert_eq!(peer.shutdown().await.accepts, 2);
}

#[tokio::test]
async fn http2_streams_share_their_connection() {
    let peer = Peer::builder().max_streams(7).start();
    let client = http2(peer.addr(0)).await;
    let (one, two) = tokio::join!(client.get("/bytes/200000"), client.get("/chunked/5"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(
        (one.0, one.2.len(), two.2.as_slice()),
        (200, 200_000, &b"abcde"[..])
    );
    let texts = [&one.1["x-conn"], &two.1["x-conn"], &one.1["x-proto"]].map(|value| value.to_str().unwrap());
    assert_eq!(texts, ["1", "1", "h2"]);
    assert_eq!(client.send.current_max_send_streams(), 7);
    let seen = peer.seen();
    assert_eq!(
        (seen.accepts, seen.http2_requests, seen.http1_requests, seen.live),
        (1, 2, 0, 1)
    );
    drop(client.send);
    client.driver.await.unwrap().unwrap();
    peer.wait_for("its end", |seen| seen.live == 0 && seen.fins == 1)
        .await;
}

#[tokio::test]
async fn how_a_client_closes_is_told_apart() {
    let peer = Peer::start();
    let mut clean = http1(peer.addr(0)).await;
    clients::get(&mut clean, "/").await.unwrap();
    clean.shutdown().await.unwrap();
    let seen = peer.wait_for("the clean one gone", |seen| seen.live == 0).await;
    assert_eq!((seen.close_notifies, seen.fins, seen.resets), (1, 1, 0));

    let mut cut = http1(peer.addr(0)).await;
    clients::get(&mut cut, "/").await.unwrap();
    drop(cut);
    let seen = peer.wait_for("the cut one gone", |seen| seen.live == 0).await;
    assert_eq!((seen.close_notifies, seen.fins, seen.resets), (1, 2, 0));

    let mut reset = http1(peer.addr(0)).await;
    clients::get(&mut reset, "/").await.unwrap();
    socket2::SockRef::from(reset.get_ref().0)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(reset);
    let seen = peer.wait_for("the reset one gone", |seen| seen.live == 0).await;
    assert_eq!((seen.close_notifies, seen.fins, seen.resets), (1, 2, 1));
}

#[tokio::test]
async fn tcp_without_tls_is_no_handshake() {
    let peer = Peer::start();
    drop(TcpStream::connect(peer.addr(0)).await.unwrap());
    let seen = peer
        .wait_for("its end", |seen| seen.accepts == 1 && seen.live == 0)
        .await;
    assert_eq!(
        (seen.hellos, seen.handshakes, seen.handshakes_failed, seen.fins),
        (0, 0, 0, 1)
    );
}

#[tokio::test]
async fn each_bad_certificate_fails_the_handshake_on_both_sides() {
    let bad = [
        certs::expired(),
        certs::not_yet_valid(),
        certs::wrong_name(),
        certs::unknown_ca(),
        certs::self_signed(),
        certs::self_signed_ca(),
    ];
    let peer = Peer::start();
    let config = clients::trusting(&["http/1.1"]);
    for (nth, leaf) in (1..).zip(&bad) {
        peer.switch_certificate(To::All, leaf);
        let error = clients::dial(peer.addr(0), &config)
            .await
            .expect_err("a certificate to refuse");
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
        let seen = peer
            .wait_for("the failure", |seen| {
                seen.handshakes_failed == nth && seen.live == 0
            })
            .await;
        assert_eq!(seen.handshakes, 0);
    }
    peer.switch_certificate(
        To::All,
        &certs::authority().server_by_intermediate(&["peer.test"]),
    );
    clients::dial(peer.addr(0), &config).await.unwrap();
    let own = certs::self_signed();
    peer.switch_certificate(To::All, &own);
    clients::dial(peer.addr(0), &clients::config(own.as_root(), &["http/1.1"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn sessions_resume_unless_tickets_are_off() {
    for (tickets, resumed) in [(2, 2), (0, 0)] {
        let peer = Peer::builder().tickets(tickets).start();
        let config = clients::trusting(&["http/1.1"]);
        for _ in 0..3 {
            let mut stream = clients::dial(peer.addr(0), &config).await.unwrap();
            clients::get(&mut stream, "/").await.unwrap();
        }
        let seen = peer
            .wait_for("three handshakes", |seen| seen.handshakes == 3)
            .await;
        assert_eq!(seen.resumed, resumed);
        assert_eq!(
            peer.connections().iter().filter(|conn| conn.resumed).count() as u64,
            resumed
        );
    }
}

#[tokio::test]
async fn alpn_is_what_was_asked_for() {
    let both = &["h2", "http/1.1"][..];
    let cases = [
        (Alpn::Both, both, Some("h2")),
        (Alpn::Http1, both, Some("http/1.1")),
        (Alpn::Http2, both, Some("h2")),
        (Alpn::None, both, None),
        (Alpn::Both, &["http/1.1"], Some("http/1.1")),
    ];
    for (alpn, offered, agreed) in cases {
        let peer = Peer::builder().alpn(alpn).record_bytes().start();
        let stream = clients::dial(peer.addr(0), &clients::trusting(offered))
            .await
            .unwrap();
        assert_eq!(
            stream.get_ref().1.alpn_protocol(),
            agreed.map(str::as_bytes),
            "{alpn:?}"
        );
        peer.wait_for("the handshake", |seen| seen.handshakes == 1).await;
        let seen = peer.connections().remove(0);
        assert_eq!(
            (seen.sni.as_deref(), seen.alpn.as_deref()),
            (Some("peer.test"), agreed.map(str::as_bytes))
        );
        assert_eq!(
            seen.offered,
            offered
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect::<Vec<_>>()
        );
        // A TLS record of the handshake type whose length is the rest (RFC 8446, 5.1).
        let length = usize::from(u16::from_be_bytes([seen.hello[3], seen.hello[4]]));
        assert_eq!((seen.hello[0], length), (0x16, seen.hello.len() - 5));
    }
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    clients::dial(peer.addr(0), &clients::trusting(&["h2"]))
        .await
        .expect_err("no common protocol");
    peer.wait_for("the refusal", |seen| seen.handshakes_failed == 1)
        .await;
}

#[tokio::test]
async fn client_certificates_are_asked_for_and_seen() {
    let peer = Peer::builder()
        .client_auth(certs::unknown_authority().roots())
        .start();
    let leaf = certs::unknown_authority().client("me.test");
    let builder = rustls::ClientConfig::builder_with_provider(certs::provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(certs::authority().roots());
    let config = builder
        .with_client_auth_cert(leaf.chain.clone(), leaf.key())
        .unwrap()
        .into();
    let mut stream = clients::dial(peer.addr(0), &config).await.unwrap();
    clients::get(&mut stream, "/").await.unwrap();
    assert_eq!(peer.connections()[0].client_chain, vec![leaf.chain[0].to_vec()]);

    // TLS 1.3: the client's handshake is over before the server has judged it; the refusal shows in its first read.
    let mut nobody = clients::dial(peer.addr(0), &clients::trusting(&[]))
        .await
        .unwrap();
    assert!(clients::get(&mut nobody, "/").await.is_err());
    peer.wait_for("the refusal", |seen| seen.handshakes_failed == 1)
        .await;
}
