//! Choices that follow from a seed: the same for the same seed, and no secret.

use crate::rng::Rng;

pub(super) struct Seed(Rng);

impl Seed {
    pub(super) fn new(seed: u64) -> Self {
        Seed(Rng::new(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `limit`; 0 if `limit` is 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0.below(limit as u64) as usize
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// One of `all`, which is not empty.
    pub(super) fn one<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).copied()
    }

    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in 1..all.len() {
            let other = self.below(last + 1);
            all.swap(last, other);
        }
    }
}
