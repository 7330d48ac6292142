//! Hand-out and return.

use std::time::Duration;

use hotpool::{CloseReason, Error, ErrorKind, HotConnPool, Phase, Returned};

use super::{as_soon_as, lease, poll_once};
use crate::common::{
    at_rest, finish, http1_peer, let_run, manual_pool, name, pool, round, spawn, until, use_up, within,
};
use crate::support::peer::{Act, Order, To};

#[tokio::test]
async fn put_then_get_returns_same_connection() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut both = [lease(&pool, &name).await, lease(&pool, &name).await];
    for conn in &mut both {
        use_up(conn, "/").await;
    }
    assert_eq!(both.map(|conn| pool.put(conn)), [Returned::Kept; 2]);
    // The last one put is the first one out: the others may grow old.
    let again = [lease(&pool, &name).await, lease(&pool, &name).await];
    assert_eq!(again.each_ref().map(|conn| conn.info().serial), [2, 1]);
    assert_eq!(peer.seen().accepts, 2);
    drop(again);
    finish(pool, peer).await;
}

#[tokio::test]
async fn expired_idle_is_never_handed_out() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let name = name(&peer);
    round(&pool, &name).await;
    // Nobody looked at the time meanwhile: the get itself must.
    clock.advance(Duration::from_secs(60));
    assert!(pool.try_get(&name).unwrap().is_none());
    assert_eq!(round(&pool, &name).await.conn, 2);
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 1);
    finish(pool, peer).await;
}

#[tokio::test]
async fn key_is_removed_when_emptied() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    lease(&pool, &name).await.discard();
    let stats = pool.stats();
    assert!(stats.hosts.iter().all(|host| host.ips.is_empty()), "{stats:?}");
    assert!(pool.manager().host_mapping().is_empty());
    finish(pool, peer).await;
}

#[tokio::test]
async fn idle_cap_drops_the_surplus() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_idle_per_host = 2), name(&peer));
    let mut leases = [
        lease(&pool, &name).await,
        lease(&pool, &name).await,
        lease(&pool, &name).await,
    ];
    for conn in &mut leases {
        use_up(conn, "/").await; // whose use is over when it comes home, and not at its birth
    }
    leases.into_iter().for_each(drop);
    assert_eq!(pool.stats().idle, 2);
    // The one that has been idle longest goes.
    assert!(
        pool.manager()
            .connections_for_host(&name)
            .unwrap()
            .iter()
            .all(|conn| conn.serial != 1)
    );
    peer.wait_for("the surplus is closed", |seen| seen.live == 2)
        .await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn put_wakes_parked_getter() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let leased = lease(&pool, &name).await;
    let getter = spawn({
        let (pool, name) = (pool.clone(), name.clone());
        async move { lease(&pool, &name).await.info().serial }
    });
    until(&pool, "it is parked", |stats| stats.waiting == 1).await;
    assert_eq!(pool.put(leased), Returned::Kept);
    assert_eq!(pool.stats().waiting, 0, "granted by the put itself");
    assert_eq!(within("the getter", getter).await.unwrap(), 1);
    finish(pool, peer).await;
}

#[tokio::test]
async fn dropped_getter_leaves_no_residue() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    peer.next(To::All, 1, Act::StallAfterHello);
    let mut getter = Box::pin(pool.get(&name));
    assert!(poll_once(getter.as_mut()).await.is_none());
    peer.wait_for("the dial hangs", |seen| seen.hellos == 1).await;
    drop(getter);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.dialling), (0, 1), "the dial goes on");
    peer.order(To::All, Order::Reset);
    finish(pool, peer).await;
}

