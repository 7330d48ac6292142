//! One caller's trouble, or one peer's, is not another's.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{CloseReason, ErrorKind, GetOptions, HotConnPool, Phase, StaticResolver, Warm};
use tokio::runtime::{Builder, Runtime};

use crate::common::{builder, config, http1_peer, name, pool, spawn, within};
use crate::support::certs;
use crate::support::measure::{alive_tasks, eventually};
use crate::support::peer::{Act, Order, Peer, To};

const SOON: Duration = Duration::from_secs(10);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A pool that knows several peers, all of them as `peer.test` at their port.
fn pool_of(peers: &[&Peer], change: impl FnOnce(&mut hotpool::PoolConfig)) -> HotConnPool {
    let resolver = peers.iter().fold(StaticResolver::new(), |resolver, peer| {
        resolver
            .with(name(peer).as_str(), peer.ips().iter().copied())
            .unwrap()
    });
    HotConnPool::builder()
        .config(config(change))
        .roots(certs::authority().roots())
        .resolver(resolver)
        .build()
        .unwrap()
}

/// A port of 127.0.0.1 that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_cancelled_grant_is_offered_to_who_waits_at_the_total_cap() {
    let (a, b) = (http1_peer(), http1_peer());
    let pool = pool_of(&[&a, &b], |config| config.max_connections = 1);
    let lease = pool.get(name(&a)).await.unwrap();
    let (name_a, name_b) = (name(&a), name(&b));
    let mut second = Box::pin(pool.get(&name_a));
    assert!(futures_pending(second.as_mut()));
    let waiter = spawn({
        let pool = pool.clone();
        async move { pool.get(&name_b).await.map(drop) }
    });
    eventually(SOON, "both wait", || pool.stats().waiting == 2).await;
    pool.put(lease); // granted to the second, which goes: the connection rests
    drop(second);
    within("served at once", waiter).await.unwrap().unwrap();
    assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 1);
    pool.manager().assert_invariants();
}

#[tokio::test]
async fn a_dial_whose_caller_left_makes_room_for_another_host() {
    let (a, b) = (http1_peer(), http1_peer());
    let pool = pool_of(&[&a, &b], |config| config.max_connections = 2);
    let _lease = pool.get(name(&a)).await.unwrap();
    let (name_a, name_b) = (name(&a), name(&b));
    let mut second = Box::pin(pool.get(&name_a));
    assert!(futures_pending(second.as_mut()));
    let mut third = Box::pin(pool.get(&name_b));
    assert!(futures_pending(third.as_mut()));
    tokio::task::yield_now().await;
    drop(second);
    drop(within("served at once", third).await.unwrap());
    pool.manager().assert_invariants();
}

#[tokio::test]
async fn who_waits_beside_a_blocked_address_is_dialled_for_when_the_block_ends() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let _lease = pool.get(name(&peer)).await.unwrap();
    peer.next(To::All, 1, Act::ResetAfterHello);
    pool.get(name(&peer)).await.unwrap_err();
    // The one that is out may come home, so this waits; the block of a second ends first.
    let options = GetOptions::new().timeout(Duration::from_secs(8));
    drop(
        pool.get_with(name(&peer), options)
            .await
            .expect("dialled after the block"),
    );
}

/// Ends every connection as soon as its handshake is over, if not before: one `get` must not dial for ever.
#[tokio::test]
async fn a_peer_that_ends_fresh_connections_is_an_error_and_not_a_loop() {
    let peer = http1_peer();
    peer.always(To::All, Act::CloseAfterHandshake);
    let pool = pool(&peer, |config| config.acquire_timeout = Duration::from_secs(3));
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        // Whether the end has arrived when the connection is looked at is a race; either way it is one dial.
        outcomes.push(
            pool.get(name(&peer))
                .await
                .map(drop)
                .map_err(|error| error.kind()),
        );
    }
    assert!(
        peer.seen().accepts <= 10,
        "{} dials for 5 gets: {outcomes:?}",
        peer.seen().accepts
    );
    assert!(!outcomes.contains(&Err(ErrorKind::Timeout)), "{outcomes:?}");
    pool.manager().assert_invariants();
}

