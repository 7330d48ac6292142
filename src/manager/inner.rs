//! The heart of a pool: shards of hosts, the desk with the permits, and the road between them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::HotConn;
use super::alarm::Bell;
use super::checks::{Blocked, Checks, Watch};
use super::cleaning::CleanupPolicy;
use super::directory::{Directory, Key, Shard};
use super::ears::{Ear, Ears};
use super::host::{Host, Slip, TakenBack, Todo};
use super::jobs::{Job, Jobs, Start};
use super::lent::{Lent, Site};
use super::observer::Audience;
use super::order::Claim;
use super::place::Place;
use super::roll::Roll;
use super::settle::Work;
use super::upkeep::Rounds;
use super::validator::Validator;
use crate::access::{AccessPolicy, Rules};
use crate::clock::{Clock, Moment, SystemClock, before};
use crate::config::PoolConfig;
use crate::dial::{Connect, Identities};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::{CloseReason, Returned};
use crate::fault::planted;
use crate::identity::IdentityId;
use crate::machine::{
    Acquire, AllBlocked, DialId, DialOrder, Fate, Lease, Ledger, LedgerLimits, Limits, OriginId, Penalties,
    PenaltyTerms, Ticket, Want, Wheel,
};
use crate::rt::Rt;
use crate::sync::{AtomicBool, AtomicU64, BriefGuard, Mutex, Ordering};
use crate::target::Target;

/// What the owner of a pool decides by itself.
#[derive(Default)]
pub(crate) struct Owners {
    pub(crate) access: AccessPolicy,
    pub(crate) cleanup: Option<Box<dyn CleanupPolicy>>,
    pub(crate) validator: Option<Box<dyn Validator>>,
}

/// Everything a pool consists of, but for its public face.
pub(crate) struct Inner {
    pub(super) directory: Directory,
    pub(super) desk: Mutex<Desk>,
    pub(super) wheel: Mutex<Wheel<OriginId>>,
    pub(super) roll: Mutex<Roll>,
    settings: Mutex<Arc<PoolConfig>>,
    /// What the owner blocks and allows.
    pub(super) rules: Mutex<Rules>,
    /// Who wants to hear when a connection goes idle.
    pub(super) ears: Ears,
    closed: AtomicBool,
    pub(super) paused: AtomicBool,
    /// Whose alarm rang. Its call wakes the upkeep, for a new first deadline of the wheel, too.
    pub(super) bell: Arc<Bell>,
    /// Told when a connection has closed.
    pub(super) emptied: Notify,
    /// Told when a connection has come to be, and when the pool closes.
    pub(super) born: Notify,
    /// Whether the jobs run.
    pub(super) upkeep: AtomicBool,
    pub(super) jobs: Jobs,
    /// Ends the dials that are under way.
    pub(super) dials: Mutex<CancellationToken>,
    pub(super) start: Start,
    pub(super) rounds: Mutex<Rounds>,
    pub(super) checks: Mutex<Checks>,
    pub(super) watch: Watch,
    pub(super) blocked: Mutex<Blocked>,
    /// Whether descriptors were short when they were last counted.
    pub(super) shortage: AtomicBool,
    pub(super) policy: Option<Box<dyn CleanupPolicy>>,
    pub(super) validator: Option<Box<dyn Validator>>,
    pub(super) audience: Audience,
    pub(super) work: Mutex<Work>,
    serial: AtomicU64,
    /// Permits of connections that closed and of connections that were dialled, as long as only one of host and desk knows.
    pub(super) in_transit: AtomicU64,
    /// Which network the machine has: what begins in one and ends in the next is not trusted.
    pub(super) network: AtomicU64,
    pub(super) identities: Identities,
    pub(crate) rt: Rt,
    pub(super) clock: Arc<dyn Clock>,
    /// The same, if it is the system's.
    system: Option<SystemClock>,
    pub(super) dialler: Box<dyn Connect>,
}

/// What all hosts share: permits and the penalties of addresses.
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) penalties: Penalties,
    /// What the dials in the Ledger's line were ordered to do.
    pub(super) orders: HashMap<(OriginId, DialId), DialOrder>,
}

