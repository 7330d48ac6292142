//! Get against close: whoever asks while the pool closes has a connection or is refused, and nothing is left when it has closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotpool::scripted::{Act, Stage};
use hotpool::{ErrorKind, Phase};
use parking_lot::Mutex;

use crate::explore::explore;
use crate::stand::{LONG, any, closes, get, join, pool, thread, try_get};

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

/// A step that is taken runs, and one that comes too late is refused.
#[test]
fn a_step_meets_close() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |_| {});
        let (ran, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(0)));
        let owner = {
            let (ran, taken) = (Arc::clone(&ran), Arc::clone(&taken));
            thread(&pool, move |pool| {
                for _ in 0..2 {
                    let ran = Arc::clone(&ran);
                    let step = async move {
                        ran.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, String>(())
                    };
                    let registered = pool.on_close("step", LONG, step);
                    *taken.lock() += usize::from(registered.is_ok());
                }
            })
        };
        let closer = thread(&pool, {
            let stage = stage.clone();
            move |pool| closes(&stage, &pool)
        });
        join([owner, closer]);
        assert_eq!(ran.load(Ordering::SeqCst), *taken.lock());
    });
}
