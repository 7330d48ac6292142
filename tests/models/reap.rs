//! Put against reap: what is in use stays, what is idle for too long goes in time, and a host goes only when nobody wants it.

use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::Stage;
use hotpool::{HotConn, HotConnPool};

use crate::explore::explore;
use crate::stand::{any, finish, get, join, pool_by, rest, thread, until, yield_now};

const IDLE: Duration = Duration::from_secs(10);
/// The wheel looks once a second.
const DUE: Duration = Duration::from_secs(11);

/// Uses a connection for a moment: nobody may take it away.
fn hold(pool: &HotConnPool, conn: &HotConn) {
    let serial = conn.info().serial;
    yield_now();
    let live = pool.manager().connections_for_host("a.test").unwrap();
    assert!(
        live.iter().any(|info| info.serial == serial),
        "{serial} was reaped in use"
    );
}

#[test]
fn a_put_meets_the_reaper() {
    explore(|| {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        let pool = pool_by(&stage, clock.clone(), |config| {
            config.max_per_host = 1;
            config.idle_timeout = IDLE;
            config.leak_timeout = IDLE; // the next look at a host, if nothing calls for one before
        });
        let users = [1, 2].map(|times| {
            thread(&pool, move |pool| {
                for _ in 0..times {
                    let conn = get(&pool, "a.test");
                    hold(&pool, &conn);
                }
            })
        });
        let time = clock.clone();
        let reaper = thread(&pool, move |pool| {
            for _ in 0..4 {
                time.advance(DUE / (1 + any(2)));
                if any(4) == 0 {
                    pool.manager().cleanup();
                }
            }
        });
        join(users);
        join([reaper]);
        rest(&pool);
        // Nobody asks any more: the last connection goes at its time, and its host at the next look.
        clock.advance(DUE);
        until(|| (pool.size() > 0).then(|| format!("still there: {:?}", pool.stats())));
        clock.advance(DUE);
        until(|| (!pool.stats().hosts.is_empty()).then(|| format!("still known: {:?}", pool.stats())));
        finish(&stage, &pool);
    });
}

/// A host whose time is over while somebody comes back to it.
#[test]
fn a_get_meets_the_end_of_its_host() {
    explore(|| {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        let pool = pool_by(&stage, clock.clone(), |config| {
            config.idle_timeout = IDLE;
            config.leak_timeout = IDLE;
            config.dial_attempts = 1; // who hears nothing asks again, while it may
        });
        drop(get(&pool, "a.test"));
        clock.advance(DUE);
        until(|| (pool.size() > 0).then(|| format!("still there: {:?}", pool.stats())));
        let user = thread(&pool, |pool| drop(get(&pool, "a.test")));
        clock.advance(DUE);
        join([user]);
        finish(&stage, &pool);
    });
}
