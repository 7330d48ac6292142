//! Closing what rests and is of no more use: by age, by a look, by the pool's own policy. Never what is in use.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionManager;
use super::host::Host;
use super::inner::Inner;
use crate::clock::Moment;
use crate::conn::ConnInfo;
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{ConnId, ConnInfo as Known, OriginId};
use crate::os::Descriptors;

/// Says which connections stay that nobody uses, beside what their ages say.
///
/// Asked about each of them every [`cleanup_interval`](crate::PoolConfig::cleanup_interval), while no lock is held: it may take its time, and may
/// look at the pool. What it lets go closes as [`CloseReason::Removed`], unless somebody has it by then. If it panics, nothing closes in that round.
///
/// Implemented by every `Fn(Resting<'_>) -> bool`.
///
/// ```
/// use std::time::Duration;
///
/// use hotpool::{CleanupPolicy, HotConnPool, Protocol, Resting};
///
/// /// Keeps what was expensive to come by.
/// struct KeepsSlow;
///
/// impl CleanupPolicy for KeepsSlow {
///     fn keeps(&self, conn: Resting<'_>) -> bool {
///         conn.info.tls_time > Duration::from_millis(100) || conn.idle < Duration::from_secs(10)
///     }
/// }
///
/// let slow = HotConnPool::builder().cleanup_policy(KeepsSlow).build()?;
/// let h2 = HotConnPool::builder().cleanup_policy(|conn: Resting<'_>| conn.info.protocol == Protocol::Http2).build()?;
/// # let _ = (slow, h2);
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
pub trait CleanupPolicy: Send + Sync + 'static {
    /// Whether this one stays.
    fn keeps(&self, conn: Resting<'_>) -> bool;
}

impl<F: Fn(Resting<'_>) -> bool + Send + Sync + 'static> CleanupPolicy for F {
    fn keeps(&self, conn: Resting<'_>) -> bool {
        self(conn)
    }
}

/// A connection that nobody uses.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Resting<'a> {
    /// What is known of it since its birth.
    pub info: &'a ConnInfo,
    /// For how long nobody has used it.
    pub idle: Duration,
    /// How much of its lifetime is left.
    pub left: Duration,
}

/// A connection that rested when it was looked at, and since when.
struct Found {
    conn: ConnId,
    since: Moment,
    expires: Moment,
    info: Arc<ConnInfo>,
}

impl ConnectionManager {
    /// Closes connections that nobody has used for `idle_timeout`. Answers how many. The pool does this by itself, within a second.
    pub fn cleanup_idle(&self) -> usize {
        let idle_timeout = self.config().idle_timeout;
        let over = |now: Moment, since: Moment| now.since(since) >= idle_timeout;
        self.inner().close_resting(CloseReason::IdleTimeout, |now, conn| {
            conn.idle_since.is_some_and(|since| over(now, since))
        })
    }

    /// Closes connections whose lifetime is over and that nobody uses; one that is in use closes when it comes home. Answers how many it closed.
    /// The pool does this by itself, within a second.
    pub fn cleanup_expired(&self) -> usize {
        self.inner()
            .close_resting(CloseReason::Lifetime, |now, conn| now >= conn.expires)
    }

    /// Looks at every connection that nobody uses, and closes those that have ended or on which their peer has spoken unasked, with the reason
    /// of each. Answers how many. A look takes no system call and is no use. The pool looks by itself where anything happened.
    pub fn cleanup_unhealthy(&self) -> usize {
        self.inner().look_at_all()
    }
}

impl Inner {
    /// Closes those of the resting ones that are over, for this reason.
    fn close_resting(self: &Arc<Self>, reason: CloseReason, over: impl Fn(Moment, &Known) -> bool) -> usize {
        let closed = self.each_host(|host, now| {
            let mut closed = 0;
            host.machine.retain(now, reason, |conn| {
                let spares = conn.idle_since.is_none() && !planted("cleanup_takes_what_is_in_use");
                let goes = !spares && over(now, conn);
                closed += usize::from(goes);
                !goes
            });
            closed
        });
        closed.into_iter().sum()
    }

    /// Looks at every resting connection. Answers how many that closed.
    pub(super) fn look_at_all(self: &Arc<Self>) -> usize {
        let found = self.each_host(|host, _| (host.id, host.resting()));
        let all = found.into_iter().flat_map(|(origin, found)| {
            let conns = found.into_iter().map(|found| found.conn);
            conns.map(move |conn| (origin, conn))
        });
        all.filter(|&(origin, conn)| self.look(origin, conn)).count()
    }

    /// Looks at one connection, if it rests. Answers whether that closed it.
    pub(super) fn look(self: &Arc<Self>, origin: OriginId, conn: ConnId) -> bool {
        // HTTP/2 has a driver, which looks at all times: what it has seen stands in the book.
        let shared = self.with_host(origin, |host, now| {
            let ended = host.shared_mut(conn).map(|shared| shared.handle.look().err())?;
            if let Some(reason) = ended {
                host.machine.retire(now, conn, reason);
            }
            Some(())
        });
        if shared.flatten().is_none() {
            self.inspect(origin, conn, true);
        }
        let lives = self.with_host(origin, |host, _| host.machine.is_live(conn));
        lives != Some(true)
    }

    /// Asks the pool's own policy about what rests.
    pub(super) fn apply_policy(self: &Arc<Self>) {
        let Some(policy) = self
            .policy
            .as_ref()
            .filter(|_| !planted("the_policy_is_not_asked"))
        else {
            return;
        };
        let found = self.each_host(|host, now| (host.id, now, host.resting()));
        for (origin, now, found) in found {
            let goes = |found: &Found| {
                !policy.keeps(Resting {
                    info: &found.info,
                    idle: now.since(found.since),
                    left: found.expires.since(now),
                })
            };
            let going: HashSet<_> = found
                .iter()
                .filter(|found| goes(found))
                .map(|found| (found.conn, found.since))
                .collect();
            if going.is_empty() {
                continue;
            }
            // Not one that was used meanwhile: it is another's, or was a moment ago.
            let as_it_was = |conn: &Known| {
                conn.idle_since
                    .is_some_and(|since| going.contains(&(conn.conn, since)))
            };
            self.with_host(origin, |host, now| {
                let reason = CloseReason::Removed;
                host.machine.retain(now, reason, |conn| !as_it_was(conn));
            });
        }
    }

    /// Says so in the log when descriptors get short, and when that is over.
    pub(super) fn watch_descriptors(&self) {
        let Some(seen) = Descriptors::now() else { return };
        let Descriptors { open, limit } = seen;
        let before = self
            .shortage
            .swap(seen.are_short(), crate::sync::Ordering::Relaxed);
        match (before, seen.are_short()) {
            (false, true) => tracing::warn!(target: "hotpool", open, limit, "descriptors get short"),
            (true, false) => {
                tracing::info!(target: "hotpool", open, limit, "descriptors are no longer short")
            }
            _ => {}
        }
    }
}

impl Host {
    /// The connections that nobody uses.
    fn resting(&self) -> Vec<Found> {
        let found = |known: Known| {
            Some(Found {
                conn: known.conn,
                since: known.idle_since?,
                expires: known.expires,
                info: Arc::clone(self.info(known.conn)?),
            })
        };
        self.machine.connections().filter_map(found).collect()
    }
}
