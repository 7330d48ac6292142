//! The other pools, each with connections of the same kind, as many as ours, to the same server.

pub(crate) mod bb8;
pub(crate) mod deadpool;
pub(crate) mod floor;
pub(crate) mod legacy;
pub(crate) mod pingora;

use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use crate::server::{Dialler, Stream};

/// How many shards a map has that stands before pools which know no keys.
const SHARDS: usize = 64;

/// So many new connections.
async fn dial(dialler: &Dialler, idle: usize) -> Vec<Stream> {
    let mut streams = Vec::with_capacity(idle);
    for _ in 0..idle {
        streams.push(dialler.dial().await.expect("a connection"));
    }
    streams
}

/// A map from names to what is cheap to clone, with a keyed hash, under sharded mutexes: as light a keyed map as a user would write.
struct Keyed<V> {
    shards: Vec<Mutex<std::collections::HashMap<String, V>>>,
    hasher: RandomState,
}

impl<V: Clone> Keyed<V> {
    fn with(name: String, value: V) -> Self {
        let keyed = Keyed {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        };
        keyed.shard(&name).lock().insert(name, value);
        keyed
    }

    fn shard(&self, name: &str) -> &Mutex<std::collections::HashMap<String, V>> {
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }

    fn of(&self, name: &str) -> V {
        let shard = self.shard(name).lock();
        shard.get(name).expect("a known name").clone()
    }
}
