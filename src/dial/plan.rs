//! Which address a dial tries next, and when: RFC 8305 ("Happy Eyeballs"), with the time as an argument.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Moment;
use crate::fault::planted;

/// The attempts of one dial that have not begun.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Nothing is held against these.
    clean: VecDeque<IpAddr>,
    /// Tried last.
    blamed: VecDeque<IpAddr>,
    /// Attempts that may still begin.
    left: u32,
    delay: Duration,
    /// When the next one begins beside those under way.
    next: Moment,
    /// Nothing begins before.
    held_until: Moment,
    /// Whether the last one that began went to an IPv6 address.
    last_v6: bool,
}

/// What a dial does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Begin an attempt there: then say that it [`began`](Plan::began), or take the next turn.
    Try(IpAddr),
    /// Nothing before that moment, unless an attempt ends.
    At(Moment),
    /// Nothing, unless an attempt ends.
    Wait,
    /// Nothing is left to be tried, and nothing is under way.
    Over,
}

impl Plan {
    /// Of `addresses`, best first, the first `clean` ones are not blamed for anything. At most `attempts` begin, `delay` apart.
    ///
    /// Families take turns, that of the best address first; within one the order stands.
    pub(crate) fn new(addresses: &[IpAddr], clean: usize, attempts: u32, delay: Duration) -> Self {
        let (clean, blamed) = addresses.split_at(clean.min(addresses.len()));
        let v6_first = addresses.first().is_none_or(IpAddr::is_ipv6);
        Plan {
            clean: alternate(clean.iter().copied(), v6_first).into(),
            blamed: alternate(blamed.iter().copied(), v6_first).into(),
            left: attempts,
            delay,
            next: Moment::ZERO,
            held_until: Moment::ZERO,
            last_v6: !v6_first,
        }
    }

    /// What to do while so many attempts are under way.
    pub(crate) fn turn(&mut self, now: Moment, under_way: usize) -> Turn {
        if self.left == 0 || (self.clean.is_empty() && self.blamed.is_empty()) {
            return if under_way == 0 { Turn::Over } else { Turn::Wait };
        }
        let due = match under_way {
            0 => self.held_until,
            _ if planted("attempts_begin_at_once") => now,
            _ => self.next.max(self.held_until),
        };
        if now < due {
            return Turn::At(due);
        }
        match self.clean.pop_front().or_else(|| self.blamed.pop_front()) {
            Some(ip) => Turn::Try(ip),
            None => Turn::Over,
        }
    }

    /// How many attempts may still begin.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// An attempt began at `ip`.
    pub(crate) fn began(&mut self, now: Moment, ip: IpAddr) {
        self.left = self.left.saturating_sub(1);
        self.next = now + self.delay;
        self.last_v6 = ip.is_ipv6();
    }

    /// An attempt failed: the next one need not wait.
    pub(crate) fn failed(&mut self, now: Moment) {
        self.next = now;
    }

    /// Another was faster than `ip`: it is worth a second attempt, should the faster one come to nothing.
    pub(crate) fn beaten(&mut self, ip: IpAddr) {
        self.clean.push_back(ip);
    }

    /// This machine could not even begin at `ip`: that attempt does not count, and the next one begins at `until`.
    pub(crate) fn hold(&mut self, ip: IpAddr, until: Moment) {
        self.clean.push_front(ip);
        self.left = self.left.saturating_add(1);
        self.hold_until(until);
    }

    /// Nothing begins before `until`.
    pub(crate) fn hold_until(&mut self, until: Moment) {
        self.held_until = self.held_until.max(until);
    }

    /// Addresses that have become known since: another family's answer, say. The families take turns again.
    pub(crate) fn join(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let all = self.clean.drain(..).chain(addresses).collect::<Vec<_>>();
        self.clean = alternate(all, !self.last_v6).into();
    }
}

/// The families in turn, each in the order in which it stands.
fn alternate(addresses: impl IntoIterator<Item = IpAddr>, v6_first: bool) -> Vec<IpAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (first, second) = if v6_first { (v6, v4) } else { (v4, v6) };
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns
}

