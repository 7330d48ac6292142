//! Lifetimes, idle times, and when to look again.

use super::*;

#[test]
fn the_wheel_is_told_of_a_nearer_deadline_and_of_no_other() {
    let mut machine = Machine::new(limits(), 0);
    assert_eq!(machine.arm(at(0)), None, "nothing lives");
    let adopted = machine.adopt(at(1), IdentityId(0), ip(1), Http1);
    assert!(adopted.is_some());
    assert_eq!(machine.arm(at(1)), Some(at(61)));
    assert_eq!(machine.arm(at(2)), None, "the wheel holds it");
    let lease = machine.try_acquire(at(2), want(0));
    assert_eq!(lease.map(|lease| lease.conn), adopted);
    // A look before the deadline leaves it on the wheel; the look that was due takes it out.
    assert_eq!((machine.handle_timeout(at(5)), machine.arm(at(5))), (0, None));
    assert_eq!(machine.handle_timeout(at(61)), 0);
    assert_eq!(
        machine.arm(at(61)),
        Some(at(121)),
        "what is in use may come home and rest meanwhile"
    );
}

#[test]
fn a_look_counts_what_it_closed_itself() {
    let mut world = World::single(limits(), &[1]);
    let [first, second] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, second);
    world.release(0, first, Fate::Close(CloseReason::Failed));
    world.now = at(60);
    assert_eq!((world.timeout(0), world.timeout(0)), (1, 0));
}

#[test]
fn the_place_of_what_aged_out_goes_to_who_waits() {
    let one = Limits {
        max_per_host: 1,
        ..limits()
    };
    let (mut world, cut) = one_of(10, one);
    world.queue(0, want(1));
    for (now, dials) in [(at(300), 0), (at(330) - A_NANO, 0), (at(330), 1)] {
        world.now = now;
        world.timeout(0);
        assert_eq!(world.dials.len(), dials, "at {now:?}");
    }
    assert_eq!(world.reason(cut), Some(CloseReason::Lifetime));
}

#[test]
fn what_is_looked_at_is_not_closed_meanwhile_and_its_age_counts_afterwards() {
    for (now, reason) in [
        (at(60) - A_NANO, None),
        (at(60), Some(CloseReason::IdleTimeout)),
        (at(300), Some(CloseReason::Lifetime)),
    ] {
        let mut world = World::single(limits(), &[1]);
        let conn = world.open(0, want(0), Http1);
        world.put(0, conn);
        assert!(world.with(0, |machine, _| machine.inspect(conn)));
        world.now = now;
        assert_eq!((world.timeout(0), world.reason(conn)), (0, None));
        world.with(0, |machine, now| machine.inspected(now, conn, Ok(())));
        assert_eq!(world.reason(conn), reason, "at {now:?}");
    }
}

#[test]
fn nothing_is_due_once_the_last_connection_is_over() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    assert_eq!(world.machine(0).poll_timeout(), Some(at(300)));
    world.release(0, conn, Fate::Close(CloseReason::Failed));
    assert_eq!(world.machine(0).poll_timeout(), None);
}

#[test]
fn lifetimes_are_spread_over_the_jitter_and_never_longer() {
    let spread = Limits {
        jitter: 10,
        max_per_host: 100,
        max_idle_per_host: 100,
        ..limits()
    };
    let mut machine = Machine::new(spread, 7);
    for _ in 0..100 {
        assert!(machine.adopt(at(5), IdentityId(0), ip(1), Http1).is_some());
    }
    let ends: BTreeSet<Moment> = machine.connections().map(|info| info.expires).collect();
    let (Some(&first), Some(&last)) = (ends.first(), ends.last()) else {
        panic!("nothing lives")
    };
    assert!(at(275) <= first && last <= at(305), "{first:?} to {last:?}");
    assert!(first < at(280) && at(300) < last, "{first:?} to {last:?}");
}

#[test]
fn a_whole_connection_in_use_is_cut_at_no_age() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    for now in [at(300), at(330), at(1_000)] {
        world.now = now;
        assert_eq!(world.timeout(0), 0, "at {now:?}");
    }
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::Lifetime));
}

#[test]
fn what_comes_home_at_the_end_of_its_life_does_not_stay() {
    // Nobody has looked at the time.
    for (now, returned) in [
        (at(300) - A_NANO, Returned::Kept),
        (at(300), Returned::Closed(CloseReason::Lifetime)),
    ] {
        let mut world = World::single(limits(), &[1]);
        let conn = world.open(0, want(0), Http1);
        world.now = now;
        assert_eq!(world.put(0, conn), returned, "at {now:?}");
    }
}

#[test]
fn shared_connections_take_no_new_streams_at_the_end_of_their_life() {
    let (mut world, conn) = one_of(10, limits());
    world.now = at(300);
    assert_eq!(world.timeout(0), 0, "its stream has its grace");
    let info = world.machine(0).info(conn).unwrap();
    assert_eq!(info.retired, Some(CloseReason::Lifetime));
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
}

#[test]
fn nothing_too_old_is_handed_out_even_if_nobody_looked_at_the_time() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    world.put(0, conn);
    world.now = at(60) - A_NANO;
    assert_eq!(world.hit(0, want(0)), conn);
    world.put(0, conn);
    world.now = world.now + secs(60);
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
    assert_eq!(world.reason(conn), Some(CloseReason::IdleTimeout));

    // In use it is not idle, however long; its lifetime ends all the same.
    let (mut world, conn) = one_of(10, limits());
    world.now = at(300) - A_NANO;
    assert_eq!(world.hit(0, want(0)), conn);
    world.now = at(300);
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
    let info = world.machine(0).info(conn).unwrap();
    assert_eq!(info.retired, Some(CloseReason::Lifetime));
}
