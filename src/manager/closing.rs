//! How a pool ends: in order, within a time, and with a report; or at once.
//!
//! ```text
//! refuse ──> leases come home ──> jobs end ──> goodbyes ──> what is left is cut ──> the owner's steps
//! ```
//!
//! Each has its share of the time. One that takes longer is left behind, and told.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use super::ConnectionManager;
use super::inner::Inner;
use super::live::Ender;
use crate::clock::Moment;
use crate::dial::Boxed;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// The share of the time for leases to come home, and for those and goodbyes, in tenths.
const LEASES: u32 = 8;
const GOODBYES: u32 = 9;
/// What the owner's steps may have of it at the most if all else takes its time.
const STEPS: u32 = 3;

/// What tasks get at the least to notice that they were cancelled.
const LAST_CALL: Duration = Duration::from_millis(100);

/// What came of closing a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Connections that were closed.
    pub closed: usize,
    /// Leases that had not come home when their time was over. Their connections close when they do.
    pub leases_left: usize,
    /// Tasks that were cut when their time was over: of HTTP/2 connections on which streams were open, or whose peer read no more.
    pub cut: usize,
    /// Tasks that had not ended, on a runtime that nobody drives any more.
    pub tasks_left: usize,
    /// The steps of [`on_close`](crate::HotConnPool::on_close), in their order, as far as they were begun; those that are [left](StepOutcome::Left) come last.
    pub steps: Vec<StepReport>,
    /// How long it took.
    pub took: Duration,
}

