//! A pool of ours with many hosts.
//!
//! On real TLS connections it holds as many as the process has descriptors for, two to each. On scripted ones (feature `scripted`) there
//! is room for the numbers that the limits speak of.

use std::time::Duration;

#[cfg(not(feature = "scripted"))]
use hotpool::StaticResolver;
use hotpool::clock::{Clock, SystemClock};
use hotpool::{Builder, GetOptions, HotConnPool, PoolConfig, Warm};

#[cfg(not(feature = "scripted"))]
use crate::server::ip;
use crate::server::{NAME, Server};

/// Whether connections are scripted.
pub(crate) const SCRIPTED: bool = cfg!(feature = "scripted");

/// A pool, and the hosts that it has idle connections to.
pub(crate) struct Field {
    pub(crate) pool: HotConnPool,
    pub(crate) names: Vec<String>,
    /// Bytes that this thread allocated for each connection and its share of a host.
    pub(crate) bytes: usize,
    /// Ends after the pool.
    _server: Option<Server>,
}

impl Field {
    /// So many hosts with so many idle connections each, all caps raised, by the system's clock.
    pub(crate) async fn new(hosts: usize, idle: usize) -> Self {
        Self::with_clock(hosts, idle, SystemClock::new()).await
    }

    pub(crate) async fn with_clock(hosts: usize, idle: usize, clock: impl Clock) -> Self {
        let builder = HotConnPool::builder().config(roomy()).clock(clock);
        let before = crate::meter::live_bytes();
        let (pool, names, server) = start(builder, hosts);
        for name in &names {
            let options = GetOptions::new();
            let warm = pool.warm(name.as_str(), Warm::Count(idle), options).await;
            let warm = warm.expect("connections");
            assert_eq!((warm.opened, warm.errors.len()), (idle, 0), "{:?}", warm.errors);
        }
        let bytes = usize::try_from(crate::meter::live_bytes() - before).expect("more than before");
        Field {
            bytes: bytes / (hosts * idle),
            pool,
            names,
            _server: server,
        }
    }
}

/// No cap is met, and nothing grows too old for another reason than having been idle.
fn roomy() -> PoolConfig {
    let mut config = PoolConfig::default();
    config.max_connections = 1_000_000;
    config.max_per_host = 1_000_000;
    config.max_per_ip = 1_000_000;
    config.max_idle_per_host = 1_000_000;
    config.max_lifetime = Duration::from_secs(24 * 3600);
    config
}

#[cfg(feature = "scripted")]
fn start(builder: Builder, hosts: usize) -> (HotConnPool, Vec<String>, Option<Server>) {
    /// As long as dropping a real one takes.
    const DROP: Duration = Duration::from_micros(10);
    let pool = hotpool::scripted::pool(builder, 1, DROP).expect("a pool");
    (pool, (0..hosts).map(|host| name(host, 443)).collect(), None)
}

#[cfg(not(feature = "scripted"))]
fn start(builder: Builder, hosts: usize) -> (HotConnPool, Vec<String>, Option<Server>) {
    let server = Server::start();
    let names: Vec<_> = (0..hosts).map(|host| name(host, server.port())).collect();
    let mut resolver = StaticResolver::new();
    for (name, number) in names.iter().zip(0..) {
        resolver = resolver.with(name.as_str(), [ip(number)]).expect("a target");
    }
    let pool = builder.roots(server.roots()).resolver(resolver).build();
    (pool.expect("a pool"), names, Some(server))
}

fn name(host: usize, port: u16) -> String {
    match port {
        443 => format!("h{host}.{NAME}"),
        port => format!("h{host}.{NAME}:{port}"),
    }
}
