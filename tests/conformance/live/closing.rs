//! Whatever its owner does around its end, and whatever the owner's own code does: the pool closes, tells, and leaves nothing behind.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hotpool::{CloseReport, PoolConfig, Resting, StepOutcome};
use parking_lot::Mutex;

use super::{lease, one_thread};
use crate::common::{builder, finish, http1_peer, let_run, manual_pool, name, pool, round, within};
use crate::support::peer::DEADLINE;

const SECOND: Duration = Duration::from_secs(1);

fn outcomes(report: &CloseReport) -> Vec<(&str, StepOutcome)> {
    let steps = report.steps.iter();
    steps.map(|step| (&*step.name, step.outcome.clone())).collect()
}

/// The owner's policy does not come back, so one of the jobs cannot end. A close says so; the next one, after it has come back, waits for the end.
#[test]
fn a_job_that_does_not_end_is_told_and_joined() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let (free, stuck) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let stuck = Mutex::new(stuck);
    let policy = move |_: Resting<'_>| {
        entered.send(()).unwrap();
        _ = stuck.lock().recv_timeout(DEADLINE);
        true
    };
    runtime.block_on(async {
        let peer = http1_peer();
        let often = |config: &mut PoolConfig| config.cleanup_interval = Duration::from_millis(10);
        let pool = builder(&peer, often).cleanup_policy(policy).build().unwrap();
        round(&pool, &name(&peer)).await;
        tokio::task::spawn_blocking(move || inside.recv_timeout(DEADLINE).unwrap())
            .await
            .unwrap();
        let report = within("close", pool.close_within(SECOND / 2)).await;
        assert_eq!((report.tasks_left, report.is_clean()), (1, false), "{report:?}");
        drop(free);
        let report = within("close again", pool.close()).await;
        assert!(report.is_clean(), "{report:?}");
        finish(pool, peer).await;
    });
}

/// Panics whenever it is dropped: after it has answered, or because its time is over.
struct LastWords(bool);

impl Future for LastWords {
    type Output = Result<(), &'static str>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0 {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        std::panic::panic_any(LastWords(self.0)); // and once more, whoever drops that
    }
}

#[tokio::test]
async fn a_step_that_panics_when_it_is_dropped_is_not_the_last() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let limit = Duration::from_millis(50);
    pool.on_close("answers", limit, LastWords(true)).unwrap();
    pool.on_close("hangs", limit, LastWords(false)).unwrap();
    pool.on_close("saves", SECOND, async { Ok::<_, &str>(()) })
        .unwrap();
    round(&pool, &name(&peer)).await;
    let report = within("close", pool.close_within(5 * SECOND)).await;
    let told = [
        ("answers", StepOutcome::Panicked),
        ("hangs", StepOutcome::TimedOut),
        ("saves", StepOutcome::Done),
    ];
    assert_eq!(outcomes(&report), told);
    finish(pool, peer).await;
}

/// It would wait for itself: its time ends that, and the next step has its turn. What else it may do, it may.
#[tokio::test]
async fn a_step_may_close_and_force_the_pool_it_is_a_step_of() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let (inner, held) = (pool.clone(), lease(&pool, &name(&peer)).await);
    let forces = {
        let pool = pool.clone();
        async move {
            assert_eq!(pool.force_cleanup(), 0);
            Ok::<_, String>(())
        }
    };
    pool.on_close("forces", SECOND, forces).unwrap();
    let closes = async move {
        inner.close().await;
        Ok::<_, String>(())
    };
    pool.on_close("closes", SECOND, closes).unwrap();
    pool.on_close("saves", SECOND, async { Ok::<_, String>(()) })
        .unwrap();
    drop(held);
    let closing = {
        let pool = pool.clone();
        crate::common::spawn(async move { pool.close().await })
    };
    let_run().await;
    assert!(!closing.is_finished());
    clock.advance(SECOND);
    let report = within("close", closing).await.unwrap();
    let told = [
        ("forces", StepOutcome::Done),
        ("closes", StepOutcome::TimedOut),
        ("saves", StepOutcome::Done),
    ];
    assert_eq!(outcomes(&report), told);
    finish(pool, peer).await;
}

/// Where no runtime is left there is no timer to wait by: what is left out is told at once, and no step is waited for.
#[test]
fn without_a_runtime_close_waits_for_nothing() {
    let runtime = one_thread();
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let held = runtime.block_on(async {
        round(&pool, &name(&peer)).await;
        lease(&pool, &name(&peer)).await
    });
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let counts = async move {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, String>(())
    };
    pool.on_close("hangs", SECOND, pending::<Result<(), String>>())
        .unwrap();
    pool.on_close("counts", SECOND, counts).unwrap();
    drop(runtime);
    let poll = |close: &mut std::pin::Pin<Box<dyn Future<Output = CloseReport> + '_>>| match close
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(report) => report,
        Poll::Pending => panic!("nobody would wake it"),
    };
    let report = poll(&mut (Box::pin(pool.close()) as _));
    assert_eq!((report.leases_left, report.tasks_left), (1, 0), "{report:?}");
    assert_eq!(
        outcomes(&report),
        [("hangs", StepOutcome::TimedOut), ("counts", StepOutcome::Done)]
    );
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    drop(held);
    let again = poll(&mut (Box::pin(pool.close()) as _));
    assert_eq!((again.leases_left, again.steps.len()), (0, 2));
    one_thread().block_on(finish(pool, peer));
}

/// A pool whose jobs ended with their runtime has new ones in the next, from the first call on.
#[test]
fn jobs_go_on_in_the_next_runtime() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let name = name(&peer);
    let runs = || {
        pool.stats()
            .tasks
            .iter()
            .map(|task| task.runs)
            .collect::<Vec<_>>()
    };
    let mut seen = runs();
    for _ in 0..3 {
        let runtime = one_thread();
        runtime.block_on(async {
            round(&pool, &name).await;
            let_run().await;
            for _ in 0..31 {
                clock.advance(SECOND);
                let_run().await;
            }
        });
        drop(runtime); // and what rests with it
        let now = runs();
        let [health, cleanup] = [0, 1].map(|job: usize| now[job] > seen[job]);
        assert!(health && cleanup, "{seen:?}, then {now:?}");
        seen = now;
    }
    one_thread().block_on(finish(pool, peer));
}

/// One step takes all of the closer's time: those behind it have had none. What ends at once has ended, and what needs time gets it from another close.
#[tokio::test]
async fn a_step_for_which_no_time_was_left_is_tried_by_the_next_close() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    round(&pool, &name(&peer)).await;
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    pool.on_close("hangs", DEADLINE, pending::<Result<(), String>>())
        .unwrap();
    pool.on_close("waits", SECOND, told).unwrap();
    pool.on_close("saves", SECOND, async { Ok::<_, &str>(()) })
        .unwrap();
    let limit = Duration::from_millis(200);
    let report = within("close", pool.close_within(limit)).await;
    let [hangs, saves, waits] = [
        ("hangs", StepOutcome::TimedOut),
        ("saves", StepOutcome::Done),
        ("waits", StepOutcome::Left),
    ];
    assert_eq!(outcomes(&report), [hangs.clone(), saves.clone(), waits]);
    assert!(!report.is_clean());
    tell.send(()).expect("the step is still there");
    let again = within("close", pool.close_within(limit)).await;
    assert_eq!(outcomes(&again), [hangs, saves, ("waits", StepOutcome::Done)]);
    assert_eq!(
        within("close", pool.close()).await.steps,
        again.steps,
        "nothing is left"
    );
    finish(pool, peer).await;
}