/// A resolver's answer in the order in which a dial that knows nothing of its addresses tries them: the families in turn, IPv6 first.
pub(crate) fn order(addresses: &[IpAddr]) -> Vec<IpAddr> {
    match planted("families_stand_as_they_came") {
        true => addresses.to_vec(),
        false => alternate(addresses.iter().copied(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(250);

    fn ips<const N: usize>(texts: [&str; N]) -> Vec<IpAddr> {
        texts.map(|text| text.parse().expect("an address")).into()
    }

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    /// What begins if nothing ever ends.
    fn all(mut plan: Plan) -> Vec<(IpAddr, Moment)> {
        let (mut now, mut begun) = (Moment::ZERO, Vec::new());
        loop {
            match plan.turn(now, begun.len()) {
                Turn::Try(ip) => {
                    plan.began(now, ip);
                    begun.push((ip, now));
                }
                Turn::At(then) => now = then,
                Turn::Wait | Turn::Over => return begun,
            }
        }
    }

    #[test]
    fn attempts_are_a_delay_apart_and_so_many() {
        let addresses = ips(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        let begun = all(Plan::new(&addresses, 4, 3, DELAY));
        let expected = [
            (addresses[0], at(0)),
            (addresses[1], at(250)),
            (addresses[2], at(500)),
        ];
        assert_eq!(begun, expected);
    }

    #[test]
    fn the_next_begins_at_the_delay_to_the_nanosecond_or_when_one_fails() {
        let addresses = ips(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let mut plan = Plan::new(&addresses, 3, 9, DELAY);
        assert_eq!(plan.turn(at(10), 0), Turn::Try(addresses[0]));
        plan.began(at(10), addresses[0]);
        let just_before = at(260) - Duration::from_nanos(1);
        assert_eq!(plan.turn(just_before, 1), Turn::At(at(260)));
        assert_eq!(plan.turn(at(260), 1), Turn::Try(addresses[1]));
        plan.began(at(260), addresses[1]);
        plan.failed(at(300));
        assert_eq!(plan.turn(at(300), 1), Turn::Try(addresses[2]));
        plan.began(at(300), addresses[2]);
        assert_eq!(plan.turn(at(999), 1), Turn::Wait);
        assert_eq!(plan.turn(at(999), 0), Turn::Over);
    }

    #[test]
    fn families_take_turns_and_the_blamed_come_last() {
        let answer = ips(["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2"]);
        let [a, b, c, x, y] = answer[..] else {
            unreachable!()
        };
        assert_eq!(order(&answer), [x, a, y, b, c]);
        let tried = |addresses: &[IpAddr], clean| {
            let begun = all(Plan::new(addresses, clean, 9, DELAY));
            begun.into_iter().map(|(ip, _)| ip).collect::<Vec<_>>()
        };
        assert_eq!(
            tried(&[a, b, x, y], 4),
            [a, x, b, y],
            "the best one's family first"
        );
        assert_eq!(
            tried(&[a, b, x, y], 2),
            [a, b, x, y],
            "the other family is blamed"
        );
        assert_eq!(tried(&[x, a, b, y], 0), [x, a, y, b]);
    }

    #[test]
    fn what_becomes_known_later_takes_its_turn() {
        let [a, b] = ips(["10.0.0.1", "10.0.0.2"])[..] else {
            unreachable!()
        };
        let [x, y] = ips(["2001:db8::1", "2001:db8::2"])[..] else {
            unreachable!()
        };
        let mut plan = Plan::new(&[a, b], 2, 9, DELAY);
        assert_eq!(plan.turn(at(0), 0), Turn::Try(a));
        plan.began(at(0), a);
        plan.join([x, y]);
        let rest: Vec<_> = std::iter::from_fn(|| match plan.turn(at(1000), 1) {
            Turn::Try(ip) => Some(ip),
            _ => None,
        })
        .collect();
        assert_eq!(rest, [x, b, y]);
    }

    #[test]
    fn the_beaten_is_tried_again_in_the_end() {
        let [a, b, c] = ips(["10.0.0.1", "10.0.0.2", "10.0.0.3"])[..] else {
            unreachable!()
        };
        let mut plan = Plan::new(&[a, b, c], 3, 4, DELAY);
        for ip in [a, b] {
            assert_eq!(plan.turn(at(1000), 0), Turn::Try(ip));
            plan.began(at(1000), ip);
        }
        plan.beaten(a);
        plan.failed(at(1001));
        assert_eq!(plan.turn(at(1001), 0), Turn::Try(c));
        plan.began(at(1001), c);
        assert_eq!(plan.turn(at(1002), 0), Turn::Try(a));
        plan.began(at(1002), a);
        assert_eq!(plan.turn(at(1003), 0), Turn::Over, "four attempts and no more");
    }

    #[test]
    fn a_full_address_costs_no_attempt_and_a_shortage_none_either() {
        let [a, b] = ips(["10.0.0.1", "10.0.0.2"])[..] else {
            unreachable!()
        };
        let mut plan = Plan::new(&[a, b], 2, 1, DELAY);
        assert_eq!(plan.turn(at(0), 0), Turn::Try(a));
        assert_eq!(plan.turn(at(0), 0), Turn::Try(b), "the first was full");
        plan.began(at(0), b);
        plan.hold(b, at(100));
        assert_eq!(plan.turn(at(99), 0), Turn::At(at(100)));
        assert_eq!(plan.turn(at(100), 0), Turn::Try(b));
        plan.began(at(100), b);
        assert_eq!(plan.left(), 0);
    }
}
