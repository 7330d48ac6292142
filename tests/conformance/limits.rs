//! Limits, of a host and of all.

use hotpool::machine::{
    Acquire, CloseReason, Evict, Evicted, Fate, LedgerLimits, Limits, Protocol::Http1, Refusal, Returned,
};

use crate::rules::*;

fn small(max_per_host: u32) -> Limits {
    Limits {
        max_per_host,
        ..limits()
    }
}

#[test]
fn dialling_counts_against_the_host_cap() {
    let mut world = World::single(small(2), &[1]);
    // Different wants, so that none counts on another's dial.
    for identity in 0..3 {
        world.queue(0, want(identity));
    }
    assert_eq!(world.dials.len(), 2);
    world.dial_fails(0, hotpool::machine::Cause::Local);
    assert_eq!(
        world.dials.len(),
        2,
        "the place of a failed dial is the next one's"
    );
}

#[test]
fn cancelled_get_frees_its_slot() {
    let ledger = LedgerLimits {
        max_dials: 1,
        ..plenty()
    };
    let mut world = World::new(1, small(2), ledger);
    world.resolve(0, &[1]);
    let getters = [0, 1, 2].map(|identity| world.queue(0, want(identity)));
    // One dials, one stands at the Ledger, one has no place under the host's cap.
    assert_eq!(
        world
            .dials
            .iter()
            .map(|dial| dial.order.identity.0)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    world.cancel(getters[1]);
    assert_eq!(
        world
            .dials
            .iter()
            .map(|dial| dial.order.identity.0)
            .collect::<Vec<_>>(),
        [0, 2]
    );
}

#[test]
fn freed_connection_beats_dial_in_flight() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1);
    world.put(0, conn);
    assert_eq!(world.take(getter), conn);
}

#[test]
fn surplus_dial_becomes_idle() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    world.adopt(0, want(0).identity, ip(1), Http1);
    // Served meanwhile: what its dial brings is nobody's.
    assert_eq!(world.outcome(getter), Outcome::Granted);
    let surplus = world.dial_ok(0, Http1);
    assert_eq!(world.idle(0), 1);
    assert_eq!(world.hit(0, want(0)), surplus);
    assert_ne!(surplus, conn);
}

#[test]
fn put_after_close_idle_is_safe() {
    let mut world = World::single(limits(), &[1]);
    let [idle, leased] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, idle);
    world.with(0, |machine, now| machine.evict_all(now, CloseReason::Evicted));
    assert_eq!(world.reason(idle), Some(CloseReason::Evicted));
    assert_eq!(world.reason(leased), None, "closed in its holder's hands");
    assert_eq!(world.put(0, leased), Returned::Closed(CloseReason::Evicted));
    assert!(world.machine(0).is_vacant());
    world.open(0, want(0), Http1);
}

#[test]
fn dial_and_cancel_race() {
    let mut world = World::single(limits(), &[1]);
    let getter = world.queue(0, want(0));
    let conn = world.dial_ok(0, Http1);
    // The dial won by a hair: the ticket is granted when its owner gives it up.
    assert!(world.cancel(getter));
    let ticket = world.getters[getter].ticket;
    let now = world.now;
    assert!(!world.machine(0).cancel(now, ticket), "given up twice");
    assert_eq!(world.machine(0).take(ticket), None);
    assert_eq!((world.idle(0), world.machine(0).counts().leases), (1, 0));
    assert_eq!(world.reason(conn), None);
}

#[test]
fn total_cap_evicts_the_longest_idle_of_another_host() {
    let ledger = LedgerLimits {
        max_connections: 3,
        ..plenty()
    };
    let mut world = World::new(4, limits(), ledger);
    let mut conns = Vec::new();
    for origin in 0..4 {
        world.resolve(origin, &[origin as u8 + 1]);
    }
    for origin in [0, 1, 2] {
        conns.push(world.open(origin, want(0), Http1));
    }
    for origin in [1, 2, 0] {
        world.now = world.now + secs(1);
        world.put(origin, conns[origin as usize]);
    }
    // Host 0 was dialled first, but host 1 has been idle longest.
    let getter = world.queue(3, want(0));
    assert_eq!(world.closed, [(1, conns[1], CloseReason::Evicted)]);
    world.dial_ok(0, Http1);
    world.take(getter);
    assert_eq!(world.ledger.counts().total, 3);
}

#[test]
fn idle_elsewhere_frees_a_waiter_at_the_total_or_ip_cap() {
    for ledger in [
        LedgerLimits {
            max_connections: 1,
            ..plenty()
        },
        LedgerLimits {
            max_per_ip: 1,
            ..plenty()
        },
    ] {
        let mut world = World::new(2, limits(), ledger);
        world.resolve(0, &[1]);
        world.resolve(1, &[1]);
        let busy = world.open(0, want(0), Http1);
        world.queue(1, want(0));
        assert_eq!(world.dials[0].at, None, "there was a permit left");
        assert!(world.ledger.contended());
        world.put(0, busy);
        assert_eq!(world.reason(busy), Some(CloseReason::Evicted));
        assert_eq!(world.dials[0].at, Some(ip(1)), "{ledger:?}");
    }
}

