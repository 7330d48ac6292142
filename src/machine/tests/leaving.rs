//! How connections go: told to, or for want of room.

use super::*;

#[test]
fn a_status_closes_what_stands_to_that_address_and_nothing_else() {
    let mut world = World::single(limits(), &[1, 2]);
    let [there, elsewhere] = [1, 2].map(|last| world.open(0, pinned(last), Http1));
    world.put(0, there);
    world.put(0, elsewhere);
    world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Status));
    assert_eq!(
        (world.reason(there), world.reason(elsewhere)),
        (Some(CloseReason::Blocked), None)
    );
    world.machine(0).assert_invariants();
}

#[test]
fn evicting_all_closes_the_idle_at_once_and_the_leased_when_they_come_home() {
    let mut world = World::single(limits(), &[1]);
    let [idle, leased] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, idle);
    world.with(0, |machine, now| machine.evict_all(now, CloseReason::Discarded));
    assert_eq!(
        (world.reason(idle), world.reason(leased)),
        (Some(CloseReason::Discarded), None)
    );
    assert_eq!(world.put(0, leased), Returned::Closed(CloseReason::Discarded));
    world.open(0, want(0), Http1);
}

#[test]
fn a_lower_limit_closes_the_longest_idle_and_no_more_than_it_must() {
    let at_most = |max_per_host| Limits {
        max_per_host,
        ..limits()
    };
    let mut world = World::single(limits(), &[1]);
    let conns = [(); 3].map(|()| world.open(0, want(0), Http1));
    for (now, &conn) in (1..).zip(&conns) {
        world.now = at(now);
        world.put(0, conn);
    }
    world.with(0, |machine, now| machine.set_limits(now, at_most(2)));
    assert_eq!(
        conns.map(|conn| world.reason(conn)),
        [Some(CloseReason::OverLimit), None, None]
    );
    // Those in use go when they come home, as long as there are too many.
    let mut world = World::single(limits(), &[1]);
    let [first, second] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.with(0, |machine, now| machine.set_limits(now, at_most(1)));
    assert_eq!(world.put(0, first), Returned::Closed(CloseReason::OverLimit));
    assert_eq!(world.put(0, second), Returned::Kept);
}