#[tokio::test]
async fn closed_connection_is_not_reinserted() {
    for order in [Order::Close, Order::Reset] {
        let peer = http1_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut conn = lease(&pool, &name).await;
        use_up(&mut conn, "/").await;
        peer.order(To::All, order.clone());
        match order {
            Order::Reset => drop(peer.wait_for("it is closed", |seen| seen.live == 0).await),
            // The end is on its way: this many turns of the runtime and of the peer's thread.
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        let_run().await;
        assert_eq!(
            pool.put(conn),
            Returned::Closed(CloseReason::PeerClosed),
            "{order:?}"
        );
        assert_eq!(pool.size(), 0);
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn waiters_are_woken_first_come_first_served() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let leased = lease(&pool, &name).await;
    let mut line: Vec<_> = (0..3).map(|_| Box::pin(pool.get(&name))).collect();
    for getter in &mut line {
        assert!(poll_once(getter.as_mut()).await.is_none());
    }
    drop(leased);
    while !line.is_empty() {
        for late in &mut line[1..] {
            assert!(poll_once(late.as_mut()).await.is_none(), "before its turn");
        }
        let served = poll_once(line[0].as_mut()).await.expect("its turn");
        drop(served.unwrap());
        drop(line.remove(0));
    }
    assert_eq!(peer.seen().accepts, 1);
    drop(line);
    finish(pool, peer).await;
}

#[tokio::test]
async fn dropped_waiter_does_not_block_reuse() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let leased = lease(&pool, &name).await;
    let mut waiter = Box::pin(pool.get(&name));
    assert!(poll_once(waiter.as_mut()).await.is_none());
    drop(waiter);
    assert_eq!(pool.put(leased), Returned::Kept);
    drop(pool.try_get(&name).unwrap().expect("it rests"));
    finish(pool, peer).await;
}

#[tokio::test]
async fn reserved_but_unused_slot_goes_back() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let leased = lease(&pool, &name).await;
    let mut getter = Box::pin(pool.get(&name));
    assert!(poll_once(getter.as_mut()).await.is_none());
    assert_eq!(pool.put(leased), Returned::Kept);
    // Granted, and dropped before it looked.
    assert_eq!((pool.stats().waiting, pool.stats().leases), (0, 1));
    drop(getter);
    assert_eq!((pool.stats().idle, pool.stats().leases), (1, 0));
    drop(pool.try_get(&name).unwrap().expect("it rests"));
    finish(pool, peer).await;
}

#[tokio::test]
async fn cancelled_dialler_does_not_fail_the_others() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut dialler = Box::pin(pool.get(&name));
    let mut other = Box::pin(pool.get(&name));
    assert!(poll_once(dialler.as_mut()).await.is_none());
    assert!(poll_once(other.as_mut()).await.is_none());
    as_soon_as(&pool, "a dial", |stats| stats.counters.dials == 1).await;
    drop(dialler);
    drop(within("the other's", other).await.unwrap());
    assert_eq!(peer.seen().accepts, 1, "the dial went with the one that began it");
    finish(pool, peer).await;
}

/// What is shared: the kind, the phase, and where it happened.
fn story(error: &Error) -> (ErrorKind, Phase, Option<std::net::IpAddr>) {
    (error.kind(), error.phase(), error.ip())
}

#[tokio::test]
async fn dial_error_is_shared_with_the_waiters_it_answers() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.dial_attempts = 1), name(&peer));
    peer.next(To::All, 1, Act::ResetAfterHello);
    let mut line: Vec<_> = (0..3).map(|_| Box::pin(pool.get(&name))).collect();
    for getter in &mut line {
        assert!(poll_once(getter.as_mut()).await.is_none());
    }
    for getter in line {
        let error = within("the error", getter).await.unwrap_err();
        let ip = Some(peer.ips()[0]);
        assert_eq!(
            story(&error),
            (ErrorKind::ConnectionReset, Phase::Tls, ip),
            "{error:?}"
        );
    }
    assert_eq!(peer.seen().accepts, 1, "one dial for all");
    finish(pool, peer).await;
}

#[tokio::test]
async fn dropping_the_pool_closes_idle() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    round(&pool, &name).await;
    let clone = pool.clone();
    drop(pool);
    assert_eq!(round(&clone, &name).await.nth, 2, "a handle is left");
    drop(clone);
    let soon = Duration::from_secs(3);
    peer.wait_within(soon, "a goodbye and the end", |seen| {
        (seen.close_notifies, seen.live) == (1, 0)
    })
    .await;
    peer.shutdown().await;
}

