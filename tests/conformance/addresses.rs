//! Addresses: which are tried, avoided, and drained.

use hotpool::answers::{Table, Terms};
use hotpool::clock::Moment;
use hotpool::machine::{
    Acquire, AllBlocked, Cause, CloseReason, Limits, Machine, Penalties, PenaltyTerms, Protocol::Http1,
    Refusal, Returned, Screen, Selection, Want,
};
use hotpool::owner::Rules;
use hotpool::{AccessPolicy, AddressPolicy, Answer, ResolveError, Scope};

use crate::rules::*;

#[test]
fn failed_address_is_tried_last_not_never() {
    let mut world = World::single(limits(), &[1, 2]);
    world.queue(0, want(0));
    assert_eq!(world.dials[0].order.candidates, [ip(1), ip(2)]);
    world.dial_fails(0, Cause::Tls);
    world.queue(0, want(0));
    assert_eq!(world.dials[0].order.candidates, [ip(2), ip(1)]);
    world.dial_fails(0, Cause::Protocol);

    // Both are blocked now. By policy that is an error, or one is probed, one dial at a time.
    let until = world.now + secs(1);
    assert_eq!(world.get(0, want(0)), Acquire::Blocked { until });
    let probing = Limits {
        all_blocked: AllBlocked::ProbeLeastBad,
        ..limits()
    };
    world.with(0, |machine, now| machine.set_limits(now, probing));
    let probed = world.queue(0, want(0));
    let other = world.queue(0, want(1));
    assert_eq!(world.dials.len(), 1, "two probes at once");
    assert!(world.dials[0].order.probe);
    assert_eq!(world.dials[0].order.candidates, [ip(1)]);
    world.dial_ok(0, Http1);
    world.take(probed);
    // It has proved itself: who came meanwhile is dialled for there.
    assert_eq!(world.dials[0].order.candidates, [ip(1), ip(2)]);
    world.dial_ok(0, Http1);
    world.take(other);
}

#[test]
fn penalty_expires() {
    let terms = PenaltyTerms {
        base: secs(1),
        max: secs(8),
        status: secs(100),
        entries: 10,
        validated: false,
    };
    let mut table = Penalties::new(terms);
    let nano = std::time::Duration::from_nanos(1);
    let mut now = Moment::ZERO;
    // It doubles from one to the next, up to its maximum.
    for span in [1, 2, 4, 8, 8] {
        let until = now + secs(span);
        assert_eq!(table.strike(now, ip(1), Cause::Tcp), Some(until));
        // What fails at the same time says nothing new.
        assert_eq!(table.strike(now, ip(1), Cause::Tcp), Some(until));
        assert_eq!(table.blocked(until - nano, ip(1)), Some(until));
        assert_eq!(table.blocked(until, ip(1)), None);
        now = until;
    }
    // A quiet time as long as the longest penalty forgets it.
    now = now + secs(8);
    assert_eq!(table.strike(now, ip(1), Cause::Tcp), Some(now + secs(1)));
    table.absolve(ip(1));
    assert_eq!(table.blocked(now, ip(1)), None);
    assert_eq!(
        table.strike(now, ip(1), Cause::Local),
        None,
        "a local fault blames nobody"
    );
    let mut candidates = vec![ip(1), ip(2)];
    assert_eq!(table.screen(now, AllBlocked::Fail, &mut candidates), Screen::Go);
    assert_eq!(candidates, [ip(1), ip(2)]);
}

