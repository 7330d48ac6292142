//! In which order one dial tries its addresses, and when: Happy Eyeballs version 2 (RFC 8305), without its clock and its sockets.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Moment;
use crate::fault::planted;

/// What a dial may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Addresses that it tries, at the most.
    pub(crate) attempts: u32,
    /// How long an attempt has the field to itself.
    pub(crate) delay: Duration,
    /// After which nothing begins.
    pub(crate) deadline: Moment,
}

/// What a dial does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An attempt at this address begins, if the address has room; say [`Plan::started`] then.
    Start(IpAddr),
    /// Nothing, until something happens to an attempt, or until then if nothing does.
    Wait(Option<Moment>),
    /// It is over: all has been tried.
    Over,
}

/// One dial's addresses, and how far it is with them.
///
/// Attempts begin `delay` apart, or as soon as nothing is under way. The first that connects goes on alone: the others are put back unblamed,
/// to be tried again should its handshake fail.
#[derive(Debug)]
pub(crate) struct Plan {
    terms: Terms,
    next: VecDeque<IpAddr>,
    /// Something is held against these: they come last.
    held: VecDeque<IpAddr>,
    /// Whether the last one that was to start is an IPv6 address.
    last_v6: bool,
    /// Addresses that may still be tried.
    left: u32,
    under_way: u32,
    /// When the next may begin beside those under way.
    due: Moment,
    /// Whether one has connected.
    decided: bool,
}

impl Plan {
    /// The address that leads, then `others` in the order of preference, each with whether something is held against it: those come last.
    pub(crate) fn new(lead: IpAddr, others: &[(IpAddr, bool)], terms: Terms) -> Self {
        let those = |held: bool| {
            let those = others.iter().filter(move |&&(_, is)| is == held);
            those.map(|&(ip, _)| ip)
        };
        let clean: Vec<IpAddr> = [lead].into_iter().chain(those(false)).collect();
        let next = interleaved(&clean, lead.is_ipv6());
        let held: Vec<IpAddr> = those(true).collect();
        let last_v6 = next.last().is_some_and(IpAddr::is_ipv6);
        Plan {
            next: next.into(),
            held: interleaved(&held, !last_v6).into(),
            last_v6: !lead.is_ipv6(),
            left: terms.attempts,
            terms,
            under_way: 0,
            due: Moment::ZERO,
            decided: false,
        }
    }

    /// What to do now.
    pub(crate) fn step(&mut self, now: Moment) -> Step {
        let known = !self.next.is_empty() || !self.held.is_empty();
        let more = !self.decided && known && self.takes_more(now);
        match (more, self.under_way) {
            (false, 0) => Step::Over,
            (false, _) => Step::Wait(None),
            (true, 1..) if now < self.due && !planted("attempts_begin_at_once") => Step::Wait(Some(self.due)),
            (true, _) => {
                let next = self.next.pop_front().or_else(|| self.held.pop_front());
                self.last_v6 = next.is_some_and(|ip| ip.is_ipv6());
                next.map_or(Step::Over, Step::Start)
            }
        }
    }

    /// Whether it would try an address more, were there one.
    pub(crate) fn takes_more(&self, now: Moment) -> bool {
        self.left > 0 && now < self.terms.deadline
    }

    /// Addresses that have become known since: another family's answer, say. The families take turns again.
    pub(crate) fn join(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let all: Vec<IpAddr> = self.next.drain(..).chain(addresses).collect();
        self.next = interleaved(&all, !self.last_v6).into();
    }

    /// The attempt that was to start has started. One that finds its address full does not, and is not counted: the next one is asked for at once.
    pub(crate) fn started(&mut self, now: Moment) {
        self.left -= 1;
        self.under_way += 1;
        self.due = now + self.terms.delay;
    }

    /// One attempt has connected. `losers` are given up for now, in the order in which they began.
    pub(crate) fn connected(&mut self, losers: &[IpAddr]) {
        self.decided = true;
        for &ip in losers.iter().rev() {
            self.under_way -= 1;
            if !planted("losers_are_not_tried_again") {
                self.next.push_front(ip);
                self.left += 1;
            }
        }
    }

    /// An attempt has failed. The next one need not wait.
    pub(crate) fn failed(&mut self, now: Moment) {
        self.under_way -= 1;
        self.decided = false;
        self.due = now;
    }

    /// How many attempts the time that is left has to suffice for, the one that starts now included.
    pub(crate) fn share(&self) -> u32 {
        let waiting = u32::try_from(self.next.len() + self.held.len()).unwrap_or(u32::MAX);
        self.left.min(waiting.saturating_add(1))
    }
}

