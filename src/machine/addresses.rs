//! The addresses of one origin: which there are, which come first, which are avoided, which are gone.

use std::net::IpAddr;
use std::time::Duration;

use super::id::DialId;
use super::limits::Selection;
use super::words::{Action, Cause, Refusal, Want};
use super::{Machine, Penalties, Phase};
use crate::clock::Moment;
use crate::event::CloseReason;
use crate::fault::planted;

/// Successful resolutions in a row that must leave an address out before it counts as gone: one answer may list only
/// a part (RFC 1794 describes servers that rotate).
const MISSES: u8 = 2;

/// How long an address that lost a race comes after the others (RFC 6555, section 4.2, has ten minutes in mind).
const SLOW: Duration = Duration::from_secs(600);

/// One resolved address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    /// Successful resolutions since it was last listed.
    misses: u8,
    /// Until when others come first, because one of them was sooner to connect.
    slow_until: Moment,
    /// Whether the last answer spoke of it, or left it out once: it is not dialled on the word of one that is over.
    vouched: bool,
}

/// What has become of the question for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// There is none, or it has been answered.
    Answered,
    /// It is out: whoever would be refused but for its answer waits for that.
    Out,
    /// It is out, and takes so long that what was known before serves.
    Late,
}

impl Address {
    const fn new(ip: IpAddr) -> Self {
        Address {
            ip,
            misses: 0,
            slow_until: Moment::ZERO,
            vouched: true,
        }
    }
}

impl Machine {
    /// The resolver's answer, asked for or not. New addresses join; one left out twice in a row is gone: nothing is
    /// dialled or handed out there, idle connections close and leased ones close when they come home.
    ///
    /// An answer without addresses drains nothing.
    pub fn resolved(&mut self, now: Moment, answer: &[IpAddr]) {
        self.resolved_in_part(now, answer, |_| true);
    }

    /// A resolver's answer that says nothing of some addresses, because a family failed. None of those is missed: what stands there stays. But none is
    /// dialled, for whoever still knew them has listed them.
    pub fn resolved_in_part(&mut self, now: Moment, answer: &[IpAddr], concerns: impl Fn(IpAddr) -> bool) {
        let now = self.tick(now);
        if answer.is_empty() {
            return self.unresolved(now, Refusal::NoAddress);
        }
        self.question = Question::Answered;
        let old = std::mem::take(&mut self.addresses);
        for &ip in answer {
            if !self.addresses.iter().any(|address| address.ip == ip) {
                let known = old.iter().find(|address| address.ip == ip);
                let slow_until = known.map_or(Moment::ZERO, |known| known.slow_until);
                self.addresses.push(Address {
                    slow_until,
                    ..Address::new(ip)
                });
            }
        }
        for mut address in old {
            if answer.contains(&address.ip) {
                continue;
            }
            if !concerns(address.ip) {
                address.vouched = planted("what_no_answer_knows_is_dialled");
                self.addresses.push(address);
                continue;
            }
            address.misses += 1;
            if address.misses < MISSES && !planted("one_miss_is_enough") {
                self.addresses.push(address);
            } else {
                self.retire_all(address.ip, CloseReason::AddressGone);
            }
        }
        if !planted("who_is_barred_waits_for_its_dial") {
            self.turn_away(now);
        }
        self.settle(now);
    }

    /// A part of the resolver's answer, while the rest is still to come: what is new joins, and nothing is missed yet.
    pub fn joined(&mut self, now: Moment, part: &[IpAddr]) {
        let now = self.tick(now);
        for &ip in part {
            match self.addresses.iter_mut().find(|address| address.ip == ip) {
                Some(known) => known.vouched = true,
                None => self.addresses.push(Address::new(ip)),
            }
        }
        self.settle(now);
    }

    /// The resolver takes so long that what was known before serves, be it that nothing else is to be had: whoever would have been refused but for its answer is.
    pub fn answer_is_late(&mut self, now: Moment) {
        let now = self.tick(now);
        if planted("a_late_answer_is_waited_for") {
            return;
        }
        self.question = Question::Late;
        self.turn_away(now);
        self.settle(now);
    }

    /// The pool holds less against addresses than it did: whoever waits for the end of what it held may find the way free.
    pub fn unbar(&mut self, now: Moment) {
        let now = self.tick(now);
        if self.forbidden.is_empty() || planted("what_the_pool_forbade_stays_forbidden") {
            return;
        }
        self.forbidden.clear();
        self.settle(now);
    }

    /// Whether a dial under way goes to whatever addresses become known: not if its caller named one, and not if it probes one.
    pub fn is_open(&self, dial: DialId) -> bool {
        let asked = |dial: &super::dialling::Dial| dial.want.pin.is_none() && !dial.warm;
        self.dials.get(dial.0).is_some_and(asked) && self.probe != Some(dial.0)
    }

