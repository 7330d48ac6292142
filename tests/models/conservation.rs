//! Permits are conserved: whatever callers do, dials fail and connections go, at the end each permit is a live connection's.

use hotpool::scripted::{Act, Stage};
use hotpool::{ErrorKind, GetOptions, HotConnPool, Phase, Warm};

use crate::explore::explore;
use crate::stand::{any, finish, give_up, join, pool, thread, try_get};

/// A dial that failed leaves its error, and its address a penalty for as long as time stands. A host may be one too many.
const EXPECTED: &[ErrorKind] = &[
    ErrorKind::ConnectionRefused,
    ErrorKind::Blocked,
    ErrorKind::TooManyHosts,
];

fn once(pool: &HotConnPool) {
    let host = ["a.test", "b.test"][any(2) as usize];
    if any(4) == 0 {
        return give_up(pool.get(host), any(4));
    }
    let Some(conn) = try_get(pool, host, EXPECTED) else {
        return;
    };
    match any(3) {
        0 => conn.discard(),
        1 => drop(conn),
        _ => drop(pool.put(conn)),
    }
}

#[test]
fn permits_are_conserved() {
    explore(|| {
        let stage = Stage::new(2);
        let pool = pool(&stage, |config| {
            config.max_connections = 2;
            config.max_per_ip = 1;
        });
        if any(2) == 0 {
            stage.next(Phase::Tls, Act::Err);
        }
        join([0; 3].map(|_| {
            thread(&pool, |pool| {
                once(&pool);
                once(&pool);
            })
        }));
        finish(&stage, &pool);
    });
}

/// The owner of the pool changes its mind meanwhile: caps that shrink and grow, a pause, connections that have to go, fewer hosts.
fn meddle(pool: &HotConnPool) {
    let manager = pool.manager();
    match any(5) {
        0 => {
            let mut config = (*manager.config()).clone();
            config.max_connections = 1 + any(3);
            config.max_per_host = 1 + any(2);
            config.max_idle_per_host = any(2);
            manager.update_config(config).unwrap();
        }
        1 => {
            manager.pause();
            manager.resume();
        }
        2 => drop(manager.evict_ip([10, 0, 0, 1].into())),
        3 => drop(manager.remove("a.test").unwrap()),
        _ => give_up(
            pool.warm("b.test", Warm::EveryIp(1), GetOptions::new()),
            1 + any(3),
        ),
    }
}

#[test]
fn permits_are_conserved_while_the_rules_change() {
    explore(|| {
        let stage = Stage::new(2);
        let pool = pool(&stage, |config| {
            config.max_connections = 2;
            config.max_per_ip = 1 + any(2);
            config.max_hosts = 1 + any(2);
        });
        let users = [0; 2].map(|_| {
            thread(&pool, |pool| {
                once(&pool);
                once(&pool);
            })
        });
        let owner = thread(&pool, |pool| {
            meddle(&pool);
            meddle(&pool);
        });
        join(users);
        join([owner]);
        finish(&stage, &pool);
    });
}
