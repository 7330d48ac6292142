//! How long answers took: the last ones, cold and hot, for everybody and by address.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::percentile::percentile;

/// The last so many samples count.
const HOT: usize = 2_000;
const COLD: usize = 200;
const OF_ADDRESS: usize = 200;

/// Buckets of the distribution: eight to a decade, from 10 µs on; the last takes all that is longer.
pub(crate) const BUCKETS: usize = 33;
const DECADE: f64 = 8.0;

#[derive(Default)]
pub(crate) struct Latencies {
    hot: VecDeque<Duration>,
    cold: VecDeque<Duration>,
    by_address: HashMap<(String, IpAddr), VecDeque<Duration>>,
}

/// What samples come to, in microseconds; null without any.
#[derive(Serialize)]
pub(crate) struct Summary {
    samples: usize,
    p50: Option<u64>,
    p99: Option<u64>,
    /// How many in each bucket.
    buckets: Vec<u32>,
}

impl Latencies {
    pub(crate) fn note(&mut self, target: &str, ip: IpAddr, cold: bool, took: Duration) {
        match cold {
            true => keep(&mut self.cold, COLD, took),
            false => {
                keep(&mut self.hot, HOT, took);
                let of_address = self.by_address.entry((target.to_owned(), ip)).or_default();
                keep(of_address, OF_ADDRESS, took);
            }
        }
    }

    pub(crate) fn hot(&self) -> Summary {
        Summary::of(&self.hot)
    }

    pub(crate) fn cold(&self) -> Summary {
        Summary::of(&self.cold)
    }

    /// The median of what was hot there.
    pub(crate) fn of_address(&self, target: &str, ip: IpAddr) -> Option<u64> {
        let samples = self.by_address.get(&(target.to_owned(), ip))?;
        percentile(&samples.iter().copied().collect::<Vec<_>>(), 50)
    }
}

fn keep(samples: &mut VecDeque<Duration>, most: usize, sample: Duration) {
    if samples.len() == most {
        samples.pop_front();
    }
    samples.push_back(sample);
}

impl Summary {
    fn of(samples: &VecDeque<Duration>) -> Self {
        let all: Vec<Duration> = samples.iter().copied().collect();
        let mut buckets = vec![0; BUCKETS];
        for sample in &all {
            buckets[bucket(*sample)] += 1;
        }
        Summary {
            samples: all.len(),
            p50: percentile(&all, 50),
            p99: percentile(&all, 99),
            buckets,
        }
    }
}

fn bucket(sample: Duration) -> usize {
    let tens = (sample.as_secs_f64() / 10e-6).max(1.0);
    ((tens.log10() * DECADE) as usize).min(BUCKETS - 1)
}
