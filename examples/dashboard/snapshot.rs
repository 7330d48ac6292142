//! What the page shows, all of one moment: the pool's own numbers, and how long the load's answers took.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::latency::Summary;
use crate::rows::{Blocked, Condition, Host, Ip, State, Totals, millis};
use crate::show::{Show, SwitchState};

/// So many moments make the timeline.
const MOMENTS: usize = 240;
/// Over which the rate of answers is taken, in milliseconds.
const RATE_OVER: u64 = 1_000;

/// Everything of one moment. Times are in milliseconds, latencies in microseconds.
#[derive(Serialize)]
pub(crate) struct Snapshot {
    /// From 1, one more each time.
    pub(crate) seq: u64,
    /// Since the beginning.
    pub(crate) at_ms: u64,
    /// From one snapshot to the next.
    every_ms: u64,
    /// So many moments fit into the timeline.
    moments: usize,
    /// What happens, in words.
    pub(crate) step: String,
    health: Condition,
    pub(crate) totals: Totals,
    hot: Summary,
    cold: Summary,
    pub(crate) hosts: Vec<Host>,
    pub(crate) blocked: Vec<Blocked>,
    /// Why connections closed, most first.
    closes: Vec<(&'static str, u64)>,
    /// In which phase dials failed, most first.
    failures: Vec<(&'static str, u64)>,
    switches: Vec<SwitchState>,
    timeline: VecDeque<Point>,
    /// What was done, and when.
    marks: Vec<(u64, String)>,
}

/// A moment of the timeline.
#[derive(Clone, Serialize)]
struct Point {
    at: u64,
    active: u32,
    idle: u32,
    /// Addresses that are avoided, each counted for every host of which it is one.
    blocked: usize,
    /// Answers so far.
    answered: u64,
}

impl Snapshot {
    /// The next one after `last`. `at`: since the beginning; `every`: from one to the next.
    pub(crate) fn take(show: &Show, last: Option<&Snapshot>, (at, every): (Duration, Duration)) -> Self {
        let stats = show.pool.stats();
        let blocks = show.pool.manager().blocklist();
        let latencies = show.load.latencies.lock();
        let (answered, failed) = show.load.counts();
        let mut hosts = Vec::new();
        for ((target, addresses), origin) in show.site.origins().into_iter().zip(&show.origins) {
            let known = stats.hosts.iter().find(|host| *host.target == *target);
            let ips = addresses.iter().map(|address| {
                let hot = latencies.of_address(&target, address.ip);
                Ip::new(address.ip, known, &blocks, hot)
            });
            let (ips, offers) = (ips.collect(), origin.require.offers());
            let protocol = offers.first().map_or("", |first| first.alpn());
            hosts.push(Host::new(target, protocol, known, ips));
        }
        let now = Point {
            at: millis(at),
            active: stats.active,
            idle: stats.idle,
            blocked: hosts.iter().map(Host::blocked).sum(),
            answered,
        };
        let mut timeline = last.map(|last| last.timeline.clone()).unwrap_or_default();
        let before = timeline.iter().rev().find(|then| then.at + RATE_OVER <= now.at);
        let rate = answered - before.map_or(0, |then| then.answered);
        timeline.push_back(now);
        timeline.drain(..timeline.len().saturating_sub(MOMENTS));
        // What was done before the first moment is shown until there are moments enough.
        let full = timeline.len() == MOMENTS;
        let oldest = timeline.front().filter(|_| full).map_or(0, |first| first.at);
        let marks = show.marks.lock();
        Snapshot {
            seq: last.map_or(1, |last| last.seq + 1),
            at_ms: millis(at),
            every_ms: millis(every),
            moments: MOMENTS,
            step: show.step.lock().clone(),
            health: Condition::of(&show.pool.health()),
            totals: Totals::new(&stats, (answered, failed, rate)),
            hot: latencies.hot(),
            cold: latencies.cold(),
            blocked: blocks.iter().map(Blocked::new).collect(),
            closes: most_first(
                stats
                    .counters
                    .closes_by_reason()
                    .map(|(reason, count)| (reason.name(), count)),
            ),
            failures: most_first(
                stats
                    .counters
                    .failures_by_phase()
                    .map(|(phase, count)| (phase.name(), count)),
            ),
            switches: show.switches(),
            marks: marks.iter().filter(|(at, _)| *at >= oldest).cloned().collect(),
            hosts,
            timeline,
        }
    }

    /// Live connections to the address at this place, over all hosts, as `hosts` has them.
    pub(crate) fn live_at(&self, ip: IpAddr) -> u32 {
        let ips = self.hosts.iter().flat_map(|host| &host.ips);
        ips.filter(|row| row.ip == ip).map(|row| row.live).sum()
    }

    /// How many hosts avoid this address.
    pub(crate) fn avoided(&self, ip: IpAddr) -> usize {
        let ips = self.hosts.iter().flat_map(|host| &host.ips);
        ips.filter(|row| row.ip == ip && row.state == State::Blocked)
            .count()
    }
}

/// Of equal ones, those first that come first.
fn most_first<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Vec<(&'a str, u64)> {
    let mut all: Vec<_> = counts.collect();
    all.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    all
}
