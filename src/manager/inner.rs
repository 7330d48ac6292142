//! The heart of a pool: shards of hosts, the desk with the permits, and the road between them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::HotConn;
use super::host::{Host, Shard, Todo};
use super::order::Claim;
use super::place::Place;
use super::settle::Work;
use crate::clock::{Clock, Moment};
use crate::config::PoolConfig;
use crate::conn::Wire;
use crate::dial::{Dialler, Identities, Tls};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::{CloseReason, Returned};
use crate::fault::planted;
use crate::machine::{
    Acquire, ConnId, DialId, DialOrder, Fate, Lease, Ledger, LedgerLimits, Limits, Machine, OriginId,
    Penalties, PenaltyTerms, Ticket, Wheel,
};
use crate::rt::Rt;
use crate::sync::Mutex;
use crate::target::Target;

/// How many bits of an [`OriginId`] name its shard.
const SHARD_BITS: u32 = 6;
const SHARDS: usize = 1 << SHARD_BITS;

/// Everything a pool consists of, but for its public face.
pub(crate) struct Inner {
    pub(super) shards: Box<[Mutex<Shard>]>,
    pub(super) desk: Mutex<Desk>,
    pub(super) wheel: Mutex<Wheel<OriginId>>,
    /// Whether anybody waits for a permit at the desk: then an idle connection is worth a word to it.
    pub(super) contended: AtomicBool,
    closed: AtomicBool,
    /// Told when the wheel has a new first deadline.
    pub(super) rearmed: Arc<Notify>,
    /// Told when a connection has closed.
    pub(super) emptied: Notify,
    pub(super) upkeep: AtomicBool,
    pub(super) work: Mutex<Work>,
    serial: AtomicU64,
    origins: AtomicU64,
    hasher: RandomState,
    pub(super) identities: Identities,
    pub(crate) rt: Rt,
    pub(crate) dialler: Dialler,
    pub(crate) config: PoolConfig,
}

/// What all hosts share: permits and the penalties of addresses.
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) penalties: Penalties,
    /// What the dials in the Ledger's line were ordered to do.
    pub(super) orders: HashMap<(OriginId, DialId), DialOrder>,
}

/// The answer to [`Inner::ask`].
pub(super) enum Asked {
    /// Here it is; whether it is alive is for the caller to look at.
    Ready(HotConn),
    /// Stand here until told.
    Line(Place),
}

impl Inner {
    pub(crate) fn new(config: PoolConfig, tls: Tls, dialler: Dialler) -> Arc<Self> {
        let ledger = Ledger::new(LedgerLimits {
            max_connections: config.max_connections,
            max_per_ip: config.max_per_ip,
            max_dials: config.max_dials,
        });
        Arc::new(Inner {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            desk: Mutex::new(Desk {
                ledger,
                penalties: Penalties::new(PenaltyTerms::default()),
                orders: HashMap::new(),
            }),
            wheel: Mutex::new(Wheel::new()),
            contended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            rearmed: Arc::new(Notify::new()),
            emptied: Notify::new(),
            upkeep: AtomicBool::new(false),
            work: Mutex::default(),
            serial: AtomicU64::new(0),
            origins: AtomicU64::new(0),
            hasher: RandomState::new(),
            identities: Identities::new(tls),
            rt: Rt::new(),
            dialler,
            config,
        })
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.dialler.clock
    }