    /// What may join a dial under way, which knows `known`: addresses that are new since, and that nothing is held against.
    pub fn joining(&self, now: Moment, dial: DialId, known: &[IpAddr]) -> Vec<IpAddr> {
        if !self.is_open(dial) {
            return Vec::new();
        }
        let new = self.addresses().filter(|ip| !known.contains(ip));
        new.filter(|&ip| self.penalties.blocked(now, ip).is_none() && self.bars(now, ip).is_none())
            .collect()
    }

    /// The resolver failed. Drains nothing; where no address is known, those who wait for one are told.
    pub fn resolve_failed(&mut self, now: Moment) {
        let now = self.tick(now);
        self.unresolved(now, Refusal::ResolveFailed);
    }

    fn unresolved(&mut self, now: Moment, why: Refusal) {
        self.question = Question::Answered;
        if self.addresses().next().is_none() {
            for queue in self.line.by_arrival() {
                let want = self.line.queues[queue as usize].want;
                if want.pin.is_none() && !planted("resolver_failure_is_silent") {
                    let hopeless = self.uncovered(queue);
                    self.refuse(queue, hopeless, why);
                }
            }
        }
        self.turn_away(now);
        self.settle(now);
    }

    /// Asks for addresses, unless some are known or the question is out.
    pub(super) fn ask_resolver(&mut self, want: &Want) {
        if want.pin.is_none() && self.addresses().next().is_none() && self.question == Question::Answered {
            self.question = Question::Out;
            self.actions.push_back(Action::Resolve);
        }
    }

    /// When the addresses are past their time: then they are asked for again before anybody is refused on their account. [`Moment::FAR`] if they never are.
    pub fn fresh_until(&self) -> Moment {
        self.fresh_until
    }

    /// Says when that is.
    pub fn set_fresh_until(&mut self, until: Moment) {
        self.fresh_until = until;
    }

    /// Asks for addresses again, if those that are known are past their time and all held against `want`, as `refused` says or as nobody may ask them.
    /// Answers whether that is so: whoever wants one waits for the answer.
    pub(super) fn asks_anew(&mut self, now: Moment, want: &Want, refused: bool) -> bool {
        let late = self.question == Question::Late;
        let may = now >= self.fresh_until && !late && want.pin.is_none() && self.phase == Phase::Open;
        if !may || self.gate.bars_all(now).is_some() || planted("a_block_outlives_its_address") {
            return false;
        }
        let unwelcome =
            || !self.penalties.is_empty() && !self.has_hope(want) && self.unwelcome(now, want).is_some();
        if !refused && !unwelcome() {
            return false;
        }
        if std::mem::replace(&mut self.question, Question::Out) == Question::Answered {
            self.actions.push_back(Action::Resolve);
        }
        true
    }

    /// Whether an answer is under way that may name another address for `want`.
    pub(super) fn awaits_answer(&self, now: Moment, want: &Want) -> bool {
        self.question == Question::Out && want.pin.is_none() && self.gate.bars_all(now).is_none()
    }