/// Nobody asks for anything: it goes by itself.
#[tokio::test]
async fn peer_close_removes_idle() {
    for order in [Order::Close, Order::CloseNotify, Order::HalfClose, Order::Reset] {
        let peer = http1_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        round(&pool, &name).await;
        assert_eq!(pool.stats().total, 1);
        peer.order(To::All, order.clone());
        let stats = until(&pool, "it is gone", |stats| stats.total == 0).await;
        assert_eq!(stats.counters.closes(CloseReason::PeerClosed), 1, "{order:?}");
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn poisoned_connection_is_not_reused() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = lease(&pool, &name).await;
    use_up(&mut conn, "/").await;
    conn.discard();
    assert_eq!(pool.size(), 0);
    assert_eq!(round(&pool, &name).await.conn, 2);
    finish(pool, peer).await;
}

#[tokio::test]
async fn healthy_connection_at_the_idle_cap_goes_to_a_waiter_first() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| {
        config.max_per_host = 1;
        config.max_idle_per_host = 0;
    });
    let name = name(&peer);
    let leased = lease(&pool, &name).await;
    let mut getter = Box::pin(pool.get(&name));
    assert!(poll_once(getter.as_mut()).await.is_none());
    assert_eq!(pool.put(leased), Returned::Kept);
    let conn = poll_once(getter.as_mut()).await.expect("its turn").unwrap();
    assert_eq!(conn.info().serial, 1);
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::IdleCap));
    drop(getter);
    finish(pool, peer).await;
}

#[tokio::test]
async fn unknown_key_gives_none() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let manager = pool.manager();
    assert!(manager.connections_for_host(&name).unwrap().is_empty());
    assert!(pool.try_get(&name).unwrap().is_none());
    assert_eq!(manager.remove(&name).unwrap(), 0);
    assert_eq!(manager.evict_host(&name).unwrap(), 0);
    assert!(manager.host_mapping().is_empty());
    assert!(pool.stats().hosts.is_empty(), "a question made a host");
    let error = manager.connections_for_host("no target:x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTarget);
    finish(pool, peer).await;
}

/// How many connections the mapping lists for a host, at each address.
fn mapped(pool: &HotConnPool, name: &str) -> Option<Vec<usize>> {
    let mapping = pool.manager().host_mapping();
    mapping.get(name).map(|ips| ips.values().copied().collect())
}

#[tokio::test]
async fn mapping_is_a_copy() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let both = [lease(&pool, &name).await, lease(&pool, &name).await];
    let mut copy = pool.manager().host_mapping();
    assert_eq!(copy[name.as_str()][&peer.ips()[0]], 2);
    both.into_iter().for_each(hotpool::HotConn::discard);
    assert_eq!(mapped(&pool, &name), None, "an empty host is left out");
    assert_eq!(
        copy[name.as_str()][&peer.ips()[0]],
        2,
        "what happens does not change it"
    );
    let conn = lease(&pool, &name).await;
    copy.clear();
    assert_eq!(mapped(&pool, &name), Some(vec![1]), "nor does it change what is");
    drop(conn);
    finish(pool, peer).await;
}

#[tokio::test]
async fn remove_clears_the_mapping_and_the_empty_key() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let knows = |pool: &HotConnPool| pool.stats().hosts.len();
    drop([lease(&pool, &name).await, lease(&pool, &name).await]);
    assert_eq!(pool.manager().remove(&name).unwrap(), 2);
    assert_eq!((mapped(&pool, &name), knows(&pool)), (None, 0));
    peer.wait_for("both closed", |seen| seen.live == 0).await;
    // What is in use keeps its host; it goes when it comes home.
    let mut conn = lease(&pool, &name).await;
    assert_eq!(pool.manager().remove(&name).unwrap(), 1);
    assert_eq!((mapped(&pool, &name), knows(&pool)), (Some(vec![1]), 1));
    assert_eq!(use_up(&mut conn, "/").await.status, 200);
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::Removed));
    assert_eq!(mapped(&pool, &name), None);
    assert_eq!(pool.manager().remove(&name).unwrap(), 0);
    assert_eq!(knows(&pool), 0);
    assert_eq!(
        pool.stats().counters.closes(CloseReason::Removed),
        3,
        "its counts are kept"
    );
    at_rest(&pool).await;
    finish(pool, peer).await;
}
