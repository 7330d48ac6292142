//! Which hosts there are, by when each was asked for last: who goes when there is one too many.
//!
//! A `get` writes down its time at its host alone. The roll has a time for each host that may be past and is put right when the host's turn
//! to go comes: so the order is exact, and a hit costs nothing.

use std::collections::BTreeSet;

use crate::clock::Moment;
use crate::fault::planted;
use crate::machine::OriginId;
use crate::sync::Mutex;

/// All hosts, by the latest use that the roll knows of.
#[derive(Default)]
pub(super) struct Roll {
    hosts: BTreeSet<(Moment, OriginId)>,
    /// Those that somebody has taken to look at. They still count.
    taken: usize,
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
        self.hosts.len() + self.taken + kept
    }

    /// Keeps a place for a host to come, if there are fewer than `most`. For a [`KeptPlace`] to give back.
    pub(super) fn keep_place(&mut self, most: usize) -> bool {
        let room = self.len() < most || planted("one_host_too_many");
        self.kept += usize::from(room);
        room
    }

    /// How often a host came or went; none while somebody is about to enter one or to let one go, beside the one who asks and has taken so many.
    pub(super) fn changes(&self, taken: usize) -> Option<u64> {
        let moves = self.kept + self.taken > taken && !planted("nobody_waits_for_who_is_about_to_enter");
        (!moves).then_some(self.changes)
    }

    pub(super) fn strike(&mut self, used: Moment, origin: OriginId) {
        self.changes += u64::from(self.hosts.remove(&(used, origin)));
    }

    /// The host that was used longest ago, as far as is known. Whoever takes it puts it back or says that it is gone.
    pub(super) fn take(&mut self) -> Option<(Moment, OriginId)> {
        let oldest = self.hosts.pop_first()?;
        self.taken += 1;
        Some(oldest)
    }

    pub(super) fn put_back(&mut self, used: Moment, origin: OriginId) {
        self.taken -= 1;
        self.hosts.insert((used, origin));
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
