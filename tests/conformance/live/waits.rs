//! What those in line are told, and by whom they are served, when what they wait for goes wrong.

use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use hotpool::clock::{ManualClock, SystemClock};
use hotpool::scripted::{Act, Stage};
use hotpool::{Error, GetOptions, HotConn, HotConnPool, Phase, PoolConfig, Resolve, Resolving, Warm};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{lease, one_thread, poll_once};
use crate::common::{at_rest, config, let_run, within};

const SECOND: Duration = Duration::from_secs(1);

fn staged(addresses: u32, change: impl FnOnce(&mut PoolConfig)) -> (Stage, HotConnPool, ManualClock) {
    let (stage, clock) = (Stage::new(addresses), ManualClock::new());
    let pool = stage.pool(config(change), clock.clone()).unwrap();
    (stage, pool, clock)
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// Who runs out of time hears how far that had come which could have served: not what is dialled for another, or elsewhere.
#[tokio::test]
async fn a_timeout_names_the_phase_of_what_could_have_served() {
    let (stage, pool, clock) = staged(2, |config| config.max_dials = 1);
    drop(lease(&pool, "a.test").await); // its addresses are known
    pool.manager().evict_host("a.test").unwrap();
    stage.next(Phase::Tls, Act::Never);
    let own = || GetOptions::new().timeout(SECOND);
    // It takes the one permit to dial, and comes as far as TLS.
    let (at, elsewhere) = (ip(1), ip(2));
    let mut far = Box::pin(pool.get_with("a.test", own().ip(at)));
    assert!(poll_once(far.as_mut()).await.is_none());
    let_run().await;
    let cases = [
        (own().ip(elsewhere), Phase::Acquire),
        (own().partition("another"), Phase::Acquire),
        (own().partition("another").ip(at), Phase::Acquire),
        (own(), Phase::Tls), // it would have had that one
    ];
    let mut gets: Vec<_> = cases
        .iter()
        .map(|(options, _)| Box::pin(pool.get_with("a.test", options.clone())))
        .collect();
    for get in &mut gets {
        assert!(poll_once(get.as_mut()).await.is_none());
    }
    let_run().await;
    clock.advance(SECOND);
    for (get, (options, phase)) in gets.into_iter().zip(&cases) {
        let error = within("its time", get).await.unwrap_err();
        assert_eq!((error.is_timeout(), error.phase()), (true, *phase), "{options:?}");
    }
    assert_eq!(within("its time", far).await.unwrap_err().phase(), Phase::Tls);
    clock.advance(60 * SECOND);
    at_rest(&pool).await;
}

fn living() -> (Stage, HotConnPool) {
    let stage = Stage::new(1);
    let pool = stage.pool(PoolConfig::default(), SystemClock::new()).unwrap();
    (stage, pool)
}

/// Has a `get` of this host wait in that runtime.
fn wait_in(runtime: &Runtime, pool: &HotConnPool) -> JoinHandle<Result<HotConn, Error>> {
    let pool = pool.clone();
    let task = runtime.spawn(async move { pool.get("a.test").await });
    runtime.block_on(let_run());
    task
}

/// The first runtime has the dial, or the question for its addresses, for those who wait in others as well. One runtime ends after the other: each time it
/// is done again for who is left, and nobody but those who ended hears of it.
#[test]
fn what_was_lost_with_its_runtime_is_done_again_in_another() {
    for phase in [Phase::Resolve, Phase::Connect, Phase::Tls] {
        let (stage, pool) = living();
        for _ in 0..3 {
            stage.next(phase, Act::Never);
        }
        let mut runtimes: Vec<_> = (0..4).map(|_| one_thread()).collect();
        let waiters: Vec<_> = runtimes.iter().map(|each| wait_in(each, &pool)).collect();
        let last = runtimes.pop().unwrap();
        for ending in 0..3 {
            drop(runtimes.remove(0));
            let left = runtimes.iter().chain([&last]);
            left.for_each(|each| each.block_on(let_run()));
            assert!(!waiters[3].is_finished() || ending == 2, "{phase:?}: {ending}");
        }
        for (index, waiter) in waiters.into_iter().enumerate() {
            let told = last.block_on(within("an answer", waiter));
            match (index, told) {
                (3, told) => drop(told.unwrap().unwrap()),
                (_, told) => assert!(told.unwrap_err().is_cancelled(), "{phase:?}: {index}"),
            }
        }
        let again = if phase == Phase::Resolve { 1 } else { 4 };
        assert_eq!(stage.dials(), again, "{phase:?}");
        last.block_on(at_rest(&pool));
    }
}

/// The same for who warms and waits for the dial of another.
#[test]
fn a_dial_that_others_watch_outlives_its_runtime() {
    let (stage, pool) = living();
    stage.next(Phase::Tls, Act::Never);
    let (ending, lasting) = (one_thread(), one_thread());
    let getter = wait_in(&ending, &pool);
    let warmer = lasting.spawn({
        let pool = pool.clone();
        async move { pool.warm("a.test", Warm::Count(1), GetOptions::new()).await }
    });
    lasting.block_on(let_run());
    assert_eq!(stage.dials(), 1, "it waits for the dial of the get");
    drop(ending);
    let report = lasting.block_on(within("a report", warmer)).unwrap().unwrap();
    assert_eq!(
        (report.opened, report.errors.len(), stage.dials()),
        (1, 0, 2),
        "{report:?}"
    );
    assert!(lasting.block_on(getter).unwrap_err().is_cancelled());
    lasting.block_on(at_rest(&pool));
}

/// Counts how often it is asked, and panics beside the question itself, whose panics are answers.
struct Panics(Arc<AtomicUsize>);

impl Resolve for Panics {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        panic!("no resolver");
    }

    fn tells_ports_apart(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("no resolver");
    }
}

