//! A small deterministic driver of the rules: machines, one Ledger, one wheel and a clock that stands still.
//!
//! It does what the real driver does, step by step and without a socket: dials wait until the test ends them. And it
//! checks, after every step, what an outsider can check: limits over all origins, order of service, ages, and that each
//! connection ends exactly once.

mod check;
mod drive;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hotpool::clock::Moment;
use hotpool::machine::{
    Acquire, CloseReason, ConnId, DialOrder, Fate, IdentityId, Lease, Ledger, LedgerLimits, Limits, Machine,
    OriginId, Protocol, Refusal, Require, Returned, Ticket, Want, Wheel,
};

/// 10.0.0.`last`.
pub(crate) fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

/// Whatever serves identity `identity`.
pub(crate) fn want(identity: u64) -> Want {
    Want {
        identity: IdentityId(identity),
        require: Require::Any,
        pin: None,
    }
}

pub(crate) const fn secs(seconds: u64) -> Duration {
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
        if fate == Fate::Untouched
            && let Some(info) = self.machines[&origin].info(conn)
            && let Some(seen) = self.conns.get_mut(&(origin, conn))
        {
            seen.leases = info.leases; // and it is as old as it was
        }
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
}
