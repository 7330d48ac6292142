//! Idle elsewhere: while one origin waits at the Ledger, a connection of another that goes idle gives up its permit.

use hotpool::scripted::Stage;

use crate::explore::explore;
use crate::stand::{finish, get, join, pool, thread};

#[test]
fn what_goes_idle_elsewhere_makes_room() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_connections = 1);
        join(["a.test", "b.test"].map(|host| {
            thread(&pool, move |pool| {
                drop(get(&pool, host));
                drop(get(&pool, host));
            })
        }));
        finish(&stage, &pool);
    });
}
