//! A connection that was put back clean is the one that is handed out next; any other is closed, and its fate is told.

use hotpool::{CloseReason, ErrorKind, Phase, Protocol, RetrySafety, Returned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{finish, http1_peer, name, pool, round, use_up, within};
use crate::support::peer::{Alpn, Order, Peer, To};

#[tokio::test]
async fn put_then_get_returns_the_same_http1_connection() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut serials = Vec::new();
    for nth in 1..=5 {
        let mut conn = pool.get(&name).await.unwrap();
        assert_eq!(conn.protocol(), Protocol::Http1);
        let answer = use_up(&mut conn, "/echo/word").await;
        assert_eq!((answer.conn, answer.nth), (1, nth));
        assert_eq!(answer.body, b"word");
        serials.push(conn.info().serial);
        assert_eq!(pool.put(conn), Returned::Kept);
        pool.manager().assert_invariants();
    }
    assert_eq!(serials, [1; 5]);
    assert_eq!(peer.seen().accepts, 1);
    let counters = pool.stats().counters;
    assert_eq!((counters.gets, counters.hits, counters.opened), (5, 4, 1));
    finish(pool, peer).await;
}

#[tokio::test]
async fn put_then_get_returns_the_same_http2_connection() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    for nth in 1..=5 {
        let mut conn = pool.get(&name).await.unwrap();
        assert_eq!(conn.protocol(), Protocol::Http2);
        let answer = use_up(&mut conn, "/").await;
        assert_eq!((answer.conn, answer.nth), (1, nth));
        assert_eq!(pool.put(conn), Returned::Kept);
    }
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

#[tokio::test]
async fn untouched_is_kept_by_put_and_by_drop() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let conn = pool.get(&name).await.unwrap();
    assert_eq!(pool.put(conn), Returned::Kept);
    drop(pool.get(&name).await.unwrap());
    assert_eq!(pool.stats().idle, 1);
    assert_eq!(round(&pool, &name).await.nth, 1);
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// What came of a connection is known from what passed; nobody has to vouch.
#[tokio::test]
async fn a_whole_exchange_is_kept_by_put_and_by_drop() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    for (nth, path) in [
        "/",
        "/bytes/0",
        "/bytes/70000",
        "/chunked/70000",
        "/hints",
        "/status/204",
    ]
    .into_iter()
    .enumerate()
    {
        let mut conn = pool.get(&name).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: peer.test\r\n\r\n");
        conn.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(conn.retry_safety(), RetrySafety::Sent);
        // The end is where the framing says: from there on, nothing is left to read.
        let mut piece = vec![0; 1000];
        while !conn.is_clean() {
            assert!(
                within("the answer", conn.read(&mut piece)).await.unwrap() > 0,
                "{path}"
            );
        }
        match nth % 2 {
            0 => assert_eq!(pool.put(conn), Returned::Kept, "{path}"),
            _ => drop(conn),
        }
    }
    assert_eq!((peer.seen().accepts, peer.seen().requests()), (1, 6));
    finish(pool, peer).await;
}

/// Many exchanges in one lease, then another lease.
#[tokio::test]
async fn one_lease_may_carry_many_exchanges() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = pool.get(&name).await.unwrap();
    for nth in 1..=5 {
        assert_eq!(use_up(&mut conn, "/").await.nth, nth);
    }
    assert_eq!(pool.put(conn), Returned::Kept);
    assert_eq!(round(&pool, &name).await.nth, 6);
    finish(pool, peer).await;
}

