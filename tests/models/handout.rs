//! Single hand-out: nobody has a connection that another has, and nobody is promised one that is not there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hotpool::scripted::Stage;
use hotpool::{ErrorKind, HotConn};

use crate::explore::explore;
use crate::stand::{any, finish, get, join, pool, rest, thread, try_get, until, yield_now};

/// What comes of a connection that is spoilt at its birth.
const EXPECTED: &[ErrorKind] = &[ErrorKind::Tls, ErrorKind::Blocked];

/// Which connections are in use, by serial number.
#[derive(Clone, Default)]
struct InUse(Arc<Mutex<BTreeSet<u64>>>);

impl InUse {
    fn hold(&self, conn: &HotConn) {
        let serial = conn.info().serial;
        assert!(self.0.lock().unwrap().insert(serial), "{serial} is another's");
        yield_now();
        assert!(self.0.lock().unwrap().remove(&serial));
    }
}

#[test]
fn a_connection_has_one_user() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_per_host = 2);
        let in_use = InUse::default();
        // One rests already, so that what befalls it can befall it before anybody asks.
        drop(get(&pool, "a.test"));
        let users = [0; 3].map(|_| {
            let in_use = in_use.clone();
            thread(&pool, move |pool| {
                for _ in 0..2 {
                    if let Some(conn) = try_get(&pool, "a.test", EXPECTED) {
                        in_use.hold(&conn);
                    }
                }
            })
        });
        // Places are emptied and filled anew while their connections are out, and looked at while they rest.
        let meddler = thread(&pool, {
            let stage = stage.clone();
            move |pool| {
                for _ in 0..2 {
                    match any(3) {
                        0 => drop(pool.manager().evict_host("a.test").unwrap()),
                        1 => drop(stage.stray_all()),
                        _ => {}
                    }
                }
            }
        });
        join(users);
        join([meddler]);
        until(|| (stage.struck() > 0).then(|| "a spoilt connection rests".into()));
        rest(&pool);
        assert_eq!(stage.open(), pool.size(), "as many are open as are known");
        finish(&stage, &pool);
    });
}
