//! The table as others use it.

use std::net::Ipv4Addr;

use super::*;

const TERMS: PenaltyTerms = PenaltyTerms {
    base: Duration::from_secs(1),
    max: Duration::from_secs(8),
    status: Duration::from_secs(100),
    entries: 3,
    validated: true,
};

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn at(seconds: u64) -> Moment {
    Moment::ZERO + Duration::from_secs(seconds)
}

fn screened(table: &mut Penalties, now: Moment, candidates: &[u8]) -> (Screen, Vec<IpAddr>) {
    let mut candidates = candidates.iter().copied().map(ip).collect();
    let screen = table.screen(now, AllBlocked::ProbeLeastBad, &mut candidates);
    (screen, candidates)
}

#[test]
fn a_status_is_no_last_resort_while_another_address_stands() {
    let mut table = Penalties::new(TERMS);
    assert_eq!(table.strike(at(0), ip(1), Cause::Status), Some(at(100)));
    table.strike(at(0), ip(2), Cause::Tls);
    assert_eq!(
        screened(&mut table, at(0), &[1, 2, 3]),
        (Screen::Go, vec![ip(3), ip(2)])
    );
    // A lesser fault meanwhile neither shortens nor softens it; one after its end is only that.
    assert_eq!(table.strike(at(50), ip(1), Cause::Tls), Some(at(100)));
    assert_eq!(screened(&mut table, at(99), &[1, 3]), (Screen::Go, vec![ip(3)]));
    assert_eq!(
        screened(&mut table, at(100), &[1, 3]),
        (Screen::Go, vec![ip(1), ip(3)])
    );
    assert_eq!(table.strike(at(100), ip(1), Cause::Tls), Some(at(102)));
    assert_eq!(
        screened(&mut table, at(101), &[1, 3]),
        (Screen::Go, vec![ip(3), ip(1)])
    );
    // A status on top of a lesser penalty hardens it.
    table.strike(at(101), ip(1), Cause::Status);
    assert_eq!(table.blocked(at(150), ip(1)), Some(at(201)));
    assert_eq!(screened(&mut table, at(150), &[1, 3]), (Screen::Go, vec![ip(3)]));
}

#[test]
fn one_probe_at_a_time_to_the_one_that_is_free_first() {
    let mut table = Penalties::new(TERMS);
    table.shun(at(0), ip(1), at(9));
    table.shun(at(0), ip(2), at(7));
    assert_eq!(screened(&mut table, at(1), &[1, 2]), (Screen::Probe, vec![ip(2)]));
    assert_eq!(
        screened(&mut table, at(1), &[1, 2]).0,
        Screen::Blocked { until: at(7) }
    );
    table.probe_over(ip(2));
    assert_eq!(screened(&mut table, at(1), &[1, 2]).0, Screen::Probe);
    table.strike(at(1), ip(2), Cause::Local);
    assert_eq!(screened(&mut table, at(1), &[1, 2]).0, Screen::Probe);
    table.strike(at(1), ip(2), Cause::Tcp);
    assert_eq!(screened(&mut table, at(1), &[1, 2]).0, Screen::Probe);
    table.absolve(ip(2));
    assert_eq!(
        screened(&mut table, at(1), &[1, 2]),
        (Screen::Go, vec![ip(2), ip(1)])
    );
    assert_eq!(screened(&mut table, at(1), &[]), (Screen::Go, vec![]));
}

#[test]
fn failures_within_one_block_are_one_failure() {
    let mut table = Penalties::new(TERMS);
    assert_eq!(table.strike(at(0), ip(1), Cause::Tls), Some(at(1)));
    assert_eq!(table.strike(at(1), ip(1), Cause::Tls), Some(at(3)));
    assert_eq!(table.strike(at(2), ip(1), Cause::Tls), Some(at(3)));
    assert_eq!(table.strike(at(3), ip(1), Cause::Tls), Some(at(7)));
    // Others' failures change nothing while there is room.
    table.strike(at(8), ip(2), Cause::Tls);
    // One quiet maximum after its end all is forgotten, not before.
    let mut later = table.clone();
    assert_eq!(later.strike(at(14), ip(1), Cause::Tls), Some(at(22)));
    assert_eq!(table.strike(at(15), ip(1), Cause::Tls), Some(at(16)));
}

#[test]
fn shunning_only_prolongs() {
    let mut table = Penalties::new(TERMS);
    table.shun(at(5), ip(1), at(5));
    assert!(table.is_empty(), "over before it began");
    table.shun(at(5), ip(1), at(9));
    table.shun(at(5), ip(1), at(7));
    assert_eq!(table.blocked(at(8), ip(1)), Some(at(9)));
    assert_eq!(table.list(at(8)).collect::<Vec<_>>(), [(ip(1), at(9))]);
    assert_eq!(table.list(at(9)).count(), 0);
    // A word of others is no failure: the first own one counts as the first.
    assert_eq!(table.strike(at(9), ip(1), Cause::Tls), Some(at(10)));
}

