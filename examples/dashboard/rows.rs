//! The parts of a snapshot, each made of what the pool says.

use std::net::IpAddr;
use std::time::Duration;

use hotpool::{Block, BlockCause, Counters, Health, HostStats, Scope, Stats, Trouble};
use serde::Serialize;

/// How the pool is.
#[derive(Serialize)]
pub(crate) struct Condition {
    well: bool,
    word: &'static str,
    why: String,
}

/// Of the whole pool.
#[derive(Serialize)]
pub(crate) struct Totals {
    pub(crate) live: u32,
    idle: u32,
    active: u32,
    leases: u32,
    dialling: u32,
    waiting: u32,
    gets: u64,
    hits: u64,
    /// Hits of all gets, 0 to 1; null before the first.
    reuse: Option<f64>,
    dials: u64,
    /// Attempts to dial that failed.
    attempts_failed: u64,
    opened: u64,
    closed: u64,
    /// Requests of the load that got an answer, and that got none.
    answered: u64,
    failed: u64,
    /// Answers in the last second.
    pub(crate) rate: u64,
}

/// One name.
#[derive(Serialize)]
pub(crate) struct Host {
    target: String,
    protocol: &'static str,
    live: u32,
    gets: u64,
    reuse: Option<f64>,
    pub(crate) ips: Vec<Ip>,
}

/// One address of one host.
#[derive(Serialize)]
pub(crate) struct Ip {
    pub(crate) ip: IpAddr,
    pub(crate) state: State,
    pub(crate) live: u32,
    idle: u32,
    active: u32,
    leases: u32,
    dialling: u32,
    /// For how long it is avoided yet; null if it is not, or until the owner says otherwise.
    blocked_ms: Option<u64>,
    /// The median of what was hot there.
    hot_p50: Option<u64>,
}

/// How an address is, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Blocked,
    InUse,
    Ready,
    Dialling,
    Empty,
}

/// What is avoided, why, and for how long yet; null: until it is taken back.
#[derive(Serialize)]
pub(crate) struct Blocked {
    scope: String,
    pub(crate) cause: &'static str,
    left_ms: Option<u64>,
}

impl Condition {
    pub(crate) fn of(health: &Health) -> Self {
        let (word, why) = match health {
            Health::Empty => ("empty", "Nothing is alive.".to_owned()),
            Health::Warming => ("warming", "The first connections are being dialled.".to_owned()),
            Health::Healthy => ("healthy", "Something is alive, and nothing is wrong.".to_owned()),
            Health::Degraded(troubles) => (
                "degraded",
                troubles.iter().map(trouble).collect::<Vec<_>>().join(" "),
            ),
            _ => ("closed", "The pool is closed.".to_owned()),
        };
        let well = !matches!(health, Health::Degraded(_));
        Condition { well, word, why }
    }
}

fn trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Descriptors { open, limit } => format!("{open} of {limit} descriptors are open."),
        Trouble::Blocked { target } => format!("Every address of {target} is avoided."),
        Trouble::Unanswered { connections } => {
            format!("{connections} HTTP/2 connections owe a sign of life.")
        }
        Trouble::Panicked { job } => format!("The job {job} panicked."),
        other => format!("{other:?}."),
    }
}

impl Totals {
    /// `load`: requests answered, requests that failed, answers in the last second.
    pub(crate) fn new(stats: &Stats, load: (u64, u64, u64)) -> Self {
        let counters = &stats.counters;
        Totals {
            live: stats.total,
            idle: stats.idle,
            active: stats.active,
            leases: stats.leases,
            dialling: stats.dialling,
            waiting: stats.waiting,
            gets: counters.gets,
            hits: counters.hits,
            reuse: reuse(counters),
            dials: counters.dials,
            attempts_failed: counters.failures_by_phase().map(|(_, count)| count).sum(),
            opened: counters.opened,
            closed: counters.closed(),
            answered: load.0,
            failed: load.1,
            rate: load.2,
        }
    }
}

impl Host {
    /// `known`: none before anybody asked for it.
    pub(crate) fn new(
        target: String,
        protocol: &'static str,
        known: Option<&HostStats>,
        ips: Vec<Ip>,
    ) -> Self {
        Host {
            target,
            protocol,
            live: known.map_or(0, |host| host.total),
            gets: known.map_or(0, |host| host.counters.gets),
            reuse: known.and_then(|host| reuse(&host.counters)),
            ips,
        }
    }

    /// How many of its addresses are avoided.
    pub(crate) fn blocked(&self) -> usize {
        self.ips.iter().filter(|ip| ip.state == State::Blocked).count()
    }
}

/// `None` where nothing was asked for: a share of nothing is no number.
fn reuse(counters: &Counters) -> Option<f64> {
    (counters.gets > 0).then(|| counters.hits as f64 / counters.gets as f64)
}

impl Ip {
    /// What the pool says of one of a host's addresses. One that it does not mention has nothing.
    pub(crate) fn new(ip: IpAddr, known: Option<&HostStats>, blocks: &[Block], hot_p50: Option<u64>) -> Self {
        let scopes = known.map(|host| (Scope::address(&host.target, ip).ok(), Scope::from(ip)));
        let block = blocks.iter().find(|block| {
            scopes.as_ref().is_some_and(|(here, everywhere)| {
                Some(&block.scope) == here.as_ref() || block.scope == *everywhere
            })
        });
        let stats = known.and_then(|host| host.ips.iter().find(|stats| stats.ip == ip));
        let count = |of: fn(&hotpool::IpStats) -> u32| stats.map_or(0, of);
        let (live, active, dialling) = (
            count(|ip| ip.total),
            count(|ip| ip.active),
            count(|ip| ip.dialling),
        );
        let state = match (block, live, active, dialling) {
            (Some(_), ..) => State::Blocked,
            (None, 0, _, 0) => State::Empty,
            (None, 0, ..) => State::Dialling,
            (None, _, 0, _) => State::Ready,
            (None, ..) => State::InUse,
        };
        Ip {
            ip,
            state,
            live,
            idle: count(|ip| ip.idle),
            active,
            leases: count(|ip| ip.leases),
            dialling,
            blocked_ms: block.and_then(|block| block.left).map(millis),
            hot_p50,
        }
    }
}

impl Blocked {
    pub(crate) fn new(block: &Block) -> Self {
        Blocked {
            scope: block.scope.to_string(),
            cause: match block.cause {
                BlockCause::Owner => "owner",
                BlockCause::Connect => "connect",
                BlockCause::Tls => "tls",
                BlockCause::Protocol => "protocol",
                BlockCause::Status => "status",
                _ => "other",
            },
            left_ms: block.left.map(millis),
        }
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
