//! The pool: what a user builds, asks and closes.

mod builder;
mod options;
mod upkeep;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::Builder;
pub use self::options::GetOptions;
use self::options::Judges;
use crate::clock::Clock;
use crate::config::PoolConfig;
use crate::dial::Connect;
use crate::dns::DnsSnapshot;
use crate::error::Error;
use crate::event::Returned;
use crate::manager::{
    CloseReport, ConnectionManager, Endpoint, Get, Health, HotConn, Inner, IntoTarget, Observer, Owners,
    Stats, Warm, WarmReport,
};
use crate::target::TargetError;
use crate::tls::{Identities, Tls};

/// A pool of hot TLS connections.
///
/// Clones share one pool. Dropping the last one closes what is idle and ends every task, with a warning if connections were live;
/// [`close`](HotConnPool::close) does it in order.
#[derive(Clone, Debug)]
pub struct HotConnPool(Arc<Handle>);

/// What all clones of a pool share. Leases do not hold it: they hold the manager's heart alone.
#[derive(Debug)]
struct Handle(ConnectionManager);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl HotConnPool {
    /// What a pool is made of.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        config: PoolConfig,
        identities: Identities,
        clock: Arc<dyn Clock>,
        dialler: Box<dyn Connect>,
        owners: Owners,
    ) -> Self {
        let inner = Inner::new(config, identities, clock, dialler, (owners, upkeep::start));
        HotConnPool(Arc::new(Handle(ConnectionManager::new(inner))))
    }

    /// A connection to `target` that is alive and the caller's to use: an idle one, or a new one.
    ///
    /// Cancel safe: dropped at any point it leaves nothing behind; a dial that it caused goes on and its connection goes to the next
    /// caller, or rests.
    ///
    /// # Errors
    /// Names the target, the phase and the trouble; [`Error::kind`] tells them apart. All of it takes `acquire_timeout` at the most.
    #[track_caller]
    #[inline]
    pub fn get<'a>(&'a self, target: impl IntoTarget<'a>) -> Get<'a> {
        self.0.0.get(target)
    }

    /// As [`get`](HotConnPool::get), with options for this one call.
    ///
    /// # Errors
    /// As [`get`](HotConnPool::get).
    #[track_caller]
    #[inline]
    pub fn get_with<'a>(&'a self, target: impl IntoTarget<'a>, options: GetOptions) -> Get<'a> {
        let (name, order, site) = (target.name(), options.order, Location::caller());
        match options.validator {
            None => self.0.0.get_ordered(name, order, site),
            Some(Judges(validator)) => self.0.0.get_judged((name, order), validator, site),
        }
    }

    /// A connection to `target` that is idle now, if there is one. Never waits and never dials.
    ///
    /// # Errors
    /// The target is malformed, or the pool is closed.
    #[track_caller]
    pub fn try_get<'a>(&self, target: impl IntoTarget<'a>) -> Result<Option<HotConn>, Error> {
        self.try_get_with(target, GetOptions::new())
    }

    /// As [`try_get`](HotConnPool::try_get), with options for this one call.
    ///
    /// # Errors
    /// As [`try_get`](HotConnPool::try_get).
    #[track_caller]
    pub fn try_get_with<'a>(
        &self,
        target: impl IntoTarget<'a>,
        options: GetOptions,
    ) -> Result<Option<HotConn>, Error> {
        self.0
            .0
            .try_get(&target.name(), &options.order, Location::caller())
    }

    /// Prepares a target that will be asked for again and again.
    ///
    /// # Errors
    /// The target is malformed.
    pub fn endpoint<'a>(&self, target: impl IntoTarget<'a>) -> Result<Endpoint, TargetError> {
        self.0.0.endpoint(&target.name())
    }

    /// Gives a connection back to the pool that lent it, and says what became of it. Dropping it does the same.
    #[inline]
    pub fn put(&self, conn: HotConn) -> Returned {
        self.0.0.put(conn)
    }

    /// Opens connections to `target` before anybody asks for them, and waits for them. Callers that warm the same target at the same time take
    /// turns: together they open what the one that asked for most asked for. What is dialled already, for whomever, counts and is waited for.
    ///
    /// Cancel safe: dials under way go on.
    ///
    /// # Errors
    /// The target is malformed, its name has no address, the owner blocks it, or the pool is closed. Dials that failed are in the report.
    pub async fn warm<'a>(
        &self,
        target: impl IntoTarget<'a>,
        warm: Warm,
        options: GetOptions,
    ) -> Result<WarmReport, Error> {
        let name = target.name();
        self.0.0.warm(&name.target()?, options.order, warm).await
    }

    /// Makes `tls` the pool's own setup from now on: to reload roots, revocation lists or the client's certificate.
    ///
    /// Whoever asks from now on gets connections that rest on it, and no TLS session from before, even if the setup is equal to the one before. Idle
    /// connections of the old one close now, leased ones when they come home, both as
    /// [`CloseReason::IdentityRetired`](crate::CloseReason::IdentityRetired); those who wait already are
    /// still served by the old one, and what was dialled for them closes after that one use. Calls that brought a setup of their own
    /// ([`GetOptions::tls`]) are not concerned. Takes each shard's lock in turn: not for the hot path.
    pub fn update_tls(&self, tls: Tls) {
        self.0.0.update_tls(tls);
    }

    /// What the pool knows of names now, for the [`Builder`] of the next one: so a process that starts again need not ask first.
    pub fn dns_snapshot(&self) -> DnsSnapshot {
        self.0.0.dns_snapshot()
    }

    /// The connections, by host and by IP.
    pub fn manager(&self) -> &ConnectionManager {
        &self.0.0
    }

    /// A snapshot of everything, consistent in itself. Locks every shard: not for the hot path.
    pub fn stats(&self) -> Stats {
        self.0.0.stats()
    }

    /// Where it has its time from.
    pub fn clock(&self) -> &dyn Clock {
        self.0.0.clock()
    }

    /// How the pool is, and why: see [`ConnectionManager::health`].
    pub fn health(&self) -> Health {
        self.0.0.health()
    }

    /// Waits until something is alive: see [`ConnectionManager::ready`].
    ///
    /// # Errors
    /// The pool is closed, or closes meanwhile.
    pub async fn ready(&self) -> Result<(), Error> {
        self.0.0.ready().await
    }

    /// How many connections are live: idle ones and leased ones.
    pub fn size(&self) -> usize {
        self.0.0.size()
    }

    /// Closes the pool in order, within `close_timeout`: see [`ConnectionManager::close_within`].
    pub async fn close(&self) -> CloseReport {
        self.0.0.close().await
    }

    /// As [`close`](HotConnPool::close), within this time: see [`ConnectionManager::close_within`].
    pub async fn close_within(&self, limit: Duration) -> CloseReport {
        self.0.0.close_within(limit).await
    }

    /// Has a step run when the pool closes: see [`ConnectionManager::on_close`].
    ///
    /// # Errors
    /// The pool is closed, or closing.
    pub fn on_close<E: fmt::Display>(
        &self,
        name: impl Into<Arc<str>>,
        limit: Duration,
        step: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Result<(), Error> {
        self.0.0.on_close(name, limit, step)
    }

    /// Has somebody told of every [`Event`](crate::Event) from now on, for as long as the pool lives: what opens, closes, fails and waits, as it happens.
    /// Whoever is told must not block, and must not own the pool, which would then outlive its last handle. One that panics is not told again.
    ///
    /// ```
    /// # use hotpool::{Event, HotConnPool};
    /// let pool = HotConnPool::builder().build()?;
    /// pool.on_event(|event: &Event<'_>| match event {
    ///     Event::Closed { info, reason, .. } => eprintln!("{} at {}: {reason}", info.target, info.remote),
    ///     Event::Failed { target, error, .. } => eprintln!("{target}: {error}"),
    ///     _ => {}
    /// });
    /// # Ok::<(), hotpool::ConfigError>(())
    /// ```
    pub fn on_event(&self, observer: impl Observer) {
        self.0.0.on_event(observer);
    }

    /// Ends every connection now, leased ones, too: see [`ConnectionManager::force_cleanup`].
    pub fn force_cleanup(&self) -> usize {
        self.0.0.force_cleanup()
    }

    /// Says that the machine has another network than before: see [`ConnectionManager::network_changed`].
    pub fn network_changed(&self) {
        self.0.0.network_changed();
    }
}
