//! The attempts of one dial: they begin as the plan says, race each other to the end of TCP, and only the first one there goes on to TLS.
//!
//! ```text
//!         ┌──────────── lost: the next begins ────────────┐
//! plan ──try──▶ TCP ──first through its gate──▶ TLS ──▶ won
//!                └─beaten by another: dropped, tried again in the end─▶ plan
//! ```
//!
//! An attempt holds the permit of its address from its beginning to its end, whatever that is.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::dialling::DialJob;
use crate::clock::{Moment, before};
use crate::config::PoolConfig;
use crate::dial::{Attempt, Boxed, Dialled, Gate, Plan, Turn, attempt_time};
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::machine::Cause;

/// A timer that fires so much too late says that this machine was busy, not that an address was slow.
const LATE: Duration = Duration::from_millis(100);

/// One attempt under way.
pub(super) struct Running {
    ip: IpAddr,
    began: Moment,
    deadline: Moment,
    gate: Arc<Gate>,
    attempt: Boxed<'static, Result<Dialled, Error>>,
}

impl Running {
    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }
}

/// What happens next in a dial.
enum Step {
    /// It is time to look at the plan.
    Due,
    /// There may be more addresses.
    News,
    /// TCP is connected there, and nowhere else yet.
    Through(IpAddr),
    Ended(Box<Running>, Result<Box<Dialled>, Error>),
}

impl DialJob {
    pub(super) async fn run(mut self) {
        let config = self.inner.config();
        let began = self.inner.clock().now();
        let deadline = began + config.connect_timeout;
        let mut plan = self.plan(&config);
        if self.order.unasked
            && let Some(until) = self.inner.desk.lock().shortage.until(began)
        {
            plan.hold_until(until);
        }
        while let Some(wake) = self.begin_what_is_due(&mut plan, deadline, &config) {
            match self.next(wake).await {
                Step::Due => {}
                Step::News => self.take_in_news(&mut plan),
                Step::Through(ip) => self.clear_the_field(ip, &mut plan, config.race_delay),
                Step::Ended(attempt, Ok(dialled)) => return self.won(attempt.ip, *dialled),
                Step::Ended(attempt, Err(error)) => self.lost(&attempt, error, &mut plan),
            }
        }
        // Dropped here: whatever was not won has failed.
    }

    /// The address whose permit came with the grant goes first.
    fn plan(&self, config: &PoolConfig) -> Plan {
        let order = &self.order;
        let first = self
            .granted
            .and_then(|ip| order.candidates.iter().position(|&other| other == ip));
        let mut candidates = order.candidates.clone();
        let clean = order
            .clean
            .max(usize::from(first.is_some_and(|first| first >= order.clean)));
        if let Some(first) = first {
            candidates[..=first].rotate_right(1);
        }
        Plan::new(&candidates, clean, config.dial_attempts, config.race_delay)
    }

    /// Begins every attempt whose time has come. Answers when to look again; none if there is nothing left to wait for.
    fn begin_what_is_due(
        &mut self,
        plan: &mut Plan,
        deadline: Moment,
        config: &PoolConfig,
    ) -> Option<Moment> {
        loop {
            let now = self.inner.clock().now();
            if now >= deadline {
                // Those under way end by themselves now.
                return (!self.running.is_empty()).then_some(Moment::FAR);
            }
            if self.ahead {
                return Some(Moment::FAR);
            }
            match plan.turn(now, self.running.len()) {
                Turn::Try(ip) if self.reserve(ip) => {
                    let time = attempt_time(deadline.since(now), plan.left(), config.attempt_timeout);
                    self.begin(ip, now, now + time, config);
                    plan.began(now, ip);
                }
                Turn::Try(_) => {} // full
                Turn::At(then) => return Some(then.min(deadline)),
                Turn::Wait => return Some(Moment::FAR),
                Turn::Over => return self.more_may_come().then_some(deadline),
            }
        }
    }

    /// Takes the permit of `ip`, unless it came with the grant. False: the address is full.
    fn reserve(&mut self, ip: IpAddr) -> bool {
        self.granted.take_if(|granted| *granted == ip).is_some() || self.inner.desk.lock().ledger.attempt(ip)
    }

    fn begin(&mut self, ip: IpAddr, now: Moment, deadline: Moment, config: &PoolConfig) {
        let (inner, target) = (Arc::clone(&self.inner), self.target.clone());
        let (identity, progress) = (self.identity.clone(), Arc::clone(&self.progress));
        let gate = Arc::new(Gate::default());
        if planted("losers_go_on") {
            gate.open();
        }
        let (passed, check) = (Arc::clone(&gate), config.reuse_check);
        let attempt = async move {
            let Some(identity) = &identity else {
                debug_assert!(false, "a dial to {target} for nobody");
                return Err(Error::new(ErrorKind::Closed, Phase::Acquire));
            };
            let attempt = Attempt {
                target: &target,
                ip,
                identity,
                check,
                deadline,
                progress: &progress,
                gate: &passed,
            };
            inner.dialler.attempt(attempt).await
        };
        self.running.push(Running {
            ip,
            began: now,
            deadline,
            gate,
            attempt: Box::pin(attempt),
        });
        self.show();
    }

