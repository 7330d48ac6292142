//! The two jobs that a host orders: asking for its addresses, and dialling one of them (how, see `attempts`).

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use tracing::Instrument;

use super::host::{Host, Watcher};
use super::inner::Inner;
use super::live::{Fresh, Live, Rest, Shared};
use super::observer::Event;
use super::span;
use crate::clock::Moment;
use crate::conn::{ConnInfo, Driver, News, Wire};
use crate::dial::{Ask, Dialled, Early, Found, Interned, Progress};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{ConnId, DialId, DialOrder, OriginId, Reached};
use crate::rt::{Home, NotSpawned};
use crate::sync::Ordering;
use crate::target::Target;

/// Starts to resolve the name of a host; the answer goes to its machine.
pub(super) fn resolve(inner: &Arc<Inner>, origin: OriginId) {
    let known = inner.with_host(origin, |host, _| (host.target.clone(), host.home.clone()));
    let Some((target, home)) = known else { return };
    let mut question = Question {
        inner: Arc::clone(inner),
        origin,
        target,
        network: inner.network(),
        answered: false,
    };
    if let Err(problem) = inner.rt.check(home.as_ref()) {
        return question.answer(Err(not_spawned(problem).with_target(&question.target)));
    }
    let job = async move {
        let inner = Arc::clone(&question.inner);
        let deadline = inner.clock().now() + inner.config().connect_timeout;
        let mut early = |found: &Found| {
            ring(inner.with_host(origin, |host, now| host.learn_early(now, found)));
        };
        let answer = inner.find(&question.target, deadline, &mut early).await;
        question.answer(answer);
    };
    let job = job.instrument(span::ours());
    let _ = inner.rt.job(home.as_ref(), job); // one that did not start has been dropped, and has answered
}

impl Inner {
    /// Asks for the addresses of a name, by the settings in force.
    pub(super) async fn find(
        &self,
        target: &Target<'_>,
        deadline: Moment,
        early: Early<'_>,
    ) -> Result<Found, Error> {
        let config = self.config();
        let ask = Ask {
            target,
            deadline,
            refresh: config.dns_refresh,
            stale: config.dns_stale,
        };
        self.dialler
            .resolve(ask, early)
            .instrument(span::dns(target))
            .await
    }
}

/// A resolution under way: dropped without an answer, it is asked again where somebody waits for it, or has failed.
struct Question {
    inner: Arc<Inner>,
    origin: OriginId,
    target: Target<'static>,
    /// The network in which it was asked.
    network: u64,
    answered: bool,
}

impl Question {
    fn answer(&mut self, answer: Result<Found, Error>) {
        self.answered = true;
        let error = answer.as_ref().err().cloned();
        let told = self.inner.with_host(self.origin, |host, now| {
            host.resolving = false;
            match answer {
                Ok(answer) => host.learn(now, &self.inner.found_in(self.network, now, answer)),
                Err(error) => {
                    host.counters.count_failure(Phase::Resolve);
                    host.unresolved = Some(error);
                    host.machine.resolve_failed(now);
                }
            }
            host.under_way()
        });
        ring(told);
        if let Some(error) = error {
            self.inner.tell_of_failure(self.target.as_str(), &error);
        }
    }
}

/// Tells dials under way that there may be more addresses, or that there will be none. It wakes them: no lock is held.
fn ring(dials: Option<Vec<Arc<Progress>>>) {
    for dial in dials.into_iter().flatten() {
        dial.news.notify_one();
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.answered || planted("dropped_question_is_not_answered") {
            return;
        }
        let lost = is_lost(&self.inner) && !planted("lost_questions_have_failed");
        match lost && find_home(&self.inner, self.origin) {
            true => resolve(&self.inner, self.origin),
            false => self.answer(Err(dropped(&self.inner, Phase::Resolve).with_target(&self.target))),
        }
    }
}

/// Whether what is dropped now before its end is so because its runtime has ended: not with its pool, nor by a panic that would come again.
fn is_lost(inner: &Inner) -> bool {
    !inner.is_closed() && (!std::thread::panicking() || planted("panics_are_tried_again"))
}

/// After a job was lost: its like runs where somebody lives who still waits at this host. False if nobody does. One that is lost again was started
/// where another runtime has ended since, so there is an end to it.
fn find_home(inner: &Arc<Inner>, origin: OriginId) -> bool {
    let homes = inner.with_host(origin, |host, _| host.homes());
    let Some(home) = homes.and_then(|homes| inner.rt.living(homes)) else {
        return false;
    };
    inner
        .with_host(origin, |host, _| host.home = Some(home))
        .is_some()
}

