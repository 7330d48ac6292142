//! Age: lifetimes, idle times, and the next moment at which something is due.
//!
//! | timer | when to … |
//! |---|---|
//! | idle | close a connection that nobody used for `idle_timeout` |
//! | lifetime | close a connection at the end of the life it was given at birth, or stop new streams on it |
//! | grace | cut the streams that outlived their connection's lifetime by `lifetime_grace` |
//! | retry | dial for those who wait until an address is no longer blocked |

use std::time::Duration;

use super::Machine;
use super::conns::{NONE, State};
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol};
use crate::fault::planted;

/// How many connections one call of [`Machine::handle_timeout`] closes at the most, so that whoever waits for the host's lock waits for
/// microseconds.
pub const AT_ONCE: u64 = 16;

impl Machine {
    /// The earliest moment at which [`handle_timeout`](Machine::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let oldest = self
            .lanes
            .iter()
            .flat_map(|lane| [lane.idle.oldest, lane.aside.oldest])
            .filter(|&slot| slot != NONE);
        let idle = oldest
            .map(|slot| self.conns[slot].since + self.limits.idle_timeout)
            .min();
        let lifetime = self.lifetimes.first().map(|(at, _)| at);
        let retry = Some(self.retry_at);
        [idle, lifetime, retry]
            .into_iter()
            .flatten()
            .min()
            .filter(|&at| at != Moment::FAR)
    }

    /// Does what is due, and answers how many connections it closed. Costs what it closes, and closes no more than [`AT_ONCE`]: where it
    /// answers that many there may be more, and `arm` says that it is due again.
    pub fn handle_timeout(&mut self, now: Moment) -> u32 {
        let now = self.tick(now);
        let before = self.counts.closed;
        if now >= self.armed {
            self.armed = Moment::FAR;
        }
        for index in 0..self.lanes.len() {
            while self.counts.closed - before < AT_ONCE
                && let Some(slot) = self.idled_out(now, index)
            {
                self.end(slot, CloseReason::IdleTimeout);
                if planted("one_a_pass") {
                    break;
                }
            }
        }
        while self.counts.closed - before < AT_ONCE
            && let Some((_, slot)) = self.lifetimes.first().filter(|&(at, _)| now >= at)
        {
            self.lifetimes.unset(slot);
            self.outlived(now, slot);
        }
        if before != self.counts.closed || now >= self.retry_at {
            self.settle(now);
        }
        u32::try_from(self.counts.closed - before).unwrap_or(u32::MAX)
    }

    /// When the [`Wheel`](super::Wheel) has to hold this origin, if it does not for that moment or an earlier one.
    ///
    /// Ask after whatever may bring a deadline nearer: a new connection, new limits, a timeout that was handled, a
    /// place in line. Not after a connection came home: while one lives the answer is never later than one
    /// `idle_timeout` from now, and what comes home later is due later.
    pub fn arm(&mut self, now: Moment) -> Option<Moment> {
        let now = self.tick(now);
        let seldom = planted("armed_for_the_lifetime");
        let span = if seldom {
            self.limits.max_lifetime
        } else {
            self.limits.idle_timeout
        };
        let look = (self.alive > 0).then(|| now + span);
        let at = self.poll_timeout().into_iter().chain(look).min()?;
        if at >= self.armed {
            return None;
        }
        self.armed = at;
        Some(at)
    }

    /// Whether the end of a block is waited for that comes before the wheel looks.
    pub fn is_due_sooner(&self) -> bool {
        self.retry_at < self.armed && !planted("nobody_looks_for_the_end_of_a_block")
    }

    /// For when the wheel is to hold this origin, by what [`arm`](Machine::arm) answered last; [`Moment::FAR`] if it is not.
    pub fn armed(&self) -> Moment {
        self.armed
    }

    /// The longest idle of a lane, if its time is over.
    fn idled_out(&self, now: Moment, lane: usize) -> Option<u32> {
        let lane = &self.lanes[lane];
        let aside = match planted("what_is_aside_is_never_over") {
            true => NONE,
            false => lane.aside.oldest,
        };
        let grace = Duration::from_nanos(u64::from(planted("idle_deadline_is_exclusive")));
        let over =
            |slot: &u32| now.since(self.conns[*slot].since) >= self.limits.idle_timeout.saturating_add(grace);
        if planted("idle_is_never_over") {
            return None;
        }
        [lane.idle.oldest, aside]
            .into_iter()
            .filter(|&slot| slot != NONE)
            .find(over)
    }

    /// A lifetime, or the grace after it, ended.
    fn outlived(&mut self, now: Moment, slot: u32) {
        let conn = &self.conns[slot];
        let grace = if planted("grace_is_forgotten") {
            Duration::ZERO
        } else {
            self.limits.lifetime_grace
        };
        let cut = conn.expires + grace;
        match conn.state {
            // It is out of the machine's hands for a moment; `inspected` looks at its age.
            State::Inspected => {}
            _ if conn.leases == 0 => self.end(slot, CloseReason::Lifetime),
            // In use and for one caller only: it closes when it comes home.
            _ if conn.protocol == Protocol::Http1 => {}
            State::Retired(reason) if now >= cut => self.end(slot, reason),
            _ if now >= cut => self.end(slot, CloseReason::Lifetime),
            state => {
                if state.is_sound() || state == State::Suspect {
                    self.set_state(slot, State::Retired(CloseReason::Lifetime));
                }
                self.lifetimes.set(slot, cut);
            }
        }
    }

    /// When a connection born now has to go.
    pub(super) fn expiry(&mut self, now: Moment) -> Moment {
        let whole = u64::try_from(self.limits.max_lifetime.as_nanos()).unwrap_or(u64::MAX);
        let span = whole / 100 * u64::from(self.limits.jitter.min(100));
        let less = self.rng.below(span.saturating_add(1));
        if planted("lifetime_wraps") {
            return Moment::from_nanos(now.as_nanos().wrapping_add(whole - less));
        }
        now + Duration::from_nanos(whole - less)
    }
}
