//! What the pool's owner blocks and allows while it runs: by network, by host, by origin, by an origin's address. Pure.
#![cfg_attr(
    not(feature = "__internals"),
    expect(unreachable_pub, reason = "public to the crate's own tests")
)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::list::List;
use super::reached;
use super::scope::{Of, Scope};
use crate::clock::Moment;
use crate::error::ConfigError;
use crate::fault::planted;
use crate::target::Target;

/// The most blocks of an owner's, and the most allowances.
const MOST: usize = 10_000;

/// What may be connected to that the owner's lists do not name: see [`ConnectionManager::block`](crate::ConnectionManager::block). What is blocked is
/// blocked, whatever else allows it.
///
/// ```
/// use hotpool::{AccessPolicy, AddressPolicy, HotConnPool, Scope};
///
/// let pool = HotConnPool::builder()
///     .access(AccessPolicy::AllowlistOnly) // hosts, by the owner's list
///     .address_policy(AddressPolicy::deny_all().allow("192.0.2.0/24")?) // and the addresses of them
///     .build()?;
/// pool.manager().allow(Scope::host("api.example")?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessPolicy {
    /// Everything. The default.
    #[default]
    OpenUnlessBlocked,
    /// Nothing: an address must be allowed itself, or its host, or its origin.
    AllowlistOnly,
}

/// Everything that the owner said.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    said: Arc<Said>,
    /// The blocks by when each ends: those that are over make room without a search.
    ends: BTreeSet<(Moment, Scope)>,
}

/// The same as its gates see it: what was in force when each was made.
#[derive(Clone, Debug, Default)]
pub struct Said {
    policy: AccessPolicy,
    blocked: List,
    allowed: List,
}

impl Rules {
    /// Nothing is said yet but this.
    pub fn of(policy: AccessPolicy) -> Self {
        let mut rules = Rules::default();
        rules.set_policy(policy);
        rules
    }

    /// What is in force.
    pub fn said(&self) -> &Arc<Said> {
        &self.said
    }

    /// From now on this is let in, or kept out, that nothing else is said of.
    pub(crate) fn set_policy(&mut self, policy: AccessPolicy) {
        Arc::make_mut(&mut self.said).policy = policy;
    }

    /// Blocks until then.
    ///
    /// # Errors
    /// There are [`MOST`] of them.
    pub fn block(&mut self, now: Moment, scope: Scope, until: Moment) -> Result<(), ConfigError> {
        let Rules { said, ends } = self;
        let blocked = &mut Arc::make_mut(said).blocked;
        while ends
            .first()
            .is_some_and(|&(end, _)| end <= now && !planted("what_is_over_keeps_its_place"))
            && let Some((_, over)) = ends.pop_first()
        {
            blocked.remove(&over);
        }
        has_room(blocked, &scope, "block")?;
        if let Some(before) = blocked.insert(scope.clone(), until) {
            ends.remove(&(before, scope.clone()));
        }
        ends.insert((until, scope));
        Ok(())
    }

    /// Allows for good.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub(crate) fn allow(&mut self, scope: Scope) -> Result<(), ConfigError> {
        let allowed = &mut Arc::make_mut(&mut self.said).allowed;
        has_room(allowed, &scope, "allow")?;
        allowed.insert(scope, Moment::FAR);
        Ok(())
    }

    /// Takes a block back. Answers whether it held.
    pub fn unblock(&mut self, now: Moment, scope: &Scope) -> bool {
        let Some(until) = Arc::make_mut(&mut self.said).blocked.remove(scope) else {
            return false;
        };
        self.ends.remove(&(until, scope.clone()));
        now < until
    }

    /// Takes an allowance back. Answers whether there was one.
    pub(crate) fn disallow(&mut self, scope: &Scope) -> bool {
        Arc::make_mut(&mut self.said).allowed.remove(scope).is_some()
    }
}

fn has_room(list: &List, scope: &Scope, field: &'static str) -> Result<(), ConfigError> {
    match list.len() < MOST || list.get(scope).is_some() {
        true => Ok(()),
        false => Err(ConfigError::new(
            field,
            format!("{MOST} of them are held already"),
        )),
    }
}

impl Said {
    /// What is blocked, and until when.
    pub(crate) fn list(&self, now: Moment) -> impl Iterator<Item = (&Scope, Moment)> {
        self.blocked.iter().filter(move |&(_, until)| now < until)
    }

    fn bar_nobody(&self) -> bool {
        self.blocked.len() == 0 && self.policy == AccessPolicy::OpenUnlessBlocked
    }
}

/// Where the connections of a pool end, as its gates see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// At the addresses that are dialled.
    #[default]
    Direct,
    /// Behind a proxy, which is handed addresses. Those that are dialled are its own: its owner has named it, and no network that is blocked or
    /// allowed means them.
    Tunnel,
    /// Behind a proxy, which is handed names: what they stand for nobody here knows.
    Unseen,
}

