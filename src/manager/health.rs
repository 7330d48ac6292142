//! How a pool is, in a word, and why.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::ConnectionManager;
use super::host::Host;
use super::inner::Inner;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::os::Descriptors;

/// How a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Nothing is alive, and nothing is being dialled.
    Empty,
    /// Nothing is alive yet; something is being dialled.
    Warming,
    /// Something is alive, and nothing is wrong.
    Healthy,
    /// It works, and something is wrong: whatever is, at least one thing.
    Degraded(Vec<Trouble>),
    /// It is closed, or closing.
    Closed,
}

/// What is wrong with a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The process has more than four fifths of the descriptors open that it may have.
    Descriptors {
        /// Open now.
        open: u64,
        /// `RLIMIT_NOFILE`.
        limit: u64,
    },
    /// Every address of this host is blocked, because of what failed there for this host or (where TCP cannot reach it) for any. What the owner blocks is
    /// no trouble.
    Blocked {
        /// The host, as `host` or `host:port`.
        target: Box<str>,
    },
    /// So many HTTP/2 connections have been asked for a sign of life and have not given it yet.
    Unanswered {
        /// How many.
        connections: usize,
    },
    /// This job of the pool's own panicked when it last ran, and is to run again.
    Panicked {
        /// See [`TaskStats::name`](crate::TaskStats::name).
        job: &'static str,
    },
}

impl ConnectionManager {
    /// How the pool is now. Takes each shard's lock in turn and counts descriptors: not for the hot path.
    pub fn health(&self) -> Health {
        let inner = self.inner();
        if inner.is_closed() {
            return Health::Closed;
        }
        let troubles = inner.troubles();
        let (live, dialling) = inner
            .each_host(|host, _| host.life())
            .into_iter()
            .fold((0, 0), |(live, dialling), (lives, dials)| {
                (live + lives, dialling + dials)
            });
        match (troubles.is_empty(), live, dialling) {
            (false, ..) => Health::Degraded(troubles),
            (true, 0, 0) => Health::Empty,
            (true, 0, _) => Health::Warming,
            (true, ..) => Health::Healthy,
        }
    }

    /// Waits until something is alive. Cancel safe. Dials nothing: [`warm`](crate::HotConnPool::warm) does, or a `get`.
    ///
    /// # Errors
    /// The pool is closed, or closes meanwhile.
    pub async fn ready(&self) -> Result<(), Error> {
        let inner = self.inner();
        loop {
            let mut told = std::pin::pin!(inner.born.notified());
            told.as_mut().enable(); // before the look, so that nothing is missed between the two
            if inner.is_closed() {
                return Err(Error::new(ErrorKind::Closed, Phase::Acquire));
            }
            if inner.size() > 0 {
                return Ok(());
            }
            told.await;
        }
    }
}

impl Inner {
    fn troubles(self: &Arc<Self>) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let short = Descriptors::now().filter(|seen| seen.are_short());
        if let Some(Descriptors { open, limit }) = short {
            troubles.push(Trouble::Descriptors { open, limit });
        }
        let now = self.now_coarse();
        let avoided: HashSet<IpAddr> = match planted("what_others_found_out_is_no_trouble") {
            true => HashSet::new(),
            false => self.desk.lock().penalties.list(now).map(|(ip, _)| ip).collect(),
        };
        let hosts = self.each_host(|host, now| {
            (
                host.is_blocked(now, &avoided)
                    .then(|| host.target.as_str().into()),
                host.suspects(),
            )
        });
        let (blocked, suspects): (Vec<Option<Box<str>>>, Vec<usize>) = hosts.into_iter().unzip();
        let blocked = blocked.into_iter().flatten();
        troubles.extend(blocked.map(|target| Trouble::Blocked { target }));
        let connections = suspects.into_iter().sum();
        if connections > 0 {
            troubles.push(Trouble::Unanswered { connections });
        }
        troubles.extend(self.panicked().map(|job| Trouble::Panicked { job: job.name() }));
        troubles
    }
}

impl Host {
    /// Live connections, and dials.
    fn life(&self) -> (usize, u32) {
        (self.machine.connections().count(), self.machine.counts().dialling)
    }

    /// With what the whole pool avoids.
    fn is_blocked(&self, now: Moment, avoided: &HashSet<IpAddr>) -> bool {
        let blocked = |ip| self.machine.penalties().blocked(now, ip).is_some() || avoided.contains(&ip);
        let mut addresses = self.machine.addresses().peekable();
        addresses.peek().is_some() && addresses.all(blocked)
    }

    fn suspects(&self) -> usize {
        let conns = self.machine.connections();
        conns.filter(|conn| self.machine.is_suspect(conn.conn)).count()
    }
}
