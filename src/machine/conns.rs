//! The connections of one machine and the intrusive lists they stand in.
//!
//! ```text
//!            lend                     lend, last place
//!   Idle ───────────> Open (h2) ──────────────────────> Full
//!    │ ^ <─────────────  │ ^ <───────────────────────────  │      (release; h1 goes Idle <-> Full)
//!    │ └ inspected       │ │ healthy                       │
//!    v                   v │                               │
//!  Inspected           Suspect <───────────────────────────┘
//!    │ ^
//!    v │ look again
//!   Aside
//!
//!   any ── retire ──> Retired ── last release ──> (gone)
//!   any ── died, with leases out ──> Dead ── last release ──> (gone)
//! ```

use super::id::{ConnId, Key};
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol};
use crate::fault::planted;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The slot is free.
    Vacant,
    /// Nobody uses it; it stands in its lane's idle list.
    Idle,
    /// Somebody uses it and another may (HTTP/2); it stands in its lane's open list.
    Open,
    /// No place left.
    Full,
    /// Was idle; the driver has taken it out to look at it.
    Inspected,
    /// Nobody uses it, and nobody may before the driver has found it clean; it stands in its lane's list of those.
    Aside,
    /// HTTP/2 that did not show life yet: no new streams.
    Suspect,
    /// Ends with its last lease.
    Retired(CloseReason),
    /// Has ended and been reported; the slot waits for the leases that are still out.
    Dead(CloseReason),
}

impl State {
    /// Whether it may be handed out again as it is, now or after what it is doing.
    pub(super) const fn is_sound(self) -> bool {
        matches!(self, State::Idle | State::Open | State::Full | State::Inspected)
    }

    /// Whether the driver has yet to say that it may be used.
    pub(super) const fn is_held(self) -> bool {
        matches!(self, State::Inspected | State::Suspect)
    }

    /// Whether it holds a place under the host's limit.
    pub(super) const fn is_live(self) -> bool {
        !matches!(self, State::Vacant | State::Dead(_))
    }
}

/// One connection, in one line of cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Conn {
    pub(super) state: State,
    pub(super) protocol: Protocol,
    /// Whether the peer's SETTINGS have come (HTTP/2); always on HTTP/1.1.
    pub(super) settled: bool,
    generation: u32,
    pub(super) lane: u32,
    /// Towards the most recently used in its list.
    newer: u32,
    /// Towards the least recently used in its list.
    older: u32,
    pub(super) leases: u32,
    /// How many leases may be out at once.
    pub(super) capacity: u32,
    /// How many the peer allows, as far as it has told.
    pub(super) told: u32,
    /// How many streams are open on it that have no lease.
    pub(super) streams: u32,
    /// Since when it has had no lease.
    pub(super) since: Moment,
    pub(super) expires: Moment,
}

impl Conn {
    pub(super) fn new(lane: u32, protocol: Protocol, told: u32, now: Moment, expires: Moment) -> Self {
        Conn {
            state: State::Full,
            protocol,
            settled: protocol == Protocol::Http1,
            generation: 0,
            lane,
            newer: NONE,
            older: NONE,
            leases: 0,
            capacity: told,
            told,
            streams: 0,
            since: if planted("unused_does_not_age") {
                Moment::FAR
            } else {
                now
            },
            expires,
        }
    }

    /// How many more leases it may give.
    #[inline]
    pub(super) fn room(&self) -> u32 {
        let http2 = self.protocol == Protocol::Http2;
        let leases = if http2 && planted("reserves_when_opened") {
            0
        } else {
            self.leases
        };
        let streams = if planted("reset_streams_are_free") {
            0
        } else {
            self.streams
        };
        self.capacity.saturating_sub(leases.saturating_add(streams))
    }

    /// The state of a sound connection that nothing holds back.
    #[inline]
    pub(super) fn rest(&self) -> State {
        if self.protocol == Protocol::Http1 {
            return if self.leases == 0 {
                State::Idle
            } else {
                State::Full
            };
        }
        match (self.room(), self.leases) {
            (0, _) => State::Full,
            (_, 0) => State::Idle,
            _ => State::Open,
        }
    }

    /// Whether it waits for the SETTINGS that tell how many streams it takes.
    pub(super) fn is_pending(&self) -> bool {
        !self.settled && self.state.is_sound()
    }
}

/// Slots of connections.
#[derive(Debug)]
pub(super) struct Conns {
    slots: Vec<Conn>,
    free: Vec<u32>,
}

impl std::ops::Index<u32> for Conns {
    type Output = Conn;

