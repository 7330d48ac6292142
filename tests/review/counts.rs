//! Statistics and leaks say what happened.

use std::time::Duration;

use hotpool::scripted::Act;
use hotpool::{ErrorKind, GetOptions, Phase, Warm};

use crate::support::peer::{Order, Peer, To};
use crate::{builder, config, got, let_run, name, poll_once, staged, until};

/// "Callers that stood in line, whatever came of it."
#[tokio::test]
async fn who_gave_up_stood_in_line_too() {
    let (_stage, pool, _clock) = staged(1, |config| config.max_per_host = 1);
    let lease = got(&pool, "a.test").await;
    let before = pool.stats().counters.waits;
    let mut get = Box::pin(pool.get("a.test"));
    assert!(poll_once(get.as_mut()).is_none());
    assert_eq!(pool.stats().waiting, 1);
    drop(get);
    assert_eq!(pool.stats().counters.waits - before, 1);
    drop(lease);
}

/// "Leases handed out": a connection that was found dead at the door was handed to nobody, and is no hit.
#[tokio::test]
async fn a_dead_connection_is_no_hit() {
    let (stage, pool, _clock) = staged(1, |_| {});
    pool.warm("a.test", Warm::Count(1), GetOptions::new())
        .await
        .unwrap();
    stage.close_all();
    drop(got(&pool, "a.test").await);
    let counters = pool.stats().counters;
    assert_eq!((counters.gets, counters.hits), (1, 0), "one get, one dial for it");
}

/// "Of these, the ones that came home after all."
#[tokio::test]
async fn a_leak_that_is_excused_later_still_comes_home() {
    let (_stage, pool, clock) = staged(1, |_| {});
    let lease = got(&pool, "a.test").await;
    let_run().await;
    clock.advance(Duration::from_secs(62));
    let_run().await;
    assert_eq!(pool.stats().counters.leaked, 1);
    lease.expect_long();
    drop(lease);
    let counters = pool.stats().counters;
    assert_eq!(counters.recovered, counters.leaked);
}

/// "One that is out for longer than leak_timeout is reported", on a connection that ended under it as well.
#[tokio::test]
async fn a_lease_of_a_dead_connection_leaks_too() {
    let peer = Peer::builder().start();
    let pool = builder(&peer)
        .config(config(|config| config.leak_timeout = Duration::from_secs(1)))
        .build()
        .unwrap();
    let lease = got(&pool, &name(&peer)).await;
    peer.order(To::All, Order::Reset);
    until(&pool, "the connection is gone", |stats| stats.total == 0).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let stats = pool.stats();
    assert_eq!(stats.leases, 1, "it is still out");
    assert_eq!(stats.counters.leaked, 1);
    drop(lease);
}

/// A lease that was reported and whose connection ended meanwhile came home after all.
#[tokio::test]
async fn a_leak_whose_connection_died_comes_home() {
    let peer = Peer::builder().start();
    let pool = builder(&peer)
        .config(config(|config| config.leak_timeout = Duration::from_secs(1)))
        .build()
        .unwrap();
    let lease = got(&pool, &name(&peer)).await;
    until(&pool, "reported", |stats| stats.counters.leaked == 1).await;
    peer.order(To::All, Order::Reset);
    until(&pool, "the connection is gone", |stats| stats.total == 0).await;
    drop(lease);
    let counters = pool.stats().counters;
    assert_eq!(counters.recovered, counters.leaked);
}

/// A caller at the host's cap waits for a connection to come home, whatever somebody else's dial does.
#[tokio::test]
async fn a_timeout_names_what_its_caller_waited_for() {
    let (stage, pool, clock) = staged(1, |config| config.max_per_host = 2);
    let lease = got(&pool, "a.test").await;
    stage.next(Phase::Connect, Act::Never);
    let mut other = Box::pin(pool.get_with("a.test", GetOptions::new().partition("other")));
    assert!(poll_once(other.as_mut()).is_none());
    let_run().await;
    let options = GetOptions::new()
        .partition("mine")
        .timeout(Duration::from_secs(1));
    let mut mine = Box::pin(pool.get_with("a.test", options));
    assert!(poll_once(mine.as_mut()).is_none());
    clock.advance(Duration::from_secs(1));
    let error = mine.await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout, Phase::Acquire)
    );
    drop(lease);
}

/// A connection that was granted to a `get` which nobody polls any more is out, and nobody else can have it.
#[tokio::test]
async fn what_is_granted_and_not_fetched_leaks_too() {
    let (_stage, pool, clock) = staged(1, |config| config.max_per_host = 1);
    let mut get = Box::pin(pool.get("a.test"));
    assert!(poll_once(get.as_mut()).is_none());
    for _ in 0..120 {
        let_run().await;
        clock.advance(Duration::from_secs(1));
    }
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.counters.leaked), (1, 1), "after two minutes");
}
