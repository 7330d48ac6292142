//! HTTP/2: streams, and when another connection is due.

use hotpool::machine::{
    Acquire, CloseReason, Fate, Growth, Limits, Protocol::Http1, Protocol::Http2, Returned,
};

use crate::rules::*;

fn roomy() -> Limits {
    Limits {
        h2_max_streams: 1_000,
        ..limits()
    }
}

/// A world with one HTTP/2 connection that allows `streams`, all places free.
fn with_streams(limits: Limits, ips: &[u8], streams: u32) -> (World, hotpool::machine::ConnId) {
    let mut world = World::single(limits, ips);
    let conn = world.open(0, want(0), Http2);
    world.with(0, |machine, now| machine.settings(now, conn, streams));
    world.put(0, conn);
    (world, conn)
}

#[test]
fn streams_are_reserved_before_they_are_opened() {
    let (mut world, conn) = with_streams(limits(), &[1], 2);
    // Leases count, though no stream has been opened on any.
    assert_eq!(world.hit(0, want(0)), conn);
    assert_eq!(world.hit(0, want(0)), conn);
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn full_connection_opens_a_second_up_to_the_cap() {
    let (mut world, first) = with_streams(
        Limits {
            max_per_host: 2,
            ..limits()
        },
        &[1],
        1,
    );
    assert_eq!(world.hit(0, want(0)), first);
    let second = world.open(0, want(0), Http2);
    world.with(0, |machine, now| machine.settings(now, second, 1));
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 0, "a third");
    world.with(0, |machine, now| machine.settings(now, second, 2));
    assert_eq!(world.take(getter), second);
}

#[test]
fn goaway_leaves_rotation_at_once_and_lets_streams_finish() {
    let (mut world, conn) = with_streams(limits(), &[1], 10);
    assert_eq!(world.hit(0, want(0)), conn);
    assert_eq!(world.hit(0, want(0)), conn);
    world.with(0, |machine, now| machine.going_away(now, conn));
    assert!(
        matches!(world.get(0, want(0)), Acquire::Wait(_)),
        "handed out after GOAWAY"
    );
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::GoAway));
    assert_eq!(world.reason(conn), None, "a stream was cut");
    world.put(0, conn);
    assert_eq!(world.reason(conn), Some(CloseReason::GoAway));
}

#[test]
fn lost_ping_closes() {
    let (mut world, conn) = with_streams(limits(), &[1], 10);
    assert_eq!(world.hit(0, want(0)), conn);
    world.with(0, |machine, now| machine.suspect(now, conn));
    world.with(0, |machine, now| {
        machine.died(now, conn, CloseReason::Unresponsive)
    });
    assert_eq!(
        world.closed,
        [(0, conn, CloseReason::Unresponsive)],
        "with a lease out"
    );
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::Unresponsive));
    assert_eq!(world.closed.len(), 1);
    assert!(world.machine(0).is_vacant());
}

#[test]
fn unresponsive_connection_becomes_suspect() {
    let (mut world, conn) = with_streams(limits(), &[1], 10);
    world.with(0, |machine, now| machine.suspect(now, conn));
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1, "who comes meanwhile gets another");
    world.with(0, |machine, now| machine.healthy(now, conn));
    assert_eq!(world.take(getter), conn);
    assert_eq!(world.hit(0, want(0)), conn);
}

#[test]
fn cold_h2_host_is_dialled_once() {
    // Both sides allow 1,000.
    let mut world = World::single(roomy(), &[1]);
    let getters: Vec<usize> = (0..1_000).map(|_| world.queue(0, want(0))).collect();
    assert_eq!(world.dials.len(), 1);
    let conn = world.dial_ok(0, Http2);
    let granted = |world: &World| {
        getters
            .iter()
            .filter(|&&getter| world.outcome(getter) == Outcome::Granted)
            .count()
    };
    assert_eq!(granted(&world), 100, "before SETTINGS");
    assert_eq!(world.dials.len(), 0, "the others wait for SETTINGS");
    world.with(0, |machine, now| machine.settings(now, conn, 1_000));
    assert_eq!((granted(&world), world.dials.len()), (1_000, 0));
    let counts = world.machine(0).counts();
    assert_eq!((counts.misses, counts.hits), (1, 999));

    // At the defaults: ten connections of 100.
    let mut world = World::single(limits(), &[1]);
    let getters: Vec<usize> = (0..1_000).map(|_| world.queue(0, want(0))).collect();
    while !world.dials.is_empty() {
        let conn = world.dial_ok(0, Http2);
        world.with(0, |machine, now| machine.settings(now, conn, 1_000));
    }
    assert_eq!(world.dialled, 10);
    assert!(
        getters
            .iter()
            .all(|&getter| world.outcome(getter) == Outcome::Granted)
    );
}

#[test]
fn cold_h1_host_fans_out_once_known() {
    let mut world = World::single(limits(), &[1]);
    let getters = [(); 4].map(|()| world.queue(0, want(0)));
    assert_eq!(world.dials.len(), 1);
    world.dial_ok(0, Http1);
    assert_eq!(world.dials.len(), 3, "one for each that still waits");
    for _ in 0..3 {
        world.dial_ok(0, Http1);
    }
    for getter in getters {
        world.take(getter);
    }
    // From now on it is known.
    for _ in 0..2 {
        world.queue(0, want(0));
    }
    assert_eq!(world.dials.len(), 2);
}

