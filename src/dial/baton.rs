//! Which of several attempts shakes hands.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use crate::fault::planted;

/// What the attempts of one dial race for: whoever has it goes on to TLS, and nobody else does.
#[derive(Debug, Default)]
pub(crate) struct Baton(AtomicU32);

/// One attempt's share in a race.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a> {
    baton: &'a Baton,
    runner: u32,
}

impl Baton {
    /// The number of whoever has it.
    pub(crate) fn holder(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&holder| holder != 0)
    }

    /// Takes it away: its holder failed.
    pub(crate) fn recover(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// A share for the attempt of this number, which is not zero.
    pub(crate) fn turn(&self, runner: u32) -> Turn<'_> {
        Turn { baton: self, runner }
    }
}

impl Turn<'_> {
    /// Comes back once the caller has the baton. Registers no waker: who runs the race polls every attempt whenever one has ended.
    pub(crate) async fn pass(self) {
        poll_fn(|_| match self.take() || planted("losers_shake_hands") {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// One task polls all attempts of a race: there is no order of memory to keep.
    fn take(self) -> bool {
        let Turn { baton, runner } = self;
        let free = baton
            .0
            .compare_exchange(0, runner, Ordering::Relaxed, Ordering::Relaxed);
        free.is_ok() || free == Err(runner)
    }
}
