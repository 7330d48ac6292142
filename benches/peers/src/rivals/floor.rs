//! The floor: what keeping connections by name costs if nothing else is done. No limits, no ages, no counts, no look at the stream.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::SHARDS;
use crate::contender::{Contender, Duplex};
use crate::server::{Dialler, Server, Stream};

/// One name with its idle values.
struct Entry<V> {
    hash: u64,
    name: Box<str>,
    idle: Vec<Box<Record<V>>>,
}

/// A value that is at home under a hash, and how often it was lent.
pub(crate) struct Record<V> {
    hash: u64,
    entry: usize,
    lent: u64,
    pub(crate) value: V,
}

/// A table under sharded mutexes with a keyed hash. What it lends knows its own hash and place: a return compares no text.
pub(crate) struct Floor<V> {
    shards: Vec<Mutex<Shard<V>>>,
    hasher: RandomState,
}

struct Shard<V> {
    table: HashTable<usize>,
    entries: Vec<Entry<V>>,
}

impl<V> Floor<V> {
    pub(crate) fn new() -> Self {
        let shard = || Shard {
            table: HashTable::new(),
            entries: Vec::new(),
        };
        Floor {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard<V>> {
        // The table takes the high bits and the low ones: these are from between.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    pub(crate) fn insert(&self, name: &str, value: V) {
        let hash = self.hasher.hash_one(name);
        let Shard { table, entries } = &mut *self.shard(hash).lock();
        let found = table.find(hash, |&at| *entries[at].name == *name).copied();
        let entry = found.unwrap_or_else(|| {
            entries.push(Entry {
                hash,
                name: name.into(),
                idle: Vec::new(),
            });
            let at = entries.len() - 1;
            table.insert_unique(hash, at, |&at| entries[at].hash);
            at
        });
        let record = Record {
            hash,
            entry,
            lent: 0,
            value,
        };
        entries[entry].idle.push(Box::new(record));
    }

    pub(crate) fn take(&self, name: &str) -> Option<Box<Record<V>>> {
        let hash = self.hasher.hash_one(name);
        let Shard { table, entries } = &mut *self.shard(hash).lock();
        let &at = table.find(hash, |&at| *entries[at].name == *name)?;
        let mut record = entries[at].idle.pop()?;
        record.lent += 1;
        Some(record)
    }

    pub(crate) fn give(&self, record: Box<Record<V>>) {
        let mut shard = self.shard(record.hash).lock();
        shard.entries[record.entry].idle.push(record);
    }
}

/// The floor with connections of one host.
pub(crate) struct Streams {
    floor: Floor<Stream>,
    target: String,
    dialler: Dialler,
}

impl Streams {
    pub(crate) async fn new(server: &Server, idle: usize) -> Self {
        let streams = Streams {
            floor: Floor::new(),
            target: server.target(),
            dialler: server.dialler(),
        };
        for stream in super::dial(&streams.dialler, idle).await {
            streams.floor.insert(&streams.target, stream);
        }
        streams
    }
}

impl Contender for Streams {
    type Lease = Box<Record<Stream>>;

    async fn get(&self) -> Self::Lease {
        self.floor.take(&self.target).expect("an idle connection")
    }

    fn put(&self, lease: Self::Lease) {
        self.floor.give(lease);
    }

    fn stream<'l>(&self, lease: &'l mut Self::Lease) -> Option<&'l mut dyn Duplex> {
        Some(&mut lease.value)
    }

    fn dials(&self) -> u64 {
        self.dialler.dials()
    }
}
