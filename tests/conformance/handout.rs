//! Hand-out and return.

use hotpool::machine::{Acquire, Cause, CloseReason, Fate, Limits, Protocol::Http1, Refusal, Returned};

use crate::rules::*;

#[test]
fn put_then_get_returns_same_connection() {
    let mut world = World::single(limits(), &[1]);
    let first = world.open(0, want(0), Http1);
    let second = world.open(0, want(0), Http1);
    assert_eq!(world.put(0, first), Returned::Kept);
    assert_eq!(world.put(0, second), Returned::Kept);
    // The last one put is the first one out: the others may grow old.
    assert_eq!(world.hit(0, want(0)), second);
    assert_eq!(world.hit(0, want(0)), first);
    assert_eq!(world.dialled, 2);
}

#[test]
fn expired_idle_is_never_handed_out() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    world.put(0, conn);
    // Nobody looked at the time meanwhile: the get itself must.
    world.now = world.now + secs(60);
    assert_eq!(
        world.with(0, |machine, now| machine.try_acquire(now, want(0))),
        None
    );
    assert_eq!(world.idle(0), 0);
    world.queue(0, want(0));
    assert_eq!(world.reason(conn), Some(CloseReason::IdleTimeout));
}

#[test]
fn key_is_removed_when_emptied() {
    let mut world = World::single(limits(), &[1, 2]);
    let conn = world.open(0, want(0), Http1);
    world.put(0, conn);
    assert!(!world.machine(0).is_vacant());
    world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
    let mut ips = 0;
    world.machine(0).each_ip(|_, _| ips += 1);
    assert_eq!(ips, 0, "an address without connections is still listed");
    assert!(world.machine(0).is_vacant());
}

#[test]
fn idle_cap_drops_the_surplus() {
    let mut world = World::single(
        Limits {
            max_idle_per_host: 2,
            ..limits()
        },
        &[1],
    );
    let conns = [(); 3].map(|()| world.open(0, want(0), Http1));
    for conn in conns {
        assert_eq!(world.put(0, conn), Returned::Kept);
    }
    assert_eq!(world.idle(0), 2);
    assert_eq!(world.closed.len(), 1);
    let mut none = World::single(
        Limits {
            max_idle_per_host: 0,
            ..limits()
        },
        &[1],
    );
    let conn = none.open(0, want(0), Http1);
    assert_eq!(none.put(0, conn), Returned::Closed(CloseReason::IdleCap));
}

#[test]
fn put_wakes_parked_getter() {
    let mut world = World::single(
        Limits {
            max_per_host: 1,
            ..limits()
        },
        &[1],
    );
    let conn = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    assert_eq!(world.outcome(getter), Outcome::Waiting);
    assert_eq!(world.put(0, conn), Returned::Kept);
    assert_eq!(world.take(getter), conn);
}

#[test]
fn dropped_getter_leaves_no_residue() {
    let mut world = World::single(limits(), &[1]);
    let getter = world.queue(0, want(0));
    assert!(world.cancel(getter));
    assert_eq!(world.machine(0).counts().waiting, 0);
    // The dial goes on without it, and what it brings is anybody's.
    let conn = world.dial_ok(0, Http1);
    assert_eq!(world.idle(0), 1);
    world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
    assert!(world.machine(0).is_vacant());
}

#[test]
fn closed_connection_is_not_reinserted() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::PeerClosed));
    assert_eq!(world.idle(0), 0);
    assert_eq!(world.closed, [(0, conn, CloseReason::PeerClosed)]);
    assert!(world.machine(0).is_vacant());
}

#[test]
fn waiters_are_woken_first_come_first_served() {
    let mut world = World::single(
        Limits {
            max_per_host: 1,
            ..limits()
        },
        &[1],
    );
    let getters = [(); 3].map(|()| world.queue(0, want(0)));
    let mut conn = world.dial_ok(0, Http1);
    for getter in getters {
        let waiting = world
            .getters
            .iter()
            .filter(|getter| getter.outcome == Outcome::Granted)
            .count();
        assert_eq!(waiting, 1);
        assert_eq!(world.take(getter), conn);
        // Each ends with its connection, so that the next is served by a new dial.
        world.release(0, conn, Fate::Close(CloseReason::Failed));
        if getter != getters[2] {
            conn = world.dial_ok(0, Http1);
        }
    }
}

#[test]
fn dropped_waiter_does_not_block_reuse() {
    let mut world = World::single(
        Limits {
            max_per_host: 1,
            ..limits()
        },
        &[1],
    );
    let conn = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    world.cancel(getter);
    world.put(0, conn);
    assert_eq!(world.hit(0, want(0)), conn);
}

#[test]
fn reserved_but_unused_slot_goes_back() {
    let mut world = World::single(limits(), &[1]);
    let getter = world.queue(0, want(0));
    let conn = world.dial_ok(0, Http1);
    assert_eq!(world.outcome(getter), Outcome::Granted);
    // Granted, and dropped before it looked.
    assert!(world.cancel(getter));
    assert_eq!(world.idle(0), 1);
    assert_eq!(world.hit(0, want(0)), conn);
}

#[test]
fn cancelled_dialler_does_not_fail_the_others() {
    let mut world = World::single(limits(), &[1]);
    // A cold host: one dial for both.
    let [dialler, other] = [(); 2].map(|()| world.queue(0, want(0)));
    let dial = world.dials[0].order.dial;
    world.cancel(dialler);
    assert_eq!(
        world.dials[0].order.dial, dial,
        "the dial went with the one that began it"
    );
    world.dial_ok(0, Http1);
    world.take(other);
}

#[test]
fn dial_error_is_shared_with_the_waiters_it_answers() {
    let mut world = World::single(limits(), &[1]);
    let [first, second] = [(); 2].map(|()| world.queue(0, want(0)));
    let foreign = world.queue(0, want(1));
    let dial = world.dials[0].order.dial;
    world.dial_fails(0, Cause::Local);
    for getter in [first, second] {
        assert_eq!(world.outcome(getter), Outcome::Refused(Refusal::DialFailed(dial)));
    }
    assert_eq!(
        world.outcome(foreign),
        Outcome::Waiting,
        "its own dial is still under way"
    );
}

#[test]
fn peer_close_removes_idle() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    world.put(0, conn);
    // A look at it: nobody gets it meanwhile, and nobody dials beside it.
    assert!(world.with(0, |machine, _| machine.inspect(conn)));
    let getter = world.queue(0, want(0));
    assert_eq!(
        world.dials.len(),
        0,
        "a connection under inspection may still serve"
    );
    world.with(0, |machine, now| {
        machine.inspected(now, conn, Err(CloseReason::PeerClosed))
    });
    assert_eq!(world.reason(conn), Some(CloseReason::PeerClosed));
    assert_eq!(world.dials.len(), 1);
    let next = world.dial_ok(0, Http1);
    assert_eq!(world.take(getter), next);
}

#[test]
fn poisoned_connection_is_not_reused() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    let returned = world.release(0, conn, Fate::Close(CloseReason::Discarded));
    assert_eq!(returned, Returned::Closed(CloseReason::Discarded));
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
    assert_eq!(world.reason(conn), Some(CloseReason::Discarded));
}

#[test]
fn healthy_connection_at_the_idle_cap_goes_to_a_waiter_first() {
    let mut world = World::single(
        Limits {
            max_per_host: 1,
            max_idle_per_host: 0,
            ..limits()
        },
        &[1],
    );
    let conn = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    assert_eq!(world.put(0, conn), Returned::Kept);
    assert_eq!(world.take(getter), conn);
}
