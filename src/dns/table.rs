//! What is known of names, and for how long: rules alone, with the time as an argument.
//!
//! ```text
//! asked ──answer──▶ fresh ──time to live, or refresh──▶ to be asked again ──▶ …
//!                     └──────────time to live, and stale──────────▶ forgotten
//! ```
//!
//! Between the two it serves only where the name servers fail (RFC 8767). That a name does not exist is an answer, not a failure.

#![cfg_attr(
    not(feature = "__internals"),
    expect(unreachable_pub, reason = "public to the crate's own fuzz targets")
)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Answer, ResolveError};
use crate::clock::Moment;
use crate::fault::planted;

/// How many addresses of one name are used.
pub(crate) const MOST_ADDRESSES: usize = 32;
/// How many names are remembered.
const MOST_NAMES: usize = 10_000;
/// The bounds of a time to live, whatever it says.
const SHORTEST_TTL: Duration = Duration::from_secs(5);
pub(super) const LONGEST_TTL: Duration = Duration::from_secs(24 * 3600);
/// The bounds of the time for which it is remembered that a name does not exist (RFC 2308 section 5 leaves the upper one open).
const SHORTEST_NEGATIVE: Duration = Duration::from_secs(1);
const LONGEST_NEGATIVE: Duration = Duration::from_secs(30);
/// How soon a failing name server is asked again while what it said before serves (RFC 8767 section 5).
const STALE_TTL: Duration = Duration::from_secs(30);

/// The part of the terms that a pool's settings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// A name is asked again after so long, be its time to live longer.
    pub refresh: Duration,
    /// For so long after its time to live an answer serves if there is no newer one.
    pub stale: Duration,
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At least one, at most 32, each once and in its one form.
    pub addresses: Vec<IpAddr>,
    /// When to ask again.
    pub fresh_until: Moment,
    /// When they are not to be used any more.
    pub usable_until: Moment,
    /// Whether these are all: not if the answer for one family is missing, or if they are stale.
    pub whole: bool,
    /// Whether they are what name servers said before, because they say nothing now.
    pub stale: bool,
    /// Whether those of one family are what was known before, because no answer came for that one: of IPv6, or of IPv4.
    pub kept_v6: Option<bool>,
    /// Whether what is old in it was said in another network: all of it if it is stale, else the family that was kept.
    pub foreign: bool,
}

impl Found {
    /// Whether it would have this address, if the name still had it: name servers have spoken of its family.
    pub fn concerns(&self, ip: IpAddr) -> bool {
        let same_family = |other: &IpAddr| other.is_ipv6() == ip.is_ipv6();
        let kept = self.kept_v6 == Some(ip.is_ipv6()) && !planted("what_is_kept_counts_as_an_answer");
        let answered = !self.stale && !kept && self.addresses.iter().any(same_family);
        self.whole || (answered && !planted("a_part_of_an_answer_misses_nothing"))
    }

    /// As much of it as was said in this network; none if nothing was.
    pub fn of_here(&self) -> Option<Found> {
        let foreign = self.foreign && !planted("what_another_network_said_is_believed");
        let elsewhere = |ip: &IpAddr| foreign && (self.stale || self.kept_v6 == Some(ip.is_ipv6()));
        let here = self.addresses.iter().filter(|ip| !elsewhere(ip));
        let addresses: Vec<IpAddr> = here.copied().collect();
        (!addresses.is_empty()).then(|| Found {
            addresses,
            ..self.clone()
        })
    }

    /// How soon it is asked for again once it serves because name servers fail. What another network said is as good as nothing.
    fn recheck(&self) -> Duration {
        match self.foreign && !planted("what_is_in_doubt_is_asked_about_late") {
            true => SHORTEST_NEGATIVE,
            false => STALE_TTL,
        }
    }
}

/// Whose addresses: the host, and the port where that makes a difference.
pub(super) type Key = (Box<str>, Option<u16>);

#[derive(Clone, Debug, Default)]
struct Entry {
    found: Option<Found>,
    /// The latest failure, and until when it need not be tried again.
    failed: Option<(ResolveError, Moment)>,
}

impl Entry {
    fn over(&self) -> Moment {
        let found = self.found.as_ref().map(|found| found.usable_until);
        let failed = self.failed.as_ref().map(|&(_, until)| until);
        found.max(failed).unwrap_or(Moment::ZERO)
    }
}

/// All names that are remembered.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: HashMap<Key, Entry>,
}

