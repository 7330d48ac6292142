//! Warming opens what is missing, and no more.

use std::net::IpAddr;
use std::time::Duration;

use hotpool::scripted::Act;
use hotpool::{GetOptions, Phase, Warm};

use crate::{got, poll_once, staged};

/// "Cancel safe: dials under way go on." The next one finds them.
#[tokio::test]
async fn a_cancelled_one_is_not_done_twice() {
    let (stage, pool, _clock) = staged(1, |_| {});
    for _ in 0..2 {
        stage.next(Phase::Connect, Act::Slow(5000));
    }
    let mut warm = Box::pin(pool.warm("a.test", Warm::Count(2), GetOptions::new()));
    for _ in 0..5 {
        assert!(poll_once(warm.as_mut()).is_none());
        tokio::task::yield_now().await;
    }
    drop(warm);
    pool.warm("a.test", Warm::Count(2), GetOptions::new())
        .await
        .unwrap();
    while pool.stats().dialling > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.size(), 2, "{} dials", stage.dials());
}

/// One that goes when it comes home is of use to nobody.
#[tokio::test]
async fn a_connection_that_was_evicted_is_not_ready() {
    let (_stage, pool, _clock) = staged(1, |_| {});
    let lease = got(&pool, "a.test").await;
    pool.manager().evict_host("a.test").unwrap();
    let report = pool
        .warm("a.test", Warm::Count(1), GetOptions::new())
        .await
        .unwrap();
    assert_eq!(report.opened, 1);
    drop(lease);
}

/// A connection elsewhere is not what was asked for.
#[tokio::test]
async fn a_pinned_address_is_warmed_whatever_else_there_is() {
    let (_stage, pool, _clock) = staged(2, |_| {});
    let lease = got(&pool, "a.test").await;
    let there = lease.info().remote.ip();
    drop(lease);
    let other: IpAddr = ["10.0.0.1", "10.0.0.2"]
        .map(|ip| ip.parse::<IpAddr>().unwrap())
        .into_iter()
        .find(|&ip| ip != there)
        .unwrap();
    let options = GetOptions::new().ip(other).timeout(Duration::from_secs(5));
    let report = pool
        .warm("a.test", Warm::Count(1), options.clone())
        .await
        .unwrap();
    assert_eq!(report.opened, 1, "{report:?}");
    assert!(pool.try_get_with("a.test", options).unwrap().is_some());
}
