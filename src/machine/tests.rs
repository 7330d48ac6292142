//! Rules one by one, with the driver that the conformance suite uses.

#[expect(dead_code, reason = "the conformance suite uses the rest")]
#[path = "../../tests/rules/mod.rs"]
mod rules;

mod ages;
mod dials;
mod leaving;
mod seeing;
mod streams;

use std::collections::BTreeSet;
use std::time::Duration;

use self::rules::*;
use super::*;
use crate::event::Protocol::{Http1, Http2};
use crate::identity::Require;

const A_NANO: Duration = Duration::from_nanos(1);

fn at(seconds: u64) -> Moment {
    Moment::ZERO + secs(seconds)
}

fn pinned(last: u8) -> Want {
    Want {
        pin: Some(ip(last)),
        ..want(0)
    }
}

/// A world with one HTTP/2 connection that allows `streams`, one lease of it out.
fn one_of(streams: u32, limits: Limits) -> (World, ConnId) {
    let mut world = World::single(limits, &[1]);
    let conn = world.open(0, want(0), Http2);
    world.with(0, |machine, now| machine.settings(now, conn, streams));
    (world, conn)
}

#[test]
fn a_connection_tells_what_it_is() {
    let (mut world, conn) = one_of(1, limits());
    let info = world.machine(0).info(conn).unwrap();
    assert_eq!(
        (info.conn, info.identity, info.ip, info.protocol),
        (conn, IdentityId(0), ip(1), Http2)
    );
    assert_eq!(
        (info.leases, info.capacity, info.idle_since, info.retired),
        (1, 1, None, None)
    );
    assert_eq!(info.expires, at(300));
    world.with(0, |machine, now| machine.going_away(now, conn));
    assert_eq!(
        world.machine(0).info(conn).unwrap().retired,
        Some(CloseReason::GoAway)
    );
    assert!(world.machine(0).is_live(conn));
    world.put(0, conn);
    assert!(!world.machine(0).is_live(conn));
    assert_eq!(world.machine(0).info(conn), None);

    // All its places taken by streams without a lease: unused, and still not idle.
    let (mut world, conn) = one_of(1, limits());
    world.put(0, conn);
    assert_eq!(world.machine(0).info(conn).unwrap().idle_since, Some(world.now));
    world.with(0, |machine, now| machine.streams_open(now, conn, 1));
    assert_eq!(world.machine(0).info(conn).unwrap().idle_since, None);
}

#[test]
fn going_idle_is_told_once() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    assert!(!world.machine(0).take_parked());
    world.put(0, conn);
    assert!(world.machine(0).take_parked());
    assert!(!world.machine(0).take_parked());
}

#[test]
fn a_machine_is_vacant_only_when_nothing_is_left() {
    let mut world = World::single(limits(), &[1]);
    assert!(world.machine(0).is_vacant());
    let getter = world.queue(0, want(0));
    assert!(!world.machine(0).is_vacant(), "somebody waits");
    let conn = world.dial_ok(0, Http1);
    world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
    assert!(!world.machine(0).is_vacant(), "a lease has been granted");
    world.take(getter);
    assert!(!world.machine(0).is_vacant(), "a lease is out");
    world.put(0, conn);
    assert!(world.machine(0).is_vacant());
    world.with(0, |machine, now| machine.warm(now, want(0)));
    assert!(!world.machine(0).is_vacant(), "a dial is under way");
    let now = world.now;
    world.machine(0).close(now);
    assert!(!world.machine(0).is_vacant(), "something is to be done");
    world.settle(0);
    assert!(world.machine(0).is_vacant());
}

#[test]
fn a_late_call_hits_nobody() {
    let mut world = World::single(limits(), &[1]);
    let old = world.open(0, want(0), Http1);
    world.with(0, |machine, now| machine.died(now, old, CloseReason::PeerClosed));
    world.put(0, old);
    let new = world.open(0, want(0), Http1);
    assert_eq!(
        (old.slot(), old == new),
        (new.slot(), false),
        "the slot has been given to another"
    );
    let now = world.now;
    let machine = world.machine(0);
    assert_eq!(
        machine.release(now, old, Fate::Reusable),
        Returned::Closed(CloseReason::Discarded)
    );
    machine.died(now, old, CloseReason::PeerClosed);
    machine.retire(now, old, CloseReason::GoAway);
    machine.settings(now, old, 7);
    machine.suspect(now, old);
    assert!(!machine.inspect(old));
    machine.inspected(now, old, Err(CloseReason::PeerClosed));
    assert_eq!(machine.info(new).unwrap().leases, 1);
    assert_eq!(world.put(0, new), Returned::Kept);
    let machine = world.machine(0);
    assert_eq!(
        machine.release(now, new, Fate::Reusable),
        Returned::Closed(CloseReason::Discarded),
        "twice"
    );
    machine.assert_invariants();
    assert_eq!(machine.counts().idle, 1);
}

