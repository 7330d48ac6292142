//! Permits, one rule at a time.

use std::net::Ipv4Addr;

use super::*;
use crate::machine::id::{ConnId, Key};

const A: OriginId = OriginId(1);
const B: OriginId = OriginId(2);
const C: OriginId = OriginId(3);

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn dial(slot: u32) -> DialId {
    DialId(Key { slot, generation: 0 })
}

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn gave() -> Evicted {
    Evicted::Closed(ConnId(Key {
        slot: 0,
        generation: 0,
    }))
}

fn ledger(max_connections: u32, max_per_ip: u32, max_dials: u32) -> Ledger {
    Ledger::new(LedgerLimits {
        max_connections,
        max_per_ip,
        max_dials,
    })
}

impl Ledger {
    /// `request`, and every step that follows.
    fn ask(&mut self, origin: OriginId, slot: u32, ips: &[u8]) -> Vec<Step> {
        let candidates = ips.iter().copied().map(ip).collect();
        self.request(Ask {
            origin,
            dial: dial(slot),
            candidates,
        });
        self.steps()
    }

    fn steps(&mut self) -> Vec<Step> {
        let steps = std::iter::from_fn(|| self.poll_step()).collect();
        self.assert_invariants();
        steps
    }

    /// A connection of `origin` to 10.0.0.`last`, dialled at once.
    fn connect(&mut self, now: u64, origin: OriginId, last: u8) {
        let steps = self.ask(origin, 1_000, &[last]);
        assert_eq!(steps, [granted(origin, 1_000, Some(last))]);
        self.connected(at(now), origin, ip(last));
    }

    /// The one victim that is asked next.
    fn victim(&mut self) -> Victim {
        match self.steps()[..] {
            [Step::Evict(victim)] => victim,
            ref steps => panic!("not one eviction: {steps:?}"),
        }
    }
}

fn granted(origin: OriginId, slot: u32, last: Option<u8>) -> Step {
    Step::Grant {
        origin,
        dial: dial(slot),
        ip: last.map(ip),
    }
}

#[test]
fn a_dial_needs_all_its_permits_together() {
    let mut ledger = ledger(2, 1, 1);
    assert_eq!(ledger.ask(A, 0, &[1]), [granted(A, 0, Some(1))]);
    assert_eq!(ledger.ask(B, 0, &[2]), [], "one dial at a time");
    assert_eq!(
        ledger.counts(),
        LedgerCounts {
            total: 1,
            dials: 1,
            waiting: 1
        }
    );
    ledger.connected(at(0), A, ip(1));
    assert_eq!(ledger.steps(), [granted(B, 0, Some(2))]);
    ledger.attempt_over(ip(2));
    ledger.unconnected();
    assert_eq!(
        ledger.counts(),
        LedgerCounts {
            total: 1,
            dials: 0,
            waiting: 0
        }
    );
    assert_eq!((ledger.used(ip(1)), ledger.used(ip(2))), (1, 0));
    assert!(!ledger.contended());
    // Without candidates no address is needed.
    assert_eq!(ledger.ask(C, 0, &[]), [granted(C, 0, None)]);
}

#[test]
fn a_full_address_is_skipped_and_waited_for_only_if_all_are() {
    let mut ledger = ledger(10, 1, 10);
    assert_eq!(ledger.ask(A, 0, &[1, 2]), [granted(A, 0, Some(1))]);
    assert_eq!(ledger.ask(B, 0, &[1, 2]), [granted(B, 0, Some(2))]);
    assert_eq!(ledger.ask(C, 0, &[1, 2]), []);
    assert_eq!(ledger.counts().total, 2, "who waits holds nothing");
    // Somebody who needs neither passes.
    assert_eq!(ledger.ask(C, 1, &[3]), [granted(C, 1, Some(3))]);
    assert_eq!(ledger.ask(A, 1, &[2]), []);
    ledger.attempt_over(ip(2));
    ledger.unconnected();
    assert_eq!(
        ledger.steps(),
        [granted(C, 0, Some(2))],
        "the first of those who can use it"
    );
    ledger.attempt_over(ip(1));
    ledger.unconnected();
    assert_eq!(ledger.steps(), [], "of no use to who wants the other");
    assert!(ledger.contended());
}