    pub(super) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// From now on nothing new starts. Answers whether it was open until now.
    pub(super) fn shut(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    fn shard_of(&self, target: &Target<'_>) -> usize {
        // The low bits pick the shard; a hash map picks its buckets by others.
        self.hasher.hash_one(target) as usize & (SHARDS - 1)
    }

    pub(super) fn shard(&self, origin: OriginId) -> &Mutex<Shard> {
        &self.shards[origin.0 as usize & (SHARDS - 1)]
    }

    /// One act on one host, if the pool knows it: `act` under its lock, then whatever its machine wants done.
    pub(super) fn with_host<T>(
        self: &Arc<Self>,
        origin: OriginId,
        act: impl FnOnce(&mut Host, Moment) -> T,
    ) -> Option<T> {
        let now = self.clock().now_coarse();
        let (answer, todo) = {
            let mut shard = self.shard(origin).lock();
            let host = shard.by_id(origin)?;
            let answer = act(host, now);
            (answer, self.finish(host, now))
        };
        if let Some(todo) = todo {
            self.settle(origin, todo);
        }
        Some(answer)
    }

    /// As [`with_host`](Self::with_host), by name, and without one if the host is unknown.
    pub(super) fn with_target<T>(
        self: &Arc<Self>,
        target: &Target<'_>,
        act: impl FnOnce(&mut Host, Moment) -> T,
    ) -> Option<T> {
        let origin = self.shards[self.shard_of(target)].lock().id(target)?;
        self.with_host(origin, act)
    }

    /// What follows from an act, if anything does. Under the host's lock.
    pub(super) fn finish(&self, host: &mut Host, now: Moment) -> Option<Todo> {
        // The flag is read inside the critical section: whoever waits at the desk set it before looking here.
        let parked = host.machine.take_parked() && self.contended.load(Ordering::Acquire);
        if !host.machine.has_actions() && !parked {
            return None;
        }
        let mut todo = host.drain(now);
        for order in &todo.dials {
            host.bind(order.dial, self.identities.find(order.identity));
        }
        todo.arm = host.arm(now);
        if parked {
            todo.parked = host.idle_addresses();
        }
        Some(todo)
    }

    /// The id of `target`'s host, which is made if it is new.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub(super) fn origin(self: &Arc<Self>, target: &Target<'_>) -> Result<OriginId, Error> {
        let index = self.shard_of(target);
        let mut shard = self.shards[index].lock();
        // Read under the lock that `close` takes for each shard after it has set the flag: none is missed.
        if self.is_closed() {
            return Err(Error::new(ErrorKind::Closed, Phase::Acquire).with_target(target));
        }
        if let Some(id) = shard.id(target) {
            return Ok(id);
        }
        let number = self.origins.fetch_add(1, Ordering::Relaxed);
        let id = OriginId(number << SHARD_BITS | index as u64);
        let now = self.clock().now_coarse();
        let machine = Machine::new(self.limits(), self.hasher.hash_one(id));
        let mut host = Host::new(id, target.clone().into_owned(), machine, now);
        if let Some(ip) = target.ip() {
            host.machine.resolved(now, &[ip]);
            host.fresh_until = Moment::FAR;
        }
        let look = host.arm_at(now + self.config.idle_timeout);
        shard.insert(host);
        drop(shard);
        self.rearm(id, look);
        super::upkeep::start(self);
        Ok(id)
    }

    /// Has the wheel look at a host at that time, if at any.
    pub(super) fn rearm(&self, origin: OriginId, at: Option<Moment>) {
        if let Some(at) = at {
            self.wheel.lock().arm(origin, at);
            self.rearmed.notify_one();
        }
    }

    fn limits(&self) -> Limits {
        let config = &self.config;
        Limits {
            max_per_host: config.max_per_host,
            max_idle_per_host: config.max_idle_per_host,
            max_waiters: config.max_waiters,
            idle_timeout: config.idle_timeout,
            max_lifetime: config.max_lifetime,
            jitter: config.lifetime_jitter,
            h2_max_streams: config.h2_max_streams,
            growth: config.h2_growth,
            selection: config.selection,
            ..Limits::default()
        }
    }