/// One line for each way an exchange does not come to its end, or comes to more than that.
#[tokio::test]
async fn what_is_not_over_is_closed_by_name() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: peer.test\r\n\r\n");
    let expect = "expect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let cases = [
        ("G".to_owned(), 0, CloseReason::HalfSent),
        (
            "POST /read HTTP/1.1\r\ncontent-length: 5\r\n\r\nhell".to_owned(),
            0,
            CloseReason::HalfSent,
        ),
        // Told to go on, and not gone on.
        (
            format!("POST /read HTTP/1.1\r\n{expect}"),
            25,
            CloseReason::HalfSent,
        ),
        // Answered before the body that was announced.
        (
            format!("POST /early HTTP/1.1\r\n{expect}"),
            usize::MAX,
            CloseReason::HalfSent,
        ),
        (get("/"), 0, CloseReason::HalfRead),
        (get("/"), 20, CloseReason::HalfRead),
        (get("/partial/100"), usize::MAX, CloseReason::HalfRead),
        (get("/eof/0"), 20, CloseReason::HalfRead),
        (get("/close"), usize::MAX, CloseReason::ConnectionClose),
        (get("/upgrade"), usize::MAX, CloseReason::Upgraded),
        (get("/extra/7"), usize::MAX, CloseReason::StrayBytes),
        (get("/") + &get("/"), 0, CloseReason::Pipelined),
        ("nonsense\r\n\r\n".to_owned(), 0, CloseReason::NotFollowed),
    ];
    for (request, read, reason) in cases {
        let peer = http1_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut conn = pool.get(&name).await.unwrap();
        conn.write_all(request.as_bytes()).await.unwrap();
        match read {
            0 => {}
            usize::MAX => {
                let mut answer = [0; 4096];
                within("an answer", conn.read(&mut answer)).await.unwrap();
            }
            _ => {
                _ = within("some bytes", conn.read_exact(&mut vec![0; read]))
                    .await
                    .unwrap()
            }
        }
        assert_eq!(pool.put(conn), Returned::Closed(reason), "{request:?}");
        assert_eq!(pool.stats().counters.closes(reason), 1);
        finish(pool, peer).await;
    }
}

/// What was seen to be unfinished is closed, whatever the caller says.
#[tokio::test]
async fn a_half_read_answer_is_closed_whatever_the_caller_vouches() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = pool.get(&name).await.unwrap();
    conn.write_all(b"GET /bytes/5000 HTTP/1.1\r\nhost: peer.test\r\n\r\n")
        .await
        .unwrap();
    conn.read_u8().await.unwrap();
    conn.assume_clean();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::HalfRead));
    assert_eq!(pool.size(), 0);
    finish(pool, peer).await;
}

/// Answers that come while nothing is asked for reach nobody: the read fails, and so does all that follows.
#[tokio::test]
async fn bytes_before_the_request_are_an_error_and_are_not_read() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = pool.get(&name).await.unwrap();
    peer.wait_for("its side stands, too", |seen| seen.handshakes == 1)
        .await;
    peer.order(
        To::All,
        Order::Send(bytes::Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n")),
    );
    let mut buffer = [0; 64];
    let error = within("the error", conn.read(&mut buffer)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(buffer, [0; 64]);
    assert!(conn.read(&mut buffer).await.is_err());
    assert!(conn.write(b"GET / HTTP/1.1\r\n\r\n").await.is_err());
    assert_eq!(buffer, [0; 64]);
    conn.assume_clean();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::StrayBytes));
    finish(pool, peer).await;
}

#[tokio::test]
async fn discard_closes_and_the_next_get_dials() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut conn = pool.get(&name).await.unwrap();
        use_up(&mut conn, "/").await;
        conn.discard();
        assert_eq!(pool.size(), 0);
        peer.wait_for("the discarded one is gone", |seen| seen.live == 0)
            .await;
        assert_eq!(pool.stats().counters.closes(CloseReason::Discarded), 1);
        assert_eq!(round(&pool, &name).await.conn, 2);
        finish(pool, peer).await;
    }
}

/// A protocol of one's own is not followed: there the caller's word counts.
#[tokio::test]
async fn another_protocol_is_kept_by_the_caller_s_word_alone() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    for (vouch, expected) in [
        (true, Returned::Kept),
        (false, Returned::Closed(CloseReason::NotFollowed)),
    ] {
        let mut conn = pool.get(&name).await.unwrap();
        peer.wait_for("its side stands, too", |seen| seen.handshakes == seen.accepts)
            .await;
        peer.order(To::All, Order::Hang);
        conn.write_all(b"PING 1\n").await.unwrap();
        peer.order(To::All, Order::Send(bytes::Bytes::from_static(b"PONG 1\n")));
        within("its answer", conn.read_exact(&mut [0; 7])).await.unwrap();
        if vouch {
            conn.assume_clean();
        }
        assert_eq!(pool.put(conn), expected);
    }
    finish(pool, peer).await;
}

