//! Handing out and taking back: the hot path, and the line behind it.

use super::conns::State;
use super::id::{ConnId, Ticket};
use super::lanes::Lane;
use super::limits::{Growth, Selection};
use super::line::GivenUp;
use super::words::{Acquire, Action, Fate, Lease, Want};
use super::{Machine, Phase};
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol, Returned};
use crate::fault::planted;

impl Machine {
    /// A connection for `want`, or a place in line for one.
    ///
    /// A hit allocates nothing. A miss stands in line and, where the limits allow it, authorises a dial in the same
    /// call. No later caller overtakes: where somebody waits for the same, nothing that would serve them is idle.
    #[inline]
    pub fn acquire(&mut self, now: Moment, want: Want) -> Acquire {
        match self.hit(now, &want) {
            Some(lease) => Acquire::Lease(lease),
            None => self.join(want),
        }
    }

    /// As [`acquire`](Machine::acquire), but none where that stands in line.
    #[inline]
    pub fn hit(&mut self, now: Moment, want: &Want) -> Option<Lease> {
        let lease = self.ready(now, want)?;
        if self.limits.growth == Growth::PerIp {
            self.cover_addresses(want);
        }
        Some(lease)
    }

    /// A connection that is ready for `want`, if there is one. Never waits and never dials.
    #[inline]
    pub fn try_acquire(&mut self, now: Moment, want: Want) -> Option<Lease> {
        self.ready(now, &want)
    }

    #[inline]
    fn ready(&mut self, now: Moment, want: &Want) -> Option<Lease> {
        let now = self.tick(now);
        if self.phase != Phase::Open {
            return None;
        }
        while let Some(lane) = self.pick(want) {
            let lane = &self.lanes[lane];
            // One already in use first: the others may then grow old and go.
            let idle = if planted("lends_the_oldest") {
                lane.idle.oldest
            } else {
                lane.idle.newest
            };
            let slot = if lane.open.len > 0 { lane.open.newest } else { idle };
            match self.overdue(now, slot) {
                None => return Some(self.lend(slot, true)),
                Some(reason) => self.wind_up(slot, reason),
            }
        }
        None
    }

    /// The lease of a granted ticket, once. None if it has not been granted, or is over.
    pub fn take(&mut self, ticket: Ticket) -> Option<Lease> {
        self.line.take(ticket.0)
    }

    /// Gives a ticket up. A lease it had been granted goes to the next in line, or rests.
    ///
    /// False if the ticket is over already: taken, refused or given up.
    pub fn cancel(&mut self, now: Moment, ticket: Ticket) -> bool {
        let now = self.tick(now);
        match self.line.give_up(ticket.0) {
            None => return false,
            Some(GivenUp::Waiting) => self.settle(now),
            Some(GivenUp::Granted(_)) if planted("cancelled_lease_is_lost") => {}
            Some(GivenUp::Granted(lease)) => {
                self.release(now, lease.conn, Fate::Reusable);
            }
        }
        true
    }

    /// Takes one lease of `conn` back, and says what became of the connection.
    ///
    /// One that was not used stays as old as it was: what its peer closes by is when it last heard of it, not when somebody last held it.
    ///
    /// One that is over already, by `died` or a retirement, answers the reason it ended for.
    #[inline(always)]
    pub fn release(&mut self, now: Moment, conn: ConnId, fate: Fate) -> Returned {
        let now = self.tick(now);
        let Some(slot) = self.conns.slot(conn).filter(|&slot| self.conns[slot].leases > 0) else {
            return Returned::Closed(CloseReason::Discarded);
        };
        self.unlend(slot);
        let reason = match (self.conns[slot].state, fate) {
            (State::Dead(reason), _) if !planted("dead_comes_back") => {
                if self.conns[slot].leases == 0 {
                    self.conns.vacate(slot);
                }
                return Returned::Closed(reason);
            }
            (State::Retired(reason), _) => Some(reason),
            (_, Fate::Aside) => return self.put_aside(now, slot),
            (_, Fate::Close(reason)) if !self.forgives_closing(slot) => Some(reason),
            _ => self.unfit(now, slot),
        };
        if let Some(reason) = reason {
            return self.put_down(now, slot, reason);
        }
        let resting = &mut self.conns[slot];
        let used = fate != Fate::Untouched || planted("a_lease_is_use_enough");
        if resting.leases == 0 && used {
            resting.since = now;
        }
        if planted("use_renews_life") {
            resting.expires = now + self.limits.max_lifetime;
        }
        let alone = match planted("put_does_not_look_at_the_line") {
            false => self.offer(now, slot, true),
            true => self.rest(slot),
        };
        match alone {
            true => Returned::Kept,
            false => self.what_became_of(conn),
        }
    }

