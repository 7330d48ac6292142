//! The locks, atomics and seeds that the whole crate uses, so that a model checker's can take their place in one line.

#[cfg(not(feature = "__shuttle"))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[cfg(not(feature = "__shuttle"))]
pub(crate) use parking_lot::Mutex;

#[cfg(feature = "__shuttle")]
pub(crate) use self::checked::{AtomicBool, AtomicU64, Mutex, Ordering, chance};

/// A lock that can stand in a static. What is the process's and no pool's is not modelled.
pub(crate) use parking_lot::Mutex as StaticMutex;

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
    }

    /// A number that the checker chose: the same one when it repeats a schedule.
    pub(crate) fn chance() -> u64 {
        thread_rng().next_u64()
    }
}
