//! How far a dial has come, for those who run out of time while it goes on.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::error::Phase;

/// The phase a dial is in. Starts in line, for its permits.
#[derive(Debug)]
pub(crate) struct Progress {
    phase: AtomicU8,
    /// Rung when its host has learned more addresses.
    pub(crate) news: Notify,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress {
            phase: AtomicU8::new(Phase::Acquire as u8),
            news: Notify::new(),
        }
    }

    pub(crate) fn reach(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        let phase = self.phase.load(Ordering::Relaxed);
        Phase::ALL
            .iter()
            .copied()
            .find(|&known| known as u8 == phase)
            .unwrap_or(Phase::Acquire)
    }
}
