//! Addresses that failed, and for how long they are avoided.
//!
//! The same table serves twice: inside a machine for what one origin holds against an address (TLS, protocol, status),
//! and beside the [`Ledger`](super::Ledger) for what every origin holds against it (TCP). A penalty expires by itself.
//! The next failure after it doubles it; a failure *while* it runs does not, or ten dials that fail together would
//! count as ten failures in a row. One quiet `max` after its end it is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

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
    /// When it ends; [`Moment::ZERO`] if nothing failed here.
    until: Moment,
    /// When the address itself told us to stay away, if it did: as long as that holds it is no last resort either.
    status: Option<Moment>,
    /// Until when the address wants to be left alone, by its own word (`Retry-After`).
    later: Moment,
    /// Until when it is avoided on somebody else's word, whatever it did here.
    shunned: Moment,
    /// Whether the one probe of a pool whose addresses are all blocked is under way.
    probing: bool,
}

impl Penalty {
    /// Of an address that has done nothing.
    const NONE: Penalty = Penalty {
        strikes: 0,
        cause: Cause::Local,
        until: Moment::ZERO,
        status: None,
        later: Moment::ZERO,
        shunned: Moment::ZERO,
        probing: false,
    };

    /// Until when it is avoided, for whatever.
    fn end(&self) -> Moment {
        self.until.max(self.shunned)
    }

