//! Where the hosts are: shards, each a table under one lock.
//!
//! A host is found by its canonical text, whose hash is keyed by a seed of the pool's own, or by its id. The id says where it stands, so that what
//! knows the id never hashes and never searches.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::AtomicU64 as StaticAtomicU64; // a model checker's own cannot be static

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;
use slab::Slab;

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
}

/// Where a host stands: the lower half of its id. The upper half tells it from those that stood there before.
#[derive(Clone, Copy)]
struct Place(u32);

impl Place {
    const fn of(origin: OriginId) -> Self {
        Place(origin.0 as u32)
    }
}

/// What a host is looked up by.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) hash: Hash,
    pub(super) text: &'a str,
    /// The host that this text was found to name the last time, which saves the search.
    pub(super) met: Option<&'a Met>,
}

/// The host that a text named when it was last looked up; 0, which is no host's id, before that.
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
    /// A number that no other directory of this process has or had: hashes and ids mean nothing elsewhere.
    pub(super) number: u64,
}

static DIRECTORIES: StaticAtomicU64 = StaticAtomicU64::new(0);

impl Directory {
    pub(super) fn new() -> Self {
        let (shards, hasher) = layout();
        Directory {
            shards: (0..shards)
                .map(|number| BriefMutex::new(Shard::new(number, shards)))
                .collect(),
            hasher,
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

    /// The shard of the host whose text has this hash.
    #[inline]
    pub(super) fn shard(&self, hash: Hash) -> &BriefMutex<Shard> {
        self.numbered(hash.0)
    }

    /// The shard of the host with this id.
    #[inline]
    pub(super) fn shard_of(&self, origin: OriginId) -> &BriefMutex<Shard> {
        self.numbered(Place::of(origin).0)
    }

    /// The lowest bits say which, of a hash and of a place.
    #[inline]
    fn numbered(&self, bits: u32) -> &BriefMutex<Shard> {
        &self.shards[bits as usize & (self.shards.len() - 1)]
    }

    /// All shards, in the order in which whoever needs several locks them.
    pub(super) fn shards(&self) -> impl Iterator<Item = &BriefMutex<Shard>> {
        self.shards.iter()
    }
}

/// Some of a pool's hosts.
pub(super) struct Shard {
    hosts: Slab<Box<Host>>,
    /// Where they stand in `hosts`, by their texts.
    table: HashTable<u32>,
    /// What hosts that were forgotten had counted.
    pub(super) forgotten: Counters,
    /// The number of the next host, for the upper half of its id.
    next: u32,
    /// Which shard it is, in the lowest bits of a place, and how many bits that takes.
    number: usize,
    bits: u32,
}

impl Shard {
    /// One of so many, which is a power of two.
    fn new(number: usize, shards: usize) -> Self {
        Shard {
            hosts: Slab::new(),
            table: HashTable::new(),
            forgotten: Counters::default(),
            next: 1, // no id is 0: see `Met`
            number,
            bits: shards.trailing_zeros(),
        }
    }

    /// The host of this canonical text. Any other text finds nothing, so a find proves the text canonical.
    #[inline(always)]
    pub(super) fn named(&mut self, key: &Key<'_>) -> Option<&mut Host> {
        let met = key.met.map(|met| OriginId(met.0.load(Ordering::Relaxed)));
        let slot = match met.and_then(|id| self.slot_of(id)) {
            Some(slot) => slot,
            None => self.search(key)?,
        };
        Some(self.hosts.get_mut(slot)?)
    }

    fn search(&self, key: &Key<'_>) -> Option<usize> {
        let is_it = |&slot: &u32| {
            let host = self.hosts.get(slot as usize);
            host.is_some_and(|host| host.target.as_str() == key.text)
        };
        let slot = *self.table.find(key.hash.spread(), is_it)? as usize;
        if let Some(met) = key.met {
            met.0.store(self.hosts.get(slot)?.id.0, Ordering::Relaxed);
        }
        Some(slot)
    }

    #[inline]
    pub(super) fn by_id(&mut self, id: OriginId) -> Option<&mut Host> {
        let slot = self.slot_of(id)?;
        Some(self.hosts.get_mut(slot)?)
    }

    /// Where the host with this id stands, if it still does.
    #[inline(always)]
    fn slot_of(&self, id: OriginId) -> Option<usize> {
        let slot = (Place::of(id).0 >> self.bits) as usize;
        self.hosts.get(slot).filter(|host| host.id == id).map(|_| slot)
    }

    /// The id of the host that is entered next. 2^32 hosts of a shard later a number comes again.
    pub(super) fn next_id(&self) -> OriginId {
        let place = (self.hosts.vacant_key() << self.bits | self.number) as u32;
        OriginId(u64::from(self.next) << 32 | u64::from(place))
    }

    /// Enters a host that has the [`next_id`](Self::next_id).
    pub(super) fn insert(&mut self, host: Box<Host>) {
        let hash = host.hash.spread();
        let slot = self.hosts.insert(host);
        self.next = self.next.wrapping_add(1).max(1);
        let Shard { hosts, table, .. } = self;
        let hash_of = |&slot: &u32| hosts.get(slot as usize).map_or(0, |host| host.hash.spread());
        table.insert_unique(hash, slot as u32, hash_of);
    }

    /// Forgets a host that has nothing alive; its counts are kept.
    pub(super) fn forget(&mut self, id: OriginId) {
        let Some(slot) = self.slot_of(id) else { return };
        let host = self.hosts.remove(slot);
        self.forgotten.add(&host.counters);
        let found = self
            .table
            .find_entry(host.hash.spread(), |&other| other as usize == slot);
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().map(|(_, host)| &**host)
    }
}
