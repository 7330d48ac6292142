//! The public face of the manager.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;

use super::closing::Closing;
use super::get::Get;
use super::inner::Inner;
use super::lent::Site;
use super::name::{Endpoint, IntoTarget, Name};
use super::stats::Stats;
use super::validator::Validator;
use super::warm::{Warm, WarmReport};
use super::{Detached, HotConn, Order};
use crate::clock::Clock;
use crate::conn::ConnInfo;
use crate::dial::DnsSnapshot;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::Returned;
use crate::fault::planted;
use crate::machine::AT_ONCE;
use crate::target::{Target, TargetError};

/// The connections of a pool, by host and by IP: lends them, takes them back, shows them.
///
/// Every [`HotConnPool`](crate::HotConnPool) has one: see [`HotConnPool::manager`](crate::HotConnPool::manager). A clone of it does not keep the pool
/// open: when the last handle of the pool is dropped, nothing is handed out any more.
///
/// ```
/// use hotpool::clock::ManualClock;
/// use hotpool::{AccessPolicy, ConnectionManager, Event, HotConnPool, Protocol, Scope, Tls};
///
/// let pool = HotConnPool::builder().clock(ManualClock::new()).build()?;
/// let manager: &ConnectionManager = pool.manager();
///
/// // What is there.
/// for (host, addresses) in manager.host_mapping() {
///     println!("{host}: {} connections to {} addresses", addresses.values().sum::<usize>(), addresses.len());
/// }
/// assert_eq!(manager.stats().total, 0);
/// assert_eq!(manager.size(), 0);
/// manager.assert_invariants(); // for tests: every count is what it says
/// manager.on_event(|event: &Event<'_>| println!("{event:?}"));
///
/// // What closes: each answers how many those are.
/// assert_eq!(manager.evict_host("example.com")?, 0);
/// assert_eq!(manager.evict_ip("192.0.2.7".parse()?), 0);
/// assert_eq!(manager.retain(|conn| conn.protocol == Protocol::Http2), 0);
/// assert_eq!(manager.remove("example.com")?, 0);
/// assert_eq!(manager.cleanup(), 0); // what is due by age, as these three:
/// assert_eq!(manager.cleanup_idle() + manager.cleanup_expired() + manager.cleanup_unhealthy(), 0);
/// assert_eq!(manager.force_cleanup(), 0); // everything, in use or not
///
/// // What changes.
/// let mut config = manager.config().as_ref().clone();
/// config.max_per_ip = 2;
/// manager.update_config(config)?;
/// manager.update_tls(Tls::builder().build()?);
/// manager.set_access(AccessPolicy::AllowlistOnly);
/// manager.allow(Scope::host("example.com")?)?;
/// assert!(manager.disallow(&Scope::host("example.com")?));
/// manager.network_changed();
/// manager.pause();
/// manager.resume();
/// # let _ = manager.clock();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```no_run
/// # async fn example(manager: hotpool::ConnectionManager) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// manager.on_close("say so", Duration::from_secs(1), async { Ok::<_, std::io::Error>(()) })?;
/// manager.ready().await?; // something is alive
/// drop(manager.get("example.com").await?);
/// let report = manager.close_within(Duration::from_secs(5)).await; // or `close`, in `close_timeout`
/// assert_eq!(report.steps.len(), 1);
/// assert!(manager.close().await.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ConnectionManager {
    inner: Arc<Inner>,
    closing: Arc<Closing>,
}

impl ConnectionManager {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        ConnectionManager {
            inner,
            closing: Arc::default(),
        }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn closing(&self) -> &Closing {
        &self.closing
    }

    /// Where the pool has its time from.
    pub fn clock(&self) -> &dyn Clock {
        self.inner.clock()
    }

    /// A connection to `target`: see [`HotConnPool::get`](crate::HotConnPool::get).
    #[track_caller]
    #[inline]
    pub fn get<'a>(&'a self, target: impl IntoTarget<'a>) -> Get<'a> {
        self.get_ordered(target.name(), Order::default(), Location::caller())
    }

    #[inline]
    pub(crate) fn get_ordered<'a>(&'a self, name: Name<'a>, order: Order, site: Site) -> Get<'a> {
        Get::new(&self.inner, name, order, site)
    }