/// What an address did here and what others say of it are two things: neither takes the other's name, ends with it, or outlives it.
#[test]
fn somebody_else_s_word_is_not_its_own() {
    let mut table = Penalties::new(TERMS);
    table.strike(at(0), ip(1), Cause::Status);
    // A 403 that is over is over, whatever others say of the address then.
    table.shun(at(100), ip(1), at(150));
    assert_eq!(
        (table.held(at(100), ip(1)).next(), table.told(at(100), ip(1))),
        (None, None)
    );
    table.shun(at(100), ip(2), at(120));
    table.strike(at(100), ip(3), Cause::Tls);
    assert_eq!(
        screened(&mut table, at(101), &[1, 2, 3]),
        (Screen::Go, vec![ip(3), ip(2), ip(1)]),
        "no address is left out for what it said long ago"
    );
    table.unshun(ip(1));
    assert_eq!(table.blocked(at(101), ip(1)), None);
    // One that lasts is not prolonged by it, nor ends with it.
    table.absolve(ip(3));
    table.strike(at(101), ip(3), Cause::Status);
    table.shun(at(101), ip(3), at(500));
    let held: Vec<_> = table.held(at(101), ip(3)).collect();
    assert_eq!(held, [(Cause::Status, at(201))]);
    assert_eq!(table.blocked(at(201), ip(3)), Some(at(500)));
    assert_eq!(table.told(at(201), ip(3)), None);
    table.unshun(ip(3));
    assert_eq!(table.blocked(at(102), ip(3)), Some(at(201)));
    assert_eq!(
        table.list(at(102)).collect::<Vec<_>>(),
        [(ip(2), at(120)), (ip(3), at(201))]
    );
    // Nor does it count as a failure, or make one be forgotten.
    let mut table = Penalties::new(TERMS);
    table.strike(at(0), ip(1), Cause::Tls);
    table.shun(at(0), ip(1), at(7));
    table.unshun(ip(1));
    assert_eq!(table.strike(at(1), ip(1), Cause::Tls), Some(at(3)), "the second");
    table.shun(at(3), ip(1), at(90));
    table.forgive();
    assert!(table.is_empty() && table.ends.is_empty());
}

/// Who told us to stay away and wants to be left alone has said two things: the one ends by its own time, and is asked about again once the other is over.
#[test]
fn a_wish_to_be_left_alone_is_no_longer_403() {
    let mut table = Penalties::new(TERMS);
    let held = |table: &Penalties, now| table.held(now, ip(1)).collect::<Vec<_>>();
    let from = |table: &Penalties, now| table.doubtful(now).map(|(_, when)| when).collect::<Vec<_>>();
    table.strike(at(0), ip(1), Cause::Status);
    // Within the time of the 403: it stays what it was, and is not asked about meanwhile.
    table.strike_for(at(10), ip(1), Cause::Protocol, Duration::from_secs(7));
    assert_eq!(held(&table, at(10)), [(Cause::Status, at(100))]);
    assert_eq!(from(&table, at(10)), [at(17)..at(100)]);
    assert_eq!(from(&table, at(17)), [at(17)..at(100)]);
    // Beyond it: as the lesser thing that it is, and no longer asked about than that.
    table.strike_for(at(96), ip(1), Cause::Protocol, Duration::from_secs(8));
    assert_eq!(
        held(&table, at(96)),
        [(Cause::Status, at(100)), (Cause::Protocol, at(104))]
    );
    assert_eq!(table.blocked(at(96), ip(1)), Some(at(104)));
    assert_eq!(from(&table, at(96)), []);
    assert_eq!(table.told(at(100), ip(1)), None);
    assert_eq!(held(&table, at(100)), [(Cause::Protocol, at(104))]);
    assert_eq!(
        screened(&mut table, at(100), &[1, 2]).1,
        [ip(2), ip(1)],
        "a last resort"
    );
    // Another network has the 403 alone.
    table.strike(at(104), ip(1), Cause::Status);
    table.strike_for(at(105), ip(1), Cause::Protocol, Duration::from_secs(7));
    table.forgive();
    assert_eq!(held(&table, at(105)), [(Cause::Status, at(204))]);
    assert_eq!(from(&table, at(105)), [at(105)..at(204)]);
}