    /// Asks for a connection, and stands in line if there is none.
    ///
    /// # Errors
    /// Closed, too many waiters, or every address blocked.
    pub(super) fn ask(self: &Arc<Self>, target: &Target<'_>, claim: &Claim) -> Result<Asked, Error> {
        let origin = self.origin(target)?;
        let mut look = None;
        let asked = self.with_host(origin, |host, now| {
            host.last_asked = now;
            let error = |kind| Error::new(kind, Phase::Acquire).with_target(target);
            let want = claim.want(&self.identities);
            match host.machine.acquire(now, want) {
                Acquire::Lease(lease) => Ok(self.lend(host, lease).map(Asked::Ready)),
                Acquire::Wait(ticket) => {
                    let listener = host.stand(ticket);
                    host.home = self.rt.here();
                    look = host.arm(now);
                    Ok(Some(Asked::Line(Place::new(
                        Arc::clone(self),
                        origin,
                        ticket,
                        listener,
                        self.identities
                            .find(want.identity)
                            .filter(|_| !planted("waiters_hold_no_identity")),
                    ))))
                }
                Acquire::Blocked { until } => Err(host.blocked(now, until)),
                Acquire::Full => Err(error(ErrorKind::TooManyWaiters)),
                Acquire::Closed => Err(error(ErrorKind::Closed)),
            }
        });
        self.rearm(origin, look);
        match asked {
            Some(Ok(Some(asked))) => Ok(asked),
            Some(Err(error)) => Err(error),
            // The host was forgotten, or its connection died, between two locks: ask anew.
            None | Some(Ok(None)) => self.ask(target, claim),
        }
    }

    /// A connection that is idle now, without waiting or dialling.
    pub(super) fn try_ask(self: &Arc<Self>, target: &Target<'_>, claim: &Claim) -> Option<HotConn> {
        self.with_target(target, |host, now| {
            let lease = host.machine.try_acquire(now, claim.want(&self.identities))?;
            self.lend(host, lease)
        })?
    }

    /// The connection of a granted ticket.
    pub(super) fn redeem(self: &Arc<Self>, origin: OriginId, ticket: Ticket) -> Option<HotConn> {
        self.with_host(origin, |host, _| {
            let lease = host.machine.take(ticket)?;
            self.lend(host, lease)
        })?
    }

    fn lend(self: &Arc<Self>, host: &mut Host, lease: Lease) -> Option<HotConn> {
        let Some((wire, info)) = host.lend(lease) else {
            // It ended between the grant and now. Were it alive, the machine and the list of streams would disagree.
            let alive = host.machine.is_live(lease.conn);
            debug_assert!(!alive, "{:?} was lent and has no stream", lease.conn);
            let now = self.clock().now_coarse();
            host.machine
                .release(now, lease.conn, Fate::Close(CloseReason::Failed));
            return None;
        };
        host.counters.gets += 1;
        host.counters.hits += u64::from(lease.hit);
        Some(HotConn::new(Arc::clone(self), host.id, lease, wire, info))
    }

    /// Takes a lease back.
    pub(super) fn give_back(
        self: &Arc<Self>,
        origin: OriginId,
        conn: ConnId,
        wire: Wire,
        fate: Fate,
    ) -> Returned {
        let gone = Returned::Closed(CloseReason::PoolClosed);
        let mut stray = None;
        let now = self.clock().now_coarse();
        let (returned, todo) = {
            let mut shard = self.shard(origin).lock();
            match shard.by_id(origin) {
                None => {
                    stray = Some(wire);
                    (gone, None)
                }
                Some(host) => {
                    stray = stray.or(host.take_back(conn, wire));
                    let returned = host.machine.release(now, conn, fate);
                    let todo = self.finish(host, now);
                    (returned, todo)
                }
            }
        };
        drop(stray);
        if let Some(todo) = todo {
            self.settle(origin, todo);
        }
        returned
    }

    /// Forgets a host that has nothing alive and that nobody asked for lately.
    pub(super) fn forget(&self, origin: OriginId) {
        let mut shard = self.shard(origin).lock();
        if shard.by_id(origin).is_some_and(|host| host.machine.is_vacant()) {
            shard.forget(origin);
        }
    }
}
