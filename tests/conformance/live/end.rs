//! How a pool ends while something does not: each phase of closing has its time, and nothing hangs for ever.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotpool::{
    Answer, CloseReason, ErrorKind, GetOptions, HotConn, HotConnPool, PoolConfig, Protocol, Resolve,
    Resolving, Resting, StepOutcome, Warm,
};
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use super::{lease, one_thread, poll_once};
use crate::common::{
    at_rest, builder, finish, host, http1_peer, let_run, manual_pool, name, pool, round, spawn, until,
    use_up, within,
};
use crate::support::measure;
use crate::support::peer::{Act, Alpn, DEADLINE, Order, Peer, To};

const SECOND: Duration = Duration::from_secs(1);

/// A lease that stays out, a step that never ends, one that panics and one that fails: the next one has its turn, and all are told.
#[tokio::test]
async fn hung_close_phase_does_not_stop_the_others() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let ran = Arc::new(AtomicUsize::new(0));
    let step = |name: &'static str| {
        let ran = Arc::clone(&ran);
        async move {
            ran.fetch_add(1, Ordering::Relaxed);
            match name {
                "hangs" => pending().await,
                "panics" => panic!("a step's own trouble"),
                "fails" => Err("no disk"),
                _ => Ok(()),
            }
        }
    };
    for name in ["hangs", "panics", "fails", "saves"] {
        let limit = Duration::from_millis(100);
        pool.on_close(name, limit, step(name)).unwrap();
    }
    let held = lease(&pool, &name(&peer)).await;
    round(&pool, &host(&peer, "a.peer.test")).await;
    let report = within("close", pool.close_within(SECOND)).await;
    let outcomes: Vec<_> = report
        .steps
        .iter()
        .map(|step| (&*step.name, step.outcome.clone()))
        .collect();
    let told = [
        ("hangs", StepOutcome::TimedOut),
        ("panics", StepOutcome::Panicked),
        ("fails", StepOutcome::Failed("no disk".into())),
        ("saves", StepOutcome::Done),
    ];
    assert_eq!(outcomes, told);
    assert_eq!(
        (ran.load(Ordering::Relaxed), report.leases_left, report.closed),
        (4, 1, 1)
    );
    assert!(!report.is_clean());
    let late = pool.on_close("late", SECOND, async { Ok::<_, &str>(()) });
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    // What was left is tried again, and no step twice.
    drop(held);
    let again = within("close again", pool.close()).await;
    assert_eq!((again.leases_left, again.closed, again.steps.len()), (0, 2, 4));
    assert_eq!(ran.load(Ordering::Relaxed), 4);
    finish(pool, peer).await;
}

/// Knows where every name is, but for one that never answers.
struct Stuck(Vec<std::net::IpAddr>);

impl Resolve for Stuck {
    fn resolve(&self, host: &str, _: u16) -> Resolving {
        let (addresses, stuck) = (self.0.clone(), host == "stuck.test");
        Resolving::new(async move {
            if stuck {
                pending::<()>().await;
            }
            let ttl = Duration::from_secs(60);
            Ok(Answer { addresses, ttl })
        })
    }
}

fn stuck_pool(peer: &Peer) -> HotConnPool {
    let settings = |config: &mut PoolConfig| {
        (config.max_per_host, config.max_per_ip, config.h2_max_streams) = (20, 100, 1);
        config.cleanup_interval = Duration::from_millis(20);
    };
    let panics = |_: Resting<'_>| -> bool { panic!("the policy's own trouble") };
    let pool = builder(peer, settings).resolver(Stuck(peer.ips().to_vec()));
    pool.cleanup_policy(panics).build().unwrap()
}

/// As many callers as that, each of whom must be refused.
fn refused(pool: &HotConnPool, count: usize, name: impl Fn(usize) -> String) -> Vec<JoinHandle<ErrorKind>> {
    let caller = |nth| {
        let (pool, name) = (pool.clone(), name(nth));
        spawn(async move { pool.get(&name).await.map(drop).unwrap_err().kind() })
    };
    (0..count).map(caller).collect()
}

