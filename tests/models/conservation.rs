//! Permits are conserved: whatever callers do, dials fail and connections go, at the end each permit is a live connection's.

use hotpool::scripted::{Act, Stage};
use hotpool::{ErrorKind, HotConnPool, Phase};

use crate::explore::explore;
use crate::stand::{any, finish, give_up, join, pool, thread, try_get};

/// A dial that failed leaves its error, and its address a penalty for as long as time stands.
const EXPECTED: &[ErrorKind] = &[ErrorKind::ConnectionRefused, ErrorKind::Blocked];

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