    fn index(&self, slot: u32) -> &Conn {
        &self.slots[slot as usize]
    }
}

impl std::ops::IndexMut<u32> for Conns {
    fn index_mut(&mut self, slot: u32) -> &mut Conn {
        &mut self.slots[slot as usize]
    }
}

impl Conns {
    pub(super) const fn new() -> Self {
        Conns {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, conn: Conn) -> u32 {
        if let Some(slot) = self.free.pop() {
            let generation = self[slot].generation;
            self[slot] = Conn { generation, ..conn };
            return slot;
        }
        self.slots.push(conn);
        // 2^32 connections of one host do not fit in memory.
        u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
    }

    pub(super) fn vacate(&mut self, slot: u32) {
        let conn = &mut self[slot];
        conn.state = State::Vacant;
        conn.generation = conn.generation.wrapping_add(1);
        self.free.push(slot);
    }

    /// The id of what is in `slot` now.
    #[inline]
    pub(super) fn id(&self, slot: u32) -> ConnId {
        ConnId(Key {
            slot,
            generation: self[slot].generation,
        })
    }

    /// The slot of `id`, unless that id is over.
    #[inline]
    pub(super) fn slot(&self, id: ConnId) -> Option<u32> {
        let conn = self.slots.get(id.slot())?;
        (conn.generation == id.0.generation && conn.state != State::Vacant).then_some(id.0.slot)
    }

    /// Every slot in use, dead ones too.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Conn)> {
        (0u32..)
            .zip(&self.slots)
            .filter(|(_, conn)| conn.state != State::Vacant)
    }

    /// How many slots were ever needed at once.
    pub(super) fn extent(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(NONE)
    }
}

/// Ends of a list that runs through its members: newest first, so that what is used stays hot and what is not ages at
/// the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) len: u32,
}

impl List {
    pub(super) const EMPTY: List = List {
        newest: NONE,
        oldest: NONE,
        len: 0,
    };

    /// Puts `slot` in its place by `since`: at the newest end, but for one that comes back from an inspection.
    #[inline]
    pub(super) fn link(&mut self, conns: &mut Conns, slot: u32) {
        let since = conns[slot].since;
        let mut newer = NONE;
        let mut older = self.newest;
        while older != NONE && conns[older].since > since {
            newer = older;
            older = conns[older].older;
        }
        conns[slot].newer = newer;
        conns[slot].older = older;
        match newer {
            NONE => self.newest = slot,
            newer => conns[newer].older = slot,
        }
        match older {
            NONE => self.oldest = slot,
            older => conns[older].newer = slot,
        }
        self.len += 1;
    }

    #[inline]
    pub(super) fn unlink(&mut self, conns: &mut Conns, slot: u32) {
        let Conn { newer, older, .. } = conns[slot];
        match newer {
            NONE => self.newest = older,
            newer => conns[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => conns[older].newer = newer,
        }
        self.len -= 1;
    }

    /// Its members, newest first.
    pub(super) fn iter<'c>(&self, conns: &'c Conns) -> impl Iterator<Item = u32> + use<'c> {
        let first = Some(self.newest).filter(|&slot| slot != NONE);
        std::iter::successors(first, |&slot| {
            Some(conns[slot].older).filter(|&slot| slot != NONE)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_fills_one_line_of_cache() {
        assert_eq!(size_of::<Conn>(), 64);
    }

    #[test]
    fn a_list_is_ordered_by_age_wherever_its_members_come_from() {
        let mut conns = Conns::new();
        let mut list = List::EMPTY;
        let slots = [10, 30, 20, 30, 5].map(|since| {
            conns.insert(Conn::new(
                0,
                Protocol::Http1,
                1,
                Moment::from_nanos(since),
                Moment::FAR,
            ))
        });
        for slot in slots {
            list.link(&mut conns, slot);
        }
        // Equal ages: the later comer is the newer.
        assert_eq!(list.iter(&conns).collect::<Vec<_>>(), [3, 1, 2, 0, 4]);
        assert_eq!((list.newest, list.oldest, list.len), (3, 4, 5));
        for (gone, left) in [
            (2, vec![3, 1, 0, 4]),
            (3, vec![1, 0, 4]),
            (4, vec![1, 0]),
            (1, vec![0]),
            (0, vec![]),
        ] {
            list.unlink(&mut conns, gone);
            assert_eq!(list.iter(&conns).collect::<Vec<_>>(), left);
            assert_eq!(list.len as usize, left.len());
            assert_eq!(list.oldest, left.last().copied().unwrap_or(NONE));
        }
    }
}
