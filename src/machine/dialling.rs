//! Dials: when one is authorised, where it may go, and what its end means for the line.

use std::net::IpAddr;

use super::id::{DialId, Key, Ticket};
use super::limits::{AllBlocked, Growth};
use super::line::Queue;
use super::penalties::Screen;
use super::words::{Acquire, Action, DialOrder, Refusal, Want};
use super::{Machine, Phase};
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol};
use crate::fault::planted;
use crate::identity::IdentityId;

/// Identities of which a machine remembers what they speak.
const MOST_KNOWN: usize = 64;

/// One right to dial.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) want: Want,
    pub(super) queue: u32,
    /// The address it goes to first.
    pub(super) first: IpAddr,
    /// When.
    pub(super) ordered: Moment,
    /// Whether the driver said that it dials.
    pub(super) begun: bool,
    /// Whether it was asked for by itself, not for somebody in line.
    pub(super) warm: bool,
    /// Whether it goes on whoever leaves the line: somebody beside it counts on it.
    pub(super) kept: bool,
}

impl Dial {
    /// Whether nothing holds it but somebody in line: then it is given up with them.
    pub(super) const fn is_loose(&self) -> bool {
        !self.begun && !self.kept
    }
}

/// What the connections of one identity turned out to be.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) identity: IdentityId,
    pub(super) protocol: Protocol,
    /// The peer's last word on how many streams it takes.
    pub(super) streams: Option<u32>,
}

impl Machine {
    pub(super) fn known(&self, want: &Want) -> Option<&Known> {
        self.known.iter().find(|known| known.identity == want.identity)
    }

    /// Writes down what a connection of `identity` speaks.
    pub(super) fn learn(&mut self, identity: IdentityId, protocol: Protocol) {
        match self.known.iter_mut().find(|known| known.identity == identity) {
            Some(known) => known.protocol = protocol,
            None => {
                // What was learned first is forgotten first: the cost of that is a dial too many or too few.
                if self.known.len() >= MOST_KNOWN {
                    self.known.remove(0);
                }
                self.known.push(Known {
                    identity,
                    protocol,
                    streams: None,
                });
            }
        }
    }

    /// Connections and dials that hold a place under the host's limit.
    pub(super) fn live(&self) -> u32 {
        let dials = if planted("dials_are_free") {
            0
        } else {
            self.dials.len()
        };
        self.alive
            .saturating_add(u32::try_from(dials).unwrap_or(u32::MAX))
    }

    /// A miss: a place in line, and a dial where one is due.
    pub(super) fn join(&mut self, want: Want) -> Acquire {
        let now = self.latest;
        if self.phase == Phase::Closed {
            return Acquire::Closed;
        }
        if planted("who_comes_asks_for_all") {
            self.forbidden.clear();
        }
        let refused = self.shut_out(now, &want).or(self.blocked(now, &want));
        let waits = self.asks_anew(now, &want, refused.is_some());
        if let Some(until) = refused.filter(|_| !waits) {
            return Acquire::Blocked { until };
        }
        if self.line.len >= self.limits.max_waiters {
            return Acquire::Full;
        }
        let queue = self.line.queue(&want);
        let place = &mut self.line.queues[queue as usize];
        (place.asked, place.anew) = (waits, true);
        let ticket = self.line.join(queue);
        self.settle(now);
        Acquire::Wait(Ticket(ticket))
    }

    /// Until when `want` is blocked: every address is, and nothing is alive or under way that could serve it.
    fn blocked(&self, now: Moment, want: &Want) -> Option<Moment> {
        let fails = self.limits.all_blocked == AllBlocked::Fail && !self.penalties.is_empty();
        if !fails || self.phase == Phase::Paused || self.has_hope(want) {
            return None;
        }
        self.kept_here(now, want)
    }

    /// Whether anything alive or under way may serve `want` yet.
    pub(super) fn has_hope(&self, want: &Want) -> bool {
        self.has_sound(want) || self.has_dial(want)
    }

    /// Whether a dial for exactly this is under way.
    pub(super) fn has_dial(&self, want: &Want) -> bool {
        self.line
            .queues
            .iter()
            .any(|queue| queue.want == *want && queue.dials > 0)
    }

