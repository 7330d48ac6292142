//! The public face of the manager.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::host::Todo;
use super::inner::{Asked, Inner};
use super::stats::Stats;
use super::warm::{Warm, WarmReport};
use super::{HotConn, Order};
use crate::clock::before;
use crate::conn::ConnInfo;
use crate::dial::Tls;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::identity::IdentityId;
use crate::target::Target;

/// The connections of a pool, by host and by IP: lends them, takes them back, shows them.
///
/// Every [`HotConnPool`](crate::HotConnPool) has one: see [`HotConnPool::manager`](crate::HotConnPool::manager).
#[derive(Clone)]
pub struct ConnectionManager {
    inner: Arc<Inner>,
    closing: Arc<OnceCell<CloseReport>>,
    before_closing: Arc<OnceLock<u64>>,
}

/// What tasks get, beyond the time that `close` has, to notice that they were cancelled.
const LAST_CALL: Duration = Duration::from_millis(250);

/// What came of closing a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Connections that were closed.
    pub closed: usize,
    /// Leases that had not come home when the time was over. Their connections close when they do.
    pub leases_left: usize,
    /// Tasks that had not ended, on a runtime that nobody drives any more.
    pub tasks_left: usize,
    /// How long it took.
    pub took: Duration,
}

impl ConnectionManager {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        ConnectionManager {
            inner,
            closing: Arc::default(),
            before_closing: Arc::default(),
        }
    }

    pub(crate) async fn get(&self, target: &Target<'_>, order: Order) -> Result<HotConn, Error> {
        let inner = &self.inner;
        let claim = order.claim(&inner.identities);
        let mut deadline = None;
        // Connections that died between their handshake and the first look: a peer that ends them all must not be dialled for ever.
        let mut stillborn: Vec<Error> = Vec::new();
        while stillborn.len() < inner.config.dial_attempts as usize {
            let mut place = match inner.ask(target, &claim) {
                Ok(Asked::Ready(conn)) => match self.look(target, conn)? {
                    Some(conn) => return Ok(conn),
                    None => continue,
                },
                Ok(Asked::Line(place)) => place,
                // Blocked because of what has just happened here: that is the better answer.
                Err(error) => return Err(stillborn.pop().unwrap_or(error)),
            };
            // The clock is read for the deadline only when there is something to wait for.
            let limit = order.timeout.unwrap_or(inner.config.acquire_timeout);
            let until = *deadline.get_or_insert_with(|| inner.clock().now() + limit);
            let granted = inner.rt.inside(before(inner.clock(), until, place.granted()));
            match granted.await {
                Some(granted) => granted?,
                None => return Err(self.out_of_time(target)),
            }
            match place.take().map(|conn| self.look(target, conn)) {
                Some(Ok(Some(conn))) => return Ok(conn),
                Some(Ok(None)) => {}
                Some(Err(error)) => stillborn.push(error),
                None => {
                    stillborn.push(Error::new(ErrorKind::ConnectionReset, Phase::Acquire).with_target(target))
                }
            }
        }
        Err(stillborn
            .pop()
            .unwrap_or_else(|| Error::new(ErrorKind::ConnectionReset, Phase::Acquire)))
    }

    fn look(&self, target: &Target<'_>, conn: HotConn) -> Result<Option<HotConn>, Error> {
        conn.alive().map_err(|error| error.with_target(target))
    }

    pub(crate) fn try_get(&self, target: &Target<'_>, order: Order) -> Result<Option<HotConn>, Error> {
        if self.inner.is_closed() {
            return Err(Error::new(ErrorKind::Closed, Phase::Acquire).with_target(target));
        }
        let claim = order.claim(&self.inner.identities);
        while let Some(conn) = self.inner.try_ask(target, &claim) {
            if let Some(conn) = self.look(target, conn)? {
                return Ok(Some(conn));
            }
        }
        Ok(None)
    }

    pub(crate) async fn warm(
        &self,
        target: &Target<'_>,
        order: Order,
        warm: Warm,
    ) -> Result<WarmReport, Error> {
        self.inner.rt.inside(self.inner.warm(target, order, warm)).await
    }

    pub(crate) fn update_tls(&self, tls: Tls) {
        let inner = &self.inner;
        let retired = inner.identities.renew(tls);
        let ids: HashSet<_> = retired.iter().map(|identity| identity.id).collect();
        inner.retain_identities(|identity| !ids.contains(&identity) || planted("old_epoch_stays"));
        inner.dialler.connector.forget(&ids);
    }

    fn out_of_time(&self, target: &Target<'_>) -> Error {
        let phase = self.inner.with_target(target, |host, _| {
            host.counters.timeouts += 1;
            host.phase()
        });
        Error::new(ErrorKind::Timeout, phase.unwrap_or(Phase::Acquire)).with_target(target)
    }

    /// The live connections of one host, in no order. Empty if the host is unknown.
    pub fn connections_for_host<'a, T>(&self, target: T) -> Result<Vec<Arc<ConnInfo>>, Error>
    where
        T: TryInto<Target<'a>>,
        T::Error: Into<Error>,
    {
        let target = target.try_into().map_err(Into::into)?;
        let found = self
            .inner
            .with_target(&target, |host, _| host.connections().cloned().collect());
        Ok(found.unwrap_or_default())
    }

    /// Which host has live connections to which addresses, and how many: a copy. Hosts without any are left out.
    pub fn host_mapping(&self) -> HashMap<Box<str>, HashMap<IpAddr, usize>> {
        let hosts = self.stats().hosts.into_iter().filter(|host| host.total > 0);
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

    /// Closes everything, within `close_timeout`: refuses new work, fails those who wait, closes what is idle, waits for
    /// leases to come home, lets HTTP/2 say goodbye, and ends every task.
    ///
    /// Callers that close at the same time, or later, get the same report. Cancel safe: when the caller that was first is dropped,
    /// the next one goes on.
    pub async fn close(&self) -> CloseReport {
        self.closing.get_or_init(|| self.close_once()).await.clone()
    }

    async fn close_once(&self) -> CloseReport {
        let inner = &self.inner;
        let began = inner.clock().now();
        let deadline = began + inner.config.close_timeout;
        // Of the first who tried to close, if this one goes on where that one was dropped.
        let before_closing = *self
            .before_closing
            .get_or_init(|| inner.stats().counters.closed());
        self.shut();
        let over = async {
            self.emptied().await;
            inner.rt.idle().await;
        };
        inner.rt.inside(before(inner.clock(), deadline, over)).await;
        inner.rt.cancel();
        // Tasks that were cancelled end when their runtime next polls them: one that nobody drives is not waited for.
        let last = inner.clock().now() + LAST_CALL;
        inner
            .rt
            .inside(before(inner.clock(), last, inner.rt.idle()))
            .await;
        let stats = inner.stats();
        CloseReport {
            closed: usize::try_from(stats.counters.closed() - before_closing).unwrap_or(usize::MAX),
            leases_left: stats.leases as usize,
            tasks_left: inner.rt.alive(),
            took: inner.clock().now().since(began),
        }
    }

    async fn emptied(&self) {
        loop {
            let mut told = std::pin::pin!(self.inner.emptied.notified());
            told.as_mut().enable(); // before the look, so that nothing is missed between the two
            if self.size() == 0 {
                return;
            }
            told.await;
        }
    }

    /// Refuses new work, fails who waits, closes what is idle, ends the jobs. Waits for nothing.
    pub(crate) fn shut(&self) {
        self.inner.shut();
        self.inner.close_hosts();
        self.inner.rt.cancel_jobs();
    }

    /// As [`shut`](Self::shut), and ends the drivers too.
    pub(crate) fn abandon(&self) {
        let live = self.size();
        if live > 0 && !self.closing.initialized() {
            tracing::warn!(target: "hotpool", connections = live, "the last handle was dropped without close");
        }
        self.shut();
        self.inner.rt.cancel();
    }
}

