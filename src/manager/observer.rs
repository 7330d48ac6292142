//! Whoever wants to be told what happens in a pool, as it happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionManager;
use super::inner::Inner;
use crate::conn::ConnInfo;
use crate::error::Error;
use crate::event::CloseReason;
use crate::fault::planted;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Something that happened. What a `get` and a `put` of an idle connection do is none of it: [`stats`](crate::HotConnPool::stats) counts that.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection has come to be. One for each in [`Counters::opened`](crate::Counters::opened).
    #[non_exhaustive]
    Opened {
        /// What is known of it.
        info: &'a ConnInfo,
    },
    /// A connection has closed. One for each that was opened; of one that ends at birth it may be told first.
    #[non_exhaustive]
    Closed {
        /// What was known of it.
        info: &'a ConnInfo,
        /// Why.
        reason: CloseReason,
        /// How long it lived.
        age: Duration,
    },
    /// An attempt to dial, a resolution or a validation failed. One for each in [`Counters::failures`](crate::Counters::failures).
    #[non_exhaustive]
    Failed {
        /// For what target: `host` or `host:port`.
        target: &'a str,
        /// In which phase, at which address, and why.
        error: &'a Error,
    },
    /// A caller that stood in line was served, or will not be. Of one that gave up by itself nothing is told.
    #[non_exhaustive]
    Waited {
        /// For what target: `host` or `host:port`.
        target: &'a str,
        /// How long it stood there.
        waited: Duration,
        /// Why it was not served, if it was not.
        error: Option<&'a Error>,
    },
}

/// Is told of every [`Event`]: see [`HotConnPool::on_event`](crate::HotConnPool::on_event). A closure will do.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use hotpool::{Event, HotConnPool, Observer};
///
/// #[derive(Default)]
/// struct Opened(AtomicU64);
///
/// impl Observer for Opened {
///     fn on_event(&self, event: &Event<'_>) {
///         if let Event::Opened { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let pool = HotConnPool::builder().build()?;
/// pool.on_event(Opened::default());
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something happened: told at once, on the thread on which it happened, with no lock held. It may ask the pool anything; it must not block.
    fn on_event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

type Observers = Arc<[Arc<dyn Observer>]>;

/// Those who are told.
#[derive(Default)]
pub(super) struct Audience {
    /// Whether there is anybody.
    attended: AtomicBool,
    observers: Mutex<Observers>,
}

impl Audience {
    fn change(&self, change: impl FnOnce(&[Arc<dyn Observer>]) -> Observers) {
        let mut observers = self.observers.lock();
        let changed = change(&observers);
        self.attended.store(!changed.is_empty(), Ordering::Release);
        let before = std::mem::replace(&mut *observers, changed);
        drop(observers);
        drop(before); // an observer may be gone with it, whatever that does
    }

    /// Nobody's lock is held.
    pub(super) fn tell(&self, event: Event<'_>) {
        if !self.attended.load(Ordering::Acquire) {
            return;
        }
        let observers = Arc::clone(&self.observers.lock());
        for observer in observers.iter() {
            let told = catch_unwind(AssertUnwindSafe(|| observer.on_event(&event)));
            if told.is_err() && !planted("who_panics_is_told_again") {
                self.change(|all| {
                    let others = all.iter().filter(|other| !Arc::ptr_eq(other, observer));
                    others.cloned().collect()
                });
            }
        }
    }
}

impl ConnectionManager {
    /// Has somebody told of every event from now on: see [`HotConnPool::on_event`](crate::HotConnPool::on_event).
    pub fn on_event(&self, observer: impl Observer) {
        let observer: Arc<dyn Observer> = Arc::new(observer);
        let audience = &self.inner().audience;
        audience.change(|all| all.iter().cloned().chain([observer]).collect());
    }
}

impl Inner {
    /// Something failed that was counted.
    pub(super) fn tell_of_failure(&self, target: &str, error: &Error) {
        if !planted("failures_are_not_told") {
            self.audience.tell(Event::Failed { target, error });
        }
    }
}
