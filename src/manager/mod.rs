//! The connections of a pool: per host and per IP, lent, taken back and closed as the rules of [`machine`](crate::machine) say.
//!
//! # Locks
//!
//! | lock | guards | never under it |
//! |---|---|---|
//! | a shard's (`directory`), a brief one | the hosts of that shard: machine, live connections, senders to those who wait | another shard's lock or the desk's, a wake-up, dropping a connection, an identity or one of those senders, I/O |
//! | the desk's (`Inner::desk`) | the Ledger of permits over all hosts, the penalties of addresses | a shard's lock, a wake-up, I/O |
//! | the work's (`settle`) | what is to be done, in which order, and whether somebody is at it | any other lock, doing it; taken under a shard's, to leave an errand |
//! | the wheel's (`Inner::wheel`) | when to look at which host again | any other lock |
//! | the jobs' (`checks`, `upkeep`: `Inner::checks`, `blocked`, `rounds`) | what each job keeps from one turn to the next | any other lock, anything but copying it |
//! | the dials' (`Inner::dials`) | what ends the dials under way | any other lock, a wake-up |
//! | the audience's (`observer`) | who is told of events | telling them, dropping one, any other lock |
//! | a closer's (`closing`) | the owner's steps, and their reports | any other lock, a step |
//! | the roll's (`roll`) | which hosts there are, by their last known use | any other lock; taken under a shard's, for a host that leaves it or comes back |
//! | the bell's (`alarm`) | which resting connections to look at | any other lock |
//! | the identities' (`Inner::identities`) | which identity has which number | any other lock; taken under a shard's, by a miss |
//! | the owner's rules' (`Inner::rules`) | what is blocked and allowed by word | anything but changing or copying them; taken under a shard's, to bring them there |
//! | the settings' (`Inner::settings`) | the settings in force | anything but copying them; taken under a shard's or the desk's, by whoever brings them there |
//! | the book's of an HTTP/2 connection (`conn`) | what passed on it | a wake-up, I/O, any other lock; taken under a shard's, by whoever brings a lease home and by what the driver tells |
//! | the names' (`dns`) | what is known of names, and who is asked about which | asking a resolver, any other lock but a crowd's |
//! | a question's (`dns`) | a resolver's answer as it comes: one of those who wait polls it there | any other lock but its crowd's |
//! | a crowd's (`dns`) | who waits for a question, and what was heard | a wake-up, any other lock |
//! | an abort's (`live`) | who waits for a leased connection's bytes | a wake-up, cloning or dropping a waker, any other lock |
//!
//! No operation holds two of them, but for the cases in the table, and for the two that look at everything at once: `stats` and
//! `assert_invariants` lock all shards in index order, then the desk. What a machine wants done is collected under its lock
//! ([`Todo`](host::Todo), [`Errand`](host::Errand)) and done after it is released (`settle`). Errands of one host are done in the order in which its
//! machine gave them. Of what is not the pool's own, the clock alone is asked under locks: it may not ask back.

mod access;
mod alarm;
mod asking;
mod attached;
mod attempts;
mod blame;
mod checks;
mod cleaning;
mod closing;
mod connections;
mod control;
mod dialling;
mod directory;
mod ears;
mod get;
mod health;
mod heard;
mod hearing;
mod host;
mod hosts;
mod hotconn;
mod inner;
mod jobs;
mod judging;
mod leaks;
mod lent;
mod live;
mod name;
mod network;
mod observer;
mod order;
mod place;
mod race;
mod roll;
mod settle;
mod span;
mod stats;
mod upkeep;
mod validator;
mod warm;
mod word;

pub use access::{Block, BlockCause};
pub use attached::{Attached, RawH2};
pub use cleaning::{CleanupPolicy, Resting};
pub use closing::{CloseReport, StepOutcome, StepReport};
pub use connections::ConnectionManager;
pub use get::Get;
pub use health::{Health, Trouble};
pub use hotconn::{Detached, HotConn};
pub(crate) use inner::{Inner, Owners};
pub use jobs::TaskStats;
pub(crate) use jobs::{Job, Running};
pub use name::{Endpoint, IntoTarget};
pub use observer::{Event, Observer};
pub(crate) use order::Order;
pub use stats::{Counters, HostStats, IpStats, Stats};
pub use validator::{StatusValidator, Validating, Validator, Verdict};
pub use warm::{Warm, WarmReport};
