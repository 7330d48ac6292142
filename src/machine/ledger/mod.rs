//! Permits over all origins: the total, those of each remote address, and dials under way.
//!
//! The Ledger is told when a connection is dialled and when one closes, never when one is used. Whoever may dial
//! stands in its line until a total permit, a dial permit and the permit of one of its addresses are free *together*:
//! nobody holds some while waiting for others. Where idle connections hold what is missing, the Ledger names the origin
//! that has the one idle longest ([`Step::Evict`]); the driver asks that origin's machine, unlocked from here, and
//! brings the answer back. Every answer may be stale; none is believed beyond what it says.

mod check;
mod line;
mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use self::order::Order;
use super::id::{DialId, OriginId};
use super::limits::LedgerLimits;
use super::words::{Evict, Evicted};
use crate::clock::Moment;
use crate::fault::planted;

/// A dial that stands in line for its permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose.
    pub origin: OriginId,
    /// Which of its dials.
    pub dial: DialId,
    /// Where it may go, best first. Empty: no address permit is needed.
    pub candidates: Vec<IpAddr>,
}

/// What the driver does next for the Ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a step that is not done leaves a permit without owner"]
pub enum Step {
    /// This dial has a total and a dial permit, and that of the address it starts with. If its machine does not
    /// confirm it (`begin`), they go back by `attempt_over` and `unconnected`.
    Grant {
        /// Whose.
        origin: OriginId,
        /// Which of its dials.
        dial: DialId,
        /// Where its first attempt goes.
        ip: Option<IpAddr>,
    },
    /// Ask this origin's machine to give up its longest idle connection, and bring back the answer.
    Evict(Victim),
}

/// An origin that is asked for an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Who is asked.
    pub origin: OriginId,
    /// Only a connection to this address helps.
    pub ip: Option<IpAddr>,
    /// Somebody else has one that has been idle since then, perhaps.
    pub not_after: Moment,
    /// For whom.
    number: u64,
}

impl From<Victim> for Evict {
    fn from(victim: Victim) -> Evict {
        Evict {
            ip: victim.ip,
            not_after: victim.not_after,
        }
    }
}

/// The permits that all origins share.
#[derive(Clone, Debug)]
pub struct Ledger {
    limits: LedgerLimits,
    /// Total permits out: connections, and dials under way.
    total: u32,
    dials: u32,
    holders: Order,
    ips: BTreeMap<IpAddr, Ip>,
    line: BTreeMap<u64, Waiting>,
    numbers: BTreeMap<(OriginId, DialId), u64>,
    next_number: u64,
    /// Those in line that an address is free for, as far as anybody has looked.
    ready: BTreeSet<u64>,
    /// Addresses with room that somebody waits for.
    open: BTreeSet<IpAddr>,
    /// Addresses without room that somebody waits for, and an origin to ask.
    hungry: BTreeSet<IpAddr>,
    /// Addresses with a dry origin.
    dry: BTreeSet<IpAddr>,
    /// Addresses above a limit that was lowered.
    over: BTreeSet<IpAddr>,
    /// Of these, the ones that somebody may be asked for.
    over_askable: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug, Default)]
struct Ip {
    used: u32,
    holders: Order,
    /// Who waits for it, having found all its addresses full.
    waiting: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
struct Waiting {
    ask: Ask,
    /// Whether an origin is being asked for it.
    asking: bool,
}

/// Counts of a Ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Connections and dials under way.
    pub total: u32,
    /// Dials under way.
    pub dials: u32,
    /// Dials in line.
    pub waiting: usize,
}

impl Ledger {
    /// A Ledger with every permit at home.
    pub const fn new(limits: LedgerLimits) -> Self {
        Ledger {
            limits,
            total: 0,
            dials: 0,
            holders: Order::new(),
            ips: BTreeMap::new(),
            line: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            ready: BTreeSet::new(),
            open: BTreeSet::new(),
            hungry: BTreeSet::new(),
            dry: BTreeSet::new(),
            over: BTreeSet::new(),
            over_askable: BTreeSet::new(),
        }
    }

    /// Puts other limits in force. Where they shrank below what is out, idle connections are asked for until it fits
    /// (in total; an address above its limit only gets no more). Poll steps afterwards.
    pub fn set_limits(&mut self, limits: LedgerLimits) {
        self.limits = limits;
        let ips: Vec<IpAddr> = self.ips.keys().copied().collect();
        for ip in ips {
            self.touch(ip);
        }
    }

    /// Stands in line. Poll steps afterwards: the grant may be the next one.
    pub fn request(&mut self, ask: Ask) {
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert((ask.origin, ask.dial), number);
        self.line.insert(number, Waiting { ask, asking: false });
        self.ready.insert(number);
    }

    /// Leaves the line. False if it was not in it: granted, or never there.
    pub fn withdraw(&mut self, origin: OriginId, dial: DialId) -> bool {
        let number = self.numbers.get(&(origin, dial)).copied();
        let number = number.filter(|_| !planted("withdrawn_stays_in_line"));
        number.and_then(|number| self.leave(number)).is_some()
    }

