//! The sweep that closes what is due, when it is due, and forgets hosts that have nothing left.

use std::pin::pin;
use std::sync::{Arc, Weak};

use super::inner::Inner;
use super::leaks::Leak;
use super::lent::Standing;
use crate::clock::{Moment, before};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{ConnId, OriginId};
use crate::sync::Ordering;

/// Starts the sweeper, once for each pool, at its first host: from then on there may be something to sweep.
pub(super) fn start(inner: &Arc<Inner>) {
    if planted("nobody_sweeps") || inner.upkeep.swap(true, Ordering::AcqRel) {
        return;
    }
    if inner.rt.check(None).is_err() {
        inner.upkeep.store(false, Ordering::Release); // the next one tries again
        return;
    }
    let sweeper = Sweeper(Arc::downgrade(inner));
    let _ = inner.rt.job(None, async move { sweeper.run().await }); // one that did not start has been dropped, which lets the next one try
}

/// The sweeper of a pool. However it ends (its runtime may, while the pool goes on in another), another one starts, at the next `get` at the latest.
struct Sweeper(Weak<Inner>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.upkeep.store(false, Ordering::Release);
        }
    }
}

impl Sweeper {
    /// Looks at what rang and sweeps, then sleeps until the wheel's next deadline or until it is called. Holds the pool only while it works.
    async fn run(&self) {
        while let Some(inner) = self.0.upgrade() {
            inner.inspect_rung();
            inner.sweep();
            let next = inner.wheel.lock().next();
            let bell = Arc::clone(&inner.bell);
            let clock = Arc::clone(&inner.clock);
            drop(inner);
            match next {
                Some(at) => {
                    before(&*clock, at, pin!(bell.call.notified())).await;
                }
                None => bell.call.notified().await,
            }
        }
    }
}

impl Inner {
    /// Looks at every idle connection whose alarm rang.
    fn inspect_rung(self: &Arc<Self>) {
        for (origin, conn) in self.bell.take() {
            self.inspect(origin, conn);
        }
    }

    /// Takes an idle connection out, looks at it outside the lock, and puts it back, sets it aside or closes it.
    fn inspect(self: &Arc<Self>, origin: OriginId, conn: ConnId) {
        let taken = self.with_host(origin, |host, _| {
            let single = host.single_mut(conn)?;
            // In use: whoever has it looks when it comes home. Not rung: somebody has looked since.
            if !single.lent.as_ref().is_some_and(|lent| lent.is_in_doubt())
                || !(planted("inspected_where_it_stands") || host.machine.inspect(conn))
            {
                return None;
            }
            host.single_mut(conn)?.lent.take()
        });
        let Some(mut lent) = taken.flatten() else { return };
        let verdict = match lent.look_again() {
            _ if planted("every_ring_is_an_end") => Some(Err(CloseReason::PeerClosed)),
            Standing::Doomed(reason) => Some(Err(reason)),
            Standing::HalfRecord if planted("half_a_record_is_an_end") => Some(Err(CloseReason::StrayBytes)),
            Standing::HalfRecord => None,
            Standing::Sound => Some(Ok(())),
        };
        let back = self.with_host(origin, |host, now| {
            let Some(single) = host.single_mut(conn) else {
                return Some(lent);
            };
            single.lent = Some(lent);
            match verdict {
                Some(Err(_)) if planted("the_dead_keep_who_waits") => {}
                Some(verdict) => host.machine.inspected(now, conn, verdict),
                None => host.machine.aside(now, conn),
            }
            None
        });
        // It was closed meanwhile.
        if let Some(lent) = back.flatten() {
            lent.wire.end();
        }
    }

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
        let config = self.config();
        let idle_timeout = config.idle_timeout;
        let swept = self.with_host(origin, |host, now| {
            if now < host.armed {
                // Looked at later: two who armed it may have come to the wheel in the other order.
                return Swept {
                    next: Some(host.armed).filter(|&at| at != Moment::FAR),
                    ..Swept::default()
                };
            }
            let closed = host.machine.handle_timeout(now) as usize;
            let (leaks, look) = host.leaks(now, config.leak_timeout);
            let _ = host.machine.arm(now); // `armed` says it all
            let look = look.unwrap_or(Moment::FAR).min(host.machine.armed());
            let forget_at = host
                .machine
                .penalties()
                .last()
                .max(host.last_asked + idle_timeout);
            let vacant = host.machine.is_vacant() && look == Moment::FAR;
            let empty = vacant && now >= forget_at;
            // One that has nothing now may get it, or is to be forgotten.
            let look = match look == Moment::FAR && !empty {
                true => forget_at.max(now + idle_timeout),
                false => look,
            };
            // This look is over, whatever it was for.
            host.armed = Moment::FAR;
            let next = host.arm_at(look);
            Swept {
                closed,
                leaks,
                next,
                empty,
            }
        });
        let Some(Swept {
            closed,
            leaks,
            next,
            empty,
        }) = swept
        else {
            return 0;
        };
        leaks.iter().for_each(Leak::report);
        self.rearm(origin, next);
        if empty {
            self.forget(origin);
        }
        closed
    }
}

#[derive(Default)]
struct Swept {
    closed: usize,
    leaks: Vec<Leak>,
    next: Option<Moment>,
    empty: bool,
}
