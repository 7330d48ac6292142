//! The one place that spawns tasks. It knows what it spawned, and ends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

#[cfg(not(feature = "__shuttle"))]
use tokio::runtime::Handle;
#[cfg(not(feature = "__shuttle"))]
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[cfg(feature = "__shuttle")]
use self::checked::{Handle, JoinSet};
use crate::fault::planted;
use crate::sync::Mutex;

/// The tasks of one pool. Dropping it ends them.
///
/// There are two kinds. *Jobs* (dials, resolutions, upkeep) may be cancelled at any await. *Drivers* move a live connection and get time
/// to say goodbye.
pub(crate) struct Rt {
    /// The runtime of the latest task: home to what is started or awaited outside any runtime, by a drop, say. The latest, because an
    /// earlier one may have ended.
    home: Mutex<Option<Handle>>,
    tracker: TaskTracker,
    jobs: CancellationToken,
    drivers: CancellationToken,
}

/// A runtime to start tasks on.
#[derive(Clone)]
pub(crate) struct Home(Handle);

impl Home {
    /// Whether both are the same runtime.
    pub(crate) fn is(&self, other: &Home) -> bool {
        self.0.id() == other.0.id()
    }
}

/// Whether tasks still run there: on a runtime that has ended they are over before they have begun.
#[cfg(not(feature = "__shuttle"))]
fn runs(runtime: &Handle) -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the room that spawns")]
    let probe = runtime.spawn(std::future::pending::<()>());
    let runs = !probe.is_finished();
    probe.abort();
    runs
}

#[cfg(feature = "__shuttle")]
fn runs(_: &Handle) -> bool {
    true
}

/// Why a task was not started. It was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSpawned {
    /// The caller is outside any tokio runtime, and so was every caller before.
    NoRuntime,
    /// The pool has been closed.
    Closed,
}

impl Rt {
    pub(crate) fn new() -> Self {
        let drivers = CancellationToken::new();
        Rt {
            home: Mutex::new(None),
            tracker: TaskTracker::new(),
            jobs: drivers.child_token(),
            drivers,
        }
    }

    /// The runtime of the caller, to start something there later.
    pub(crate) fn here(&self) -> Option<Home> {
        Handle::try_current().ok().map(Home)
    }

    /// The first of these runtimes that has not ended; else that of the latest task, if it has not.
    pub(crate) fn living(&self, homes: Vec<Home>) -> Option<Home> {
        let latest = self.home.lock().clone().map(Home);
        homes.into_iter().chain(latest).find(|home| runs(&home.0))
    }

    /// Starts a job: at `home`, or else where the caller runs.
    pub(crate) fn job(
        &self,
        home: Option<&Home>,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NotSpawned> {
        self.spawn(&self.jobs, home, job)
    }

    /// Starts jobs that belong together, each in a task of its own, where the caller runs. When they are cancelled, or one of them is over, the others are
    /// ended, too, and all are joined; then `over` is dropped. [`idle`](Self::idle) waits for that.
    pub(crate) fn crew<J>(&self, jobs: Vec<J>, over: impl Send + 'static) -> Result<(), NotSpawned>
    where
        J: Future<Output = ()> + Send + 'static,
    {
        if self.jobs.is_cancelled() {
            return Err(NotSpawned::Closed);
        }
        let cancelled = self.jobs.clone();
        let crew = async move {
            // In a task of its own and under no lock: a runtime that is ending drops a task where it is spawned.
            let mut set = JoinSet::new();
            for job in jobs {
                #[cfg_attr(
                    not(feature = "__shuttle"),
                    expect(clippy::disallowed_methods, reason = "this is the room that spawns")
                )]
                set.spawn(job);
            }
            cancelled.run_until_cancelled(set.join_next()).await;
            if !planted("the_crew_is_not_joined") {
                set.shutdown().await;
            }
            drop(over);
        };
        // It hears of the cancellation itself.
        self.spawn(&CancellationToken::new(), None, crew)
    }

    /// Starts the driver of a connection, where the caller runs.
    pub(crate) fn driver(&self, driver: impl Future<Output = ()> + Send + 'static) -> Result<(), NotSpawned> {
        self.spawn(&self.drivers, None, driver)
    }

