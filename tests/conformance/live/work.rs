//! The work that follows from a call is not all that caller's.

use std::pin::Pin;

use hotpool::clock::ManualClock;
use hotpool::scripted::{Act, Stage};
use hotpool::{Get, HotConn, HotConnPool, Phase, PoolConfig};

use super::{as_soon_as, lease, one_thread, poll_once};
use crate::common::{config, let_run};

/// More than one caller does.
const WAITING: u32 = 300;
const ALL: u64 = WAITING as u64;

/// Room for so many, whatever their address, and for all dials at once.
fn room(connections: u32) -> PoolConfig {
    config(|config| {
        config.max_connections = connections;
        (config.max_per_ip, config.max_dials) = (2 * WAITING, WAITING);
    })
}

/// A pool with room for one.
fn small(stage: &Stage) -> HotConnPool {
    stage.pool(room(1), ManualClock::new()).unwrap()
}

fn names() -> Vec<String> {
    (0..WAITING).map(|number| format!("{number}.test")).collect()
}

/// Takes the one, and has others wait for room; when they have it, their dials do not end.
async fn crowd<'p>(
    pool: &'p HotConnPool,
    stage: &Stage,
    names: &'p [String],
) -> (HotConn, Vec<Pin<Box<Get<'p>>>>) {
    let held = lease(pool, "held.test").await;
    let mut waiting = Vec::new();
    for name in names {
        stage.next(Phase::Connect, Act::Never);
        let mut get = Box::pin(pool.get(name.as_str()));
        assert!(poll_once(get.as_mut()).await.is_none());
        waiting.push(get);
    }
    let_run().await; // their names are resolved
    assert_eq!(begun(pool), 0);
    (held, waiting)
}

/// Makes room for all of them, and answers how many of their dials have begun by then.
fn widen(pool: &HotConnPool) -> u64 {
    pool.manager().update_config(room(2 * WAITING)).unwrap();
    begun(pool)
}

/// Dials of those who wait.
fn begun(pool: &HotConnPool) -> u64 {
    pool.stats().counters.dials - 1
}

#[test]
fn one_caller_does_not_do_everybody_s_work() {
    one_thread().block_on(async {
        let stage = Stage::new(1);
        let (pool, names) = (small(&stage), names());
        let _waiting = crowd(&pool, &stage, &names).await;
        let by_caller = widen(&pool);
        assert!((1..ALL / 2).contains(&by_caller), "{by_caller} of {ALL}");
        as_soon_as(&pool, "every dial", |_| begun(&pool) == ALL).await;
    });
}

/// The runtime of who left it ends before it goes on there.
#[test]
fn work_that_is_left_to_a_runtime_that_ends_is_done() {
    let (theirs, ours) = (one_thread(), one_thread());
    let stage = Stage::new(1);
    let (pool, names) = (small(&stage), names());
    let _waiting = theirs.block_on(crowd(&pool, &stage, &names));
    let by_caller = ours.block_on(async { widen(&pool) });
    assert!(by_caller < ALL / 2, "{by_caller} of {ALL}");
    drop(ours);
    assert_eq!(begun(&pool), ALL);
}

/// A runtime that nobody runs any more, and that has not ended either: where the dials begin that it has brought about, they go on.
#[test]
fn work_that_is_left_to_a_runtime_that_stands_still_is_done_elsewhere() {
    let (theirs, ours) = (one_thread(), one_thread());
    let stage = Stage::new(1);
    let (pool, names) = (small(&stage), names());
    let _waiting = theirs.block_on(crowd(&pool, &stage, &names));
    let _by_caller = ours.block_on(async { widen(&pool) });
    theirs.block_on(as_soon_as(&pool, "every dial", |_| begun(&pool) == ALL));
    drop(ours);
}

/// The same, if none has begun: whoever comes next goes on.
#[test]
fn work_that_was_left_is_done_by_whoever_comes_next() {
    let (theirs, ours) = (one_thread(), one_thread());
    let stage = Stage::new(1);
    let (pool, names) = (small(&stage), names());
    let _waiting = theirs.block_on(crowd(&pool, &stage, &names));
    let by_caller = ours.block_on(async { widen(&pool) });
    let before = begun(&pool);
    pool.manager().update_config(room(2 * WAITING)).unwrap();
    assert!(
        by_caller <= before && before < begun(&pool),
        "{by_caller} {before}"
    );
    drop(ours);
}
