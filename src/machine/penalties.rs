//! Addresses that failed, and for how long they are avoided.
//!
//! The same table serves twice: inside a machine for what one origin holds against an address (TLS, protocol, status),
//! and beside the [`Ledger`](super::Ledger) for what every origin holds against it (TCP). A penalty expires by itself.
//! The next failure after it doubles it; a failure *while* it runs does not, or ten dials that fail together would
//! count as ten failures in a row. One quiet `max` after its end it is forgotten.

mod penalty;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use self::penalty::Penalty;
use super::limits::{AllBlocked, PenaltyTerms};
use super::words::Cause;
use crate::clock::Moment;
use crate::fault::planted;

/// Penalised addresses.
#[derive(Clone, Debug, Default)]
pub struct Penalties {
    terms: PenaltyTerms,
    entries: BTreeMap<IpAddr, Penalty>,
    /// The same by when each ends: a full table makes room without a search.
    ends: BTreeSet<(Moment, IpAddr)>,
}

/// What [`Penalties::screen`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Screen {
    /// Dial the candidates as they stand now: clean ones first, penalised ones last.
    Go,
    /// All are blocked; one candidate is left, to be dialled as the probe. Ends with `strike`, `absolve` or
    /// `probe_over`.
    Probe,
    /// All are blocked, the first of them until then.
    Blocked {
        /// When the first block ends.
        until: Moment,
    },
}

impl Penalties {
    /// An empty table.
    pub const fn new(terms: PenaltyTerms) -> Self {
        Penalties {
            terms,
            entries: BTreeMap::new(),
            ends: BTreeSet::new(),
        }
    }

