//! A pool and the runtimes around it: none, one, two after one another; and threads that are in none.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{CloseReason, ErrorKind, GetOptions, HotConnPool, Phase, Returned, Warm};
use tokio::runtime::{Builder, Runtime};

use crate::common::{
    at_rest, builder, finish, host, http1_peer, let_run, manual_pool, name, pool, round, until, within,
};
use crate::support::measure;
use crate::support::peer::{Alpn, Peer};

/// Runs a future with nothing of tokio around it.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(Duration::from_secs(10));
    }
    panic!("woken a thousand times and not ready");
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn two_threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Nothing of tokio anywhere: an error, not a panic, and nothing is left of the attempt.
#[test]
fn without_any_runtime_a_get_is_an_error() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let address = IpAddr::from([127, 0, 0, 1]);
    for target in [name(&peer), format!("{address}:{}", peer.port())] {
        let error = block_on(pool.get(&target)).unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::NoRuntime, Phase::Acquire)
        );
        assert_eq!(error.target(), Some(target.as_str()));
        assert!(pool.try_get(&target).unwrap().is_none());
    }
    let warm = block_on(pool.warm(&name(&peer), Warm::Count(1), GetOptions::new()));
    assert_eq!(warm.unwrap_err().kind(), ErrorKind::NoRuntime);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.dialling, stats.total), (0, 0, 0));
    pool.manager().assert_invariants();
    assert_eq!(peer.seen().accepts, 0);
    // Nobody is to blame for it: inside a runtime the same pool works at once.
    one_thread().block_on(async {
        round(&pool, &name(&peer)).await;
        round(&pool, &format!("{address}:{}", peer.port())).await;
        finish(pool, peer).await;
    });
}

/// An unused pool closes anywhere.
#[test]
fn without_any_runtime_close_works() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let report = block_on(pool.close());
    assert_eq!((report.closed, report.leases_left), (0, 0));
    assert_eq!(
        block_on(pool.get(name(&peer))).unwrap_err().kind(),
        ErrorKind::Closed
    );
}

/// A thread in no runtime, while the pool's runs elsewhere: hits, dials, waits, returns and close all work from there.
#[test]
fn from_a_thread_in_no_runtime() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let runtime = two_threads();
        let peer = Peer::builder().alpn(alpn).start();
        let pool = pool(&peer, |_| {});
        let (a, b) = (host(&peer, "a.peer.test"), host(&peer, "b.peer.test"));
        runtime.block_on(round(&pool, &a));
        let conn = block_on(pool.get(&a)).unwrap();
        assert_eq!(conn.info().serial, 1, "the idle one");
        assert_eq!(pool.put(conn), Returned::Kept);
        let conn = block_on(pool.get(&b)).unwrap();
        assert_eq!(conn.info().serial, 2, "a new one");
        drop(conn);
        let report = block_on(pool.warm(&host(&peer, "c.peer.test"), Warm::Count(1), GetOptions::new()));
        assert_eq!(report.unwrap().opened, 1);
        pool.manager().assert_invariants();
        let report = block_on(pool.close());
        assert_eq!((report.closed, report.leases_left), (3, 0));
        runtime.block_on(async {
            peer.wait_for("all closed", |seen| seen.live == 0).await;
            measure::settles(Duration::from_secs(5), "tasks", 0, measure::alive_tasks).await;
        });
    }
}

/// Giving back needs no runtime: whoever waits in one is served by it.
#[test]
fn giving_back_outside_serves_who_waits_inside() {
    let runtime = two_threads();
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    for discard in [false, true] {
        let leased = runtime.block_on(pool.get(&name)).unwrap();
        let waiter = {
            let (pool, name) = (pool.clone(), name.clone());
            runtime.spawn(async move { round(&pool, &name).await })
        };
        runtime.block_on(until(&pool, "one waits", |stats| stats.waiting == 1));
        // Put back it serves as it is; discarded it makes room for a dial, which has to find a runtime to run in.
        match discard {
            false => assert_eq!(pool.put(leased), Returned::Kept),
            true => leased.discard(),
        }
        runtime.block_on(within("a turn", waiter)).unwrap();
    }
    runtime.block_on(finish(pool, peer));
}

