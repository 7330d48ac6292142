//! What the holder of a lease may do with it, and what stays with the connection.

use std::net::IpAddr;
use std::time::Duration;

use hotpool::clock::SystemClock;
use hotpool::scripted::Stage;
use hotpool::{CloseReason, ErrorKind, GetOptions, Outcome, RetrySafety, Returned, Warm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{lease, poll_once};
use crate::common::{
    at_rest, config, finish, host, http1_peer, let_run, manual_pool, name, poll_times, pool, use_up, within,
};
use crate::support::peer::{Act, Alpn, Order, Peer, To};

/// It counts under every limit until it is dropped, and can be used all the while.
#[tokio::test]
async fn what_is_detached_keeps_its_permits() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_connections = 1);
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    let mut detached = lease(&pool, &name).await.detach().unwrap();
    assert_eq!(detached.info().serial, 1);
    let mut waits = Box::pin(pool.get(&other));
    assert!(poll_once(waits.as_mut()).await.is_none());
    let_run().await;
    assert_eq!((peer.seen().accepts, pool.size()), (1, 1), "no room beside it");
    detached
        .write_all(b"GET / HTTP/1.1\r\nhost: peer.test\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(within("an answer", detached.read_u8()).await.unwrap(), b'H');
    drop(detached);
    assert_eq!(within("its place", waits).await.unwrap().info().serial, 2);
    assert_eq!(pool.stats().counters.closes(CloseReason::Detached), 1);
    finish(pool, peer).await;

    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let pool = crate::common::pool(&peer, |_| {});
    let shared = lease(&pool, &crate::common::name(&peer)).await;
    let back = shared.detach().expect_err("others use it, too");
    assert_eq!(pool.put(back), Returned::Kept);
    finish(pool, peer).await;
}

/// Back in its pool it is what it was: it serves who waits, and ends with the others.
#[tokio::test]
async fn what_was_detached_comes_back_as_it_was() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_connections = 1);
    let name = name(&peer);
    let mut conn = lease(&pool, &name).await;
    assert_eq!(use_up(&mut conn, "/").await.status, 200);
    let detached = conn.detach().unwrap();
    let mut waits = Box::pin(pool.get(&name));
    assert!(poll_once(waits.as_mut()).await.is_none());
    assert_eq!(pool.manager().add(detached), Returned::Kept);
    let mut again = within("what came back", waits).await.unwrap();
    assert_eq!((again.info().serial, pool.size()), (1, 1));
    assert_eq!(use_up(&mut again, "/").await.status, 200);
    let mut reads = Box::pin(again.read_u8());
    assert!(poll_once(reads.as_mut()).await.is_none());
    assert_eq!(pool.force_cleanup(), 1);
    let error = within("an end", reads).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    drop(again);
    assert_eq!(pool.stats().counters.closes(CloseReason::Aborted), 1);
    finish(pool, peer).await;
}

/// What comes back is looked at as any lease is, and goes home to the pool that it left.
#[tokio::test]
async fn what_was_detached_comes_back_only_if_it_is_clean() {
    let peer = http1_peer();
    let (pool, other) = (pool(&peer, |_| {}), pool(&peer, |_| {}));
    let (name, request) = (name(&peer), b"GET / HTTP/1.1\r\nhost: peer.test\r\n\r\n");
    let mut half = lease(&pool, &name).await.detach().unwrap();
    half.write_all(request).await.unwrap();
    within("an answer", half.read_u8()).await.unwrap();
    let closed = |reason| Returned::Closed(reason);
    assert_eq!(pool.manager().add(half), closed(CloseReason::HalfRead));

    let evicted = lease(&pool, &name).await.detach().unwrap();
    assert_eq!(pool.manager().evict_host(&name).unwrap(), 1);
    assert_eq!(pool.manager().add(evicted), closed(CloseReason::Removed));

    // It goes on for its holder, who cannot bring it back.
    let mut ended = lease(&pool, &name).await.detach().unwrap();
    assert_eq!((pool.force_cleanup(), pool.size()), (1, 0));
    ended.write_all(request).await.unwrap();
    within("an answer", ended.read_u8()).await.unwrap();
    assert_eq!(pool.manager().add(ended), closed(CloseReason::Aborted));

    let gone = lease(&pool, &name).await.detach().unwrap();
    peer.order(To::All, Order::Reset);
    peer.wait_for("it is closed", |seen| seen.live == 0).await;
    let_run().await;
    assert_eq!(pool.manager().add(gone), closed(CloseReason::PeerClosed));

    let sound = lease(&pool, &name).await.detach().unwrap();
    assert_eq!(other.manager().add(sound), Returned::Kept);
    assert_eq!((pool.stats().idle, other.size()), (1, 0));
    pool.manager().assert_invariants();
    other.close().await;
    finish(pool, peer).await;
}

