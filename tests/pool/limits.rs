//! No limit is ever passed, whoever is refused is told why, and everybody else is served, first come first.

use std::sync::Arc;
use std::time::Duration;

use hotpool::{CloseReason, ErrorKind, GetOptions, HotConn, HotConnPool, Phase, Returned};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::common::{
    at_rest, finish, host, http1_peer, let_run, manual_pool, name, pool, round, spawn, until, use_up, within,
};
use crate::support::peer::{Alpn, Peer, To};

/// A get as a task of its own.
fn getter(pool: &HotConnPool, name: &str) -> JoinHandle<HotConn> {
    let (pool, name) = (pool.clone(), name.to_owned());
    spawn(async move { pool.get(&name).await.unwrap() })
}

async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(within("a task", task).await.unwrap());
    }
    all
}

#[tokio::test]
async fn fifty_callers_share_ten_connections_of_a_host() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    peer.hold(To::All);
    let callers = (0..50).map(|_| {
        let (pool, name) = (pool.clone(), name.clone());
        spawn(async move { round(&pool, &name).await })
    });
    let callers: Vec<_> = callers.collect();
    peer.wait_for("ten requests", |seen| seen.http1_requests == 10)
        .await;
    until(&pool, "forty wait", |stats| {
        (stats.leases, stats.waiting) == (10, 40)
    })
    .await;
    let_run().await;
    assert_eq!((peer.seen().accepts, peer.seen().live), (10, 10));
    assert_eq!(pool.size(), 10);
    pool.manager().assert_invariants();
    peer.release(To::All);
    let answers = join(callers).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.conn <= 10)
    );
    assert_eq!(peer.seen().accepts, 10, "fifty were served by ten");
    let counters = pool.stats().counters;
    assert_eq!((counters.gets, counters.hits), (50, 40));
    finish(pool, peer).await;
}

#[tokio::test]
async fn each_address_has_its_own_limit() {
    let peer = Peer::builder().ips(3).alpn(Alpn::Http1).start();
    let (pool, name) = (
        pool(&peer, |config| {
            config.max_per_host = 50;
            config.max_per_ip = 2;
        }),
        name(&peer),
    );
    let callers: Vec<_> = (0..20).map(|_| getter(&pool, &name)).collect();
    until(&pool, "two on each of three addresses", |stats| {
        (stats.leases, stats.waiting) == (6, 14)
    })
    .await;
    let_run().await;
    let seen = peer.seen();
    for &ip in peer.ips() {
        assert_eq!((seen.at(ip).accepts, seen.at(ip).live), (2, 2), "{ip}");
    }
    let mapping = &pool.manager().host_mapping()[name.as_str()];
    assert!(peer.ips().iter().all(|ip| mapping[ip] == 2), "{mapping:?}");
    // Each that is served lets go at once, and so serves the next.
    for caller in callers {
        drop(within("a turn", caller).await.unwrap());
    }
    assert_eq!(peer.seen().accepts, 6);
    finish(pool, peer).await;
}

/// Two hosts on one address share its limit: what one has idle makes room for the other.
#[tokio::test]
async fn two_hosts_on_one_address_share_its_limit() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_per_ip = 3);
    let (a, b) = (host(&peer, "a.peer.test"), host(&peer, "b.peer.test"));
    let of_a = [pool.get(&a).await.unwrap(), pool.get(&a).await.unwrap()];
    let of_b = pool.get(&b).await.unwrap();
    let waiting = getter(&pool, &b);
    until(&pool, "the fourth waits", |stats| {
        (stats.total, stats.waiting) == (3, 1)
    })
    .await;
    let_run().await;
    assert_eq!(peer.seen().accepts, 3);
    assert!(!waiting.is_finished());
    drop(of_a);
    let second = within("room on the address", waiting).await.unwrap();
    assert_eq!(second.info().serial, 4);
    assert_eq!(pool.size(), 3);
    assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 1);
    peer.wait_for("three again", |seen| (seen.accepts, seen.live) == (4, 3))
        .await;
    drop((of_b, second));
    finish(pool, peer).await;
}

/// At the limit of the whole pool the longest idle makes room, whichever host it belongs to.
#[tokio::test]
async fn the_longest_idle_of_another_host_makes_room() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.max_connections = 3);
    let hosts = ["a", "b", "c", "d"].map(|letter| host(&peer, &format!("{letter}.peer.test")));
    for host in &hosts[..3] {
        round(&pool, host).await;
        clock.advance(Duration::from_secs(1));
    }
    round(&pool, &hosts[0]).await; // now b is the longest idle
    clock.advance(Duration::from_secs(1));
    round(&pool, &hosts[3]).await;
    let mapping = pool.manager().host_mapping();
    let mut left: Vec<&str> = mapping.keys().map(|name| &**name).collect();
    left.sort_unstable();
    assert_eq!(left, [&*hosts[0], &*hosts[2], &*hosts[3]]);
    assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 1);
    peer.wait_for("three live", |seen| (seen.accepts, seen.live) == (4, 3))
        .await;
    finish(pool, peer).await;
}

