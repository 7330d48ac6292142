//! How connections end: one by one, to make room, or all together. And how limits change under them.

use std::net::IpAddr;

use super::conns::{List, NONE, State};
use super::id::{ConnId, DialId, Key};
use super::lanes::Lane;
use super::limits::Limits;
use super::words::{Action, ConnInfo, Evict, Evicted, Refusal};
use super::{Machine, Phase};
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol};
use crate::fault::planted;

impl Machine {
    /// The connection is over, whatever it was doing. Leases that are out answer this reason when they come home.
    pub fn died(&mut self, now: Moment, conn: ConnId, reason: CloseReason) {
        let now = self.tick(now);
        let Some(slot) = self.alive(conn) else { return };
        match planted("death_waits_for_leases") {
            false => self.end(slot, reason),
            true => self.wind_up(slot, reason),
        }
        self.settle(now);
    }

    /// No new leases: closes now if idle, else with its last lease.
    pub fn retire(&mut self, now: Moment, conn: ConnId, reason: CloseReason) {
        let now = self.tick(now);
        let Some(slot) = self.alive(conn) else { return };
        self.wind_up(slot, reason);
        self.settle(now);
    }

    /// Takes a connection that is idle or aside out so that the driver can look at it unlocked: nobody gets it meanwhile, and who
    /// would have got it waits for the verdict. False if it is neither any more.
    pub fn inspect(&mut self, conn: ConnId) -> bool {
        let idle = self
            .conns
            .slot(conn)
            .filter(|&slot| matches!(self.conns[slot].state, State::Idle | State::Aside));
        if let Some(slot) = idle {
            self.set_state(slot, State::Inspected);
        }
        idle.is_some()
    }

    /// The verdict: back with the age it had, or closed.
    pub fn inspected(&mut self, now: Moment, conn: ConnId, verdict: Result<(), CloseReason>) {
        let now = self.tick(now);
        let Some(slot) = self.under_inspection(conn) else {
            return;
        };
        match verdict {
            Ok(()) => self.reinstate(now, slot),
            Err(reason) => {
                self.end(slot, reason);
                self.settle(now);
            }
        }
    }

    fn under_inspection(&self, conn: ConnId) -> Option<u32> {
        let inspected = |slot: &u32| self.conns[*slot].state == State::Inspected;
        self.alive(conn).filter(inspected)
    }

    /// The verdict is not to be had yet: aside, with the age it had. Who waited for it waits for others.
    pub fn aside(&mut self, now: Moment, conn: ConnId) {
        let now = self.tick(now);
        let Some(slot) = self.under_inspection(conn) else {
            return;
        };
        match self.unfit(now, slot) {
            Some(reason) => self.wind_up(slot, reason),
            None => self.set_state(slot, State::Aside),
        }
        self.settle(now);
    }

    /// The connection that nobody has used for the longest time, idle or aside, of all or to one address.
    pub fn longest_idle(&self, ip: Option<IpAddr>) -> Option<(Moment, ConnId, IpAddr)> {
        let near = |lane: &Lane| ip.is_none_or(|ip| ip == lane.ip);
        let both = [self.oldest_idle(near), self.oldest_aside(near)];
        let (since, slot) = both.into_iter().flatten().min()?;
        let lane = self.conns[slot].lane as usize;
        Some((since, self.conns.id(slot), self.lanes[lane].ip))
    }

    /// Closes the longest idle connection to make room elsewhere, if it has been idle long enough.
    pub fn evict_idle(&mut self, now: Moment, evict: Evict) -> Evicted {
        let now = self.tick(now);
        match self.longest_idle(evict.ip) {
            None => Evicted::None,
            Some((since, ..)) if since > evict.not_after && !planted("spares_nobody") => {
                Evicted::Younger(since)
            }
            Some((_, conn, _)) => {
                self.end(conn.0.slot, CloseReason::Evicted);
                self.settle(now);
                Evicted::Closed(conn)
            }
        }
    }

    /// Keeps what passes. The rest closes, at once or with its last lease.
    pub fn retain(&mut self, now: Moment, reason: CloseReason, mut keep: impl FnMut(&ConnInfo) -> bool) {
        let now = self.tick(now);
        for slot in 0..self.conns.extent() {
            if !self.conns[slot].state.is_live() || keep(&self.describe(slot)) {
                continue;
            }
            match planted("evicting_cuts_leases") {
                false => self.wind_up(slot, reason),
                true => self.end(slot, reason),
            }
        }
        self.settle(now);
    }

