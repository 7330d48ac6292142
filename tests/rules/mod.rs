//! A small deterministic driver of the rules: machines, one Ledger, one wheel and a clock that stands still.
//!
//! It does what the real driver does, step by step and without a socket: dials wait until the test ends them. And it
//! checks, after every step, what an outsider can check: limits over all origins, order of service, ages, and that each
//! connection ends exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hotpool::clock::Moment;
use hotpool::machine::{
    Acquire, Action, Ask, CloseReason, ConnId, DialId, DialOrder, Evicted, Fate, IdentityId, Lease, Ledger,
    LedgerLimits, Limits, Machine, OriginId, Protocol, Refusal, Require, Returned, Step, Ticket, Want, Wheel,
};

/// 10.0.0.`last`.
pub(crate) fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

/// Whatever serves identity `identity`.
pub(crate) fn want(identity: u32) -> Want {
    Want {
        identity: IdentityId(identity),
        require: Require::Any,
        pin: None,
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Limits without jitter.
pub(crate) fn limits() -> Limits {
    Limits {
        jitter: 0,
        ..Limits::default()
    }
}

/// A Ledger that never says no.
pub(crate) fn plenty() -> LedgerLimits {
    LedgerLimits {
        max_connections: 1_000_000,
        max_per_ip: 1_000_000,
        max_dials: 1_000_000,
    }
}

/// A dial that waits for the test to end it.
#[derive(Clone, Debug)]
pub(crate) struct Dialling {
    pub(crate) origin: u64,
    pub(crate) order: DialOrder,
    /// Where its attempt goes; none while it is in the Ledger's line.
    pub(crate) at: Option<IpAddr>,
}

/// What the driver knows of a connection, kept apart from the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) identity: IdentityId,
    pub(crate) ip: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) leases: u32,
    pub(crate) since: Moment,
    pub(crate) born: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    Waiting,
    Granted,
    Refused(Refusal),
    Gone,
}

#[derive(Clone, Debug)]
pub(crate) struct Getter {
    pub(crate) origin: u64,
    pub(crate) want: Want,
    pub(crate) ticket: Ticket,
    pub(crate) outcome: Outcome,
}

pub(crate) struct World {
    pub(crate) now: Moment,
    pub(crate) machines: BTreeMap<u64, Machine>,
    pub(crate) ledger: Ledger,
    pub(crate) ledger_limits: LedgerLimits,
    pub(crate) wheel: Wheel<u64>,
    pub(crate) dials: Vec<Dialling>,
    pub(crate) resolving: BTreeSet<u64>,
    /// Every ticket ever given, in order of arrival.
    pub(crate) getters: Vec<Getter>,
    pub(crate) conns: BTreeMap<(u64, ConnId), Seen>,
    /// Leases in somebody's hands.
    pub(crate) leases: Vec<(u64, Lease)>,
    /// Every end, in order.
    pub(crate) closed: Vec<(u64, ConnId, CloseReason)>,
    pub(crate) dialled: u32,
    /// Whether to check every rule at every step, as the model does; else only what a test asks for.
    pub(crate) strict: bool,
}

impl World {
    pub(crate) fn new(origins: u64, limits: Limits, ledger_limits: LedgerLimits) -> Self {
        let machine = |origin| (origin, Machine::new(limits.clone(), origin));
        World {
            now: Moment::ZERO,
            machines: (0..origins).map(machine).collect(),
            ledger: Ledger::new(ledger_limits),
            ledger_limits,
            wheel: Wheel::new(),
            dials: Vec::new(),
            resolving: BTreeSet::new(),
            getters: Vec::new(),
            conns: BTreeMap::new(),
            leases: Vec::new(),
            closed: Vec::new(),
            dialled: 0,
            strict: false,
        }
    }

    /// One origin that resolves to `ips`.
    pub(crate) fn single(limits: Limits, ips: &[u8]) -> Self {
        let mut world = World::new(1, limits, plenty());
        world.resolve(0, ips);
        world
    }

    pub(crate) fn machine(&mut self, origin: u64) -> &mut Machine {
        self.machines.get_mut(&origin).expect("no such origin")
    }

    /// Calls a machine and does what follows from it.
    pub(crate) fn with<T>(&mut self, origin: u64, call: impl FnOnce(&mut Machine, Moment) -> T) -> T {
        let now = self.now;
        let answer = call(self.machine(origin), now);
        self.settle(origin);
        answer
    }