#[test]
fn close_returns_though_a_runtime_is_driven_by_nobody() {
    let peer = Peer::start();
    let pool = pool(&peer, |config| config.close_timeout = Duration::from_secs(1));
    let idle = Builder::new_current_thread().enable_all().build().unwrap();
    idle.block_on(async { drop(pool.get(name(&peer)).await.unwrap()) });
    let closer = Builder::new_current_thread().enable_all().build().unwrap();
    let report = closer.block_on(within("close has a deadline", pool.close()));
    assert!(report.tasks_left >= 1, "{report:?}: the driver cannot have ended");
    assert!(report.took < Duration::from_secs(3), "{report:?}");
}

#[test]
fn a_runtime_that_ends_under_thousands_of_waiters_refuses_each_without_a_deeper_stack() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_per_host = 2);
    let ending = runtime();
    let lease = ending.block_on(async { pool.get(name(&peer)).await.unwrap() });
    peer.next(To::All, 5, Act::StallOnAccept);
    let refused = Arc::new(AtomicUsize::new(0));
    for _ in 0..3000 {
        let (pool, name, refused) = (pool.clone(), name(&peer), Arc::clone(&refused));
        let _inside = ending.enter();
        drop(spawn(async move {
            if pool.get(&name).await.is_err() {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let watcher = runtime();
    watcher.block_on(eventually(SOON, "all wait", || pool.stats().waiting == 3000));
    drop(ending);
    assert_eq!(
        pool.stats().waiting,
        0,
        "{} were refused",
        refused.load(Ordering::Relaxed)
    );
    drop(lease);
    pool.manager().assert_invariants();
}

#[test]
fn a_dial_runs_where_its_caller_does() {
    let (a, b) = (http1_peer(), http1_peer());
    let pool = pool_of(&[&a, &b], |config| config.max_connections = 1);
    let (main, short) = (runtime(), runtime());
    let lease = main.block_on(pool.get(name(&a))).unwrap();
    let waiter = {
        let (pool, name) = (pool.clone(), name(&b));
        let _inside = main.enter();
        spawn(async move { pool.get(&name).await.map(drop) })
    };
    main.block_on(eventually(SOON, "one waits", || pool.stats().waiting == 1));
    b.hold(To::All);
    b.next(To::All, 1, Act::Serve);
    // Coming home in a runtime that ends at once, the lease frees the permit that the waiter's dial needs.
    short.block_on(async move { drop(lease) });
    drop(short);
    main.block_on(waiter)
        .unwrap()
        .expect("the dial did not end with somebody else's runtime");
}

#[tokio::test]
async fn hosts_that_nobody_asks_for_are_forgotten() {
    let clock = ManualClock::new();
    let pool = HotConnPool::builder()
        .clock(clock.clone())
        .resolver(StaticResolver::new())
        .build()
        .unwrap();
    for number in 0..200 {
        let error = pool.get(format!("no-{number}.test")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameNotFound);
    }
    assert_eq!(pool.stats().hosts.len(), 200);
    let forgotten = async {
        while !pool.stats().hosts.is_empty() {
            clock.advance(Duration::from_secs(30));
            tokio::task::yield_now().await;
        }
    };
    within("an hour on, nothing is left", forgotten).await;
    assert_eq!(
        pool.stats().counters.failures(Phase::Resolve),
        200,
        "what they counted is kept"
    );
}

#[tokio::test]
async fn a_closed_http2_connection_ends_though_its_peer_reads_no_more() {
    let peer = Peer::builder().windows(1 << 24, 1 << 26).start();
    let pool = pool(&peer, |config| {
        config.idle_timeout = Duration::from_secs(1);
        config.max_connections = 1;
    });
    let mut conn = pool.get(name(&peer)).await.unwrap();
    let tasks = alive_tasks();
    let request = http::Request::post(format!("https://{}/read", name(&peer)))
        .body(())
        .unwrap();
    let (response, mut body) = conn.h2().unwrap().send_request(request, false).await.unwrap();
    peer.wait_for("the request", |seen| seen.http2_requests == 1)
        .await;
    peer.order(To::All, Order::Hang);
    for _ in 0..200 {
        body.reserve_capacity(1 << 16);
        let _ = body.send_data(vec![0; 1 << 16].into(), false);
        tokio::task::yield_now().await;
    }
    drop((response, body, conn));
    eventually(SOON, "the idle timeout", || pool.size() == 0).await;
    eventually(SOON, "the driver's end", || alive_tasks() < tasks).await;
}

#[tokio::test]
async fn an_address_that_a_dial_gave_up_serves_who_waits_for_it() {
    // The first address ends every handshake after a while, the second stalls; the cap is one connection for each.
    let peer = Peer::builder()
        .ips(2)
        .alpn(crate::support::peer::Alpn::Http1)
        .start();
    let (first, second) = (peer.ips()[0], peer.ips()[1]);
    peer.always(To::Ip(second), Act::StallAfterHello);
    peer.next(To::Ip(first), 1, Act::StallAfterHello);
    let both = name(&peer);
    let only = crate::common::host(&peer, "a.peer.test");
    let resolver = StaticResolver::new()
        .with(both.as_str(), [first, second])
        .unwrap();
    let resolver = resolver.with(only.as_str(), [first]).unwrap();
    let pool = builder(&peer, |config| {
        config.max_per_ip = 1;
        config.attempt_timeout = Duration::from_secs(1);
        config.acquire_timeout = Duration::from_secs(8);
    });
    let pool = pool.resolver(resolver).build().unwrap();
    let stuck = spawn({
        let pool = pool.clone();
        async move { pool.get(&both).await.map(drop) }
    });
    peer.wait_for("the first attempt", |seen| seen.hellos == 1).await;
    drop(
        pool.get(&only)
            .await
            .expect("dialled when the first attempt was given up"),
    );
    stuck.abort();
}

#[tokio::test]
async fn a_port_that_refuses_says_nothing_of_its_neighbours() {
    let peer = http1_peer();
    let refusing = format!("peer.test:{}", free_port());
    let resolver = StaticResolver::new()
        .with(name(&peer).as_str(), [address("127.0.0.1")])
        .unwrap();
    let resolver = resolver.with(refusing.as_str(), [address("127.0.0.1")]).unwrap();
    let pool = builder(&peer, |_| {}).resolver(resolver).build().unwrap();
    assert_eq!(
        pool.get(&refusing).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(
        pool.get(&refusing).await.unwrap_err().kind(),
        ErrorKind::Blocked,
        "that origin is avoided"
    );
    drop(
        pool.get(name(&peer))
            .await
            .expect("another port of the same address"),
    );
}

#[tokio::test]
async fn the_time_until_a_new_try_is_counted_from_now() {
    let peer = http1_peer();
    let clock = ManualClock::new();
    let pool = builder(&peer, |_| {}).clock(clock.clone()).build().unwrap();
    peer.always(To::All, Act::ResetAfterHello);
    pool.get(name(&peer)).await.unwrap_err();
    clock.advance(Duration::from_millis(400));
    let error = pool.get(name(&peer)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(600)));
    let report = pool
        .warm(&name(&peer), Warm::Count(1), GetOptions::new())
        .await
        .unwrap();
    let after = report.errors.first().and_then(hotpool::Error::retry_after);
    assert!(
        after.is_none_or(|after| after <= Duration::from_secs(1)),
        "{after:?}"
    );
}

#[tokio::test]
async fn the_second_to_close_counts_from_where_the_first_began() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.close_timeout = Duration::from_secs(1));
    let lease = pool.get(name(&peer)).await.unwrap();
    drop(pool.get(name(&peer)).await.unwrap());
    {
        let mut first = Box::pin(pool.close());
        assert!(futures_pending(first.as_mut()));
    }
    let report = pool.close().await;
    assert_eq!((report.closed, report.leases_left), (1, 1), "{report:?}");
    drop(lease);
}

/// Polls once, and says whether there is more to come.
fn futures_pending<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> bool {
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    future.poll(cx).is_pending()
}
