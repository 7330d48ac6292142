//! What is recorded when it is asked for: gauges as they are, and what was counted since the last time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ::metrics::{Label, SharedString};

use super::hosts::{HostLabels, OTHER};
use super::names::{
    AVOIDED, CLOSED, DIALLING, DIALS, FAILURES, GETS, HITS, HOSTS, LEAKED, LEASES, OPEN, OPENED, PENALTIES,
    RECOVERED, TIMEOUTS, WAITING, WAITS,
};
use super::{Shared, lock};
use crate::fault::planted;
use crate::{Block, BlockCause, CloseReason, Counters, HostStats, Phase, Stats};

/// One line of [`Counters`]: a metric and the attribute that tells it from the others of its name.
type Line = (&'static str, Option<(&'static str, &'static str)>, u64);

/// Every line, in one order.
fn lines(counters: &Counters) -> Vec<Line> {
    let plain = [
        (GETS, counters.gets),
        (HITS, counters.hits),
        (WAITS, counters.waits),
        (TIMEOUTS, counters.timeouts),
        (LEAKED, counters.leaked),
        (RECOVERED, counters.recovered),
        (DIALS, counters.dials),
        (OPENED, counters.opened),
    ];
    let plain = plain.into_iter().map(|(name, count)| (name, None, count));
    let failures = Phase::ALL.iter().map(|&phase| {
        let phase_label = Some(("hotpool.phase", phase.name()));
        (FAILURES, phase_label, counters.failures(phase))
    });
    let closes = CloseReason::ALL.iter().map(|&reason| {
        let reason_label = Some(("hotpool.reason", reason.name()));
        (CLOSED, reason_label, counters.closes(reason))
    });
    plain.chain(failures).chain(closes).collect()
}

/// What `now` has more than `before`. A host that was forgotten and is known again began anew.
fn since(now: &[Line], before: &[u64]) -> Vec<u64> {
    let anew = now.iter().zip(before).any(|((.., now), before)| now < before);
    let before = |line: usize| before.get(line).filter(|_| !anew).copied().unwrap_or(0);
    let grown = now.iter().enumerate();
    grown.map(|(line, &(.., now))| now - before(line)).collect()
}

/// What one host is doing now, or several under one name.
#[derive(Default)]
struct Doing {
    leases: u32,
    dialling: u32,
    waiting: u32,
    avoided: u32,
    /// Idle and active connections: by address, if that is asked for.
    open: BTreeMap<Option<Arc<str>>, [u32; 2]>,
}

/// What was recorded up to now.
pub(super) struct Book {
    max_addresses: usize,
    /// What each host that has a name of its own had counted.
    counted: HashMap<Box<str>, Vec<u64>>,
    /// What the pool had counted.
    total: Vec<u64>,
    /// The hosts, and the addresses of each, that were ever shown: what has gone is shown as nothing.
    shown: BTreeMap<HostLabels, BTreeSet<Option<Arc<str>>>>,
    addresses: BTreeMap<(HostLabels, IpAddr), Arc<str>>,
}

impl Book {
    pub(super) fn new(max_addresses: usize) -> Self {
        Book {
            max_addresses,
            counted: HashMap::new(),
            total: Vec::new(),
            shown: BTreeMap::new(),
            addresses: BTreeMap::new(),
        }
    }

    pub(super) fn enter(&mut self, shared: &Shared, stats: &Stats) {
        shared.gauge(HOSTS, None, Vec::new(), stats.hosts.len() as f64);
        self.enter_counters(shared, stats);
        self.enter_gauges(shared, stats);
    }

    /// What hosts with a name of their own have counted goes under it; what is left of the pool's own count is everybody else's: of those without a name, and of
    /// those that the pool has forgotten since.
    fn enter_counters(&mut self, shared: &Shared, stats: &Stats) {
        let all = lines(&stats.counters);
        let mut rest = since(&all, &self.total);
        self.total = all.iter().map(|&(.., count)| count).collect();
        for host in &stats.hosts {
            let named = lock(&shared.hosts).named(&host.target);
            let Some(labels) = named else { continue };
            let own = lines(&host.counters);
            let before = self.counted.entry(host.target.clone()).or_default();
            let grown = since(&own, before);
            *before = own.iter().map(|&(.., count)| count).collect();
            for (rest, grown) in rest.iter_mut().zip(&grown) {
                *rest = rest.saturating_sub(*grown);
            }
            record(shared, &labels, &own, &grown);
        }
        let other = lock(&shared.hosts).other.clone();
        if !planted("the_forgotten_are_not_counted") {
            record(shared, &other, &all, &rest);
        }
    }

    fn enter_gauges(&mut self, shared: &Shared, stats: &Stats) {
        let mut doing: BTreeMap<HostLabels, Doing> = BTreeMap::new();
        for host in &stats.hosts {
            let labels = lock(&shared.hosts).shown(&host.target);
            let open = self.open(&labels, host);
            doing.entry(labels).or_default().add(host, open);
        }
        for (labels, doing) in &doing {
            let shown = self.shown.entry(labels.clone()).or_default();
            shown.extend(doing.open.keys().cloned());
        }
        let nothing = Doing::default();
        for (labels, addresses) in &self.shown {
            let doing = doing.get(labels);
            if doing.is_none() && planted("what_has_gone_is_shown_for_ever") {
                continue;
            }
            doing.unwrap_or(&nothing).record(shared, labels, addresses);
        }
    }

    /// The open connections of a host, by address if that is asked for.
    fn open(&mut self, labels: &HostLabels, host: &HostStats) -> Vec<(Option<Arc<str>>, [u32; 2])> {
        if self.max_addresses == 0 {
            return vec![(None, [host.idle, host.active])];
        }
        let of = host.ips.iter();
        of.map(|ip| (Some(self.address(labels, ip.ip)), [ip.idle, ip.active]))
            .collect()
    }

    /// How an address is shown.
    fn address(&mut self, labels: &HostLabels, ip: IpAddr) -> Arc<str> {
        let pair = (labels.clone(), ip);
        if let Some(known) = self.addresses.get(&pair) {
            return Arc::clone(known);
        }
        if self.addresses.len() >= self.max_addresses {
            return OTHER.into();
        }
        let text: Arc<str> = ip.to_string().into();
        self.addresses.insert(pair, Arc::clone(&text));
        text
    }

    pub(super) fn penalties(&self, shared: &Shared, blocks: &[Block]) {
        let causes = [
            (BlockCause::Owner, "owner"),
            (BlockCause::Connect, "connect"),
            (BlockCause::Tls, "tls"),
            (BlockCause::Protocol, "protocol"),
            (BlockCause::Status, "status"),
        ];
        for (cause, name) in causes {
            let count = blocks.iter().filter(|block| block.cause == cause).count();
            let cause = Label::from_static_parts("hotpool.cause", name);
            shared.gauge(PENALTIES, None, vec![cause], count as f64);
        }
    }
}

fn record(shared: &Shared, labels: &HostLabels, lines: &[Line], grown: &[u64]) {
    for (&(name, more, _), &by) in lines.iter().zip(grown) {
        // What never happened has no series, but where there is but one.
        if by > 0 || more.is_none() {
            let more = more.map(|(key, value)| Label::from_static_parts(key, value));
            shared.count(name, labels, more.into_iter().collect(), by);
        }
    }
}

impl Doing {
    fn add(&mut self, host: &HostStats, open: Vec<(Option<Arc<str>>, [u32; 2])>) {
        self.leases += host.leases;
        self.dialling += host.dialling;
        self.waiting += host.waiting;
        self.avoided += host.ips.iter().filter(|ip| ip.blocked.is_some()).count() as u32;
        for (address, [idle, active]) in open {
            let sum = self.open.entry(address).or_default();
            *sum = [sum[0] + idle, sum[1] + active];
        }
    }

    fn record(&self, shared: &Shared, labels: &HostLabels, addresses: &BTreeSet<Option<Arc<str>>>) {
        let gauge = |name, value| shared.gauge(name, Some(labels), Vec::new(), f64::from(value));
        gauge(LEASES, self.leases);
        gauge(DIALLING, self.dialling);
        gauge(WAITING, self.waiting);
        gauge(AVOIDED, self.avoided);
        for address in addresses {
            let open = self.open.get(address).copied().unwrap_or_default();
            for (state, count) in ["idle", "active"].into_iter().zip(open) {
                let mut more = vec![Label::from_static_parts("http.connection.state", state)];
                let address = address.clone().map(SharedString::from);
                more.extend(address.map(|address| Label::new("network.peer.address", address)));
                shared.gauge(OPEN, Some(labels), more, f64::from(count));
            }
        }
    }
}
