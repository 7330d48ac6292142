//! The heart of a pool: shards of hosts, the desk with the permits, and the road between them.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::HotConn;
use super::dialling::{self, DialJob};
use super::host::{Host, Shard, Todo};
use super::place::Place;
use crate::clock::{Clock, Moment};
use crate::config::PoolConfig;
use crate::conn::Wire;
use crate::dial::Dialler;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::{CloseReason, Returned};
use crate::machine::{
    Acquire, AllBlocked, Ask, ConnId, DialId, DialOrder, Evicted, Fate, Lease, Ledger, LedgerLimits, Limits,
    Machine, OriginId, Penalties, PenaltyTerms, Screen, Step, Ticket, Victim, Want, Wheel,
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
    contended: AtomicBool,
    closed: AtomicBool,
    /// Told when the wheel has a new first deadline.
    pub(super) rearmed: Arc<Notify>,
    /// Told when a connection has closed.
    pub(super) emptied: Notify,
    pub(super) upkeep: AtomicBool,
    serial: AtomicU64,
    origins: AtomicU64,
    hasher: RandomState,
    pub(crate) rt: Rt,
    pub(crate) dialler: Dialler,
    pub(crate) config: PoolConfig,
}

/// What all hosts share: permits and the penalties of addresses.
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) penalties: Penalties,
}

/// The answer to [`Inner::ask`].
pub(super) enum Asked {
    /// Here it is; whether it is alive is for the caller to look at.
    Ready(HotConn),
    /// Stand here until told.
    Line(Place),
}

