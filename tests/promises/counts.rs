//! Statistics and leaks say what happened.

use std::time::Duration;

use hotpool::scripted::Act;
use hotpool::{CloseReason, GetOptions, Phase};

use crate::{got, let_run, poll_once, staged};

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

/// Nothing that is declared stays at zero for ever: each is moved by what it counts.
#[tokio::test]
async fn every_count_is_written() {
    let (stage, pool, clock) = staged(1, |config| {
        (config.max_per_host, config.leak_timeout) = (1, Duration::from_secs(30));
    });
    stage.next(Phase::Connect, Act::Err);
    assert!(pool.get("a.test").await.is_err()); // a failure
    clock.advance(Duration::from_secs(2));
    let lease = got(&pool, "a.test").await; // a dial, a miss
    let mut waits = Box::pin(pool.get_with("a.test", GetOptions::new().timeout(Duration::from_secs(1))));
    assert!(poll_once(waits.as_mut()).is_none());
    clock.advance(Duration::from_secs(1));
    assert!(waits.await.is_err()); // a timeout
    for _ in 0..32 {
        clock.advance(Duration::from_secs(1)); // a leak
        let_run().await;
    }
    drop(lease); // which came home
    drop(got(&pool, "a.test").await); // a hit
    let stats = pool.stats();
    assert_eq!((stats.total, stats.idle, stats.active), (1, 1, 0));
    pool.manager().retain(|_| false); // a close
    let counters = pool.stats().counters;
    let counts = [
        ("gets", counters.gets, 2),
        ("hits", counters.hits, 1),
        ("waits", counters.waits, 3),
        ("timeouts", counters.timeouts, 1),
        ("leaked", counters.leaked, 1),
        ("recovered", counters.recovered, 1),
        ("dials", counters.dials, 2),
        ("opened", counters.opened, 1),
        ("failures", counters.failures(Phase::Connect), 1),
        ("closes", counters.closes(CloseReason::Removed), 1),
    ];
    for (name, count, expected) in counts {
        assert_eq!(count, expected, "{name}: {counters:?}");
    }
    assert_eq!(counters.wait_time, Duration::from_secs(1));
    let ran: Vec<_> = stats
        .tasks
        .iter()
        .map(|task| (task.name, task.runs > 0))
        .collect();
    assert_eq!(
        ran,
        ["health", "cleanup", "blacklist", "dns"].map(|name| (name, true))
    );
}