    /// Keeps nothing, and stays usable: what is dialled from now on is new.
    pub fn evict_all(&mut self, now: Moment, reason: CloseReason) {
        self.retain(now, reason, |_| false);
    }

    /// While paused nothing is handed out or dialled: who comes waits, and what comes home rests.
    pub fn set_paused(&mut self, now: Moment, paused: bool) {
        let now = self.tick(now);
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = if paused { Phase::Paused } else { Phase::Open };
        if paused {
            self.give_up_unbegun();
        }
        for slot in 0..self.conns.extent() {
            self.serve(slot, true);
        }
        self.settle(now);
    }

    /// The end: refuses who waits, abandons dials, closes what is idle, and what is leased when it comes home.
    pub fn close(&mut self, now: Moment) {
        let now = self.tick(now);
        self.phase = Phase::Closed;
        let everybody = if planted("close_forgets_the_line") {
            0
        } else {
            u64::MAX
        };
        for queue in self.line.by_arrival() {
            self.refuse(queue, everybody, Refusal::Closed);
        }
        let dials: Vec<Key> = self.dials.iter().map(|(key, _)| key).collect();
        for key in dials {
            self.finish(key);
            self.actions.push_back(Action::Abandon(DialId(key)));
        }
        self.retain(now, CloseReason::PoolClosed, |_| false);
    }

    /// Puts other limits in force, at once: room that grew is dialled into for those who wait, and where it shrank
    /// idle connections close, the longest idle first, and dials that have not begun are given up; leased ones close when
    /// they come home. A lifetime stays what it was at birth.
    pub fn set_limits(&mut self, now: Moment, limits: Limits) {
        let now = self.tick(now);
        self.penalties.set_terms(limits.penalty);
        self.idle_nanos = super::nanos(limits.idle_timeout);
        self.limits = limits;
        for slot in 0..self.conns.extent() {
            let conn = &mut self.conns[slot];
            if conn.protocol == Protocol::Http2 {
                conn.capacity = conn.told.min(self.limits.h2_max_streams);
            }
            if matches!(self.conns[slot].state, State::Idle | State::Open | State::Full) {
                self.serve(slot, true);
                self.rest(slot);
            }
        }
        while self.live() > self.limits.max_per_host {
            let Some((_, slot)) = self.oldest_aside(|_| true).or(self.oldest_idle(|_| true)) else {
                break;
            };
            self.end(slot, CloseReason::OverLimit);
        }
        if !planted("a_lower_limit_spares_who_waits_to_dial") {
            self.give_up_beyond_the_limit();
        }
        if !planted("limits_wait_for_the_next_get") {
            self.settle(now);
        }
    }

    /// The longest idle connection of the lanes that pass.
    pub(super) fn oldest_idle(&self, pass: impl Fn(&Lane) -> bool) -> Option<(Moment, u32)> {
        self.oldest(|lane| pass(lane).then_some(&lane.idle))
    }

    /// The one of these lanes that stands aside for the longest time.
    pub(super) fn oldest_aside(&self, pass: impl Fn(&Lane) -> bool) -> Option<(Moment, u32)> {
        self.oldest(|lane| pass(lane).then_some(&lane.aside))
    }

    fn oldest(&self, list: impl Fn(&Lane) -> Option<&List>) -> Option<(Moment, u32)> {
        let oldest = self.lanes.iter().filter_map(list).map(|list| list.oldest);
        oldest
            .filter(|&slot| slot != NONE)
            .map(|slot| (self.conns[slot].since, slot))
            .min()
    }

    /// Ends a connection: the one road out, whichever the reason.
    pub(super) fn end(&mut self, slot: u32, reason: CloseReason) {
        let (conn, ip) = (self.conns.id(slot), self.lanes[self.conns[slot].lane as usize].ip);
        self.lifetimes.unset(slot);
        self.set_state(slot, State::Dead(reason));
        let Some(lane) = self.lanes.get_mut(self.conns[slot].lane as usize) else {
            return;
        };
        lane.conns -= u32::from(!planted("empty_lane_stays"));
        lane.leases -= self.conns[slot].leases;
        self.alive -= 1;
        self.counts.closed += 1;
        if self.conns[slot].leases == 0 {
            self.conns.vacate(slot);
        }
        self.actions.push_back(Action::Close { conn, ip, reason });
    }

    /// The slot of a connection that is not over.
    fn alive(&self, conn: ConnId) -> Option<u32> {
        self.conns
            .slot(conn)
            .filter(|&slot| self.conns[slot].state.is_live())
    }
}
