//! Hosts: never more than the limit says, and nobody is refused a host that another is about to make.

use hotpool::ErrorKind;
use hotpool::scripted::Stage;

use crate::explore::explore;
use crate::stand::{any, finish, get, join, pool, thread, try_get};

#[test]
fn there_are_never_more_than_allowed() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_hosts = 2);
        drop(get(&pool, "a.test"));
        let users = ["b.test", "c.test", "d.test"].map(|host| {
            thread(&pool, move |pool| {
                drop(try_get(&pool, host, &[ErrorKind::TooManyHosts]));
                let known = pool.stats().hosts.len();
                assert!(known <= 2, "{known} hosts");
            })
        });
        join(users);
        finish(&stage, &pool);
    });
}

#[test]
fn the_last_place_serves_all_who_want_the_same() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_hosts = 1);
        join([0; 3].map(|_| thread(&pool, |pool| drop(get(&pool, "a.test")))));
        finish(&stage, &pool);
    });
}

/// Found in use or not, refused or served: once it is not in use a host makes room for another.
#[test]
fn who_was_in_use_makes_room_when_it_is_not() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_hosts = 1);
        let held = get(&pool, "a.test");
        let asks = thread(&pool, |pool| {
            drop(try_get(&pool, "b.test", &[ErrorKind::TooManyHosts]));
        });
        let holder = thread(&pool, move |_| match any(2) {
            0 => held.discard(),
            _ => drop(held),
        });
        join([asks, holder]);
        drop(get(&pool, "c.test"));
        finish(&stage, &pool);
    });
}
