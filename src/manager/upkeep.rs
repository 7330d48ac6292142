//! The sweep that closes what is due, when it is due, and forgets hosts that have nothing left.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::inner::Inner;
use crate::clock::before;
use crate::machine::OriginId;

/// Starts the sweeper, once for each pool, at its first dial: from then on there may be something to sweep.
pub(super) fn start(inner: &Arc<Inner>) {
    if inner.upkeep.swap(true, Ordering::AcqRel) {
        return;
    }
    let _ = inner.rt.job(run(Sweeper(Arc::downgrade(inner)))); // one that did not start has been dropped
}

/// The one sweeper of a pool. Wherever it ends, with its runtime or before it began, the next dial starts another.
struct Sweeper(Weak<Inner>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.upkeep.store(false, Ordering::Release);
        }
    }
}

/// Sweeps, then sleeps until the wheel's next deadline or until that changes. Holds the pool only while it sweeps.
async fn run(sweeper: Sweeper) {
    loop {
        let Some(inner) = sweeper.0.upgrade() else { return };
        inner.sweep();
        let next = inner.wheel.lock().next();
        let rearmed = Arc::clone(&inner.rearmed);
        let clock = Arc::clone(&inner.dialler.clock);
        drop(inner);
        match next {
            Some(at) => {
                before(&*clock, at, rearmed.notified()).await;
            }
            None => rearmed.notified().await,
        }
    }
}

impl Inner {
    /// Closes everything that is due. Answers how many connections that were.
    pub(super) fn sweep(self: &Arc<Self>) -> usize {
        let mut closed = 0;
        loop {
            let now = self.clock().now_coarse();
            let due = self.wheel.lock().pop_due(now);
            let Some(origin) = due else { return closed };
            closed += self.sweep_host(origin);
        }
    }

    fn sweep_host(self: &Arc<Self>, origin: OriginId) -> usize {
        let linger = self.config.idle_timeout;
        let swept = self.with_host(origin, |host, now| {
            let closed = host.machine.handle_timeout(now) as usize;
            let forget_at = host.last_asked + linger;
            let next = match host.machine.arm(now) {
                None if host.machine.is_vacant() && now >= forget_at => None,
                None => Some(forget_at.max(now + linger)),
                at => at,
            };
            (closed, next)
        });
        match swept {
            None => 0,
            Some((closed, Some(at))) => {
                self.wheel.lock().arm(origin, at);
                closed
            }
            Some((closed, None)) => {
                self.forget(origin);
                closed
            }
        }
    }
}
