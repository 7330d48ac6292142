//! When to dial, where to, and what the end of a dial means.

use super::*;

fn identity(identity: u64) -> IdentityId {
    IdentityId(identity)
}

/// The order of a dial that a machine asks for next.
fn order(machine: &mut Machine) -> DialOrder {
    match machine.poll_action() {
        Some(Action::Dial(order)) => order,
        other => panic!("not a dial: {other:?}"),
    }
}

fn ticket(acquired: Acquire) -> Ticket {
    match acquired {
        Acquire::Wait(ticket) => ticket,
        other => panic!("not a place in line: {other:?}"),
    }
}

#[test]
fn the_resolver_is_asked_once_and_its_failure_told_to_all_who_wait_for_it() {
    let mut world = World::new(1, limits(), plenty());
    let getters = [0, 1].map(|identity| world.queue(0, want(identity)));
    let named = world.queue(0, pinned(1));
    assert_eq!(world.resolving.len(), 1);
    assert_eq!(world.dials.len(), 1, "who named an address needs no resolver");
    world.resolving.clear();
    world.with(0, |machine, now| machine.resolve_failed(now));
    for getter in getters {
        assert_eq!(world.outcome(getter), Outcome::Refused(Refusal::ResolveFailed));
    }
    assert_eq!(world.outcome(named), Outcome::Waiting);
    // The next one asks anew. Once addresses are known, a failure changes nothing.
    let next = world.queue(0, want(0));
    assert_eq!(world.resolving.len(), 1);
    world.resolve(0, &[1]);
    world.with(0, |machine, now| machine.resolve_failed(now));
    assert_eq!(world.outcome(next), Outcome::Waiting);
    assert_eq!(world.machine(0).addresses().collect::<Vec<_>>(), [ip(1)]);
}

#[test]
fn a_dial_starts_where_least_or_most_stands_or_is_under_way() {
    let orders = |selection, answer: &[u8]| {
        let mut world = World::single(
            Limits {
                selection,
                ..limits()
            },
            answer,
        );
        for last in [1, 1, 2] {
            world.open(0, pinned(last), Http1);
        }
        for identity in 1..4 {
            world.queue(0, want(identity));
        }
        let last_octets = |dial: &Dialling| {
            let candidates = dial.order.candidates.iter();
            candidates
                .filter_map(|&it| (1..4).find(|&last| ip(last) == it))
                .collect::<Vec<_>>()
        };
        world.dials.iter().map(last_octets).collect::<Vec<_>>()
    };
    assert_eq!(
        orders(Selection::Spread, &[1, 2, 3]),
        [[3, 2, 1], [2, 3, 1], [3, 1, 2]]
    );
    assert_eq!(
        orders(Selection::PreferHot, &[3, 2, 1]),
        [[1, 2, 3], [1, 2, 3], [1, 2, 3]]
    );
    assert_eq!(orders(Selection::Spread, &[1, 2]), [[2, 1], [1, 2], [2, 1]]);
}

#[test]
fn a_dial_that_has_not_begun_goes_with_the_last_who_wants_it() {
    let mut machine = Machine::new(limits(), 0);
    machine.resolved(at(0), &[ip(1)]);
    let waiting = ticket(machine.acquire(at(0), want(0)));
    let void = order(&mut machine).dial;
    assert!(machine.cancel(at(0), waiting));
    assert_eq!(machine.poll_action(), Some(Action::Abandon(void)));
    assert!(!machine.begin(at(0), void), "a void right");
    assert_eq!(machine.dialled(at(0), void, ip(1), Http1), None);
    machine.assert_invariants();
    assert!(machine.is_vacant());
    // One that has begun is finished, and its connection rests.
    let waiting = ticket(machine.acquire(at(0), want(0)));
    let begun = order(&mut machine).dial;
    assert!(machine.begin(at(0), begun));
    assert!(machine.cancel(at(0), waiting));
    assert_eq!(machine.poll_action(), None);
    machine.assert_invariants();
    assert!(machine.dialled(at(0), begun, ip(1), Http1).is_some());
    machine.assert_invariants();
    let counts = machine.counts();
    assert_eq!((counts.idle, counts.dialling), (1, 0));
}

#[test]
fn a_dial_that_has_not_begun_goes_when_what_comes_home_serves_the_last_who_wants_it() {
    let mut machine = Machine::new(limits(), 0);
    machine.resolved(at(0), &[ip(1)]);
    let conn = machine.adopt(at(0), identity(0), ip(1), Http1).unwrap();
    let lease = machine.try_acquire(at(0), want(0));
    assert_eq!(lease.map(|lease| lease.conn), Some(conn));
    let waiting = ticket(machine.acquire(at(0), want(0)));
    let dial = order(&mut machine).dial;
    assert_eq!(machine.release(at(0), conn, Fate::Reusable), Returned::Kept);
    let Some(Action::Grant(granted, _)) = machine.poll_action() else {
        panic!("nobody was served")
    };
    assert_eq!(granted, waiting);
    assert_eq!(machine.poll_action(), Some(Action::Abandon(dial)));
    machine.assert_invariants();
}

