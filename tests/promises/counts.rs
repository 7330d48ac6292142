//! Statistics and leaks say what happened.

use std::time::Duration;

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
