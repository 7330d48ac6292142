//! How long requests took: the last ones, exact, and how many there were.

use std::collections::VecDeque;
use std::time::Duration;

use crate::percentile::percentile;

/// Buckets of a distribution: eight to a decade, from 10 µs to 100 ms; the last takes all that is longer.
pub(crate) const BUCKETS: usize = 33;
const TO_A_DECADE: f64 = 8.0;

#[derive(Clone, Debug)]
pub(crate) struct Samples {
    last: VecDeque<Duration>,
    most: usize,
    count: u64,
}

impl Samples {
    /// Keeps the last `most` of them: what is watched has no end.
    pub(crate) fn keeping(most: usize) -> Self {
        Samples {
            last: VecDeque::new(),
            most,
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, sample: Duration) {
        if self.last.len() == self.most {
            self.last.pop_front();
        }
        self.last.push_back(sample);
        self.count += 1;
    }

    /// How many there were, those that are not kept included.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Of those that are kept, in microseconds.
    pub(crate) fn percentile(&self, percent: usize) -> Option<u64> {
        percentile(&self.last.iter().copied().collect::<Vec<_>>(), percent)
    }

    pub(crate) fn buckets(&self) -> [u32; BUCKETS] {
        let mut buckets = [0; BUCKETS];
        for &sample in &self.last {
            buckets[bucket(sample)] += 1;
        }
        buckets
    }
}

fn bucket(sample: Duration) -> usize {
    let tens = (sample.as_secs_f64() / 10e-6).max(1.0);
    ((tens.log10() * TO_A_DECADE) as usize).min(BUCKETS - 1)
}
