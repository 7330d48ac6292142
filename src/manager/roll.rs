//! Which hosts there are, by when each was asked for last: who goes when there is one too many.
//!
//! A `get` writes down its time at its host alone. The roll has a time for each host that may be past and is put right when the host's turn
//! to go comes: so the order is exact, and a hit costs nothing.
//!
//! One that is found in use then stays off the roll and comes back by itself, when it is not in use any more. So whoever finds the roll empty knows
//! at once that every host is in use, however many there are, and each is looked at in vain once.

use std::collections::BTreeSet;

use crate::clock::Moment;
use crate::fault::planted;
use crate::machine::OriginId;
use crate::sync::Mutex;

#[derive(Default)]
pub(super) struct Roll {
    /// Hosts that may not be in use, by the latest use that is known here.
    hosts: BTreeSet<(Moment, OriginId)>,
    /// Those that somebody has taken to look at. They still count, as those do that were found in use.
    taken: usize,
    off: usize,
    /// Places that are kept for hosts to come.
    kept: usize,
    /// How often a host came or went.
    changes: u64,
}

impl Roll {
    /// Hosts there are, and places that are kept.
    pub(super) fn len(&self) -> usize {
        let kept = match planted("kept_places_do_not_count") {
            true => 0,
            false => self.kept,
        };
        self.hosts.len() + self.taken + self.off + kept
    }

    /// Keeps a place for a host to come, if there are fewer than `most`. For a [`KeptPlace`] to give back.
    pub(super) fn keep_place(&mut self, most: usize) -> bool {
        let room = self.len() < most || planted("one_host_too_many");
        self.kept += usize::from(room);
        room
    }

    /// How often a host came or went; none while somebody is about to enter one or to let one go.
    pub(super) fn changes(&self) -> Option<u64> {
        let moves = self.kept + self.taken > 0 && !planted("nobody_waits_for_who_is_about_to_enter");
        (!moves).then_some(self.changes)
    }

    /// A host is forgotten that stands for that use, or was found in use.
    pub(super) fn strike(&mut self, used: Option<Moment>, origin: OriginId) {
        let struck = match used {
            Some(used) => self.hosts.remove(&(used, origin)),
            None => self.off.checked_sub(1).map(|off| self.off = off).is_some(),
        };
        self.changes += u64::from(struck);
    }

    /// The host that was used longest ago, as far as is known. Whoever takes it puts it back, leaves it off or says that it is gone.
    pub(super) fn take(&mut self) -> Option<(Moment, OriginId)> {
        let oldest = self.hosts.pop_first()?;
        self.taken += 1;
        Some(oldest)
    }

    pub(super) fn put_back(&mut self, used: Moment, origin: OriginId) {
        self.taken -= 1;
        self.hosts.insert((used, origin));
    }

    /// One that was taken is in use: it comes back by itself.
    pub(super) fn leave_off(&mut self) {
        self.taken -= 1;
        self.off += 1;
    }

    /// One that was left off is not in use any more.
    pub(super) fn come_back(&mut self, used: Moment, origin: OriginId) {
        self.off -= 1;
        self.hosts.insert((used, origin));
    }

    /// Whether any host was left off that has not come back.
    pub(super) fn is_anybody_off(&self) -> bool {
        self.off > 0
    }

    /// Hosts that are to be looked at yet before one more is refused: for this crate's own tests.
    #[cfg(feature = "__internals")]
    pub(super) fn standing(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn gone(&mut self) {
        self.taken -= 1;
        self.changes += 1;
    }
}

/// A place on a roll for one host to come: dropped, it is free again.
pub(super) struct KeptPlace<'a>(pub(super) &'a Mutex<Roll>);

impl KeptPlace<'_> {
    /// The host has come.
    pub(super) fn enter(self, used: Moment, origin: OriginId) {
        let mut roll = self.0.lock();
        roll.hosts.insert((used, origin)); // for a moment it counts twice, and never not at all
        roll.changes += 1;
    }
}

impl Drop for KeptPlace<'_> {
    fn drop(&mut self) {
        self.0.lock().kept -= 1;
    }
}