    /// The next step, until there is none. Call after every other call.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.set_aside();
        let step = self.grant().or_else(|| self.evict());
        if !self.contended() {
            self.rest();
        }
        step
    }

    /// Whether a connection that goes idle has to be announced by [`parked`](Ledger::parked). The driver shows this
    /// to every `put` from before it acts on a step, and until [`poll_step`](Ledger::poll_step) has seen that nobody waits: only then are
    /// those who had nothing idle asked again.
    pub fn contended(&self) -> bool {
        !self.line.is_empty() || self.total > self.limits.max_connections || !self.over.is_empty()
    }

    /// A connection of `origin` to `ip` went idle while the Ledger was contended. Poll steps afterwards.
    pub fn parked(&mut self, origin: OriginId, ip: IpAddr) {
        if planted("nobody_hears_of_idle") {
            return;
        }
        self.holders.parked(origin);
        if let Some(state) = self.ips.get_mut(&ip) {
            state.holders.parked(origin);
        }
        self.touch(ip);
    }

    /// The answer to [`Step::Evict`]; `Evicted::None` if that origin is no more. The connection that was given up is
    /// told by [`closed`](Ledger::closed) first, as any; then this; then poll steps.
    pub fn answer(&mut self, now: Moment, victim: Victim, answer: Evicted) {
        if let Some(waiting) = self.line.get_mut(&victim.number) {
            waiting.asking = false;
        }
        let order = match victim.ip {
            None => Some(&mut self.holders),
            Some(ip) => self.ips.get_mut(&ip).map(|state| &mut state.holders),
        };
        if let Some(order) = order {
            match answer {
                Evicted::Closed(_) => order.gave(victim.origin),
                Evicted::Younger(since) => order.answer(now, victim.origin, Some(since)),
                Evicted::None => order.answer(now, victim.origin, None),
            }
        }
        if let Some(ip) = victim.ip {
            self.touch(ip);
        }
    }

    /// A further attempt of a granted dial takes the permit of `ip`. False: the address is full, skip it.
    pub fn attempt(&mut self, ip: IpAddr) -> bool {
        let limit = self.limits.max_per_ip;
        let state = self.ips.entry(ip).or_default();
        let room = state.used < limit;
        state.used += u32::from(room);
        self.touch(ip);
        room
    }

    /// An attempt at `ip` lost or failed: its permit comes back.
    pub fn attempt_over(&mut self, ip: IpAddr) {
        if let Some(state) = self.ips.get_mut(&ip) {
            state.used = state.used.saturating_sub(1);
        }
        self.touch(ip);
    }

    /// A granted dial won at `ip`: the total permit and that of `ip` are the connection's now.
    pub fn connected(&mut self, now: Moment, origin: OriginId, ip: IpAddr) {
        self.dials = self.dials.saturating_sub(1);
        self.own(now, origin, ip);
    }

    /// A granted dial came to nothing, and its attempts are over.
    pub fn unconnected(&mut self) {
        self.dials = self.dials.saturating_sub(1);
        self.total = self
            .total
            .saturating_sub(u32::from(!planted("failed_dial_keeps_its_permit")));
    }

    /// A connection beside the dials: one dialled elsewhere, or a race's loser, which has the permit of `ip` already
    /// (`has_ip`). False if there is no room; a loser's `attempt_over` is still due then.
    pub fn adopt(&mut self, now: Moment, origin: OriginId, ip: IpAddr, has_ip: bool) -> bool {
        if self.total >= self.limits.max_connections || !(has_ip || self.attempt(ip)) {
            return false;
        }
        self.total += 1;
        self.own(now, origin, ip);
        true
    }

    /// A connection of `origin` to `ip` closed: its permits come back.
    pub fn closed(&mut self, origin: OriginId, ip: IpAddr) {
        self.total = self.total.saturating_sub(1);
        self.holders.remove(origin);
        if let Some(state) = self.ips.get_mut(&ip) {
            state.used = state
                .used
                .saturating_sub(u32::from(!planted("ip_permit_is_lost")));
            state.holders.remove(origin);
        }
        self.touch(ip);
    }

    /// Counts.
    pub fn counts(&self) -> LedgerCounts {
        LedgerCounts {
            total: self.total,
            dials: self.dials,
            waiting: self.line.len(),
        }
    }

    /// Permits of `ip` that are out.
    pub fn used(&self, ip: IpAddr) -> u32 {
        self.ips.get(&ip).map_or(0, |state| state.used)
    }

    /// Permits that are out, by address.
    pub fn ips(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        self.ips.iter().map(|(&ip, state)| (ip, state.used))
    }

    fn own(&mut self, now: Moment, origin: OriginId, ip: IpAddr) {
        self.holders.add(now, origin);
        self.ips.entry(ip).or_default().holders.add(now, origin);
        self.touch(ip);
    }

    /// Keeps the sets of addresses in step with one of them.
    fn touch(&mut self, ip: IpAddr) {
        let Some(state) = self.ips.get(&ip) else { return };
        let room = state.used < self.limits.max_per_ip;
        let wanted = !state.waiting.is_empty();
        let member = |set: &mut BTreeSet<IpAddr>, is: bool| if is { set.insert(ip) } else { set.remove(&ip) };
        member(&mut self.open, wanted && room);
        member(&mut self.hungry, wanted && !room && state.holders.is_askable());
        member(&mut self.dry, state.holders.has_dry());
        let over = state.used > self.limits.max_per_ip;
        member(&mut self.over, over);
        member(&mut self.over_askable, over && state.holders.is_askable());
        if state.used == 0 && !wanted {
            self.ips.remove(&ip);
        }
    }

    /// Nobody waits: nobody will announce what goes idle.
    fn rest(&mut self) {
        self.holders.refill();
        for ip in std::mem::take(&mut self.dry) {
            if let Some(state) = self.ips.get_mut(&ip) {
                state.holders.refill();
            }
        }
    }
}
