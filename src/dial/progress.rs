//! How far a dial has come, for those who run out of time while it goes on.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::Phase;

/// The phase a dial is in. Starts in line, for its permits.
#[derive(Debug)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    pub(crate) fn new() -> Self {
        Progress(AtomicU8::new(Phase::Acquire as u8))
    }

    pub(crate) fn reach(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        let phase = self.0.load(Ordering::Relaxed);
        Phase::ALL
            .iter()
            .copied()
            .find(|&known| known as u8 == phase)
            .unwrap_or(Phase::Acquire)
    }
}
