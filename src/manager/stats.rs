//! What the pool counts, and the snapshot it shows.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::directory::Shard;
use super::host::Host;
use super::inner::Inner;
use super::jobs::TaskStats;
use crate::clock::Moment;
use crate::error::Phase;
use crate::event::CloseReason;
use crate::fault::planted;
#[cfg(feature = "__internals")]
use crate::machine::Ledger;
use crate::source::SourceStats;
use crate::sync::{BriefMutex, Ordering};

/// Counts that only grow.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Leases handed out, those included whose connection was found dead at the door.
    pub gets: u64,
    /// Of these, served by a connection that had been dialled before: a dial serves one miss, whatever it serves after that is a hit.
    pub hits: u64,
    /// Callers that stood in line, whatever came of it.
    pub waits: u64,
    /// How long they stood there, in all.
    pub wait_time: Duration,
    /// Callers whose time ran out.
    pub timeouts: u64,
    /// Leases that were out for longer than `leak_timeout`, unless their holder had said that it takes long.
    pub leaked: u64,
    /// Of these, the ones that came home after all.
    pub recovered: u64,
    /// Dials that began.
    pub dials: u64,
    /// Connections that came to be.
    pub opened: u64,
    failures: [u64; Phase::ALL.len()],
    closes: [u64; CloseReason::ALL.len()],
}

impl Counters {
    /// Attempts to dial, and resolutions, that failed in `phase`.
    pub fn failures(&self, phase: Phase) -> u64 {
        self.failures[phase as usize]
    }

    /// Connections that closed for `reason`.
    pub fn closes(&self, reason: CloseReason) -> u64 {
        self.closes[reason as usize]
    }

    /// Every reason that closed a connection, with how many.
    pub fn closes_by_reason(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        CloseReason::ALL
            .iter()
            .map(|&reason| (reason, self.closes(reason)))
            .filter(|&(_, count)| count > 0)
    }

    /// Every phase in which something failed, with how often.
    pub fn failures_by_phase(&self) -> impl Iterator<Item = (Phase, u64)> {
        Phase::ALL
            .iter()
            .map(|&phase| (phase, self.failures(phase)))
            .filter(|&(_, count)| count > 0)
    }

    /// Connections that closed.
    pub fn closed(&self) -> u64 {
        self.closes.iter().sum()
    }

    pub(super) fn count_failure(&mut self, phase: Phase) {
        self.failures[phase as usize] += 1;
    }

    pub(super) fn count_close(&mut self, reason: CloseReason) {
        self.closes[reason as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Counters) {
        let Counters {
            gets,
            hits,
            waits,
            wait_time,
            timeouts,
            leaked,
            recovered,
            dials,
            opened,
            failures,
            closes,
        } = other;
        self.gets += gets;
        self.hits += hits;
        self.waits += waits;
        self.wait_time += *wait_time;
        self.timeouts += timeouts;
        self.leaked += leaked;
        self.recovered += recovered;
        self.dials += dials;
        self.opened += opened;
        self.failures
            .iter_mut()
            .zip(failures)
            .for_each(|(sum, count)| *sum += count);
        self.closes
            .iter_mut()
            .zip(closes)
            .for_each(|(sum, count)| *sum += count);
    }
}

/// Leaves out what never happened.
impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Counters");
        out.field("gets", &self.gets).field("hits", &self.hits);
        out.field("waits", &self.waits)
            .field("wait_time", &self.wait_time)
            .field("timeouts", &self.timeouts);
        out.field("leaked", &self.leaked)
            .field("recovered", &self.recovered);
        out.field("dials", &self.dials).field("opened", &self.opened);
        let failures: Vec<_> = self.failures_by_phase().collect();
        let closes: Vec<_> = self.closes_by_reason().collect();
        out.field("failures", &failures).field("closes", &closes).finish()
    }
}