#[test]
fn vanished_ip_drains_after_two_misses_and_failed_resolution_drains_nothing() {
    let mut world = World::single(limits(), &[1, 2]);
    let [leased, idle] = [(); 2].map(|()| world.open(0, want(0), Http1));
    let at = |world: &mut World, conn| world.machine(0).info(conn).expect("alive").ip;
    assert_eq!((at(&mut world, leased), at(&mut world, idle)), (ip(1), ip(2)));
    let third = world.open(
        0,
        Want {
            pin: Some(ip(1)),
            ..want(0)
        },
        Http1,
    );
    world.put(0, third);
    world.put(0, idle);

    world.resolve(0, &[2]);
    assert_eq!(world.closed, [], "the first miss");
    world.with(0, |machine, now| machine.resolve_failed(now));
    world.with(0, |machine, now| machine.resolved(now, &[]));
    assert_eq!(world.closed, [], "a failed resolution is no miss");
    world.resolve(0, &[1, 2]);
    world.resolve(0, &[2]);
    assert_eq!(world.closed, [], "not in a row");
    world.resolve(0, &[2]);
    assert_eq!(world.closed, [(0, third, CloseReason::AddressGone)]);
    assert_eq!(world.put(0, leased), Returned::Closed(CloseReason::AddressGone));
    assert_eq!(world.idle(0), 1);
    world.hit(0, want(0));
    world.queue(0, want(0));
    assert_eq!(world.dials[0].order.candidates, [ip(2)]);
}

/// Of a pool that asks over each connection before anybody has it.
fn validated() -> Limits {
    let penalty = PenaltyTerms {
        validated: true,
        ..PenaltyTerms::default()
    };
    Limits { penalty, ..limits() }
}

#[test]
fn status_403_blocks_and_200_on_recheck_restores_into_the_pool() {
    let mut world = World::single(validated(), &[1]);
    let [leased, idle] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, idle);
    let until = world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Status));
    assert_eq!(until, Some(world.now + secs(15 * 60)));
    assert_eq!(world.reason(idle), Some(CloseReason::Blocked));
    assert_eq!(world.put(0, leased), Returned::Closed(CloseReason::Blocked));
    assert!(matches!(world.get(0, want(0)), Acquire::Blocked { .. }));
    // The recheck dials by itself; what it proves is everybody's.
    world.with(0, |machine, now| machine.warm(now, want(0)));
    let proven = world.dial_ok(0, Http1);
    assert_eq!(world.hit(0, want(0)), proven);
    world.open(0, want(0), Http1);
}

#[test]
fn transport_error_only_backs_off() {
    let mut world = World::single(limits(), &[1, 2]);
    let conn = world.open(
        0,
        Want {
            pin: Some(ip(1)),
            ..want(0)
        },
        Http1,
    );
    world.put(0, conn);
    world.queue(
        0,
        Want {
            pin: Some(ip(1)),
            ..want(1)
        },
    );
    world.dial_fails(0, Cause::Tls);
    // What already stands to that address is not touched.
    assert_eq!(world.hit(0, want(0)), conn);
    assert_eq!(world.put(0, conn), Returned::Kept);
    assert_eq!(world.closed, []);
}

#[test]
fn two_hosts_on_one_ip_coexist() {
    let mut world = World::new(2, limits(), plenty());
    world.resolve(0, &[1]);
    world.resolve(1, &[1]);
    let [first, second] = [0, 1].map(|origin| world.open(origin, want(0), Http1));
    world.put(0, first);
    world.put(1, second);
    assert_eq!(world.ledger.used(ip(1)), 2);
    // What one origin holds against the address is not the other's business.
    world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Status));
    assert_eq!((world.idle(0), world.idle(1)), (0, 1));
    assert_eq!(world.hit(1, want(0)), second);
    assert_eq!(world.ledger.used(ip(1)), 1);
}

#[test]
fn several_connections_on_one_ip() {
    let mut world = World::single(limits(), &[1]);
    let conns = [(); 3].map(|()| world.open(0, want(0), Http1));
    for conn in conns {
        world.put(0, conn);
    }
    let mut listed = Vec::new();
    world
        .machine(0)
        .each_ip(|ip, counts| listed.push((ip, counts.connections, counts.idle)));
    assert_eq!(listed, [(ip(1), 3, 3)]);
    assert_eq!(world.ledger.used(ip(1)), 3);
}

