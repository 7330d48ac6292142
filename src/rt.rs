//! The one place that spawns tasks. It knows what it spawned, and ends it.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::sync::Mutex;

/// The tasks of one pool. Dropping it aborts them.
pub(crate) struct Rt {
    /// `None` once the pool has been closed: nothing more may start.
    tasks: Mutex<Option<JoinSet<()>>>,
}

/// Why a task was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSpawned {
    /// The caller is outside any tokio runtime.
    NoRuntime,
    /// The pool has been closed.
    Closed,
}

impl Rt {
    pub(crate) fn new() -> Self {
        Rt {
            tasks: Mutex::new(Some(JoinSet::new())),
        }
    }

    /// Starts `task` on the runtime of the caller. What has ended meanwhile is forgotten.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), NotSpawned> {
        let runtime = Handle::try_current().map_err(|_| NotSpawned::NoRuntime)?;
        let mut tasks = self.tasks.lock();
        let tasks = tasks.as_mut().ok_or(NotSpawned::Closed)?;
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &runtime);
        Ok(())
    }

    /// Refuses new tasks and asks those under way to end. Does not wait for them.
    pub(crate) fn abort(&self) {
        // Dropped outside the lock: a task's drop may come back here to spawn.
        let tasks = self.tasks.lock().take();
        drop(tasks);
    }

    /// Refuses new tasks, ends those under way and waits until they have ended.
    ///
    /// Cancel safe: the tasks are aborted even if this future is dropped.
    pub(crate) async fn shutdown(&self) {
        let tasks = self.tasks.lock().take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_runtime_nothing_starts() {
        assert_eq!(Rt::new().spawn(async {}), Err(NotSpawned::NoRuntime));
    }

    #[tokio::test]
    async fn shutdown_ends_what_was_spawned() {
        let rt = Rt::new();
        let before = Handle::current().metrics().num_alive_tasks();
        for _ in 0..10 {
            rt.spawn(std::future::pending()).expect("inside a runtime");
        }
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before + 10);
        rt.shutdown().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
        assert_eq!(rt.spawn(async {}), Err(NotSpawned::Closed));
    }
}
