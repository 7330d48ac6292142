//! What the requests of one row came to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hotpool::{ConnInfo, Counters, IpStats};

use crate::failure::Failure;
use crate::hold::Held;
use crate::samples::Samples;

/// After so many failures in a row the rest is given up: a peer that refuses is not to be hammered.
const GIVE_UP: u32 = 5;

/// So many samples of each kind are kept: the last ones.
const SAMPLES: usize = 100_000;

/// A whole answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Where it came from.
    pub(crate) ip: IpAddr,
    /// Whether it was the first request on its connection.
    pub(crate) first: bool,
    /// Cold or hot latency, as `--help` defines them.
    pub(crate) took: Duration,
}

/// What the requests of one target and protocol came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) all: Latencies,
    /// The same by address.
    pub(crate) by_ip: BTreeMap<IpAddr, Latencies>,
    /// Failures by kind.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Kinds of failure and what else went wrong, with one example each, in words.
    pub(crate) troubles: BTreeMap<String, String>,
    /// Failures since the last success.
    in_a_row: u32,
    /// The connections that carried requests, by serial number.
    pub(crate) connections: BTreeMap<u64, ConnInfo>,
    /// What the pool thinks of the addresses, as it was before it was closed.
    pub(crate) states: Vec<IpStats>,
    /// The pool's own count, taken when it was closed.
    pub(crate) counters: Counters,
    /// What became of the connections that were held, if any were.
    pub(crate) held: Option<Held>,
}

/// How long requests took, the first ones on their connections apart.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    pub(crate) cold: Samples,
    pub(crate) hot: Samples,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            cold: Samples::keeping(SAMPLES),
            hot: Samples::keeping(SAMPLES),
        }
    }
}

impl Latencies {
    fn add(&mut self, sample: Sample) {
        match sample.first {
            true => self.cold.push(sample.took),
            false => self.hot.push(sample.took),
        }
    }
}

impl Tally {
    /// Notes a connection that is about to carry a request. Answers whether it is its first.
    pub(crate) fn meet(&mut self, info: &ConnInfo) -> bool {
        self.connections.insert(info.serial, info.clone()).is_none()
    }

    pub(crate) fn add(&mut self, result: Result<Sample, Failure>) {
        match result {
            Ok(sample) => {
                self.in_a_row = 0;
                self.all.add(sample);
                self.by_ip.entry(sample.ip).or_default().add(sample);
            }
            // The pool holds off after failures that are counted already: nothing is to be learnt from more of the same.
            Err(failure) if failure.is_blocked() && !self.errors.is_empty() => self.in_a_row = GIVE_UP,
            Err(failure) => {
                self.in_a_row += 1;
                let kind = failure.kind().into_owned();
                self.trouble(&kind, &failure);
                *self.errors.entry(kind).or_default() += 1;
            }
        }
    }

    /// Keeps the first of its kind.
    pub(crate) fn trouble(&mut self, kind: &str, what: &Failure) {
        self.troubles
            .entry(kind.to_owned())
            .or_insert_with(|| what.to_string());
    }

    /// Whether more requests would only fail.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.in_a_row >= GIVE_UP
    }

    pub(crate) fn ok(&self) -> u64 {
        self.all.cold.count() + self.all.hot.count()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The share of answered requests on connections that had carried one before, 0 to 1.
    pub(crate) fn reuse_rate(&self) -> f64 {
        self.all.hot.count() as f64 / self.ok().max(1) as f64
    }
}