#[test]
fn further_attempts_take_what_is_free() {
    let mut ledger = ledger(10, 1, 10);
    assert_eq!(ledger.ask(A, 0, &[1, 2]), [granted(A, 0, Some(1))]);
    assert!(ledger.attempt(ip(2)));
    assert!(!ledger.attempt(ip(2)), "full");
    // The second won; the first lost, and there is a permit for it to be pooled.
    ledger.connected(at(0), A, ip(2));
    assert!(ledger.adopt(at(0), A, ip(1), true));
    assert_eq!(
        ledger.counts(),
        LedgerCounts {
            total: 2,
            dials: 0,
            waiting: 0
        }
    );
    assert!(!ledger.adopt(at(0), A, ip(1), false), "its address is full");
    assert!(ledger.adopt(at(0), A, ip(3), false));
    assert_eq!(ledger.used(ip(3)), 1);
    ledger.closed(A, ip(3));
    assert_eq!((ledger.used(ip(3)), ledger.counts().total), (0, 2));
    ledger.assert_invariants();
    let mut full = self::ledger(1, 1, 1);
    full.connect(0, A, 1);
    assert!(!full.adopt(at(0), A, ip(2), false), "no more in all");
    assert_eq!(full.used(ip(2)), 0);
}

#[test]
fn who_leaves_the_line_is_not_granted() {
    let mut ledger = ledger(1, 1, 10);
    ledger.connect(0, A, 1);
    let ask = |origin, slot, last| Ask {
        origin,
        dial: dial(slot),
        candidates: vec![ip(last)],
    };
    ledger.request(ask(B, 0, 2));
    ledger.request(ask(B, 1, 1));
    assert!(ledger.withdraw(B, dial(0)));
    assert!(!ledger.withdraw(B, dial(0)), "twice");
    let victim = ledger.victim();
    assert_eq!(
        (victim.origin, victim.ip),
        (A, Some(ip(1))),
        "one to that address helps in both ways"
    );
    assert!(ledger.withdraw(B, dial(1)), "one that waits for an address");
    ledger.closed(A, ip(1));
    ledger.answer(at(1), victim, gave());
    ledger.request(ask(C, 0, 2));
    assert_eq!(ledger.steps(), [granted(C, 0, Some(2))]);
    assert!(!ledger.withdraw(C, dial(0)), "granted");
}

#[test]
fn the_longest_idle_is_found_by_asking() {
    let mut ledger = ledger(3, 9, 9);
    for (now, origin, last) in [(10, A, 1), (20, B, 2), (30, C, 3)] {
        ledger.connect(now, origin, last);
    }
    ledger.request(Ask {
        origin: A,
        dial: dial(0),
        candidates: vec![ip(9)],
    });
    // A dialled first; its connection has been used since then.
    let first = ledger.victim();
    assert_eq!((first.origin, first.ip, first.not_after), (A, None, at(20)));
    assert_eq!(ledger.steps(), [], "one at a time for one that waits");
    ledger.answer(at(50), first, Evicted::Younger(at(40)));
    let second = ledger.victim();
    assert_eq!((second.origin, second.not_after), (B, at(30)));
    // B has none idle now. It says so when it has.
    ledger.answer(at(50), second, Evicted::None);
    let third = ledger.victim();
    assert_eq!((third.origin, third.not_after), (C, at(40)));
    ledger.answer(at(50), third, Evicted::Younger(at(45)));
    let fourth = ledger.victim();
    assert_eq!((fourth.origin, fourth.not_after), (A, at(45)));
    ledger.closed(A, ip(1));
    ledger.answer(at(50), fourth, gave());
    assert_eq!(ledger.steps(), [granted(A, 0, Some(9))]);
}

#[test]
fn a_dry_origin_is_asked_again_when_it_says_so_or_nobody_waits() {
    let mut ledger = ledger(1, 9, 9);
    ledger.connect(0, A, 1);
    ledger.request(Ask {
        origin: B,
        dial: dial(0),
        candidates: vec![ip(2)],
    });
    let asked = ledger.victim();
    ledger.answer(at(5), asked, Evicted::None);
    assert_eq!(ledger.steps(), [], "asked again, though nothing changed");
    ledger.parked(A, ip(1));
    let asked = ledger.victim();
    // It parked one while it was asked and said no: the word that came meanwhile counts.
    ledger.parked(A, ip(1));
    ledger.answer(at(6), asked, Evicted::None);
    let asked = ledger.victim();
    ledger.answer(at(7), asked, Evicted::None);
    assert_eq!(ledger.steps(), []);
    // Nobody waits, so nobody tells; the next one asks anew.
    ledger.withdraw(B, dial(0));
    assert_eq!(ledger.steps(), []);
    assert!(!ledger.contended());
    ledger.request(Ask {
        origin: B,
        dial: dial(1),
        candidates: vec![ip(2)],
    });
    assert_eq!(ledger.victim().origin, A);
}