/// A snapshot of the whole pool, consistent in itself: it was taken under every lock at once.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Live connections: idle ones and leased ones.
    pub total: u32,
    /// Of these, ready and used by nobody.
    pub idle: u32,
    /// Of these, leased.
    pub active: u32,
    /// Leases out: one for each HTTP/1.1 connection in use, one for each HTTP/2 stream.
    pub leases: u32,
    /// Dials ordered and not ended, those that wait for a permit included.
    pub dialling: u32,
    /// Callers in line.
    pub waiting: u32,
    /// What was counted since the pool began, hosts it has since forgotten included.
    pub counters: Counters,
    /// Where its connections come from, of policies of its own and of calls.
    pub sources: SourceStats,
    /// The jobs that it runs by itself.
    pub tasks: Vec<TaskStats>,
    /// The hosts it knows, in no order.
    pub hosts: Vec<HostStats>,
}

/// A snapshot of one host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostStats {
    /// The host, as `host` or `host:port`.
    pub target: Box<str>,
    /// Live connections.
    pub total: u32,
    /// Of these, ready and used by nobody.
    pub idle: u32,
    /// Of these, leased.
    pub active: u32,
    /// Leases out.
    pub leases: u32,
    /// Dials ordered and not ended.
    pub dialling: u32,
    /// Callers in line.
    pub waiting: u32,
    /// What was counted since the host became known.
    pub counters: Counters,
    /// Its addresses that are in use or blocked, by number.
    pub ips: Vec<IpStats>,
}

/// A snapshot of one address of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IpStats {
    /// The address.
    pub ip: IpAddr,
    /// Live connections.
    pub total: u32,
    /// Of these, ready and used by nobody.
    pub idle: u32,
    /// Of these, leased.
    pub active: u32,
    /// Leases out.
    pub leases: u32,
    /// Attempts to dial it that are under way.
    pub dialling: u32,
    /// Callers in line for whom only this address will do.
    pub waiting: u32,
    /// For how long the address is avoided yet, because of what failed there, for this host or (where TCP cannot reach it) for any.
    pub blocked: Option<Duration>,
}

impl Inner {
    pub(super) fn stats(self: &Arc<Self>) -> Stats {
        let now = self.now_coarse();
        let shards: Vec<_> = self.directory.shards().map(BriefMutex::lock).collect();
        // Last, as ever, and for a copy: what failed is few.
        let blocked: BTreeMap<IpAddr, Moment> = self.desk.lock().penalties.list(now).collect();
        let mut stats = Stats {
            sources: self.dialler.sources(),
            tasks: self.task_stats(),
            ..Stats::default()
        };
        for shard in &shards {
            stats.counters.add(&shard.forgotten);
            for host in shard.hosts() {
                stats.add(host_stats(host, now, &blocked));
            }
        }
        stats
    }

    /// Live connections.
    pub(super) fn size(&self) -> usize {
        let of_shard = |shard: &Shard| {
            shard
                .hosts()
                .map(|host| host.machine.connections().count())
                .sum::<usize>()
        };
        self.directory.shards().map(|shard| of_shard(&shard.lock())).sum()
    }

    /// The desk's books, and how many orders lie there; for tests.
    #[cfg(feature = "__internals")]
    pub(super) fn books(&self) -> (Ledger, usize) {
        let desk = self.desk.lock();
        (desk.ledger.clone(), desk.orders.len())
    }

    /// Hosts on the wheel, and how many entries it holds for them; for tests.
    #[cfg(feature = "__internals")]
    pub(super) fn on_the_wheel(&self) -> (usize, usize) {
        let wheel = self.wheel.lock();
        (wheel.len(), wheel.held())
    }

    /// Panics if any of the books disagree; for tests.
    pub(super) fn assert_invariants(&self) {
        let shards: Vec<_> = self.directory.shards().map(BriefMutex::lock).collect();
        let mut ips: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for host in shards.iter().flat_map(|shard| shard.hosts()) {
            host.machine.assert_invariants();
            let live = host.machine.connections().count() as u64;
            let counters = &host.counters;
            assert_eq!(
                counters.opened - counters.closed(),
                live,
                "{:?}: opened - closed = live",
                host.target
            );
            assert_eq!(
                host.connections().count() as u64,
                live,
                "{:?}: one stream for each connection",
                host.target
            );
            for conn in host.machine.connections() {
                *ips.entry(conn.ip).or_default() += 1;
            }
        }
        self.assert_permits(&ips);
    }

