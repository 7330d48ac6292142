//! No lost wake-up: whoever waits is served when a connection comes home, when a dial brings one, or when a place comes free.

use hotpool::Phase;
use hotpool::scripted::{Act, Stage};

use crate::explore::explore;
use crate::stand::{any, finish, get, give_up, join, pool, thread};

#[test]
fn who_waits_is_served() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_per_host = 1);
        stage.next(Phase::Connect, Act::Slow(any(3)));
        let mut threads = Vec::from([0; 3].map(|_| {
            thread(&pool, |pool| {
                let conn = get(&pool, "a.test");
                match any(2) {
                    0 => conn.discard(),
                    _ => drop(conn),
                }
            })
        }));
        threads.push(thread(&pool, |pool| give_up(pool.get("a.test"), 1 + any(3))));
        join(threads);
        finish(&stage, &pool);
    });
}
