//! A pool of ours with many hosts, over scripted connections: there is room for the numbers that the limits speak of.

use std::time::Duration;

use hotpool::clock::{Clock, SystemClock};
use hotpool::scripted::Stage;
use hotpool::{GetOptions, HotConnPool, PoolConfig, Warm};

use crate::server::NAME;

/// As long as dropping a real connection takes.
const DROP: Duration = Duration::from_micros(10);

/// A pool, and the hosts that it has idle connections to.
pub(crate) struct Field {
    pub(crate) pool: HotConnPool,
    pub(crate) names: Vec<String>,
    /// Bytes that this thread allocated for each connection and its share of a host.
    pub(crate) bytes: usize,
}

impl Field {
    /// So many hosts with so many idle connections each, all caps raised, by the system's clock.
    pub(crate) async fn new(hosts: usize, idle: usize) -> Self {
        let before = crate::meter::live_bytes();
        let mut field = Self::with_clock(hosts, SystemClock::new());
        field.warm(idle, idle).await;
        let bytes = usize::try_from(crate::meter::live_bytes() - before).expect("more than before");
        field.bytes = bytes / (hosts * idle);
        field
    }

    /// So many names, and no connection yet.
    pub(crate) fn with_clock(hosts: usize, clock: impl Clock) -> Self {
        Field {
            pool: Stage::with_drops(1, DROP).pool(roomy(), clock).expect("a pool"),
            names: (0..hosts).map(|host| format!("h{host}.{NAME}")).collect(),
            bytes: 0,
        }
    }

    /// Opens so many more connections to each host, which are then so many in all.
    pub(crate) async fn warm(&self, more: usize, in_all: usize) {
        for name in &self.names {
            let options = GetOptions::new();
            let warm = self.pool.warm(name.as_str(), Warm::Count(in_all), options).await;
            let warm = warm.expect("connections");
            assert_eq!((warm.opened, warm.errors.len()), (more, 0), "{:?}", warm.errors);
        }
    }
}

/// No cap is met, and nothing grows too old for another reason than having been idle.
fn roomy() -> PoolConfig {
    let mut config = PoolConfig::default();
    config.max_connections = 1_000_000;
    config.max_hosts = 1_000_000;
    config.leak_timeout = Duration::from_secs(24 * 3600);
    config.max_per_host = 1_000_000;
    config.max_per_ip = 1_000_000;
    config.max_idle_per_host = 1_000_000;
    config.max_lifetime = Duration::from_secs(24 * 3600);
    config
}