    /// When it told us to stay away, if that still holds.
    fn told(&self, now: Moment) -> Option<Moment> {
        self.status.filter(|_| now < self.until)
    }
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
        self.entries.get(&ip).map(Penalty::end).filter(|&end| now < end)
    }

    /// What `ip` itself did, and until when it is blocked for that, if it is: not what others said of it.
    pub fn held(&self, now: Moment, ip: IpAddr) -> Option<(Cause, Moment)> {
        let penalty = self.entries.get(&ip)?;
        let lasts =
            now < penalty.until || now < penalty.shunned && planted("a_status_lasts_as_long_as_any_block");
        if !lasts {
            return None;
        }
        let cause = penalty.told(now).map_or(penalty.cause, |_| Cause::Status);
        Some((cause, penalty.until))
    }

    /// Until when `ip` told us to stay away, if it did.
    pub fn told(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        let (cause, until) = self.held(now, ip)?;
        (cause == Cause::Status).then_some(until)
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

    /// Of these, the ones that a dial may clear before: none that wants to be left alone, or that has to be asked where nobody asks.
    pub fn doubtful(&self, now: Moment) -> impl Iterator<Item = (IpAddr, Moment)> {
        let left_alone = move |ip| {
            let later = self.entries.get(&ip).is_some_and(|penalty| now < penalty.later);
            later && !planted("who_wants_to_be_left_alone_is_tried")
        };
        self.list(now)
            .filter(move |&(ip, _)| !left_alone(ip) && self.shut(now, ip).is_none())
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
        let lasts = now < known.until;
        // One quiet `max` after its end it is forgotten.
        let strikes = match now < known.until + self.terms.max {
            true if lasts => known.strikes,
            true => known.strikes.saturating_add(1),
            false => 1,
        };
        let own = match cause {
            Cause::Status => now + self.terms.status,
            _ if lasts => known.until,
            _ => now + self.span(strikes),
        };
        let later = known.later.max(now + alone.min(self.terms.max));
        let penalty = Penalty {
            strikes,
            cause,
            until: own.max(known.until).max(later),
            status: if cause == Cause::Status {
                Some(now)
            } else {
                known.told(now)
            },
            later,
            shunned: known.shunned,
            probing: false,
        };
        self.put(now, ip, penalty);
        Some(penalty.end())
    }

    /// Blocks `ip` until then on somebody else's word. What it did itself stays what it was.
    pub fn shun(&mut self, now: Moment, ip: IpAddr, until: Moment) {
        if until <= now {
            return;
        }
        let known = self.entries.get(&ip).copied().unwrap_or(Penalty::NONE);
        let shunned = known.shunned.max(until);
        self.put(now, ip, Penalty { shunned, ..known });
    }

    /// Forgets what somebody else said of `ip`. What it did itself stays.
    pub fn unshun(&mut self, ip: IpAddr) {
        if let Some(known) = self.entries.get(&ip).copied() {
            self.absolve(ip);
            if known.until > Moment::ZERO {
                let own = Penalty {
                    shunned: Moment::ZERO,
                    ..known
                };
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

    /// A dial that was ordered at `ordered` has reached `ip`: whatever failed there is forgotten, and what it told us before, if it has been asked again. What
    /// it has told us since stands, and all that it told us where nobody asks: that a connection came about says nothing against it. Answers whether
    /// we are to stay away.
    pub fn reached(&mut self, now: Moment, ip: IpAddr, ordered: Moment) -> bool {
        let Some(known) = self.entries.get(&ip).copied() else {
            return false;
        };
        let told = known.told(now).is_some_and(|told| ordered < told);
        let told = told && !planted("whoever_connects_is_welcome") || self.shut(now, ip).is_some();
        let alone = now < known.later && !self.terms.validated;
        self.absolve(ip);
        if told || alone {
            let said = Penalty {
                shunned: Moment::ZERO,
                until: if told { known.until } else { known.later },
                probing: false,
                ..known
            };
            self.insert(ip, said);
        }
        told
    }

    /// Forgets whatever failed; who told us to stay away did not fail.
    pub fn forgive(&mut self) {
        self.entries.retain(|_, penalty| penalty.status.is_some());
        for penalty in self.entries.values_mut() {
            penalty.shunned = Moment::ZERO;
        }
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

    /// `base`, doubled for each strike after the first, at most `max`.
    fn span(&self, strikes: u32) -> Duration {
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

    use super::*;

    const TERMS: PenaltyTerms = PenaltyTerms {
        base: Duration::from_secs(1),
        max: Duration::from_secs(8),
        status: Duration::from_secs(100),
        entries: 3,
        validated: true,
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

    /// What an address did here and what others say of it are two things: neither takes the other's name, ends with it, or outlives it.
    #[test]
    fn somebody_else_s_word_is_not_its_own() {
        let mut table = Penalties::new(TERMS);
        table.strike(at(0), ip(1), Cause::Status);
        // A 403 that is over is over, whatever others say of the address then.
        table.shun(at(100), ip(1), at(150));
        assert_eq!(
            (table.held(at(100), ip(1)), table.told(at(100), ip(1))),
            (None, None)
        );
        table.shun(at(100), ip(2), at(120));
        table.strike(at(100), ip(3), Cause::Tls);
        assert_eq!(
            screened(&mut table, at(101), &[1, 2, 3]),
            (Screen::Go, vec![ip(3), ip(2), ip(1)]),
            "no address is left out for what it said long ago"
        );
        table.unshun(ip(1));
        assert_eq!(table.blocked(at(101), ip(1)), None);
        // One that lasts is not prolonged by it, nor ends with it.
        table.absolve(ip(3));
        table.strike(at(101), ip(3), Cause::Status);
        table.shun(at(101), ip(3), at(500));
        assert_eq!(table.held(at(101), ip(3)), Some((Cause::Status, at(201))));
        assert_eq!(table.blocked(at(201), ip(3)), Some(at(500)));
        assert_eq!(table.told(at(201), ip(3)), None);
        table.unshun(ip(3));
        assert_eq!(table.blocked(at(102), ip(3)), Some(at(201)));
        assert_eq!(
            table.list(at(102)).collect::<Vec<_>>(),
            [(ip(2), at(120)), (ip(3), at(201))]
        );
        // Nor does it count as a failure, or make one be forgotten.
        let mut table = Penalties::new(TERMS);
        table.strike(at(0), ip(1), Cause::Tls);
        table.shun(at(0), ip(1), at(7));
        table.unshun(ip(1));
        assert_eq!(table.strike(at(1), ip(1), Cause::Tls), Some(at(3)), "the second");
        table.shun(at(3), ip(1), at(90));
        table.forgive();
        assert!(table.is_empty() && table.ends.is_empty());
    }

    /// Without anybody who asks, what an address told us ends by its time or by somebody's word: by no connection, and none is made to see.
    #[test]
    fn a_connection_is_no_answer() {
        for validated in [false, true] {
            let mut table = Penalties::new(PenaltyTerms { validated, ..TERMS });
            table.strike(at(0), ip(1), Cause::Status);
            table.shun(at(0), ip(1), at(40));
            table.shun(at(0), ip(2), at(50));
            table.strike_for(at(0), ip(3), Cause::Protocol, Duration::from_secs(7));
            let doubtful: Vec<_> = table.doubtful(at(1)).map(|(ip, _)| ip).collect();
            assert_eq!(
                doubtful,
                if validated {
                    vec![ip(1), ip(2)]
                } else {
                    vec![ip(2)]
                }
            );
            let probed = |table: &mut Penalties| screened(table, at(1), &[1]).0;
            let shut = Screen::Blocked { until: at(100) };
            assert_eq!(probed(&mut table), if validated { Screen::Probe } else { shut });
            for (of, expected) in [(1, at(100)), (3, at(7))] {
                let stays = table.reached(at(2), ip(of), at(1));
                assert_eq!(stays, of == 1 && !validated);
                let expected = if validated { None } else { Some(expected) };
                assert_eq!(table.blocked(at(2), ip(of)), expected, "{of}");
            }
            assert!(!table.reached(at(2), ip(2), at(1)));
            assert_eq!(table.blocked(at(2), ip(2)), None, "it is reached");
        }
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
            .map(|(&ip, penalty)| (penalty.end(), ip))
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