/// What the parts of an answer come to.
///
/// # Errors
/// The name does not exist, if every part says so; else the first failure, if no part brought an address.
pub(super) fn conclude(
    now: Moment,
    terms: Terms,
    parts: &[Result<Answer, ResolveError>],
) -> Result<Found, ResolveError> {
    let answers = || {
        parts
            .iter()
            .flatten()
            .filter(|answer| !answer.addresses.is_empty())
    };
    let addresses = usable(answers().flat_map(|answer| &answer.addresses));
    let ttl = answers().map(|answer| answer.ttl).min().unwrap_or_default();
    let failure = parts.iter().find_map(|part| match part {
        Err(ResolveError::NotFound { .. }) | Ok(_) => None,
        Err(failure) => Some(failure),
    });
    if addresses.is_empty() {
        let negative = parts.iter().filter_map(|part| match part {
            Err(ResolveError::NotFound { ttl }) => Some(*ttl),
            Ok(empty) => Some(empty.ttl),
            Err(_) => None,
        });
        let ttl = negative.min().unwrap_or_default();
        return Err(failure.cloned().unwrap_or(ResolveError::NotFound { ttl }));
    }
    let ttl = ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
    let soonest = if failure.is_some() {
        STALE_TTL
    } else {
        terms.refresh
    };
    Ok(Found {
        addresses,
        fresh_until: now + ttl.min(soonest),
        usable_until: now + ttl + terms.stale,
        whole: failure.is_none(),
        stale: false,
        kept_v6: None,
        foreign: false,
    })
}

/// An answer's addresses, each once and in its one form: an IPv4 address that came mapped into IPv6 counts as itself.
pub(super) fn usable<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> Vec<IpAddr> {
    let mut usable = Vec::new();
    for ip in addresses.into_iter().map(IpAddr::to_canonical) {
        if usable.len() >= MOST_ADDRESSES && !planted("names_have_any_number_of_addresses") {
            break;
        }
        if !usable.contains(&ip) {
            usable.push(ip);
        }
    }
    usable
}

impl Table {
    /// What is known well enough not to ask.
    pub(super) fn known(&self, now: Moment, key: &Key) -> Option<Result<Found, ResolveError>> {
        let entry = self.entries.get(key)?;
        if let Some((failure, until)) = &entry.failed
            && now < *until
        {
            let stale = self.stale(now, key).map(|found| Found {
                fresh_until: *until,
                ..found
            });
            return Some(stale.ok_or_else(|| failure.clone()));
        }
        let found = entry.found.as_ref()?;
        (now < found.fresh_until).then(|| Ok(found.clone()))
    }

    /// What serves if there is nothing better.
    pub(super) fn stale(&self, now: Moment, key: &Key) -> Option<Found> {
        let found = self.entries.get(key)?.found.as_ref()?;
        let usable = now < found.usable_until || planted("stale_without_end");
        usable.then(|| Found {
            fresh_until: now + found.recheck(),
            whole: false,
            stale: true,
            ..found.clone()
        })
    }

    /// Writes down what came of a question, and answers what to make of it: where name servers failed, what they said before.
    pub(super) fn learn(
        &mut self,
        now: Moment,
        key: &Key,
        outcome: Result<Found, ResolveError>,
    ) -> Result<Found, ResolveError> {
        if !self.entries.contains_key(key) {
            self.make_room(now);
        }
        let failure = match outcome {
            Ok(found) => {
                let found = self.merge(now, key, found);
                let entry = self.entries.entry(key.clone()).or_default();
                *entry = Entry {
                    found: Some(found.clone()),
                    failed: None,
                };
                return Ok(found);
            }
            // This machine's own trouble says nothing of the name.
            Err(local @ ResolveError::Local(_)) => return self.stale(now, key).ok_or(local),
            Err(failure) => failure,
        };
        let stale = self.stale(now, key);
        let entry = self.entries.entry(key.clone()).or_default();
        let span = match &failure {
            ResolveError::NotFound { ttl } => {
                entry.found = None;
                (*ttl).clamp(SHORTEST_NEGATIVE, LONGEST_NEGATIVE)
            }
            _ => stale.as_ref().map_or(SHORTEST_NEGATIVE, Found::recheck),
        };
        if !planted("failures_are_asked_again_at_once") {
            entry.failed = Some((failure.clone(), now + span));
        }
        match stale {
            Some(found) if entry.found.is_some() => Ok(found),
            _ => Err(failure),
        }
    }

    /// An answer that lacks a family keeps what was known of that one, for no longer than it was to be used.
    fn merge(&self, now: Moment, key: &Key, found: Found) -> Found {
        let Some(old) = self.stale(now, key).filter(|_| !found.whole) else {
            return found;
        };
        let lacks = |old: &&IpAddr| found.addresses.iter().all(|ip| ip.is_ipv6() != old.is_ipv6());
        let kept: Vec<IpAddr> = old.addresses.iter().filter(lacks).copied().collect();
        if kept.is_empty() {
            return found;
        }
        Found {
            addresses: usable(found.addresses.iter().chain(&kept)),
            fresh_until: found.fresh_until.min(old.usable_until),
            usable_until: found.usable_until.min(old.usable_until),
            kept_v6: kept.first().map(IpAddr::is_ipv6),
            foreign: old.foreign,
            ..found
        }
    }

