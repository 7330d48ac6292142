//! What the driver does by itself: actions, steps of the Ledger, and its own book of who has what.

use hotpool::machine::{Action, Ask, DialId, Evicted, Step};

use super::*;

impl World {
    pub(super) fn lent(&mut self, origin: u64, lease: Lease) {
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
    pub(super) fn rested(&mut self, origin: u64) {
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

    pub(super) fn drain(&mut self, origin: u64) {
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

    pub(super) fn pump(&mut self) {
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
    pub(super) fn assert_longest(&self, origin: u64, conn: ConnId, ip: Option<IpAddr>) {
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

    pub(super) fn abandoned(&mut self, origin: u64, dial: DialId) {
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

    pub(super) fn granted(&mut self, origin: u64, ticket: Ticket, lease: Lease) {
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

    pub(super) fn getter(&mut self, origin: u64, ticket: Ticket) -> &mut Getter {
        let find = |getter: &&mut Getter| {
            getter.origin == origin && getter.ticket == ticket && getter.outcome == Outcome::Waiting
        };
        self.getters
            .iter_mut()
            .find(find)
            .expect("an answer to a ticket that does not wait")
    }
}
