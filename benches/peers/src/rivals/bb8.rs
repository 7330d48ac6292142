//! bb8, one pool for each name behind a map, with the settings that it has by default.

use std::io;
use std::sync::Arc;

use bb8::{ManageConnection, Pool, PooledConnection};

use super::Keyed;
use crate::contender::{Contender, Duplex};
use crate::server::{Dialler, Server, Stream};

pub(crate) struct Dials(Arc<Dialler>);

impl ManageConnection for Dials {
    type Connection = Stream;
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Stream> {
        self.0.dial().await
    }

    /// Nothing is looked at: the least that a manager may do.
    async fn is_valid(&self, _: &mut Stream) -> io::Result<()> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Stream) -> bool {
        false
    }
}

pub(crate) struct Bb8 {
    pools: Keyed<Pool<Dials>>,
    target: String,
    dialler: Arc<Dialler>,
}

impl Bb8 {
    pub(crate) async fn new(server: &Server, idle: usize) -> Self {
        let dialler = Arc::new(server.dialler());
        let size = u32::try_from(idle).expect("a small number");
        let pool = Pool::builder().max_size(size).min_idle(size);
        let pool = pool
            .build(Dials(Arc::clone(&dialler)))
            .await
            .expect("connections");
        let target = server.target();
        Bb8 {
            pools: Keyed::with(target.clone(), pool),
            target,
            dialler,
        }
    }
}

impl Contender for Bb8 {
    type Lease = PooledConnection<'static, Dials>;

    async fn get(&self) -> Self::Lease {
        let pool = self.pools.of(&self.target);
        pool.get_owned().await.expect("an idle connection")
    }

    fn put(&self, lease: Self::Lease) {
        drop(lease);
    }

    fn stream<'l>(&self, lease: &'l mut Self::Lease) -> Option<&'l mut dyn Duplex> {
        Some(&mut **lease)
    }

    fn dials(&self) -> u64 {
        self.dialler.dials()
    }
}
