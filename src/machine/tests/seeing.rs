//! What a machine says of itself.

use super::*;

fn by_ip(world: &mut World) -> Vec<(IpAddr, IpCounts)> {
    let mut all = Vec::new();
    world.machine(0).each_ip(|ip, counts| all.push((ip, counts)));
    all
}

#[test]
fn it_says_whether_something_is_to_be_done() {
    let mut machine = Machine::new(limits(), 0);
    assert!(!machine.has_actions());
    assert!(matches!(machine.acquire(at(0), want(0)), Acquire::Wait(_)));
    assert!(machine.has_actions());
    assert_eq!(machine.poll_action(), Some(Action::Resolve));
    assert!(!machine.has_actions());
}

#[test]
fn an_address_is_counted_once_over_all_its_identities() {
    let mut world = World::single(limits(), &[1, 2]);
    let [rests, _, last] = [1, 1, 2].map(|last| world.open(0, pinned(last), Http1));
    let other = Want {
        identity: IdentityId(1),
        ..pinned(1)
    };
    let also_rests = world.open(0, other, Http1);
    world.put(0, rests);
    world.put(0, also_rests);
    let first = IpCounts {
        connections: 3,
        idle: 2,
        aside: 0,
        leases: 1,
    };
    let second = IpCounts {
        connections: 1,
        idle: 0,
        aside: 0,
        leases: 1,
    };
    assert_eq!(by_ip(&mut world), [(ip(1), first), (ip(2), second)]);
    world.release(0, last, Fate::Close(CloseReason::Failed));
    assert_eq!(by_ip(&mut world), [(ip(1), first)], "nothing stands to the other");
}

#[test]
fn it_tells_what_it_holds_against_an_address() {
    let mut world = World::single(limits(), &[1]);
    let until = world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Tls));
    assert_eq!(until, Some(at(1)));
    assert_eq!(world.machine(0).penalties().blocked(at(0), ip(1)), until);
    assert_eq!(
        world.with(0, |machine, now| machine.penalise(now, ip(2), Cause::Tcp)),
        None,
        "the business of the table that all origins share"
    );
    assert_eq!(world.machine(0).penalties().len(), 1);
}

#[test]
fn the_longest_idle_is_told_of_all_or_of_one_address() {
    let mut world = World::single(limits(), &[1, 2]);
    let [first, second] = [1, 2].map(|last| world.open(0, pinned(last), Http1));
    for (now, conn) in [(1, first), (2, second)] {
        world.now = at(now);
        world.put(0, conn);
    }
    let machine = world.machine(0);
    assert_eq!(machine.longest_idle(None), Some((at(1), first, ip(1))));
    assert_eq!(machine.longest_idle(Some(ip(2))), Some((at(2), second, ip(2))));
    assert_eq!(machine.longest_idle(Some(ip(3))), None);
}