impl CloseReport {
    /// Whether nothing was left, and every step went well.
    pub fn is_clean(&self) -> bool {
        let done = self.steps.iter().all(|step| step.outcome == StepOutcome::Done);
        (self.leases_left, self.tasks_left) == (0, 0) && done
    }
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepReport {
    /// As it was registered.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: StepOutcome,
    /// How long it took.
    pub took: Duration,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepOutcome {
    /// It went well.
    Done,
    /// It answered an error: its text.
    Failed(Arc<str>),
    /// It panicked.
    Panicked,
    /// Its time was over. It was dropped.
    TimedOut,
    /// The closer's time was over before it came to this one, which was polled once and did not end. Another close gives it its time.
    Left,
}

/// A step that is to come, or under way.
struct Step {
    name: Arc<str>,
    limit: Duration,
    /// None while it is polled.
    run: Option<Run>,
    began: Option<Moment>,
}

type Run = Boxed<'static, Result<(), Arc<str>>>;

/// What all who close a pool share.
#[derive(Default)]
pub(super) struct Closing {
    /// Whoever closes holds this: the report of the last one who came to an end.
    turn: tokio::sync::Mutex<Option<CloseReport>>,
    /// How many have come to an end.
    ended: AtomicU64,
    /// How many connections had closed before anybody began.
    before: OnceLock<u64>,
    steps: Mutex<VecDeque<Step>>,
    /// Steps for which a closer had no time.
    left: Mutex<VecDeque<Step>>,
    over: Mutex<Vec<StepReport>>,
}

impl ConnectionManager {
    /// Closes everything, within `close_timeout`: see [`close_within`](Self::close_within).
    pub async fn close(&self) -> CloseReport {
        self.close_within(self.config().close_timeout).await
    }

    /// Closes everything, and takes no longer than `limit`, give or take a tenth of a second. Refuses new work, fails those who wait, gives up dials
    /// and closes what is idle at once; waits for leases to come home; lets HTTP/2 say goodbye and ends every task; then goes through the steps
    /// of [`on_close`](crate::HotConnPool::on_close). What takes longer than its share is left behind, told in the report, and the next goes on.
    ///
    /// Callers that close at the same time, or after an end that left nothing behind, get the same report. After one that did, another call
    /// tries what is left. One whose time is over while another closes gets what there is to report by then.
    ///
    /// Cancel safe: when the caller that was first is dropped, the next one goes on.
    pub async fn close_within(&self, limit: Duration) -> CloseReport {
        let inner = self.inner();
        let began = inner.clock().now();
        let ended = self.closing().ended.load(Ordering::Acquire);
        let before_all = || inner.stats().counters.closed();
        let _ = self.closing().before.get_or_init(before_all);
        self.shut();
        let turn = pin!(self.closing().turn.lock());
        let Some(mut last) = inner.until(began + limit, turn).await else {
            return self.report(began, 0);
        };
        let meanwhile = self.closing().ended.load(Ordering::Acquire) != ended;
        let known = last.as_ref().filter(|report| report.is_clean() || meanwhile);
        if let Some(report) = known.filter(|_| !planted("each_closer_closes")) {
            return report.clone();
        }
        let report = self.close_in_turn(began, limit).await;
        *last = Some(report.clone());
        self.closing().ended.fetch_add(1, Ordering::AcqRel);
        report
    }

    /// What one closer does. Cancel safe: nothing of it is lost.
    async fn close_in_turn(&self, began: Moment, limit: Duration) -> CloseReport {
        let inner = self.inner();
        self.closing().recall();
        let for_steps = self.closing().limits().min(limit / 10 * STEPS);
        let tenth = limit.saturating_sub(for_steps) / 10;
        let leases = match planted("close_waits_for_every_lease") {
            true => Moment::FAR,
            false => began + tenth * LEASES,
        };
        inner.until(leases, pin!(emptied(inner))).await;
        let goodbyes = began + tenth * GOODBYES;
        let cut = match inner.until(goodbyes, pin!(inner.rt.idle())).await {
            Some(()) => 0,
            None => inner.rt.alive(),
        };
        inner.rt.cancel();
        // Tasks that were cancelled end when their runtime next polls them: one that nobody drives is not waited for.
        let last_call = (began + tenth * 10).max(inner.clock().now() + LAST_CALL);
        inner.until(last_call, pin!(inner.rt.idle())).await;
        self.run_steps(began + limit).await;
        self.report(began, cut)
    }

    fn report(&self, began: Moment, cut: usize) -> CloseReport {
        let (inner, closing) = (self.inner(), self.closing());
        let stats = inner.stats();
        let before = closing.before.get().copied().unwrap_or_default();
        CloseReport {
            closed: usize::try_from(stats.counters.closed() - before).unwrap_or(usize::MAX),
            leases_left: stats.leases as usize,
            cut,
            tasks_left: inner.rt.alive(),
            steps: closing.reports(),
            took: inner.clock().now().since(began),
        }
    }

    /// Has `step` run when the pool closes, after its last connection has gone, in the order in which steps were registered. It may take `limit`, and
    /// what is left of the closer's time; it is told in the report, however it ends, and the next one goes on. One for which no time is left is polled once, and
    /// tried again by another close.
    ///
    /// A pool that is dropped without [`close`](Self::close) runs no step; one whose step holds a handle of the pool is not dropped before it is closed. A
    /// step that closes the pool waits for the very close that it is a step of, until its own time is over.
    ///
    /// # Errors
    /// The pool is closed, or closing.
    pub fn on_close<E: fmt::Display>(
        &self,
        name: impl Into<Arc<str>>,
        limit: Duration,
        step: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Result<(), Error> {
        let run = async move { step.await.map_err(|error| error.to_string().into()) };
        let step = Step {
            name: name.into(),
            limit,
            run: Some(Box::pin(run)),
            began: None,
        };
        let early = planted("closed_is_read_before_the_steps") && !self.inner().is_closed();
        let mut steps = self.closing().steps.lock();
        // Read under the lock that a closer takes after it has set the flag: it finds this step, or this finds the flag.
        if self.inner().is_closed() && !early {
            drop(steps);
            drop(step);
            return Err(Error::new(ErrorKind::Closed, Phase::Acquire));
        }
        steps.push_back(step);
        Ok(())
    }

    /// Goes through the steps. Whoever goes on where another went away goes on with the step that one was at.
    async fn run_steps(&self, deadline: Moment) {
        let (inner, closing) = (self.inner(), self.closing());
        let clock = inner.clock();
        while let Some((name, began, limit)) = closing.begin(clock.now()) {
            let until = (began + limit).min(deadline);
            let polled = inner.until(until, poll_fn(|cx| closing.poll_step(cx))).await;
            if polled.is_none() && began >= deadline && !planted("who_gets_no_time_has_had_it") {
                closing.leave();
                continue;
            }
            let outcome = polled.unwrap_or(StepOutcome::TimedOut);
            if outcome == StepOutcome::TimedOut && planted("a_hung_step_is_the_last") {
                return;
            }
            let took = clock.now().since(began);
            closing.over.lock().push(StepReport { name, outcome, took });
            let step = closing.steps.lock().pop_front();
            discard(step);
        }
    }

    /// Ends every connection now, leased ones, too: whoever reads or writes one is told with
    /// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted), and the descriptor of an HTTP/1.1 one goes when its holder drops it. Dials under way
    /// begin anew for those who still wait. Waits for nothing, so it works while all else is stuck. Answers how many connections that were.
    ///
    /// The pool stays usable, unless it is closed. What was detached is its holder's: it goes on, and counts no more.
    pub fn force_cleanup(&self) -> usize {
        let inner = self.inner();
        let ended = inner.each_host(|host, now| {
            let spares = |leases: u32| leases > 0 && planted("force_spares_the_leased");
            let live = host.machine.connections().filter(|conn| !spares(conn.leases));
            let live: Vec<_> = live.map(|conn| conn.conn).collect();
            // Under the same lock: one that is counted is ended, wherever it is.
            let enders = host.enders();
            for &conn in &live {
                host.machine.died(now, conn, CloseReason::Aborted);
            }
            (enders, live.len())
        });
        let (enders, ended): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
        enders.into_iter().flatten().for_each(Ender::end);
        let dials = std::mem::take(&mut *inner.dials.lock());
        if !planted("force_spares_the_dials") {
            dials.cancel();
        }
        ended.into_iter().sum()
    }
}

/// Waits until nothing lives.
async fn emptied(inner: &Arc<Inner>) {
    loop {
        let mut told = std::pin::pin!(inner.emptied.notified());
        told.as_mut().enable(); // before the look, so that nothing is missed between the two
        if inner.size() == 0 {
            return;
        }
        told.await;
    }
}

impl Closing {
    /// Whether anybody has come to an end.
    pub(super) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) > 0
    }

    /// What the steps may take in all.
    fn limits(&self) -> Duration {
        let steps = self.steps.lock();
        let limits = steps.iter().map(|step| step.limit);
        limits.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Leaves the step that is next to another closer, who gives it all of its time.
    fn leave(&self) {
        let step = self.steps.lock().pop_front();
        let step = step.map(|step| Step { began: None, ..step });
        self.left.lock().extend(step);
    }

    /// Takes back what was left, in front of what no closer came to.
    fn recall(&self) {
        let mut steps = self.steps.lock();
        let mut all = std::mem::take(&mut *self.left.lock());
        all.append(&mut steps);
        *steps = all;
    }

    fn reports(&self) -> Vec<StepReport> {
        let mut reports = self.over.lock().clone();
        reports.extend(self.left.lock().iter().map(|step| StepReport {
            name: Arc::clone(&step.name),
            outcome: StepOutcome::Left,
            took: Duration::ZERO,
        }));
        reports
    }

    /// The step that is next: its name, when it began, and what it may take.
    fn begin(&self, now: Moment) -> Option<(Arc<str>, Moment, Duration)> {
        let mut steps = self.steps.lock();
        let step = steps.front_mut()?;
        let began = *step.began.get_or_insert(now);
        Some((Arc::clone(&step.name), began, step.limit))
    }

    /// Polls the step that is next, under no lock. One caller at a time.
    fn poll_step(&self, cx: &mut Context<'_>) -> Poll<StepOutcome> {
        let run = self.steps.lock().front_mut().and_then(|step| step.run.take());
        let Some(mut run) = run else {
            return Poll::Ready(StepOutcome::Panicked); // in a closer that went on its way by that
        };
        // It is dropped after a panic, and nobody sees what it left.
        let outcome = match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx))) {
            Err(panic) => {
                discard(panic);
                StepOutcome::Panicked
            }
            Ok(Poll::Ready(Ok(()))) => StepOutcome::Done,
            Ok(Poll::Ready(Err(error))) => StepOutcome::Failed(error),
            Ok(Poll::Pending) => {
                if let Some(step) = self.steps.lock().front_mut() {
                    step.run = Some(run);
                }
                return Poll::Pending;
            }
        };
        match discard(run) {
            true => Poll::Ready(outcome),
            false => Poll::Ready(StepOutcome::Panicked),
        }
    }
}

/// Drops what is the owner's. False if that panicked: no reason for the next step to be left out.
fn discard<T>(owners: T) -> bool {
    if planted("a_step_s_last_words_are_the_end") {
        drop(owners);
        return true;
    }
    match catch_unwind(AssertUnwindSafe(|| drop(owners))) {
        Ok(()) => true,
        // What a panic in a drop throws may panic when it is dropped: enough of that.
        Err(panic) => {
            _ = ManuallyDrop::new(panic);
            false
        }
    }
}
