//! The sweep that closes what is due, when it is due, and forgets hosts that have nothing left.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::host::Host;
use super::inner::Inner;
use crate::clock::{Moment, before};
use crate::machine::{OriginId, PenaltyTerms};

/// Starts the sweeper, once for each pool, at its first host: from then on there may be something to sweep.
pub(super) fn start(inner: &Arc<Inner>) {
    if inner.upkeep.swap(true, Ordering::AcqRel) {
        return;
    }
    let sweeper = Sweeper(Arc::downgrade(inner));
    let _ = inner.rt.job(None, async move { sweeper.run().await }); // one that did not start has been dropped: the next one tries again
}

/// The sweeper of a pool. However it ends (its runtime may, while the pool goes on in another), the next new host or dial starts another.
struct Sweeper(Weak<Inner>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.upkeep.store(false, Ordering::Release);
        }
    }
}

impl Sweeper {
    /// Sweeps, then sleeps until the wheel's next deadline or until that changes. Holds the pool only while it sweeps.
    async fn run(&self) {
        while let Some(inner) = self.0.upgrade() {
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
        let swept = self.with_host(origin, |host, now| {
            if now < host.armed {
                return Swept {
                    closed: 0,
                    next: None,
                    empty: false,
                }; // a stale entry: the host is looked at later
            }
            host.armed = Moment::FAR;
            let closed = host.machine.handle_timeout(now) as usize;
            let next = host.arm(now);
            let forget_at = host.last_asked + self.linger(host);
            let vacant = host.machine.is_vacant() && next.is_none();
            let empty = vacant && now >= forget_at;
            let next = match next {
                None if !empty => host.arm_at(forget_at.max(now + self.config.idle_timeout)),
                next => next,
            };
            Swept { closed, next, empty }
        });
        let Some(Swept { closed, next, empty }) = swept else {
            return 0;
        };
        self.rearm(origin, next);
        if empty {
            self.forget(origin);
        }
        closed
    }

    /// For how long a host that nobody asks for is remembered: longer where there are failures to remember.
    fn linger(&self, host: &Host) -> Duration {
        match host.machine.penalties().is_empty() {
            true => self.config.idle_timeout,
            false => self.config.idle_timeout.max(PenaltyTerms::default().max),
        }
    }
}

struct Swept {
    closed: usize,
    next: Option<Moment>,
    empty: bool,
}
