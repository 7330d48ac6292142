//! Get against close: whoever asks while the pool closes has a connection or is refused, and nothing is left when it has closed.

use hotpool::scripted::{Act, Stage};
use hotpool::{ErrorKind, Phase};

use crate::explore::explore;
use crate::stand::{any, closes, get, join, pool, thread, try_get};

#[test]
fn a_get_meets_close() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |config| config.max_per_host = 1);
        drop(get(&pool, "old.test"));
        // Longer on its way than the close that overtakes it, or not.
        stage.next(Phase::Connect, Act::Slow(any(4)));
        // A host that nobody knows yet is in no list that the close goes through.
        let callers = ["old.test", "new.test", "new.test"].map(|host| {
            thread(&pool, move |pool| {
                drop(try_get(&pool, host, &[ErrorKind::Closed]))
            })
        });
        let closer = thread(&pool, {
            let stage = stage.clone();
            move |pool| closes(&stage, &pool)
        });
        join([closer]);
        join(callers);
        let late = try_get(&pool, "old.test", &[ErrorKind::Closed]);
        assert!(late.is_none(), "it was closed");
        closes(&stage, &pool);
    });
}