#[test]
fn time_that_steps_back_changes_nothing() {
    let mut world = World::single(limits(), &[1]);
    world.now = at(10);
    let [first, second] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, first);
    world.now = at(9);
    world.put(0, second);
    world.machine(0).assert_invariants();
    assert_eq!(
        world.machine(0).longest_idle(None).map(|(since, ..)| since),
        Some(at(10))
    );
    world.now = at(70) - A_NANO;
    assert_eq!(world.timeout(0), 0);
    world.now = at(70);
    assert_eq!(world.timeout(0), 2);
}

#[test]
fn an_unpinned_get_takes_the_lane_that_selection_says() {
    let from = |selection| {
        let mut world = World::single(
            Limits {
                selection,
                ..limits()
            },
            &[1, 2, 3],
        );
        let conns = [1, 2, 3].map(|last| [(); 2].map(|()| world.open(0, pinned(last), Http1)));
        // One more lease stays out at 2; 3 is put back last, then 1.
        let back = [conns[1][0], conns[2][0], conns[2][1], conns[0][0], conns[0][1]];
        for conn in back {
            world.now = world.now + secs(1);
            world.put(0, conn);
        }
        (0..5)
            .map(|_| {
                let conn = world.hit(0, want(0));
                let ip = world.machine(0).info(conn).unwrap().ip;
                world.machine(0).assert_invariants();
                [ip == rules::ip(1), ip == rules::ip(2), ip == rules::ip(3)]
                    .iter()
                    .position(|&is| is)
                    .unwrap()
                    + 1
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(from(Selection::Spread), [1, 3, 1, 2, 3]);
    assert_eq!(from(Selection::PreferHot), [1, 1, 3, 3, 2]);
    assert_eq!(from(Selection::RoundRobin), [2, 3, 1, 3, 1]);
    assert_eq!(
        from(Selection::Random).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([1, 2, 3])
    );
}

#[test]
fn a_random_dial_starts_anywhere() {
    let mut world = World::single(
        Limits {
            selection: Selection::Random,
            max_per_host: 60,
            ..limits()
        },
        &[1, 2, 3],
    );
    let mut orders = BTreeSet::new();
    for identity in 0..60 {
        world.queue(0, want(identity));
    }
    orders.extend(world.dials.iter().map(|dial| dial.order.candidates.clone()));
    assert_eq!(orders.len(), 6, "every order of three: {orders:?}");
}

#[test]
fn a_free_place_of_a_connection_in_use_comes_before_an_idle_connection() {
    let mut world = World::single(
        Limits {
            h2_max_streams: 2,
            ..limits()
        },
        &[1],
    );
    let first = world.open(0, want(0), Http2);
    world.with(0, |machine, now| machine.settings(now, first, 2));
    assert_eq!(world.hit(0, want(0)), first);
    let second = world.open(0, want(0), Http2);
    for conn in [first, first, second] {
        world.put(0, conn);
    }
    assert_eq!(world.hit(0, want(0)), second);
    assert_eq!(world.hit(0, want(0)), second, "the first may grow old and go");
    assert_eq!(world.hit(0, want(0)), first);
}

#[test]
fn a_connection_in_use_is_hotter_than_any_that_rests() {
    let mut world = World::single(
        Limits {
            selection: Selection::PreferHot,
            ..limits()
        },
        &[1, 2],
    );
    assert_eq!(world.machine(0).limits().selection, Selection::PreferHot);
    let used = world.open(
        0,
        Want {
            require: Require::Http2,
            ..pinned(1)
        },
        Http2,
    );
    let other = world.open(
        0,
        Want {
            require: Require::Http2,
            ..pinned(2)
        },
        Http2,
    );
    world.now = at(5);
    world.put(0, other);
    assert_eq!(world.hit(0, want(0)), used);
}

#[test]
fn growth_by_address_dials_each_address_once_then_as_needed() {
    let by_address = Limits {
        growth: Growth::PerIp,
        h2_max_streams: 1,
        ..limits()
    };
    let mut world = World::single(by_address, &[1, 2, 3]);
    let first = world.open(0, want(0), Http2);
    assert_eq!(world.put(0, first), Returned::Kept);
    assert_eq!(world.dials.len(), 0, "nobody asks, nobody dials");
    assert_eq!(world.hit(0, want(0)), first);
    assert_eq!(world.dials.len(), 2, "the two addresses that have none");
    assert_eq!(world.put(0, first), Returned::Kept);
    let used = world.hit(0, want(0));
    assert_eq!(world.dials.len(), 2, "and not again while those are under way");
    world.dial_ok(0, Http2);
    world.dial_ok(0, Http2);
    assert_eq!(world.machine(0).counts().idle, 2);
    let (second, third) = (world.hit(0, want(0)), world.hit(0, want(0)));
    assert!(used != second && second != third, "one on each address");
    assert_eq!(world.dials.len(), 0, "every address has its own");
    for conn in [used, second, third] {
        world.with(0, |machine, now| machine.settings(now, conn, 1));
    }
    world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1, "all full: one more, on any");
}

#[test]
fn growth_by_address_leaves_out_a_blocked_one() {
    let by_address = Limits {
        growth: Growth::PerIp,
        ..limits()
    };
    let mut world = World::single(by_address, &[1, 2]);
    let conn = world.open(0, want(0), Http2);
    let other = if world.machine(0).info(conn).is_some_and(|info| info.ip == ip(1)) {
        ip(2)
    } else {
        ip(1)
    };
    let now = world.now;
    world.machine(0).shun(now, other, at(5));
    world.hit(0, want(0));
    assert_eq!(world.dials.len(), 0);
    world.now = at(5);
    world.hit(0, want(0));
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn growth_by_address_concerns_http2_alone() {
    let mut world = World::single(
        Limits {
            growth: Growth::PerIp,
            ..limits()
        },
        &[1],
    );
    world.open(0, want(0), Http1);
    world.open(0, want(0), Http1);
    // Nor does it end at one connection where growth is otherwise.
    let (mut world, _) = one_of(1, limits());
    world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn a_dial_that_stands_at_the_ledger_stays_while_it_is_wanted() {
    let mut world = World::new(
        1,
        limits(),
        LedgerLimits {
            max_dials: 1,
            ..plenty()
        },
    );
    world.resolve(0, &[1]);
    let getters = [0, 1].map(|identity| world.queue(0, want(identity)));
    let waiting = world.dials[1].order.dial;
    assert_eq!(world.dials[1].at, None);
    // Whatever else happens.
    let other = world.queue(0, want(2));
    world.cancel(other);
    world.with(0, |machine, now| machine.penalise(now, ip(9), Cause::Tls));
    assert_eq!(
        world.dials.iter().map(|dial| dial.order.dial).nth(1),
        Some(waiting)
    );
    world.dial_ok(0, Http1);
    assert_eq!(world.dials[0].at, Some(ip(1)));
    world.dial_ok(0, Http1);
    for getter in getters {
        world.take(getter);
    }
}

#[test]
fn growth_by_address_starts_with_those_that_have_none() {
    let mut world = World::single(
        Limits {
            growth: Growth::PerIp,
            h2_max_streams: 1,
            ..limits()
        },
        &[1, 2],
    );
    let known = world.open(0, want(0), Http2);
    world.with(0, |machine, now| machine.settings(now, known, 1));
    world.with(0, |machine, now| {
        machine.died(now, known, CloseReason::PeerClosed)
    });
    for _ in 0..3 {
        world.queue(0, want(0));
    }
    assert_eq!(
        world.dials.iter().map(|dial| dial.at).collect::<Vec<_>>(),
        [Some(ip(1)), Some(ip(2)), Some(ip(1))],
        "each address once, then as needed"
    );
    // Another identity's dials are its own.
    world.queue(
        0,
        Want {
            require: Require::Http2,
            ..want(1)
        },
    );
    assert_eq!(world.dials.len(), 4);
}

#[test]
fn an_absolved_address_is_dialled_again() {
    let (mut world, conn) = one_of(10, limits());
    world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Status));
    assert!(
        matches!(world.get(0, want(0)), Acquire::Blocked { .. }),
        "handed out where we are blocked"
    );
    world.with(0, |machine, now| machine.absolve(now, ip(2)));
    assert!(matches!(world.get(0, want(0)), Acquire::Blocked { .. }));
    world.with(0, |machine, now| machine.absolve(now, ip(1)));
    assert_ne!(
        world.open(0, want(0), Http2),
        conn,
        "what stood there when we were blocked goes"
    );
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::Blocked));
}