#[test]
fn dials_at_once_are_spread_over_the_addresses() {
    let firsts = |selection| {
        let mut world = World::single(
            Limits {
                selection,
                ..limits()
            },
            &[1, 2, 3],
        );
        let conn = world.open(
            0,
            Want {
                pin: Some(ip(2)),
                ..want(0)
            },
            Http1,
        );
        for _ in 0..3 {
            world.queue(0, want(0));
        }
        assert_eq!(world.reason(conn), None);
        world
            .dials
            .iter()
            .map(|dial| dial.order.candidates[0])
            .collect::<Vec<_>>()
    };
    assert_eq!(firsts(Selection::Spread), [ip(1), ip(3), ip(1)]);
    assert_eq!(firsts(Selection::PreferHot), [ip(2), ip(2), ip(2)]);
    assert_eq!(firsts(Selection::RoundRobin), [ip(1), ip(2), ip(3)]);
    assert_eq!(firsts(Selection::Random).len(), 3);
}

#[test]
fn a_name_without_an_address_refuses_who_waits_and_asks_once() {
    let mut world = World::new(1, limits(), plenty());
    let [first, second] = [(); 2].map(|()| world.queue(0, want(0)));
    let pinned = world.queue(
        0,
        Want {
            pin: Some(ip(9)),
            ..want(0)
        },
    );
    assert!(world.resolving.remove(&0));
    world.with(0, |machine, now| machine.resolve_failed(now));
    for getter in [first, second] {
        assert_eq!(world.outcome(getter), Outcome::Refused(Refusal::ResolveFailed));
    }
    assert!(world.resolving.is_empty(), "nobody waits for it");
    world.dial_ok(0, Http1);
    world.take(pinned);
    let third = world.queue(0, want(1));
    assert!(world.resolving.remove(&0));
    world.with(0, |machine, now| machine.resolved(now, &[]));
    assert_eq!(world.outcome(third), Outcome::Refused(Refusal::NoAddress));
}

fn allows(policy: &AddressPolicy, address: &str) -> bool {
    policy.allows(address.parse().expect("an address"))
}

#[test]
fn blocked_wins_over_allowed() {
    // In whichever order they are named, and whatever is allowed besides.
    for policy in [
        AddressPolicy::allow_all(),
        AddressPolicy::deny_private(),
        AddressPolicy::deny_all(),
    ] {
        let allow = |policy: AddressPolicy| policy.allow("192.0.2.0/24").unwrap();
        let deny = |policy: AddressPolicy| policy.deny("192.0.2.128/25").unwrap();
        for policy in [deny(allow(policy.clone())), allow(deny(policy.clone()))] {
            assert!(allows(&policy, "192.0.2.127"), "{policy:?}");
            assert!(!allows(&policy, "192.0.2.128"), "{policy:?}");
        }
    }
}

#[test]
fn allowlist_only_mode() {
    let policy = AddressPolicy::deny_all().allow("192.0.2.0/24").unwrap();
    let policy = policy.allow("2001:db8::/32").unwrap();
    for (address, allowed) in [
        ("192.0.2.1", true),
        ("::ffff:192.0.2.1", true),
        ("2001:db8::1", true),
        ("192.0.3.1", false),
        ("2001:db9::1", false),
        ("127.0.0.1", false),
    ] {
        assert_eq!(allows(&policy, address), allowed, "{address}");
    }
}

#[test]
fn an_address_that_stands_for_another_is_judged_as_both() {
    let policy = AddressPolicy::allow_all().deny("10.0.0.0/8").unwrap();
    let policy = policy.deny("64:ff9b::/96").unwrap();
    for form in [
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::b00:1",
        "::10.0.0.1",
        "2002:a00:1::5",
    ] {
        assert!(!allows(&policy, form), "{form}");
    }
    for other in ["11.0.0.1", "2002:b00:1::5", "2001:db8::a00:1"] {
        assert!(allows(&policy, other), "{other}");
    }
}

