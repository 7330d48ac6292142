//! Age: idle times, lifetimes, and when to look.

use std::time::Duration;

use hotpool::clock::Moment;
use hotpool::machine::{
    Acquire, CloseReason, ConnId, Fate, Limits, Protocol, Protocol::Http1, Returned, Wheel,
};

use crate::rules::*;

const A_NANO: Duration = Duration::from_nanos(1);

/// A world at zero with one connection that has been idle since then.
fn one_idle(limits: Limits) -> (World, ConnId) {
    let mut world = World::single(limits, &[1]);
    world.now = Moment::ZERO;
    let conn = world.open(0, want(0), Http1);
    world.put(0, conn);
    (world, conn)
}

fn at(seconds: u64) -> Moment {
    Moment::ZERO + secs(seconds)
}

#[test]
fn idle_longer_than_the_limit_is_closed_and_in_use_is_not() {
    let (mut world, idle) = one_idle(limits());
    let used = world.hit(0, want(0));
    assert_eq!(idle, used);
    let other = world.open(0, want(0), Http1);
    world.put(0, other);
    world.now = at(60);
    assert_eq!(world.timeout(0), 1);
    assert_eq!(world.closed, [(0, other, CloseReason::IdleTimeout)]);
    assert_eq!(world.put(0, used), Returned::Kept);
}

#[test]
fn the_next_deadline_is_the_earliest() {
    let mut world = World::single(limits(), &[1]);
    world.now = Moment::ZERO;
    let conns = [(); 3].map(|()| world.open(0, want(0), Http1));
    // Idle since 10 s and 50 s; the third stays in use until its life ends at 300 s.
    for (conn, since) in conns.into_iter().zip([10, 50]) {
        world.now = at(since);
        world.put(0, conn);
    }
    let table = [
        // when, how many close, when to look again
        (at(70) - A_NANO, 0, Some(at(70))),
        (at(70), 1, Some(at(110))),
        (at(70) + A_NANO, 0, Some(at(110))),
        (at(110) - A_NANO, 0, Some(at(110))),
        (at(110), 1, Some(at(300))),
        (at(300) - A_NANO, 0, Some(at(300))),
        (at(300), 0, None),
    ];
    for (now, closes, next) in table {
        world.now = now;
        assert_eq!(
            (world.timeout(0), world.machine(0).poll_timeout()),
            (closes, next),
            "at {now:?}"
        );
    }
    assert_eq!(world.put(0, conns[2]), Returned::Closed(CloseReason::Lifetime));
}

#[test]
fn oldest_idle_goes_first_over_the_cap() {
    let mut world = World::single(
        Limits {
            max_idle_per_host: 2,
            ..limits()
        },
        &[1, 2],
    );
    let conns = [(); 3].map(|()| world.open(0, want(0), Http1));
    for conn in [conns[1], conns[2], conns[0]] {
        world.now = world.now + secs(1);
        assert_eq!(world.put(0, conn), Returned::Kept);
    }
    assert_eq!(world.closed, [(0, conns[1], CloseReason::IdleCap)]);
}

#[test]
fn lifetime_is_fixed_at_birth() {
    let jittery = Limits {
        jitter: 10,
        ..limits()
    };
    let mut world = World::single(
        Limits {
            max_per_host: 100,
            ..jittery.clone()
        },
        &[1],
    );
    let born = world.now;
    let conns: Vec<ConnId> = (0..50).map(|_| world.open(0, want(0), Http1)).collect();
    let expiry = |world: &mut World, conn| world.machine(0).info(conn).expect("alive").expires;
    let before: Vec<Moment> = conns.iter().map(|&conn| expiry(&mut world, conn)).collect();
    assert!(
        before
            .iter()
            .all(|&at| (secs(270)..=secs(300)).contains(&at.since(born))),
        "{before:?}"
    );
    assert!(
        before.iter().collect::<std::collections::BTreeSet<_>>().len() > 40,
        "no jitter: {before:?}"
    );
    // Neither use nor other limits give a connection another life.
    world.now = world.now + secs(100);
    world.put(0, conns[0]);
    let shorter = Limits {
        max_lifetime: secs(5),
        max_per_host: 100,
        ..jittery
    };
    world.with(0, |machine, now| machine.set_limits(now, shorter));
    world.hit(0, want(0));
    let after: Vec<Moment> = conns.iter().map(|&conn| expiry(&mut world, conn)).collect();
    assert_eq!(before, after);
}