#[test]
fn a_later_connection_to_an_address_that_went_is_as_good_as_any() {
    let mut world = World::single(limits(), &[1, 2]);
    let old = world.open(0, pinned(1), Http1);
    world.resolve(0, &[2]);
    world.resolve(0, &[2]);
    let new = world.open(0, pinned(1), Http1);
    assert_eq!(world.put(0, new), Returned::Kept);
    assert_eq!(world.put(0, old), Returned::Closed(CloseReason::AddressGone));
    assert_eq!(world.hit(0, pinned(1)), new);
}

#[test]
fn who_waits_beside_a_block_is_dialled_for_when_it_ends() {
    let mut world = World::single(limits(), &[1]);
    world.open(0, want(0), Http1);
    let now = world.now;
    world.machine(0).shun(now, ip(1), at(5));
    // There is hope: the connection that is out may come home.
    let getter = world.queue(0, want(0));
    assert_eq!(world.machine(0).poll_timeout(), Some(at(5)));
    world.now = at(5) - A_NANO;
    world.timeout(0);
    assert_eq!(world.dials.len(), 0);
    world.now = at(5);
    world.timeout(0);
    assert_eq!(world.dials.len(), 1);
    world.dial_ok(0, Http1);
    world.take(getter);
    assert_eq!(
        world.machine(0).poll_timeout(),
        Some(at(300)),
        "nobody waits for a block any more"
    );
}