/// As many as there may be, and then one for each that is over.
#[test]
fn a_block_that_is_over_makes_room_for_another() {
    const MOST: u32 = 10_000;
    let mut rules = Rules::of(AccessPolicy::OpenUnlessBlocked);
    let nth = |n: u32| Scope::from(std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
    let block = |rules: &mut Rules, now: u32, n: u32, until: u32| {
        rules.block(at(now.into()), nth(n), at(until.into())).is_ok()
    };
    for n in 0..MOST {
        assert!(block(&mut rules, 0, n, 100 + n));
    }
    assert!(!block(&mut rules, 0, MOST, 100), "full");
    for n in 0..MOST {
        // One is over, and another takes its place; that is taken back, and comes again.
        let now = 100 + n;
        for _ in 0..2 {
            assert!(block(&mut rules, now, MOST + n, 2 * MOST));
            assert!(rules.unblock(at(now.into()), &nth(MOST + n)));
        }
        assert!(block(&mut rules, now, MOST + n, 2 * MOST));
    }
}

/// For this address.
fn pin(last: u8) -> Want {
    Want {
        pin: Some(ip(last)),
        ..want(0)
    }
}

/// An address that two answers left out is not dialled to see whether it is blocked yet: what came of that would be lent to everybody.
#[test]
fn what_a_name_has_lost_is_not_tried() {
    let at = pin;
    for misses in 0..=2 {
        let mut world = World::single(limits(), &[1, 2]);
        world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Protocol));
        for _ in 0..misses {
            world.resolve(0, &[2]);
        }
        let tried = world.with(0, |machine, now| machine.recheck(now, at(1)));
        assert_eq!(tried.is_some(), misses < 2, "{misses}");
        let other = world.with(0, |machine, now| machine.recheck(now, at(2)));
        assert!(other.is_some(), "{misses}");
        // Nor one that only a call named.
        let named = world.with(0, |machine, now| machine.recheck(now, at(9)));
        assert!(named.is_none(), "{misses}");
    }
    // A host that knows no name's addresses was only ever asked for where a call said.
    let mut world = World::single(limits(), &[]);
    let tried = world.with(0, |machine, now| machine.recheck(now, at(1)));
    assert!(tried.is_some());
}

/// Each dress of an IPv4 address, and each length of a network of such.
#[test]
fn a_network_means_the_ipv4_addresses_within_it_wherever_they_stand() {
    let table = [
        ("::ffff:1.2.3.4/128", "1.2.3.4"),
        ("::ffff:1.2.3.4/112", "1.2.0.0/16"),
        ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ("::ffff:0:1.2.3.4/112", "1.2.0.0/16"),
        ("64:ff9b::1.2.3.4/128", "1.2.3.4"),
        ("64:ff9b::1.2.3.4/112", "1.2.0.0/16"),
        ("64:ff9b::/96", "64:ff9b::/96"),
        ("::1.2.3.4/112", "1.2.0.0/16"),
        ("2002:102:304::5", "1.2.3.4"),
        ("2002:102:304::/112", "1.2.3.4"),
        ("2002:102:304::/97", "1.2.3.4"),
        ("2002:102:304::/96", "1.2.3.4"),
        ("2002:102:304::/64", "1.2.3.4"),
        ("2002:102:304::/48", "1.2.3.4"),
        ("2002:102:304::/47", "1.2.3.4/31"),
        ("2002:102::/32", "1.2.0.0/16"),
        ("2002:102::/17", "0.0.0.0/1"),
        ("2002::/16", "2002::/16"),
        ("2002::/15", "2002::/15"),
        ("2001:db8::/112", "2001:db8::/112"),
    ];
    for (text, meant) in table {
        assert_eq!(Scope::network(text).unwrap().to_string(), meant, "{text}");
    }
    let policy = AddressPolicy::deny_private().allow("2002:a00:1::/112").unwrap();
    for (address, allowed) in [
        ("10.0.0.1", true),
        ("2002:a00:1:ffff::7", true),
        ("10.0.99.99", false),
        ("2002:a00:6363::1", false),
    ] {
        assert_eq!(allows(&policy, address), allowed, "{address}");
    }
    let policy = AddressPolicy::allow_all().deny("2002:102:304::/64").unwrap();
    for (address, allowed) in [("1.2.3.4", false), ("2002:102:304::7", false), ("1.2.3.5", true)] {
        assert_eq!(allows(&policy, address), allowed, "{address}");
    }
}