    /// Authorises one more dial for `queue`. False if that is not possible now, or of no use.
    pub(super) fn authorise(&mut self, now: Moment, queue: u32) -> bool {
        let Queue { want, anew, .. } = self.line.queues[queue as usize];
        if !self.may_grow(&want) {
            return false;
        }
        let mut candidates = self.ordered(&want);
        let kept = match anew {
            true => self.kept_here(now, &want),
            false => self.kept_from(now, &want),
        };
        if kept.is_some() && !anew {
            candidates.retain(|&ip| self.forbids(now, ip).is_none());
        }
        if candidates.is_empty() {
            match kept {
                Some(until) => self.stand_off(queue, &want, until),
                None => self.ask_resolver(&want),
            }
            return false;
        }
        if let Some(until) = kept
            && self.probe.is_some()
        {
            // One probe at a time: whoever comes meanwhile waits for its end, or for the first block's.
            if !planted("a_probe_is_waited_out") {
                self.retry_at = self.retry_at.min(until);
            }
            return false;
        }
        let probe = match self
            .penalties
            .screen(now, self.limits.all_blocked, &mut candidates)
        {
            Screen::Go => false,
            Screen::Probe => true,
            Screen::Blocked { until } => {
                self.stand_off(queue, &want, kept.unwrap_or(until));
                return false;
            }
        };
        let first = candidates[0];
        if !self.make_room(&want) {
            self.penalties.probe_over(first);
            return false;
        }
        let key = self.start(
            Dial {
                want,
                queue,
                first,
                ordered: now,
                begun: false,
                warm: false,
                kept: false,
            },
            candidates,
            probe,
        );
        self.unbegun += 1;
        if probe {
            self.probe = Some(key);
        }
        true
    }

    fn start(&mut self, dial: Dial, candidates: Vec<IpAddr>, probe: bool) -> Key {
        let Dial {
            want: Want {
                identity, require, ..
            },
            queue,
            ..
        } = dial;
        self.line.queues[queue as usize].dials += 1;
        let key = self.dials.insert(dial);
        let dial = DialId(key);
        let held = |&ip: &IpAddr| self.penalties.blocked(self.latest, ip);
        let clean = candidates.iter().take_while(|ip| held(ip).is_none()).count();
        let held = candidates[clean..].iter().filter_map(held).collect();
        self.actions.push_back(Action::Dial(DialOrder {
            dial,
            identity,
            require,
            candidates,
            clean,
            held,
            probe,
            pool_probe: false,
        }));
        key
    }

    /// Every address is blocked: whoever has nothing else to hope for is told so.
    fn stand_off(&mut self, queue: u32, want: &Want, until: Moment) {
        match self.has_hope(want) {
            true => self.retry_at = self.retry_at.min(until),
            false => self.turn_down(queue, want, until),
        }
    }

    /// Refuses all in `queue`, who have nothing to hope for; but where the addresses are past their time, only by the word of another answer: one for all who
    /// have come until then.
    pub(super) fn turn_down(&mut self, queue: u32, want: &Want, until: Moment) {
        let now = self.latest;
        let Queue { asked, len, .. } = self.line.queues[queue as usize];
        let asked = match asked {
            true => !planted("who_was_answered_asks_again"),
            false => planted("the_pool_s_word_is_the_last"),
        };
        if self.awaits_answer(now, want) || !asked && self.asks_anew(now, want, true) {
            self.line.queues[queue as usize].asked = true;
            if !planted("who_waits_for_an_answer_misses_the_end_of_a_block") {
                self.retry_at = self.retry_at.min(until);
            }
        } else {
            self.refuse(queue, u64::from(len), Refusal::Blocked { until });
        }
    }

    /// A place under the host's limit, if need be that of a connection that nobody may use yet, or of the longest idle one that does not suit
    /// `want`.
    fn make_room(&mut self, want: &Want) -> bool {
        while self.live() >= self.limits.max_per_host {
            let aside = self
                .oldest_aside(|_| true)
                .filter(|_| !planted("what_is_aside_keeps_its_place"));
            let Some((_, slot)) = aside.or_else(|| self.oldest_idle(|lane| !lane.suits(want))) else {
                return false;
            };
            self.end(slot, CloseReason::Evicted);
        }
        true
    }

    /// Dials without anybody in line: to warm up, to hold a minimum, to probe a blocked address. `want.pin` names the
    /// address, if one is meant. Its connection goes to whoever waits, or rests.
    ///
    /// None if the host is full, paused or closed, or has no address yet. Takes no idle connection's place; a block is heeded as long as another
    /// address stands, and what an address told us for as long as nobody can ask it again.
    pub fn warm(&mut self, now: Moment, want: Want) -> Option<DialId> {
        let now = self.tick(now);
        let mut candidates = self.ordered(&want);
        if !planted("warming_heeds_no_block") {
            _ = self.penalties.screen(now, AllBlocked::Fail, &mut candidates);
        }
        candidates.retain(|&ip| self.penalties.shut(now, ip).is_none());
        Some(DialId(self.start_within(want, candidates, false)?))
    }