#[test]
fn hope_that_dies_is_told_to_who_waits() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    let now = world.now;
    world.machine(0).shun(now, ip(1), at(5));
    let getter = world.queue(0, want(0));
    world.release(0, conn, Fate::Close(CloseReason::Failed));
    assert_eq!(
        world.outcome(getter),
        Outcome::Refused(Refusal::Blocked { until: at(5) })
    );
    assert_eq!(world.get(0, want(0)), Acquire::Blocked { until: at(5) });
    // Another dial for the same under way is hope too, another identity's is not.
    world.now = at(5);
    world.queue(0, want(0));
    let now = world.now;
    world.machine(0).shun(now, ip(1), at(9));
    assert_eq!(world.get(0, want(1)), Acquire::Blocked { until: at(9) });
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
}

#[test]
fn lifetimes_end_by_the_clock_whatever_a_connection_does() {
    let slow = Limits {
        idle_timeout: secs(1_000),
        ..limits()
    };
    // Idle.
    let mut world = World::single(slow.clone(), &[1]);
    let idle = world.open(0, want(0), Http1);
    world.put(0, idle);
    // Leased, on its way out already: its streams get the grace.
    let (mut leaving, gone) = one_of(10, slow.clone());
    leaving.with(0, |machine, now| machine.going_away(now, gone));
    // Suspect.
    let (mut doubtful, suspect) = one_of(10, slow);
    doubtful.with(0, |machine, now| machine.suspect(now, suspect));
    let table = [
        (at(300) - A_NANO, None, None, None),
        (at(300), Some(CloseReason::Lifetime), None, None),
        (at(330) - A_NANO, Some(CloseReason::Lifetime), None, None),
        (
            at(330),
            Some(CloseReason::Lifetime),
            Some(CloseReason::GoAway),
            Some(CloseReason::Lifetime),
        ),
    ];
    for (now, one, two, three) in table {
        for world in [&mut world, &mut leaving, &mut doubtful] {
            world.now = now;
            world.timeout(0);
            world.machine(0).assert_invariants();
        }
        let reasons = (world.reason(idle), leaving.reason(gone), doubtful.reason(suspect));
        assert_eq!(reasons, (one, two, three), "at {now:?}");
    }
    // The suspect one showed life too late: it had been retired at 300 s.
    assert_eq!(doubtful.put(0, suspect), Returned::Closed(CloseReason::Lifetime));
}

