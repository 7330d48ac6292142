//! What lay idle or lived for too long is closed: just before, at and after its time, by itself, and never while it is leased.

use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{CloseReason, HotConn, HotConnPool, Returned};

use crate::common::{exchange, finish, http1_peer, let_run, manual_pool, name, round, use_up, within};
use crate::support::peer::{Alpn, Peer};

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// A pool whose connections may lie idle for 60 s and live for 300 s, exactly.
fn exact(peer: &Peer) -> (HotConnPool, ManualClock, String) {
    let (pool, clock) = manual_pool(peer, |config| config.lifetime_jitter = 0);
    (pool, clock, name(peer))
}

async fn leased(pool: &HotConnPool, name: &str) -> HotConn {
    within("a connection", pool.get(name)).await.unwrap()
}

/// Moves the time on and lets the sweeper have its turn.
async fn pass(clock: &ManualClock, span: Duration) {
    clock.advance(span);
    let_run().await;
}

#[tokio::test]
async fn the_sweeper_closes_the_idle_by_itself() {
    let peer = http1_peer();
    let (pool, clock, name) = exact(&peer);
    round(&pool, &name).await;
    pass(&clock, 60 * SECOND - NANO).await;
    assert_eq!(pool.size(), 1, "just before");
    pass(&clock, NANO).await;
    // The wheel turns in seconds: one more, and nobody asked for anything.
    pass(&clock, SECOND).await;
    peer.wait_for("a goodbye and the end", |seen| {
        (seen.close_notifies, seen.live) == (1, 0)
    })
    .await;
    assert_eq!(pool.size(), 0);
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 1);
    assert_eq!(round(&pool, &name).await.conn, 2);
    finish(pool, peer).await;
}

#[tokio::test]
async fn idle_for_exactly_the_limit_is_not_handed_out() {
    for (early, serial) in [(NANO, 1), (Duration::ZERO, 2)] {
        let peer = http1_peer();
        let (pool, clock, name) = exact(&peer);
        round(&pool, &name).await;
        clock.advance(60 * SECOND - early);
        let found = pool.try_get(&name).unwrap();
        assert_eq!(found.is_some(), serial == 1, "{early:?} early");
        drop(found);
        assert_eq!(round(&pool, &name).await.conn, serial, "{early:?} early");
        finish(pool, peer).await;
    }
}

/// On demand: exactly at the limit, without waiting for the wheel.
#[tokio::test]
async fn cleanup_closes_what_is_due_and_counts_it() {
    let peer = http1_peer();
    let (pool, clock, name) = exact(&peer);
    let both = [leased(&pool, &name).await, leased(&pool, &name).await];
    let [first, mut second] = both;
    drop(first);
    clock.advance(10 * SECOND);
    use_up(&mut second, "/").await;
    drop(second);
    for (wait, closed) in [
        (50 * SECOND - NANO, 0),
        (NANO, 1),
        (10 * SECOND - NANO, 0),
        (NANO, 1),
        (NANO, 0),
    ] {
        clock.advance(wait);
        assert_eq!(pool.manager().cleanup(), closed);
        pool.manager().assert_invariants();
    }
    assert_eq!(pool.size(), 0);
    finish(pool, peer).await;
}

#[tokio::test]
async fn use_starts_the_idle_time_anew() {
    let peer = http1_peer();
    let (pool, clock, name) = exact(&peer);
    for nth in 1..=4 {
        assert_eq!(round(&pool, &name).await.nth, nth);
        pass(&clock, 59 * SECOND).await;
    }
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

#[tokio::test]
async fn leased_is_never_swept() {
    let peer = http1_peer();
    let (pool, clock, name) = exact(&peer);
    let mut conn = leased(&pool, &name).await;
    for _ in 0..10 {
        pass(&clock, 59 * SECOND).await;
        assert_eq!(pool.manager().cleanup(), 0);
        use_up(&mut conn, "/").await;
    }
    assert_eq!(peer.seen().live, 1);
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::Lifetime));
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_lifetime_ends_exactly_and_use_does_not_lengthen_it() {
    for early in [NANO, Duration::ZERO] {
        let peer = http1_peer();
        let (pool, clock, name) = exact(&peer);
        for _ in 0..6 {
            round(&pool, &name).await;
            clock.advance(49 * SECOND);
        }
        clock.advance(6 * SECOND - early);
        let alive = early == NANO;
        assert_eq!(pool.manager().cleanup(), usize::from(!alive));
        let answer = round(&pool, &name).await;
        let expected = if alive { (1, 7) } else { (2, 1) };
        assert_eq!((answer.conn, answer.nth), expected);
        let reasons = pool.stats().counters;
        assert_eq!(reasons.closes(CloseReason::Lifetime), u64::from(!alive));
        assert_eq!(reasons.closes(CloseReason::IdleTimeout), 0);
        finish(pool, peer).await;
    }
}

