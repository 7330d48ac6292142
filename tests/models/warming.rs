//! Warming, while its host is forgotten and while all is paused: what was asked for comes, and nobody waits for ever.

use hotpool::scripted::Stage;
use hotpool::{ErrorKind, GetOptions, Warm};

use crate::explore::explore;
use crate::stand::{block_on, finish, join, pool, thread, try_get};

#[test]
fn who_warms_a_host_that_is_forgotten_begins_again() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_hosts = 1);
        let warms = thread(&pool, |pool| {
            match block_on(pool.warm("a.test", Warm::Count(1), GetOptions::new())) {
                Ok(report) => assert_eq!(report.opened, 1, "{report:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::TooManyHosts),
            }
        });
        let asks = thread(&pool, |pool| {
            drop(try_get(&pool, "b.test", &[ErrorKind::TooManyHosts]));
        });
        join([warms, asks]);
        finish(&stage, &pool);
    });
}

#[test]
fn who_warms_outlasts_a_pause() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |_| {});
        let warms = thread(&pool, |pool| {
            let report = block_on(pool.warm("a.test", Warm::Count(1), GetOptions::new())).unwrap();
            assert!(report.errors.is_empty(), "{report:?}");
            // None if it came during the pause.
            assert_eq!(report.opened, pool.size(), "{report:?}");
        });
        let owner = thread(&pool, |pool| {
            pool.manager().pause();
            pool.manager().resume();
        });
        join([warms, owner]);
        finish(&stage, &pool);
    });
}
