//! HTTP/2: one connection for many leases, as many as its peer allows, and another when it is full or on its way out.

use std::io;
use std::time::Duration;

use hotpool::{CloseReason, ErrorKind, H2Growth, HotConn, HotConnPool, Phase, PoolConfig, Returned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    at_rest, exchange, finish, http1_peer, let_run, manual_pool, name, pool, round, spawn, until, use_up,
    within,
};
use crate::support::peer::{Alpn, Order, Peer, To, go_away};

fn http2_peer() -> Peer {
    Peer::builder().alpn(Alpn::Http2).start()
}

fn allowing(streams: u32) -> Peer {
    Peer::builder().alpn(Alpn::Http2).max_streams(streams).start()
}

async fn lease(pool: &HotConnPool, name: &str) -> HotConn {
    within("a lease", pool.get(name)).await.unwrap()
}

async fn leases(pool: &HotConnPool, name: &str, count: usize) -> Vec<HotConn> {
    let mut leases = Vec::new();
    for _ in 0..count {
        leases.push(lease(pool, name).await);
    }
    leases
}

/// As [`leases`], each of a connection whose SETTINGS have come: until then it is taken to allow 100.
async fn settled_leases(pool: &HotConnPool, name: &str, count: usize) -> Vec<HotConn> {
    let mut leases = Vec::new();
    for _ in 0..count {
        let mut conn = lease(pool, name).await;
        use_up(&mut conn, "/").await;
        leases.push(conn);
    }
    leases
}

/// Which connection each lease is of.
fn serials(leases: &[HotConn]) -> Vec<u64> {
    leases.iter().map(|conn| conn.info().serial).collect()
}

#[tokio::test]
async fn a_hundred_leases_share_one_connection() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let leased = leases(&pool, &name, 100).await;
    assert_eq!(serials(&leased), [1; 100]);
    let stats = pool.stats();
    assert_eq!((stats.total, stats.active, stats.leases), (1, 1, 100));
    peer.hold(To::All);
    let asking: Vec<_> = leased
        .into_iter()
        .map(|mut conn| spawn(async move { use_up(&mut conn, "/").await.conn }))
        .collect();
    peer.wait_for("a hundred streams at once", |seen| seen.http2_requests == 100)
        .await;
    peer.release(To::All);
    for asked in asking {
        assert_eq!(within("an answer", asked).await.unwrap(), 1);
    }
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// Cold: a crowd that comes before anything is known of the host is served by one dial.
#[tokio::test]
async fn a_crowd_at_a_cold_host_dials_once() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let (pool, name) = (pool.clone(), name.clone());
            spawn(async move { lease(&pool, &name).await })
        })
        .collect();
    let mut leased = Vec::new();
    for caller in crowd {
        leased.push(within("a lease", caller).await.unwrap());
    }
    assert_eq!(serials(&leased), [1; 100]);
    assert_eq!(peer.seen().accepts, 1);
    drop(leased);
    finish(pool, peer).await;
}

/// What the peer allows is what is leased; a full connection gets a second beside it. 100 is a special number: it is what is
/// assumed before SETTINGS, and they must be noticed all the same.
#[tokio::test]
async fn the_peers_limit_is_kept_and_growth_follows() {
    for allowed in [1, 3, 99, 100] {
        let peer = allowing(allowed);
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        // Its answer comes after its SETTINGS: from here on they are known.
        round(&pool, &name).await;
        let allowed = usize::try_from(allowed).unwrap();
        let leased = leases(&pool, &name, allowed + 1).await;
        let of_first = serials(&leased).iter().filter(|&&serial| serial == 1).count();
        assert_eq!((of_first, peer.seen().accepts), (allowed, 2));
        drop(leased);
        finish(pool, peer).await;
    }
}

/// More than the pool's own limit is not leased, whatever the peer allows.
#[tokio::test]
async fn the_pools_own_limit_is_kept() {
    let peer = allowing(1000);
    let (pool, name) = (pool(&peer, |config| config.h2_max_streams = 2), name(&peer));
    let leased = leases(&pool, &name, 5).await;
    assert_eq!(serials(&leased), [1, 1, 2, 2, 3]);
    drop(leased);
    finish(pool, peer).await;
}

