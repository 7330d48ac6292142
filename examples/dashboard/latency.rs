//! How long answers took: the last ones, cold and hot, for everybody and by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::samples::Samples;

/// So many count: what is shown is how it is now.
const HOT: usize = 2_000;
const COLD: usize = 200;
const OF_ADDRESS: usize = 200;

pub(crate) struct Latencies {
    hot: Samples,
    cold: Samples,
    by_address: HashMap<(String, IpAddr), Samples>,
}

/// What samples come to, in microseconds; null without any.
#[derive(Serialize)]
pub(crate) struct Summary {
    samples: u64,
    p50: Option<u64>,
    p99: Option<u64>,
    /// How many in each bucket.
    buckets: Vec<u32>,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            hot: Samples::keeping(HOT),
            cold: Samples::keeping(COLD),
            by_address: HashMap::new(),
        }
    }
}

impl Latencies {
    pub(crate) fn note(&mut self, target: &str, ip: IpAddr, cold: bool, took: Duration) {
        if cold {
            return self.cold.push(took);
        }
        self.hot.push(took);
        let of_address = self.by_address.entry((target.to_owned(), ip));
        of_address
            .or_insert_with(|| Samples::keeping(OF_ADDRESS))
            .push(took);
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
        samples.percentile(50)
    }
}

impl Summary {
    fn of(samples: &Samples) -> Self {
        Summary {
            samples: samples.count(),
            p50: samples.percentile(50),
            p99: samples.percentile(99),
            buckets: samples.buckets().to_vec(),
        }
    }
}