/// The error of what was dropped before its end: with its pool, or with its runtime.
fn dropped(inner: &Inner, phase: Phase) -> Error {
    match inner.is_closed() {
        true => Error::new(ErrorKind::Closed, phase),
        false => Error::new(ErrorKind::NoRuntime, phase),
    }
}

pub(super) fn not_spawned(problem: NotSpawned) -> Error {
    match problem {
        NotSpawned::Closed => Error::new(ErrorKind::Closed, Phase::Acquire),
        NotSpawned::NoRuntime => Error::new(ErrorKind::NoRuntime, Phase::Acquire),
    }
}

/// What a dial needs of its host.
struct Begun {
    target: Target<'static>,
    progress: Arc<Progress>,
    identity: Option<Arc<Interned>>,
    home: Option<Home>,
    /// Whether the addresses are past their time: this dial still uses them, the next one has newer.
    stale: bool,
}

fn begin(host: &mut Host, now: Moment, dial: DialId) -> Option<Begun> {
    let ordered = host.dials.get(&dial)?;
    let (progress, identity) = (Arc::clone(&ordered.progress), ordered.identity.clone());
    if !host.machine.begin(now, dial) {
        host.dials.remove(&dial);
        return None;
    }
    host.counters.dials += 1;
    // A host that was only ever asked for at a pinned address has nothing to refresh.
    let known = host.machine.addresses().next().is_some();
    let stale = known && now >= host.machine.fresh_until() && !std::mem::replace(&mut host.resolving, true);
    Some(Begun {
        target: host.target.clone(),
        progress,
        identity,
        home: host.home.clone(),
        stale,
    })
}

/// A dial under way, with every permit it holds: dropped at any point, it gives them back and has failed.
pub(super) struct DialJob {
    pub(super) inner: Arc<Inner>,
    pub(super) origin: OriginId,
    pub(super) target: Target<'static>,
    pub(super) order: DialOrder,
    pub(super) identity: Option<Arc<Interned>>,
    pub(super) progress: Arc<Progress>,
    /// The addresses whose permits it holds.
    pub(super) holds: Vec<IpAddr>,
    pub(super) error: Option<Error>,
    /// The network in which it began.
    pub(super) network: u64,
    /// Whether it has had its name asked for again in the next one.
    pub(super) asked_again: bool,
    /// Whether it has tried what there was to try.
    done: bool,
    over: bool,
}

impl DialJob {
    /// Starts the dial that the desk granted, if it is still wanted; otherwise its permits go back.
    pub(super) fn start(inner: &Arc<Inner>, origin: OriginId, order: Option<DialOrder>, ip: Option<IpAddr>) {
        let begun = order.and_then(|order| {
            let begun = inner.with_host(origin, |host, now| begin(host, now, order.dial));
            if let Some(begun) = begun.flatten() {
                return Some((order, begun));
            }
            inner.desk.lock().dial_over(&order);
            None
        });
        let Some((
            order,
            Begun {
                target,
                progress,
                identity,
                home,
                stale,
            },
        )) = begun
        else {
            let mut desk = inner.desk.lock();
            if let Some(ip) = ip {
                desk.ledger.attempt_over(ip);
            }
            if !planted("grant_to_nobody_keeps_its_permit") {
                desk.ledger.unconnected();
            }
            return;
        };
        if stale {
            resolve(inner, origin);
        }
        let error = inner.rt.check(home.as_ref()).err();
        let error = error.map(|problem| not_spawned(problem).with_target(&target));
        let job = DialJob {
            inner: Arc::clone(inner),
            origin,
            target,
            order,
            identity,
            progress,
            holds: ip.into_iter().collect(),
            error,
            network: inner.network(),
            asked_again: false,
            done: false,
            over: false,
        };
        super::jobs::start(inner);
        let forced = inner.dials.lock().clone();
        let span = span::dial(&job.target);
        let job = async move { _ = forced.run_until_cancelled(job.run()).await }.instrument(span);
        let _ = inner.rt.job(home.as_ref(), job); // one that did not start has been dropped, and has failed
    }

    async fn run(mut self) {
        if !planted("work_waits_for_its_own_runtime") {
            self.inner.pump(); // what is left of it may have been left to a runtime that stands still
        }
        let deadline = self.inner.clock().now() + self.inner.config().connect_timeout;
        let won = match self.plan(deadline) {
            Some(plan) => self.race(plan, deadline).await,
            None => None,
        };
        if let Some((ip, dialled)) = won {
            return self.won(ip, dialled);
        }
        self.done = true;
        // Dropped here: whatever was not won has failed.
    }