#[test]
fn a_failed_dial_answers_those_it_was_for_and_a_failed_probe_everybody() {
    let tight = Limits {
        max_per_host: 1,
        all_blocked: AllBlocked::ProbeLeastBad,
        ..limits()
    };
    let mut world = World::single(tight, &[1]);
    // Known to speak HTTP/1.1: a dial is for one.
    let known = world.open(0, want(0), Http1);
    world.release(0, known, Fate::Close(CloseReason::Failed));
    let getters = [(); 3].map(|()| world.queue(0, want(0)));
    let dial = world.dials[0].order.dial;
    world.dial_fails(0, Cause::Local);
    let outcomes = getters.map(|getter| world.outcome(getter));
    assert_eq!(
        outcomes,
        [
            Outcome::Refused(Refusal::DialFailed(dial)),
            Outcome::Waiting,
            Outcome::Waiting
        ]
    );
    assert_eq!(world.machine(0).counts().dial_failures, 1);
    world.dial_fails(0, Cause::Tls);
    world.machine(0).assert_invariants();
    // The address is blocked now, so the last one waits for a probe, and others with it.
    assert!(world.dials[0].order.probe);
    let probe = world.dials[0].order.dial;
    let other = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1, "one probe at a time");
    world.dial_fails(0, Cause::Tls);
    for getter in [getters[2], other] {
        assert_eq!(
            world.outcome(getter),
            Outcome::Refused(Refusal::DialFailed(probe))
        );
    }
    world.machine(0).assert_invariants();
    world.queue(0, want(0));
    assert!(world.dials[0].order.probe, "the next may probe again");
}

#[test]
fn who_comes_while_all_is_paused_waits_even_beside_a_block() {
    let mut world = World::single(limits(), &[1]);
    world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Tls));
    assert_eq!(world.get(0, want(0)), Acquire::Blocked { until: at(1) });
    world.with(0, |machine, now| machine.set_paused(now, true));
    let getter = world.queue(0, want(0));
    assert_eq!(world.machine(0).counts().waiting, 1);
    // The block is over by the time that work goes on.
    world.now = at(1);
    world.with(0, |machine, now| machine.set_paused(now, false));
    assert_eq!(world.dials.len(), 1);
    world.dial_ok(0, Http1);
    world.take(getter);
    assert_eq!(world.machine(0).counts().waiting, 0);
}

#[test]
fn an_adopted_connection_is_handed_out_and_takes_a_place() {
    let two = Limits {
        max_per_host: 2,
        ..limits()
    };
    let mut world = World::single(two.clone(), &[1]);
    let adopted = world.adopt(0, identity(0), ip(1), Http1).unwrap();
    assert_eq!(world.hit(0, want(0)), adopted);
    world.queue(0, want(0));
    assert_eq!(
        world.adopt(0, identity(0), ip(1), Http1),
        None,
        "a dial has the other place"
    );
    let mut closed = World::single(two, &[1]);
    closed.with(0, |machine, now| machine.close(now));
    assert_eq!(closed.adopt(0, identity(0), ip(1), Http1), None);
}

#[test]
fn growth_to_a_single_connection_concerns_http2_alone() {
    let single = Limits {
        growth: Growth::Single,
        ..limits()
    };
    let mut world = World::single(single, &[1]);
    world.open(0, want(0), Http1);
    for dials in 1..3 {
        world.queue(0, want(0));
        assert_eq!(world.dials.len(), dials);
    }
}

#[test]
fn growth_by_address_heeds_the_limit_of_the_host() {
    let two = Limits {
        growth: Growth::PerIp,
        max_per_host: 2,
        ..limits()
    };
    let mut world = World::single(two, &[1, 2, 3]);
    let conn = world.open(0, want(0), Http2);
    world.put(0, conn);
    assert_eq!(world.hit(0, want(0)), conn);
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn a_hit_dials_other_addresses_only_where_http2_grows_by_address() {
    for (growth, protocol) in [
        (Growth::PerIp, Http1),
        (Growth::OnSaturation, Http2),
        (Growth::Single, Http2),
    ] {
        let mut world = World::single(Limits { growth, ..limits() }, &[1, 2]);
        let conn = world.open(0, want(0), protocol);
        world.put(0, conn);
        assert_eq!(world.hit(0, want(0)), conn);
        assert_eq!(world.dials.len(), 0, "{growth:?} over {protocol:?}");
    }
}

#[test]
fn streams_that_settings_will_add_are_waited_for_and_no_others() {
    let many = Limits {
        h2_max_streams: 150,
        ..limits()
    };
    let (mut world, first) = one_of(150, many);
    for _ in 1..150 {
        assert_eq!(world.hit(0, want(0)), first);
    }
    // Its SETTINGS have come: it adds nothing, and a second one is dialled.
    world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1);
    let second = world.dial_ok(0, Http2);
    for _ in 1..100 {
        assert_eq!(world.hit(0, want(0)), second);
    }
    // As the first did, so it will take fifty more when its SETTINGS come.
    for dials in [[0; 50].as_slice(), &[1]].concat() {
        world.queue(0, want(0));
        assert_eq!(world.dials.len(), dials);
    }
}