impl Desk {
    /// When the block of the first of `last` ends, which its origin holds something against, if that is sooner than of what the pool avoids for all: then the
    /// origin probes it.
    pub(super) fn probed_by_its_origin(
        &self,
        now: Moment,
        order: &DialOrder,
        last: &[IpAddr],
    ) -> Option<Moment> {
        let pools = |&ip: &IpAddr| self.penalties.blocked(now, ip);
        let both = |(ip, &held): (&IpAddr, &Moment)| pools(ip).max(Some(held));
        let own = last.iter().zip(&order.held).filter_map(both).min()?;
        // `None` is the least: one address that is free is enough.
        let first = order.candidates.iter().map(pools).min().flatten()?;
        (own < first && !planted("the_pool_s_least_bad_is_probed")).then_some(own)
    }

    /// A dial is over, or will not be: if it was the one that probed a blocked address, another may.
    pub(super) fn dial_over(&mut self, order: &DialOrder) {
        let its_own = order.pool_probe || (order.probe && planted("one_probe_ends_another_s"));
        if its_own && !planted("one_probe_is_the_last") {
            for &ip in &order.candidates {
                self.penalties.probe_over(ip);
            }
        }
    }
}

/// The answer to [`Inner::ask`].
pub(super) enum Asked {
    /// Here it is; whether it is alive is for the caller to look at.
    Ready(HotConn),
    /// Stand here until told.
    Line(Box<Place>),
}