    /// The addresses known, in the order of the last answer; none if that is too old.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let trusted = self.latest < self.trusted_until || planted("answers_are_trusted_for_ever");
        let known: &[Address] = if trusted { &self.addresses } else { &[] };
        known
            .iter()
            .filter(|address| address.vouched)
            .map(|address| address.ip)
    }

    /// No dial goes to the addresses of the answer that follows from then on: whoever needs one asks anew. Those that are over already are not dialled
    /// on its word.
    pub fn trust_addresses_until(&mut self, now: Moment, until: Moment) {
        let now = self.tick(now);
        if now >= self.trusted_until && !planted("what_no_answer_knows_is_dialled") {
            self.addresses
                .iter_mut()
                .for_each(|address| address.vouched = false);
        }
        self.trusted_until = until;
    }

    /// Where a connection for `want` may go, as far as the owner lets it.
    pub(super) fn candidates(&self, want: &Want) -> Vec<IpAddr> {
        let free = |ip: &IpAddr| self.gate.is_open() || self.bars(self.latest, *ip).is_none();
        match want.pin {
            Some(pin) => [pin].into_iter().filter(free).collect(),
            None => self.addresses().filter(free).collect(),
        }
    }

    /// Orders candidates by selection; where that says nothing, the resolver's order stands.
    pub(super) fn by_selection(&mut self, candidates: &mut [IpAddr]) {
        if candidates.len() < 2 {
            return;
        }
        match self.limits.selection {
            Selection::Spread => candidates.sort_by_cached_key(|&ip| self.load(ip)),
            Selection::PreferHot => candidates.sort_by_cached_key(|&ip| std::cmp::Reverse(self.load(ip))),
            Selection::RoundRobin => {
                self.dial_turn = self.dial_turn.wrapping_add(1);
                let by = self
                    .dial_turn
                    .wrapping_sub(1)
                    .checked_rem(candidates.len())
                    .unwrap_or(0);
                candidates.rotate_left(by);
            }
            Selection::Random => {
                for end in (1..candidates.len()).rev() {
                    let other = self.rng.below(end as u64 + 1) as usize;
                    candidates.swap(end, other);
                }
            }
        }
    }

    /// Connections to `ip`, and dials that go there first.
    fn load(&self, ip: IpAddr) -> u32 {
        let conns: u32 = self
            .lanes
            .iter()
            .filter(|lane| lane.ip == ip)
            .map(|lane| lane.conns)
            .sum();
        let light = planted("dials_under_way_weigh_nothing");
        let dials = self
            .dials
            .iter()
            .filter(|(_, dial)| dial.first == ip && !light)
            .count();
        conns.saturating_add(u32::try_from(dials).unwrap_or(u32::MAX))
    }

    /// Holds a failure against an address of this origin, and answers until when it is blocked.
    ///
    /// A status closes what is idle there, and what is leased when it comes home. TCP is the business of the table that
    /// all origins share (see [`shun`](Machine::shun)), and a local cause is nobody's: both answer `None`.
    pub fn penalise(&mut self, now: Moment, ip: IpAddr, cause: Cause) -> Option<Moment> {
        self.penalise_for(now, ip, cause, Duration::ZERO)
    }

    /// As [`penalise`](Machine::penalise), of one that wants to be left alone for `least`, as far as any failure is held against an address for so long.
    pub fn penalise_for(&mut self, now: Moment, ip: IpAddr, cause: Cause, least: Duration) -> Option<Moment> {
        let now = self.tick(now);
        let until = self.blame(now, ip, cause, least);
        self.settle(now);
        until
    }

    pub(super) fn blame(&mut self, now: Moment, ip: IpAddr, cause: Cause, least: Duration) -> Option<Moment> {
        let closes = (cause == Cause::Status && !planted("status_spares_what_is_open"))
            || (cause != Cause::Local && planted("every_failure_closes"));
        if closes {
            self.retire_all(ip, CloseReason::Blocked);
        }
        match cause {
            Cause::Tcp | Cause::Local => None,
            Cause::Tls | Cause::Protocol | Cause::Status => self.penalties.strike_for(now, ip, cause, least),
        }
    }

    /// Another address of this origin connected sooner than `ip`, which had been given a start: others come before it for a while, until it has
    /// connected itself.
    pub fn outrun(&mut self, now: Moment, ip: IpAddr) {
        let now = self.tick(now);
        if let Some(address) = self.addresses.iter_mut().find(|address| address.ip == ip)
            && !planted("races_are_forgotten")
        {
            address.slow_until = now + SLOW;
        }
    }

    /// A dial that was ordered then has brought a connection to `ip`. Answers whether we were told since to stay away from there.
    pub(super) fn reached(&mut self, now: Moment, ip: IpAddr, ordered: Moment) -> bool {
        if let Some(address) = self.addresses.iter_mut().find(|address| address.ip == ip) {
            address.slow_until = Moment::ZERO;
        }
        self.penalties.reached(now, ip, ordered)
    }

    /// Whether others come before `ip`.
    pub(super) fn is_slow(&self, ip: IpAddr) -> bool {
        let mut known = self.addresses.iter();
        known.any(|address| address.ip == ip && self.latest < address.slow_until)
    }

    /// Avoids `ip` until then, because all origins do.
    pub fn shun(&mut self, now: Moment, ip: IpAddr, until: Moment) {
        let now = self.tick(now);
        self.penalties.shun(now, ip, until);
    }

    /// Avoids `ip` no more because all origins do.
    pub fn unshun(&mut self, now: Moment, ip: IpAddr) {
        let now = self.tick(now);
        self.penalties.unshun(ip);
        self.settle(now);
    }

    /// Until when all that `want` could be dialled at has told us to stay away, if no dial could tell whether that still holds.
    pub fn unwelcome(&self, now: Moment, want: &Want) -> Option<Moment> {
        self.first_free(want, |ip| self.penalties.shut(now, ip).max(self.bars(now, ip)))
    }

    /// Forgets what is held against `ip`: it has proved itself.
    pub fn absolve(&mut self, now: Moment, ip: IpAddr) {
        let now = self.tick(now);
        self.penalties.absolve(ip);
        self.settle(now);
    }

    /// Forgets what is held against every address, but for those that told us to stay away.
    pub fn forgive(&mut self, now: Moment) {
        let now = self.tick(now);
        self.penalties.forgive();
        self.settle(now);
    }

    /// What this origin holds against addresses.
    pub fn penalties(&self) -> &Penalties {
        &self.penalties
    }

    /// Takes the connections that stand to `ip` out of use. Later ones are not concerned: whoever dials there then has
    /// its reason.
    fn retire_all(&mut self, ip: IpAddr, reason: CloseReason) {
        for slot in 0..self.conns.extent() {
            let conn = &self.conns[slot];
            if conn.state.is_live() && self.lanes[conn.lane as usize].ip == ip {
                self.wind_up(slot, reason);
            }
        }
    }
}