    pub(crate) fn get_judged<'a>(
        &'a self,
        (name, order): (Name<'a>, Order),
        validator: Arc<dyn Validator>,
        site: Site,
    ) -> Get<'a> {
        self.get_ordered(name, order, site).judged(validator)
    }

    pub(crate) fn try_get(
        &self,
        name: &Name<'_>,
        order: &Order,
        site: Site,
    ) -> Result<Option<HotConn>, Error> {
        let inner = &self.inner;
        let target = name.target()?;
        if inner.is_closed() {
            return Err(Error::new(ErrorKind::Closed, Phase::Acquire).with_target(&target));
        }
        let key = inner.directory.key(target.as_str());
        let claim = order.claim(&inner.identities);
        while let Some(conn) = inner.try_ask(&key, &claim, site) {
            if let Some(conn) = conn.alive().map_err(|error| error.with_target(&target))? {
                return Ok(Some(conn));
            }
        }
        Ok(None)
    }

    pub(crate) fn endpoint(&self, name: &Name<'_>) -> Result<Endpoint, TargetError> {
        Ok(Endpoint::new(&self.inner, name.target()?))
    }

    /// Takes a connection back that [`HotConn::detach`] took out, as [`HotConnPool::put`](crate::HotConnPool::put) takes back a lease: it is
    /// kept if it is known to be clean. It goes to the host that it was verified for, in the pool that it left.
    ///
    /// A TLS stream from elsewhere cannot be taken in. It does not tell by which roots, which verifier and which certificate of its own it came
    /// about, so that nobody could say for whom it will do; and half a record that has come on it can only be seen from below TLS.
    pub fn add(&self, detached: Detached) -> Returned {
        detached.attach(&self.inner)
    }

    #[inline]
    pub(crate) fn put(&self, conn: HotConn) -> Returned {
        conn.give_back(&self.inner)
    }

    pub(crate) async fn warm(
        &self,
        target: &Target<'_>,
        order: Order,
        warm: Warm,
    ) -> Result<WarmReport, Error> {
        let rt = &self.inner.rt;
        let closed = || Err(Error::new(ErrorKind::Closed, Phase::Acquire).with_target(target));
        let warming = self.inner.warm(target, order, warm);
        if planted("closing_spares_who_warms") {
            return rt.inside(pin!(warming)).await;
        }
        rt.inside(pin!(rt.while_open(warming)))
            .await
            .unwrap_or_else(closed)
    }

    pub(crate) fn dns_snapshot(&self) -> DnsSnapshot {
        self.inner.dialler.snapshot()
    }

    /// The live connections of one host, in no order. Empty if the host is unknown.
    ///
    /// # Errors
    /// The target is malformed.
    pub fn connections_for_host<'a>(&self, target: impl IntoTarget<'a>) -> Result<Vec<Arc<ConnInfo>>, Error> {
        let name = target.name();
        let found = self
            .inner
            .with_target(&name.target()?, |host, _| host.connections().cloned().collect());
        Ok(found.unwrap_or_default())
    }

    /// Which host has live connections to which addresses, and how many: a copy. Hosts without any are left out.
    pub fn host_mapping(&self) -> HashMap<Box<str>, HashMap<IpAddr, usize>> {
        let listed = |total: u32| total > 0 || planted("mapping_lists_the_empty");
        let hosts = self.stats().hosts.into_iter().filter(|host| listed(host.total));
        hosts
            .map(|host| {
                let ips = host
                    .ips
                    .iter()
                    .filter(|ip| ip.total > 0)
                    .map(|ip| (ip.ip, ip.total as usize));
                (host.target, ips.collect())
            })
            .collect()
    }

    /// Closes what is due now: connections idle or alive for too long. Answers how many. The pool does this by itself; this is for those
    /// who cannot wait a second.
    pub fn cleanup(&self) -> usize {
        self.inner.sweep_all()
    }

    /// A snapshot of everything, consistent in itself. Locks every shard: not for the hot path.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// How many connections are live: idle ones and leased ones.
    pub fn size(&self) -> usize {
        self.inner.size()
    }

    /// Checks that every count agrees with every other. For tests: it locks everything.
    ///
    /// # Panics
    /// If they do not agree, with what was found.
    pub fn assert_invariants(&self) {
        self.inner.assert_invariants();
    }

    /// The permits of all hosts as they stand now, and how many dials have left their orders with them: for this crate's own tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn books(&self) -> (crate::machine::Ledger, usize) {
        self.inner.books()
    }

    /// How many hosts are on the wheel, and how many entries it holds: for this crate's own tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn on_the_wheel(&self) -> (usize, usize) {
        self.inner.on_the_wheel()
    }

    /// How many hosts are to be looked at before one too many is refused: for this crate's own tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn on_the_roll(&self) -> usize {
        self.inner.roll.lock().standing()
    }

    /// Refuses new work, fails who waits, closes what is idle, ends the jobs. Waits for nothing.
    pub(crate) fn shut(&self) {
        self.inner.shut();
        self.inner.close_hosts();
        self.inner.rt.cancel_jobs();
    }

    /// As [`shut`](Self::shut), and ends the drivers and the use of what is lent, too.
    pub(crate) fn abandon(&self) {
        let live = self.size();
        if live > 0 && !self.closing.is_over() {
            tracing::warn!(target: "hotpool", connections = live, "the last handle was dropped without close");
        }
        if planted("dropped_pool_lives_on") {
            return;
        }
        self.shut();
        self.inner.rt.cancel();
        self.inner.abort_all();
    }
}

impl Inner {
    fn close_hosts(self: &Arc<Self>) {
        let overtaken = self.each_host(|host, now| {
            host.machine.close(now);
            std::mem::take(&mut host.overtaken)
        });
        drop(overtaken); // not under the lock: it wakes them
    }

    fn sweep_all(self: &Arc<Self>) -> usize {
        let mut swept = 0;
        loop {
            let closed = self.each_host(|host, now| host.machine.handle_timeout(now));
            swept += closed.iter().map(|&closed| closed as usize).sum::<usize>();
            if closed.iter().all(|&closed| u64::from(closed) < AT_ONCE) {
                return swept;
            }
        }
    }
}

impl std::fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionManager")
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}