    /// Lets the host know where it dials.
    fn show(&self) {
        let at: Vec<IpAddr> = self.running.iter().map(Running::ip).collect();
        self.inner.with_host(self.origin, |host, _| {
            if let Some(dial) = host.dials.get_mut(&self.order.dial) {
                dial.at = at;
            }
        });
    }

    /// Cancel safe.
    async fn next(&mut self, wake: Moment) -> Step {
        let (clock, progress) = (Arc::clone(&self.inner.clock), Arc::clone(&self.progress));
        let mut news = std::pin::pin!(progress.news.notified());
        let step = std::future::poll_fn(|cx| match self.poll_attempts(cx) {
            Poll::Ready(step) => Poll::Ready(step),
            Poll::Pending => news.as_mut().poll(cx).map(|()| Step::News),
        });
        match wake {
            Moment::FAR => step.await,
            _ => before(&*clock, wake, step).await.unwrap_or(Step::Due),
        }
    }

    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        for index in 0..self.running.len() {
            let running = &mut self.running[index];
            if let Poll::Ready(result) = running.attempt.as_mut().poll(cx) {
                let ended = Box::new(self.running.remove(index));
                return Poll::Ready(Step::Ended(ended, result.map(Box::new)));
            }
            if running.gate.is_reached() {
                return Poll::Ready(Step::Through(running.ip));
            }
        }
        Poll::Pending
    }

    /// `winner` goes on to TLS; the others are dropped before they do, and nothing is held against them. Whoever had been given a start comes after the
    /// others next time.
    fn clear_the_field(&mut self, winner: IpAddr, plan: &mut Plan, start: Duration) {
        let (ahead, beaten) = std::mem::take(&mut self.running)
            .into_iter()
            .partition::<Vec<_>, _>(|running| running.ip == winner);
        self.running = ahead;
        self.ahead = true;
        let began = self.running.first().map(|winner| winner.began);
        if let Some(winner) = self.running.first() {
            winner.gate.open();
        }
        if beaten.is_empty() {
            return;
        }
        for running in &beaten {
            self.give_back(running.ip);
            if !planted("the_beaten_is_forgotten") {
                plan.beaten(running.ip);
            }
        }
        let outrun: Vec<IpAddr> = beaten
            .iter()
            .filter(|beaten| began.is_some_and(|began| beaten.began + start <= began))
            .map(Running::ip)
            .collect();
        drop(beaten);
        self.show();
        self.inner.with_host(self.origin, |host, now| {
            outrun.iter().for_each(|&ip| host.machine.outrun(now, ip));
        });
        self.inner.pump(); // somebody may wait for the permit of such an address
    }

    fn give_back(&self, ip: IpAddr) {
        if !planted("lost_attempt_keeps_its_permit") {
            self.inner.desk.lock().ledger.attempt_over(ip);
        }
    }

    fn lost(&mut self, attempt: &Running, error: Error, plan: &mut Plan) {
        tracing::debug!(target: "hotpool", %error, "an attempt failed");
        let (ip, now) = (attempt.ip, self.inner.clock().now());
        let late = error.is_timeout() && now.since(attempt.deadline) > LATE && !planted("late_timers_blame");
        let cause = if late { Cause::Local } else { blame(&error) };
        self.ahead = false;
        self.give_back(ip);
        let (until, held) = {
            let mut desk = self.inner.desk.lock();
            let short = error.kind() == ErrorKind::LocalResource;
            let held = short.then(|| desk.shortage.met(now));
            let until = (cause == Cause::Tcp).then(|| desk.penalties.strike(now, ip, cause));
            (until.flatten(), held)
        };
        plan.failed(now);
        if let Some(until) = held.filter(|_| self.order.unasked && !planted("shortage_is_ignored")) {
            plan.hold(ip, until);
        }
        self.show();
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

    /// Whether its name is still being asked about.
    fn more_may_come(&self) -> bool {
        let resolving = self.inner.with_host(self.origin, |host, _| host.resolving);
        resolving.unwrap_or(false) && self.order.clean > 0 && !self.order.unasked
    }

    fn take_in_news(&mut self, plan: &mut Plan) {
        let known = std::mem::take(&mut self.order.candidates);
        let (dial, now) = (self.order.dial, self.inner.clock().now_coarse());
        let new = self
            .inner
            .with_host(self.origin, |host, _| host.machine.joining(now, dial, &known))
            .unwrap_or_default();
        if !planted("late_families_stay_out") {
            plan.join(new.iter().copied());
        }
        self.order.candidates = [known, new].concat();
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
