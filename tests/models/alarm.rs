//! Alarm against park: a connection that its peer ends, at whatever moment, does not rest for ever.

use hotpool::ErrorKind;
use hotpool::scripted::Stage;

use crate::explore::explore;
use crate::stand::{any, finish, get, join, pool, thread, try_get, until};

/// What comes of a connection that is ended at its birth.
const EXPECTED: &[ErrorKind] = &[ErrorKind::ConnectionReset, ErrorKind::Blocked];

#[test]
fn an_ended_connection_does_not_rest() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_per_host = 2);
        // At rest, in use, or at its very birth.
        if any(2) == 0 {
            drop(get(&pool, "a.test"));
        }
        let users = [0; 2].map(|_| thread(&pool, |pool| drop(try_get(&pool, "a.test", EXPECTED))));
        let peer = thread(&pool, {
            let stage = stage.clone();
            move |_| {
                for _ in 0..4 {
                    stage.close_all();
                }
            }
        });
        join(users);
        join([peer]);
        until(|| (stage.struck() > 0).then(|| format!("{} of {} rest", stage.struck(), stage.open())));
        finish(&stage, &pool);
    });
}
