//! deadpool, managed, one pool for each name behind a map.

use std::io;

use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleResult};

use super::Keyed;
use crate::contender::{Contender, Duplex};
use crate::server::{Dialler, Server, Stream};

pub(crate) struct Dials(Dialler);

impl Manager for Dials {
    type Type = Stream;
    type Error = io::Error;

    async fn create(&self) -> io::Result<Stream> {
        self.0.dial().await
    }

    /// Nothing is looked at: the least that a manager may do.
    async fn recycle(&self, _: &mut Stream, _: &Metrics) -> RecycleResult<io::Error> {
        Ok(())
    }
}

pub(crate) struct Deadpool {
    pools: Keyed<Pool<Dials>>,
    pool: Pool<Dials>,
    target: String,
}

impl Deadpool {
    pub(crate) async fn new(server: &Server, idle: usize) -> Self {
        let pool = Pool::builder(Dials(server.dialler())).max_size(idle).build();
        let pool = pool.expect("a pool");
        let mut leases = Vec::new();
        for _ in 0..idle {
            leases.push(pool.get().await.expect("a connection"));
        }
        drop(leases);
        let target = server.target();
        Deadpool {
            pools: Keyed::with(target.clone(), pool.clone()),
            pool,
            target,
        }
    }
}

impl Contender for Deadpool {
    type Lease = Object<Dials>;

    async fn get(&self) -> Self::Lease {
        let pool = self.pools.of(&self.target);
        pool.get().await.expect("an idle connection")
    }

    fn put(&self, lease: Self::Lease) {
        drop(lease);
    }

    fn stream<'l>(&self, lease: &'l mut Self::Lease) -> Option<&'l mut dyn Duplex> {
        Some(&mut **lease)
    }

    fn dials(&self) -> u64 {
        self.pool.manager().0.dials()
    }
}
