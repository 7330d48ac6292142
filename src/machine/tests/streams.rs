//! HTTP/2: places, doubts, and how old a connection is after them.

use super::*;

fn idle_since(world: &mut World, conn: ConnId) -> Option<Moment> {
    world.machine(0).info(conn).and_then(|info| info.idle_since)
}

#[test]
fn a_suspect_connection_waits_for_a_sign_of_life_and_is_as_old_as_before() {
    let (mut world, conn) = one_of(10, limits());
    world.put(0, conn);
    world.now = at(5);
    world.with(0, |machine, now| machine.suspect(now, conn));
    assert_eq!(world.machine(0).try_acquire(at(5), want(0)), None);
    world.now = at(10);
    world.with(0, |machine, now| machine.healthy(now, conn));
    assert_eq!(idle_since(&mut world, conn), Some(at(0)));
    assert_eq!(world.hit(0, want(0)), conn);
}

#[test]
fn a_sign_of_life_that_comes_too_late_for_an_idle_connection_is_not_heard() {
    let (mut world, conn) = one_of(10, limits());
    world.put(0, conn);
    world.with(0, |machine, now| machine.suspect(now, conn));
    world.now = at(60);
    world.with(0, |machine, now| machine.healthy(now, conn));
    assert_eq!(world.reason(conn), Some(CloseReason::IdleTimeout));
    // One in use is not idle.
    let (mut world, conn) = one_of(10, limits());
    world.with(0, |machine, now| machine.suspect(now, conn));
    world.now = at(60);
    world.with(0, |machine, now| machine.healthy(now, conn));
    assert_eq!(world.hit(0, want(0)), conn);
}

#[test]
fn settings_are_no_use_of_a_connection_and_a_stream_that_ends_is() {
    let (mut world, conn) = one_of(1, limits());
    world.put(0, conn);
    world.now = at(5);
    world.with(0, |machine, now| machine.settings(now, conn, 1));
    assert_eq!(idle_since(&mut world, conn), Some(at(0)));
    world.with(0, |machine, now| machine.streams_open(now, conn, 1));
    world.now = at(9);
    world.with(0, |machine, now| machine.streams_open(now, conn, 0));
    assert_eq!(idle_since(&mut world, conn), Some(at(9)));
}

#[test]
fn word_of_http2_does_not_concern_http1() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    world.with(0, |machine, now| {
        machine.settings(now, conn, 7);
        machine.streams_open(now, conn, 7);
    });
    assert_eq!(world.machine(0).info(conn).unwrap().capacity, 1);
    world.put(0, conn);
    world.with(0, |machine, now| machine.suspect(now, conn));
    assert_eq!(world.hit(0, want(0)), conn);
}

#[test]
fn a_look_that_ends_well_leaves_no_promise_behind() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    world.put(0, conn);
    assert!(world.with(0, |machine, _| machine.inspect(conn)));
    world.with(0, |machine, now| machine.inspected(now, conn, Ok(())));
    assert_eq!(world.hit(0, want(0)), conn);
    world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1, "it promises nothing to the next one");
    world.machine(0).assert_invariants();
}

#[test]
fn random_choice_prefers_no_address() {
    let random = Limits {
        selection: Selection::Random,
        ..limits()
    };
    let mut world = World::single(random, &[1, 2, 3]);
    let conns = [1, 2, 3].map(|last| world.open(0, pinned(last), Http1));
    for conn in conns {
        world.put(0, conn);
    }
    let mut picked = [0; 3];
    for _ in 0..300 {
        let conn = world.hit(0, want(0));
        world.put(0, conn);
        for (count, one) in picked.iter_mut().zip(conns) {
            *count += u32::from(one == conn);
        }
    }
    assert!(picked.iter().all(|count| (75..125).contains(count)), "{picked:?}");
}

#[test]
fn a_protocol_that_was_required_is_the_only_one_that_serves() {
    let requires = |require| Want { require, ..want(0) };
    for (protocol, right, wrong) in [
        (Http1, Require::Http1, Require::Http2),
        (Http2, Require::Http2, Require::Http1),
    ] {
        let serves = |require| requires(require).accepts(IdentityId(0), ip(1), protocol);
        assert!(serves(right) && serves(Require::Any) && !serves(wrong));
    }
    let accepts = |want: Want| want.accepts(IdentityId(0), ip(1), Http1);
    assert!(accepts(pinned(1)) && !accepts(pinned(2)) && !accepts(want(1)));
}