#[test]
fn the_same_holds_for_an_address() {
    let mut ledger = ledger(9, 1, 9);
    ledger.connect(0, A, 1);
    ledger.connect(0, A, 2);
    ledger.request(Ask {
        origin: B,
        dial: dial(0),
        candidates: vec![ip(1)],
    });
    let asked = ledger.victim();
    assert_eq!((asked.origin, asked.ip), (A, Some(ip(1))));
    ledger.answer(at(5), asked, Evicted::None);
    ledger.parked(A, ip(2));
    assert_eq!(ledger.steps(), [], "one to another address does not help");
    ledger.parked(A, ip(1));
    let asked = ledger.victim();
    ledger.answer(at(5), asked, Evicted::None);
    ledger.withdraw(B, dial(0));
    assert_eq!(ledger.steps(), []);
    ledger.request(Ask {
        origin: B,
        dial: dial(1),
        candidates: vec![ip(1)],
    });
    let asked = ledger.victim();
    // Its last connection goes while it is asked: the answer finds nobody.
    ledger.closed(A, ip(1));
    ledger.answer(at(6), asked, Evicted::None);
    assert_eq!(ledger.steps(), [granted(B, 1, Some(1))]);
}

#[test]
fn nobody_is_asked_for_what_could_not_be_granted() {
    let mut ledger = ledger(2, 9, 1);
    ledger.connect(0, A, 1);
    assert_eq!(ledger.ask(B, 0, &[2]), [granted(B, 0, Some(2))]);
    assert_eq!(
        ledger.ask(C, 0, &[3]),
        [],
        "no dial permit: an eviction would be in vain"
    );
    ledger.connected(at(1), B, ip(2));
    assert_eq!(ledger.victim().origin, A);
}

#[test]
fn limits_change_under_way() {
    let mut ledger = ledger(1, 1, 9);
    ledger.connect(0, A, 1);
    ledger.request(Ask {
        origin: B,
        dial: dial(0),
        candidates: vec![ip(1)],
    });
    let asked = ledger.victim();
    ledger.answer(at(1), asked, Evicted::None);
    ledger.set_limits(LedgerLimits {
        max_connections: 3,
        max_per_ip: 2,
        max_dials: 9,
    });
    assert_eq!(ledger.steps(), [granted(B, 0, Some(1))]);
    ledger.connected(at(2), B, ip(1));
    ledger.connect(3, C, 2);
    // Lower than what is out: the longest idle go, though nobody waits.
    ledger.set_limits(LedgerLimits {
        max_connections: 2,
        max_per_ip: 2,
        max_dials: 9,
    });
    assert!(ledger.contended());
    let steps = ledger.steps();
    let [Step::Evict(first), Step::Evict(second), Step::Evict(third)] = steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!(
        [first, second, third].map(|victim| victim.origin),
        [A, B, C],
        "whoever has one may give it"
    );
    ledger.answer(at(9), first, Evicted::None);
    ledger.closed(B, ip(1));
    ledger.answer(at(9), second, gave());
    ledger.answer(at(9), third, Evicted::None);
    assert_eq!(ledger.steps(), []);
    assert_eq!(ledger.counts().total, 2);
    assert!(!ledger.contended());
}

#[test]
fn an_origin_that_gave_one_is_asked_for_the_next() {
    let mut ledger = ledger(2, 9, 9);
    ledger.connect(0, A, 1);
    ledger.connect(0, A, 2);
    for slot in 0..2 {
        ledger.request(Ask {
            origin: B,
            dial: dial(slot),
            candidates: vec![ip(3)],
        });
        let asked = ledger.victim();
        assert_eq!(asked.origin, A);
        ledger.closed(A, ip(1 + slot as u8));
        ledger.answer(at(1), asked, gave());
        assert_eq!(ledger.steps(), [granted(B, slot, Some(3))]);
    }
}

#[test]
fn what_nobody_has_for_the_total_may_still_be_had_for_an_address() {
    let mut ledger = ledger(1, 1, 9);
    ledger.connect(0, A, 1);
    for (slot, last) in [(0, 1), (1, 9)] {
        ledger.request(Ask {
            origin: B,
            dial: dial(slot),
            candidates: vec![ip(last)],
        });
    }
    let steps = ledger.steps();
    let [Step::Evict(for_total), Step::Evict(for_address)] = steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!((for_total.ip, for_address.ip), (None, Some(ip(1))));
    ledger.answer(at(5), for_total, Evicted::None);
    ledger.answer(at(5), for_address, Evicted::Younger(at(4)));
    let again = ledger.victim();
    assert_eq!((again.origin, again.ip), (A, Some(ip(1))));
}

#[test]
fn an_origin_without_connections_is_forgotten_dry_or_asked() {
    let mut ledger = ledger(1, 9, 9);
    for (slot, dry) in [(0, true), (1, false)] {
        ledger.connect(0, A, 1);
        ledger.request(Ask {
            origin: B,
            dial: dial(slot),
            candidates: vec![ip(2)],
        });
        let asked = ledger.victim();
        if dry {
            ledger.answer(at(1), asked, Evicted::None);
        }
        ledger.closed(A, ip(1));
        ledger.assert_invariants();
        ledger.answer(at(2), asked, Evicted::None);
        assert_eq!(ledger.steps(), [granted(B, slot, Some(2))]);
        ledger.attempt_over(ip(2));
        ledger.unconnected();
    }
}