    /// What was done with a connection that came home when others had their turn after it.
    #[cold]
    fn what_became_of(&self, conn: ConnId) -> Returned {
        match self.conns.slot(conn) {
            Some(_) => Returned::Kept,
            None => Returned::Closed(self.reason_just_given(conn)),
        }
    }

    /// Closes what came home, or lets its other leases end it.
    #[cold]
    fn put_down(&mut self, now: Moment, slot: u32, reason: CloseReason) -> Returned {
        self.wind_up(slot, reason);
        if !planted("place_of_the_dead_stays_taken") {
            self.settle(now);
        }
        Returned::Closed(reason)
    }

    /// Sets aside what came home, unless its time is over. Whoever waits must not wait for it.
    #[cold]
    fn put_aside(&mut self, now: Moment, slot: u32) -> Returned {
        let conn = self.conns.id(slot);
        self.conns[slot].since = now;
        match self.unfit(now, slot) {
            Some(reason) => self.wind_up(slot, reason),
            None => self.set_state(slot, State::Aside),
        }
        self.settle(now);
        self.what_became_of(conn)
    }

    /// Why `conn` ended in this very call.
    #[cold]
    fn reason_just_given(&self, conn: ConnId) -> CloseReason {
        let last = self.actions.iter().rev().find_map(|action| match action {
            Action::Close {
                conn: closed, reason, ..
            } if *closed == conn => Some(*reason),
            _ => None,
        });
        last.unwrap_or(CloseReason::Discarded)
    }

    /// The lane to serve `want` from, by selection; none if none has anything ready.
    #[inline]
    fn pick(&mut self, want: &Want) -> Option<usize> {
        match self.limits.selection {
            Selection::Spread => self.least_used(want),
            _ => self.pick_by_turns(want),
        }
    }