/// The rules as one origin has them. The default bars nothing, and costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Option<Box<Barrier>>);

#[derive(Clone, Debug)]
struct Barrier {
    rules: Arc<Said>,
    origin: Arc<str>,
    /// Until when the host or the origin is blocked, if it is.
    blocked: Moment,
    /// Whether one of them is allowed.
    allowed: bool,
    way: Way,
    /// The address that the origin itself names, where another is dialled.
    behind: Option<IpAddr>,
}

impl Gate {
    pub(crate) fn new(rules: &Arc<Said>, now: Moment, target: &Target<'_>, way: Way) -> Self {
        if rules.bar_nobody() {
            return Gate::default();
        }
        let origin = target.shared_text();
        let names = || {
            let host = Scope(Of::Host(target.host().into()));
            [host, Scope(Of::Origin(Arc::clone(&origin)))]
        };
        Gate(Some(Box::new(Barrier {
            blocked: rules.blocked.until(now, names()).unwrap_or(Moment::ZERO),
            allowed: rules.allowed.until(now, names()).is_some(),
            way,
            behind: target.ip().filter(|_| way != Way::Direct),
            rules: Arc::clone(rules),
            origin,
        })))
    }

    /// Whether nothing is barred.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Until when every address is barred, whichever there are; [`Moment::FAR`] if nobody knows until when.
    pub(crate) fn bars_all(&self, now: Moment) -> Option<Moment> {
        let barrier = self.0.as_ref()?;
        match (barrier.behind, barrier.way) {
            (Some(end), _) if !planted("ends_of_tunnels_are_not_judged") => barrier.judge(now, end),
            (None, Way::Unseen) if barrier.is_unlisted() => Some(Moment::FAR),
            _ => barrier.by_name(now),
        }
    }

    /// Until when `ip` is barred, which is dialled.
    pub(crate) fn bars(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        let barrier = self.0.as_ref()?;
        match barrier.way {
            Way::Direct => barrier.judge(now, ip),
            Way::Tunnel | Way::Unseen => {
                let here = barrier.rules.blocked.until(now, [barrier.at(ip)]);
                here.max(self.bars_all(now))
            }
        }
    }

    /// Until when `end` is barred, to which a tunnel leads.
    pub(crate) fn bars_behind(&self, now: Moment, end: IpAddr) -> Option<Moment> {
        let barrier = self.0.as_ref()?;
        let judged = barrier.way != Way::Direct && !planted("ends_of_tunnels_are_not_judged");
        judged.then(|| barrier.judge(now, end)).flatten()
    }
}

impl Barrier {
    fn at(&self, ip: IpAddr) -> Scope {
        Scope(Of::Address(Arc::clone(&self.origin), ip.to_canonical()))
    }

    fn by_name(&self, now: Moment) -> Option<Moment> {
        Some(self.blocked).filter(|&until| now < until)
    }

    /// Whether it is closed to what no list names, and none names its host.
    fn is_unlisted(&self) -> bool {
        self.rules.policy == AccessPolicy::AllowlistOnly && !self.allowed
    }