/// An end or an error met in use is not forgiven by vouching.
#[tokio::test]
async fn an_end_or_an_error_in_use_closes() {
    let ends = [
        (Order::Close, CloseReason::PeerClosed),
        (Order::HalfClose, CloseReason::PeerClosed),
        (Order::Reset, CloseReason::PeerClosed),
    ];
    for (order, reason) in ends {
        let peer = http1_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut conn = pool.get(&name).await.unwrap();
        use_up(&mut conn, "/").await;
        peer.order(To::All, order.clone());
        let mut rest = Vec::new();
        let read = within("the end", conn.read_to_end(&mut rest)).await;
        assert_eq!((read.unwrap_or(0), rest.len()), (0, 0), "{order:?}");
        conn.assume_clean();
        assert_eq!(pool.put(conn), Returned::Closed(reason), "{order:?}");
        finish(pool, peer).await;
    }
}

/// The end came while the caller was not reading: seen when it comes home.
#[tokio::test]
async fn what_the_peer_closed_while_leased_does_not_stay() {
    for order in [Order::Close, Order::CloseNotify, Order::HalfClose, Order::Reset] {
        let peer = http1_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut conn = pool.get(&name).await.unwrap();
        use_up(&mut conn, "/").await;
        let mut other = pool.get(&name).await.unwrap();
        peer.order(To::Conn(1), order.clone());
        // By the time the other has its answer, which the peer sent later, the end has arrived.
        use_up(&mut other, "/").await;
        let mut returned = pool.put(conn);
        // Two sockets have no order between them; what was kept too early is found out at hand-out.
        if returned == Returned::Kept {
            crate::support::measure::eventually(std::time::Duration::from_secs(5), "the end is seen", || {
                returned = match pool.try_get(&name).unwrap() {
                    Some(again) => pool.put(again),
                    None => Returned::Closed(CloseReason::PeerClosed),
                };
                returned != Returned::Kept
            })
            .await;
        }
        assert_eq!(returned, Returned::Closed(CloseReason::PeerClosed), "{order:?}");
        drop(other);
        finish(pool, peer).await;
    }
}

/// Shutting down one's own side ends the connection for everybody.
#[tokio::test]
async fn shut_down_by_the_caller_is_closed() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = pool.get(&name).await.unwrap();
    conn.shutdown().await.unwrap();
    conn.assume_clean();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::Discarded));
    peer.wait_for("a goodbye", |seen| seen.close_notifies == 1).await;
    finish(pool, peer).await;
}

/// What closes says goodbye (close_notify) before it goes.
#[tokio::test]
async fn closing_says_goodbye() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = pool.get(&name).await.unwrap();
    use_up(&mut conn, "/").await;
    conn.discard();
    peer.wait_for("close_notify, then the end", |seen| {
        (seen.close_notifies, seen.live) == (1, 0)
    })
    .await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn try_get_takes_what_is_idle_and_never_dials() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    assert!(pool.try_get(&name).unwrap().is_none(), "an unknown host");
    round(&pool, &name).await;
    let conn = pool.try_get(&name).unwrap().expect("the idle one");
    assert_eq!(conn.info().serial, 1);
    assert!(pool.try_get(&name).unwrap().is_none(), "the only one is out");
    crate::common::let_run().await;
    let stats = pool.stats();
    assert_eq!((stats.dialling, stats.waiting, stats.total), (0, 0, 1));
    assert_eq!(peer.seen().accepts, 1);
    drop(conn);
    finish(pool, peer).await;
}

#[tokio::test]
async fn after_close_nothing_is_handed_out_and_nothing_stays() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let leased = pool.get(&name).await.unwrap();
    let closing = crate::common::spawn({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    crate::common::let_run().await;
    for error in [
        pool.get(&name).await.unwrap_err(),
        pool.try_get(&name).unwrap_err(),
        pool.get("unheard.of.test").await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Closed, Phase::Acquire));
    }
    assert_eq!(
        pool.get(&name).await.unwrap_err().target(),
        Some(name.as_str()),
        "it names its target"
    );
    assert_eq!(pool.put(leased), Returned::Closed(CloseReason::PoolClosed));
    let report = within("close", closing).await.unwrap();
    assert_eq!((report.closed, report.leases_left), (1, 0));
    finish(pool, peer).await;
}
