//! A grant to a waiter who has gone: across hosts, the permit passes on to the one who is still there.

use hotpool::scripted::{Act, Stage};
use hotpool::{ErrorKind, Phase};

use crate::explore::explore;
use crate::stand::{any, finish, get, give_up, join, pool, thread, try_get};

#[test]
fn a_grant_to_who_has_gone_passes_on() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_connections = 1);
        let held = get(&pool, "a.test");
        let gone = thread(&pool, |pool| give_up(pool.get("b.test"), 1 + any(4)));
        let patient = thread(&pool, |pool| drop(get(&pool, "c.test")));
        let holder = thread(&pool, move |_| match any(2) {
            0 => held.discard(),
            _ => drop(held),
        });
        join([gone, patient, holder]);
        finish(&stage, &pool);
    });
}

/// The dial of one who has gone fails, and nobody is there to be told: the other one goes on all the same.
#[test]
fn a_failure_for_who_has_gone_makes_room() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_connections = 1);
        stage.next(Phase::Tls, Act::Err);
        let gone = thread(&pool, |pool| give_up(pool.get("a.test"), 1 + any(2)));
        let patient = thread(&pool, |pool| {
            drop(try_get(&pool, "b.test", &[ErrorKind::ConnectionRefused]));
        });
        join([gone, patient]);
        finish(&stage, &pool);
    });
}
