//! Where an attempt stops between TCP and TLS, until it is known whether it goes on.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

/// ```text
/// AHEAD ──the attempt is connected──▶ REACHED ──let through──▶ OPEN
/// ```
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU8);

const AHEAD: u8 = 0;
const REACHED: u8 = 1;
const OPEN: u8 = 2;

impl Gate {
    /// Passes as soon as it is open. It wakes nobody: whoever opens it polls the attempt again.
    pub(crate) async fn pass(&self) {
        poll_fn(|_| {
            match self
                .0
                .compare_exchange(AHEAD, REACHED, Ordering::Relaxed, Ordering::Relaxed)
            {
                Err(OPEN) => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// Whether an attempt stands before it.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.load(Ordering::Relaxed) == REACHED
    }

    /// Lets its attempt through, once and for all.
    pub(crate) fn open(&self) {
        self.0.store(OPEN, Ordering::Relaxed);
    }
}
