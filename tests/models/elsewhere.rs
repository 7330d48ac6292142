//! Idle elsewhere: while one origin waits at the Ledger, a connection of another that goes idle gives up its permit.

use hotpool::scripted::Stage;

use crate::explore::explore;
use crate::stand::{finish, get, give_up, join, pool, thread};

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

/// The line at the Ledger empties, because the only one in it gives up, and fills again at once. Who went idle in between is asked all the same.
#[test]
fn a_line_that_fills_again_asks_again() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_connections = 1);
        // Known already, so that they need nothing but a permit.
        drop(get(&pool, "b.test"));
        drop(get(&pool, "c.test"));
        let held = get(&pool, "a.test");
        let gone = thread(&pool, |pool| give_up(pool.get("b.test"), 1));
        let patient = thread(&pool, |pool| drop(get(&pool, "c.test")));
        let holder = thread(&pool, move |_| drop(held));
        join([gone, patient, holder]);
        finish(&stage, &pool);
    });
}
