//! Addresses that failed, and for how long they are avoided.
//!
//! The same table serves twice: inside a machine for what one origin holds against an address (TLS, protocol, status),
//! and beside the [`Ledger`](super::Ledger) for what every origin holds against it (TCP). A penalty expires by itself.
//! The next failure after it doubles it; a failure *while* it runs does not, or ten dials that fail together would
//! count as ten failures in a row. One quiet `max` after its end it is forgotten.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::limits::{AllBlocked, PenaltyTerms};
use super::words::Cause;
use crate::clock::Moment;
use crate::fault::planted;

/// Penalised addresses.
#[derive(Clone, Debug, Default)]
pub struct Penalties {
    terms: PenaltyTerms,
    entries: BTreeMap<IpAddr, Penalty>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    /// Failures in a row.
    strikes: u32,
    /// When it ends.
    until: Moment,
    /// Whether the address itself told us to stay away: then it is no last resort either.
    status: bool,
    /// Whether the one probe of a pool whose addresses are all blocked is under way.
    probing: bool,
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

    /// Until when `ip` is blocked, if it is.
    pub fn blocked(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        self.entries
            .get(&ip)
            .map(|penalty| penalty.until)
            .filter(|&until| now < until)
    }

    /// The addresses blocked now, and until when each.
    pub fn list(&self, now: Moment) -> impl Iterator<Item = (IpAddr, Moment)> {
        self.entries
            .iter()
            .map(|(&ip, penalty)| (ip, penalty.until))
            .filter(move |&(_, until)| now < until)
    }

    /// Writes down a failure of `ip` and answers until when it is blocked. A local cause blames nobody: `None`.
    pub fn strike(&mut self, now: Moment, ip: IpAddr, cause: Cause) -> Option<Moment> {
        if cause == Cause::Local {
            self.probe_over(ip);
            return None;
        }
        let old = self
            .entries
            .get(&ip)
            .copied()
            .filter(|old| now < old.until + self.terms.max);
        let strikes = match old {
            Some(old) if now < old.until => old.strikes,
            Some(old) => old.strikes.saturating_add(1),
            None => 1,
        };
        let until = match (cause, old) {
            (Cause::Status, _) => now + self.terms.status,
            (_, Some(old)) if now < old.until => old.until,
            _ => now + self.span(strikes),
        };
        let until = old.map_or(until, |old| until.max(old.until));
        let status = cause == Cause::Status || old.is_some_and(|old| old.status && now < old.until);
        self.make_room(now, ip);
        self.entries.insert(
            ip,
            Penalty {
                strikes,
                until,
                status,
                probing: false,
            },
        );
        Some(until)
    }

    /// Blocks `ip` until then on somebody else's word.
    pub fn shun(&mut self, now: Moment, ip: IpAddr, until: Moment) {
        if until <= now {
            return;
        }
        self.make_room(now, ip);
        let fresh = Penalty {
            strikes: 0,
            until,
            status: false,
            probing: false,
        };
        let penalty = self.entries.entry(ip).or_insert(fresh);
        penalty.until = penalty.until.max(until);
    }

    /// Forgets whatever `ip` did: it has just proved itself.
    pub fn absolve(&mut self, ip: IpAddr) {
        self.entries.remove(&ip);
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
            candidates.retain(|ip| {
                self.entries
                    .get(ip)
                    .is_none_or(|penalty| !penalty.status || penalty.until <= now)
            });
            return Screen::Go;
        };
        match policy {
            AllBlocked::Fail => Screen::Blocked { until },
            AllBlocked::ProbeLeastBad => self.probe(first, until, candidates),
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

    /// `base`, doubled for each strike after the first, at most `max`.
    fn span(&self, strikes: u32) -> std::time::Duration {
        let strikes = if planted("penalty_does_not_double") {
            1
        } else {
            strikes
        };
        let factor = 1u32.checked_shl(strikes.saturating_sub(1)).unwrap_or(u32::MAX);
        self.terms.base.saturating_mul(factor).min(self.terms.max)
    }

    /// Keeps the table within its bound: what is over goes first, then what will be over soonest.
    fn make_room(&mut self, now: Moment, ip: IpAddr) {
        if self.entries.len() < self.terms.entries.max(1) || self.entries.contains_key(&ip) {
            return;
        }
        self.entries.retain(|_, penalty| now < penalty.until);
        while self.entries.len() >= self.terms.entries.max(1) {
            let soonest = self
                .entries
                .iter()
                .min_by_key(|(_, penalty)| penalty.until)
                .map(|(&ip, _)| ip);
            let Some(soonest) = soonest else { break };
            self.entries.remove(&soonest);
        }
    }
}
