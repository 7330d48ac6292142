//! Age: what the pool does by itself as time goes by.

use std::time::Duration;

use hotpool::{CloseReason, GetOptions, Protocol, Returned};

use super::ear::Ear;
use super::{alone_with_its_log, lease, poll_once};
use crate::common::{
    at_rest, config, finish, http1_peer, let_run, manual_pool, name, pool, round, until, within,
};
use crate::support::peer::{Order, Peer, To};

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

/// Nothing is set up and nothing is called, in real time: what is idle for too long goes.
#[tokio::test]
async fn reaper_runs_without_any_setup() {
    let peer = http1_peer();
    let name = name(&peer);
    let pool = pool(&peer, |config| config.idle_timeout = Duration::from_millis(100));
    round(&pool, &name).await;
    let soon = Duration::from_secs(5);
    peer.wait_within(soon, "it is reaped", |seen| seen.live == 0)
        .await;
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 1);
    finish(pool, peer).await;
}

#[test]
fn leaked_connection_is_reported_once_with_its_call_site() {
    alone_with_its_log(
        "live::age::leaked_connection_is_reported_once_with_its_call_site",
        async {
            let ear = Ear::of_warnings();
            let _listening = tracing::subscriber::set_default(ear.clone());
            let peer = http1_peer();
            let (pool, clock) = manual_pool(&peer, |config| config.leak_timeout = 20 * SECOND);
            let name = name(&peer);
            let site = format!("{}:{}", file!(), line!() + 1);
            let leaked = pool.get(&name).await.unwrap();
            clock.advance(20 * SECOND - NANO);
            let_run().await;
            assert_eq!(
                (ear.heard().len(), pool.stats().counters.leaked),
                (0, 0),
                "just before"
            );
            clock.advance(NANO);
            // The wheel turns in seconds.
            clock.advance(SECOND);
            let_run().await;
            for _ in 0..5 {
                clock.advance(20 * SECOND);
                let_run().await;
            }
            let heard = ear.heard();
            assert_eq!((heard.len(), pool.stats().counters.leaked), (1, 1), "{heard:?}");
            let tells = [site.as_str(), name.as_str(), "age=21s"];
            assert!(
                tells.iter().all(|part| heard[0].contains(part)),
                "{tells:?} in {heard:?}"
            );
            assert_eq!(pool.put(leaked), Returned::Kept);
            assert_eq!(pool.stats().counters.recovered, 1);
            finish(pool, peer).await;
        },
    );
}

/// A look has just been: the next one is when this lease is overdue, and not a whole round later.
#[tokio::test]
async fn a_lease_that_begins_after_a_look_is_reported_in_its_time() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| {
        (config.leak_timeout, config.idle_timeout) = (20 * SECOND, 300 * SECOND);
    });
    let name = name(&peer);
    drop(lease(&pool, &name).await);
    clock.advance(21 * SECOND);
    let_run().await; // a look, at nothing
    clock.advance(SECOND);
    let leaked = lease(&pool, &name).await;
    let count = || pool.stats().counters.leaked;
    for (wait, reported) in [(20 * SECOND - NANO, 0), (NANO + SECOND, 1)] {
        clock.advance(wait);
        let_run().await;
        assert_eq!(count(), reported, "after {wait:?}");
    }
    drop(leaked);
    finish(pool, peer).await;
}

/// Who said that it takes long is not reported, nor is what has left the pool, nor one that is done in time.
#[tokio::test]
async fn long_leases_that_were_announced_are_not_reported() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let name = name(&peer);
    let long = lease(&pool, &name).await;
    long.expect_long();
    let detached = lease(&pool, &name).await.detach().unwrap();
    for _ in 0..5 {
        drop(lease(&pool, &name).await);
        clock.advance(61 * SECOND);
        let_run().await;
    }
    assert_eq!(pool.stats().counters.leaked, 0);
    // It was said of that lease, not of the connection.
    drop(long);
    let again = lease(&pool, &name).await;
    clock.advance(61 * SECOND);
    let_run().await;
    assert_eq!(pool.stats().counters.leaked, 1);
    drop((again, detached));
    at_rest(&pool).await;
    finish(pool, peer).await;
}

/// Its connection is over; that nobody gives it back is told all the same.
#[test]
fn a_lease_outlives_its_connection_and_is_reported() {
    alone_with_its_log(
        "live::age::a_lease_outlives_its_connection_and_is_reported",
        async {
            let ear = Ear::of_warnings();
            let _listening = tracing::subscriber::set_default(ear.clone());
            let peer = Peer::start();
            let (pool, clock) = manual_pool(&peer, |_| {});
            let name = name(&peer);
            let site = format!("{}:{}", file!(), line!() + 1);
            let leaked = pool.get(&name).await.unwrap();
            let [in_time, long] = [lease(&pool, &name).await, lease(&pool, &name).await];
            assert_eq!(leaked.protocol(), Protocol::Http2);
            peer.order(To::All, Order::Reset);
            until(&pool, "it is over", |stats| stats.total == 0).await;
            assert_eq!(pool.stats().leases, 3);
            long.expect_long();
            drop(in_time);
            for _ in 0..3 {
                clock.advance(61 * SECOND);
                let_run().await;
            }
            let heard = ear.heard();
            assert_eq!((heard.len(), pool.stats().counters.leaked), (1, 1), "{heard:?}");
            assert!(heard[0].contains(&site), "{site} in {heard:?}");
            drop((leaked, long));
            assert_eq!(pool.stats().counters.recovered, 1);
            finish(pool, peer).await;
        },
    );
}

/// A place in line is granted, and nobody looks at it any more: what was granted is out, and nobody else can have it.
#[test]
fn a_grant_that_nobody_takes_is_reported() {
    alone_with_its_log("live::age::a_grant_that_nobody_takes_is_reported", async {
        let ear = Ear::of_warnings();
        let _listening = tracing::subscriber::set_default(ear.clone());
        let peer = http1_peer();
        let (pool, clock) = manual_pool(&peer, |config| config.max_per_host = 1);
        let name = name(&peer);
        let options = || GetOptions::new().timeout(3600 * SECOND);
        for (reported, taken) in [(1, true), (2, false)] {
            let held = lease(&pool, &name).await;
            let site = format!("{}:{}", file!(), line!() + 1);
            let mut forgotten = Box::pin(pool.get_with(&name, options()));
            assert!(poll_once(forgotten.as_mut()).await.is_none());
            drop(held);
            assert_eq!((pool.stats().waiting, pool.stats().leases), (0, 1));
            for _ in 0..3 {
                clock.advance(61 * SECOND);
                let_run().await;
            }
            let heard = ear.heard();
            assert_eq!(
                (heard.len() as u64, pool.stats().counters.leaked),
                (reported, reported)
            );
            assert!(heard.last().unwrap().contains(&site), "{site} in {heard:?}");
            match taken {
                true => drop(within("it", forgotten).await.unwrap()),
                false => drop(forgotten),
            }
            assert_eq!(pool.stats().counters.recovered, reported);
        }
        finish(pool, peer).await;
    });
}

/// A lease that is out already is measured by the settings in force.
#[tokio::test]
async fn a_shorter_leak_timeout_holds_at_once() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let leaked = lease(&pool, &name(&peer)).await;
    clock.advance(10 * SECOND);
    let_run().await;
    let shorter = config(|config| config.leak_timeout = 5 * SECOND);
    pool.manager().update_config(shorter).unwrap();
    clock.advance(SECOND);
    let_run().await;
    assert_eq!(pool.stats().counters.leaked, 1);
    drop(leaked);
    finish(pool, peer).await;
}
