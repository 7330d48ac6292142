//! A grant to a waiter who has gone: across hosts, the permit passes on to the one who is still there.

use std::sync::{Arc, Mutex};

use hotpool::scripted::{Act, Stage};
use hotpool::{ErrorKind, Phase};

use crate::explore::explore;
use crate::stand::{any, finish, get, give_up, join, pool, rest, thread, try_get};

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

/// One who waits is served by what comes home, so that the dial it had ordered is of no use: the Ledger hears of both in that order, and does not keep
/// it for nobody.
#[test]
fn a_dial_that_is_given_up_is_not_waited_for() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_connections = 1);
        let held = get(&pool, "a.test");
        let taken = Arc::new(Mutex::new(None));
        let getter = thread(&pool, {
            let taken = Arc::clone(&taken);
            move |pool| *taken.lock().unwrap() = Some(get(&pool, "a.test"))
        });
        let holder = thread(&pool, move |_| drop(held));
        join([getter, holder]);
        rest(&pool); // while nothing is idle that could be given for it
        drop(taken.lock().unwrap().take());
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