const TERMS: Terms = Terms {
    refresh: secs(1800),
    stale: secs(3600),
};

fn at(seconds: u64) -> Moment {
    Moment::ZERO + secs(seconds)
}

fn answer(addresses: &[std::net::IpAddr], ttl: u64) -> Result<Answer, ResolveError> {
    Ok(Answer {
        addresses: addresses.to_vec(),
        ttl: secs(ttl),
    })
}

#[test]
fn so_many_addresses_of_a_name_are_used_and_no_more() {
    let many: Vec<_> = (0..1000_u32)
        .map(|n| std::net::Ipv4Addr::from(0xc000_0200 + n).into())
        .collect();
    let found = Table::default().answered(at(0), TERMS, "a.test", &[answer(&many, 60)]);
    assert_eq!(found.unwrap().addresses, &many[..32]);
}

#[test]
fn a_failure_is_not_asked_about_again_at_once() {
    let mut table = Table::default();
    let ttl = secs(9);
    for (failure, span) in [(ResolveError::NotFound { ttl }, 9), (ResolveError::Timeout, 1)] {
        let heard = table.answered(at(0), TERMS, "a.test", &[Err(failure.clone())]);
        assert_eq!(heard, Err(failure.clone()));
        assert_eq!(table.remembered(at(span - 1), "a.test"), Some(Err(failure)));
        assert_eq!(table.remembered(at(span), "a.test"), None);
    }
}

#[test]
fn the_stale_serves_while_name_servers_fail_and_only_so_long() {
    let mut table = Table::default();
    let failed = || Err(ResolveError::Failed("SERVFAIL".into()));
    table
        .answered(at(0), TERMS, "a.test", &[answer(&[ip(1)], 60)])
        .unwrap();
    let stale = table.answered(at(3_659), TERMS, "a.test", &[failed()]).unwrap();
    assert_eq!((stale.addresses, stale.usable_until), (vec![ip(1)], at(3_660)));
    assert!(table.answered(at(3_660), TERMS, "a.test", &[failed()]).is_err());
    // That there is no such name is an answer: nothing older serves.
    table
        .answered(at(4_000), TERMS, "a.test", &[answer(&[ip(1)], 60)])
        .unwrap();
    let gone = Err(ResolveError::NotFound { ttl: secs(5) });
    assert!(table.answered(at(4_001), TERMS, "a.test", &[gone]).is_err());
    assert!(table.answered(at(4_010), TERMS, "a.test", &[failed()]).is_err());
}

/// What is kept of a family that fails is no answer for it: whom it leaves out has not been missed once more.
#[test]
fn what_is_kept_of_a_family_misses_nobody() {
    let [six, gone]: [std::net::IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().unwrap());
    let mut table = Table::default();
    let mut learn = |now, parts: &[_]| table.answered(now, TERMS, "a.test", parts).unwrap();
    let whole = learn(at(0), &[answer(&[six], 60), answer(&[ip(1)], 60)]);
    assert!(whole.concerns(gone) && whole.concerns(ip(2)));
    let failed = Err(ResolveError::Failed("SERVFAIL".into()));
    let in_part = learn(at(60), &[failed, answer(&[ip(1)], 60)]);
    assert_eq!(in_part.addresses, [ip(1), six]);
    assert_eq!((in_part.concerns(gone), in_part.concerns(ip(2))), (false, true));
}

#[test]
fn an_answer_that_is_too_old_is_not_dialled() {
    let mut world = World::single(limits(), &[1]);
    world.with(0, |machine, now| machine.trust_addresses_until(now, at(60)));
    world.now = at(60);
    let getter = world.queue(0, want(0));
    assert_eq!(world.dials.len(), 0);
    assert!(world.resolving.remove(&0), "it is asked for anew");
    world.with(0, |machine, now| machine.trust_addresses_until(now, at(120)));
    world.resolve(0, &[2]);
    assert_eq!(
        world.dials[0].order.candidates,
        [ip(2)],
        "the old one was not in the new answer, and the old answer is over"
    );
    world.dial_ok(0, Http1);
    world.take(getter);
}