#[test]
fn a_look_at_an_idle_connection_promises_what_it_can_serve() {
    let mut world = World::single(
        Limits {
            max_per_host: 5,
            ..limits()
        },
        &[1],
    );
    let conn = world.open(0, want(0), Http2);
    world.with(0, |machine, now| machine.settings(now, conn, 2));
    world.put(0, conn);
    assert!(world.with(0, |machine, _| machine.inspect(conn)));
    let getters = [(); 4].map(|()| world.queue(0, want(0)));
    assert_eq!(world.dials.len(), 1, "two of four will find a place on it");
    world.with(0, |machine, now| machine.inspected(now, conn, Ok(())));
    assert_eq!(
        getters.map(|getter| world.outcome(getter) == Outcome::Granted),
        [true, true, false, false]
    );
    // On HTTP/1.1 each promises one.
    let mut world = World::single(limits(), &[1]);
    let [first, second] = [(); 2].map(|()| world.open(0, want(0), Http1));
    for conn in [first, second] {
        world.put(0, conn);
        assert!(world.with(0, |machine, _| machine.inspect(conn)));
    }
    for dials in [0, 0, 1] {
        world.queue(0, want(0));
        assert_eq!(world.dials.len(), dials);
    }
    assert_eq!(world.machine(0).counts().held, 2);
}

#[test]
fn a_single_connection_means_one_for_each_address_that_is_asked_for() {
    let single = Limits {
        growth: Growth::Single,
        ..limits()
    };
    let http2 = |pin| Want {
        require: Require::Http2,
        pin,
        ..want(0)
    };
    let mut world = World::single(single, &[1, 2]);
    world.queue(0, http2(Some(ip(1))));
    world.queue(0, http2(None));
    assert_eq!(
        world.dials.len(),
        1,
        "the dial to one address will do for who wants any"
    );
    world.queue(0, http2(Some(ip(2))));
    assert_eq!(world.dials.len(), 2);
    world.queue(
        0,
        Want {
            identity: IdentityId(1),
            ..http2(None)
        },
    );
    assert_eq!(world.dials.len(), 3, "another identity");
}

#[test]
fn settings_are_remembered_for_the_identity_they_came_to() {
    let mut world = World::single(
        Limits {
            h2_max_streams: 1_000,
            ..limits()
        },
        &[1],
    );
    for (identity, streams) in [(0, 10), (1, 11)] {
        let conn = world.open(0, want(identity), Http2);
        world.with(0, |machine, now| machine.settings(now, conn, streams));
        world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
        world.put(0, conn);
    }
    for (identity, count, dials) in [(0, 10, 1), (0, 1, 2), (1, 11, 3), (1, 1, 4)] {
        for _ in 0..count {
            world.queue(0, want(identity));
        }
        assert_eq!(world.dials.len(), dials, "identity {identity}");
    }
}

#[test]
fn warming_takes_a_place_and_heeds_the_limits() {
    let least = Limits {
        min_idle: 3,
        max_per_host: 2,
        ..limits()
    };
    let mut world = World::new(1, least, plenty());
    let now = world.now;
    assert_eq!(world.machine(0).warm(now, want(0)), None, "no address yet");
    world.resolve(0, &[1]);
    assert_eq!(
        world.machine(0).shortfall(now, 10),
        2,
        "no more than there is room for"
    );
    assert!(world.with(0, |machine, now| machine.warm(now, want(0))).is_some());
    assert_eq!(world.machine(0).shortfall(now, 10), 1);
    // Nobody waits for it: it is not given up, and who comes meanwhile waits for it.
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1);
    assert!(world.with(0, |machine, now| machine.warm(now, want(1))).is_some());
    assert_eq!(
        world.with(0, |machine, now| machine.warm(now, want(1))),
        None,
        "the host is full"
    );
    assert_eq!(world.machine(0).shortfall(now, 10), 0);
    world.dial_ok(0, Http1);
    let conn = world.take(getter);
    assert!(
        world
            .leases
            .iter()
            .any(|(_, lease)| lease.conn == conn && lease.hit),
        "nobody's dial gives hits"
    );
    let counts = world.machine(0).counts();
    assert_eq!(
        (counts.hits, counts.misses, counts.dialled, counts.dialling),
        (1, 0, 1, 1)
    );
}

