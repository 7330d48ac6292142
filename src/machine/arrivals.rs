//! How dials end: what they bring, whom they serve, and whom their failure answers.

use std::net::IpAddr;
use std::time::Duration;

use super::conns::Conn;
use super::demand::BEFORE_SETTINGS;
use super::dialling::Dial;
use super::id::{ConnId, DialId, Key, Ticket};
use super::lanes::Lane;
use super::words::{Action, Cause, Reached, Refusal, Want};
use super::{Machine, Phase};
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol};
use crate::fault::planted;
use crate::identity::IdentityId;

impl Machine {
    /// Says that the driver has the Ledger's permits and dials now. False if nobody wants the dial any more: the
    /// permits go back, and the id is void.
    pub fn begin(&mut self, now: Moment, dial: DialId) -> bool {
        self.tick(now);
        let Some(right) = self.dials.get_mut(dial.0) else {
            return false;
        };
        self.unbegun -= u32::from(right.is_loose());
        right.begun = true;
        true
    }

    /// A dial brought a connection to `ip`. It serves whoever waits, or rests. `protocol` must be one that its order
    /// required; where the peer chose another, the dial failed.
    ///
    /// None if the right is void (abandoned, closed): the connection is the driver's to drop.
    pub fn dialled(&mut self, now: Moment, dial: DialId, ip: IpAddr, protocol: Protocol) -> Option<ConnId> {
        let reached = Reached {
            ip,
            end: None,
            elsewhere: false,
        };
        self.dialled_through(now, dial, reached, protocol)
    }

    /// The same of a connection that may go on from there through a tunnel, or may have begun in another network.
    pub fn dialled_through(
        &mut self,
        now: Moment,
        dial: DialId,
        Reached { ip, end, elsewhere }: Reached,
        protocol: Protocol,
    ) -> Option<ConnId> {
        let now = self.tick(now);
        let right = self.finish(dial.0)?;
        self.counts.dialled += 1;
        let unwelcome = match elsewhere {
            false => self.reached(now, ip, right.ordered),
            true => self.penalties.forbids(now, ip, right.ordered),
        };
        let slot = self.birth(now, right.want.identity, ip, protocol);
        let conn = self.conns.id(slot);
        let barred = self
            .bars(now, ip)
            .or(end.and_then(|end| self.bars_behind(now, end)));
        if barred.is_some() && !planted("a_block_spares_what_is_dialled") {
            self.end(slot, CloseReason::Blocked);
            self.settle(now);
            return Some(conn);
        }
        let vanished = right.want.pin.is_none() && !self.addresses.iter().any(|address| address.ip == ip);
        self.settle_in(now, slot, right.warm);
        if planted("surplus_is_closed") && self.conns[slot].leases == 0 {
            self.retire(now, conn, CloseReason::Discarded);
        }
        if vanished {
            self.retire(now, conn, CloseReason::AddressGone);
        }
        if unwelcome {
            self.retire(now, conn, CloseReason::Blocked);
        }
        Some(conn)
    }

    /// Takes in a connection dialled elsewhere, or a race's loser. It serves whoever waits, or rests.
    ///
    /// None if the host is full or closed: the connection is the driver's to drop.
    pub fn adopt(
        &mut self,
        now: Moment,
        identity: IdentityId,
        ip: IpAddr,
        protocol: Protocol,
    ) -> Option<ConnId> {
        let now = self.tick(now);
        if self.phase == Phase::Closed || self.live() >= self.limits.max_per_host {
            return None;
        }
        let slot = self.birth(now, identity, ip, protocol);
        let conn = self.conns.id(slot);
        self.settle_in(now, slot, true);
        Some(conn)
    }

    /// The dial failed. Each `(address, cause)` is an attempt; the error goes to those whom the dial was to serve.
    pub fn dial_failed(&mut self, now: Moment, dial: DialId, attempts: &[(IpAddr, Cause)]) {
        let now = self.tick(now);
        for &(ip, cause) in attempts {
            self.blame(now, ip, cause, Duration::ZERO);
        }
        self.fail(now, dial, Refusal::DialFailed(dial));
    }

    /// The driver lost the dial together with whatever ran it. That is nobody's failure: it is ordered anew as far as it is still needed. Answers
    /// for what it was; none if the right is void.
    pub fn dial_lost(&mut self, now: Moment, dial: DialId) -> Option<Want> {
        let now = self.tick(now);
        let right = self.finish(dial.0)?;
        self.settle(now);
        Some(right.want)
    }

    /// The pool forbids `dial`: it avoids these, until then each. Whoever has nothing else to hope for is told so. Answers until when all is kept from those that it
    /// was for.
    pub fn dial_blocked(&mut self, now: Moment, dial: DialId, these: &[(IpAddr, Moment)]) -> Option<Moment> {
        let now = self.tick(now);
        let right = self.finish(dial.0)?;
        self.forbidden
            .retain(|&(ip, until)| now < until && these.iter().all(|&(again, _)| again != ip));
        self.forbidden.extend_from_slice(these);
        if !right.warm {
            self.line.queues[right.queue as usize].anew = false;
        }
        let until = self.kept_from(now, &right.want);
        if planted("a_pool_wide_block_takes_all_hope") {
            let until = until.unwrap_or(now);
            self.refuse(
                right.queue,
                self.uncovered(right.queue),
                Refusal::Blocked { until },
            );
        }
        self.settle(now);
        until
    }