/// 403: what is idle there closes, what is used closes when it comes home or stays in use, and dials go elsewhere.
#[tokio::test]
async fn a_403_blocks_its_address_and_no_other() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let name = name(&peer);
    let [bad, good]: [IpAddr; 2] = peer.ips().try_into().unwrap();
    let at = |ip| GetOptions::new().ip(ip);
    let mut conns = Vec::new();
    for ip in [bad, bad, good] {
        conns.push(within("one there", pool.get_with(&name, at(ip))).await.unwrap());
    }
    let [idle, used, elsewhere]: [_; 3] = conns.try_into().unwrap();
    drop((idle, elsewhere));
    used.report(Outcome::Status(403));
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.counters.closes(CloseReason::Blocked)), (1, 1));
    used.discard();
    for _ in 0..3 {
        let conn = lease(&pool, &name).await;
        assert_eq!(conn.info().remote.ip(), good);
        conn.discard();
    }
    let error = within("blocked", pool.get_with(&name, at(bad)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Blocked);
    let until = error.retry_after().expect("until when");
    // Another status says that the address answers; and other origins are not concerned.
    let other = host(&peer, "a.peer.test");
    drop(
        within("another origin", pool.get_with(&other, at(bad)))
            .await
            .unwrap(),
    );
    clock.advance(until);
    drop(
        within("the block is over", pool.get_with(&name, at(bad)))
            .await
            .unwrap(),
    );
    finish(pool, peer).await;
}

/// What its user keeps with an HTTP/1.1 connection is there for its next user; with an HTTP/2 stream it goes.
#[tokio::test]
async fn extensions_stay_with_an_http1_connection() {
    #[derive(Clone, Debug, PartialEq)]
    struct Note(u32);
    for (alpn, stays) in [(Alpn::Http1, Some(Note(7))), (Alpn::Http2, None)] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut conn = lease(&pool, &name).await;
        assert_eq!(conn.extensions_mut().insert(Note(7)), None);
        use_up(&mut conn, "/").await;
        assert_eq!(pool.put(conn), Returned::Kept);
        let mut again = lease(&pool, &name).await;
        assert_eq!(again.extensions_mut().get::<Note>().cloned(), stays, "{alpn:?}");
        again.discard();
        let mut new = lease(&pool, &name).await;
        assert_eq!(new.extensions_mut().get::<Note>(), None, "another connection");
        drop(new);
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn what_was_sent_is_known() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = lease(&pool, &name).await;
    assert_eq!(conn.retry_safety(), RetrySafety::NeverSent);
    use_up(&mut conn, "/").await;
    assert_eq!(conn.retry_safety(), RetrySafety::Sent, "answered");
    assert_eq!(pool.put(conn), Returned::Kept);
    let mut conn = lease(&pool, &name).await;
    assert_eq!(
        conn.retry_safety(),
        RetrySafety::NeverSent,
        "by whoever has it now"
    );
    peer.hold(To::All);
    conn.write_all(b"GET / HTTP/1.1\r\nhost: peer.test\r\n\r\n")
        .await
        .unwrap();
    conn.flush().await.unwrap();
    peer.wait_for("the request", |seen| seen.http1_requests == 2)
        .await;
    assert_eq!(conn.retry_safety(), RetrySafety::Sent);
    peer.order(To::All, Order::Reset);
    assert!(within("the end", conn.read_u8()).await.is_err());
    assert_eq!(conn.retry_safety(), RetrySafety::Sent);
    drop(conn);
    // Closed before a byte was sent: it may be sent elsewhere.
    peer.release(To::All);
    peer.next(To::All, 1, Act::Serve);
    let mut conn = lease(&pool, &name).await;
    peer.order(To::All, Order::Reset);
    assert!(within("the end", conn.read_u8()).await.is_err());
    assert_eq!(conn.retry_safety(), RetrySafety::NeverSent);
    drop(conn);
    finish(pool, peer).await;
}

/// Those who warm a host at once open together what the one that asked for most asked for.
#[tokio::test]
async fn warming_takes_turns() {
    for (first, second, most) in [(3, 3, 3), (2, 5, 5), (5, 2, 5)] {
        let peer = http1_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let warm = async |count| {
            let report = pool.warm(&name, Warm::Count(count), GetOptions::new()).await;
            assert!(pool.size() >= count, "what was asked for is there");
            report.unwrap()
        };
        let (one, two) = within("warm", async { tokio::join!(warm(first), warm(second)) }).await;
        assert_eq!(
            (one.opened + two.opened, one.errors.len(), two.errors.len()),
            (most, 0, 0)
        );
        assert_eq!(
            (peer.seen().accepts, pool.stats().idle as usize),
            (most as u64, most)
        );
        finish(pool, peer).await;
    }
}

