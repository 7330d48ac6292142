//! The four jobs of a pool: what each does in a turn is the manager's, when it has another is said here.

use std::sync::{Arc, Weak};

use crate::manager::{Inner, Job, Running};
use crate::tasks::{Next, Post, supervise};

/// Starts all of them where the caller runs. They hold the pool while they work and not in between.
pub(super) fn start(inner: &Arc<Inner>, running: Running) {
    let supervised = |job: Job| {
        let (call, counts) = inner.post(job);
        let post = Post {
            name: job.name(),
            call,
            counts,
        };
        let pool = Arc::downgrade(inner);
        supervise(inner.time(), post, move || turn(job, Weak::clone(&pool)))
    };
    let jobs = Job::ALL.map(supervised);
    let _ = inner.rt.crew(jobs.into(), running); // what did not start has been dropped, `running` too
}

/// One turn. None once the pool has gone.
async fn turn(job: Job, pool: Weak<Inner>) -> Option<Next> {
    let inner = pool.upgrade()?;
    let next = match job {
        Job::Health => inner.check_health(),
        Job::Cleanup => inner.clean_up(),
        Job::Blacklist => inner.try_blocked(),
        Job::Dns => inner.refresh_names(),
    };
    Some(next.map_or(Next::Called, Next::At))
}