    /// As [`warm`](Machine::warm), to see whether a block is to be heeded yet: it is not, this once, by this table or the pool's.
    /// Nothing is dialled where the name does not lead any more.
    pub fn recheck(&mut self, now: Moment, want: Want) -> Option<DialId> {
        self.tick(now);
        let mut candidates = self.ordered(&want);
        if !self.addresses.is_empty() && !planted("what_is_gone_is_tried") {
            let known: Vec<_> = self.addresses().collect();
            candidates.retain(|ip| known.contains(ip));
        }
        Some(DialId(self.start_within(want, candidates, true)?))
    }

    fn start_within(&mut self, want: Want, candidates: Vec<IpAddr>, probe: bool) -> Option<Key> {
        let shut =
            self.phase == Phase::Closed || (self.phase == Phase::Paused && !planted("warms_while_paused"));
        if shut || self.live() >= self.limits.max_per_host {
            return None;
        }
        self.start_unasked(want, candidates, probe)
    }

    /// Dials under way for `identity`, and with which address each begins.
    pub fn dials(&self, identity: IdentityId) -> impl Iterator<Item = (DialId, IpAddr)> {
        self.dials
            .iter()
            .filter(move |(_, dial)| dial.want.identity == identity)
            .map(|(key, dial)| (DialId(key), dial.first))
    }

    /// Somebody beside the line counts on this dial: it goes on, whoever leaves the line.
    pub fn keep(&mut self, dial: DialId) {
        if let Some(right) = self.dials.get_mut(dial.0) {
            self.unbegun -= u32::from(right.is_loose());
            right.kept = true;
        }
    }

    /// A dial that nobody in line is there for. None without a candidate.
    pub(super) fn start_unasked(&mut self, want: Want, candidates: Vec<IpAddr>, probe: bool) -> Option<Key> {
        let first = *candidates.first()?;
        let queue = self.line.queue(&want);
        let dial = Dial {
            want,
            queue,
            first,
            ordered: self.latest,
            begun: false,
            warm: true,
            kept: true,
        };
        Some(self.start(dial, candidates, probe))
    }

    /// Candidates for a dial for `want`, best first by selection, those last that were slow of late. Where growth goes by address, those without a
    /// connection come first.
    pub(super) fn ordered(&mut self, want: &Want) -> Vec<IpAddr> {
        let mut candidates = self.candidates(want);
        self.by_selection(&mut candidates);
        candidates.sort_by_key(|&ip| self.is_slow(ip));
        if self.grows_by_address(want) {
            candidates.sort_by_key(|&ip| self.is_covered(want, ip));
        }
        candidates
    }

    fn grows_by_address(&self, want: &Want) -> bool {
        self.limits.growth == Growth::PerIp && self.protocol_of(want) == Some(Protocol::Http2)
    }

    /// Whether a connection for `want` to `ip` is alive or being dialled.
    fn is_covered(&self, want: &Want, ip: IpAddr) -> bool {
        let pinned = Want {
            pin: Some(ip),
            ..*want
        };
        let bound = |dial: &Dial| dial.first == ip && dial.want.identity == want.identity;
        self.has_sound(&pinned) || self.dials.iter().any(|(_, dial)| bound(dial))
    }

    /// Where growth goes by address: dials those that have no connection for `want` yet, beside whatever serves it.
    pub(super) fn cover_addresses(&mut self, want: &Want) {
        if want.pin.is_some() || !self.grows_by_address(want) || planted("one_address_is_enough") {
            return;
        }
        let bare = |machine: &Machine| {
            let now = machine.latest;
            let held = |ip| machine.penalties.blocked(now, ip).or(machine.bars(now, ip));
            let mut free = machine.addresses().filter(|&ip| held(ip).is_none());
            free.find(|&ip| !machine.is_covered(want, ip))
        };
        while self.live() < self.limits.max_per_host
            && let Some(ip) = bare(self)
        {
            // For whoever wants any address: those who come meanwhile wait for this dial.
            self.start_unasked(*want, vec![ip], false);
        }
    }
}
