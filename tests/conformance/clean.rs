//! A connection is known to be between two exchanges, or it is closed: over real TLS.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use hotpool::{CloseReason, HotConn, HotConnPool, Returned, StaticResolver};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::identity::exchange::{exchange, run, within};
use crate::support::certs;
use crate::support::measure;
use crate::support::peer::{Alpn, DEADLINE, Order, Peer, To};

/// A peer that speaks HTTP/1.1, a pool that knows it, and its name.
fn stage() -> (Peer, HotConnPool, String) {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let name = format!("peer.test:{}", peer.port());
    let resolver = StaticResolver::new().with(name.as_str(), [Ipv4Addr::LOCALHOST.into()]);
    let pool = HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(resolver.expect("a target"));
    (peer, pool.build().expect("a pool"), name)
}

async fn lease(pool: &HotConnPool, name: &str) -> HotConn {
    within("a connection", pool.get(name))
        .await
        .expect("a connection")
}

async fn ask(conn: &mut HotConn, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: peer.test\r\n\r\n");
    conn.write_all(request.as_bytes()).await.expect("a request");
}

/// Puts it back: it must be closed for that reason, and the next connection is another.
async fn must_close(pool: &HotConnPool, name: &str, conn: HotConn, reason: CloseReason) {
    let serial = conn.info().serial;
    assert_eq!(pool.put(conn), Returned::Closed(reason));
    assert_eq!(pool.stats().counters.closes(reason), 1);
    assert_ne!(lease(pool, name).await.info().serial, serial);
}

#[test]
fn bytes_on_idle_close_it_with_their_own_reason() {
    run(async {
        let (peer, pool, name) = stage();
        let mut conn = lease(&pool, &name).await;
        exchange(&mut conn, "/").await;
        assert_eq!(pool.put(conn), Returned::Kept);
        let forged = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
        peer.order(To::All, Order::Send(forged));
        let seen = || pool.stats().counters.closes(CloseReason::StrayBytes) == 1;
        measure::eventually(DEADLINE, "stray bytes are noticed", seen).await;
        let mut next = lease(&pool, &name).await;
        assert_eq!(next.info().serial, 2);
        exchange(&mut next, "/").await;
    });
}

#[test]
fn half_read_body_is_closed_not_pooled() {
    run(async {
        let (_peer, pool, name) = stage();
        let mut conn = lease(&pool, &name).await;
        ask(&mut conn, "/partial/1000").await;
        let mut answer = Vec::new();
        // All that will ever come: nothing is left for a look to find.
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(within("the head", conn.read_u8()).await.expect("a byte"));
        }
        let half = within("half a body", conn.read_exact(&mut [0; 500])).await;
        half.expect("half a body");
        must_close(&pool, &name, conn, CloseReason::HalfRead).await;
    });
}

/// The peer answers without having read; the end of the request is still with TLS, and would go out before the next one.
#[test]
fn unflushed_request_is_closed_not_pooled() {
    run(async {
        let (peer, pool, name) = stage();
        let mut conn = lease(&pool, &name).await;
        peer.order(To::All, Order::Hang);
        let head = b"POST / HTTP/1.1\r\nhost: peer.test\r\ntransfer-encoding: chunked\r\n\r\n";
        conn.write_all(head).await.expect("a head");
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
        loop {
            within("a chunk", conn.write_all(&chunk)).await.expect("a chunk");
            let flush = poll_fn(|cx| Poll::Ready(Pin::new(&mut conn).poll_flush(cx)));
            if flush.await.is_pending() {
                break; // the socket takes no more, and TLS does
            }
        }
        within("the end", conn.write_all(b"0\r\n\r\n"))
            .await
            .expect("the end");
        let answer = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let mut read = vec![0; answer.len()];
        peer.order(To::All, Order::Send(answer));
        let whole = within("an answer", conn.read_exact(&mut read)).await;
        whole.expect("an answer");
        must_close(&pool, &name, conn, CloseReason::Unflushed).await;
    });
}

#[test]
fn upgraded_is_never_pooled() {
    run(async {
        let (_peer, pool, name) = stage();
        let mut conn = lease(&pool, &name).await;
        ask(&mut conn, "/upgrade").await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the head", conn.read_u8()).await.expect("a byte"));
        }
        // Both sides speak something else, and both have said all they had to say.
        conn.write_all(b"word").await.expect("a word");
        let echo = within("an echo", conn.read_exact(&mut [0; 4])).await;
        echo.expect("an echo");
        conn.assume_clean();
        must_close(&pool, &name, conn, CloseReason::Upgraded).await;
    });
}
