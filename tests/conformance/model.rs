//! Random operations over several origins that share addresses, checked at every step.
//!
//! The reference is the driver's own book (`rules`): who came when, what is alive and since when, which permits are out.
//! Strict, it compares after every operation: limits of host, address and total; order of service; ages, at instants
//! just before, at and after a deadline; victims by age; one end per connection; no idle connection beside a waiter. At
//! the end everybody gives back what they hold and whoever still waits is lost.
//!
//! `HOTPOOL_CASES` sets the number of cases.

use std::time::Duration;

use hotpool::machine::{
    AllBlocked, Cause, CloseReason, Fate, Growth, IdentityId, LedgerLimits, Limits, PenaltyTerms, Protocol,
    Require, Selection, Want,
};
use proptest::prelude::*;

use crate::rules::*;

const ORIGINS: u64 = 3;

/// One step; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Op {
    Get {
        origin: u64,
        want: Want,
    },
    Try {
        origin: u64,
        want: Want,
    },
    TakeOrCancel(usize),
    Put(usize, Fate),
    Dial(usize, Result<Protocol, Cause>),
    Warm {
        origin: u64,
        want: Want,
    },
    Adopt {
        origin: u64,
        identity: u64,
        ip: u8,
        protocol: Protocol,
    },
    Resolve {
        origin: u64,
        ips: Vec<u8>,
    },
    /// To the next deadline of some origin, and so many nanoseconds past it (or before).
    ToDeadline {
        origin: u64,
        off: i8,
        look: bool,
    },
    Pass(u64),
    Conn(usize, ConnOp),
    Penalise {
        origin: u64,
        ip: u8,
        cause: Cause,
    },
    Absolve {
        origin: u64,
        ip: u8,
    },
    Pause {
        origin: u64,
        paused: bool,
    },
    EvictAll(u64),
    IdleTimeout {
        origin: u64,
        seconds: u64,
    },
}

/// Something happens to a connection.
#[derive(Clone, Debug)]
enum ConnOp {
    Dies,
    Retires,
    Inspect,
    Verdict(bool),
    Settings(u32),
    Streams(u32),
    Suspect,
    Healthy,
}

fn any_want() -> impl Strategy<Value = Want> {
    let require = prop_oneof![4 => Just(Require::Any), 1 => Just(Require::Http1), 1 => Just(Require::Http2)];
    (0..2u64, require, prop::option::weighted(0.2, 1..4u8)).prop_map(|(identity, require, pin)| Want {
        identity: IdentityId(identity),
        require,
        pin: pin.map(ip),
    })
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![3 => Just(Protocol::Http1), 1 => Just(Protocol::Http2)]
}

fn any_cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Tcp),
        Just(Cause::Tls),
        Just(Cause::Protocol),
        Just(Cause::Status),
        Just(Cause::Local)
    ]
}