/// At the cap of connections whoever finds all full waits, and is served when a lease comes home.
#[tokio::test]
async fn full_up_to_the_cap_leases_wait() {
    let caps: [fn(&mut PoolConfig); 2] = [
        |config| config.max_per_host = 2,
        |config| config.h2_growth = H2Growth::Single,
    ];
    for (cap, connections) in caps.into_iter().zip([2, 1]) {
        let peer = allowing(3);
        let (pool, name) = (pool(&peer, cap), name(&peer));
        let mut leased = settled_leases(&pool, &name, 3 * connections).await;
        let waiting = {
            let (pool, name) = (pool.clone(), name.clone());
            spawn(async move { lease(&pool, &name).await })
        };
        until(&pool, "one waits", |stats| stats.waiting == 1).await;
        let_run().await;
        assert_eq!(peer.seen().accepts as usize, connections);
        let freed = leased.remove(0);
        let serial = freed.info().serial;
        assert_eq!(pool.put(freed), Returned::Kept);
        leased.push(within("the freed place", waiting).await.unwrap());
        assert_eq!(leased.last().unwrap().info().serial, serial);
        drop(leased);
        finish(pool, peer).await;
    }
}

/// When the one is full, the next is opened on an address that has none.
#[tokio::test]
async fn growth_per_ip_opens_one_on_each_address() {
    let peer = Peer::builder().ips(3).alpn(Alpn::Http2).max_streams(2).start();
    let (pool, name) = (
        pool(&peer, |config| config.h2_growth = H2Growth::PerIp),
        name(&peer),
    );
    round(&pool, &name).await;
    let leased = settled_leases(&pool, &name, 6).await;
    let seen = peer.seen();
    let by_ip: Vec<u64> = peer.ips().iter().map(|&ip| seen.at(ip).accepts).collect();
    assert_eq!(by_ip, [1, 1, 1]);
    drop(leased);
    finish(pool, peer).await;
}

/// Nobody asks for anything: a connection that ended leaves the pool by itself.
#[tokio::test]
async fn an_ended_connection_leaves_by_itself() {
    for order in [Order::Close, Order::HalfClose, Order::Reset] {
        let peer = http2_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        round(&pool, &name).await;
        peer.order(To::All, order.clone());
        let stats = until(&pool, "it is gone", |stats| stats.total == 0).await;
        assert_eq!(stats.counters.closes(CloseReason::PeerClosed), 1, "{order:?}");
        peer.wait_for("gone at the peer", |seen| seen.live == 0).await;
        assert_eq!(round(&pool, &name).await.conn, 2);
        finish(pool, peer).await;
    }
}

/// It ended with leases out: they say so when they are used and when they come home, and it counts as live no longer.
#[tokio::test]
async fn an_ended_connection_with_leases_out() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let mut leased = leases(&pool, &name, 3).await;
    use_up(&mut leased[0], "/").await;
    peer.order(To::All, Order::Reset);
    until(&pool, "it is gone", |stats| stats.total == 0).await;
    pool.manager().assert_invariants();
    assert_eq!(pool.stats().leases, 3);
    // Its place is free: another takes it at once.
    assert_eq!(round(&pool, &name).await.conn, 2);
    within("an error", exchange(&mut leased[0], "/"))
        .await
        .unwrap_err();
    for conn in leased {
        assert_eq!(pool.put(conn), Returned::Closed(CloseReason::PeerClosed));
    }
    finish(pool, peer).await;
}

/// It ended between the grant and the moment the caller looked: the caller has another, and no error.
#[tokio::test]
async fn ended_between_grant_and_use() {
    let peer = allowing(1);
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    round(&pool, &name).await;
    let leased = lease(&pool, &name).await;
    let mut waiting = Box::pin(pool.get(&name));
    assert!(crate::common::poll_times(waiting.as_mut(), 5).await.is_none());
    drop(leased); // granted, and not looked at yet
    assert_eq!(pool.stats().leases, 1);
    peer.order(To::All, Order::Reset);
    until(&pool, "it is gone", |stats| stats.total == 0).await;
    let mut conn = within("another", waiting).await.unwrap();
    assert_eq!(use_up(&mut conn, "/").await.conn, 2);
    drop(conn);
    finish(pool, peer).await;
}

/// GOAWAY while streams are open: new gets go elsewhere at once, the old streams finish, then it is closed.
#[tokio::test]
async fn going_away_lets_streams_finish() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut old = lease(&pool, &name).await;
    peer.hold(To::All);
    let asking = spawn(async move {
        let answer = use_up(&mut old, "/echo/finished").await;
        (old, answer)
    });
    peer.wait_for("the stream is open", |seen| seen.http2_requests == 1)
        .await;
    peer.order(To::Conn(1), go_away(0x7fff_ffff, 0));
    let mut new = lease(&pool, &name).await;
    // The frame has to cross loopback: until then the old one is as good.
    while new.info().serial == 1 {
        drop(new);
        let_run().await;
        new = lease(&pool, &name).await;
    }
    assert_eq!(pool.size(), 2);
    peer.release(To::All);
    let (old, answer) = within("the old stream", asking).await.unwrap();
    assert_eq!((answer.conn, answer.body.as_slice()), (1, &b"finished"[..]));
    assert_eq!(use_up(&mut new, "/").await.conn, 2);
    assert_eq!(pool.put(old), Returned::Closed(CloseReason::GoAway));
    peer.wait_for("the old one is gone", |seen| seen.live == 1).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::GoAway), 1);
    drop(new);
    finish(pool, peer).await;
}

