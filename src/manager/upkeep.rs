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
    if inner.rt.job(run(Arc::downgrade(inner))).is_err() {
        inner.upkeep.store(false, Ordering::Release); // no runtime here: the next dial tries again
    }
}

/// Sweeps, then sleeps until the wheel's next deadline or until that changes. Holds the pool only while it sweeps.
async fn run(pool: Weak<Inner>) {
    loop {
        let Some(inner) = pool.upgrade() else { return };
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