/// What only an older answer knew is kept for what stands there, and not dialled any more once nobody speaks for it.
#[test]
fn an_answer_in_part_keeps_the_rest_and_dials_nothing_that_it_does_not_know() {
    let mut world = World::single(limits(), &[1, 2]);
    let [first, second] = [(); 2].map(|()| world.open(0, want(0), Http1));
    world.put(0, second);
    for _ in 0..3 {
        world.with(0, |machine, now| {
            machine.resolved_in_part(now, &[ip(3)], |other| other == ip(3));
        });
    }
    assert_eq!(world.closed, []);
    assert_eq!(world.hit(0, want(0)), second);
    assert_eq!(world.put(0, first), Returned::Kept);
    world.hit(0, want(0));
    world.queue(0, want(0));
    assert_eq!(world.dials[0].order.candidates, [ip(3)]);
    world.dial_ok(0, Http1);
    world.with(0, |machine, now| machine.joined(now, &[ip(1)]));
    world.queue(0, want(1));
    assert_eq!(world.dials[0].order.candidates, [ip(3), ip(1)], "known again");
}

/// A block that comes while a dial is under way is not lifted by its connection, which serves whoever waits and goes.
#[test]
fn a_block_is_not_lifted_by_what_was_dialled_before_it() {
    let mut world = World::single(validated(), &[1]);
    let blocked = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    world.now = at(1);
    world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Status));
    assert_eq!(world.put(0, blocked), Returned::Closed(CloseReason::Blocked));
    world.now = at(2);
    let late = world.dial_ok(0, Http1);
    assert_eq!(world.take(getter), late);
    assert_eq!(world.put(0, late), Returned::Closed(CloseReason::Blocked));
    assert!(matches!(world.get(0, want(0)), Acquire::Blocked { .. }));
    // What is dialled after it, to see whether it still holds, lifts it.
    world.with(0, |machine, now| machine.warm(now, want(0)));
    let proven = world.dial_ok(0, Http1);
    assert_eq!(world.hit(0, want(0)), proven);
}

/// Where nobody asks over a connection, one that comes about lifts nothing that its address told us, whoever dialled it, and nobody does to find out.
#[test]
fn a_handshake_is_no_answer_to_a_403() {
    for all_blocked in [AllBlocked::Fail, AllBlocked::ProbeLeastBad] {
        let mut world = World::single(
            Limits {
                all_blocked,
                ..limits()
            },
            &[1],
        );
        let told = world.open(0, want(0), Http1);
        world.with(0, |machine, now| machine.penalise(now, ip(1), Cause::Status));
        world.put(0, told);
        let (now, until) = (world.now, world.now + secs(900));
        assert_eq!(world.machine(0).unwelcome(now, &want(0)), Some(until));
        // Nor is one tried that wants to be left alone.
        world.with(0, |machine, now| {
            machine.penalise_for(now, ip(2), Cause::Protocol, secs(700))
        });
        assert_eq!(world.machine(0).penalties().doubtful(now).count(), 0);
        assert_eq!(world.with(0, |machine, now| machine.warm(now, want(0))), None);
        let getter = world.get(0, want(0));
        assert!(!matches!(getter, Acquire::Lease(_)));
        assert_eq!(world.dials.len(), 0, "{all_blocked:?}");
        // Whoever is told to try all the same brings nothing to keep.
        world.with(0, |machine, now| machine.recheck(now, want(0)));
        let brought = world.dial_ok(0, Http1);
        assert_eq!(world.reason(brought), Some(CloseReason::Blocked));
        assert_eq!(world.machine(0).penalties().told(now, ip(1)), Some(until));
        // It ends by its time, or by the word of somebody who was answered.
        let mut later = world.now + secs(900);
        if all_blocked == AllBlocked::Fail {
            world.with(0, |machine, now| machine.absolve(now, ip(1)));
            later = world.now;
        }
        world.now = later;
        world.open(0, want(0), Http1);
    }
}

