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
        Self::with_clock(hosts, idle, SystemClock::new()).await
    }

    pub(crate) async fn with_clock(hosts: usize, idle: usize, clock: impl Clock) -> Self {
        let names: Vec<_> = (0..hosts).map(|host| format!("h{host}.{NAME}")).collect();
        let stage = Stage::with_drops(1, DROP);
        let before = crate::meter::live_bytes();
        let pool = stage.pool(roomy(), clock).expect("a pool");
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