    fn won(mut self, ip: IpAddr, mut dialled: Dialled) {
        self.over = true;
        dialled.info.serial = self.inner.next_serial();
        let protocol = dialled.info.protocol;
        let (end, detour) = (dialled.info.tunnel_end, dialled.info.detour);
        let info = Arc::new(dialled.info);
        let born = Born::new(
            &self.inner,
            dialled.wire,
            Arc::clone(&info),
            self.identity.clone(),
        );
        let now = self.inner.now_coarse();
        let cleared = {
            let mut desk = self.inner.desk.lock();
            desk.ledger.connected(now, self.origin, ip);
            self.inner.in_transit.fetch_add(1, Ordering::Relaxed);
            let clears = !self.is_elsewhere() || planted("another_network_clears_what_is_held_here");
            let clears = clears && !detour;
            if !clears && !planted("detours_probe_for_ever") {
                desk.dial_over(&self.order); // what it found out is nothing of the address
            }
            clears && desk.penalties.clear(now, ip)
        };
        let mut born = Some(born);
        let conn = self.inner.with_host(self.origin, |host, now| {
            host.dials.remove(&self.order.dial);
            let watcher = host.watchers.remove(&self.order.dial);
            let elsewhere = self.is_elsewhere();
            let reached = Reached {
                ip,
                end,
                elsewhere: detour || elsewhere && !planted("another_network_clears_what_is_held_here"),
            };
            let conn = host
                .machine
                .dialled_through(now, self.order.dial, reached, protocol)?;
            self.inner.in_transit.fetch_sub(1, Ordering::Relaxed);
            host.counters.opened += 1;
            let rung = born
                .take()
                .is_some_and(|born| born.settle_in(&self.inner, host, (conn, now)));
            // A new epoch that has been here already did not see it; one that has yet to come will.
            let identities = &self.inner.identities;
            let retired = self
                .identity
                .as_ref()
                .is_some_and(|its| identities.is_retired(its));
            if retired && !planted("late_birth_is_kept") {
                host.machine.retire(now, conn, CloseReason::IdentityRetired);
            }
            // The same of a new network.
            let doubtful = match elsewhere && !planted("births_escape_a_new_network") {
                true => host.doubt_birth(now, conn),
                false => None,
            };
            // It went at once, or goes with whoever waited for it.
            let behind = end.filter(|_| !planted("tunnels_that_close_at_birth_are_opened"));
            let shut = host
                .machine
                .bars(now, ip)
                .or(behind.and_then(|end| host.machine.bars_behind(now, end)))
                .or(host.machine.penalties().told(now, ip));
            let shut = shut.filter(|_| !planted("what_closes_at_birth_is_opened"));
            let came = shut.map_or(Ok(()), |until| Err(host.blocked(now, until).with_ip(ip)));
            Some((conn, watcher.map(|watcher| (watcher, came)), rung, doubtful))
        });
        if cleared {
            self.inner.unshun_everywhere(|shunned| shunned == ip);
        }
        match conn.flatten() {
            None => {
                // Nobody is there to have it: the host was closed meanwhile.
                {
                    let mut desk = self.inner.desk.lock();
                    if !planted("connection_for_nobody_keeps_its_permits") {
                        desk.ledger.closed(self.origin, ip);
                    }
                    self.inner.in_transit.fetch_sub(1, Ordering::Relaxed);
                }
                self.inner.pump();
                drop(born);
            }
            Some((conn, watcher, rung, doubtful)) => {
                if let Some(handle) = doubtful {
                    handle.doubt();
                }
                if rung {
                    self.inner.bell.ring((self.origin, conn));
                }
                if let Some(driver) = dialled.driver {
                    drive(&self.inner, self.origin, conn, driver);
                }
                let host = self.target.as_str();
                tracing::debug!(target: "hotpool", conn = info.serial, host, %ip, protocol = %protocol, "opened");
                self.inner.audience.tell(Event::Opened { info: &info });
                if let Some((watcher, came)) = watcher {
                    watcher.tell(came);
                }
                self.inner.tell_of_life();
                let leak_timeout = self.inner.config().leak_timeout;
                let look = self.inner.with_host(self.origin, |host, now| {
                    let next = host.arm(now);
                    (
                        host.machine.fresh_until(),
                        host.arm_at(now + leak_timeout).or(next),
                    )
                });
                if let Some((fresh_until, look)) = look {
                    self.inner.rearm(self.origin, look);
                    self.inner.call_for_a_birth(fresh_until);
                }
                self.inner.pump();
            }
        }
    }
}

impl Drop for DialJob {
    fn drop(&mut self) {
        if !self.over && !planted("failed_dial_is_nobody_s") {
            self.failed();
        }
    }
}