/// Everything that can be stuck is, at once: 20 handshakes, 20 connections of HTTP/2 whose peer has gone silent, 50 who wait, a job, a name. The
/// first closer goes away midway.
#[tokio::test]
async fn total_close_time_is_bounded() {
    const LIMIT: Duration = Duration::from_millis(500);
    let before = measure::alive_tasks();
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, name) = (stuck_pool(&peer), name(&peer));
    round(&pool, &host(&peer, "a.peer.test")).await; // for the policy to look at
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(lease(&pool, &name).await);
    }
    until(&pool, "a job panics", |stats| {
        stats.tasks.iter().any(|task| task.panics > 0)
    })
    .await;
    peer.order(To::All, Order::Hang);
    peer.always(To::All, Act::StallAfterHello);
    let mut callers = refused(&pool, 50, |_| name.clone());
    callers.extend(refused(&pool, 20, |nth| host(&peer, &format!("h{nth}.test"))));
    callers.extend(refused(&pool, 1, |_| host(&peer, "stuck.test")));
    peer.wait_for("20 handshakes hang", |seen| seen.hellos == 41)
        .await;
    until(&pool, "all stand in line", |stats| stats.waiting == 71).await;
    let (warms, stuck) = (pool.clone(), host(&peer, "stuck.test"));
    callers.push(spawn(async move {
        let warmed = warms.warm(&stuck, Warm::Count(1), GetOptions::new()).await;
        warmed.unwrap_err().kind()
    }));
    let_run().await;
    let began = tokio::time::Instant::now();
    let mut first = Box::pin(pool.close_within(LIMIT));
    assert!(poll_once(first.as_mut()).await.is_none());
    tokio::time::sleep(LIMIT / 4).await;
    drop(first);
    let report = within("close", pool.close_within(LIMIT - LIMIT / 4)).await;
    let took = began.elapsed();
    assert!(took <= LIMIT + Duration::from_millis(100), "{took:?}, {report:?}");
    assert_eq!((report.leases_left, report.tasks_left), (20, 0), "{report:?}");
    for caller in callers {
        assert_eq!(within("the refusal", caller).await.unwrap(), ErrorKind::Closed);
    }
    drop(held);
    assert_eq!(pool.size(), 0);
    at_rest(&pool).await;
    measure::settles(DEADLINE, "tasks", before, measure::alive_tasks).await;
    peer.order(To::All, Order::Resume);
    peer.wait_for("no socket is left", |seen| seen.live == 0).await;
    peer.shutdown().await;
}

/// A policy of the owner's panics: it is counted, the pool goes on, and so does the job, a little later.
#[tokio::test]
async fn panicking_task_is_restarted_and_counted() {
    let peer = http1_peer();
    let clock = hotpool::clock::ManualClock::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let policy = move |_: Resting<'_>| match count.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("the policy's own trouble"),
        _ => false,
    };
    let pool = builder(&peer, |config| config.cleanup_interval = 10 * SECOND);
    let pool = pool.clock(clock.clone()).cleanup_policy(policy).build().unwrap();
    round(&pool, &name(&peer)).await;
    let counts = || {
        pool.stats()
            .tasks
            .iter()
            .map(|task| (task.name, task.panics))
            .collect::<Vec<_>>()
    };
    let once = [("health", 0), ("cleanup", 1), ("blacklist", 0), ("dns", 0)];
    let_run().await;
    for _ in 0..12 {
        clock.advance(SECOND);
        let_run().await;
    }
    assert_eq!(
        (counts(), pool.size()),
        (once.to_vec(), 1),
        "nothing closes in that round"
    );
    for _ in 0..12 {
        clock.advance(SECOND);
        let_run().await;
    }
    assert_eq!(counts(), once);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(
        pool.stats().counters.closes(CloseReason::Removed),
        1,
        "it was asked again"
    );
    finish(pool, peer).await;
}