#[test]
fn lifetime_never_overflows() {
    for jitter in [0, 10, 100] {
        let endless = Limits {
            max_lifetime: Duration::MAX,
            idle_timeout: Duration::MAX,
            jitter,
            ..limits()
        };
        let mut world = World::single(endless, &[1]);
        world.now = at(3_000_000_000);
        let conn = world.open(0, want(0), Http1);
        let expires = world.machine(0).info(conn).expect("alive").expires;
        assert!(expires > world.now, "{expires:?}");
        assert_eq!(world.put(0, conn), Returned::Kept);
        assert_eq!(world.timeout(0), 0);
        assert_eq!(world.hit(0, want(0)), conn);
    }
}

#[test]
fn expired_while_in_use_closes_on_return() {
    for (age, returned) in [
        (secs(300) - A_NANO, Returned::Kept),
        (secs(300), Returned::Closed(CloseReason::Lifetime)),
        (secs(300) + A_NANO, Returned::Closed(CloseReason::Lifetime)),
    ] {
        let mut world = World::single(limits(), &[1]);
        let conn = world.open(0, want(0), Http1);
        world.now = world.now + age;
        assert_eq!(world.timeout(0), 0, "closed in its holder's hands");
        assert_eq!(world.put(0, conn), returned, "at an age of {age:?}");
    }
}

#[test]
fn broken_and_expired_do_not_starve() {
    let mut world = World::single(
        Limits {
            max_per_host: 2,
            ..limits()
        },
        &[1],
    );
    let [broken, expired] = [(); 2].map(|()| world.open(0, want(0), Http1));
    let getters = [(); 2].map(|()| world.queue(0, want(0)));
    world.release(0, broken, Fate::Close(CloseReason::Failed));
    assert_eq!(world.dials.len(), 1, "a place that came free is dialled into");
    world.now = world.now + secs(300);
    world.put(0, expired);
    assert_eq!(world.dials.len(), 2);
    for getter in getters {
        world.dial_ok(0, Http1);
        world.take(getter);
    }
}

#[test]
fn idle_timer_against_first_use() {
    // A connection that nobody has used yet ages from its birth, and its first use stops that.
    let mut world = World::single(limits(), &[1]);
    world.now = Moment::ZERO;
    world.adopt(0, want(0).identity, ip(1), Http1);
    assert_eq!(world.machine(0).poll_timeout(), Some(at(60)));
    world.now = at(60) - A_NANO;
    let conn = world.hit(0, want(0));
    world.now = at(61);
    assert_eq!(world.timeout(0), 0);
    world.put(0, conn);
    assert_eq!(world.machine(0).poll_timeout(), Some(at(121)));
}