#[test]
fn acquire_timeout_leaks_no_permit() {
    let ledger = LedgerLimits {
        max_connections: 1,
        ..plenty()
    };
    let mut world = World::new(2, limits(), ledger);
    world.resolve(0, &[1]);
    world.resolve(1, &[2]);
    let busy = world.open(0, want(0), Http1);
    let late = world.queue(1, want(0));
    world.cancel(late);
    assert_eq!(world.ledger.counts().waiting, 0, "it still stands at the Ledger");
    assert_eq!(world.machine(1).counts().dialling, 0);
    world.release(0, busy, Fate::Close(CloseReason::Failed));
    assert_eq!(world.ledger.counts().total, 0);
    world.open(1, want(0), Http1);
}

#[test]
fn close_cancels_waiters_and_drains() {
    let mut world = World::single(small(2), &[1]);
    let [idle, leased] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, idle);
    let getter = world.queue(0, want(1));
    assert_eq!(
        world.reason(idle),
        Some(CloseReason::Evicted),
        "it made room for another identity"
    );
    assert_eq!(world.dials.len(), 1);
    world.with(0, |machine, now| machine.close(now));
    assert_eq!(world.outcome(getter), Outcome::Refused(Refusal::Closed));
    assert_eq!(world.dials.len(), 0, "it dials on");
    assert_eq!(world.put(0, leased), Returned::Closed(CloseReason::PoolClosed));
    assert_eq!(world.get(0, want(0)), Acquire::Closed);
    assert!(world.machine(0).is_vacant());
}

#[test]
fn resize_grows_and_shrinks_live() {
    let mut world = World::single(small(1), &[1]);
    let first = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 0);
    world.with(0, |machine, now| machine.set_limits(now, small(2)));
    assert_eq!(world.dials.len(), 1, "room that grew is used at once");
    world.dial_ok(0, Http1);
    let second = world.take(getter);
    world.put(0, first);
    world.with(0, |machine, now| machine.set_limits(now, small(1)));
    assert_eq!(
        world.reason(first),
        Some(CloseReason::OverLimit),
        "idle and too many"
    );
    assert_eq!(world.put(0, second), Returned::Kept);

    let [second, third] = [second, second];
    assert_eq!(world.hit(0, want(0)), third);
    world.with(0, |machine, now| machine.set_limits(now, small(0)));
    assert_eq!(world.put(0, second), Returned::Closed(CloseReason::OverLimit));
}

#[test]
fn permits_are_conserved_under_random_operations() {
    let ledger = LedgerLimits {
        max_connections: 4,
        max_per_ip: 2,
        max_dials: 2,
    };
    let mut world = World::new(3, small(3), ledger);
    for origin in 0..3 {
        world.resolve(origin, &[1, 2, 3]);
    }
    let mut state = 1u64;
    for _ in 0..2_000 {
        // A linear congruential generator (Knuth's MMIX constants): the same steps every time.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dice = (state >> 33) as usize;
        let origin = (dice / 8 % 3) as u64;
        match dice % 8 {
            0..=2 => drop(world.get(origin, want((dice / 64 % 2) as u64))),
            3 => world.random_dial(dice / 8, true),
            4 => world.random_dial(dice / 8, (dice / 16).is_multiple_of(2)),
            5 => world.random_cancel_or_take(dice / 8),
            6 => world.random_put(dice / 8, Fate::Reusable),
            _ => world.random_put(dice / 8, Fate::Close(CloseReason::Failed)),
        }
        let begun = world.dials.iter().filter(|dial| dial.at.is_some()).count();
        let total = world.conns.len() + begun;
        assert_eq!(world.ledger.counts().total as usize, total);
        assert!(total <= 4, "{total} where 4 may be");
    }
    world.finish();
    assert_eq!(world.ledger.counts().total as usize, world.conns.len());
    for origin in 0..3 {
        world.with(origin, |machine, now| machine.close(now));
        assert!(world.machine(origin).is_vacant());
    }
    assert_eq!(world.ledger.counts().total, 0);
}

#[test]
fn a_victim_that_is_younger_than_another_host_s_is_spared() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    world.now = world.now + secs(1);
    world.put(0, conn);
    let now = world.now;
    let before = Evict {
        ip: None,
        not_after: hotpool::clock::Moment::from_nanos(now.as_nanos() - 1),
    };
    assert_eq!(
        world.with(0, |machine, now| machine.evict_idle(now, before)),
        Evicted::Younger(now)
    );
    let other = Evict {
        ip: Some(ip(2)),
        not_after: now,
    };
    assert_eq!(
        world.with(0, |machine, now| machine.evict_idle(now, other)),
        Evicted::None
    );
    let at = Evict {
        ip: Some(ip(1)),
        not_after: now,
    };
    assert_eq!(
        world.with(0, |machine, now| machine.evict_idle(now, at)),
        Evicted::Closed(conn)
    );
}
