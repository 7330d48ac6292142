//! The rules of the pool, as plain state machines.
//!
//! Nothing here opens a socket, reads a clock, locks, logs or waits. A [`Machine`] knows one origin; the [`Ledger`]
//! knows the permits that all origins share; the [`Wheel`] knows when to look at which origin again. They speak in ids
//! and take the time as an argument, so every rule is tested without a network.
//!
//! The driver calls a method and then drains [`Machine::poll_action`] before it lets go of the machine. Time may step
//! back a little from one call to the next, as it does when two threads read a clock and then race for a lock: the
//! machine goes by the latest it has seen.
//!
//! # Rules, and where they stand
//!
//! | rule | file |
//! |---|---|
//! | who gets a connection, and what becomes of one that comes home | `handout` |
//! | who waits, in which order | `line` |
//! | when to dial, where to, and for how many | `dialling`, `demand` |
//! | what dials bring, and whom their failure answers | `arrivals` |
//! | which addresses there are, and which are avoided | `addresses`, `penalties` |
//! | which the owner bars | `barring` |
//! | how many streams | `streams` |
//! | how old, how long idle | `age` |
//! | what goes when there is no room, or when it is told to | `closing` |
//! | what rests ready for nobody yet | `upkeep` |
//! | permits over all origins | `ledger` |

#![cfg_attr(
    not(any(test, feature = "__internals")),
    expect(
        unreachable_pub,
        reason = "public to the crate's own tests, benches and fuzz targets"
    )
)]

mod addresses;
mod age;
mod arrivals;
mod barring;
mod check;
mod closing;
mod conns;
mod demand;
mod dialling;
mod handout;
mod id;
mod lanes;
mod ledger;
mod limits;
mod line;
mod penalties;
mod streams;
mod timers;
mod upkeep;
mod wheel;
mod words;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use self::addresses::{Address, Question};
use self::conns::{Conns, State};
use self::dialling::{Dial, Known};
use self::id::{Key, Slots};
use self::lanes::Lane;
use self::line::Line;
use self::timers::Timers;
use crate::access::Gate;
use crate::clock::Moment;
use crate::fault::planted;
use crate::rng::Rng;

pub use self::age::AT_ONCE;
pub use self::id::{ConnId, DialId, OriginId, Ticket};
pub use self::ledger::{Ask, Ledger, LedgerCounts, Step, Victim};
pub(crate) use self::limits::LONGEST_PENALTY;
pub use self::limits::{AllBlocked, Growth, LedgerLimits, Limits, PenaltyTerms, Selection};
pub use self::penalties::{Penalties, Screen};
pub use self::wheel::Wheel;
pub use self::words::{
    Acquire, Action, Cause, ConnInfo, Counts, DialOrder, Evict, Evicted, Fate, IpCounts, Lease, Reached,
    Refusal, Want,
};

#[cfg(any(test, feature = "__internals"))]
pub use crate::event::{CloseReason, Protocol, Returned};
#[cfg(any(test, feature = "__internals"))]
pub use crate::identity::{IdentityId, Require};

/// Whether the machine hands anything out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Whoever comes stands in line; what comes home rests.
    Paused,
    Closed,
}

/// The rules of one origin.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    /// `limits.idle_timeout`, as hand-out compares it.
    idle_nanos: u64,
    phase: Phase,
    /// The latest time seen.
    latest: Moment,
    lanes: Vec<Lane>,
    conns: Conns,
    counts: Counts,
    /// Connections that hold a place under the host's limit.
    alive: u32,
    /// The lane that was last served from, for taking turns.
    turn: usize,
    /// The address that the next dial starts with, for taking turns.
    dial_turn: usize,
    line: Line,
    actions: VecDeque<Action>,
    dials: Slots<Dial>,
    /// Of `dials`, those that only somebody in line holds.
    unbegun: u32,
    /// The one dial that probes an origin whose addresses are all blocked.
    probe: Option<Key>,
    known: Vec<Known>,
    addresses: Vec<Address>,
    /// When they are too old to be dialled.
    trusted_until: Moment,
    /// What has become of the last question for them.
    question: Question,
    /// When its addresses should be asked for again.
    fresh_until: Moment,
    penalties: Penalties,
    /// What the whole pool avoids, as far as it has said so, and until when.
    forbidden: Vec<(IpAddr, Moment)>,
    /// What the owner bars.
    gate: Gate,
    /// When a block ends that somebody in line waits for.
    retry_at: Moment,
    /// Live connections by the end of their lifetime.
    lifetimes: Timers,
    /// For when the wheel holds this origin.
    armed: Moment,
    /// Whether a connection went idle since `take_parked` was last asked.
    parked: bool,
    rng: Rng,
}