/// The runtime has gone; its connections are given back, dropped and discarded without a panic, and none of them stays.
#[test]
fn giving_back_after_the_runtime_has_gone() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let runtime = one_thread();
        let mut leased = Vec::new();
        for _ in 0..3 {
            leased.push(runtime.block_on(pool.get(&name)).unwrap());
        }
        drop(runtime);
        let returned = pool.put(leased.remove(0));
        assert!(matches!(returned, Returned::Closed(_)), "{alpn:?}: {returned:?}");
        drop(leased.remove(0));
        leased.remove(0).discard();
        assert_eq!(pool.size(), 0, "{alpn:?}");
        pool.manager().assert_invariants();
        drop(pool);
        one_thread().block_on(peer.wait_for("all gone", |seen| seen.live == 0));
    }
}

/// One runtime ends and another begins: what belonged to the first is left, and everything works in the second, upkeep included.
#[test]
fn two_runtimes_one_after_the_other() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, clock) = manual_pool(&peer, |_| {});
        let name = name(&peer);
        let first = one_thread();
        first.block_on(round(&pool, &name));
        let leased = first.block_on(pool.get(&name)).unwrap();
        drop(first);
        let second = one_thread();
        second.block_on(async {
            let answer = round(&pool, &name).await;
            assert_eq!((answer.conn, answer.nth), (2, 1), "{alpn:?}");
            let returned = pool.put(leased);
            assert!(matches!(returned, Returned::Closed(_)), "{returned:?}");
            assert_eq!(round(&pool, &name).await.conn, 2);
            assert_eq!(pool.size(), 1);
            sweeps(&pool, &clock, &peer).await;
            finish(pool, peer).await;
        });
    }
}

/// The sweeper runs: what is idle for too long goes by itself.
async fn sweeps(pool: &HotConnPool, clock: &ManualClock, peer: &Peer) {
    for _ in 0..2 {
        clock.advance(Duration::from_secs(61));
        let_run().await;
    }
    peer.wait_for("swept", |seen| seen.live == 0).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 1);
}

/// After the first runtime has gone, a thread in none works through the second.
#[test]
fn a_thread_in_none_finds_the_runtime_that_lives() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let first = one_thread();
    first.block_on(round(&pool, &name));
    drop(first);
    let second = two_threads();
    second.block_on(round(&pool, &name));
    let conn = block_on(pool.get(&name)).unwrap();
    assert_eq!(conn.info().serial, 2);
    conn.discard();
    let conn = block_on(pool.get(&name)).unwrap();
    assert_eq!(conn.info().serial, 3);
    drop(conn);
    second.block_on(finish(pool, peer));
}

/// The runtime ends in the middle of a dial: whoever waits in another has it done again there, and the pool goes on there.
#[test]
fn a_runtime_that_ends_under_a_dial_hangs_nobody() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let (first, second) = (one_thread(), two_threads());
    peer.next(
        crate::support::peer::To::All,
        1,
        crate::support::peer::Act::StallAfterHello,
    );
    let mut get = Box::pin(pool.get(&name));
    first.block_on(async {
        assert!(crate::common::poll_times(get.as_mut(), 50).await.is_none());
        peer.wait_for("the dial hangs", |seen| seen.hellos == 1).await;
    });
    let waiter = {
        let (pool, name) = (pool.clone(), name.clone());
        second.spawn(async move { pool.get(&name).await })
    };
    second.block_on(until(&pool, "two wait", |stats| stats.waiting == 2));
    drop(get);
    drop(first);
    second.block_on(async {
        drop(within("a connection", waiter).await.unwrap().unwrap());
        at_rest(&pool).await;
        round(&pool, &name).await;
        finish(pool, peer).await;
    });
}

/// Many threads of one runtime build, use and close pools at once.
#[test]
fn pools_do_not_meet() {
    let runtime = two_threads();
    let peer = Arc::new(http1_peer());
    runtime.block_on(async {
        let users: Vec<_> = (0..10)
            .map(|_| {
                let (pool, name) = (builder(&peer, |_| {}).build().unwrap(), name(&peer));
                crate::common::spawn(async move {
                    for nth in 1..=5 {
                        assert_eq!(round(&pool, &name).await.nth, nth);
                    }
                    pool.close().await.closed
                })
            })
            .collect();
        for user in users {
            assert_eq!(within("a user", user).await.unwrap(), 1);
        }
        peer.wait_for("all gone", |seen| (seen.accepts, seen.live) == (10, 0))
            .await;
    });
}