impl Inner {
    fn close_hosts(self: &Arc<Self>) {
        let now = self.clock().now_coarse();
        let mut work: Vec<(_, Todo)> = Vec::new();
        for shard in &self.shards {
            for host in shard.lock().hosts_mut() {
                host.machine.close(now);
                work.push((host.id, host.drain(now)));
            }
        }
        for (origin, todo) in work {
            self.settle(origin, todo);
        }
    }

    /// Closes the connections of identities that do not pass, leased ones when they come home.
    fn retain_identities(self: &Arc<Self>, keep: impl Fn(IdentityId) -> bool) {
        let hosts: Vec<_> = self.shards.iter().flat_map(|shard| shard.lock().ids()).collect();
        for origin in hosts {
            self.with_host(origin, |host, now| {
                let reason = CloseReason::IdentityRetired;
                host.machine.retain(now, reason, |conn| keep(conn.identity));
            });
        }
    }

    fn sweep_all(self: &Arc<Self>) -> usize {
        let hosts: Vec<_> = self.shards.iter().flat_map(|shard| shard.lock().ids()).collect();
        let swept = hosts.into_iter().map(|origin| {
            self.with_host(origin, |host, now| host.machine.handle_timeout(now) as usize)
                .unwrap_or(0)
        });
        swept.sum()
    }
}

impl std::fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionManager")
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}