#[test]
fn broken_h2_is_not_cached() {
    let (mut world, conn) = with_streams(limits(), &[1], 10);
    assert_eq!(world.hit(0, want(0)), conn);
    assert_eq!(world.hit(0, want(0)), conn);
    let returned = world.release(0, conn, Fate::Close(CloseReason::Failed));
    assert_eq!(returned, Returned::Closed(CloseReason::Failed));
    assert!(
        matches!(world.get(0, want(0)), Acquire::Wait(_)),
        "the broken one again"
    );
    assert_eq!(world.put(0, conn), Returned::Closed(CloseReason::Failed));
    assert_eq!(world.reason(conn), Some(CloseReason::Failed));
}

#[test]
fn free_slots_are_counted() {
    let (mut world, conn) = with_streams(
        Limits {
            h2_max_streams: 5,
            ..limits()
        },
        &[1],
        3,
    );
    let room = |world: &mut World| {
        let info = world.machine(0).info(conn).expect("alive");
        info.capacity - info.leases
    };
    assert_eq!(room(&mut world), 3);
    world.hit(0, want(0));
    world.hit(0, want(0));
    assert_eq!(room(&mut world), 1);
    world.put(0, conn);
    assert_eq!(room(&mut world), 2);
    // More than we want of it, then fewer than are out: none is cut, none is added.
    world.with(0, |machine, now| machine.settings(now, conn, 50));
    assert_eq!(world.machine(0).info(conn).expect("alive").capacity, 5);
    world.hit(0, want(0));
    world.with(0, |machine, now| machine.settings(now, conn, 1));
    assert!(matches!(world.get(0, want(0)), Acquire::Wait(_)));
    assert_eq!(world.put(0, conn), Returned::Kept);
    assert_eq!(world.put(0, conn), Returned::Kept);
}

#[test]
fn reset_streams_that_still_count_hold_their_place() {
    let (mut world, conn) = with_streams(limits(), &[1], 3);
    // A storm of cancellations: no lease is out, but the peer may still count three streams.
    world.with(0, |machine, now| machine.streams_open(now, conn, 3));
    let getter = world.queue(0, want(0));
    world.with(0, |machine, now| machine.streams_open(now, conn, 2));
    assert_eq!(world.take(getter), conn);
}

#[test]
fn what_a_peer_allowed_holds_for_its_next_connection() {
    let (mut world, first) = with_streams(limits(), &[1], 1);
    assert_eq!(world.hit(0, want(0)), first);
    let second = world.open(0, want(0), Http2);
    assert_ne!(first, second);
    // Its SETTINGS have not come, and 100 are not what to expect.
    assert_eq!(world.machine(0).info(second).expect("alive").capacity, 1);
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1);
    world.with(0, |machine, now| machine.settings(now, second, 2));
    assert_eq!(world.take(getter), second);
}

#[test]
fn a_stream_without_a_lease_takes_a_place_of_its_own() {
    let (mut world, conn) = with_streams(limits(), &[1], 3);
    assert_eq!(world.hit(0, want(0)), conn);
    assert_eq!(world.hit(0, want(0)), conn);
    // One comes home before its stream has ended; the other has yet to open its own.
    world.with(0, |machine, _| machine.streams_left(conn, 1));
    world.put(0, conn);
    assert_eq!(world.hit(0, want(0)), conn);
    let getter = world.queue(0, want(0));
    world.with(0, |machine, now| machine.streams_open(now, conn, 0));
    assert_eq!(world.take(getter), conn);
}

#[test]
fn growth_decides_on_a_second_connection() {
    for (growth, ips, dials) in [
        (Growth::Single, &[1, 2][..], 0),
        (Growth::PerIp, &[1][..], 1),
        (Growth::PerIp, &[1, 2][..], 1),
        (Growth::OnSaturation, &[1][..], 1),
    ] {
        let (mut world, conn) = with_streams(Limits { growth, ..limits() }, ips, 1);
        assert_eq!(world.hit(0, want(0)), conn);
        let getter = world.queue(0, want(0));
        assert_eq!(world.dials.len(), dials, "{growth:?} over {ips:?}");
        let elsewhere = |at: Option<std::net::IpAddr>| at == Some(ip(2));
        assert!(
            growth != Growth::PerIp || ips.len() == 1 || world.dials.iter().all(|dial| elsewhere(dial.at))
        );
        // Once it is gone, every growth begins anew.
        world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
        assert_eq!(world.dials.len(), 1, "{growth:?} over {ips:?}");
        world.dial_ok(0, Http2);
        world.take(getter);
    }
}

#[test]
fn growth_by_address_covers_every_address() {
    let (mut world, conn) = with_streams(
        Limits {
            growth: Growth::PerIp,
            ..limits()
        },
        &[1, 2, 3],
        100,
    );
    assert_eq!(world.hit(0, want(0)), conn);
    assert_eq!(
        world.dials.len(),
        2,
        "the two that have none, though one connection would do"
    );
    world.dial_ok(0, Http2);
    world.dial_ok(0, Http2);
    let (second, third) = (world.hit(0, want(0)), world.hit(0, want(0)));
    assert!(
        conn != second && second != third && third != conn,
        "each address takes its part"
    );
    assert_eq!(world.dials.len(), 0);
}
