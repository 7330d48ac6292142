//! hyper-util's legacy pool: what hyper's old client and reqwest stand on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use hyper_util::client::legacy::pool::{Config, Pool, Poolable, Pooled, Reservation, Ver};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::contender::{Contender, Duplex};
use crate::server::{Dialler, Server, Stream};

type Key = (Scheme, Authority);

/// A connection as the client pools it: whether it is open is one atomic read, as it is there. That sees less than our look at the stream.
pub(crate) struct Conn {
    stream: Stream,
    open: Arc<AtomicBool>,
}

impl Poolable for Conn {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    fn reserve(self) -> Reservation<Self> {
        Reservation::Unique(self)
    }

    fn can_share(&self) -> bool {
        false
    }
}

pub(crate) struct Legacy {
    pool: Pool<Conn, Key>,
    key: Key,
    dialler: Dialler,
}

impl Legacy {
    /// With the settings that the client has by default.
    pub(crate) async fn new(server: &Server, idle: usize) -> Self {
        let config = Config {
            idle_timeout: Some(Duration::from_secs(90)),
            max_idle_per_host: usize::MAX,
        };
        let pool = Pool::new(config, TokioExecutor::new(), None::<TokioTimer>);
        let key = (Scheme::HTTPS, server.target().parse().expect("an authority"));
        let dialler = server.dialler();
        let mut leases = Vec::new();
        for stream in super::dial(&dialler, idle).await {
            let open = Arc::new(AtomicBool::new(true));
            let connecting = pool.connecting(&key, Ver::Auto).expect("HTTP/1.1 shares no dial");
            leases.push(pool.pooled(connecting, Conn { stream, open }));
        }
        drop(leases);
        Legacy { pool, key, dialler }
    }
}

impl Contender for Legacy {
    type Lease = Pooled<Conn, Key>;

    async fn get(&self) -> Self::Lease {
        // The client makes a key of its own for every request.
        let checkout = self.pool.checkout(self.key.clone());
        checkout.await.expect("an idle connection")
    }

    fn put(&self, lease: Self::Lease) {
        drop(lease);
    }

    fn stream<'l>(&self, lease: &'l mut Self::Lease) -> Option<&'l mut dyn Duplex> {
        Some(&mut lease.stream)
    }

    fn dials(&self) -> u64 {
        self.dialler.dials()
    }
}