/// Whoever waits while the only address is probed is dialled for as soon as a block ends, though the probe hangs.
#[test]
fn the_end_of_a_block_does_not_wait_for_a_probe() {
    let mut world = World::single(
        Limits {
            all_blocked: AllBlocked::ProbeLeastBad,
            ..limits()
        },
        &[1],
    );
    let conn = world.open(0, want(0), Http1); // it speaks HTTP/1.1: one dial for each who waits
    let until = at(10);
    world.with(0, |machine, now| machine.shun(now, ip(1), until));
    world.queue(0, want(0));
    world.queue(0, want(0));
    assert_eq!(world.dials.len(), 1, "the probe");
    world.advance(until.since(world.now));
    assert_eq!(world.dials.len(), 2);
    assert!(!world.dials[1].order.probe);
    world.put(0, conn);
}

/// What warms goes where nothing is held against, as long as there is such an address.
#[test]
fn warming_heeds_a_block_where_another_address_stands() {
    let mut world = World::single(limits(), &[1, 2, 3]);
    world.with(0, |machine, now| {
        machine.penalise(now, ip(1), Cause::Status);
        machine.penalise(now, ip(2), Cause::Tls);
        machine.warm(now, want(0));
    });
    assert_eq!(world.dials[0].order.candidates, [ip(3), ip(2)]);
}

/// As a block of the origin's own does, whichever table it stands in.
#[test]
fn a_pool_wide_block_refuses_everybody_who_has_nothing_else_to_hope_for() {
    let two = Limits {
        max_per_host: 2,
        ..limits()
    };
    for hope in [true, false] {
        let mut world = World::single(two.clone(), &[1]);
        // Known to speak HTTP/1.1: a dial that merely failed would answer one.
        let conn = world.open(0, want(0), Http1);
        if !hope {
            world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
        }
        let getters = [(); 3].map(|()| world.queue(0, want(0)));
        for dial in std::mem::take(&mut world.dials) {
            world.ledger.attempt_over(ip(1));
            world.ledger.unconnected();
            world.with(0, |machine, now| {
                machine.dial_blocked(now, dial.order.dial, &[(ip(1), at(7))]);
            });
        }
        let refused = Outcome::Refused(Refusal::Blocked { until: at(7) });
        if !hope {
            assert_eq!(getters.map(|getter| world.outcome(getter)), [refused; 3]);
            continue;
        }
        assert_eq!(world.dials.len(), 0, "nothing is dialled meanwhile");
        assert_eq!(world.put(0, conn), Returned::Kept);
        assert_eq!(world.take(getters[0]), conn, "that is what it hoped for");
        // The end of the block is looked for.
        world.advance(at(7).since(world.now));
        assert_eq!(world.dials.len(), 1);
        // Blocked again, and the hope goes, too.
        let dial = world.dials.remove(0);
        world.ledger.attempt_over(ip(1));
        world.ledger.unconnected();
        world.with(0, |machine, now| {
            machine.dial_blocked(now, dial.order.dial, &[(ip(1), at(9))]);
        });
        world.with(0, |machine, now| machine.died(now, conn, CloseReason::PeerClosed));
        let refused = Outcome::Refused(Refusal::Blocked { until: at(9) });
        assert_eq!(
            [getters[1], getters[2]].map(|getter| world.outcome(getter)),
            [refused; 2]
        );
    }
}

/// The pool forbids the first dial of origin 0 until then.
fn forbid(world: &mut World, until: Moment) {
    let dial = world.dials.remove(0);
    if let Some(ip) = dial.at {
        world.ledger.attempt_over(ip);
    }
    world.ledger.unconnected();
    world.with(0, |machine, now| {
        let these: Vec<_> = dial.order.candidates.iter().map(|&ip| (ip, until)).collect();
        machine.dial_blocked(now, dial.order.dial, &these);
    });
}

