//! The sweep that closes what is due, when it is due, and forgets hosts that have nothing left.

use std::sync::Arc;
use std::time::Duration;

use super::host::Slip;
use super::inner::Inner;
use super::leaks::Leak;
use super::lent::{Lent, Standing};
use crate::clock::Moment;
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{ConnId, OriginId};

/// What the clean-up does in rounds, beside what the wheel has it do.
#[derive(Default)]
pub(super) struct Rounds {
    /// When the next one is due.
    due: Moment,
    /// By how much the boot clock was ahead when it was last read.
    pub(super) gap: Option<Duration>,
}

impl Inner {
    /// One turn of the clean-up: looks at what rang, closes what is due, and now and then asks the pool's own policy. Answers when there is
    /// something to do again.
    pub(crate) fn clean_up(self: &Arc<Self>) -> Option<Moment> {
        if self.was_suspended() {
            self.network_changed();
        }
        self.inspect_rung();
        self.sweep();
        let round = self.round().min(self.compare_again());
        // Every host is on the wheel: without one there is nothing to go round.
        let next = self.wheel.lock().next()?;
        Some(next.min(round))
    }

    /// Goes round, if it is time. Answers when it is time again.
    fn round(self: &Arc<Self>) -> Moment {
        let (now, every) = (self.now_coarse(), self.config().cleanup_interval);
        {
            let mut rounds = self.rounds.lock();
            rounds.due = rounds.due.min(now + every); // the interval may have been shortened
            if now < rounds.due {
                return rounds.due;
            }
            rounds.due = now + every;
        }
        self.apply_policy();
        self.watch_descriptors();
        now + every
    }

    /// Looks at every idle connection whose alarm rang.
    fn inspect_rung(self: &Arc<Self>) {
        for (origin, conn) in self.bell.take() {
            self.inspect(origin, conn, false);
        }
    }

    /// Takes an idle connection out, looks at it outside the lock, and puts it back, sets it aside or closes it. One on which nothing happened only
    /// if it is to be looked at `anyway`.
    pub(super) fn inspect(self: &Arc<Self>, origin: OriginId, conn: ConnId, anyway: bool) {
        let taken = self.with_host(origin, |host, _| {
            let single = host.single_mut(conn)?;
            // In use: whoever has it looks when it comes home. Not rung: somebody has looked since.
            if !single
                .lent
                .as_ref()
                .is_some_and(|lent| anyway || lent.is_in_doubt())
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
        self.put_back(origin, conn, lent, verdict);
    }

    /// Puts a connection back that was taken out to be looked at, with the verdict; without one it stands aside.
    pub(super) fn put_back(
        self: &Arc<Self>,
        origin: OriginId,
        conn: ConnId,
        lent: Box<Lent>,
        verdict: Option<Result<(), CloseReason>>,
    ) {
        let mut lent = Some(lent);
        self.with_host(origin, |host, now| {
            let Some(single) = host.single_mut(conn) else {
                return;
            };
            single.lent = lent.take();
            match verdict {
                Some(Err(_)) if planted("the_dead_keep_who_waits") => {}
                Some(verdict) => host.machine.inspected(now, conn, verdict),
                None => host.machine.aside(now, conn),
            }
        });
        // It was closed meanwhile.
        if let Some(lent) = lent {
            lent.wire.end();
        }
    }

    /// Closes everything that is due. Answers how many connections that were.
    pub(super) fn sweep(self: &Arc<Self>) -> usize {
        let mut closed = 0;
        loop {
            let now = self.now_coarse();
            let due = self.wheel.lock().pop_due(now);
            let Some(origin) = due else { return closed };
            closed += self.sweep_host(origin);
        }
    }

    fn sweep_host(self: &Arc<Self>, origin: OriginId) -> usize {
        let config = self.config();
        let idle_timeout = config.idle_timeout;
        let mut slip = Some(Slip::for_closes());
        let swept = self.with_host_and(origin, &mut slip, |host, now| {
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
            let vacant = host.is_vacant() && look == Moment::FAR;
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