impl Inner {
    pub(crate) fn new(
        config: PoolConfig,
        identities: Identities,
        clock: Arc<dyn Clock>,
        dialler: Box<dyn Connect>,
        (owners, start): (Owners, Start),
    ) -> Arc<Self> {
        let jobs = Jobs::default();
        Arc::new(Inner {
            directory: Directory::new(),
            desk: Mutex::new(Desk {
                ledger: Ledger::new(ledger_limits(&config)),
                penalties: Penalties::new(PenaltyTerms::default()),
                orders: HashMap::new(),
            }),
            wheel: Mutex::new(Wheel::new()),
            roll: Mutex::default(),
            settings: Mutex::new(Arc::new(config)),
            rules: Mutex::new(Rules::of(owners.access)),
            ears: Ears::default(),
            closed: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            bell: Arc::new(Bell::new(jobs.call_of(Job::Cleanup))),
            emptied: Notify::new(),
            born: Notify::new(),
            upkeep: AtomicBool::new(false),
            jobs,
            dials: Mutex::default(),
            start,
            rounds: Mutex::default(),
            checks: Mutex::default(),
            watch: Watch::default(),
            blocked: Mutex::default(),
            shortage: AtomicBool::new(false),
            policy: owners.cleanup,
            validator: owners.validator,
            audience: Audience::default(),
            work: Mutex::default(),
            serial: AtomicU64::new(0),
            in_transit: AtomicU64::new(0),
            network: AtomicU64::new(0),
            identities,
            rt: Rt::new(),
            system: clock.as_system().cloned(),
            clock,
            dialler,
        })
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The time by the coarse clock.
    #[inline]
    pub(super) fn now_coarse(&self) -> Moment {
        match &self.system {
            Some(system) => system.now_coarse(),
            None => self.clock.now_coarse(),
        }
    }

    /// Waits for `what` where a task would run, and no longer than until `deadline`; not at all where there is no runtime left, and so no timer.
    /// As cancel safe as `what`.
    pub(super) async fn until<F: Future + Unpin>(&self, deadline: Moment, mut what: F) -> Option<F::Output> {
        if !self.rt.is_somewhere() && !planted("timers_need_no_runtime") {
            let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut what).poll(cx))).await;
            return match now {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            };
        }
        self.rt.inside(pin!(before(self.clock(), deadline, what))).await
    }

    /// The pool's time, for those who outlive it.
    pub(crate) fn time(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The settings in force.
    pub(super) fn config(&self) -> Arc<PoolConfig> {
        Arc::clone(&self.settings.lock())
    }

    /// Puts other settings in force for whoever asks from now on. Answers those before.
    pub(super) fn set_config(&self, config: PoolConfig) -> Arc<PoolConfig> {
        std::mem::replace(&mut *self.settings.lock(), Arc::new(config))
    }

    pub(super) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// From now on nothing new starts. Answers whether it was open until now.
    pub(super) fn shut(&self) -> bool {
        let open = !self.closed.swap(true, Ordering::AcqRel);
        self.tell_of_life();
        open
    }

    /// A connection has come to be, or there will be none.
    pub(super) fn tell_of_life(&self) {
        if !planted("births_are_silent") {
            self.born.notify_waiters();
        }
    }

    /// One act on one host, if the pool knows it: `act` under its lock, then whatever its machine wants done.
    pub(super) fn with_host<T>(
        self: &Arc<Self>,
        origin: OriginId,
        act: impl FnOnce(&mut Host, Moment) -> T,
    ) -> Option<T> {
        self.with_host_and(origin, &mut None, act)
    }

    /// The same, with what is written on if anything follows.
    pub(super) fn with_host_and<T>(
        self: &Arc<Self>,
        origin: OriginId,
        slip: &mut Option<Slip>,
        act: impl FnOnce(&mut Host, Moment) -> T,
    ) -> Option<T> {
        let now = self.now_coarse();
        let (answer, todo) = {
            let mut shard = self.directory.shard_of(origin).lock();
            let host = shard.by_id(origin)?;
            let answer = act(host, now);
            (answer, self.follow(host, now, slip))
        };
        if let Some(todo) = todo {
            self.settle(*todo);
        }
        Some(answer)
    }

    /// As [`with_host`](Self::with_host), by name, and without one if the host is unknown.
    pub(super) fn with_target<T>(
        self: &Arc<Self>,
        target: &Target<'_>,
        act: impl FnOnce(&mut Host, Moment) -> T,
    ) -> Option<T> {
        if planted("questions_make_hosts") {
            self.origin(target).ok()?;
        }
        let key = self.directory.key(target.as_str());
        let origin = self.directory.shard(key.hash).lock().named(&key)?.id;
        self.with_host(origin, act)
    }

    /// What follows from handing out or taking back, if anything does. Under the host's lock.
    #[inline]
    pub(super) fn finish(&self, host: &mut Host, now: Moment) -> Option<Box<Todo>> {
        // Read inside the critical section: whoever wants to hear said so before looking here.
        let heard = host.machine.take_parked() && self.ears.any();
        match host.machine.has_actions() || heard {
            false => None,
            true => self.follow_up(host, now, heard, &mut None),
        }
    }

    /// What follows from any other act: it may be the one after which nobody uses the host. Under its lock.
    pub(super) fn follow(&self, host: &mut Host, now: Moment, slip: &mut Option<Slip>) -> Option<Box<Todo>> {
        let parked = host.machine.take_parked();
        self.follow_up(host, now, parked, slip)
    }

    #[cold]
    fn follow_up(
        &self,
        host: &mut Host,
        now: Moment,
        parked: bool,
        slip: &mut Option<Slip>,
    ) -> Option<Box<Todo>> {
        let parked = parked && self.ears.has(Ear::Desk);
        self.comes_back(host, now);
        (host.machine.has_actions() || parked || host.machine.is_due_sooner())
            .then(|| self.todo(host, now, parked, slip.take().unwrap_or_default()))
    }

    /// Puts a host that was found in use back on the roll, once it is not. Under its lock.
    fn comes_back(&self, host: &mut Host, now: Moment) {
        if host.enrolled.is_some() || host.is_busy() || planted("who_was_in_use_stays_off_the_roll") {
            return;
        }
        let used = now.max(host.last_asked);
        host.enrolled = Some(used);
        let mut roll = self.roll.lock();
        roll.come_back(used, host.id);
        self.ears.set(Ear::Roll, roll.is_anybody_off());
    }

    /// Everything that a machine wants done. Under the host's lock.
    #[cold]
    pub(super) fn todo(&self, host: &mut Host, now: Moment, parked: bool, mut slip: Slip) -> Box<Todo> {
        host.todo(now, parked, &mut slip);
        let Slip { todo, errand } = slip;
        self.in_transit
            .fetch_add(errand.closed.len() as u64, Ordering::Relaxed);
        for order in &errand.dials {
            host.bind(order.dial, || self.identities.find(order.identity));
        }
        self.leave_errand(host.id, errand);
        todo
    }

    /// Has the wheel look at a host at that time, if at any.
    pub(super) fn rearm(&self, origin: OriginId, at: Option<Moment>) {
        if let Some(at) = at {
            if planted("calls_before_it_arms") {
                self.bell.call.notify_one();
            }
            self.wheel.lock().arm(origin, at);
            if !planted("calls_before_it_arms") {
                self.bell.call.notify_one();
            }
        }
    }

    /// Asks the host of this canonical text, if it is known, for a connection. One lock, and nothing else where one is ready.
    ///
    /// None if the host is not known, or its connection died at this very moment: ask by target then.
    ///
    /// # Errors
    /// Closed, too many waiters, or every address blocked.
    #[inline]
    pub(super) fn ask_known(
        self: &Arc<Self>,
        key: &Key<'_>,
        claim: &Claim<'_>,
        site: Site,
    ) -> Option<Result<Asked, Error>> {
        let now = self.now_coarse();
        let mut shard = self.directory.shard(key.hash).lock();
        let host = shard.named(key)?;
        host.last_asked = now;
        if claim.is_own() {
            host.asked_as_own = Some(now);
        }
        let identity = claim.identity(&self.identities);
        let Some(lease) = claim.hit(&mut host.machine, now, identity) else {
            return self.ask_in_line(shard, key, (claim, identity), site, now);
        };
        let conn = self.lend(host, now, lease, site);
        let todo = self.finish(host, now);
        drop(shard);
        if let Some(todo) = todo {
            self.settle(*todo);
        }
        conn.map(|conn| Ok(Asked::Ready(conn)))
    }

    /// As [`ask_known`](Self::ask_known), for a caller for whom nothing was ready. Still under the host's lock.
    #[cold]
    fn ask_in_line<'a>(
        self: &'a Arc<Self>,
        mut shard: BriefGuard<'a, Shard>,
        key: &Key<'_>,
        (claim, identity): (&Claim<'_>, IdentityId),
        site: Site,
        now: Moment,
    ) -> Option<Result<Asked, Error>> {
        let host = shard.named(key)?;
        let want = claim.want(identity);
        let acquired = host.machine.acquire(now, want);
        let host = match planted("acquired_and_stood_apart") {
            false => host,
            true => {
                drop(shard);
                shard = self.directory.shard(key.hash).lock();
                shard.named(key)?
            }
        };
        let origin = host.id;
        let missed = self.missed(host, now, acquired, want, site);
        let look = missed.is_ok().then(|| host.arm(now)).flatten();
        let todo = self.finish(host, now);
        drop(shard);
        if let Some(todo) = todo {
            self.settle(*todo);
        }
        self.rearm(origin, look);
        missed.transpose()
    }

    /// What follows for a caller for whom nothing was ready. Under the host's lock.
    fn missed(
        self: &Arc<Self>,
        host: &mut Host,
        now: Moment,
        acquired: Acquire,
        want: Want,
        site: Site,
    ) -> Result<Option<Asked>, Error> {
        let error = |kind| Error::new(kind, Phase::Acquire).with_target(&host.target);
        match acquired {
            Acquire::Lease(_) => Ok(None),
            Acquire::Wait(ticket) => {
                let listener = host.stand(ticket, self.rt.here(), site);
                host.counters.waits += 1;
                let identity = self.identities.find(want.identity);
                let identity = identity.filter(|_| !planted("waiters_hold_no_identity"));
                let place = Place::new(
                    Arc::clone(self),
                    host.id,
                    (ticket, want),
                    listener,
                    (site, identity),
                );
                Ok(Some(Asked::Line(Box::new(place))))
            }
            Acquire::Blocked { until } => Err(host.blocked(now, until)),
            Acquire::Full => Err(error(ErrorKind::TooManyWaiters)),
            Acquire::Closed => Err(error(ErrorKind::Closed)),
        }
    }

    /// Asks for a connection, and stands in line if there is none.
    ///
    /// # Errors
    /// Closed, too many hosts or waiters, or every address blocked.
    pub(super) fn ask(
        self: &Arc<Self>,
        target: &Target<'_>,
        claim: &Claim<'_>,
        site: Site,
    ) -> Result<Asked, Error> {
        let key = self.directory.key(target.as_str());
        loop {
            self.origin(target)?;
            // None: the host was forgotten, or its connection died, between two locks.
            if let Some(asked) = self.ask_known(&key, claim, site) {
                return asked;
            }
        }
    }

    /// A connection that is idle now, without waiting or dialling.
    pub(super) fn try_ask(self: &Arc<Self>, key: &Key<'_>, claim: &Claim<'_>, site: Site) -> Option<HotConn> {
        let now = self.now_coarse();
        let (conn, todo) = {
            let mut shard = self.directory.shard(key.hash).lock();
            let host = shard.named(key)?;
            host.last_asked = now;
            if claim.is_own() {
                host.asked_as_own = Some(now);
            }
            let lease = host
                .machine
                .try_acquire(now, claim.want(claim.identity(&self.identities)));
            let conn = lease.and_then(|lease| self.lend(host, now, lease, site));
            (conn, self.finish(host, now))
        };
        if let Some(todo) = todo {
            self.settle(*todo);
        }
        conn
    }

    /// The connection of a granted ticket.
    pub(super) fn redeem(self: &Arc<Self>, origin: OriginId, ticket: Ticket, site: Site) -> Option<HotConn> {
        self.with_host(origin, |host, now| {
            let lease = host.take(ticket)?;
            self.lend(host, now, lease, site)
        })?
    }

    #[inline]
    fn lend(self: &Arc<Self>, host: &mut Host, now: Moment, lease: Lease, site: Site) -> Option<HotConn> {
        let Some(lent) = host.lend(self, now, lease, site) else {
            // It ended between the grant and now. Were it alive, the machine and the list of streams would disagree.
            let alive = host.machine.is_live(lease.conn);
            debug_assert!(!alive, "{:?} was lent and has no stream", lease.conn);
            host.machine
                .release(now, lease.conn, Fate::Close(CloseReason::Failed));
            return None;
        };
        Some(HotConn::new(lent))
    }

    /// Takes a lease back.
    #[inline]
    pub(super) fn give_back(self: &Arc<Self>, mut lent: Box<Lent>) -> Returned {
        let fate = lent.fate(); // a look, if one is due, before any lock
        let (origin, conn) = (lent.origin, lent.conn);
        // What was not used is as old as it was, and needs no time of its own.
        let now = match fate {
            Fate::Untouched => Moment::ZERO,
            _ => self.now_coarse(),
        };
        if planted("released_before_it_is_home") {
            self.with_host(origin, |host, now| host.machine.release(now, conn, fate));
        }
        let quiet = planted("flag_is_read_before_the_lock") && !self.ears.any();
        let early = planted("rung_is_read_before_the_lock").then(|| lent.is_rung());
        let (returned, stray, rung, todo) = {
            let mut shard = self.directory.shard_of(origin).lock();
            match shard.by_id(origin) {
                None => (Returned::Closed(CloseReason::PoolClosed), Some(lent), false, None),
                Some(host) => {
                    let (stray, rung) = match host.take_back(lent) {
                        TakenBack::Stray(lent) => (Some(lent), false),
                        TakenBack::Home { rung } => (None, early.unwrap_or(rung)),
                    };
                    let returned = match planted("released_before_it_is_home") {
                        false => host.machine.release(now, conn, fate),
                        true => Returned::Kept,
                    };
                    if quiet {
                        host.machine.take_parked();
                    }
                    let now = host.machine.latest();
                    (returned, stray, rung, self.finish(host, now))
                }
            }
        };
        drop(stray);
        if rung {
            self.bell.ring((origin, conn));
        }
        if let Some(todo) = todo {
            self.settle(*todo);
        }
        returned
    }
}

impl Inner {
    /// The limits of one host.
    pub(super) fn limits(&self) -> Limits {
        let config = self.config();
        Limits {
            max_per_host: config.max_per_host,
            max_idle_per_host: config.max_idle_per_host,
            min_idle: config.min_idle,
            max_waiters: config.max_waiters,
            idle_timeout: config.idle_timeout,
            max_lifetime: config.max_lifetime,
            jitter: config.lifetime_jitter,
            h2_max_streams: config.h2_max_streams,
            growth: config.h2_growth,
            selection: config.selection,
            all_blocked: match planted("all_blocked_is_not_heeded") {
                true => AllBlocked::Fail,
                false => config.all_blocked,
            },
            penalty: PenaltyTerms {
                validated: self.validator.is_some(),
                ..PenaltyTerms::default()
            },
            ..Limits::default()
        }
    }
}

/// The limits of all hosts together.
pub(super) fn ledger_limits(config: &PoolConfig) -> LedgerLimits {
    LedgerLimits {
        max_connections: config.max_connections,
        max_per_ip: config.max_per_ip,
        max_dials: config.max_dials,
    }
}