#[test]
fn a_paused_machine_hands_nothing_out_and_loses_nobody() {
    let mut world = World::single(limits(), &[1]);
    let [idle, leased] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, idle);
    world.with(0, |machine, now| machine.set_paused(now, true));
    let getters = [(); 3].map(|()| world.queue(0, want(0)));
    world.put(0, leased);
    assert_eq!((world.idle(0), world.dials.len()), (2, 0));
    world.with(0, |machine, now| machine.set_paused(now, false));
    assert_eq!(
        getters.map(|getter| world.outcome(getter) == Outcome::Granted),
        [true, true, false]
    );
    assert_eq!(world.dials.len(), 1);
    world.machine(0).assert_invariants();
    world.with(0, |machine, now| machine.close(now));
    world.with(0, |machine, now| machine.set_paused(now, false));
    assert_eq!(world.get(0, want(0)), Acquire::Closed, "closed for good");
}

#[test]
fn a_connection_to_an_address_that_vanished_meanwhile_serves_once() {
    let mut world = World::single(limits(), &[1, 2]);
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials[0].at, Some(ip(1)));
    world.resolve(0, &[2]);
    world.resolve(0, &[2]);
    let conn = world.dial_ok(0, Http1);
    assert_eq!(world.take(getter), conn);
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::AddressGone));
    // One that the caller named itself need not be among the resolved ones.
    let named = world.open(0, pinned(9), Http1);
    assert_eq!(world.put(0, named), Returned::Kept);
}

#[test]
fn a_connection_that_comes_home_may_make_room_at_once() {
    let mut world = World::single(
        Limits {
            max_per_host: 1,
            ..limits()
        },
        &[1],
    );
    let conn = world.open(0, want(0), Http1);
    let other = world.queue(0, want(1));
    assert_eq!(
        world.put(0, conn),
        Returned::Closed(CloseReason::Evicted),
        "of no use to who waits"
    );
    world.dial_ok(0, Http1);
    world.take(other);
}

#[test]
fn the_first_reason_stands() {
    let (mut world, conn) = one_of(10, limits());
    world.with(0, |machine, now| machine.going_away(now, conn));
    world.with(0, |machine, now| machine.evict_all(now, CloseReason::Evicted));
    let returned = world.release(0, conn, Fate::Close(CloseReason::Failed));
    assert_eq!(returned, Returned::Closed(CloseReason::GoAway));
    assert_eq!(world.closed, [(0, conn, CloseReason::GoAway)]);
}

#[test]
fn retain_closes_what_does_not_pass() {
    let mut world = World::single(limits(), &[1, 2]);
    let [one, two, leased] = [1, 2, 2].map(|last| world.open(0, pinned(last), Http1));
    world.put(0, one);
    world.put(0, two);
    world.with(0, |machine, now| {
        machine.retain(now, CloseReason::Discarded, |info| info.ip == ip(1))
    });
    assert_eq!(
        (world.reason(one), world.reason(two)),
        (None, Some(CloseReason::Discarded))
    );
    assert_eq!(world.put(0, leased), Returned::Closed(CloseReason::Discarded));
    assert_eq!(world.hit(0, want(0)), one);
}

#[test]
fn the_line_has_an_end() {
    let mut world = World::single(
        Limits {
            max_waiters: 2,
            max_per_host: 1,
            ..limits()
        },
        &[1],
    );
    let conn = world.open(0, want(0), Http1);
    let first = world.queue(0, want(0));
    world.queue(0, want(1));
    assert_eq!(world.get(0, want(0)), Acquire::Full);
    world.cancel(first);
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
    world.put(0, conn);
    // Identity 1 came first, but the connection is not its.
    assert_eq!(
        [2, 3].map(|getter| world.outcome(getter)),
        [Outcome::Waiting, Outcome::Granted]
    );
}

#[test]
fn lowering_the_streams_wanted_lowers_what_is_lent() {
    let (mut world, conn) = one_of(10, limits());
    world.with(0, |machine, now| {
        machine.set_limits(
            now,
            Limits {
                h2_max_streams: 1,
                ..limits()
            },
        )
    });
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
    world.with(0, |machine, now| {
        machine.set_limits(
            now,
            Limits {
                h2_max_streams: 3,
                ..limits()
            },
        )
    });
    assert_eq!(
        world.machine(0).info(conn).unwrap().leases,
        2,
        "who waited has the second"
    );
    assert_eq!(world.machine(0).info(conn).unwrap().capacity, 3);
}
