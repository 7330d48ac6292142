//! A row of the report: what `--json` prints, and what the table shows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hotpool::{ConnInfo, Require};
use serde::Serialize;

use crate::hold::Held;
use crate::percentile::percentile;
use crate::samples::BUCKETS;
use crate::tally::Tally;

/// One target over one protocol.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// `host` or `host:port`.
    pub(crate) target: String,
    /// The protocol that was asked for: `http/1.1` or `h2`.
    pub(crate) alpn: &'static str,
    /// Requests that were made.
    pub(crate) requests: u64,
    /// Of these, answered.
    pub(crate) ok: u64,
    /// The others, by kind.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Connections that the pool opened.
    pub(crate) connections_opened: u64,
    /// The share of answered requests on connections that had carried one before, 0 to 1.
    pub(crate) reuse_rate: f64,
    pub(crate) latency_us: Latency,
    /// The addresses whose connections carried requests, and those that are blocked.
    pub(crate) ips: Vec<Ip>,
    pub(crate) tls: Tls,
    /// Why connections closed, the end of the probe included (`pool_closed`): as many in all as were opened.
    pub(crate) closes: BTreeMap<&'static str, u64>,
    /// What became of the connections that were held; null if none were to be.
    pub(crate) held: Option<Held>,
    /// How many requests took how long: see [`Samples::buckets`](crate::samples::Samples::buckets).
    #[serde(skip)]
    pub(crate) cold: [u32; BUCKETS],
    #[serde(skip)]
    pub(crate) hot: [u32; BUCKETS],
}

/// In microseconds; null without a sample.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) cold_p50: Option<u64>,
    pub(crate) hot_p50: Option<u64>,
    pub(crate) hot_p99: Option<u64>,
}

/// One address.
#[derive(Debug, Serialize)]
pub(crate) struct Ip {
    pub(crate) ip: IpAddr,
    /// Connections to it that carried requests.
    pub(crate) connections: usize,
    /// How long TCP took to connect, the median over them.
    pub(crate) dial_us: Option<u64>,
    /// How long the handshake took, the same.
    pub(crate) tls_us: Option<u64>,
    /// The median of the requests that were the first on their connection to it, and of the others.
    pub(crate) cold_us: Option<u64>,
    pub(crate) hot_us: Option<u64>,
    /// Connections to it that were live at the end.
    pub(crate) live: u32,
    /// For how many milliseconds more the pool avoids it; null if it does not.
    pub(crate) blocked_ms: Option<u64>,
}

/// What the first connection agreed on; null without one.
#[derive(Debug, Serialize)]
pub(crate) struct Tls {
    pub(crate) version: Option<&'static str>,
    pub(crate) suite: Option<&'static str>,
    /// How many connections resumed an earlier session.
    pub(crate) resumed: usize,
}

impl Row {
    pub(crate) fn new(target: String, require: Require, tally: &Tally) -> Self {
        let closes = tally.counters.closes_by_reason();
        Row {
            target,
            alpn: require.offers().first().map_or("", |protocol| protocol.alpn()),
            requests: tally.ok() + tally.failed(),
            ok: tally.ok(),
            errors: tally.errors.clone(),
            connections_opened: tally.counters.opened,
            reuse_rate: tally.reuse_rate(),
            latency_us: Latency {
                cold_p50: tally.all.cold.percentile(50),
                hot_p50: tally.all.hot.percentile(50),
                hot_p99: tally.all.hot.percentile(99),
            },
            ips: ips(tally),
            tls: tls(tally.connections.values()),
            closes: closes.map(|(reason, count)| (reason.name(), count)).collect(),
            held: tally.held.clone(),
            cold: tally.all.cold.buckets(),
            hot: tally.all.hot.buckets(),
        }
    }

    /// Whether requests were made and every one was answered.
    pub(crate) fn is_good(&self) -> bool {
        self.ok > 0 && self.errors.is_empty()
    }
}

fn ips(tally: &Tally) -> Vec<Ip> {
    let mut by_ip: BTreeMap<IpAddr, Vec<&ConnInfo>> = BTreeMap::new();
    for info in tally.connections.values() {
        by_ip.entry(info.remote.ip()).or_default().push(info);
    }
    for state in tally.states.iter().filter(|state| state.blocked.is_some()) {
        by_ip.entry(state.ip).or_default();
    }
    let median = |infos: &[&ConnInfo], time: fn(&ConnInfo) -> Duration| {
        let samples: Vec<Duration> = infos.iter().map(|info| time(info)).collect();
        percentile(&samples, 50)
    };
    let rows = by_ip.into_iter().map(|(ip, infos)| {
        let state = tally.states.iter().find(|state| state.ip == ip);
        let latencies = tally.by_ip.get(&ip);
        let blocked = state.and_then(|state| state.blocked);
        Ip {
            ip,
            connections: infos.len(),
            dial_us: median(&infos, |info| info.connect_time),
            tls_us: median(&infos, |info| info.tls_time),
            cold_us: latencies.and_then(|all| all.cold.percentile(50)),
            hot_us: latencies.and_then(|all| all.hot.percentile(50)),
            live: state.map_or(0, |state| state.total),
            blocked_ms: blocked.map(millis),
        }
    });
    rows.collect()
}

fn tls<'a>(connections: impl Iterator<Item = &'a ConnInfo>) -> Tls {
    let all: Vec<_> = connections.map(|info| &info.tls).collect();
    Tls {
        version: all.first().map(|tls| tls.version),
        suite: all.first().map(|tls| tls.suite),
        resumed: all.iter().filter(|tls| tls.resumed).count(),
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