    pub(crate) fn resolve(&mut self, origin: u64, ips: &[u8]) {
        let answer: Vec<IpAddr> = ips.iter().copied().map(ip).collect();
        self.resolving.remove(&origin);
        self.with(origin, |machine, now| machine.resolved(now, &answer));
    }

    /// `get`: a lease at once goes to `leases`, a ticket to the end of `getters`.
    pub(crate) fn get(&mut self, origin: u64, want: Want) -> Acquire {
        let now = self.now;
        let acquired = self.machine(origin).acquire(now, want);
        match acquired {
            Acquire::Lease(lease) => self.lent(origin, lease),
            Acquire::Wait(ticket) => {
                self.getters.push(Getter {
                    origin,
                    want,
                    ticket,
                    outcome: Outcome::Waiting,
                });
            }
            Acquire::Blocked { .. } | Acquire::Full | Acquire::Closed => {}
        }
        self.settle(origin);
        acquired
    }

    /// `get` that must hit.
    pub(crate) fn hit(&mut self, origin: u64, want: Want) -> ConnId {
        match self.get(origin, want) {
            Acquire::Lease(lease) => lease.conn,
            other => panic!("{want:?} was answered {other:?}, not a lease"),
        }
    }

    /// `get` that must wait; the answer is its place in `getters`.
    pub(crate) fn queue(&mut self, origin: u64, want: Want) -> usize {
        match self.get(origin, want) {
            Acquire::Wait(_) => self.getters.len() - 1,
            other => panic!("{want:?} was answered {other:?}, not a place in line"),
        }
    }

    /// `get`, dialled over `protocol` if need be: ends in a lease.
    pub(crate) fn open(&mut self, origin: u64, want: Want, protocol: Protocol) -> ConnId {
        let getter = self.queue(origin, want);
        self.dial_ok(self.dials.len() - 1, protocol);
        self.take(getter)
    }

    /// The granted getter takes its lease.
    pub(crate) fn take(&mut self, getter: usize) -> ConnId {
        let Getter {
            origin,
            ticket,
            outcome,
            ..
        } = self.getters[getter];
        assert_eq!(outcome, Outcome::Granted, "getter {getter}");
        let lease = self
            .machine(origin)
            .take(ticket)
            .expect("granted, but nothing to take");
        self.getters[getter].outcome = Outcome::Gone;
        self.leases.push((origin, lease));
        lease.conn
    }

    pub(crate) fn cancel(&mut self, getter: usize) -> bool {
        let Getter {
            origin,
            ticket,
            outcome,
            ..
        } = self.getters[getter];
        self.getters[getter].outcome = Outcome::Gone;
        let now = self.now;
        let was = self.machine(origin).cancel(now, ticket);
        assert_eq!(
            was,
            matches!(outcome, Outcome::Waiting | Outcome::Granted),
            "{outcome:?}"
        );
        self.rested(origin);
        self.settle(origin);
        was
    }

    pub(crate) fn release(&mut self, origin: u64, conn: ConnId, fate: Fate) -> Returned {
        let place = self
            .leases
            .iter()
            .position(|(of, lease)| (*of, lease.conn) == (origin, conn));
        let _ = self.leases.remove(place.expect("not leased"));
        let now = self.now;
        let returned = self.machine(origin).release(now, conn, fate);
        self.rested(origin);
        self.settle(origin);
        returned
    }

    pub(crate) fn put(&mut self, origin: u64, conn: ConnId) -> Returned {
        self.release(origin, conn, Fate::Reusable)
    }

    /// The dial at `index` brings a connection.
    pub(crate) fn dial_ok(&mut self, index: usize, protocol: Protocol) -> ConnId {
        let Dialling { origin, order, at } = self.dials.remove(index);
        let ip = at.unwrap_or_else(|| panic!("{order:?} is still in the Ledger's line"));
        self.ledger.connected(self.now, OriginId(origin), ip);
        let now = self.now;
        let conn = self
            .machine(origin)
            .dialled(now, order.dial, ip, protocol)
            .expect("a void right to dial");
        self.dialled += 1;
        let seen = Seen {
            identity: order.identity,
            ip,
            protocol,
            leases: 0,
            since: now,
            born: now,
        };
        self.conns.insert((origin, conn), seen);
        self.settle(origin);
        conn
    }