    /// Every permit is a live connection's, a dial's, or on its way. Under all shards' locks.
    fn assert_permits(&self, live: &BTreeMap<IpAddr, u32>) {
        let desk = self.desk.lock();
        desk.ledger.assert_invariants();
        let (counts, in_transit) = (desk.ledger.counts(), self.in_transit.load(Ordering::Relaxed));
        assert_eq!(
            u64::from(counts.total),
            u64::from(live.values().sum::<u32>()) + u64::from(counts.dials) + in_transit,
            "permits out = live connections + {} dials + {in_transit} in transit",
            counts.dials
        );
        // A dial holds the permit of an address besides.
        if counts.dials == 0 && in_transit == 0 {
            let out: BTreeMap<_, _> = desk.ledger.ips().filter(|&(_, used)| used > 0).collect();
            assert_eq!(out, *live, "the permits of each address are its connections'");
            assert_eq!(
                desk.orders.len(),
                counts.waiting,
                "an order for each dial in line"
            );
        }
    }
}

impl Stats {
    fn add(&mut self, host: HostStats) {
        self.total += host.total;
        self.idle += host.idle;
        self.active += host.active;
        self.leases += host.leases;
        self.dialling += host.dialling;
        self.waiting += host.waiting;
        self.counters.add(&host.counters);
        self.hosts.push(host);
    }
}

fn host_stats(host: &Host, now: Moment, blocked: &BTreeMap<IpAddr, Moment>) -> HostStats {
    let counts = host.machine.counts();
    // Of live ones: a lease may outlive its connection, and the machine's own count of those leased goes by leases.
    let (total, active) = host.machine.connections().fold((0, 0), |(total, active), conn| {
        (total + 1, active + u32::from(conn.leases > 0))
    });
    let ips = ip_stats(host, now, blocked);
    HostStats {
        target: host.target.to_string().into(),
        total,
        idle: counts.idle,
        active,
        leases: counts.leases,
        dialling: counts.dialling,
        waiting: counts.waiting,
        counters: host.counters.clone(),
        ips,
    }
}

fn ip_stats(host: &Host, now: Moment, blocked: &BTreeMap<IpAddr, Moment>) -> Vec<IpStats> {
    let mut ips = BTreeMap::new();
    let mut add = |ip, count: &dyn Fn(&mut IpStats)| count(ips.entry(ip).or_insert_with(|| IpStats::new(ip)));
    host.machine.each_ip(|ip, counts| {
        add(ip, &|stats| {
            (stats.total, stats.idle, stats.leases) = (counts.connections, counts.idle, counts.leases);
        });
    });
    for conn in host.machine.connections() {
        add(conn.ip, &|stats| stats.active += u32::from(conn.leases > 0));
    }
    for &ip in host.dials.values().flat_map(|dial| &dial.at) {
        add(ip, &|stats| stats.dialling += 1);
    }
    host.machine
        .each_pinned(|ip, waiting| add(ip, &|stats| stats.waiting += waiting));
    let everywhere = host
        .machine
        .addresses()
        .filter_map(|ip| Some((ip, *blocked.get(&ip)?)));
    if planted("blocks_are_not_shown") {
        return ips.into_values().collect();
    }
    for (ip, until) in host.machine.penalties().list(now).chain(everywhere) {
        add(ip, &|stats| {
            stats.blocked = stats.blocked.max(Some(until.since(now)))
        });
    }
    ips.into_values().collect()
}

impl IpStats {
    fn new(ip: IpAddr) -> Self {
        IpStats {
            ip,
            total: 0,
            idle: 0,
            active: 0,
            leases: 0,
            dialling: 0,
            waiting: 0,
            blocked: None,
        }
    }
}