/// What a panic ended is not begun again.
#[tokio::test]
async fn what_panics_is_not_done_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let pool = HotConnPool::builder()
        .resolver(Panics(Arc::clone(&asked)))
        .build()
        .unwrap();
    let error = within("an error", pool.get("a.test")).await.unwrap_err();
    assert_eq!(
        (error.phase(), asked.load(Ordering::Relaxed)),
        (Phase::Resolve, 1)
    );
}

/// Who was refused and has not looked yet goes away: whoever stands where that one stood is served all the same.
#[tokio::test]
async fn who_was_refused_takes_nobody_along() {
    // Who hears nothing asks again, while it may.
    let (stage, pool, _clock) = staged(1, |config| config.dial_attempts = 1);
    stage.next(Phase::Resolve, Act::Err);
    let mut refused = Box::pin(pool.get("a.test"));
    assert!(poll_once(refused.as_mut()).await.is_none());
    let_run().await; // nobody polls it any more
    assert_eq!(pool.stats().waiting, 0);
    stage.next(Phase::Connect, Act::Slow(50));
    let mut after = Box::pin(pool.get("a.test"));
    assert!(poll_once(after.as_mut()).await.is_none());
    drop(refused);
    drop(within("who came after", after).await.unwrap());
    at_rest(&pool).await;
}

/// Panics when it is woken.
struct Wakes;

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        panic!("as it should");
    }
}

/// Two are granted what they wait for by one act, and waking the first panics: the second has its connection all the same, and nothing is lost.
#[tokio::test]
async fn who_is_not_told_has_what_it_was_granted() {
    let stage = Stage::new(1);
    let pool = stage.pool(config(|_| {}), ManualClock::new()).unwrap();
    drop([lease(&pool, "a.test").await, lease(&pool, "a.test").await]);
    pool.manager().pause();
    let mut gets = [0; 2].map(|_| Box::pin(pool.get("a.test")));
    let panics = Waker::from(Arc::new(Wakes));
    for (get, waker) in gets.iter_mut().zip([&panics, Waker::noop()]) {
        assert!(get.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    catch_unwind(AssertUnwindSafe(|| pool.manager().resume())).expect_err("it panics");
    for get in gets {
        drop(within("a connection", get).await.unwrap());
    }
    assert_eq!((pool.stats().leases, pool.stats().idle), (0, 2));
    pool.manager().assert_invariants();
}