    pub(crate) fn dial_fails(&mut self, index: usize, cause: hotpool::machine::Cause) {
        let Dialling { origin, order, at } = self.dials.remove(index);
        let ip = at.unwrap_or_else(|| panic!("{order:?} is still in the Ledger's line"));
        self.ledger.attempt_over(ip);
        self.ledger.unconnected();
        self.with(origin, |machine, now| {
            machine.dial_failed(now, order.dial, &[(ip, cause)])
        });
    }

    /// Takes in a connection dialled elsewhere, if there is room for it.
    pub(crate) fn adopt(
        &mut self,
        origin: u64,
        identity: IdentityId,
        ip: IpAddr,
        protocol: Protocol,
    ) -> Option<ConnId> {
        let now = self.now;
        if !self.ledger.adopt(now, OriginId(origin), ip, false) {
            return None;
        }
        let conn = self.machine(origin).adopt(now, identity, ip, protocol);
        match conn {
            Some(conn) => {
                self.conns.insert(
                    (origin, conn),
                    Seen {
                        identity,
                        ip,
                        protocol,
                        leases: 0,
                        since: now,
                        born: now,
                    },
                );
            }
            None => self.ledger.closed(OriginId(origin), ip),
        }
        self.settle(origin);
        conn
    }

    /// A connection may have become idle by its streams alone; that it did so now is all it may say.
    pub(crate) fn seen_again(&mut self, origin: u64, conn: ConnId) {
        let idle_since = self.machines[&origin].info(conn).and_then(|info| info.idle_since);
        if let Some(seen) = self
            .conns
            .get_mut(&(origin, conn))
            .filter(|_| idle_since == Some(self.now))
        {
            seen.since = self.now;
        }
    }

    /// `try_get`: a lease goes to `leases`.
    pub(crate) fn try_get(&mut self, origin: u64, want: Want) {
        let now = self.now;
        if let Some(lease) = self.machine(origin).try_acquire(now, want) {
            self.lent(origin, lease);
        }
        self.settle(origin);
    }

    /// Nothing of `origin` is idle that should have been closed by now.
    pub(crate) fn assert_none_overdue(&self, origin: u64) {
        let machine = &self.machines[&origin];
        let limit = machine.limits().idle_timeout;
        for info in machine.connections() {
            let idle = info.idle_since.map(|since| self.now.since(since));
            // One under inspection or suspect is looked at when it comes back.
            let held = machine.counts().held > 0;
            assert!(
                held || idle.is_none_or(|idle| idle < limit),
                "{info:?} at {:?}",
                self.now
            );
        }
    }

    /// `put` without anything that could arm the wheel.
    pub(crate) fn put_quietly(&mut self, origin: u64, conn: ConnId) {
        let now = self.now;
        self.leases
            .retain(|&(of, lease)| (of, lease.conn) != (origin, conn));
        self.machine(origin).release(now, conn, Fate::Reusable);
        self.rested(origin);
        self.drain(origin);
    }

    /// A hit without anything that could arm the wheel.
    pub(crate) fn hit_quietly(&mut self, origin: u64, want: Want) -> ConnId {
        let now = self.now;
        let lease = self
            .machine(origin)
            .try_acquire(now, want)
            .expect("nothing is idle");
        self.lent(origin, lease);
        lease.conn
    }

    /// Lets time pass, and the wheel say who has something to do.
    pub(crate) fn advance(&mut self, span: Duration) {
        self.now = self.now + span;
        while let Some(origin) = self.wheel.pop_due(self.now) {
            self.with(origin, |machine, now| machine.handle_timeout(now));
        }
    }

    /// `origin` looks at the time.
    pub(crate) fn timeout(&mut self, origin: u64) -> u32 {
        self.with(origin, |machine, now| machine.handle_timeout(now))
    }

    pub(crate) fn idle(&mut self, origin: u64) -> u32 {
        self.machine(origin).counts().idle
    }

    pub(crate) fn outcome(&self, getter: usize) -> Outcome {
        self.getters[getter].outcome
    }

    /// The reason `conn` closed for, if it has.
    pub(crate) fn reason(&self, conn: ConnId) -> Option<CloseReason> {
        self.closed
            .iter()
            .find(|(_, closed, _)| *closed == conn)
            .map(|&(_, _, reason)| reason)
    }