/// All are leased, another host waits: who puts back serves it at once, not after an idle timeout.
#[tokio::test]
async fn what_goes_idle_elsewhere_serves_who_waits_at_the_limit() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_connections = 2);
    let [a, b, c] = ["a", "b", "c"].map(|letter| host(&peer, &format!("{letter}.peer.test")));
    let of_a = pool.get(&a).await.unwrap();
    let of_b = pool.get(&b).await.unwrap();
    let waiting = getter(&pool, &c);
    until(&pool, "c waits", |stats| stats.waiting == 1).await;
    let_run().await;
    assert_eq!(peer.seen().accepts, 2);
    assert_eq!(pool.put(of_b), Returned::Kept);
    let of_c = within("b's place", waiting).await.unwrap();
    assert_eq!(pool.size(), 2);
    assert!(!pool.manager().host_mapping().contains_key(b.as_str()));
    drop((of_a, of_c));
    finish(pool, peer).await;
}

#[tokio::test]
async fn one_too_many_in_line_is_refused() {
    let peer = http1_peer();
    let (pool, name) = (
        pool(&peer, |config| {
            config.max_per_host = 1;
            config.max_waiters = 2;
        }),
        name(&peer),
    );
    let leased = pool.get(&name).await.unwrap();
    let waiting = [getter(&pool, &name), getter(&pool, &name)];
    until(&pool, "two wait", |stats| stats.waiting == 2).await;
    let error = pool.get(&name).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase(), error.target()),
        (ErrorKind::TooManyWaiters, Phase::Acquire, Some(name.as_str()))
    );
    drop(leased);
    for waiter in waiting {
        drop(within("a turn", waiter).await.unwrap());
    }
    drop(pool.get(&name).await.unwrap());
    finish(pool, peer).await;
}

#[tokio::test]
async fn who_came_first_is_served_first() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let leased = pool.get(&name).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..10 {
        let turn = {
            let (pool, name, order) = (pool.clone(), name.clone(), Arc::clone(&order));
            async move {
                let mut conn = pool.get(&name).await.unwrap();
                order.lock().push(number);
                use_up(&mut conn, "/").await;
            }
        };
        waiters.push(spawn(turn));
        let in_line = usize::try_from(number).unwrap() + 1;
        until(&pool, "it stands in line", |stats| {
            stats.waiting as usize == in_line
        })
        .await;
    }
    drop(leased);
    join(waiters).await;
    assert_eq!(*order.lock(), (0..10).collect::<Vec<_>>());
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

#[tokio::test]
async fn the_surplus_of_idle_ones_is_closed() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_idle_per_host = 2), name(&peer));
    let leases = join((0..5).map(|_| getter(&pool, &name)).collect()).await;
    assert_eq!(pool.stats().active, 5);
    leases.into_iter().for_each(drop);
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.total), (2, 2));
    assert_eq!(stats.counters.closes(CloseReason::IdleCap), 3);
    peer.wait_for("two live", |seen| seen.live == 2).await;
    finish(pool, peer).await;

    let peer = http1_peer();
    let (pool, name) = (
        crate::common::pool(&peer, |config| config.max_idle_per_host = 0),
        crate::common::name(&peer),
    );
    let conn = pool.get(&name).await.unwrap();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::IdleCap));
    finish(pool, peer).await;
}

/// Whoever runs out of time in line leaves no trace there.
#[tokio::test]
async fn out_of_time_in_line_leaks_nothing() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.max_per_host = 1);
    let name = name(&peer);
    let leased = within("a connection", pool.get(&name)).await.unwrap();
    let waiters: Vec<_> = (1..=5u64)
        .map(|seconds| {
            let (pool, name) = (pool.clone(), name.clone());
            spawn(async move {
                let options = GetOptions::new().timeout(Duration::from_secs(seconds));
                pool.get_with(&name, options).await.unwrap_err()
            })
        })
        .collect();
    until(&pool, "five wait", |stats| stats.waiting == 5).await;
    for left in (0..5u32).rev() {
        clock.advance(Duration::from_secs(1));
        until(&pool, "one gave up", |stats| stats.waiting == left).await;
    }
    for error in join(waiters).await {
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Timeout, Phase::Acquire)
        );
        assert!(error.is_timeout());
        assert_eq!(error.target(), Some(name.as_str()));
    }
    assert_eq!(pool.stats().counters.timeouts, 5);
    drop(leased);
    at_rest(&pool).await;
    assert_eq!(pool.stats().idle, 1);
    round(&pool, &name).await;
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// The limit on dials under way: no more handshakes at once, and all come to their turn.
#[tokio::test]
async fn dials_under_way_are_limited() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_dials = 2);
    peer.next(To::All, 2, crate::support::peer::Act::StallAfterHello);
    let hosts = ["a", "b", "c"].map(|letter| host(&peer, &format!("{letter}.peer.test")));
    let callers: Vec<_> = hosts
        .iter()
        .map(|host| {
            let (pool, host) = (pool.clone(), host.clone());
            spawn(async move { pool.get(&host).await })
        })
        .collect();
    peer.wait_for("two hang in their handshakes", |seen| seen.hellos == 2)
        .await;
    let_run().await;
    assert_eq!(peer.seen().accepts, 2);
    assert_eq!(pool.stats().dialling, 3);
    peer.order(To::Conn(1), crate::support::peer::Order::Reset);
    peer.wait_for("the third has its turn", |seen| seen.handshakes == 1)
        .await;
    peer.order(To::All, crate::support::peer::Order::Reset);
    join(callers).await.into_iter().for_each(drop);
    finish(pool, peer).await;
}