/// Where its addresses are past their time, once for all who wait: what is new is dialled, and by any other answer they are refused.
#[test]
fn what_the_pool_forbids_is_asked_for_again_once() {
    for answer in [Some(&[1][..]), Some(&[1, 2]), Some(&[]), None] {
        let mut world = World::single(limits(), &[1]);
        world.machine(0).set_fresh_until(at(10));
        world.now = at(20);
        let getters = [(); 2].map(|()| world.queue(0, want(0)));
        forbid(&mut world, at(50));
        assert!(world.resolving.contains(&0), "{answer:?}");
        assert_eq!(getters.map(|getter| world.outcome(getter)), [Outcome::Waiting; 2]);
        // One that says nothing new yet.
        world.with(0, |machine, now| machine.joined(now, &[ip(1)]));
        assert_eq!(getters.map(|getter| world.outcome(getter)), [Outcome::Waiting; 2]);
        world.resolving.clear();
        match answer {
            Some([]) => world.with(0, |machine, now| machine.resolved(now, &[])),
            Some(ips) => world.resolve(0, ips),
            None => world.with(0, |machine, now| machine.resolve_failed(now)),
        }
        assert!(world.resolving.is_empty(), "{answer:?} is the answer");
        if answer == Some(&[1, 2]) {
            assert!(world.dials[0].order.candidates.contains(&ip(2)));
            forbid(&mut world, at(60));
        }
        let until = if answer == Some(&[1, 2]) { at(60) } else { at(50) };
        let refused = Outcome::Refused(Refusal::Blocked { until });
        assert_eq!(
            getters.map(|getter| world.outcome(getter)),
            [refused; 2],
            "{answer:?}"
        );
        assert!(world.resolving.is_empty(), "they have had their answer");
        // Who comes then asks anew, as the addresses are still past their time; but not where they are not, or where one is named.
        for (want, fresh, asks) in [
            (want(0), at(10), true),
            (want(0), at(99), false),
            (pin(1), at(10), false),
        ] {
            world.machine(0).set_fresh_until(fresh);
            let next = world.queue(0, want);
            forbid(&mut world, at(70));
            assert_eq!(world.resolving.contains(&0), asks, "{answer:?}, {want:?}");
            world.resolving.clear();
            world.with(0, |machine, now| machine.resolve_failed(now));
            let refused = Outcome::Refused(Refusal::Blocked { until: at(70) });
            assert_eq!(world.outcome(next), refused);
        }
    }
}

/// Who waits for the end of a connection, or of the pool's block, need not wait for the second once it is lifted.
#[test]
fn what_the_pool_forbids_no_more_is_dialled_at_once() {
    let mut world = World::single(limits(), &[1]);
    let conn = world.open(0, want(0), Http1);
    let getter = world.queue(0, want(0));
    forbid(&mut world, at(900));
    assert_eq!((world.outcome(getter), world.dials.len()), (Outcome::Waiting, 0));
    world.with(0, Machine::unbar);
    world.dial_ok(0, Http1);
    assert_ne!(world.take(getter), conn);
}

/// And nobody else is asked for: each of those who wait has had the pool's word. What is forbidden no more they learn of all the same.
#[test]
fn who_comes_asks_for_itself() {
    let limits = Limits {
        max_waiters: 4,
        ..limits()
    };
    let mut world = World::single(limits, &[1]);
    let waiting: Vec<_> = (0..3)
        .map(|identity| {
            world.open(0, want(identity), Http1);
            let getter = world.queue(0, want(identity));
            forbid(&mut world, at(900));
            getter
        })
        .collect();
    assert_eq!(world.dials.len(), 0);
    world.open(0, want(3), Http1);
    let next = world.queue(0, want(3));
    assert_eq!(world.dials.len(), 1, "its own");
    forbid(&mut world, at(900));
    assert_eq!((world.outcome(next), world.dials.len()), (Outcome::Waiting, 0));
    // One that has no place in line changes nothing for those who have.
    let full = world.with(0, |machine, now| machine.acquire(now, want(4)));
    assert_eq!(full, Acquire::Full);
    world.with(0, Machine::unbar);
    assert_eq!(world.dials.len(), 4, "{waiting:?}");
}
