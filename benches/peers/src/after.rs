//! The cycle when something was sent and answered in between: the same work, with whatever an exchange left behind, and colder caches.

use std::time::Instant;

use crate::contender::{Contender, Rig};
use crate::rounds::median;
use crate::server::exchange;

/// Nanoseconds of `get` and `put` together, around an exchange: the median over so many, less what reading the clock costs.
///
/// The thread's CPU clock costs more than what is measured here, so this is time, not CPU time.
pub(crate) fn around_exchanges<C: Contender>(rig: &Rig<C>, exchanges: usize) -> f64 {
    let pool = &rig.contender;
    let mut times = Vec::with_capacity(exchanges);
    rig.runtime.block_on(async {
        for _ in 0..exchanges {
            let before = Instant::now();
            let mut lease = pool.get().await;
            let got = before.elapsed();
            exchange(pool.stream(&mut lease).expect("a stream")).await;
            let before = Instant::now();
            pool.settled(&mut lease);
            pool.put(lease);
            times.push((got + before.elapsed()).as_secs_f64() * 1e9);
        }
    });
    median(times) - 2.0 * of_the_clock()
}

/// What a reading of the clock adds to a time, in nanoseconds.
fn of_the_clock() -> f64 {
    let once = |_| {
        let before = Instant::now();
        before.elapsed().as_secs_f64() * 1e9
    };
    median((0..10_001).map(once).collect())
}