#[test]
fn idle_timeout_racing_a_get_never_fails_the_get() {
    for (now, served) in [(at(60) - A_NANO, true), (at(60), false), (at(60) + A_NANO, false)] {
        for looked in [false, true] {
            let (mut world, conn) = one_idle(limits());
            world.now = now;
            if looked {
                world.timeout(0);
            }
            match world.get(0, want(0)) {
                Acquire::Lease(lease) => assert!(served && lease.conn == conn, "{now:?}"),
                Acquire::Wait(_) => {
                    assert!(!served, "{now:?}");
                    assert_eq!(world.dials.len(), 1, "it waits for nothing");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn health_probe_does_not_extend_idle() {
    let (mut world, conn) = one_idle(limits());
    world.now = at(30);
    let younger = world.open(0, want(1), Http1);
    world.put(0, younger);
    world.now = at(59);
    assert!(world.with(0, |machine, _| machine.inspect(conn)));
    world.with(0, |machine, now| machine.inspected(now, conn, Ok(())));
    assert_eq!(world.machine(0).poll_timeout(), Some(at(60)));
    world.now = at(60);
    assert_eq!(world.timeout(0), 1);
    assert_eq!(world.reason(conn), Some(CloseReason::IdleTimeout));
    // One whose time ran out while it was looked at does not come back.
    world.now = at(89);
    assert!(world.with(0, |machine, _| machine.inspect(younger)));
    world.now = at(90);
    world.with(0, |machine, now| machine.inspected(now, younger, Ok(())));
    assert_eq!(world.reason(younger), Some(CloseReason::IdleTimeout));
}

#[test]
fn cleanup_timeline() {
    let minutes = |count: u64| at(count * 60);
    let long = Limits {
        idle_timeout: secs(30 * 60),
        max_lifetime: secs(24 * 3600),
        ..limits()
    };
    let mut world = World::single(long, &[1]);
    world.now = minutes(0);
    let conns = [(); 3].map(|()| world.open(0, want(0), Http1));
    world.now = minutes(5);
    world.put(0, conns[0]);
    world.put(0, conns[1]);
    world.now = minutes(6);
    world.put(0, conns[2]);
    let mut closed = Vec::new();
    for minute in (10..=40).step_by(5) {
        world.now = minutes(minute);
        closed.push((minute, world.timeout(0)));
    }
    assert_eq!(
        closed,
        [(10, 0), (15, 0), (20, 0), (25, 0), (30, 0), (35, 2), (40, 1)]
    );
}

#[test]
fn the_wheel_looks_in_time_however_seldom_it_is_touched() {
    // Nothing but dialling and the wheel's own turns arms it: puts never do.
    let mut world = World::single(
        Limits {
            max_lifetime: secs(3_000),
            ..limits()
        },
        &[1],
    );
    world.now = Moment::ZERO;
    let conn = world.open(0, want(0), Http1);
    for _ in 0..10 {
        world.advance(secs(25));
        world.put_quietly(0, conn);
        assert_eq!(world.hit_quietly(0, want(0)), conn);
    }
    world.put_quietly(0, conn);
    let mut waited = 0;
    while world.reason(conn).is_none() {
        world.advance(secs(1));
        waited += 1;
        assert!(waited <= 61, "nobody looked");
    }
    assert!(waited >= 60, "closed after {waited} s");
}

#[test]
fn the_wheel_turns_up_what_is_due_and_nothing_else() {
    let mut wheel = Wheel::new();
    for (key, second) in [(1, 3), (2, 3), (3, 700), (4, 1_300)] {
        wheel.arm(key, at(second));
    }
    let mut due = |now| std::iter::from_fn(|| wheel.pop_due(now)).collect::<Vec<_>>();
    assert!(due(at(3) - A_NANO).is_empty());
    let mut third = due(at(3));
    third.sort_unstable();
    assert_eq!(third, [1, 2]);
    assert!(due(at(699)).is_empty());
    assert_eq!(due(at(700)), [3]);
    assert_eq!(due(at(5_000)), [4], "after a long sleep");
    assert!(wheel.is_empty());
}

#[test]
fn streams_outlive_the_lifetime_by_the_grace_and_no_more() {
    let mut world = World::single(limits(), &[1]);
    world.now = Moment::ZERO;
    let conn = world.open(0, want(0), Protocol::Http2);
    let table = [
        (at(300) - A_NANO, None),
        (at(300), None),
        (at(330) - A_NANO, None),
        (at(330), Some(CloseReason::Lifetime)),
    ];
    for (now, reason) in table {
        world.now = now;
        world.timeout(0);
        assert_eq!(world.reason(conn), reason, "at {now:?}");
    }
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::Lifetime));
    assert!(world.machine(0).is_vacant());
}