    fn lent(&mut self, origin: u64, lease: Lease) {
        let now = self.now;
        let limits = self.machine(origin).limits().clone();
        let seen = self
            .conns
            .get_mut(&(origin, lease.conn))
            .expect("a lease of what was never dialled");
        if self.strict {
            let idle = now.since(seen.since);
            assert!(
                seen.leases > 0 || idle < limits.idle_timeout,
                "{lease:?} had been idle for {idle:?}"
            );
            assert!(
                now.since(seen.born) < limits.max_lifetime,
                "{lease:?} was too old"
            );
        }
        seen.leases += 1;
        self.leases.push((origin, lease));
    }

    /// Brings the driver's own view of leases in step after some went home.
    fn rested(&mut self, origin: u64) {
        let now = self.now;
        let machine = self.machines.get(&origin).expect("no such origin");
        for ((_, conn), seen) in self.conns.iter_mut().filter(|((of, _), _)| *of == origin) {
            if let Some(info) = machine.info(*conn) {
                if seen.leases > 0 && info.leases == 0 {
                    seen.since = now;
                }
                seen.leases = info.leases;
            }
        }
    }

    /// Does what the machine of `origin` asks for, and what follows, until all is quiet; then checks everything.
    pub(crate) fn settle(&mut self, origin: u64) {
        self.drain(origin);
        self.pump();
        let armed = self.now;
        if let Some(at) = self.machine(origin).arm(armed) {
            self.wheel.arm(origin, at);
        }
        if self.strict {
            self.check();
        }
    }

    fn drain(&mut self, origin: u64) {
        while let Some(action) = self.machine(origin).poll_action() {
            match action {
                Action::Resolve => assert!(self.resolving.insert(origin), "asked for the same twice"),
                Action::Dial(order) => {
                    let (dial, candidates) = (order.dial, order.candidates.clone());
                    assert!(!candidates.is_empty(), "{order:?} goes nowhere");
                    self.dials.push(Dialling {
                        origin,
                        order,
                        at: None,
                    });
                    self.ledger.request(Ask {
                        origin: OriginId(origin),
                        dial,
                        candidates,
                    });
                }
                Action::Abandon(dial) => self.abandoned(origin, dial),
                Action::Grant(ticket, lease) => self.granted(origin, ticket, lease),
                Action::Refuse(ticket, why) => self.getter(origin, ticket).outcome = Outcome::Refused(why),
                Action::Close { conn, ip, reason } => {
                    let seen = self
                        .conns
                        .remove(&(origin, conn))
                        .expect("it ended twice, or never began");
                    assert_eq!(seen.ip, ip);
                    self.closed.push((origin, conn, reason));
                    self.ledger.closed(OriginId(origin), ip);
                }
            }
        }
        // Only who is watched tells; `parked` is a hint that may come too often.
        if self.ledger.contended() && self.machine(origin).take_parked() {
            let mut ips = Vec::new();
            self.machine(origin)
                .each_ip(|ip, counts| ips.extend((counts.idle > 0).then_some(ip)));
            for ip in ips {
                self.ledger.parked(OriginId(origin), ip);
            }
        }
    }

    fn pump(&mut self) {
        while let Some(step) = self.ledger.poll_step() {
            match step {
                Step::Grant {
                    origin: OriginId(origin),
                    dial,
                    ip,
                } => {
                    let now = self.now;
                    if self.machine(origin).begin(now, dial) {
                        let find = |dialling: &&mut Dialling| {
                            dialling.origin == origin && dialling.order.dial == dial
                        };
                        self.dials.iter_mut().find(find).expect("an unknown dial").at = ip;
                    } else {
                        ip.into_iter().for_each(|ip| self.ledger.attempt_over(ip));
                        self.ledger.unconnected();
                    }
                }
                Step::Evict(victim) => {
                    let OriginId(origin) = victim.origin;
                    let now = self.now;
                    let answer = match self.machines.get_mut(&origin) {
                        Some(machine) => machine.evict_idle(now, victim.into()),
                        None => Evicted::None,
                    };
                    if let (Evicted::Closed(conn), true) = (answer, self.strict) {
                        self.assert_longest(origin, conn, victim.ip);
                    }
                    self.drain(origin);
                    self.ledger.answer(self.now, victim, answer);
                }
            }
        }
    }

