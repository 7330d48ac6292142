//! Cycles over many hosts in random order, and over a map of as many records of the same size.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotpool::{HotConn, Returned};

use crate::contender::{Contender, Duplex};
use crate::field::Field;
use crate::rivals::floor::{Floor, Record};

/// Every host once, in an order without a pattern, over and over.
struct Walk {
    order: Vec<u32>,
    next: AtomicUsize,
}

impl Walk {
    fn new(hosts: usize) -> Self {
        let mut order: Vec<u32> = (0..).take(hosts).collect();
        let mut random = Random::new(7);
        for last in (1..hosts).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        Walk {
            order,
            next: AtomicUsize::new(0),
        }
    }

    /// One thread walks at a time: a read and a write will do, which cost nothing.
    fn step(&self) -> usize {
        let at = self.next.load(Ordering::Relaxed);
        let after = if at + 1 == self.order.len() { 0 } else { at + 1 };
        self.next.store(after, Ordering::Relaxed);
        self.order[at] as usize
    }
}

/// Numbers without a pattern, the same in every run (xorshift64*, Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// Our pool, one idle connection to each host.
pub(crate) struct Hosts {
    field: Field,
    walk: Walk,
}

impl Hosts {
    pub(crate) async fn new(hosts: usize) -> Self {
        Hosts {
            field: Field::new(hosts, 1).await,
            walk: Walk::new(hosts),
        }
    }

    /// Bytes for each host and its connection.
    pub(crate) fn bytes(&self) -> usize {
        self.field.bytes
    }
}

impl Contender for Hosts {
    type Lease = HotConn;

    async fn get(&self) -> HotConn {
        let name = self.field.names[self.walk.step()].as_str();
        self.field.pool.get(name).await.expect("an idle connection")
    }

    fn put(&self, lease: HotConn) {
        let kept = self.field.pool.put(lease);
        assert!(matches!(kept, Returned::Kept), "{kept:?}");
    }

    fn stream<'l>(&self, _: &'l mut HotConn) -> Option<&'l mut dyn Duplex> {
        None
    }

    fn dials(&self) -> u64 {
        self.field.pool.stats().counters.opened
    }
}

/// A sharded map that holds records of the same size, each of which is read and written when it is taken and when it is given back.
pub(crate) struct Map {
    floor: Floor<Box<[u64]>>,
    names: Vec<String>,
    walk: Walk,
}

impl Map {
    pub(crate) fn new(hosts: &Hosts) -> Self {
        let names = hosts.field.names.clone();
        let floor = Floor::new();
        for name in &names {
            floor.insert(name, vec![0; hosts.field.bytes.div_ceil(8)].into());
        }
        Map {
            floor,
            walk: Walk::new(names.len()),
            names,
        }
    }
}

impl Contender for Map {
    type Lease = Box<Record<Box<[u64]>>>;

    async fn get(&self) -> Self::Lease {
        let name = self.names[self.walk.step()].as_str();
        let mut record = self.floor.take(name).expect("a record");
        touch(&mut record.value);
        record
    }

    fn put(&self, mut lease: Self::Lease) {
        touch(&mut lease.value);
        self.floor.give(lease);
    }

    fn stream<'l>(&self, _: &'l mut Self::Lease) -> Option<&'l mut dyn Duplex> {
        None
    }

    fn dials(&self) -> u64 {
        self.names.len() as u64
    }
}

/// Every cache line of the record, once: what a record of that size costs who uses it, however it is laid out.
fn touch(record: &mut [u64]) {
    const LINE: usize = 64 / size_of::<u64>();
    for word in record.iter_mut().step_by(LINE) {
        *word = black_box(*word + 1);
    }
}
