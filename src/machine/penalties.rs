//! Addresses that failed, and for how long they are avoided.
//!
//! The same table serves twice: inside a machine for what one origin holds against an address (TLS, protocol, status),
//! and beside the [`Ledger`](super::Ledger) for what every origin holds against it (TCP). A penalty expires by itself.
//! The next failure after it doubles it; a failure *while* it runs does not, or ten dials that fail together would
//! count as ten failures in a row. One quiet `max` after its end it is forgotten.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The same by when each ends: a full table makes room without a search.
    ends: BTreeSet<(Moment, IpAddr)>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    /// Failures in a row.
    strikes: u32,
    /// For what, last.
    cause: Cause,
    /// When it ends.
    until: Moment,
    /// When the address itself told us to stay away, if it did: then it is no last resort either.
    status: Option<Moment>,
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

    /// Until when `ip` is blocked, if it is.
    pub fn blocked(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        self.entries
            .get(&ip)
            .map(|penalty| penalty.until)
            .filter(|&until| now < until)
    }

    /// What `ip` is blocked for, if it is known.
    pub fn cause(&self, ip: IpAddr) -> Option<Cause> {
        let penalty = self.entries.get(&ip)?;
        Some(penalty.status.map_or(penalty.cause, |_| Cause::Status))
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
        let told = old.filter(|old| now < old.until).and_then(|old| old.status);
        let status = if cause == Cause::Status { Some(now) } else { told };
        let penalty = Penalty {
            strikes,
            cause,
            until,
            status,
            probing: false,
        };
        self.put(now, ip, penalty);
        Some(until)
    }

    /// Blocks `ip` until then on somebody else's word.
    pub fn shun(&mut self, now: Moment, ip: IpAddr, until: Moment) {
        if until <= now {
            return;
        }
        let fresh = Penalty {
            strikes: 0,
            cause: Cause::Tcp,
            until,
            status: None,
            probing: false,
        };
        let old = self.entries.get(&ip).copied().unwrap_or(fresh);
        let until = old.until.max(until);
        self.put(now, ip, Penalty { until, ..old });
    }

    fn put(&mut self, now: Moment, ip: IpAddr, penalty: Penalty) {
        self.absolve(ip);
        self.make_room(now);
        self.ends.insert((penalty.until, ip));
        self.entries.insert(ip, penalty);
    }

    /// Forgets whatever `ip` did: it has just proved itself.
    pub fn absolve(&mut self, ip: IpAddr) {
        if let Some(penalty) = self.entries.remove(&ip) {
            self.ends.remove(&(penalty.until, ip));
        }
    }

    /// A dial that was ordered at `ordered` has reached `ip`: whatever failed there is forgotten, and what it told us before. What it has told us since
    /// stands: that the connection came about says nothing against it. Answers whether it does.
    pub fn reached(&mut self, now: Moment, ip: IpAddr, ordered: Moment) -> bool {
        let told = self.entries.get(&ip).filter(|penalty| now < penalty.until);
        let stands = told
            .and_then(|penalty| penalty.status)
            .is_some_and(|told| ordered < told);
        let stands = stands && !planted("whoever_connects_is_welcome");
        if !stands {
            self.absolve(ip);
        }
        stands
    }

    /// Forgets whatever failed; who told us to stay away did not fail.
    pub fn forgive(&mut self) {
        self.entries.retain(|_, penalty| penalty.status.is_some());
        self.ends.retain(|(_, ip)| self.entries.contains_key(ip));
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
            candidates.retain(|ip| {
                self.entries
                    .get(ip)
                    .is_none_or(|penalty| penalty.status.is_none() || penalty.until <= now)
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
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    const TERMS: PenaltyTerms = PenaltyTerms {
        base: Duration::from_secs(1),
        max: Duration::from_secs(8),
        status: Duration::from_secs(100),
        entries: 3,
    };

    fn ip(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    fn screened(table: &mut Penalties, now: Moment, candidates: &[u8]) -> (Screen, Vec<IpAddr>) {
        let mut candidates = candidates.iter().copied().map(ip).collect();
        let screen = table.screen(now, AllBlocked::ProbeLeastBad, &mut candidates);
        (screen, candidates)
    }

    #[test]
    fn a_status_is_no_last_resort_while_another_address_stands() {
        let mut table = Penalties::new(TERMS);
        assert_eq!(table.strike(at(0), ip(1), Cause::Status), Some(at(100)));
        table.strike(at(0), ip(2), Cause::Tls);
        assert_eq!(
            screened(&mut table, at(0), &[1, 2, 3]),
            (Screen::Go, vec![ip(3), ip(2)])
        );
        // A lesser fault meanwhile neither shortens nor softens it; one after its end is only that.
        assert_eq!(table.strike(at(50), ip(1), Cause::Tls), Some(at(100)));
        assert_eq!(screened(&mut table, at(99), &[1, 3]), (Screen::Go, vec![ip(3)]));
        assert_eq!(
            screened(&mut table, at(100), &[1, 3]),
            (Screen::Go, vec![ip(1), ip(3)])
        );
        assert_eq!(table.strike(at(100), ip(1), Cause::Tls), Some(at(102)));
        assert_eq!(
            screened(&mut table, at(101), &[1, 3]),
            (Screen::Go, vec![ip(3), ip(1)])
        );
        // A status on top of a lesser penalty hardens it.
        table.strike(at(101), ip(1), Cause::Status);
        assert_eq!(table.blocked(at(150), ip(1)), Some(at(201)));
        assert_eq!(screened(&mut table, at(150), &[1, 3]), (Screen::Go, vec![ip(3)]));
    }

    #[test]
    fn one_probe_at_a_time_to_the_one_that_is_free_first() {
        let mut table = Penalties::new(TERMS);
        table.shun(at(0), ip(1), at(9));
        table.shun(at(0), ip(2), at(7));
        assert_eq!(screened(&mut table, at(1), &[1, 2]), (Screen::Probe, vec![ip(2)]));
        assert_eq!(
            screened(&mut table, at(1), &[1, 2]).0,
            Screen::Blocked { until: at(7) }
        );
        table.probe_over(ip(2));
        assert_eq!(screened(&mut table, at(1), &[1, 2]).0, Screen::Probe);
        table.strike(at(1), ip(2), Cause::Local);
        assert_eq!(screened(&mut table, at(1), &[1, 2]).0, Screen::Probe);
        table.strike(at(1), ip(2), Cause::Tcp);
        assert_eq!(screened(&mut table, at(1), &[1, 2]).0, Screen::Probe);
        table.absolve(ip(2));
        assert_eq!(
            screened(&mut table, at(1), &[1, 2]),
            (Screen::Go, vec![ip(2), ip(1)])
        );
        assert_eq!(screened(&mut table, at(1), &[]), (Screen::Go, vec![]));
    }

    #[test]
    fn failures_within_one_block_are_one_failure() {
        let mut table = Penalties::new(TERMS);
        assert_eq!(table.strike(at(0), ip(1), Cause::Tls), Some(at(1)));
        assert_eq!(table.strike(at(1), ip(1), Cause::Tls), Some(at(3)));
        assert_eq!(table.strike(at(2), ip(1), Cause::Tls), Some(at(3)));
        assert_eq!(table.strike(at(3), ip(1), Cause::Tls), Some(at(7)));
        // Others' failures change nothing while there is room.
        table.strike(at(8), ip(2), Cause::Tls);
        // One quiet maximum after its end all is forgotten, not before.
        let mut later = table.clone();
        assert_eq!(later.strike(at(14), ip(1), Cause::Tls), Some(at(22)));
        assert_eq!(table.strike(at(15), ip(1), Cause::Tls), Some(at(16)));
    }

    #[test]
    fn shunning_only_prolongs() {
        let mut table = Penalties::new(TERMS);
        table.shun(at(5), ip(1), at(5));
        assert!(table.is_empty(), "over before it began");
        table.shun(at(5), ip(1), at(9));
        table.shun(at(5), ip(1), at(7));
        assert_eq!(table.blocked(at(8), ip(1)), Some(at(9)));
        assert_eq!(table.list(at(8)).collect::<Vec<_>>(), [(ip(1), at(9))]);
        assert_eq!(table.list(at(9)).count(), 0);
        // A word of others is no failure: the first own one counts as the first.
        assert_eq!(table.strike(at(9), ip(1), Cause::Tls), Some(at(10)));
    }

    #[test]
    fn the_table_stays_small() {
        let mut table = Penalties::new(TERMS);
        table.shun(at(0), ip(1), at(50));
        table.shun(at(0), ip(2), at(5));
        table.shun(at(0), ip(3), at(60));
        table.shun(at(0), ip(3), at(61));
        assert_eq!(table.len(), 3, "one that is known needs no room");
        // What is over goes first, all of it.
        table.shun(at(5), ip(4), at(40));
        assert_eq!(table.len(), 3);
        assert_eq!(
            table.list(at(5)).map(|(ip, _)| ip).collect::<Vec<_>>(),
            [ip(1), ip(3), ip(4)]
        );
        // Then what is over soonest.
        table.shun(at(5), ip(5), at(45));
        assert_eq!(
            table.list(at(5)).map(|(ip, _)| ip).collect::<Vec<_>>(),
            [ip(1), ip(3), ip(5)]
        );
        assert_eq!(table.len(), 3);
    }

    /// Each failure of an address that is new to a full table takes one place, of the one that is free soonest: what is listed by when it ends and by
    /// address stays the same.
    #[test]
    fn a_full_table_makes_room_for_each_in_turn() {
        let most = 1_000;
        let mut table = Penalties::new(PenaltyTerms {
            entries: most,
            ..TERMS
        });
        let nth = |n: u32| IpAddr::V4(Ipv4Addr::from(n));
        for n in 0..5_000 {
            table.shun(at(0), nth(n), at(10 + u64::from(n)));
        }
        assert_eq!((table.len(), table.ends.len()), (most, most));
        let left: Vec<_> = table.list(at(0)).map(|(ip, _)| ip).collect();
        assert_eq!(left, (4_000..5_000).map(nth).collect::<Vec<_>>());
        for n in (0..6_000).step_by(7) {
            table.strike(at(20), nth(n), Cause::Status);
            table.absolve(nth(n + 1));
        }
        assert!(table.len() <= most);
        let by_end: BTreeSet<_> = table
            .entries
            .iter()
            .map(|(&ip, penalty)| (penalty.until, ip))
            .collect();
        assert_eq!(table.ends, by_end);
        table.forgive();
        assert_eq!(
            (table.len(), table.ends.len()),
            (table.entries.len(), table.entries.len())
        );
        assert!(table.entries.values().all(|penalty| penalty.status.is_some()));
    }

    #[test]
    fn what_is_over_at_this_very_moment_makes_room_first() {
        let mut table = Penalties::new(TERMS);
        for (last, until) in [(1, 5), (2, 5), (3, 60)] {
            table.shun(at(0), ip(last), at(until));
        }
        table.shun(at(5), ip(4), at(40));
        assert_eq!(table.len(), 2, "both of them are gone");
    }

    #[test]
    fn terms_may_change() {
        let mut table = Penalties::new(TERMS);
        table.set_terms(PenaltyTerms {
            base: Duration::from_secs(3),
            ..TERMS
        });
        assert_eq!(table.strike(at(0), ip(1), Cause::Protocol), Some(at(3)));
        // However often it fails: at most the maximum, without overflow.
        let mut now = at(3);
        for _ in 0..40 {
            let until = table.strike(now, ip(1), Cause::Protocol).unwrap();
            assert!(until.since(now) <= TERMS.max);
            now = until;
        }
        assert_eq!(table.strike(now, ip(1), Cause::Protocol), Some(now + TERMS.max));
    }
}