/// A call that warms is dropped while its dials hang, and made again: it takes over what goes on, and dials what is missing.
#[tokio::test]
async fn warming_again_takes_over_what_goes_on() {
    for (warm, first) in [(Warm::Count(3), 3), (Warm::EveryIp(2), 4)] {
        let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
        let (pool, clock) = manual_pool(&peer, |_| {});
        let name = name(&peer);
        peer.always(To::All, Act::StallAfterHello);
        assert!(
            poll_times(pool.warm(&name, warm, GetOptions::new()), 50)
                .await
                .is_none()
        );
        peer.wait_for("they hang", |seen| seen.hellos == first).await;
        let mut again = Box::pin(pool.warm(&name, warm, GetOptions::new()));
        assert!(poll_times(again.as_mut(), 50).await.is_none());
        let_run().await;
        assert_eq!(peer.seen().accepts, first, "{warm:?}");
        peer.always(To::All, Act::Serve);
        clock.advance(Duration::from_secs(10)); // each goes on to the other address, or gives up
        let report = within("warm", again).await.unwrap();
        assert_eq!(report.opened + report.errors.len(), first as usize, "{warm:?}");
        finish(pool, peer).await;
    }
}

/// A dial under way for a caller in line is one of those asked for: it is waited for, and no other is made in its place, even if that caller goes.
#[tokio::test]
async fn warming_counts_what_is_dialled_for_others() {
    for (count, leaves) in [(1, false), (3, false), (1, true), (3, true)] {
        let stage = Stage::new(1);
        let pool = stage
            .pool(config(|config| config.max_connections = 3), SystemClock::new())
            .unwrap();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(lease(&pool, "a.test").await);
        }
        drop(
            within(
                "an address",
                pool.warm("b.test", Warm::Count(0), GetOptions::new()),
            )
            .await,
        );
        let mut get = Box::pin(pool.get("b.test"));
        assert!(poll_once(get.as_mut()).await.is_none());
        let before = stage.dials();
        let mut warm = Box::pin(pool.warm("b.test", Warm::Count(count), GetOptions::new()));
        assert!(poll_once(warm.as_mut()).await.is_none());
        assert_eq!(
            pool.stats().dialling as usize,
            count,
            "the dial of the get is one of them"
        );
        let get = (!leaves).then_some(get);
        drop(held);
        let report = within("warm", warm).await.unwrap();
        assert_eq!((report.opened, report.errors.len()), (count, 0), "{report:?}");
        if let Some(get) = get {
            drop(within("a connection", get).await.unwrap());
        }
        assert_eq!(stage.dials() - before, count as u64);
        at_rest(&pool).await;
        pool.manager().assert_invariants();
    }
}

/// At an address: what is open elsewhere does not count, and nothing is opened elsewhere.
#[tokio::test]
async fn warming_an_address_counts_what_is_there() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let [elsewhere, there]: [IpAddr; 2] = peer.ips().try_into().unwrap();
    let at = |ip| GetOptions::new().ip(ip);
    let warm = |warm, ip| within("warm", pool.warm(&name, warm, at(ip)));
    assert_eq!(warm(Warm::Count(2), elsewhere).await.unwrap().opened, 2);
    assert_eq!(warm(Warm::Count(2), there).await.unwrap().opened, 2);
    drop(lease(&pool, &name).await); // all of its addresses are known now
    assert_eq!(warm(Warm::EveryIp(3), there).await.unwrap().opened, 1);
    let seen = peer.seen();
    assert_eq!((seen.at(elsewhere).accepts, seen.at(there).accepts), (2, 3));
    finish(pool, peer).await;
}

/// So many as there are addresses: one on each.
#[tokio::test]
async fn warming_spreads_over_the_addresses() {
    let peer = Peer::builder().ips(4).alpn(Alpn::Http1).start();
    let pool = pool(&peer, |_| {});
    let warm = pool.warm(name(&peer), Warm::Count(4), GetOptions::new());
    let report = within("warm", warm).await.unwrap();
    let mut ips = report.ips.clone();
    ips.sort_unstable();
    let each: Vec<_> = peer.ips().iter().map(|&ip| (ip, 1)).collect();
    assert_eq!((ips, report.opened), (each, 4), "{report:?}");
    finish(pool, peer).await;
}

/// Whoever sends the rest of it sends a request that somebody else has begun.
#[tokio::test]
async fn half_a_request_is_nobody_s_to_vouch_for() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = lease(&pool, &name).await;
    let half = b"GET / HTTP/1.1\r\nhost: peer.test\r\nx: ";
    conn.write_all(half).await.unwrap();
    conn.flush().await.unwrap();
    conn.assume_clean();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::HalfSent));
    finish(pool, peer).await;
}
