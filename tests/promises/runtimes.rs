//! A pool and the runtimes around it.

use std::sync::Arc;
use std::time::Duration;

use hotpool::clock::SystemClock;
use hotpool::{GetOptions, HotConnPool, Warm};
use tokio::runtime::Runtime;

use crate::{got, poll_once, staged, staged_by};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Nobody's runtime: an error, or a wait for ever, but no panic.
#[test]
fn waiting_outside_any_runtime_is_no_panic() {
    let (_stage, pool) = staged_by(SystemClock::new(), |_| {});
    pool.manager().pause();
    let mut get = Box::pin(pool.get("127.0.0.1:1"));
    let _ = poll_once(get.as_mut());
}

/// The same where there was one once.
#[test]
fn waiting_where_the_runtime_has_gone_is_no_panic() {
    let (_stage, pool) = staged_by(SystemClock::new(), |config| config.max_per_host = 1);
    let first = runtime();
    let lease = first.block_on(got(&pool, "a.test"));
    drop(first);
    let mut get = Box::pin(pool.get("a.test"));
    let _ = poll_once(get.as_mut());
    drop(lease);
}

/// Who warms runs in a runtime that lives; who asked last does not any more.
#[test]
fn warming_goes_by_the_runtime_of_who_warms() {
    let (_stage, pool, _clock) = staged(1, |_| {});
    let (first, second) = (runtime(), runtime());
    first.block_on(got(&pool, "a.test")).discard();
    drop(first);
    let warm = pool.warm("a.test", Warm::Count(1), GetOptions::new());
    let report = second.block_on(warm).unwrap();
    assert_eq!(report.opened, 1, "{report:?}");
}

fn idle_ones_are_swept(pool: &HotConnPool, runtime: &Runtime) {
    for _ in 0..20 {
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(250)).await });
        if pool.size() == 0 {
            return;
        }
    }
    panic!("five seconds idle, where one second may be: {:?}", pool.stats());
}

/// The sweeper began in a runtime that has ended; the connection lives in another, and nobody asks for a new one.
#[test]
fn idle_connections_are_swept_after_the_first_runtime_ended() {
    let (_stage, pool) = staged_by(SystemClock::new(), |config| {
        config.idle_timeout = Duration::from_secs(1);
        config.max_per_host = 1;
    });
    let (first, second) = (runtime(), runtime());
    first.block_on(got(&pool, "a.test")).discard();
    drop(second.block_on(got(&pool, "a.test")));
    drop(first);
    drop(second.block_on(got(&pool, "a.test"))); // a hit
    assert_eq!(pool.size(), 1);
    idle_ones_are_swept(&pool, &second);
}

/// The same where nothing but the first runtime's end is different: it ends well.
#[test]
fn idle_connections_are_swept_in_one_runtime() {
    let (_stage, pool) = staged_by(SystemClock::new(), |config| {
        config.idle_timeout = Duration::from_secs(1)
    });
    let only = runtime();
    drop(only.block_on(got(&pool, "a.test")));
    assert_eq!(pool.size(), 1);
    idle_ones_are_swept(&pool, &only);
}

/// Two runtimes that live are no trouble to each other.
#[test]
fn a_get_that_ends_with_its_runtime_leaves_nothing() {
    let (_stage, pool) = staged_by(SystemClock::new(), |config| config.max_per_host = 1);
    let (living, ending) = (runtime(), runtime());
    let lease = living.block_on(got(&pool, "a.test"));
    let shared = Arc::new(pool);
    let inside = Arc::clone(&shared);
    drop(ending.spawn(async move { inside.get("a.test").await.map(drop) }));
    ending.block_on(async { crate::let_run().await });
    assert_eq!(shared.stats().waiting, 1);
    drop(ending);
    assert_eq!(shared.stats().waiting, 0);
    drop(lease);
}