    /// Changes the terms of penalties to come.
    pub fn set_terms(&mut self, terms: PenaltyTerms) {
        self.terms = terms;
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many addresses are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether `ip` is remembered.
    pub fn remembers(&self, ip: IpAddr) -> bool {
        self.entries.contains_key(&ip)
    }

    /// The addresses that are remembered.
    pub fn known(&self) -> impl Iterator<Item = IpAddr> {
        self.entries.keys().copied()
    }

    /// Until when `ip` is blocked, if it is.
    pub fn blocked(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        self.entries.get(&ip).map(Penalty::end).filter(|&end| now < end)
    }

    /// What `ip` itself did, and until when it is blocked for that, if it is: not what others said of it. Twice, if it told us to stay away and fails for
    /// longer than that.
    pub fn held(&self, now: Moment, ip: IpAddr) -> impl Iterator<Item = (Cause, Moment)> {
        let penalty = self.entries.get(&ip).into_iter();
        penalty.flat_map(move |penalty| penalty.held(now))
    }

    /// Until when `ip` told us to stay away, if it did.
    pub fn told(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        let (_, until) = self.entries.get(&ip)?.told(now)?;
        Some(until)
    }

    /// The same, if no connection that comes about could say anything against it, because nobody asks over it: then none is made to find out.
    pub fn shut(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        let asks = self.terms.validated || planted("a_handshake_lifts_a_status");
        self.told(now, ip).filter(|_| !asks)
    }

    /// The addresses blocked now, and until when each.
    pub fn list(&self, now: Moment) -> impl Iterator<Item = (IpAddr, Moment)> {
        self.entries
            .iter()
            .map(|(&ip, penalty)| (ip, penalty.end()))
            .filter(move |&(_, end)| now < end)
    }

    /// Of these, the ones that a dial may clear before, each with from when on: none before it has been left alone for as long as it wants, and none that has to
    /// be asked where nobody asks.
    pub fn doubtful(&self, now: Moment) -> impl Iterator<Item = (IpAddr, Range<Moment>)> {
        let blocked = self.entries.iter().map(move |(&ip, penalty)| {
            let from = match planted("who_wants_to_be_left_alone_is_tried") {
                true => now,
                false => penalty.later().max(now),
            };
            (ip, from..penalty.end())
        });
        blocked.filter(move |(ip, when)| !when.is_empty() && self.shut(now, *ip).is_none())
    }

    /// Writes down a failure of `ip` and answers until when it is blocked. A local cause blames nobody: `None`.
    pub fn strike(&mut self, now: Moment, ip: IpAddr, cause: Cause) -> Option<Moment> {
        self.strike_for(now, ip, cause, Duration::ZERO)
    }

    /// As [`strike`](Penalties::strike), of one that wants to be left alone for so long: no longer than any failure is held against an address.
    pub fn strike_for(&mut self, now: Moment, ip: IpAddr, cause: Cause, alone: Duration) -> Option<Moment> {
        if cause == Cause::Local {
            self.probe_over(ip);
            return None;
        }
        let known = self.entries.get(&ip).copied().unwrap_or(Penalty::NONE);
        let penalty = known.struck(now, cause, alone, &self.terms);
        self.put(now, ip, penalty);
        Some(penalty.end())
    }

    /// Blocks `ip` until then on somebody else's word. What it did itself stays what it was.
    pub fn shun(&mut self, now: Moment, ip: IpAddr, until: Moment) {
        if until <= now {
            return;
        }
        let known = self.entries.get(&ip).copied().unwrap_or(Penalty::NONE);
        self.put(now, ip, known.shunned(until));
    }

    /// Forgets what somebody else said of `ip`. What it did itself stays.
    pub fn unshun(&mut self, ip: IpAddr) {
        if let Some(known) = self.entries.get(&ip).copied() {
            self.absolve(ip);
            if let Some(own) = known.own() {
                self.insert(ip, own);
            }
        }
    }

    fn put(&mut self, now: Moment, ip: IpAddr, penalty: Penalty) {
        self.absolve(ip);
        self.make_room(now);
        self.insert(ip, penalty);
    }

    fn insert(&mut self, ip: IpAddr, penalty: Penalty) {
        self.ends.insert((penalty.end(), ip));
        self.entries.insert(ip, penalty);
    }

    /// Forgets whatever `ip` did: it has just proved itself.
    pub fn absolve(&mut self, ip: IpAddr) {
        if let Some(penalty) = self.entries.remove(&ip) {
            self.ends.remove(&(penalty.end(), ip));
        }
    }

    /// The same. Answers whether it was blocked.
    pub fn clear(&mut self, now: Moment, ip: IpAddr) -> bool {
        let blocked = self.blocked(now, ip).is_some();
        self.absolve(ip);
        blocked
    }

    /// Whether we are to stay away from `ip` although a dial that was ordered at `ordered` has reached it.
    pub fn forbids(&self, now: Moment, ip: IpAddr, ordered: Moment) -> bool {
        let told = self.entries.get(&ip).and_then(|penalty| penalty.told(now));
        let since = told.is_some_and(|(told, _)| ordered < told) && !planted("whoever_connects_is_welcome");
        since || self.shut(now, ip).is_some()
    }

    /// A dial that was ordered at `ordered` has reached `ip`: whatever failed there is forgotten, and what it told us before, if it has been asked again. What
    /// it has told us since stands, and all that it told us where nobody asks: that a connection came about says nothing against it. Answers whether
    /// we are to stay away.
    pub fn reached(&mut self, now: Moment, ip: IpAddr, ordered: Moment) -> bool {
        let Some(known) = self.entries.get(&ip).copied() else {
            return false;
        };
        let told = self.forbids(now, ip, ordered);
        let alone = now < known.later() && !self.terms.validated;
        self.absolve(ip);
        if let Some(said) = known.reached(told, alone) {
            self.insert(ip, said);
        }
        told
    }

    /// Forgets whatever failed; who told us to stay away did not fail.
    pub fn forgive(&mut self) {
        let entries = std::mem::take(&mut self.entries).into_iter();
        self.entries = entries
            .filter_map(|(ip, penalty)| Some((ip, penalty.forgiven()?)))
            .collect();
        let ends = self.entries.iter().map(|(&ip, penalty)| (penalty.end(), ip));
        self.ends = ends.collect();
    }

    /// When the last block ends; [`Moment::ZERO`] if there is none.
    pub fn last(&self) -> Moment {
        self.ends.last().map_or(Moment::ZERO, |&(until, _)| until)
    }

    /// Says that the probe of `ip` ended without a verdict.
    pub fn probe_over(&mut self, ip: IpAddr) {
        if let Some(penalty) = self.entries.get_mut(&ip) {
            penalty.probing = false;
        }
    }

    /// Orders `candidates` for a dial: clean ones first, as they stand; then penalised ones, the first to be free
    /// first. One that told us to stay away is left out as long as another stands.
    pub fn screen(&mut self, now: Moment, policy: AllBlocked, candidates: &mut Vec<IpAddr>) -> Screen {
        if self.entries.is_empty() {
            return Screen::Go;
        }
        // A block that is over sorts as none: `false` stands before `true`, and the sort is stable.
        if planted("failed_is_tried_first") {
            return Screen::Go;
        }
        candidates.sort_by_key(|&ip| {
            self.blocked(now, ip)
                .map_or((false, Moment::ZERO), |until| (true, until))
        });
        let Some(&first) = candidates.first() else {
            return Screen::Go;
        };
        let Some(until) = self.blocked(now, first) else {
            candidates.retain(|&ip| self.told(now, ip).is_none());
            return Screen::Go;
        };
        if policy == AllBlocked::Fail {
            return Screen::Blocked { until };
        }
        candidates.retain(|&ip| self.shut(now, ip).is_none());
        match candidates.first() {
            Some(&least_bad) => self.probe(least_bad, until, candidates),
            None => Screen::Blocked { until },
        }
    }

    fn probe(&mut self, first: IpAddr, until: Moment, candidates: &mut Vec<IpAddr>) -> Screen {
        if candidates
            .iter()
            .any(|ip| self.entries.get(ip).is_some_and(|penalty| penalty.probing))
        {
            return Screen::Blocked { until };
        }
        candidates.truncate(1);
        if let Some(penalty) = self.entries.get_mut(&first) {
            penalty.probing = true;
        }
        Screen::Probe
    }

    /// Makes room for one more within the bound: what is over goes first, all of it, then what will be over soonest.
    fn make_room(&mut self, now: Moment) {
        let most = self.terms.entries.max(1);
        let full = self.entries.len() >= most;
        while full
            && let Some(&(until, ip)) = self.ends.first()
            && (until <= now || self.entries.len() >= most)
        {
            self.absolve(ip);
        }
    }
}

#[cfg(test)]
mod tests;