/// A lease is not cut off when its connection's time comes: that closes when it comes home, at that very instant too.
#[tokio::test]
async fn expired_while_leased_closes_on_return() {
    for (early, expected) in [
        (NANO, Returned::Kept),
        (Duration::ZERO, Returned::Closed(CloseReason::Lifetime)),
    ] {
        let peer = http1_peer();
        let (pool, clock, name) = exact(&peer);
        let mut conn = leased(&pool, &name).await;
        pass(&clock, 300 * SECOND - early).await;
        assert_eq!(use_up(&mut conn, "/").await.nth, 1);
        assert_eq!(pool.put(conn), expected);
        finish(pool, peer).await;
    }
}

/// Jitter shortens a life by up to its share, each its own: none before 270 s, some in between, all by 300 s.
#[tokio::test]
async fn jitter_spreads_the_ends() {
    const MANY: usize = 40;
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| {
        config.max_per_host = 40;
        config.max_per_ip = 40;
        config.max_idle_per_host = 40;
        config.idle_timeout = 1000 * SECOND;
        config.lifetime_jitter = 10;
    });
    let name = name(&peer);
    let mut leases = Vec::new();
    for _ in 0..MANY {
        leases.push(leased(&pool, &name).await);
    }
    leases.into_iter().for_each(drop);
    assert_eq!(pool.stats().idle, 40);
    clock.advance(270 * SECOND - NANO);
    assert_eq!(pool.manager().cleanup(), 0);
    let mut ends = Vec::new();
    for _ in 0..30 {
        clock.advance(SECOND);
        ends.push(pool.manager().cleanup());
    }
    clock.advance(NANO);
    ends.push(pool.manager().cleanup());
    assert_eq!(ends.iter().sum::<usize>(), MANY, "{ends:?}");
    let moments = ends.iter().filter(|&&closed| closed > 0).count();
    assert!(moments > 5, "they end together: {ends:?}");
    peer.wait_for("all gone", |seen| seen.live == 0).await;
    finish(pool, peer).await;
}

/// HTTP/2: the streams of a connection past its life may finish, new ones go to a new connection; after 30 s more it is cut.
#[tokio::test]
async fn an_expired_http2_connection_takes_no_new_streams() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, clock, name) = exact(&peer);
    let mut old = leased(&pool, &name).await;
    let mut cut_off = leased(&pool, &name).await;
    pass(&clock, 300 * SECOND).await;
    pass(&clock, SECOND).await;
    assert_eq!(use_up(&mut old, "/").await.conn, 1, "streams under way finish");
    let mut new = leased(&pool, &name).await;
    assert_eq!(use_up(&mut new, "/").await.conn, 2);
    assert_eq!(pool.put(old), Returned::Closed(CloseReason::Lifetime));
    assert_eq!(peer.seen().live, 2, "one lease is out yet");
    pass(&clock, 28 * SECOND).await;
    assert_eq!((pool.size(), peer.seen().live), (2, 2), "in its grace");
    pass(&clock, 2 * SECOND).await;
    pool.manager().assert_invariants();
    // Its permits are free now, so its socket must be too, whoever still holds a lease.
    assert_eq!(pool.size(), 1);
    peer.wait_for("the old one is cut", |seen| seen.live == 1).await;
    let error = exchange(&mut cut_off, "/").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error:?}");
    assert_eq!(pool.put(cut_off), Returned::Closed(CloseReason::Lifetime));
    drop(new);
    finish(pool, peer).await;
}

/// The sweeper serves several hosts, each at its own time, and forgets those that have nothing left.
#[tokio::test]
async fn hosts_are_swept_apart_and_forgotten() {
    let peer = http1_peer();
    let (pool, clock, _) = exact(&peer);
    let hosts = ["a", "b", "c"].map(|letter| crate::common::host(&peer, &format!("{letter}.peer.test")));
    for host in &hosts {
        round(&pool, host).await;
        pass(&clock, 10 * SECOND).await;
    }
    for live in [3, 2, 1, 0] {
        peer.wait_for("those whose time it is are gone", |seen| seen.live == live)
            .await;
        pass(&clock, if live == 3 { 31 * SECOND } else { 10 * SECOND }).await;
    }
    for _ in 0..3 {
        pass(&clock, 61 * SECOND).await;
    }
    assert!(pool.stats().hosts.is_empty(), "{:?}", pool.stats().hosts);
    let counters = pool.stats().counters;
    assert_eq!(
        (counters.opened, counters.closes(CloseReason::IdleTimeout)),
        (3, 3)
    );
    finish(pool, peer).await;
}
