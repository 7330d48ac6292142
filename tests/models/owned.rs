//! What a call brought goes with the last who holds it: it may ask the pool anything as it does, so it goes under no lock.

use std::sync::Arc;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::Stage;
use hotpool::{Dial, DialTo, Dialing, GetOptions, HotConnPool, Outcome};

use crate::explore::explore;
use crate::stand::{block_on, finish, join, set_up, thread};

const INTERVAL: Duration = Duration::from_secs(10);

struct Leaves(HotConnPool);

impl Dial for Leaves {
    fn dial<'a>(&'a self, _: DialTo<'a>) -> Dialing<'a> {
        unreachable!("whatever is dialled is played")
    }
}

impl Drop for Leaves {
    fn drop(&mut self) {
        assert!(self.0.stats().total <= 1);
    }
}

/// A block is to be asked about as who heard of it, just as the last connection of that one goes; nothing is dialled, for all is paused.
#[test]
fn who_heard_of_a_block_goes_while_it_is_looked_for() {
    explore(|| {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        let config = set_up(|config| config.blacklist_interval = INTERVAL);
        let pool = stage.welcome_pool(config, clock.clone()).unwrap();
        let call = GetOptions::new().dial(Some(Arc::new(Leaves(pool.clone()))));
        let conn = block_on(pool.get_with("a.test", call)).unwrap();
        pool.manager().pause();
        conn.report(Outcome::Status(403));
        let user = thread(&pool, move |_| drop(conn));
        let time = thread(&pool, move |_| {
            for _ in 0..3 {
                clock.advance(INTERVAL);
                shuttle::thread::yield_now();
            }
        });
        join([user, time]);
        pool.manager().resume();
        finish(&stage, &pool);
    });
}
