//! Which hosts there are, by when each was asked for last: who goes when there is one too many.
//!
//! A `get` writes down its time at its host alone. The roll has a time for each host that may be past and is put right when the host's turn
//! to go comes: so the order is exact, and a hit costs nothing.

use std::collections::BTreeSet;

use crate::clock::Moment;
use crate::machine::OriginId;

/// All hosts, by the latest use that the roll knows of.
#[derive(Default)]
pub(super) struct Roll(BTreeSet<(Moment, OriginId)>);

impl Roll {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn enter(&mut self, used: Moment, origin: OriginId) {
        self.0.insert((used, origin));
    }

    pub(super) fn strike(&mut self, used: Moment, origin: OriginId) {
        self.0.remove(&(used, origin));
    }

    /// The host that was least recently used, as far as is known; it is off the roll then.
    pub(super) fn pop(&mut self) -> Option<(Moment, OriginId)> {
        self.0.pop_first()
    }
}