impl Inner {
    pub(crate) fn new(config: PoolConfig, dialler: Dialler) -> Arc<Self> {
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
            }),
            wheel: Mutex::new(Wheel::new()),
            contended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            rearmed: Arc::new(Notify::new()),
            emptied: Notify::new(),
            upkeep: AtomicBool::new(false),
            serial: AtomicU64::new(0),
            origins: AtomicU64::new(0),
            hasher: RandomState::new(),
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

    fn shard(&self, origin: OriginId) -> &Mutex<Shard> {
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
    fn finish(&self, host: &mut Host, now: Moment) -> Option<Todo> {
        if !host.machine.has_actions() {
            return None;
        }
        let mut todo = host.drain();
        todo.arm = host.machine.arm(now);
        Some(todo)
    }

    /// The id of `target`'s host, which is made if it is new.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub(super) fn origin(&self, target: &Target<'_>) -> Result<OriginId, Error> {
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
        shard.insert(host);
        drop(shard);
        self.wheel.lock().arm(id, now + self.config.idle_timeout);
        Ok(id)
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
    pub(super) fn ask(self: &Arc<Self>, target: &Target<'_>, want: Want) -> Result<Asked, Error> {
        let origin = self.origin(target)?;
        let asked = self.with_host(origin, |host, now| {
            host.last_asked = now;
            let error = |kind| Error::new(kind, Phase::Acquire).with_target(target);
            match host.machine.acquire(now, want) {
                Acquire::Lease(lease) => Ok(self.lend(host, lease).map(Asked::Ready)),
                Acquire::Wait(ticket) => {
                    let listener = host.stand(ticket);
                    Ok(Some(Asked::Line(Place::new(
                        Arc::clone(self),
                        origin,
                        ticket,
                        listener,
                    ))))
                }
                Acquire::Blocked { until } => Err(host.blocked(until)),
                Acquire::Full => Err(error(ErrorKind::TooManyWaiters)),
                Acquire::Closed => Err(error(ErrorKind::Closed)),
            }
        });
        match asked {
            Some(Ok(Some(asked))) => Ok(asked),
            Some(Err(error)) => Err(error),
            // The host was forgotten, or its connection died, between two locks: ask anew.
            None | Some(Ok(None)) => self.ask(target, want),
        }
    }

    /// A connection that is idle now, without waiting or dialling.
    pub(super) fn try_ask(self: &Arc<Self>, target: &Target<'_>, want: Want) -> Option<HotConn> {
        self.with_target(target, |host, now| {
            let lease = host.machine.try_acquire(now, want)?;
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
        Some(HotConn::new(Arc::clone(self), host.id, lease.conn, wire, info))
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
                    let mut todo = self.finish(host, now);
                    // The flag is read inside the critical section: whoever waits at the desk set it before looking here.
                    let parked = host.machine.take_parked();
                    if parked && self.contended.load(Ordering::Acquire) {
                        let ip = host.machine.info(conn).map(|info| info.ip);
                        todo.get_or_insert_with(Todo::default).parked = ip;
                    }
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

    /// Does what machines want done, and what the desk wants because of it, until nothing is left. No lock is held.
    pub(super) fn settle(self: &Arc<Self>, origin: OriginId, todo: Todo) {
        let mut work = VecDeque::from([(origin, todo)]);
        while let Some((origin, todo)) = work.pop_front() {
            self.carry_out(origin, todo, &mut work);
            while let Some(step) = self.next_step() {
                self.take_step(step, &mut work);
            }
        }
    }

    fn carry_out(self: &Arc<Self>, origin: OriginId, todo: Todo, work: &mut VecDeque<(OriginId, Todo)>) {
        for (teller, answer) in todo.told {
            let _ = teller.send(answer); // whoever has gone gave its place up
        }
        if let Some(at) = todo.arm {
            self.wheel.lock().arm(origin, at);
            self.rearmed.notify_one();
        }
        let any_closed = !todo.closed.is_empty();
        for (order, until) in self.visit_desk(origin, &todo.closed, &todo.abandoned, todo.dials, todo.parked)
        {
            work.extend(self.blocked(origin, order, until));
        }
        if todo.resolve {
            dialling::resolve(self, origin);
        }
        for (live, reason) in todo.victims {
            tracing::debug!(target: "hotpool", conn = live.info.serial, host = &*live.info.target, %reason, "closed");
            live.end();
        }
        if any_closed {
            self.emptied.notify_waiters();
        }
    }

    /// Brings everything of one host that concerns the desk there, under one lock. Answers the dials that may not go anywhere.
    fn visit_desk(
        &self,
        origin: OriginId,
        closed: &[IpAddr],
        abandoned: &[DialId],
        dials: Vec<DialOrder>,
        parked: Option<IpAddr>,
    ) -> Vec<(DialId, Moment)> {
        let mut blocked = Vec::new();
        if closed.is_empty() && abandoned.is_empty() && dials.is_empty() && parked.is_none() {
            return blocked;
        }
        let now = self.clock().now_coarse();
        let mut desk = self.desk.lock();
        for &ip in closed {
            desk.ledger.closed(origin, ip);
        }
        for &dial in abandoned {
            desk.ledger.withdraw(origin, dial);
        }
        for mut order in dials {
            match desk
                .penalties
                .screen(now, AllBlocked::Fail, &mut order.candidates)
            {
                Screen::Blocked { until } => blocked.push((order.dial, until)),
                _ => desk.ledger.request(Ask {
                    origin,
                    dial: order.dial,
                    candidates: order.candidates,
                }),
            }
        }
        if let Some(ip) = parked {
            desk.ledger.parked(origin, ip);
        }
        self.contended.store(desk.ledger.contended(), Ordering::Release);
        blocked
    }

    fn blocked(self: &Arc<Self>, origin: OriginId, dial: DialId, until: Moment) -> Option<(OriginId, Todo)> {
        let now = self.clock().now_coarse();
        let mut shard = self.shard(origin).lock();
        let host = shard.by_id(origin)?;
        host.machine.dial_blocked(now, dial, until);
        let mut todo = self.finish(host, now).unwrap_or_default();
        host.dials.remove(&dial);
        if let Some(watcher) = host.watchers.remove(&dial) {
            todo.told.push((watcher, Err(host.blocked(until))));
        }
        Some((origin, todo))
    }

    /// Forgets a host that has nothing alive and that nobody asked for lately.
    pub(super) fn forget(&self, origin: OriginId) {
        let mut shard = self.shard(origin).lock();
        if shard.by_id(origin).is_some_and(|host| host.machine.is_vacant()) {
            shard.forget(origin);
        }
    }

    /// Has the wheel look at a host when its machine next has something due.
    pub(super) fn rearm(self: &Arc<Self>, origin: OriginId) {
        if let Some(at) = self
            .with_host(origin, |host, now| host.machine.arm(now))
            .flatten()
        {
            self.wheel.lock().arm(origin, at);
            self.rearmed.notify_one();
        }
    }

    /// What the desk wants next. The flag is set before anybody looks for victims.
    fn next_step(&self) -> Option<Step> {
        let mut desk = self.desk.lock();
        let step = desk.ledger.poll_step();
        self.contended.store(desk.ledger.contended(), Ordering::Release);
        step
    }

    fn take_step(self: &Arc<Self>, step: Step, work: &mut VecDeque<(OriginId, Todo)>) {
        match step {
            Step::Grant { origin, dial, ip } => DialJob::start(self, origin, dial, ip),
            Step::Evict(victim) => self.evict(victim, work),
        }
    }

    /// Asks a host for its longest idle connection, and brings the desk the answer.
    fn evict(self: &Arc<Self>, victim: Victim, work: &mut VecDeque<(OriginId, Todo)>) {
        let now = self.clock().now_coarse();
        let (answer, todo) = {
            let mut shard = self.shard(victim.origin).lock();
            match shard.by_id(victim.origin) {
                None => (Evicted::None, None),
                Some(host) => (
                    host.machine.evict_idle(now, victim.into()),
                    self.finish(host, now),
                ),
            }
        };
        // The permit that came free first, then the answer: the other way round the desk would still count it and ask for another.
        if let Some(todo) = todo {
            self.carry_out(victim.origin, todo, work);
        }
        self.desk.lock().ledger.answer(now, victim, answer);
    }
}
