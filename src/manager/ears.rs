//! Who wants to hear when a connection goes idle: one look tells a `put` that nobody does.

use crate::sync::{AtomicU64, Ordering};

/// Somebody who may want to hear.
#[derive(Clone, Copy)]
pub(super) enum Ear {
    /// The desk, while anybody waits there for a permit: an idle connection is worth a word to it. Set and taken away under the desk's lock.
    Desk = 1,
    /// The roll, while a host is off it that was found in use. Set and taken away under the roll's lock.
    Roll = 2,
}

#[derive(Default)]
pub(super) struct Ears(AtomicU64);

impl Ears {
    /// Whether anybody wants to hear.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    pub(super) fn has(&self, ear: Ear) -> bool {
        self.0.load(Ordering::Acquire) & ear as u64 != 0
    }

    pub(super) fn set(&self, ear: Ear, hears: bool) {
        match hears {
            true => self.0.fetch_or(ear as u64, Ordering::AcqRel),
            false => self.0.fetch_and(!(ear as u64), Ordering::AcqRel),
        };
    }
}