/// GOAWAY on an idle connection: it leaves the pool by itself, with that reason.
#[tokio::test]
async fn going_away_while_idle() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    round(&pool, &name).await;
    peer.order(To::All, go_away(1, 0));
    let stats = until(&pool, "it is gone", |stats| stats.total == 0).await;
    assert_eq!(stats.counters.closes(CloseReason::GoAway), 1);
    peer.wait_for("gone at the peer", |seen| seen.live == 0).await;
    assert_eq!(round(&pool, &name).await.conn, 2);
    finish(pool, peer).await;
}

/// An exchange that is given up resets its stream and harms nobody else on the connection.
#[tokio::test]
async fn giving_up_resets_one_stream() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut other = lease(&pool, &name).await;
    let mut conn = lease(&pool, &name).await;
    peer.hold(To::All);
    assert!(
        crate::common::poll_times(exchange(&mut conn, "/"), 50)
            .await
            .is_none(),
        "the answer is held back"
    );
    peer.wait_for("the reset", |seen| seen.stream_resets == 1).await;
    peer.release(To::All);
    assert_eq!(pool.put(conn), Returned::Kept);
    assert_eq!(use_up(&mut other, "/").await.conn, 1);
    drop(other);
    assert_eq!(round(&pool, &name).await.conn, 1);
    finish(pool, peer).await;
}

/// A stream that the peer resets is that stream's trouble.
#[tokio::test]
async fn a_reset_stream_leaves_the_connection() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = lease(&pool, &name).await;
    within("an error", exchange(&mut conn, "/reset/8"))
        .await
        .unwrap_err();
    assert_eq!(use_up(&mut conn, "/").await.conn, 1);
    assert_eq!(pool.put(conn), Returned::Kept);
    finish(pool, peer).await;
}

/// One lease discards: no new streams, and the others finish theirs.
#[tokio::test]
async fn discarded_by_one_finished_by_the_others() {
    let peer = http2_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut other = lease(&pool, &name).await;
    lease(&pool, &name).await.discard();
    assert_eq!(round(&pool, &name).await.conn, 2);
    assert_eq!(use_up(&mut other, "/").await.conn, 1);
    assert_eq!(pool.put(other), Returned::Closed(CloseReason::Discarded));
    peer.wait_for("one is left", |seen| seen.live == 1).await;
    finish(pool, peer).await;
}

/// Each protocol's own way to use a connection is no way to use the other's.
#[tokio::test]
async fn the_other_protocols_use_is_unsupported() {
    let peer = http2_peer();
    let (one, name_of_one) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = lease(&one, &name_of_one).await;
    let mut buffer = [0; 16];
    for result in [
        conn.read(&mut buffer).await.map(drop),
        conn.write(b"GET").await.map(drop),
        conn.write_vectored(&[io::IoSlice::new(b"GET")]).await.map(drop),
        conn.flush().await,
        conn.shutdown().await,
    ] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
    assert!(!tokio::io::AsyncWrite::is_write_vectored(&conn));
    assert_eq!(use_up(&mut conn, "/").await.status, 200, "no harm done");
    drop(conn);
    finish(one, peer).await;

    let peer = http1_peer();
    let (other, name_of_other) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = lease(&other, &name_of_other).await;
    let error = conn.h2().unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Unsupported, Phase::Use)
    );
    assert_eq!(other.put(conn), Returned::Kept);
    finish(other, peer).await;
}

/// While the pool closes a lease may go on; when the time for that is over it fails at once, and does not hang.
#[tokio::test]
async fn use_while_and_after_the_pool_closes() {
    let peer = http2_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.close_timeout = Duration::from_secs(7));
    let mut conn = lease(&pool, &name(&peer)).await;
    let closing = {
        let pool = pool.clone();
        spawn(async move { pool.close().await })
    };
    let_run().await;
    assert_eq!(use_up(&mut conn, "/").await.status, 200);
    assert!(!closing.is_finished());
    clock.advance(Duration::from_secs(7));
    let report = within("close", closing).await.unwrap();
    assert_eq!(report.leases_left, 1);
    peer.wait_for("its socket is closed", |seen| seen.live == 0).await;
    within("an error", exchange(&mut conn, "/")).await.unwrap_err();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::PoolClosed));
    at_rest(&pool).await;
    assert_eq!(pool.size(), 0);
}