impl DialJob {
    fn failed(&mut self) {
        {
            let mut desk = self.inner.desk.lock();
            for ip in self.holds.drain(..) {
                desk.ledger.attempt_over(ip);
            }
            desk.dial_over(&self.order);
            desk.ledger.unconnected();
        }
        let lost = !self.done && is_lost(&self.inner) && !planted("lost_dials_have_failed");
        match lost && find_home(&self.inner, self.origin) {
            true => self.order_again(),
            false => self.refuse(),
        }
        self.inner.pump();
    }

    fn order_again(&self) {
        let watcher = self
            .inner
            .with_host(self.origin, |host, now| host.dial_lost(now, self.order.dial));
        let full = || dropped(&self.inner, Phase::Acquire).with_target(&self.target);
        inform(watcher.flatten(), Err(full()));
    }

    fn refuse(&mut self) {
        // What ended by itself without an attempt had no time for one.
        let none = match self.done && !planted("no_time_is_no_runtime") {
            true => Error::new(ErrorKind::Timeout, self.progress.phase()),
            false => dropped(&self.inner, self.progress.phase()),
        };
        let error = self
            .error
            .take()
            .unwrap_or_else(|| none.with_target(&self.target));
        let watcher = self.inner.with_host(self.origin, |host, now| {
            // The error first: the refusals that follow from the failure carry it.
            if let Some(dial) = host.dials.get_mut(&self.order.dial) {
                dial.error = Some(error.clone());
            }
            host.machine.dial_failed(now, self.order.dial, &[]);
            host.watchers.remove(&self.order.dial)
        });
        self.inner
            .with_host(self.origin, |host, _| host.dials.remove(&self.order.dial));
        inform(watcher.flatten(), Err(error));
    }
}

fn inform(watcher: Option<Watcher>, answer: Result<(), Error>) {
    if let Some(watcher) = watcher {
        watcher.tell(answer);
    }
}

/// A connection that was dialled, before its machine knows it.
struct Born {
    info: Arc<ConnInfo>,
    identity: Option<Arc<Interned>>,
    kind: Kind,
}

enum Kind {
    Single(Fresh),
    Shared(Shared),
}

impl Born {
    fn new(inner: &Inner, wire: Wire, info: Arc<ConnInfo>, identity: Option<Arc<Interned>>) -> Self {
        let kind = match wire {
            Wire::H2(handle) => Kind::Shared(Shared::new(handle)),
            wire => Kind::Single(Fresh::new(&inner.bell, wire)),
        };
        Born { info, identity, kind }
    }

    /// Gives it its place. Answers whether it is to be looked at.
    fn settle_in(self, inner: &Arc<Inner>, host: &mut Host, (conn, born): (ConnId, Moment)) -> bool {
        let Born { info, identity, kind } = self;
        let (rest, rung) = match kind {
            Kind::Shared(shared) => (Rest::Shared(Box::new(shared)), false),
            Kind::Single(fresh) => {
                let (single, rung) = fresh.settle_in((inner, host.id, conn), &info);
                (Rest::Single(single), rung)
            }
        };
        let live = Live {
            info,
            born,
            _identity: identity,
            rest,
        };
        host.settle_in(conn, live);
        rung
    }
}

/// Runs the driver of an HTTP/2 connection until it ends. It does not keep the pool alive.
fn drive(inner: &Arc<Inner>, origin: OriginId, conn: ConnId, mut driver: Driver) {
    let ending = Ending {
        pool: Arc::downgrade(inner),
        origin,
        conn,
        reason: None,
    };
    let _ = inner.rt.driver(async move {
        loop {
            match driver.run().await {
                News::Ended(reason) => return ending.note(reason),
                news => ending.with_host(|host, now| host.hear(now, conn, news)),
            }
        }
    }); // one that did not start has been dropped, and its end noted
}

/// However a driver ends, its connection is over.
struct Ending {
    pool: Weak<Inner>,
    origin: OriginId,
    conn: ConnId,
    /// None where it came to no end of its own: its runtime has ended, with the pool or before it, or it panicked.
    reason: Option<CloseReason>,
}

impl Ending {
    fn note(mut self, reason: CloseReason) {
        self.reason = Some(reason);
    }

    fn with_host(&self, act: impl FnOnce(&mut Host, Moment)) {
        if let Some(inner) = self.pool.upgrade() {
            inner.with_host(self.origin, act);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(inner) = self.pool.upgrade() else { return };
        let reason = self.reason.unwrap_or_else(|| match inner.is_closed() {
            false if !planted("lost_drivers_end_with_the_pool") => CloseReason::Failed,
            _ => CloseReason::PoolClosed,
        });
        inner.with_host(self.origin, |host, now| host.machine.died(now, self.conn, reason));
    }
}
