//! Where the hosts are: shards, each a table under one lock.
//!
//! A host is found by the hash of its canonical text, keyed by a seed of the pool's own, and either that text or its id. The id carries
//! the hash, so that what knows the id never hashes again.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::AtomicU64 as StaticAtomicU64; // a model checker's own cannot be static

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;

use super::host::Host;
use super::stats::Counters;
use crate::machine::OriginId;
use crate::sync::{AtomicU64, BriefMutex, Ordering, chance};

/// The hash of a host's canonical text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl Hash {
    /// Spread over all bits: a table takes its bucket from the low ones and a tag from the high ones, and the lowest have chosen the shard.
    const fn spread(self) -> u64 {
        (self.0 as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(32)
    }

    const fn of(origin: OriginId) -> Self {
        Hash(origin.0 as u32)
    }
}

/// What a host is looked up by.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) hash: Hash,
    pub(super) text: &'a str,
    /// The host that this text was found to name the last time, which saves comparing the text.
    pub(super) met: Option<&'a Met>,
}

/// No host's number.
const NOBODY: u64 = 0;

/// The host that a text named when it was last looked up.
#[derive(Debug, Default)]
pub(super) struct Met(AtomicU64);

/// How many shards there are, and what decides on a host's.
fn layout() -> (usize, SeedableRandomState) {
    if cfg!(feature = "__shuttle") {
        // So that a schedule can be had again, on any machine. Two hosts share a shard, or they do not.
        return (
            2,
            SeedableRandomState::with_seed(chance(), SharedSeed::global_fixed()),
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = (4 * cores).next_power_of_two();
    // The seed comes from the operating system: who chooses host names must not be able to choose their buckets.
    let hasher = SeedableRandomState::with_seed(chance(), SharedSeed::global_random());
    (shards, hasher)
}

/// Every host of a pool.
pub(super) struct Directory {
    shards: Box<[BriefMutex<Shard>]>,
    hasher: SeedableRandomState,
    /// Hosts there ever were.
    born: AtomicU64,
    /// A number that no other directory of this process has or had: hashes and ids mean nothing elsewhere.
    pub(super) number: u64,
}

static DIRECTORIES: StaticAtomicU64 = StaticAtomicU64::new(0);

impl Directory {
    pub(super) fn new() -> Self {
        let (shards, hasher) = layout();
        Directory {
            shards: (0..shards).map(|_| BriefMutex::new(Shard::default())).collect(),
            hasher,
            born: AtomicU64::new(1), // after `NOBODY`
            number: DIRECTORIES.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What to look a text up by.
    #[inline]
    pub(super) fn key<'a>(&self, text: &'a str) -> Key<'a> {
        let hash = self.hash(text);
        Key {
            hash,
            text,
            met: None,
        }
    }

    pub(super) fn hash(&self, text: &str) -> Hash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text.as_bytes());
        Hash(hasher.finish() as u32)
    }

    /// A number of this pool's own for `origin`'s machine to draw from.
    pub(super) fn seed(&self, origin: OriginId) -> u64 {
        self.hasher.hash_one(origin)
    }

    /// The id of a host that is about to be entered. 2^32 hosts later a number comes again, for another hash.
    pub(super) fn next_id(&self, hash: Hash) -> OriginId {
        let number = self.born.fetch_add(1, Ordering::Relaxed);
        OriginId(number << 32 | u64::from(hash.0))
    }

    /// The shard of the host whose text has this hash.
    #[inline]
    pub(super) fn shard(&self, hash: Hash) -> &BriefMutex<Shard> {
        &self.shards[hash.0 as usize & (self.shards.len() - 1)]
    }

    pub(super) fn shard_of(&self, origin: OriginId) -> &BriefMutex<Shard> {
        self.shard(Hash::of(origin))
    }

    /// All shards, in the order in which whoever needs several locks them.
    pub(super) fn shards(&self) -> impl Iterator<Item = &BriefMutex<Shard>> {
        self.shards.iter()
    }
}

/// Some of a pool's hosts.
#[derive(Default)]
pub(super) struct Shard {
    table: HashTable<Box<Host>>,
    /// What hosts that were forgotten had counted.
    pub(super) forgotten: Counters,
}

impl Shard {
    /// The host of this canonical text. Any other text finds nothing, so a find proves the text canonical.
    #[inline]
    pub(super) fn named(&mut self, key: &Key<'_>) -> Option<&mut Host> {
        let Key { hash, text, met } = *key;
        let before = met.map_or(NOBODY, |met| met.0.load(Ordering::Relaxed));
        let found = self.table.find_mut(hash.spread(), |host| {
            host.id.0 == before || host.target.as_str() == text
        })?;
        if let Some(met) = met
            && found.id.0 != before
        {
            met.0.store(found.id.0, Ordering::Relaxed);
        }
        Some(found)
    }

    pub(super) fn by_id(&mut self, id: OriginId) -> Option<&mut Host> {
        let found = self.table.find_mut(Hash::of(id).spread(), |host| host.id == id)?;
        Some(found)
    }

    pub(super) fn insert(&mut self, host: Box<Host>) {
        let hash = Hash::of(host.id).spread();
        self.table
            .insert_unique(hash, host, |other| Hash::of(other.id).spread());
    }

    /// Forgets a host that has nothing alive; its counts are kept.
    pub(super) fn forget(&mut self, id: OriginId) {
        let found = self.table.find_entry(Hash::of(id).spread(), |host| host.id == id);
        if let Ok(entry) = found {
            let (host, _) = entry.remove();
            self.forgotten.add(&host.counters);
        }
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.table.iter().map(|host| &**host)
    }
}