    /// The same by any other selection.
    #[cold]
    fn pick_by_turns(&mut self, want: &Want) -> Option<usize> {
        let ready = |lane: &Lane| lane.offers() && lane.suits(want);
        let mut lanes = self
            .lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| ready(lane))
            .map(|(index, _)| index);
        let first = lanes.next()?;
        let Some(second) = lanes.next() else {
            return Some(first);
        };
        let all = [first, second].into_iter().chain(lanes);
        let picked = match self.limits.selection {
            Selection::Spread => self.least_used(want),
            // Lane 0 comes after the last one that had its turn, whatever that was.
            Selection::RoundRobin => all.min_by_key(|&lane| (lane <= self.turn, lane)),
            Selection::PreferHot => all.max_by_key(|&lane| self.last_use(lane)),
            Selection::Random => {
                let mut picked = first;
                for (lane, seen) in all.skip(1).zip(2..) {
                    if self.rng.below(seen) == 0 {
                        picked = lane;
                    }
                }
                Some(picked)
            }
        };
        self.turn = picked?;
        picked
    }

    /// The lane with the fewest leases that has something ready. The default, and so a loop of its own.
    #[inline]
    fn least_used(&self, want: &Want) -> Option<usize> {
        let (mut picked, mut least) = (None, u32::MAX);
        for (index, lane) in self.lanes.iter().enumerate() {
            if lane.leases < least && lane.offers() && lane.serves(want) {
                (picked, least) = (Some(index), lane.leases);
            }
        }
        picked
    }

    /// When what `lane` has ready was last put back: connections in use are hotter than any that rest.
    fn last_use(&self, lane: usize) -> Moment {
        let lane = &self.lanes[lane];
        if lane.open.len > 0 {
            Moment::FAR
        } else {
            self.conns[lane.idle.newest].since
        }
    }

    /// Why a connection that is ready must not be handed out any more, by age.
    #[inline]
    fn overdue(&self, now: Moment, slot: u32) -> Option<CloseReason> {
        let conn = &self.conns[slot];
        if now >= conn.expires {
            return Some(CloseReason::Lifetime);
        }
        let grace = u64::from(planted("hand_out_deadline_is_exclusive"));
        let idle =
            now.as_nanos().saturating_sub(conn.since.as_nanos()) >= self.idle_nanos.saturating_add(grace);
        let idle = idle && matches!(conn.state, State::Idle) && !planted("hands_out_expired");
        idle.then_some(CloseReason::IdleTimeout)
    }

    /// Why a connection that came home clean must not stay.
    #[inline]
    pub(super) fn unfit(&self, now: Moment, slot: u32) -> Option<CloseReason> {
        let conn = &self.conns[slot];
        if now >= conn.expires && !planted("age_is_checked_at_hand_out_only") {
            return Some(CloseReason::Lifetime);
        }
        if planted("idle_cap_before_the_line") && self.counts.idle >= self.limits.max_idle_per_host {
            return Some(CloseReason::IdleCap);
        }
        // Only after the limit was lowered.
        (self.live() > self.limits.max_per_host).then_some(CloseReason::OverLimit)
    }

    #[inline]
    fn lend(&mut self, slot: u32, hit: bool) -> Lease {
        let conn = &mut self.conns[slot];
        conn.leases += 1;
        self.counts.leased += u32::from(conn.leases == 1);
        self.counts.leases += 1;
        self.lanes[conn.lane as usize].leases += 1;
        let counter = if hit {
            &mut self.counts.hits
        } else {
            &mut self.counts.misses
        };
        *counter += 1;
        let state = conn.rest();
        self.set_state(slot, state);
        Lease {
            conn: self.conns.id(slot),
            hit,
        }
    }

    #[inline]
    fn unlend(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        conn.leases -= 1;
        self.counts.leased -= u32::from(conn.leases == 0);
        self.counts.leases -= 1;
        // A dead one left its lane, which may serve others by now.
        if conn.state.is_live() {
            self.lanes[conn.lane as usize].leases -= 1;
        }
    }

    /// Offers the places of a sound connection to those who wait, then lets it rest. `hit` is how its first lease
    /// counts. Answers whether that was all: else it, or another, may have been closed.
    #[inline(always)]
    pub(super) fn offer(&mut self, now: Moment, slot: u32, hit: bool) -> bool {
        match self.line.len {
            0 => self.rest(slot),
            _ => self.offer_to_the_line(now, slot, hit),
        }
    }

    #[cold]
    fn offer_to_the_line(&mut self, now: Moment, slot: u32, hit: bool) -> bool {
        self.serve(slot, hit);
        self.rest(slot);
        // Even if nobody waits any more: a dial that has not begun is of no use then.
        self.settle(now);
        false
    }

    /// Puts a sound connection where it belongs by its leases, and keeps the limit of idle ones. Answers whether that closed none.
    #[inline(always)]
    pub(super) fn rest(&mut self, slot: u32) -> bool {
        let conn = &self.conns[slot];
        if matches!(conn.state, State::Suspect) {
            return true;
        }
        let state = conn.rest();
        self.set_state(slot, state);
        let within =
            self.counts.idle <= self.limits.max_idle_per_host + u32::from(planted("one_idle_too_many"));
        if !within {
            self.close_the_surplus(slot);
        }
        within
    }

    /// Closes those that have been idle longest, down to the limit.
    #[cold]
    fn close_the_surplus(&mut self, newcomer: u32) {
        while self.counts.idle > self.limits.max_idle_per_host + u32::from(planted("one_idle_too_many")) {
            let Some((_, oldest)) = self.oldest_idle(|_| true) else {
                break;
            };
            let goes = if planted("closes_the_newcomer") {
                newcomer
            } else {
                oldest
            };
            self.end(goes, CloseReason::IdleCap);
        }
    }

    /// First come, first served, among those whom this connection suits.
    pub(super) fn serve(&mut self, slot: u32, mut hit: bool) {
        while self.phase == Phase::Open && self.line.len > 0 && self.is_ready(slot) {
            let lane = &self.lanes[self.conns[slot].lane as usize];
            let waits = hit && lane.protocol == Protocol::Http1 && planted("waits_for_its_own_dial");
            let own = |want: &Want| waits && self.has_dial(want);
            let Some(queue) = self.line.first(|want| lane.suits(want) && !own(want)) else {
                break;
            };
            let lease = self.lend(slot, hit);
            hit = true;
            if let Some(key) = self.line.grant(queue, lease) {
                self.actions.push_back(Action::Grant(Ticket(key), lease));
            }
        }
    }

    /// Whether it can take one more lease now.
    fn is_ready(&self, slot: u32) -> bool {
        let conn = &self.conns[slot];
        matches!(conn.state, State::Idle | State::Open | State::Full) && conn.room() > 0
    }

    /// Ends a connection, or lets its last lease end it.
    pub(super) fn wind_up(&mut self, slot: u32, reason: CloseReason) {
        match self.conns[slot].state {
            _ if self.conns[slot].leases == 0 => self.end(slot, reason),
            State::Retired(_) | State::Dead(_) => {}
            _ => self.set_state(slot, State::Retired(reason)),
        }
    }

    /// Whether the wish to close this connection is not heard: never, but for a planted fault.
    fn forgives_closing(&self, slot: u32) -> bool {
        let http2 = self.conns[slot].protocol == Protocol::Http2;
        planted("fate_is_ignored") || (http2 && planted("fate_is_ignored_on_http2"))
    }

    /// Whether one exchange at a time is all a connection for `want` can take.
    pub(super) fn is_single(&self, want: &Want) -> bool {
        self.protocol_of(want) == Some(Protocol::Http1)
    }
}