    /// Nothing that would have done has been idle for longer.
    fn assert_longest(&self, origin: u64, conn: ConnId, ip: Option<IpAddr>) {
        let taken = self.conns[&(origin, conn)];
        for machine in self.machines.values() {
            if let Some((since, other, _)) = machine.longest_idle(ip) {
                assert!(
                    since >= taken.since,
                    "{taken:?} was given up although {other:?} was idle since {since:?}"
                );
            }
        }
    }

    fn abandoned(&mut self, origin: u64, dial: DialId) {
        let find = |dialling: &Dialling| dialling.origin == origin && dialling.order.dial == dial;
        let place = self
            .dials
            .iter()
            .position(find)
            .expect("an unknown dial was abandoned");
        match self.dials.remove(place).at {
            None => assert!(
                self.ledger.withdraw(OriginId(origin), dial),
                "not in the Ledger's line"
            ),
            Some(ip) => {
                self.ledger.attempt_over(ip);
                self.ledger.unconnected();
            }
        }
    }

    fn granted(&mut self, origin: u64, ticket: Ticket, lease: Lease) {
        let now = self.now;
        let seen = self
            .conns
            .get_mut(&(origin, lease.conn))
            .expect("a lease of what was never dialled");
        seen.leases += 1;
        let Seen {
            identity,
            ip,
            protocol,
            ..
        } = *seen;
        let serves = |want: &Want| {
            let right = match want.require {
                Require::Http1 => protocol == Protocol::Http1,
                Require::Http2 => protocol == Protocol::Http2,
                _ => true,
            };
            want.identity == identity && want.pin.is_none_or(|pin| pin == ip) && right
        };
        let first = self.getters.iter().find(|getter| {
            getter.origin == origin && getter.outcome == Outcome::Waiting && serves(&getter.want)
        });
        let first = first.map(|getter| getter.ticket);
        assert!(
            !self.strict || first == Some(ticket),
            "{ticket:?} was served before {first:?}, at {now:?}"
        );
        self.getter(origin, ticket).outcome = Outcome::Granted;
    }

    fn getter(&mut self, origin: u64, ticket: Ticket) -> &mut Getter {
        let find = |getter: &&mut Getter| {
            getter.origin == origin && getter.ticket == ticket && getter.outcome == Outcome::Waiting
        };
        self.getters
            .iter_mut()
            .find(find)
            .expect("an answer to a ticket that does not wait")
    }

    /// What must hold whenever all is quiet.
    pub(crate) fn check(&self) {
        for machine in self.machines.values() {
            machine.assert_invariants();
        }
        self.ledger.assert_invariants();
        self.wheel.assert_invariants();
        let begun = || self.dials.iter().filter_map(|dialling| dialling.at);
        let total = self.conns.len() + begun().count();
        assert_eq!(self.ledger.counts().total as usize, total, "total permits");
        assert_eq!(
            self.ledger.counts().dials as usize,
            begun().count(),
            "dial permits"
        );
        assert!(begun().count() <= self.ledger_limits.max_dials as usize);
        assert!(
            total <= self.ledger_limits.max_connections as usize,
            "{total} in all"
        );
        let mut ips: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for ip in self.conns.values().map(|seen| seen.ip).chain(begun()) {
            *ips.entry(ip).or_default() += 1;
        }
        for (ip, used) in ips {
            assert_eq!(self.ledger.used(ip), used, "permits of {ip}");
            assert!(used <= self.ledger_limits.max_per_ip, "{used} to {ip}");
        }
        for (&origin, machine) in &self.machines {
            let own = self.conns.keys().filter(|(of, _)| *of == origin).count();
            let dials = self
                .dials
                .iter()
                .filter(|dialling| dialling.origin == origin)
                .count();
            let limit = machine.limits().max_per_host as usize;
            assert!(
                own + dials <= limit,
                "{own} connections and {dials} dials where {limit} may be"
            );
            let waiting = |getter: &&Getter| getter.origin == origin && getter.outcome == Outcome::Waiting;
            assert_eq!(
                machine.counts().waiting as usize,
                self.getters.iter().filter(waiting).count()
            );
            assert_eq!(machine.counts().dialling as usize, dials);
            assert_eq!(machine.connections().count(), own);
        }
    }
}