    /// Another network may have other answers: each name is to be asked for again. What is known serves as the stale does.
    pub(super) fn doubt(&mut self, now: Moment) {
        if planted("another_network_has_the_same_names") {
            return;
        }
        self.entries.retain(|_, entry| {
            entry.failed = None;
            if let Some(found) = &mut entry.found {
                found.fresh_until = found.fresh_until.min(now);
                found.foreign = true;
            }
            entry.found.is_some()
        });
    }

    /// Everything that is not over, for a snapshot.
    pub(super) fn found(&self, now: Moment) -> impl Iterator<Item = (&Key, &Found)> {
        let found = self
            .entries
            .iter()
            .filter_map(|(key, entry)| Some((key, entry.found.as_ref()?)));
        found.filter(move |(_, found)| now < found.usable_until)
    }

    /// Takes in what a snapshot has, unless it is known better.
    pub(super) fn restore(&mut self, now: Moment, key: Key, found: Found) {
        if !self.entries.contains_key(&key) {
            self.make_room(now);
            self.entries.insert(
                key,
                Entry {
                    found: Some(found),
                    failed: None,
                },
            );
        }
    }

    /// Keeps it within its bound: what is over goes first, then what will be over soonest.
    fn make_room(&mut self, now: Moment) {
        if self.entries.len() < MOST_NAMES {
            return;
        }
        self.entries.retain(|_, entry| now < entry.over());
        while self.entries.len() >= MOST_NAMES {
            let soonest = self.entries.iter().min_by_key(|(_, entry)| entry.over());
            let Some(key) = soonest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.entries.remove(&key);
        }
    }
}

/// For the fuzz target of the answers' rules: one name, its answers, and what is made of them.
#[cfg(feature = "__internals")]
impl Table {
    /// See [`conclude`] and [`Table::learn`].
    pub fn answered(
        &mut self,
        now: Moment,
        terms: Terms,
        name: &str,
        parts: &[Result<Answer, ResolveError>],
    ) -> Result<Found, ResolveError> {
        self.learn(now, &(name.into(), None), conclude(now, terms, parts))
    }

    /// See [`Table::known`].
    pub fn remembered(&self, now: Moment, name: &str) -> Option<Result<Found, ResolveError>> {
        self.known(now, &(name.into(), None))
    }

    /// How many names are remembered.
    pub fn names(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        refresh: Duration::from_secs(1800),
        stale: Duration::from_secs(3600),
    };

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn answer(ips: &[IpAddr], ttl: u64) -> Result<Answer, ResolveError> {
        Ok(Answer {
            addresses: ips.to_vec(),
            ttl: Duration::from_secs(ttl),
        })
    }

    fn not_found(ttl: u64) -> Result<Answer, ResolveError> {
        let ttl = Duration::from_secs(ttl);
        Err(ResolveError::NotFound { ttl })
    }

    fn failed() -> Result<Answer, ResolveError> {
        Err(ResolveError::Failed("SERVFAIL".into()))
    }

    fn key() -> Key {
        ("a.test".into(), None)
    }

