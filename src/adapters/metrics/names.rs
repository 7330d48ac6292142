//! The names of what is recorded, and how they reach a recorder.

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit,
};

use super::Shared;
use super::hosts::HostLabels;
use crate::Protocol;

pub(super) const OPEN: &str = "http.client.open_connections";
pub(super) const DURATION: &str = "http.client.connection.duration";
pub(super) const QUEUE: &str = "http.client.request.time_in_queue";
pub(super) const SETUP: &str = "hotpool.connection.setup.duration";
pub(super) const HOSTS: &str = "hotpool.hosts";
pub(super) const LEASES: &str = "hotpool.leases";
pub(super) const DIALLING: &str = "hotpool.dialling";
pub(super) const WAITING: &str = "hotpool.waiting";
pub(super) const AVOIDED: &str = "hotpool.addresses.avoided";
pub(super) const PENALTIES: &str = "hotpool.penalties";
pub(super) const GETS: &str = "hotpool.gets";
pub(super) const HITS: &str = "hotpool.hits";
pub(super) const WAITS: &str = "hotpool.waits";
pub(super) const TIMEOUTS: &str = "hotpool.timeouts";
pub(super) const LEAKED: &str = "hotpool.leaked";
pub(super) const RECOVERED: &str = "hotpool.recovered";
pub(super) const DIALS: &str = "hotpool.dials";
pub(super) const OPENED: &str = "hotpool.opened";
pub(super) const FAILURES: &str = "hotpool.failures";
pub(super) const CLOSED: &str = "hotpool.closed";

const GAUGES: &[(&str, &str)] = &[
    (OPEN, "Connections by state: active (leased), idle (ready)"),
    (HOSTS, "Hosts that the pool knows"),
    (LEASES, "Leases out"),
    (DIALLING, "Dials ordered and not ended"),
    (WAITING, "Callers in line"),
    (AVOIDED, "Addresses that are avoided because of what failed there"),
    (PENALTIES, "Entries of the blocklist"),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    (DURATION, "How long connections lived"),
    (QUEUE, "How long callers waited for a connection"),
    (SETUP, "How long each phase of a dial took"),
];

const COUNTERS: &[(&str, &str)] = &[
    (GETS, "Leases handed out"),
    (HITS, "Leases served by a connection that stood"),
    (WAITS, "Callers that stood in line"),
    (TIMEOUTS, "Callers whose time ran out"),
    (LEAKED, "Leases that were out for too long"),
    (RECOVERED, "Leaked leases that came home after all"),
    (DIALS, "Dials that began"),
    (OPENED, "Connections that came to be"),
    (FAILURES, "Attempts and resolutions that failed"),
    (CLOSED, "Connections that closed"),
];

pub(super) fn describe(recorder: &dyn Recorder) {
    for &(name, text) in GAUGES {
        recorder.describe_gauge(name.into(), Some(Unit::Count), text.into());
    }
    for &(name, text) in HISTOGRAMS {
        recorder.describe_histogram(name.into(), Some(Unit::Seconds), text.into());
    }
    for &(name, text) in COUNTERS {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
}

const METADATA: Metadata<'static> = Metadata::new("hotpool", Level::INFO, None);

impl Shared {
    fn key(&self, name: &'static str, host: Option<&HostLabels>, more: Vec<Label>) -> Key {
        let mut labels = self.base.clone();
        labels.extend(host.into_iter().flat_map(HostLabels::labels));
        labels.extend(more);
        Key::from_parts(name, labels)
    }

    pub(super) fn gauge(&self, name: &'static str, host: Option<&HostLabels>, more: Vec<Label>, value: f64) {
        let key = self.key(name, host, more);
        self.recorder.register_gauge(&key, &METADATA).set(value);
    }

    pub(super) fn count(&self, name: &'static str, host: &HostLabels, more: Vec<Label>, by: u64) {
        let key = self.key(name, Some(host), more);
        self.recorder.register_counter(&key, &METADATA).increment(by);
    }

    pub(super) fn seconds(&self, name: &'static str, host: &HostLabels, more: Vec<Label>, seconds: f64) {
        let key = self.key(name, Some(host), more);
        self.recorder.register_histogram(&key, &METADATA).record(seconds);
    }
}

pub(super) fn version(protocol: Protocol) -> Label {
    let version = match protocol {
        Protocol::Http1 => "1.1",
        Protocol::Http2 => "2",
    };
    Label::from_static_parts("network.protocol.version", version)
}

/// The recorder of the process, whichever that is by then.
pub(super) struct Global;

impl Recorder for Global {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        ::metrics::with_recorder(|recorder| recorder.describe_counter(key, unit, text));
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        ::metrics::with_recorder(|recorder| recorder.describe_gauge(key, unit, text));
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        ::metrics::with_recorder(|recorder| recorder.describe_histogram(key, unit, text));
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        ::metrics::with_recorder(|recorder| recorder.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        ::metrics::with_recorder(|recorder| recorder.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        ::metrics::with_recorder(|recorder| recorder.register_histogram(key, metadata))
    }
}