/// Random steps, each chosen by a number; a step that has nothing to act on does nothing.
impl World {
    pub(crate) fn random_dial(&mut self, dice: usize, ok: bool) {
        self.random_dial_as(
            dice,
            ok.then_some(Protocol::Http1).ok_or(hotpool::machine::Cause::Tls),
        );
    }

    pub(crate) fn random_dial_as(&mut self, dice: usize, end: Result<Protocol, hotpool::machine::Cause>) {
        let begun = self
            .dials
            .iter()
            .enumerate()
            .filter(|(_, dial)| dial.at.is_some())
            .map(|(index, _)| index);
        let begun: Vec<usize> = begun.collect();
        let Some(&index) = dice.checked_rem(begun.len()).and_then(|choice| begun.get(choice)) else {
            return;
        };
        // What was asked for is what comes.
        let end = end.map(|protocol| match self.dials[index].order.require {
            Require::Http1 => Protocol::Http1,
            Require::Http2 => Protocol::Http2,
            _ => protocol,
        });
        match end {
            Ok(protocol) => drop(self.dial_ok(index, protocol)),
            Err(cause) => self.dial_fails(index, cause),
        }
    }

    pub(crate) fn random_cancel_or_take(&mut self, dice: usize) {
        let alive =
            |(_, getter): &(usize, &Getter)| matches!(getter.outcome, Outcome::Waiting | Outcome::Granted);
        let alive: Vec<usize> = self
            .getters
            .iter()
            .enumerate()
            .filter(alive)
            .map(|(index, _)| index)
            .collect();
        let Some(&index) = dice.checked_rem(alive.len()).and_then(|choice| alive.get(choice)) else {
            return;
        };
        if self.getters[index].outcome == Outcome::Granted && !dice.is_multiple_of(3) {
            self.take(index);
        } else {
            self.cancel(index);
        }
    }

    pub(crate) fn random_put(&mut self, dice: usize, fate: Fate) {
        let Some(choice) = dice.checked_rem(self.leases.len()) else {
            return;
        };
        let (origin, lease) = self.leases[choice];
        self.release(origin, lease.conn, fate);
    }

    /// Ends what only time or the network would end, then lets everybody give back.
    pub(crate) fn conclude(&mut self) {
        for origin in self.origins() {
            self.with(origin, |machine, now| machine.set_paused(now, false));
        }
        let all: Vec<_> = self.conns.keys().copied().collect();
        for (origin, conn) in all {
            self.with(origin, |machine, now| {
                machine.inspected(now, conn, Ok(()));
                machine.healthy(now, conn);
                machine.streams_open(now, conn, 0);
                machine.settings(now, conn, 2);
            });
        }
        // Blocks end: who waited for that is dialled for.
        self.advance(secs(60));
        for origin in self.origins() {
            self.timeout(origin);
        }
        self.finish();
        for origin in self.origins() {
            self.with(origin, |machine, now| machine.close(now));
            assert!(self.machine(origin).is_vacant(), "something is left of {origin}");
        }
        assert_eq!((self.ledger.counts().total, self.conns.len()), (0, 0));
    }

    fn origins(&self) -> Vec<u64> {
        self.machines.keys().copied().collect()
    }

    /// Everybody takes what they got and gives it back, every dial ends well, until nothing moves. Whoever waits then
    /// waits for ever.
    pub(crate) fn finish(&mut self) {
        for _ in 0..100_000 {
            let granted = self
                .getters
                .iter()
                .position(|getter| getter.outcome == Outcome::Granted);
            let resolving = self.resolving.first().copied();
            if let Some(getter) = granted {
                self.take(getter);
            } else if let Some(&(origin, lease)) = self.leases.first() {
                self.put(origin, lease.conn);
            } else if self.dials.iter().any(|dial| dial.at.is_some()) {
                self.random_dial(0, true);
            } else if let Some(origin) = resolving {
                self.resolve(origin, &[1]);
            } else {
                break;
            }
        }
        let lost = self
            .getters
            .iter()
            .find(|getter| getter.outcome == Outcome::Waiting);
        assert!(lost.is_none(), "everything is at rest, and still {lost:?} waits");
        assert_eq!(
            self.ledger.counts().waiting,
            0,
            "everything is at rest but the Ledger's line"
        );
    }
}
