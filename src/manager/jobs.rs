//! The jobs that look after a pool by themselves: their names, how each is called, and that they run.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use super::inner::Inner;
use crate::event::TaskCounts;
use crate::fault::planted;
use crate::sync::Ordering;

/// A job of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Looks at what is idle, and dials for what is missing.
    Health,
    /// Closes what is due.
    Cleanup,
    /// Tries addresses that are blocked.
    Blacklist,
    /// Asks for addresses before they are past their time.
    Dns,
}

impl Job {
    pub(crate) const ALL: [Job; 4] = [Job::Health, Job::Cleanup, Job::Blacklist, Job::Dns];

    /// As logs and statistics name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Job::Health => "health",
            Job::Cleanup => "cleanup",
            Job::Blacklist => "blacklist",
            Job::Dns => "dns",
        }
    }
}

/// What a pool has of its jobs.
#[derive(Default)]
pub(super) struct Jobs([(Arc<Notify>, Arc<TaskCounts>); Job::ALL.len()]);

impl Jobs {
    /// What the upkeep of resting connections is called by.
    pub(super) fn call_of(&self, job: Job) -> Arc<Notify> {
        Arc::clone(&self.0[job as usize].0)
    }
}

/// What is counted of a job that the pool runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskStats {
    /// `health`, `cleanup`, `blacklist` or `dns`.
    pub name: &'static str,
    /// Runs that went well.
    pub runs: u64,
    /// Panics. After each it begins anew, one second later; after the next in a row two, and so on up to a minute.
    pub panics: u64,
}

/// Starts every job; what it was given is dropped when they are over. Whoever makes pools says how.
pub(crate) type Start = fn(&Arc<Inner>, Running);

/// Starts the jobs, once for each pool, at its first host: from then on there may be something to do.
pub(super) fn start(inner: &Arc<Inner>) {
    if planted("nobody_sweeps") || inner.upkeep.swap(true, Ordering::AcqRel) {
        return;
    }
    let running = Running(Arc::downgrade(inner));
    if inner.rt.check(None).is_ok() {
        (inner.start)(inner, running); // what did not start has been dropped, which lets the next one try
    }
}

/// The jobs of a pool run. However they end (their runtime may, while the pool goes on in another), they are started again, at the next `get` at
/// the latest.
pub(crate) struct Running(Weak<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(inner) = self
            .0
            .upgrade()
            .filter(|_| !planted("jobs_end_with_their_runtime"))
        {
            inner.upkeep.store(false, Ordering::Release);
        }
    }
}

impl Inner {
    /// Has a job run soon. Not to be called under a lock.
    pub(super) fn call(&self, job: Job) {
        self.jobs.0[job as usize].0.notify_one();
    }

    /// How a job is called, and where it is counted.
    pub(crate) fn post(&self, job: Job) -> (Arc<Notify>, Arc<TaskCounts>) {
        self.jobs.0[job as usize].clone()
    }

    /// The jobs that panicked when they last ran.
    pub(super) fn panicked(&self) -> impl Iterator<Item = Job> {
        let failing = |job: &Job| self.jobs.0[*job as usize].1.is_failing();
        Job::ALL.into_iter().filter(failing)
    }

    pub(super) fn task_stats(&self) -> Vec<TaskStats> {
        let stats = |job: &Job| {
            let (runs, panics) = self.jobs.0[*job as usize].1.read();
            TaskStats {
                name: job.name(),
                runs,
                panics,
            }
        };
        Job::ALL.iter().map(stats).collect()
    }
}
