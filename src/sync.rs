//! The locks, atomics and seeds that the whole crate uses, so that a model checker's can take their place in one line.

#[cfg(not(feature = "__shuttle"))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[cfg(not(feature = "__shuttle"))]
pub(crate) use parking_lot::Mutex;

/// What a [`BriefMutex`] is made of.
#[cfg(not(feature = "__shuttle"))]
use spin::mutex::SpinMutex as Brief;
#[cfg(not(feature = "__shuttle"))]
pub(crate) use spin::mutex::SpinMutexGuard as BriefGuard;

#[cfg(feature = "__shuttle")]
use self::checked::Mutex as Brief;
#[cfg(feature = "__shuttle")]
pub(crate) use self::checked::MutexGuard as BriefGuard;

#[cfg(feature = "__shuttle")]
pub(crate) use self::checked::{AtomicBool, AtomicU64, Mutex, Ordering, chance, yield_now};

/// Lets another thread go on.
#[cfg(not(feature = "__shuttle"))]
pub(crate) use std::thread::yield_now;

/// A lock that can stand in a static. What is the process's and no pool's is not modelled.
pub(crate) use parking_lot::Mutex as StaticMutex;

/// A lock that is held for less time than it takes to put a thread to sleep and to wake it, on cache lines of its own.
///
/// Letting go of it is a plain store, which costs half of what a lock costs that has to ask whether anybody sleeps. Whoever finds it taken
/// steps back before looking again, further each time (Anderson, "The Performance of Spin Lock Alternatives", 1990): so the one who has it
/// keeps the lines of what it guards, and gets its work done, often several times over, instead of losing them to those who look. If it is
/// still taken after that, whoever has it was interrupted; then the processor is left to it for a while.
#[repr(align(128))]
pub(crate) struct BriefMutex<T>(Brief<T>);

/// How long the first step back is, in spins of a processor, and the longest. Forty to a hundred and forty cycles each.
const STEPS: (u32, u32) = (32, 256);
/// Steps before a nap: some 30 to 60 microseconds.
const MOST_STEPS: u32 = 7;
const NAP: std::time::Duration = std::time::Duration::from_micros(50);

impl<T> BriefMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        BriefMutex(Brief::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> BriefGuard<'_, T> {
        if cfg!(feature = "__shuttle") {
            return self.0.lock(); // who waits, waits: the checker knows no time
        }
        self.0.try_lock().unwrap_or_else(|| self.step_back())
    }

    #[cold]
    #[expect(
        clippy::disallowed_methods,
        reason = "the processor is left to another thread; no deadline is meant"
    )]
    fn step_back(&self) -> BriefGuard<'_, T> {
        let (mut step, longest) = STEPS;
        for _ in 0..MOST_STEPS {
            (0..step).for_each(|_| std::hint::spin_loop());
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            step = longest.min(2 * step);
        }
        loop {
            std::thread::sleep(NAP);
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
        }
    }
}

/// A number that the operating system chose, another one each time.
#[cfg(not(feature = "__shuttle"))]
pub(crate) fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// Under the model checker: each lock and each atomic is a point at which another thread may go on. It knows no weaker order than
/// sequential consistency.
#[cfg(feature = "__shuttle")]
mod checked {
    use std::sync::PoisonError;

    use shuttle::rand::{RngCore, thread_rng};
    pub(crate) use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub(crate) use shuttle::thread::yield_now;

    /// The checker's lock with parking_lot's manners: it cannot be poisoned.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// A number that the checker chose: the same one when it repeats a schedule.
    pub(crate) fn chance() -> u64 {
        thread_rng().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    /// Eight threads on two cores, one of which keeps the lock for longer than the others step back.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test has threads of its own")]
    fn a_brief_lock_has_one_holder_however_long_it_is_held() {
        let lock = Arc::new(BriefMutex::new(0_u64));
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let lock = Arc::clone(&lock);
                std::thread::spawn(move || {
                    for turn in 0..10_000 {
                        let mut count = lock.lock();
                        let seen = *count;
                        if number == 0 && turn % 1000 == 0 {
                            std::thread::park_timeout(Duration::from_millis(2));
                        }
                        *count = seen + 1;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a thread that counts");
        }
        assert_eq!(*lock.lock(), 80_000);
    }
}
