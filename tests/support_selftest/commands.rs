//! Each command does to a client what it says.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::{self, http1, http2};
use crate::support::peer::{Act, Alpn, Order, Peer, To, go_away};
use crate::within;

/// How long a client looks at something that must not come.
const QUIET: Duration = Duration::from_millis(100);

#[tokio::test]
async fn plans_are_met_in_order_by_their_address_and_then_are_over() {
    let peer = Peer::builder().ips(2).start();
    peer.next(To::Ip(peer.ips()[1]), 2, Act::ResetOnAccept);
    let config = clients::trusting(&["http/1.1"]);
    clients::dial(peer.addr(0), &config)
        .await
        .expect("no plan for the first address");
    for _ in 0..2 {
        let error = clients::dial(peer.addr(1), &config).await.expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    clients::dial(peer.addr(1), &config)
        .await
        .expect("the plan is over");
    let seen = peer.wait_for("all of them", |seen| seen.handshakes == 2).await;
    assert_eq!(
        (seen.at(peer.ips()[1]).accepts, seen.at(peer.ips()[1]).hellos),
        (3, 1)
    );
}

#[tokio::test]
async fn a_reset_in_mid_handshake_comes_after_the_hello() {
    let peer = Peer::start();
    peer.always(To::All, Act::ResetAfterHello);
    let error = clients::dial(peer.addr(0), &clients::trusting(&[]))
        .await
        .expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let seen = peer
        .wait_for("its end", |seen| seen.accepts == 1 && seen.live == 0)
        .await;
    assert_eq!((seen.hellos, seen.handshakes, seen.handshakes_failed), (1, 0, 0));
}

#[tokio::test]
async fn garbage_is_what_the_client_reads_after_its_hello() {
    let peer = Peer::start();
    peer.next(
        To::All,
        1,
        Act::Garbage(Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    );
    let error = clients::dial(peer.addr(0), &clients::trusting(&[]))
        .await
        .expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
}

#[tokio::test]
async fn stalls_stall_where_they_say_and_notice_the_client_leave() {
    let peer = Peer::start();
    let config = clients::trusting(&["http/1.1"]);
    for (accepts, act, hellos) in [(1, Act::StallOnAccept, 0), (2, Act::StallAfterHello, 1)] {
        peer.next(To::All, 1, act);
        let dial = clients::dial(peer.addr(0), &config);
        tokio::time::timeout(QUIET, dial)
            .await
            .expect_err("a dial that hangs");
        let seen = peer
            .wait_for("the client gone", |seen| {
                seen.accepts == accepts && seen.live == 0
            })
            .await;
        assert_eq!((seen.hellos, seen.handshakes, seen.fins), (hellos, 0, accepts));
    }
    peer.next(To::All, 1, Act::StallAfterHandshake);
    let mut stream = clients::dial(peer.addr(0), &config).await.unwrap();
    tokio::time::timeout(QUIET, clients::get(&mut stream, "/"))
        .await
        .expect_err("no answer");
    drop(stream);
    let seen = peer.wait_for("the client gone", |seen| seen.live == 0).await;
    assert_eq!((seen.handshakes, seen.requests()), (1, 0));
}

#[tokio::test]
async fn a_close_after_the_handshake_is_clean() {
    let peer = Peer::start();
    peer.next(To::All, 1, Act::CloseAfterHandshake);
    let mut stream = http1(peer.addr(0)).await;
    let (rest, ended) = within(clients::read_rest(&mut stream)).await;
    assert_eq!(rest, b"");
    ended.unwrap();
}

/// What a client reads after each order on an idle HTTP/1.1 connection: bytes, and how the stream ended.
#[tokio::test]
async fn orders_reach_idle_connections() {
    let stray = Bytes::from_static(b"stray");
    let cases = [
        (vec![Order::Close], &b""[..], Ok(())),
        (vec![Order::CloseNotify], b"", Ok(())),
        (vec![Order::HalfClose], b"", Err(ErrorKind::UnexpectedEof)),
        (vec![Order::Reset], b"", Err(ErrorKind::ConnectionReset)),
        (vec![Order::Send(stray.clone()), Order::Close], b"stray", Ok(())),
        (
            vec![Order::Hang, Order::Send(stray), Order::HalfClose],
            b"stray",
            Err(ErrorKind::UnexpectedEof),
        ),
    ];
    for (orders, bytes, end) in cases {
        let peer = Peer::start();
        let mut stream = http1(peer.addr(0)).await;
        clients::get(&mut stream, "/").await.unwrap();
        let mut read = Vec::new();
        for order in &orders {
            assert_eq!(peer.order(To::All, order.clone()), 1);
            // A half-close does not wait for bytes on their way: see them arrive first.
            if let Order::Send(bytes) = order {
                let mut arrived = vec![0; bytes.len()];
                within(stream.read_exact(&mut arrived)).await.unwrap();
                read = arrived;
            }
        }
        let (rest, ended) = within(clients::read_rest(&mut stream)).await;
        read.extend(rest);
        assert_eq!(
            (read.as_slice(), ended.map_err(|error| error.kind())),
            (bytes, end),
            "{orders:?}"
        );
        drop(stream);
        let seen = peer.wait_for("its end", |seen| seen.live == 0).await;
        assert_eq!(seen.accepts, 1);
    }
}

#[tokio::test]
async fn after_close_notify_alone_tcp_stays_open() {
    let peer = Peer::start();
    let mut stream = http1(peer.addr(0)).await;
    clients::get(&mut stream, "/").await.unwrap();
    peer.order(To::All, Order::CloseNotify);
    within(clients::read_rest(&mut stream)).await.1.unwrap();
    let (tcp, _) = stream.get_mut();
    let mut byte = [0];
    tokio::time::timeout(QUIET, tcp.read(&mut byte))
        .await
        .expect_err("no FIN");
    peer.order(To::All, Order::HalfClose);
    assert_eq!(within(tcp.read(&mut byte)).await.unwrap(), 0);
}

#[tokio::test]
async fn orders_can_be_for_one_address_or_one_connection() {
    let peer = Peer::builder().ips(2).start();
    let mut streams = [
        http1(peer.addr(0)).await,
        http1(peer.addr(1)).await,
        http1(peer.addr(1)).await,
    ];
    for (nth, stream) in streams.iter_mut().enumerate() {
        let answer = clients::get(stream, "/").await.unwrap();
        assert_eq!(answer.header("x-conn"), Some((nth + 1).to_string().as_str()));
    }
    assert_eq!(peer.order(To::Conn(2), Order::Close), 1);
    within(clients::read_rest(&mut streams[1])).await.1.unwrap();
    assert_eq!(peer.order(To::Ip(peer.ips()[0]), Order::Close), 1);
    within(clients::read_rest(&mut streams[0])).await.1.unwrap();
    clients::get(&mut streams[2], "/")
        .await
        .expect("nobody told the third");
    assert_eq!(peer.order(To::Conn(9), Order::Close), 0);
}

#[tokio::test]
async fn a_hung_connection_answers_after_it_resumes() {
    let peer = Peer::start();
    let mut stream = http1(peer.addr(0)).await;
    clients::get(&mut stream, "/").await.unwrap();
    peer.order(To::All, Order::Hang);
    stream
        .write_all(b"GET /echo/late HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    tokio::time::timeout(QUIET, stream.read_u8())
        .await
        .expect_err("silence");
    assert_eq!(peer.seen().requests(), 1);
    peer.order(To::All, Order::Resume);
    assert_eq!(
        within(clients::read_answer(&mut stream)).await.unwrap().body,
        b"late"
    );
}

#[tokio::test]
async fn held_answers_wait_for_their_release_and_delayed_ones_for_their_time() {
    let peer = Peer::start();
    for alpn in ["http/1.1", "h2"] {
        let before = peer.seen().requests();
        peer.hold(To::All);
        let get = async {
            match alpn {
                "h2" => http2(peer.addr(0))
                    .await
                    .get("/")
                    .await
                    .map(|_| ())
                    .map_err(std::io::Error::other),
                _ => clients::get(&mut http1(peer.addr(0)).await, "/")
                    .await
                    .map(|_| ()),
            }
        };
        let mut get = std::pin::pin!(get);
        tokio::select! {
            _ = &mut get => panic!("an answer in spite of the hold"),
            _ = peer.wait_for("the request", |seen| seen.requests() == before + 1) => {}
        }
        tokio::time::timeout(QUIET, &mut get).await.expect_err("held");
        peer.release(To::All);
        within(get).await.unwrap();
    }
    peer.delay(To::All, QUIET);
    let asked = tokio::time::Instant::now();
    clients::get(&mut http1(peer.addr(0)).await, "/").await.unwrap();
    assert!(asked.elapsed() >= QUIET);
}

#[tokio::test]
async fn a_go_away_reaches_the_client_and_the_connection_serves_on() {
    let peer = Peer::start();
    let client = http2(peer.addr(0)).await;
    client.get("/").await.unwrap();
    peer.order(To::All, go_away(0x7fff_ffff, 0));
    let told = within(async {
        loop {
            match client.get("/").await {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    });
    let error = told.await;
    assert!(error.is_go_away() && error.is_remote(), "{error:?}");
    assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    within(client.driver).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_go_away_below_an_open_stream_fails_that_stream_alone() {
    let peer = Peer::start();
    peer.hold(To::All);
    let client = http2(peer.addr(0)).await;
    let first = client.get("/echo/1");
    let mut first = std::pin::pin!(first);
    tokio::select! {
        _ = &mut first => panic!("an answer in spite of the hold"),
        _ = peer.wait_for("the first", |seen| seen.http2_requests == 1) => {}
    }
    let second = client.get("/echo/2");
    let mut second = std::pin::pin!(second);
    tokio::select! {
        _ = &mut second => panic!("an answer in spite of the hold"),
        _ = peer.wait_for("the second", |seen| seen.http2_requests == 2) => {}
    }
    peer.order(To::All, go_away(1, 0));
    let error = within(second).await.unwrap_err();
    assert!(error.is_go_away(), "{error:?}");
    peer.release(To::All);
    assert_eq!(within(first).await.unwrap().2, b"1");
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_counted() {
    let peer = Peer::start();
    peer.hold(To::All);
    let client = http2(peer.addr(0)).await;
    tokio::select! {
        _ = client.get("/") => panic!("an answer in spite of the hold"),
        _ = peer.wait_for("the request", |seen| seen.http2_requests == 1) => {}
    }
    peer.wait_for("the reset", |seen| seen.stream_resets == 1).await;
    // And in the midst of a body.
    peer.release(To::All);
    let half = tokio::time::timeout(QUIET, client.get("/partial/100"));
    half.await.expect_err("half a body");
    peer.wait_for("the reset", |seen| seen.stream_resets == 2).await;
}

#[tokio::test]
async fn refused_addresses_refuse_and_listen_again_at_the_same_port() {
    let peer = Peer::builder().ips(2).start();
    let mut old = http1(peer.addr(0)).await;
    for _ in 0..3 {
        peer.refuse(To::Ip(peer.ips()[0])).await;
        let error = TcpStream::connect(peer.addr(0)).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        http1(peer.addr(1)).await;
        clients::get(&mut old, "/")
            .await
            .expect("live connections live on");
        peer.listen(To::All).await;
        http1(peer.addr(0)).await;
    }
}

#[tokio::test]
async fn a_black_hole_swallows_connects_until_it_ends() {
    let peer = Peer::builder().ips(2).start();
    let mut old = http1(peer.addr(0)).await;
    peer.black_hole(To::Ip(peer.ips()[0])).await;
    let mut connect = std::pin::pin!(TcpStream::connect(peer.addr(0)));
    tokio::time::timeout(Duration::from_secs(2), &mut connect)
        .await
        .expect_err("a connect that hangs");
    http1(peer.addr(1)).await;
    clients::get(&mut old, "/")
        .await
        .expect("live connections live on");
    peer.listen(To::All).await;
    http1(peer.addr(0)).await;
    // The SYN that is sent again meets the listener.
    within(connect).await.expect("a connect that gets through");
    peer.black_hole(To::All).await;
    peer.refuse(To::All).await;
    let error = TcpStream::connect(peer.addr(1)).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn dropping_a_peer_closes_everything_at_once() {
    let peer = Peer::builder().ips(3).alpn(Alpn::Both).start();
    let address = peer.addr(2);
    let mut idle = http1(peer.addr(0)).await;
    clients::get(&mut idle, "/").await.unwrap();
    peer.next(To::All, 1, Act::StallOnAccept);
    let mut stalled = TcpStream::connect(peer.addr(1)).await.unwrap();
    peer.wait_for("both", |seen| seen.live == 2).await;
    drop(peer);
    assert!(!crate::support::measure::is_listening(address));
    within(clients::read_rest(&mut idle))
        .await
        .1
        .expect_err("an end without close_notify");
    assert_eq!(within(stalled.read(&mut [0])).await.unwrap(), 0);
    let error = TcpStream::connect(address).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