    /// Until when a connection may not end there.
    fn judge(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        let Barrier { rules, .. } = self;
        let (written, inner) = (ip.to_canonical(), reached(ip));
        let around = |list: &List| -> Vec<Scope> { list.around(written).chain(list.around(inner)).collect() };
        let is_allowed = || {
            let around = around(&rules.allowed).into_iter();
            self.allowed
                || rules
                    .allowed
                    .until(now, around.chain([self.at(written)]))
                    .is_some()
        };
        let networks = around(&rules.blocked).into_iter();
        let blocked = rules.blocked.until(now, networks.chain([self.at(written)]));
        let blocked = blocked.max(self.by_name(now));
        if blocked.is_some() && !(planted("allowed_beats_blocked") && is_allowed()) {
            return blocked;
        }
        let closed = rules.policy == AccessPolicy::AllowlistOnly && !planted("unlisted_is_let_in");
        (closed && !is_allowed()).then_some(Moment::FAR)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn gate(rules: &Rules, target: &str) -> Gate {
        let target = Target::try_from(target).expect("a target");
        Gate::new(rules.said(), at(0), &target, Way::Direct)
    }

    fn network(text: &str) -> Scope {
        Scope::network(text).expect("a network")
    }

    #[test]
    fn every_scope_concerns_what_it_says_and_nothing_else() {
        let targets = ["a.test", "a.test:8443", "b.test"];
        let cases = [
            (network("10.0.0.0/8"), [true, true, true], [true, false]),
            (network("10.0.0.1"), [true, true, true], [true, false]),
            (
                Scope::host("A.test:1").expect("a host"),
                [true, true, false],
                [true, true],
            ),
            (
                Scope::origin("a.test").expect("an origin"),
                [true, false, false],
                [true, true],
            ),
            (
                Scope::address("a.test", ip("10.0.0.1")).expect("one"),
                [true, false, false],
                [true, false],
            ),
        ];
        for (scope, concerned, addresses) in cases {
            let mut rules = Rules::default();
            rules.block(at(0), scope.clone(), at(9)).expect("room");
            for (target, concerned) in targets.into_iter().zip(concerned) {
                let gate = gate(&rules, target);
                for (address, there) in ["10.0.0.1", "192.0.2.1"].into_iter().zip(addresses) {
                    let until = (concerned && there).then_some(at(9));
                    assert_eq!(
                        gate.bars(at(8), ip(address)),
                        until,
                        "{scope}: {target} {address}"
                    );
                    assert_eq!(gate.bars(at(9), ip(address)), None, "{scope} is over");
                }
            }
            assert!(rules.unblock(at(1), &scope) && !rules.unblock(at(1), &scope));
            assert!(gate(&rules, "a.test").is_open());
        }
    }

    #[test]
    fn an_address_is_judged_in_every_dress() {
        let mut rules = Rules::default();
        rules
            .block(at(0), network("::ffff:10.0.0.0/104"), at(9))
            .expect("room");
        rules.block(at(0), network("64:ff9b::/96"), at(5)).expect("room");
        let gate = gate(&rules, "a.test");
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"] {
            assert_eq!(gate.bars(at(0), ip(address)), Some(at(9)), "{address}");
        }
        assert_eq!(
            gate.bars(at(0), ip("64:ff9b::192.0.2.1")),
            Some(at(5)),
            "as it is written"
        );
        assert_eq!(gate.bars(at(0), ip("192.0.2.1")), None);
    }

    #[test]
    fn behind_a_proxy_the_ends_are_judged_and_not_the_proxy() {
        let proxy = ip("10.0.0.9");
        let gate = |rules: &Rules, target: &str, way| {
            let target = Target::try_from(target).expect("a target");
            Gate::new(rules.said(), at(0), &target, way)
        };
        let mut blocks = Rules::default();
        blocks.block(at(0), network("10.0.0.0/8"), at(9)).expect("room");
        let mut list = Rules::of(AccessPolicy::AllowlistOnly);
        for scope in [network("192.0.2.0/24"), Scope::host("b.test").expect("a host")] {
            list.allow(scope).expect("room");
        }
        let far = Some(Moment::FAR);
        for way in [Way::Tunnel, Way::Unseen] {
            for (target, blocked, unlisted) in [
                ("10.1.2.3", Some(at(9)), far),
                ("192.0.2.1", None, None),
                ("198.51.100.1", None, far),
                ("b.test", None, None),
                // What its addresses are is seen at the end of the tunnel, or nowhere.
                ("a.test", None, far.filter(|_| way == Way::Unseen)),
            ] {
                for (rules, expected) in [(&blocks, blocked), (&list, unlisted)] {
                    let gate = gate(rules, target, way);
                    assert_eq!(gate.bars_all(at(8)), expected, "{target} {way:?}");
                    assert_eq!(gate.bars(at(8), proxy), expected, "{target} {way:?}");
                }
            }
        }
        let ends = |rules, target| {
            let gate = gate(rules, target, Way::Tunnel);
            ["10.1.2.3", "192.0.2.1", "198.51.100.1"].map(|end| gate.bars_behind(at(8), ip(end)))
        };
        assert_eq!(ends(&blocks, "a.test"), [Some(at(9)), None, None]);
        assert_eq!(ends(&list, "a.test"), [far, None, far]);
        assert_eq!(ends(&list, "b.test"), [None; 3]);
        blocks
            .block(at(0), Scope::address("c.test", proxy).expect("one"), at(5))
            .expect("room");
        assert_eq!(
            gate(&blocks, "c.test", Way::Unseen).bars(at(4), proxy),
            Some(at(5))
        );
        assert_eq!(gate(&blocks, "a.test", Way::Unseen).bars(at(4), proxy), None);
    }

    #[test]
    fn a_list_that_is_full_takes_no_more_until_something_is_over() {
        let mut rules = Rules::default();
        let nth = |n: usize| Scope::from(IpAddr::from((n as u32).to_be_bytes()));
        for n in 0..MOST {
            let until = if n == 7 { at(5) } else { Moment::FAR };
            rules.block(at(0), nth(n), until).expect("room");
        }
        rules
            .block(at(4), nth(1), Moment::FAR)
            .expect("one that is known needs none");
        let full = rules.block(at(4), nth(MOST), Moment::FAR).expect_err("full");
        assert_eq!(full.field(), "block");
        rules.block(at(5), nth(MOST), Moment::FAR).expect("one is over");
        assert_eq!(rules.said().list(at(5)).count(), MOST);
    }
}
