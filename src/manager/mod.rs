//! The connections of a pool: per host and per IP, lent, taken back and closed as the rules of [`machine`](crate::machine) say.
//!
//! # Locks
//!
//! | lock | guards | never under it |
//! |---|---|---|
//! | a shard's (`Inner::shards`) | the hosts of that shard: machine, live connections, senders to those who wait | another shard's lock or the desk's, a wake-up, dropping a connection, I/O |
//! | the desk's (`Inner::desk`) | the Ledger of permits over all hosts, the penalties of addresses | a shard's lock, a wake-up, I/O |
//! | the work's (`Inner::work`) | what is to be done, and whether somebody is at it | any other lock, doing it |
//! | the wheel's (`Inner::wheel`) | when to look at which host again | any other lock |
//! | the identities' (`Inner::identities`) | which identity has which number | any other lock |
//!
//! No operation holds two of them, but for a miss, which looks an identity up under its shard's, and the two that look at everything
//! at once: `stats` and `assert_invariants` lock all shards in index order, then the desk. What a machine wants done is collected under its lock ([`Todo`](host::Todo)) and done after it is released
//! (`settle`).

mod connections;
mod dialling;
mod host;
mod hotconn;
mod inner;
mod order;
mod place;
mod settle;
mod stats;
mod upkeep;
mod warm;

pub use connections::{CloseReport, ConnectionManager};
pub use hotconn::HotConn;
pub(crate) use inner::Inner;
pub(crate) use order::Order;
pub use stats::{Counters, HostStats, IpStats, Stats};
pub use warm::{Warm, WarmReport};