    /// Ends a dial and refuses those it leaves without hope: as many as it would have served; all of them if it was a probe.
    fn fail(&mut self, now: Moment, dial: DialId, why: Refusal) {
        let all = self.probe == Some(dial.0);
        let Some(right) = self.finish(dial.0) else { return };
        self.counts.dial_failures += 1;
        let served = if all {
            u64::MAX
        } else {
            self.served_by_dial(&right.want)
        };
        let served = if planted("error_reaches_only_the_first") {
            1
        } else {
            served
        };
        let answered = self.uncovered(right.queue).min(served);
        self.refuse(right.queue, answered, why);
        self.settle(now);
    }

    /// Takes a right to dial off the books.
    pub(super) fn finish(&mut self, key: Key) -> Option<Dial> {
        let dial = self.dials.remove(key)?;
        self.line.queues[dial.queue as usize].dials -= 1;
        self.unbegun -= u32::from(dial.is_loose());
        if self.probe == Some(key) {
            self.probe = None;
            self.penalties.probe_over(dial.first);
        }
        Some(dial)
    }

    /// Gives up dials that have not begun and that nobody needs any more.
    pub(super) fn abandon_surplus(&mut self) {
        let waiting: Vec<Key> = self
            .dials
            .iter()
            .filter(|(_, dial)| (!dial.begun || planted("caller_takes_its_dial_along")) && !dial.kept)
            .map(|(key, _)| key)
            .collect();
        for key in waiting.into_iter().rev() {
            let Some(dial) = self.dials.get(key) else { continue };
            let queue = &self.line.queues[dial.queue as usize];
            let without = self.supply(dial.queue) - self.served_by_dial(&dial.want);
            let without = without + u64::from(planted("caller_takes_its_dial_along"));
            if u64::from(queue.len) <= without {
                self.finish(key);
                self.actions.push_back(Action::Abandon(DialId(key)));
            }
        }
    }

    /// Gives up every dial that has not begun; those that are still wanted are authorised anew when that may be.
    pub(super) fn give_up_unbegun(&mut self) {
        let unbegun: Vec<Key> = self
            .dials
            .iter()
            .filter(|(_, dial)| !dial.begun)
            .map(|(key, _)| key)
            .collect();
        for key in unbegun {
            self.finish(key);
            self.actions.push_back(Action::Abandon(DialId(key)));
        }
    }

    /// Gives up dials that have not begun, the latest first and those that somebody beside the line counts on last, until the limit is kept or none is
    /// left.
    pub(super) fn give_up_beyond_the_limit(&mut self) {
        let mut unbegun: Vec<_> = self
            .dials
            .iter()
            .filter(|(_, dial)| !dial.begun)
            .map(|(key, dial)| (!dial.kept, dial.ordered, key))
            .collect();
        unbegun.sort_by_key(|&(loose, ordered, key)| (loose, ordered, key.slot));
        while self.live() > self.limits.max_per_host
            && let Some((.., key)) = unbegun.pop()
        {
            self.finish(key);
            self.actions.push_back(Action::Abandon(DialId(key)));
        }
    }

    /// Turns the first `count` of `queue` away.
    pub(super) fn refuse(&mut self, queue: u32, count: u64, why: Refusal) {
        for _ in 0..count {
            let Some(key) = self.line.dismiss(queue) else {
                break;
            };
            self.actions.push_back(Action::Refuse(Ticket(key), why));
        }
    }

    fn birth(&mut self, now: Moment, identity: IdentityId, ip: IpAddr, protocol: Protocol) -> u32 {
        if !planted("nothing_is_learned") {
            self.learn(identity, protocol);
        }
        let lane = self.lane(identity, ip, protocol);
        let told = match protocol {
            Protocol::Http1 => 1,
            // What it said on another connection it will say again.
            Protocol::Http2 => self.told_before(identity).min(BEFORE_SETTINGS),
        };
        let expires = self.expiry(now);
        let slot = self.conns.insert(Conn::new(lane, protocol, told, now, expires));
        let conn = &mut self.conns[slot];
        if protocol == Protocol::Http2 {
            conn.capacity = told.min(self.limits.h2_max_streams);
        }
        let settled = conn.settled;
        self.alive += 1;
        let lane = &mut self.lanes[lane as usize];
        lane.conns += 1;
        lane.sound += 1;
        lane.pending += u32::from(!settled);
        self.lifetimes.set(slot, expires);
        slot
    }

    /// A new connection's first offer. One that nobody dialled for gives hits from the start.
    fn settle_in(&mut self, now: Moment, slot: u32, unasked: bool) {
        self.serve(slot, unasked);
        // A limit may have been lowered while it was dialled.
        let over = self.live() > self.limits.max_per_host && self.conns[slot].leases == 0;
        match over {
            true => self.wind_up(slot, CloseReason::OverLimit),
            false => _ = self.rest(slot),
        }
        self.settle(now);
    }

    /// The lane of what is alike, made if there is none.
    fn lane(&mut self, identity: IdentityId, ip: IpAddr, protocol: Protocol) -> u32 {
        let same = |lane: &Lane| {
            lane.conns > 0 && (lane.identity, lane.ip, lane.protocol) == (identity, ip, protocol)
        };
        if let Some(lane) = self.lanes.iter().position(same) {
            return lane as u32;
        }
        let new = Lane::new(identity, ip, protocol);
        match self.lanes.iter().position(|lane| lane.conns == 0) {
            Some(vacant) => {
                self.lanes[vacant] = new;
                vacant as u32
            }
            None => {
                self.lanes.push(new);
                self.lanes.len() as u32 - 1
            }
        }
    }
}
