//! What happens to a connection while it lies idle is noticed before anybody is handed it.

use std::time::Duration;

use bytes::Bytes;
use hotpool::{CloseReason, HotConnPool, RetrySafety, Returned, ReuseCheck};
use tokio::io::AsyncWriteExt;

use crate::common::{finish, http1_peer, name, pool, round};
use crate::support::measure;
use crate::support::peer::{Order, Peer, To};

/// Takes and puts back what is idle until none is left: the news has to cross loopback.
async fn drained(pool: &HotConnPool, name: &str) {
    let gone = || pool.try_get(name).unwrap().is_none();
    measure::eventually(Duration::from_secs(5), "the idle one is found out", gone).await;
}

async fn idle(peer: &Peer) -> (HotConnPool, String) {
    let (pool, name) = (pool(peer, |_| {}), name(peer));
    assert_eq!(round(&pool, &name).await.conn, 1);
    assert_eq!(pool.stats().idle, 1);
    (pool, name)
}

/// Whatever way a peer ends an idle connection, the next get has another one and no error.
#[tokio::test]
async fn closed_by_the_peer_the_next_get_dials_anew() {
    for order in [Order::Close, Order::CloseNotify, Order::HalfClose, Order::Reset] {
        let peer = http1_peer();
        let (pool, name) = idle(&peer).await;
        peer.order(To::All, order.clone());
        drained(&pool, &name).await;
        let answer = round(&pool, &name).await;
        assert_eq!((answer.conn, answer.nth), (2, 1), "{order:?}");
        let counters = pool.stats().counters;
        assert_eq!(counters.closes(CloseReason::PeerClosed), 1, "{order:?}");
        finish(pool, peer).await;
    }
}

/// Bytes that nobody asked for close the connection with a reason of their own; no caller ever reads them.
#[tokio::test]
async fn stray_bytes_close_it_and_reach_nobody() {
    let peer = http1_peer();
    let (pool, name) = idle(&peer).await;
    let forged =
        Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-conn: 9\r\nx-nth: 9\r\n\r\nevil");
    peer.order(To::All, Order::Send(forged));
    drained(&pool, &name).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::StrayBytes), 1);
    peer.wait_for("it is gone at the peer too", |seen| seen.live == 0)
        .await;
    assert_eq!(round(&pool, &name).await.body, b"hello");
    finish(pool, peer).await;
}

/// The tickets that TLS 1.3 sends after its handshake are no application bytes.
#[tokio::test]
async fn tickets_are_not_stray_bytes() {
    let peer = Peer::builder()
        .alpn(crate::support::peer::Alpn::Http1)
        .tickets(8)
        .start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    for _ in 0..20 {
        drop(pool.get(&name).await.unwrap());
        crate::common::let_run().await;
    }
    assert_eq!(round(&pool, &name).await.nth, 1);
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// The first request of a connection finds them in the socket, and goes out.
#[tokio::test]
async fn peeking_takes_tickets_for_what_they_are() {
    for tickets in [0, 1, 8] {
        let peer = Peer::builder()
            .alpn(crate::support::peer::Alpn::Http1)
            .tickets(tickets)
            .start();
        let (pool, name) = (
            pool(&peer, |config| config.reuse_check = ReuseCheck::Peek),
            name(&peer),
        );
        for conn in 1..=20 {
            let mut lease = pool.get(&name).await.unwrap();
            // The reactor has seen nothing of what came since.
            std::thread::sleep(Duration::from_millis(2));
            assert_eq!(crate::common::use_up(&mut lease, "/").await.conn, conn);
            lease.discard();
        }
        finish(pool, peer).await;
    }
}

/// An end that the reactor has not seen yet is seen before the request is written.
#[tokio::test]
async fn peeking_sees_an_end_before_the_request_is_written() {
    for order in [Order::Close, Order::CloseNotify, Order::HalfClose, Order::Reset] {
        let peer = http1_peer();
        let pool = pool(&peer, |config| config.reuse_check = ReuseCheck::Peek);
        // The peer has a thread of its own: waits longer until the end has come in time.
        for wait in 0.. {
            let mut conn = pool.get(name(&peer)).await.unwrap();
            peer.order(To::All, order.clone());
            std::thread::sleep(Duration::from_millis(1 << wait));
            let Err(error) = conn.write(b"GET / HTTP/1.1\r\n\r\n").await else {
                assert!(wait < 12, "{order:?} is not seen");
                conn.discard();
                continue;
            };
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted, "{order:?}");
            assert_eq!(conn.retry_safety(), RetrySafety::NeverSent);
            assert_eq!(
                pool.put(conn),
                Returned::Closed(CloseReason::PeerClosed),
                "{order:?}"
            );
            break;
        }
        finish(pool, peer).await;
    }
}

/// Of several idle ones the dead are skipped and the living is found, in one get.
#[tokio::test]
async fn one_get_skips_every_dead_one() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut leases = Vec::new();
    for _ in 0..4 {
        let mut conn = pool.get(&name).await.unwrap();
        crate::common::use_up(&mut conn, "/").await;
        leases.push(conn);
    }
    leases.into_iter().for_each(drop); // the last one put back is handed out first
    for serial in [2, 3, 4] {
        peer.order(To::Conn(serial), Order::Reset);
    }
    peer.wait_for("the peer let go of three", |seen| seen.live == 1)
        .await;
    let mut answer = round(&pool, &name).await;
    if answer.conn != 1 {
        answer = round(&pool, &name).await;
    }
    assert_eq!(answer.conn, 1);
    assert_eq!(peer.seen().accepts, 4);
    finish(pool, peer).await;
}