fn any_conn_op() -> impl Strategy<Value = ConnOp> {
    prop_oneof![
        1 => Just(ConnOp::Dies),
        1 => Just(ConnOp::Retires),
        3 => Just(ConnOp::Inspect),
        3 => any::<bool>().prop_map(ConnOp::Verdict),
        2 => (0..4u32).prop_map(ConnOp::Settings),
        1 => (0..4u32).prop_map(ConnOp::Streams),
        1 => Just(ConnOp::Suspect),
        1 => Just(ConnOp::Healthy),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let origin = || 0..ORIGINS;
    let fate = prop_oneof![4 => Just(Fate::Reusable), 2 => Just(Fate::Untouched), 1 => Just(Fate::Close(CloseReason::Failed))];
    let end = prop_oneof![4 => any_protocol().prop_map(Ok), 1 => any_cause().prop_map(Err)];
    prop_oneof![
        12 => (origin(), any_want()).prop_map(|(origin, want)| Op::Get { origin, want }),
        2 => (origin(), any_want()).prop_map(|(origin, want)| Op::Try { origin, want }),
        8 => any::<usize>().prop_map(Op::TakeOrCancel),
        10 => (any::<usize>(), fate).prop_map(|(dice, fate)| Op::Put(dice, fate)),
        10 => (any::<usize>(), end).prop_map(|(dice, end)| Op::Dial(dice, end)),
        1 => (origin(), any_want()).prop_map(|(origin, want)| Op::Warm { origin, want }),
        1 => (origin(), 0..2u64, 1..4u8, any_protocol())
            .prop_map(|(origin, identity, ip, protocol)| Op::Adopt { origin, identity, ip, protocol }),
        2 => (origin(), prop::collection::vec(1..5u8, 0..4)).prop_map(|(origin, ips)| Op::Resolve { origin, ips }),
        6 => (origin(), -1..2i8, any::<bool>()).prop_map(|(origin, off, look)| Op::ToDeadline { origin, off, look }),
        2 => (0..30u64).prop_map(Op::Pass),
        6 => (any::<usize>(), any_conn_op()).prop_map(|(dice, op)| Op::Conn(dice, op)),
        1 => (origin(), 1..4u8, any_cause()).prop_map(|(origin, ip, cause)| Op::Penalise { origin, ip, cause }),
        1 => (origin(), 1..4u8).prop_map(|(origin, ip)| Op::Absolve { origin, ip }),
        1 => (origin(), any::<bool>()).prop_map(|(origin, paused)| Op::Pause { origin, paused }),
        1 => origin().prop_map(Op::EvictAll),
        1 => (origin(), 1..90u64).prop_map(|(origin, seconds)| Op::IdleTimeout { origin, seconds }),
    ]
}

fn any_limits() -> impl Strategy<Value = (Limits, LedgerLimits)> {
    let growth = prop_oneof![
        Just(Growth::Single),
        Just(Growth::OnSaturation),
        Just(Growth::PerIp)
    ];
    let selection = prop_oneof![
        Just(Selection::Spread),
        Just(Selection::RoundRobin),
        Just(Selection::Random),
        Just(Selection::PreferHot)
    ];
    let blocked = prop_oneof![Just(AllBlocked::Fail), Just(AllBlocked::ProbeLeastBad)];
    let host = (1..5u32, 0..4u32, 1..8u32, 1..4u32);
    let ledger = (1..9u32, 1..5u32, 1..4u32);
    (host, growth, selection, blocked, ledger).prop_map(|(host, growth, selection, all_blocked, ledger)| {
        let limits = Limits {
            max_per_host: host.0,
            max_idle_per_host: host.1,
            max_waiters: host.2,
            h2_max_streams: host.3,
            growth,
            selection,
            all_blocked,
            penalty: PenaltyTerms {
                base: secs(1),
                max: secs(20),
                status: secs(40),
                entries: 2,
                validated: false,
            },
            ..limits()
        };
        (
            limits,
            LedgerLimits {
                max_connections: ledger.0,
                max_per_ip: ledger.1,
                max_dials: ledger.2,
            },
        )
    })
}

impl World {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Get { origin, want } => drop(self.get(origin, want)),
            Op::Try { origin, want } => self.try_get(origin, want),
            Op::TakeOrCancel(dice) => self.random_cancel_or_take(dice),
            Op::Put(dice, fate) => self.random_put(dice, fate),
            Op::Dial(dice, end) => self.random_dial_as(dice, end),
            Op::Warm { origin, want } => drop(self.with(origin, |machine, now| machine.warm(now, want))),
            Op::Adopt {
                origin,
                identity,
                ip: last,
                protocol,
            } => {
                self.adopt(origin, IdentityId(identity), ip(last), protocol);
            }
            Op::Resolve { origin, ips } => self.resolve(origin, &ips),
            Op::ToDeadline { origin, off, look } => self.go_to_deadline(origin, off, look),
            Op::Pass(seconds) => self.advance(secs(seconds)),
            Op::Conn(dice, op) => self.apply_to_conn(dice, &op),
            Op::Penalise {
                origin,
                ip: last,
                cause,
            } => {
                self.with(origin, |machine, now| machine.penalise(now, ip(last), cause));
            }
            Op::Absolve { origin, ip: last } => {
                self.with(origin, |machine, now| machine.absolve(now, ip(last)))
            }
            Op::Pause { origin, paused } => self.with(origin, |machine, now| machine.set_paused(now, paused)),
            Op::EvictAll(origin) => {
                self.with(origin, |machine, now| {
                    machine.evict_all(now, CloseReason::Evicted)
                });
            }
            Op::IdleTimeout { origin, seconds } => self.with(origin, |machine, now| {
                let limits = Limits {
                    idle_timeout: secs(seconds),
                    ..machine.limits().clone()
                };
                machine.set_limits(now, limits);
            }),
        }
    }

    fn go_to_deadline(&mut self, origin: u64, off: i8, look: bool) {
        let Some(at) = self.machine(origin).poll_timeout() else {
            return;
        };
        let nano = Duration::from_nanos(1);
        let then = match off {
            -1 => at - nano,
            0 => at,
            _ => at + nano,
        };
        let (due, before) = (then >= at, self.closed.len());
        if then <= self.now {
            return;
        }
        self.now = then;
        if look {
            let closed = self.timeout(origin);
            assert!(
                due || (closed == 0 && before == self.closed.len()),
                "closed before its time"
            );
            self.assert_none_overdue(origin);
        }
    }

    fn apply_to_conn(&mut self, dice: usize, op: &ConnOp) {
        let Some(choice) = dice.checked_rem(self.conns.len()) else {
            return;
        };
        let Some((&(origin, conn), _)) = self.conns.iter().nth(choice) else {
            return;
        };
        self.with(origin, |machine, now| match *op {
            ConnOp::Dies => machine.died(now, conn, CloseReason::PeerClosed),
            ConnOp::Retires => machine.retire(now, conn, CloseReason::GoAway),
            ConnOp::Inspect => drop(machine.inspect(conn)),
            ConnOp::Verdict(good) => {
                machine.inspected(
                    now,
                    conn,
                    if good {
                        Ok(())
                    } else {
                        Err(CloseReason::PeerClosed)
                    },
                );
            }
            ConnOp::Settings(streams) => machine.settings(now, conn, streams),
            ConnOp::Streams(streams) => machine.streams_open(now, conn, streams),
            ConnOp::Suspect => machine.suspect(now, conn),
            ConnOp::Healthy => machine.healthy(now, conn),
        });
        self.seen_again(origin, conn);
    }
}

fn cases() -> u32 {
    std::env::var("HOTPOOL_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_keep_every_rule(
        (limits, ledger) in any_limits(),
        ops in prop::collection::vec(any_op(), 1..120),
    ) {
        let mut world = World::new(ORIGINS, limits, ledger);
        world.strict = true;
        for origin in 0..ORIGINS {
            world.resolve(origin, &[1, 2, 3]);
        }
        for op in ops {
            world.apply(op);
        }
        world.conclude();
    }
}