/// The addresses with their families in turn, each family in the order it has (RFC 8305, section 4). `v6`: which begins.
pub(crate) fn interleaved(addresses: &[IpAddr], v6: bool) -> Vec<IpAddr> {
    if planted("families_do_not_take_turns") {
        return addresses.to_vec();
    }
    let of = |v6| addresses.iter().copied().filter(move |ip| ip.is_ipv6() == v6);
    let (mut first, mut second) = (of(v6), of(!v6));
    let mut order = Vec::with_capacity(addresses.len());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(250);
    const NANO: Duration = Duration::from_nanos(1);

    fn v4(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn v6(last: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])
    }

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    fn plan(addresses: &[IpAddr], attempts: u32) -> Plan {
        let others: Vec<_> = addresses[1..].iter().map(|&ip| (ip, false)).collect();
        let terms = Terms {
            attempts,
            delay: DELAY,
            deadline: at(30_000),
        };
        Plan::new(addresses[0], &others, terms)
    }

    fn start(plan: &mut Plan, now: Moment) -> IpAddr {
        let Step::Start(ip) = plan.step(now) else {
            panic!("nothing to start at {now:?}: {plan:?}")
        };
        plan.started(now);
        ip
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let mixed = [v4(1), v4(2), v6(1), v6(2), v6(3)];
        assert_eq!(interleaved(&mixed, true), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(interleaved(&mixed, false), [v4(1), v6(1), v4(2), v6(2), v6(3)]);
        assert_eq!(interleaved(&[v4(2), v4(1)], true), [v4(2), v4(1)]);
        assert!(interleaved(&[], true).is_empty());
    }

    #[test]
    fn what_something_is_held_against_comes_last() {
        let others = [(v4(1), true), (v6(2), false), (v6(3), true), (v6(4), false)];
        let terms = Terms {
            attempts: 9,
            delay: DELAY,
            deadline: Moment::FAR,
        };
        let plan = Plan::new(v6(1), &others, terms);
        assert_eq!(plan.next, [v6(1), v6(2), v6(4)]);
        assert_eq!(plan.held, [v4(1), v6(3)]);
    }

    #[test]
    fn what_becomes_known_later_takes_its_turn() {
        let mut plan = plan(&[v4(1), v4(2)], 9);
        assert_eq!(start(&mut plan, at(0)), v4(1));
        plan.join([v6(1), v6(2)]);
        assert_eq!(plan.step(at(0)), Step::Wait(Some(at(250))));
        for (millis, ip) in [(250, v6(1)), (500, v4(2)), (750, v6(2))] {
            assert_eq!(start(&mut plan, at(millis)), ip);
        }
        // Where all had been tried, it begins at once.
        for _ in 0..4 {
            plan.failed(at(1000));
        }
        assert_eq!(plan.step(at(1000)), Step::Over);
        plan.join([v6(3)]);
        assert_eq!(start(&mut plan, at(1000)), v6(3));
    }

    #[test]
    fn attempts_begin_a_delay_apart() {
        let mut plan = plan(&[v6(1), v6(2), v4(1)], 9);
        assert_eq!(start(&mut plan, at(0)), v6(1));
        assert_eq!(plan.step(at(0)), Step::Wait(Some(at(250))));
        assert_eq!(plan.step(at(250) - NANO), Step::Wait(Some(at(250))));
        assert_eq!(start(&mut plan, at(250)), v4(1));
        // From when it did begin, not from when it might have.
        assert_eq!(start(&mut plan, at(600)), v6(2));
        assert_eq!(plan.step(at(900)), Step::Wait(None));
    }

    #[test]
    fn after_a_failure_the_next_one_begins_at_once() {
        let mut plan = plan(&[v4(1), v4(2), v4(3)], 9);
        start(&mut plan, at(0));
        start(&mut plan, at(250));
        plan.failed(at(260));
        assert_eq!(start(&mut plan, at(260)), v4(3));
        plan.failed(at(270));
        assert_eq!(plan.step(at(270)), Step::Wait(None), "the second is under way");
        plan.failed(at(280));
        assert_eq!(plan.step(at(280)), Step::Over);
    }

    #[test]
    fn who_connects_goes_on_alone_and_the_others_come_again_if_it_fails() {
        let mut plan = plan(&[v4(1), v4(2), v4(3), v4(4)], 3);
        start(&mut plan, at(0));
        start(&mut plan, at(250));
        plan.connected(&[v4(1)]);
        assert_eq!(
            plan.step(at(900)),
            Step::Wait(None),
            "nothing begins beside a handshake"
        );
        plan.failed(at(900));
        assert_eq!(start(&mut plan, at(900)), v4(1), "it had only been slower");
        assert_eq!(start(&mut plan, at(1150)), v4(3));
        assert_eq!(
            plan.step(at(9000)),
            Step::Wait(None),
            "three addresses and no more"
        );
    }

    #[test]
    fn a_full_address_is_stepped_over_and_not_counted() {
        let mut plan = plan(&[v4(1), v4(2), v4(3)], 1);
        assert_eq!(plan.step(at(0)), Step::Start(v4(1)));
        assert_eq!(start(&mut plan, at(0)), v4(2));
        plan.failed(at(1));
        assert_eq!(plan.step(at(1)), Step::Over);
    }

    #[test]
    fn nothing_begins_after_the_deadline() {
        let mut plan = plan(&[v4(1), v4(2)], 9);
        start(&mut plan, at(29_900));
        assert_eq!(plan.step(at(30_000)), Step::Wait(None));
        plan.failed(at(30_000));
        assert_eq!(plan.step(at(30_000)), Step::Over);
    }

    #[test]
    fn time_is_shared_among_what_may_still_be_tried() {
        let mut plan = plan(&[v4(1), v4(2), v4(3)], 2);
        for share in [2, 1] {
            let Step::Start(_) = plan.step(at(1000)) else {
                panic!("more to start")
            };
            assert_eq!(plan.share(), share);
            plan.started(at(0));
        }
    }
}
