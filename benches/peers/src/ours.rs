//! The pool under test.

use hotpool::{HotConn, HotConnPool, Protocol, StaticResolver, Warm};

use crate::contender::{Contender, Duplex};
use crate::server::{IPS, Server, ip};

/// How the host is named in each `get`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// By its text, which each call looks up.
    Name,
    /// By what was made of the text once.
    Endpoint,
}

/// What the row of [`By::Endpoint`] is called.
pub(crate) const ENDPOINT: &str = "hotpool, by Endpoint";

/// The default configuration, with connections to one host over all its addresses, or to the first of them.
pub(crate) struct Ours {
    pub(crate) pool: HotConnPool,
    target: String,
    endpoint: hotpool::Endpoint,
    by: By,
}

impl Ours {
    pub(crate) async fn new(server: &Server, by: By, idle: usize) -> Self {
        let target = server.target();
        let addresses = if idle == 1 { 1 } else { IPS };
        let ips = (0..addresses).map(|number| ip(number.into()));
        let resolver = StaticResolver::new()
            .with(target.as_str(), ips)
            .expect("a target");
        let pool = HotConnPool::builder()
            .roots(server.roots())
            .resolver(resolver)
            .build()
            .expect("a pool");
        let each = idle / usize::from(addresses);
        let options = hotpool::GetOptions::new();
        let warm = pool.warm(target.as_str(), Warm::EveryIp(each), options).await;
        let warm = warm.expect("connections");
        assert_eq!((warm.opened, warm.errors.len()), (idle, 0), "{:?}", warm.errors);
        Ours {
            endpoint: pool.endpoint(&target).expect("a target"),
            pool,
            target,
            by,
        }
    }
}

impl Contender for Ours {
    type Lease = HotConn;

    async fn get(&self) -> HotConn {
        let got = match self.by {
            By::Name => self.pool.get(self.target.as_str()).await,
            By::Endpoint => self.pool.get(&self.endpoint).await,
        };
        got.expect("an idle connection")
    }

    fn put(&self, lease: HotConn) {
        let kept = self.pool.put(lease);
        assert!(matches!(kept, hotpool::Returned::Kept), "{kept:?}");
    }

    fn stream<'l>(&self, lease: &'l mut HotConn) -> Option<&'l mut dyn Duplex> {
        assert_eq!(lease.protocol(), Protocol::Http1);
        Some(lease)
    }

    fn settled(&self, lease: &mut HotConn) {
        lease.assume_clean();
    }

    fn dials(&self) -> u64 {
        self.pool.stats().counters.opened
    }
}
