//! The two jobs that a host orders: asking for its addresses, and dialling one of them.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::host::{Host, Waiter};
use super::inner::Inner;
use super::live::{Fresh, Live, Rest, Shared};
use crate::clock::{Moment, before};
use crate::conn::{ConnInfo, Driver, News, Wire};
use crate::dial::{Answer, Attempt, Dialled, Interned, Progress, attempt_time};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{Cause, ConnId, DialId, DialOrder, OriginId};
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
        answered: false,
    };
    if let Err(problem) = inner.rt.check(home.as_ref()) {
        return question.answer(Err(not_spawned(problem).with_target(&question.target)));
    }
    let job = async move {
        let inner = Arc::clone(&question.inner);
        let deadline = inner.clock().now() + inner.config().connect_timeout;
        let answer = inner.dialler.resolve(&question.target, deadline).await;
        question.answer(answer);
    };
    let _ = inner.rt.job(home.as_ref(), job); // one that did not start has been dropped, and has answered
}

/// A resolution under way: dropped without an answer, it is asked again where somebody waits for it, or has failed.
struct Question {
    inner: Arc<Inner>,
    origin: OriginId,
    target: Target<'static>,
    answered: bool,
}

impl Question {
    fn answer(&mut self, answer: Result<Answer, Error>) {
        self.answered = true;
        self.inner.with_host(self.origin, |host, now| {
            host.resolving = false;
            match answer {
                Ok(answer) => host.learn(now, &answer),
                Err(error) => {
                    host.counters.count_failure(Phase::Resolve);
                    host.unresolved = Some(error);
                    host.machine.resolve_failed(now);
                }
            }
        });
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
    let stale = known && now >= host.fresh_until && !std::mem::replace(&mut host.resolving, true);
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
    inner: Arc<Inner>,
    origin: OriginId,
    target: Target<'static>,
    order: DialOrder,
    identity: Option<Arc<Interned>>,
    progress: Arc<Progress>,
    /// The address whose permit it holds.
    holds: Option<IpAddr>,
    error: Option<Error>,
    /// Whether it has tried what there was to try.
    done: bool,
    over: bool,
}

impl DialJob {
    /// Starts the dial that the desk granted, if it is still wanted; otherwise its permits go back.
    pub(super) fn start(inner: &Arc<Inner>, origin: OriginId, order: Option<DialOrder>, ip: Option<IpAddr>) {
        let begun = order.and_then(|order| {
            let begun = inner.with_host(origin, |host, now| begin(host, now, order.dial));
            begun.flatten().map(|begun| (order, begun))
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
            holds: ip,
            error,
            done: false,
            over: false,
        };
        super::jobs::start(inner);
        let forced = inner.dials.lock().clone();
        let job = async move { _ = forced.run_until_cancelled(job.run()).await };
        let _ = inner.rt.job(home.as_ref(), job); // one that did not start has been dropped, and has failed
    }

    async fn run(mut self) {
        let deadline = self.inner.clock().now() + self.inner.config().connect_timeout;
        let first = self.holds;
        let others = self
            .order
            .candidates
            .clone()
            .into_iter()
            .filter(|&ip| Some(ip) != first);
        let candidates: Vec<_> = first.into_iter().chain(others).collect();
        let mut left = u32::try_from(candidates.len())
            .unwrap_or(u32::MAX)
            .min(self.inner.config().dial_attempts);
        for ip in candidates {
            if left == 0 || self.inner.clock().now() >= deadline {
                break;
            }
            if !self.reserve(ip) {
                continue;
            }
            let attempt = self.attempt(ip, deadline, left).await;
            left -= 1;
            match attempt {
                Ok(dialled) => return self.won(ip, dialled),
                Err(error) => self.lost(ip, error),
            }
        }
        self.done = true;
        // Dropped here: whatever was not won has failed.
    }

    /// Takes the permit of `ip`, unless this dial holds it already or the address is full.
    fn reserve(&mut self, ip: IpAddr) -> bool {
        if self.holds != Some(ip) {
            self.holds = self.inner.desk.lock().ledger.attempt(ip).then_some(ip);
        }
        let holds = self.holds == Some(ip);
        self.inner.with_host(self.origin, |host, _| {
            if let Some(dial) = host.dials.get_mut(&self.order.dial) {
                dial.at = Some(ip).filter(|_| holds);
            }
        });
        holds
    }

    async fn attempt(&self, ip: IpAddr, deadline: Moment, attempts: u32) -> Result<Dialled, Error> {
        let inner = &self.inner;
        let Some(identity) = &self.identity else {
            debug_assert!(false, "{:?} is for nobody", self.order);
            return Err(dropped(inner, Phase::Acquire));
        };
        let now = inner.clock().now();
        let deadline = now + attempt_time(deadline.since(now), attempts, inner.config().attempt_timeout);
        inner
            .dialler
            .attempt(Attempt {
                target: &self.target,
                ip,
                identity,
                check: inner.config().reuse_check,
                deadline,
                progress: &self.progress,
            })
            .await
    }

    fn lost(&mut self, ip: IpAddr, error: Error) {
        tracing::debug!(target: "hotpool", %error, "an attempt failed");
        let cause = blame(&error);
        let now = self.inner.clock().now_coarse();
        let until = {
            let mut desk = self.inner.desk.lock();
            if let Some(ip) = self
                .holds
                .take()
                .filter(|_| !planted("lost_attempt_keeps_its_permit"))
            {
                desk.ledger.attempt_over(ip);
            }
            match cause {
                Cause::Tcp => desk.penalties.strike(now, ip, cause),
                _ => None,
            }
        };
        self.inner.with_host(self.origin, |host, now| {
            host.counters.count_failure(error.phase());
            // At once, not when the dial fails: it may yet win at another address, and the next one must not begin here.
            match until {
                Some(until) => host.machine.shun(now, ip, until),
                None => _ = host.machine.penalise(now, ip, cause),
            }
        });
        self.error = Some(error);
        self.inner.pump(); // somebody may wait for the permit of this address
    }

    fn won(mut self, ip: IpAddr, mut dialled: Dialled) {
        self.over = true;
        dialled.info.serial = self.inner.next_serial();
        let protocol = dialled.info.protocol;
        let (serial, info) = (dialled.info.serial, Arc::new(dialled.info));
        let born = Born::new(&self.inner, dialled.wire, info, self.identity.clone());
        let tokens = born.tokens();
        let now = self.inner.clock().now_coarse();
        {
            let mut desk = self.inner.desk.lock();
            desk.ledger.connected(now, self.origin, ip);
            self.inner.in_transit.fetch_add(1, Ordering::Relaxed);
            desk.penalties.absolve(ip);
        }
        let mut born = Some(born);
        let conn = self.inner.with_host(self.origin, |host, now| {
            host.dials.remove(&self.order.dial);
            let watcher = host.watchers.remove(&self.order.dial);
            let conn = host.machine.dialled(now, self.order.dial, ip, protocol)?;
            self.inner.in_transit.fetch_sub(1, Ordering::Relaxed);
            host.counters.opened += 1;
            let rung = born
                .take()
                .is_some_and(|born| born.settle_in(&self.inner, host, conn));
            // A new epoch that has been here already did not see it; one that has yet to come will.
            let identities = &self.inner.identities;
            let retired = self
                .identity
                .as_ref()
                .is_some_and(|its| identities.is_retired(its));
            if retired && !planted("late_birth_is_kept") {
                host.machine.retire(now, conn, CloseReason::IdentityRetired);
            }
            Some((conn, watcher, rung))
        });
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
            Some((conn, watcher, rung)) => {
                if rung {
                    self.inner.bell.ring((self.origin, conn));
                }
                if let (Some(driver), Some((leave, cut))) = (dialled.driver, tokens) {
                    let driver = Drive { driver, leave, cut };
                    drive(&self.inner, self.origin, conn, driver);
                }
                let host = self.target.as_str();
                tracing::debug!(target: "hotpool", conn = serial, host, %ip, protocol = %protocol, "opened");
                inform(watcher, Ok(()));
                self.inner.tell_of_life();
                let leak_timeout = self.inner.config().leak_timeout;
                let look = self.inner.with_host(self.origin, |host, now| {
                    let next = host.arm(now);
                    (host.fresh_until, host.arm_at(now + leak_timeout).or(next))
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
            if let Some(ip) = self.holds.take() {
                desk.ledger.attempt_over(ip);
            }
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
        let none = || dropped(&self.inner, self.progress.phase()).with_target(&self.target);
        let error = self.error.take().unwrap_or_else(none);
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

fn inform(watcher: Option<Waiter>, answer: Result<(), Error>) {
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

    fn tokens(&self) -> Option<(CancellationToken, CancellationToken)> {
        match &self.kind {
            Kind::Single(_) => None,
            Kind::Shared(shared) => Some((shared.leave.clone(), shared.cut.clone())),
        }
    }

    /// Gives it its place. Answers whether it is to be looked at.
    fn settle_in(self, inner: &Arc<Inner>, host: &mut Host, conn: ConnId) -> bool {
        let Born { info, identity, kind } = self;
        let (rest, rung) = match kind {
            Kind::Shared(shared) => (Rest::Shared(shared), false),
            Kind::Single(fresh) => {
                let (single, rung) = fresh.settle_in((inner, host.id, conn), &info);
                (Rest::Single(single), rung)
            }
        };
        let live = Live {
            info,
            _identity: identity,
            rest,
        };
        host.settle_in(conn, live);
        rung
    }
}

/// Whom an error blames.
fn blame(error: &Error) -> Cause {
    match (error.kind(), error.phase()) {
        (ErrorKind::LocalResource | ErrorKind::AddressDenied, _) => Cause::Local,
        // A port that refuses or stays silent says nothing of the other ports of its address: that is the origin's trouble.
        (ErrorKind::ConnectionRefused | ErrorKind::Timeout, Phase::Connect) => Cause::Protocol,
        (_, Phase::Connect) => Cause::Tcp,
        (ErrorKind::Protocol, _) | (_, Phase::Http2) => Cause::Protocol,
        _ => Cause::Tls,
    }
}

/// A driver, and how to end it.
struct Drive {
    driver: Driver,
    leave: CancellationToken,
    cut: CancellationToken,
}

/// How long a connection that the pool has closed may take to say goodbye: its peer may read no more.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs the driver of an HTTP/2 connection until it ends, is cut, or has had its time to leave. It does not keep the pool alive.
fn drive(
    inner: &Arc<Inner>,
    origin: OriginId,
    conn: ConnId,
    Drive {
        mut driver,
        leave,
        cut,
    }: Drive,
) {
    let mut ending = Ending {
        pool: Arc::downgrade(inner),
        origin,
        conn,
        reason: CloseReason::PoolClosed,
    };
    let clock = Arc::clone(&inner.clock);
    // Each part is pinned where it is made: handed on, it would take its room twice, and as long as the connection lives.
    let _ = inner.rt.driver(async move {
        let mut run = pin!(async {
            loop {
                match driver.run().await {
                    News::Ended(reason) => break ending.reason = reason,
                    news => ending.with_host(|host, now| host.hear(now, conn, news)),
                }
            }
        });
        let bounded = pin!(async {
            if leave.run_until_cancelled(run.as_mut()).await.is_none() {
                before(&*clock, clock.now() + GOODBYE, run).await;
            }
        });
        _ = cut.run_until_cancelled(bounded).await;
    }); // one that did not start has been dropped, and its end noted
}

/// However a driver ends, its connection is over.
struct Ending {
    pool: Weak<Inner>,
    origin: OriginId,
    conn: ConnId,
    reason: CloseReason,
}

impl Ending {
    fn with_host(&self, act: impl FnOnce(&mut Host, Moment)) {
        if let Some(inner) = self.pool.upgrade() {
            inner.with_host(self.origin, act);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.with_host(|host, now| host.machine.died(now, self.conn, self.reason));
    }
}