/// Without anybody who asks, what an address told us ends by its time or by somebody's word: by no connection, and none is made to see.
#[test]
fn a_connection_is_no_answer() {
    for validated in [false, true] {
        let mut table = Penalties::new(PenaltyTerms { validated, ..TERMS });
        table.strike(at(0), ip(1), Cause::Status);
        table.shun(at(0), ip(1), at(40));
        table.shun(at(0), ip(2), at(50));
        table.strike_for(at(0), ip(3), Cause::Protocol, Duration::from_secs(7));
        let doubtful: Vec<_> = table.doubtful(at(1)).map(|(ip, _)| ip).collect();
        assert_eq!(
            doubtful,
            if validated {
                vec![ip(1), ip(2)]
            } else {
                vec![ip(2)]
            }
        );
        let probed = |table: &mut Penalties| screened(table, at(1), &[1]).0;
        let shut = Screen::Blocked { until: at(100) };
        assert_eq!(probed(&mut table), if validated { Screen::Probe } else { shut });
        for (of, expected) in [(1, at(100)), (3, at(7))] {
            let stays = table.reached(at(2), ip(of), at(1));
            assert_eq!(stays, of == 1 && !validated);
            let expected = if validated { None } else { Some(expected) };
            assert_eq!(table.blocked(at(2), ip(of)), expected, "{of}");
        }
        assert!(!table.reached(at(2), ip(2), at(1)));
        assert_eq!(table.blocked(at(2), ip(2)), None, "it is reached");
    }
}

#[test]
fn the_table_stays_small() {
    let mut table = Penalties::new(TERMS);
    table.shun(at(0), ip(1), at(50));
    table.shun(at(0), ip(2), at(5));
    table.shun(at(0), ip(3), at(60));
    table.shun(at(0), ip(3), at(61));
    assert_eq!(table.len(), 3, "one that is known needs no room");
    // What is over goes first, all of it.
    table.shun(at(5), ip(4), at(40));
    assert_eq!(table.len(), 3);
    assert_eq!(
        table.list(at(5)).map(|(ip, _)| ip).collect::<Vec<_>>(),
        [ip(1), ip(3), ip(4)]
    );
    // Then what is over soonest.
    table.shun(at(5), ip(5), at(45));
    assert_eq!(
        table.list(at(5)).map(|(ip, _)| ip).collect::<Vec<_>>(),
        [ip(1), ip(3), ip(5)]
    );
    assert_eq!(table.len(), 3);
}

/// Each failure of an address that is new to a full table takes one place, of the one that is free soonest: what is listed by when it ends and by
/// address stays the same.
#[test]
fn a_full_table_makes_room_for_each_in_turn() {
    let most = 1_000;
    let mut table = Penalties::new(PenaltyTerms {
        entries: most,
        ..TERMS
    });
    let nth = |n: u32| IpAddr::V4(Ipv4Addr::from(n));
    for n in 0..5_000 {
        table.shun(at(0), nth(n), at(10 + u64::from(n)));
    }
    assert_eq!((table.len(), table.ends.len()), (most, most));
    let left: Vec<_> = table.list(at(0)).map(|(ip, _)| ip).collect();
    assert_eq!(left, (4_000..5_000).map(nth).collect::<Vec<_>>());
    for n in (0..6_000).step_by(7) {
        table.strike(at(20), nth(n), Cause::Status);
        table.absolve(nth(n + 1));
    }
    assert!(table.len() <= most);
    let by_end: BTreeSet<_> = table
        .entries
        .iter()
        .map(|(&ip, penalty)| (penalty.end(), ip))
        .collect();
    assert_eq!(table.ends, by_end);
    table.forgive();
    assert_eq!(
        (table.len(), table.ends.len()),
        (table.entries.len(), table.entries.len())
    );
    assert!(
        table
            .list(at(21))
            .all(|(ip, until)| table.told(at(21), ip) == Some(until))
    );
}

#[test]
fn what_is_over_at_this_very_moment_makes_room_first() {
    let mut table = Penalties::new(TERMS);
    for (last, until) in [(1, 5), (2, 5), (3, 60)] {
        table.shun(at(0), ip(last), at(until));
    }
    table.shun(at(5), ip(4), at(40));
    assert_eq!(table.len(), 2, "both of them are gone");
}

#[test]
fn terms_may_change() {
    let mut table = Penalties::new(TERMS);
    table.set_terms(PenaltyTerms {
        base: Duration::from_secs(3),
        ..TERMS
    });
    assert_eq!(table.strike(at(0), ip(1), Cause::Protocol), Some(at(3)));
    // However often it fails: at most the maximum, without overflow.
    let mut now = at(3);
    for _ in 0..40 {
        let until = table.strike(now, ip(1), Cause::Protocol).unwrap();
        assert!(until.since(now) <= TERMS.max);
        now = until;
    }
    assert_eq!(table.strike(now, ip(1), Cause::Protocol), Some(now + TERMS.max));
}