/// A span in nanoseconds, as [`Moment`]s count them; for ever, if they cannot.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Machine {
    /// A machine without connections. `seed` decides jitter and random choices.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Machine {
            penalties: Penalties::new(limits.penalty),
            idle_nanos: nanos(limits.idle_timeout),
            limits,
            phase: Phase::Open,
            latest: Moment::ZERO,
            lanes: Vec::new(),
            conns: Conns::new(),
            counts: Counts::default(),
            alive: 0,
            turn: 0,
            dial_turn: 0,
            line: Line::new(),
            actions: VecDeque::new(),
            dials: Slots::new(),
            unbegun: 0,
            probe: None,
            known: Vec::new(),
            addresses: Vec::new(),
            trusted_until: Moment::FAR,
            question: Question::Answered,
            fresh_until: Moment::FAR,
            forbidden: Vec::new(),
            gate: Gate::default(),
            retry_at: Moment::FAR,
            lifetimes: Timers::default(),
            armed: Moment::FAR,
            parked: false,
            rng: Rng::new(seed),
        }
    }

    /// The next thing to do. Drain it after every call, before letting go of the machine.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether [`poll_action`](Machine::poll_action) has something.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts, in constant time.
    pub fn counts(&self) -> Counts {
        let waiting = self.line.len;
        let dialling = u32::try_from(self.dials.len()).unwrap_or(u32::MAX);
        Counts {
            waiting,
            dialling,
            ..self.counts
        }
    }

    /// Counts by address, in the order in which the addresses came into use.
    pub fn each_ip(&self, mut each: impl FnMut(IpAddr, IpCounts)) {
        let lanes = self.lanes.iter().filter(|lane| lane.conns > 0);
        for (index, lane) in lanes.clone().enumerate() {
            if lanes.clone().take(index).any(|earlier| earlier.ip == lane.ip) {
                continue;
            }
            let mut counts = IpCounts::default();
            for same in lanes.clone().filter(|same| same.ip == lane.ip) {
                counts.connections += if planted("lanes_are_counted") {
                    1
                } else {
                    same.conns
                };
                counts.idle += same.idle.len;
                counts.aside += same.aside.len;
                counts.leases += same.leases;
            }
            each(lane.ip, counts);
        }
    }

    /// Who waits for one address and no other, by address.
    pub fn each_pinned(&self, mut each: impl FnMut(IpAddr, u32)) {
        for queue in &self.line.queues {
            if let (Some(ip), 1..) = (queue.want.pin, queue.len) {
                each(ip, queue.len);
            }
        }
    }

    /// Whether `conn` is not over. A driver that has taken a connection out asks this before it puts it back: the slot
    /// of one that is over may have another in it.
    pub fn is_live(&self, conn: ConnId) -> bool {
        self.conns
            .slot(conn)
            .is_some_and(|slot| self.conns[slot].state.is_live())
    }

    /// Whether a lease of `conn` is out, though it may be over.
    pub fn is_out(&self, conn: ConnId) -> bool {
        self.conns
            .slot(conn)
            .is_some_and(|slot| self.conns[slot].leases > 0)
    }

    /// What is known of `conn`; nothing once it is over.
    pub fn info(&self, conn: ConnId) -> Option<ConnInfo> {
        let slot = self.conns.slot(conn)?;
        self.conns[slot].state.is_live().then(|| self.describe(slot))
    }

    /// All connections that are not over, by slot.
    pub fn connections(&self) -> impl Iterator<Item = ConnInfo> {
        self.conns
            .iter()
            .filter(|(_, conn)| conn.state.is_live())
            .map(|(slot, _)| self.describe(slot))
    }

    /// Whether it hands nothing out for now.
    pub fn is_paused(&self) -> bool {
        self.phase == Phase::Paused
    }

    /// Whether nothing is alive and nobody waits: the origin may be forgotten. Penalties are forgotten with it, so a
    /// driver that cares asks [`penalties`](Machine::penalties) first.
    pub fn is_vacant(&self) -> bool {
        // A ticket with a lease that nobody has taken yet holds its connection's slot.
        self.conns.iter().next().is_none()
            && self.line.len == 0
            && self.dials.len() == 0
            && self.actions.is_empty()
    }

    /// Whether a connection went idle since this was last asked. A driver that finds somebody waiting at the
    /// [`Ledger`] tells it then, by [`Ledger::parked`].
    pub fn take_parked(&mut self) -> bool {
        std::mem::take(&mut self.parked)
    }

    fn describe(&self, slot: u32) -> ConnInfo {
        let conn = &self.conns[slot];
        let lane = &self.lanes[conn.lane as usize];
        ConnInfo {
            conn: self.conns.id(slot),
            identity: lane.identity,
            ip: lane.ip,
            protocol: conn.protocol,
            leases: conn.leases,
            capacity: conn.capacity,
            idle_since: (conn.leases == 0 && conn.state != State::Full).then_some(conn.since),
            expires: conn.expires,
            retired: match conn.state {
                State::Retired(reason) => Some(reason),
                _ => None,
            },
        }
    }

    /// The latest time seen.
    pub fn latest(&self) -> Moment {
        self.latest
    }

    /// The latest of `now` and every time seen before.
    fn tick(&mut self, now: Moment) -> Moment {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Moves a connection to another state and keeps whatever counts or lists states in step.
    #[inline(always)]
    fn set_state(&mut self, slot: u32, state: State) {
        let conn = &mut self.conns[slot];
        let old = std::mem::replace(&mut conn.state, state);
        // What HTTP/1.1 does all day stands here, with its caller; everything else is called.
        let idle = &mut self.lanes[conn.lane as usize].idle;
        match (old, state) {
            (State::Idle, State::Full) => idle.unlink(&mut self.conns, slot),
            (State::Full, State::Idle) => idle.link(&mut self.conns, slot),
            _ => return self.change_state(slot, old, state),
        }
        self.idles(old, state);
    }

    /// Any change of state but the most frequent two.
    #[cold]
    fn change_state(&mut self, slot: u32, old: State, state: State) {
        if old == state {
            return;
        }
        self.recount(slot, old, state);
        let lane = &mut self.lanes[self.conns[slot].lane as usize];
        if let Some(list) = lane.list_of(old) {
            list.unlink(&mut self.conns, slot);
        }
        if let Some(list) = lane.list_of(state) {
            list.link(&mut self.conns, slot);
        }
        self.idles(old, state);
        // It may be given up for others, as an idle one may.
        self.parked |= state == State::Aside;
    }

    /// Counts those that nobody uses.
    #[inline]
    fn idles(&mut self, old: State, state: State) {
        self.counts.idle -= u32::from(old == State::Idle);
        if state == State::Idle {
            self.counts.idle += 1;
            self.parked = true;
        }
    }

    /// Brings the counts in step with a change of state that is more than a lease given or taken.
    fn recount(&mut self, slot: u32, old: State, state: State) {
        let conn = &self.conns[slot];
        let unsettled = |state: State| u32::from(!conn.settled && state.is_sound());
        let inspected = |state| u32::from(state == State::Inspected);
        let held = |state: State| u32::from(state.is_held());
        let lane = &mut self.lanes[conn.lane as usize];
        lane.sound = lane.sound + u32::from(state.is_sound()) - u32::from(old.is_sound());
        lane.inspected = lane.inspected + inspected(state) - inspected(old);
        lane.pending = lane.pending + unsettled(state) - unsettled(old);
        self.counts.held = self.counts.held + held(state) - held(old);
    }
}