/// What a runtime had going ends with it; whoever is elsewhere is served or told, and the pool closes there.
#[test]
fn runtime_shutdown_hangs_nobody() {
    let second = one_thread();
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let pool = pool(&peer, |config| config.max_per_host = 1);
        let name = name(&peer);
        let ending = one_thread();
        let held = ending.block_on(async {
            round(&pool, &host(&peer, "a.peer.test")).await; // rests there
            let held = lease(&pool, &name).await;
            peer.next(To::All, 1, Act::StallAfterHello);
            let hangs = host(&peer, "b.peer.test");
            let mut hanging = Box::pin(pool.get(&hangs));
            assert!(poll_once(hanging.as_mut()).await.is_none());
            peer.wait_for("it hangs", |seen| seen.hellos == 3).await;
            held
        });
        let waits = {
            let (pool, name) = (pool.clone(), name.clone());
            second.spawn(async move {
                pool.get_with(&name, GetOptions::new().timeout(5 * SECOND))
                    .await
                    .map(drop)
            })
        };
        let beside = {
            let (pool, hangs) = (pool.clone(), host(&peer, "b.peer.test"));
            second.spawn(async move { pool.get(&hangs).await.map(drop) })
        };
        second.block_on(let_run());
        drop(ending);
        second.block_on(async {
            drop(held);
            within("who waits elsewhere", waits).await.unwrap().unwrap();
            within("who waited for a dial there", beside)
                .await
                .unwrap()
                .unwrap();
            // And who comes: what rested there is of no use.
            assert_eq!(round(&pool, &host(&peer, "a.peer.test")).await.status, 200);
        });
        let report = second.block_on(within("close", pool.close()));
        assert!(report.is_clean(), "{report:?}");
        second.block_on(peer.wait_for("no socket is left", |seen| seen.live == 0));
        second.block_on(peer.shutdown());
    }
}

async fn is_cut(mut conn: HotConn) -> bool {
    match conn.protocol() {
        Protocol::Http1 => {
            let read = within("a read", conn.read(&mut [0])).await;
            read.unwrap_err().kind() == std::io::ErrorKind::ConnectionAborted
        }
        _ => {
            let request = http::Request::get("https://peer.test/").body(()).unwrap();
            let opened = conn.h2().unwrap().send_request(request, true).await;
            match opened {
                Err(_) => true,
                Ok((response, _)) => within("an answer", response).await.is_err(),
            }
        }
    }
}

#[tokio::test]
async fn force_cleanup_works_while_close_hangs_and_the_pool_is_usable_after() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let (a, b, c) = (
            host(&peer, "a.peer.test"),
            host(&peer, "b.peer.test"),
            host(&peer, "c.peer.test"),
        );
        // While it is open: whoever reads is told at once, a dial that hangs begins anew, and all is as before.
        let (open, _clock) = manual_pool(&peer, |_| {});
        round(&open, &a).await;
        let held = lease(&open, &b).await;
        let mut held = Some(held);
        let reads = (alpn == Alpn::Http1).then(|| spawn(is_cut(held.take().unwrap())));
        peer.next(To::All, 1, Act::StallAfterHello);
        let stuck = {
            let (open, c) = (open.clone(), c.clone());
            spawn(async move { open.get(&c).await.map(drop) })
        };
        peer.wait_for("a dial hangs", |seen| seen.hellos == 3).await;
        let_run().await;
        assert_eq!(open.force_cleanup(), 2);
        assert_eq!(open.stats().counters.closes(CloseReason::Aborted), 2);
        assert!(match reads {
            Some(reads) => within("the reader", reads).await.unwrap(),
            None => is_cut(held.take().unwrap()).await,
        });
        within("the dial", stuck).await.unwrap().unwrap();
        for name in [&a, &b] {
            assert_eq!(round(&open, name).await.status, 200);
        }
        finish(open, peer).await;

        // While it closes and cannot.
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, _clock) = manual_pool(&peer, |_| {});
        let mut held = lease(&pool, &name(&peer)).await;
        use_up(&mut held, "/").await;
        let mut closing = Box::pin(pool.close());
        assert!(
            poll_once(closing.as_mut()).await.is_none(),
            "the lease is out, and time stands"
        );
        assert_eq!(pool.force_cleanup(), 1);
        let report = within("close", closing).await;
        assert_eq!(report.closed, 1);
        drop(held);
        finish(pool, peer).await;
    }
}
