//! What is to rest ready although nobody asked for it, and what is dialled for that.

use super::Machine;
use super::Phase;
use super::conns::State;
use super::id::{ConnId, DialId};
use super::words::Want;
use crate::clock::Moment;
use crate::fault::planted;

impl Machine {
    /// How many connections are missing to the minimum of idle ones, as far as the limits leave room.
    ///
    /// Idle ones that end by `soon`, by age or for want of use, are replaced while they are still there, but no more than `share` per cent of all
    /// that live at once; the others when they are gone.
    pub fn shortfall(&self, soon: Moment, share: u8) -> u32 {
        let dialling = u32::try_from(self.dials.len()).unwrap_or(u32::MAX);
        let most = (u64::from(self.alive) * u64::from(share)).div_ceil(100);
        let soon = if planted("who_is_over_soon_counts_as_there") {
            Moment::ZERO
        } else {
            soon
        };
        let ending = self.ending(soon).min(u32::try_from(most).unwrap_or(u32::MAX));
        let coming = self.counts.held.saturating_add(dialling);
        let there = self.counts.idle.saturating_add(coming);
        let room = self.limits.max_per_host.saturating_sub(self.live());
        // One more than may rest would close another.
        let room = room.min(self.limits.max_idle_per_host.saturating_sub(there));
        let wanted = self.limits.min_idle.min(self.limits.max_idle_per_host);
        let missing = wanted.saturating_sub(there.saturating_sub(ending)).min(room);
        // What is under way for those who wait will not rest.
        match self.phase == Phase::Open && self.line.len == 0 {
            true => missing,
            false => 0,
        }
    }

    /// Idle connections whose time is over by `soon`.
    fn ending(&self, soon: Moment) -> u32 {
        let ends = |since: Moment| since + self.limits.idle_timeout;
        let idle = self.conns.iter().filter(|(_, conn)| conn.state == State::Idle);
        let ending = idle.filter(|(_, conn)| conn.expires.min(ends(conn.since)) <= soon);
        u32::try_from(ending.count()).unwrap_or(u32::MAX)
    }

    /// Dials for nobody, to an address that nothing is held against. None if there is none, or no place.
    pub fn refill(&mut self, now: Moment, want: Want) -> Option<DialId> {
        let now = self.tick(now);
        if self.phase != Phase::Open || self.live() >= self.limits.max_per_host {
            return None;
        }
        let mut candidates = self.ordered(&want);
        candidates.retain(|&ip| self.penalties.blocked(now, ip).is_none());
        Some(DialId(self.start_unasked(want, candidates, false)?))
    }

    /// Whether the driver has yet to say that it may be used.
    pub fn is_held(&self, conn: ConnId) -> bool {
        self.conns
            .slot(conn)
            .is_some_and(|slot| self.conns[slot].state.is_held())
    }

    /// Whether it has yet to show life.
    pub fn is_suspect(&self, conn: ConnId) -> bool {
        self.conns
            .slot(conn)
            .is_some_and(|slot| self.conns[slot].state == State::Suspect)
    }
}