    #[test]
    fn addresses_are_used_once_in_their_own_form_and_not_without_end() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(usable(&[mapped, ip(1)]), [ip(1)]);
        let many: Vec<IpAddr> = (0..1000_u32)
            .map(|n| std::net::Ipv4Addr::from(n).into())
            .collect();
        assert_eq!(usable(&many), &many[..32]);
    }

    #[test]
    fn a_time_to_live_has_bounds() {
        for (ttl, fresh, usable) in [
            (0, 5, 3605),
            (5, 5, 3605),
            (60, 60, 3660),
            (1800, 1800, 5400),
            (1801, 1800, 5401),
            (86_400, 1800, 90_000),
            (u64::from(u32::MAX), 1800, 90_000),
        ] {
            let found = conclude(at(0), TERMS, &[answer(&[ip(1)], ttl)]).expect("found");
            assert_eq!(
                (found.fresh_until, found.usable_until),
                (at(fresh), at(usable)),
                "{ttl}"
            );
        }
    }

    #[test]
    fn families_add_up_and_one_that_failed_is_not_missed() {
        let found = conclude(at(0), TERMS, &[answer(&[ip(1)], 60), answer(&[ip(2)], 20)]).expect("found");
        assert_eq!((found.addresses, found.fresh_until), (vec![ip(1), ip(2)], at(20)));
        let found = conclude(at(0), TERMS, &[not_found(9), answer(&[ip(2)], 60)]).expect("found");
        assert!(found.whole, "that there is none of a family is an answer");
        let found = conclude(at(0), TERMS, &[failed(), answer(&[ip(2)], 600)]).expect("found");
        assert_eq!((found.whole, found.fresh_until), (false, at(30)));
        assert_eq!(
            conclude(at(0), TERMS, &[not_found(9), not_found(4)]).map_err(Err),
            Err(not_found(4))
        );
        assert_eq!(
            conclude(at(0), TERMS, &[not_found(9), failed()]).map_err(Err),
            Err(failed())
        );
        assert_eq!(
            conclude(at(0), TERMS, &[answer(&[], 7)]).map_err(Err),
            Err(not_found(7))
        );
        assert_eq!(conclude(at(0), TERMS, &[]).map_err(Err), Err(not_found(0)));
    }

    #[test]
    fn what_failed_is_not_asked_again_at_once() {
        for (part, span) in [
            (not_found(0), 1),
            (not_found(9), 9),
            (not_found(9_999), 30),
            (failed(), 1),
            (Err(ResolveError::Timeout), 1),
        ] {
            let mut table = Table::default();
            let outcome = conclude(at(10), TERMS, std::slice::from_ref(&part));
            assert_eq!(
                table.learn(at(10), &key(), outcome).map_err(Err),
                Err(part.clone())
            );
            let until = at(10 + span);
            let before = until - Duration::from_nanos(1);
            assert_eq!(
                table.known(before, &key()).map(|known| known.map_err(Err)),
                Some(Err(part))
            );
            assert_eq!(table.known(until, &key()), None);
        }
        let mut table = Table::default();
        let local = Err(ResolveError::Local("EMFILE".into()));
        assert!(table.learn(at(0), &key(), local).is_err());
        assert_eq!(
            table.known(at(0), &key()),
            None,
            "its own trouble is not the name's"
        );
    }

    #[test]
    fn the_stale_serves_while_name_servers_fail_and_no_longer_than_so_long() {
        let mut table = Table::default();
        let learn = |table: &mut Table, now, part| table.learn(now, &key(), conclude(now, TERMS, &[part]));
        learn(&mut table, at(0), answer(&[ip(1)], 60)).expect("found");
        assert_eq!(table.known(at(60), &key()), None, "to be asked again");
        let stale = learn(&mut table, at(60), failed()).expect("stale");
        assert_eq!((stale.addresses, stale.whole), (vec![ip(1)], false));
        assert_eq!((stale.fresh_until, stale.usable_until), (at(90), at(3660)));
        assert!(table.known(at(89), &key()).expect("known").is_ok());
        assert_eq!(table.known(at(90), &key()), None);
        let last = at(3660) - Duration::from_nanos(1);
        assert!(learn(&mut table, last, Err(ResolveError::Timeout)).is_ok());
        assert!(table.known(at(3660), &key()).expect("known").is_err());
        // That it is gone is an answer.
        learn(&mut table, at(4_000), answer(&[ip(1)], 60)).expect("found");
        assert!(learn(&mut table, at(4_100), not_found(5)).is_err());
        assert!(
            learn(&mut table, at(4_200), failed()).is_err(),
            "nothing is left to serve"
        );
    }

    #[test]
    fn a_family_that_keeps_failing_is_kept_within_its_bound_and_keeps_nothing_of_the_other() {
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let mut table = Table::default();
        let mut learn = |now, parts: &[_]| table.learn(now, &key(), conclude(now, TERMS, parts)).unwrap();
        learn(at(0), &[answer(&[v6], 60), answer(&[ip(1)], 60)]);
        let found = learn(at(60), &[failed(), answer(&[ip(2)], 60)]);
        // What it leaves out of the family that answered is missed, and of the other one nothing is.
        let other: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!((found.concerns(ip(1)), found.concerns(other)), (true, false));
        assert_eq!(
            (found.addresses, found.usable_until),
            (vec![ip(2), v6], at(3_660))
        );
        for second in (90..3_660).step_by(30) {
            learn(at(second), &[failed(), answer(&[ip(3)], 60)]);
        }
        assert_eq!(
            learn(at(3_660), &[failed(), answer(&[ip(3)], 60)]).addresses,
            [ip(3)]
        );
    }

    #[test]
    fn the_table_stays_small() {
        let mut table = Table::default();
        for number in 0..MOST_NAMES as u64 + 10 {
            let key = (format!("{number}.test").into(), None);
            let found = conclude(at(0), TERMS, &[answer(&[ip(1)], 60 + number)]);
            table.learn(at(0), &key, found).expect("found");
        }
        assert_eq!(table.entries.len(), MOST_NAMES);
        assert!(!table.entries.contains_key(&("9.test".into(), None)));
        assert!(table.entries.contains_key(&("10.test".into(), None)));
    }
}