    /// How many tasks have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.tracker.len()
    }

    fn spawn(
        &self,
        until: &CancellationToken,
        home: Option<&Home>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NotSpawned> {
        if until.is_cancelled() {
            return Err(NotSpawned::Closed);
        }
        // A runtime that has ended drops what is started there before it has begun: then it is still here, and starts elsewhere.
        let task = Arc::new(Mutex::new(Some(Box::pin(task))));
        let home = home.map(|home| home.0.clone());
        for runtime in home.into_iter().chain(self.runtime().ok()) {
            let (begun, until) = (Arc::clone(&task), until.clone());
            let body = async move {
                let task = begun.lock().take();
                drop(begun);
                if let Some(task) = task {
                    until.run_until_cancelled(task).await;
                }
            };
            #[cfg_attr(
                not(feature = "__shuttle"),
                expect(clippy::disallowed_methods, reason = "this is the room that spawns")
            )]
            let handle = runtime.spawn(self.tracker.track_future(body));
            if !handle.is_finished() || task.lock().is_none() {
                return Ok(());
            }
        }
        Err(NotSpawned::NoRuntime)
    }

    /// Whether a job would start.
    pub(crate) fn check(&self, home: Option<&Home>) -> Result<(), NotSpawned> {
        match (self.jobs.is_cancelled(), home) {
            (true, _) => Err(NotSpawned::Closed),
            (false, Some(_)) => Ok(()),
            (false, None) => self.runtime().map(drop),
        }
    }

    /// Whether there is a runtime, with its timers, here or elsewhere.
    pub(crate) fn is_somewhere(&self) -> bool {
        self.runtime().is_ok()
    }

    fn runtime(&self) -> Result<Handle, NotSpawned> {
        if let Ok(here) = Handle::try_current() {
            *self.home.lock() = Some(here.clone());
            return Ok(here);
        }
        let latest = self.home.lock().clone();
        latest.filter(runs).ok_or(NotSpawned::NoRuntime)
    }

    /// Awaits `future` where a task would run, so that it finds timers and sockets whoever polls it. As cancel safe as `future`.
    pub(crate) async fn inside<F: Future + Unpin>(&self, mut future: F) -> F::Output {
        std::future::poll_fn(|cx| {
            let runtime = self.runtime();
            let _inside = runtime.as_ref().map(Handle::enter);
            Pin::new(&mut future).poll(cx)
        })
        .await
    }

    /// Awaits `future` as long as jobs run; none if they are cancelled before. As cancel safe as `future`.
    pub(crate) async fn while_open<F: Future>(&self, future: F) -> Option<F::Output> {
        self.jobs.run_until_cancelled(future).await
    }

    /// Cancels the jobs and refuses new ones. Does not wait.
    pub(crate) fn cancel_jobs(&self) {
        self.jobs.cancel();
    }

    /// Cancels every task and refuses new ones. Does not wait.
    pub(crate) fn cancel(&self) {
        self.drivers.cancel();
    }

    /// Waits until no task is left. Cancel safe.
    pub(crate) async fn idle(&self) {
        self.tracker.close();
        // Who was let in before a cancellation may come after everybody else has gone; it goes, too, when it is first polled.
        while !self.tracker.is_empty() {
            self.tracker.wait().await;
        }
    }
}

impl Drop for Rt {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Under the model checker, which is the runtime of everything: its tasks go on where its schedule says.
#[cfg(feature = "__shuttle")]
mod checked {
    use std::future::{Future, poll_fn};
    use std::pin::Pin;
    use std::task::Poll;

    use shuttle::future::{JoinHandle, spawn};

    /// The part of tokio's set of tasks that is used here. They run in the task that has it: fewer tasks, and the checker sees more of each order.
    pub(super) struct JoinSet(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>);

    impl JoinSet {
        pub(super) fn new() -> Self {
            JoinSet(Vec::new())
        }

        pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
            self.0.push(Box::pin(task));
        }

        /// Waits until one of them is over.
        pub(super) async fn join_next(&mut self) {
            poll_fn(|cx| {
                let over =
                    |task: &mut Pin<Box<dyn Future<Output = ()> + Send>>| task.as_mut().poll(cx).is_ready();
                match self.0.iter_mut().any(over) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }

        pub(super) async fn shutdown(&mut self) {
            self.0.clear();
        }
    }

    /// The part of tokio's handle that is used here. There is one wherever anybody asks.
    #[derive(Clone)]
    pub(super) struct Handle;

    impl Handle {
        pub(super) fn try_current() -> Result<Self, ()> {
            Ok(Handle)
        }

        pub(super) fn enter(&self) {}

        pub(super) fn id(&self) -> u8 {
            0 // there is one
        }

        pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
            spawn(task)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle as Tokio; // the model checker has a handle of its own

    use super::*;

    #[test]
    fn outside_a_runtime_nothing_starts() {
        assert_eq!(Rt::new().job(None, async {}), Err(NotSpawned::NoRuntime));
    }

    #[test]
    fn a_later_caller_outside_uses_the_runtime_of_an_earlier_one() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        let rt = Rt::new();
        runtime.block_on(async { rt.job(None, async {}).expect("inside") });
        let (told, heard) = tokio::sync::oneshot::channel();
        rt.job(None, async move { assert_eq!(told.send(()), Ok(())) })
            .expect("the home runtime");
        assert_eq!(runtime.block_on(heard), Ok(()));
    }

    #[tokio::test]
    async fn what_was_spawned_is_ended_jobs_first() {
        let rt = Rt::new();
        let alive = || Tokio::current().metrics().num_alive_tasks();
        let before = alive();
        rt.job(None, std::future::pending()).expect("inside a runtime");
        rt.driver(std::future::pending()).expect("inside a runtime");
        assert_eq!(alive(), before + 2);
        rt.cancel_jobs();
        assert_eq!(rt.job(None, async {}), Err(NotSpawned::Closed));
        rt.driver(async {}).expect("drivers may still start");
        rt.cancel();
        rt.idle().await;
        assert_eq!(alive(), before);
        assert_eq!(rt.driver(async {}), Err(NotSpawned::Closed));
    }
}
