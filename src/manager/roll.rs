//! Which hosts there are, by when each was asked for last: who goes when there is one too many.
//!
//! A `get` writes down its time at its host alone. The roll has a time for each host that may be past and is put right when the host's turn
//! to go comes: so the order is exact, and a hit costs nothing.

use std::collections::BTreeSet;

use crate::clock::Moment;
use crate::machine::OriginId;

/// All hosts, by the latest use that the roll knows of.
#[derive(Default)]
pub(super) struct Roll {
    hosts: BTreeSet<(Moment, OriginId)>,
    /// Those that somebody has taken to look at. They still count.
    taken: usize,
}

impl Roll {
    pub(super) fn len(&self) -> usize {
        self.hosts.len() + self.taken
    }

    pub(super) fn enter(&mut self, used: Moment, origin: OriginId) {
        self.hosts.insert((used, origin));
    }

    pub(super) fn strike(&mut self, used: Moment, origin: OriginId) {
        self.hosts.remove(&(used, origin));
    }

    /// The host that was used longest ago, as far as is known. Whoever takes it puts it back or says that it is gone.
    pub(super) fn take(&mut self) -> Option<(Moment, OriginId)> {
        let oldest = self.hosts.pop_first()?;
        self.taken += 1;
        Some(oldest)
    }

    pub(super) fn put_back(&mut self, used: Moment, origin: OriginId) {
        self.gone();
        self.enter(used, origin);
    }

    pub(super) fn gone(&mut self) {
        self.taken -= 1;
    }
}
