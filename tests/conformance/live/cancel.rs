//! Dropped at any time, over real TLS and with peers that stall, refuse, reset and end: permits, tasks and descriptors are back at the start.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hotpool::clock::ManualClock;
use hotpool::scripted::{self, Stage};
use hotpool::{ErrorKind, GetOptions, HotConnPool, Phase, Warm};

use super::{alone, one_thread};
use crate::common::{config, let_run, manual_pool, name, poll_times, until, within};
use crate::support::measure::{self, Descriptors};
use crate::support::peer::{Act, Alpn, DEADLINE, Order, Peer, To};

type Call<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The calls, by number: a get, a get at an address, both ways to warm, and closing.
fn call<'a>(number: usize, pool: &'a HotConnPool, peer: &Peer, name: &'a str) -> Call<'a> {
    let there = GetOptions::new().ip(peer.ips()[1]);
    match number {
        0 => Box::pin(async move { drop(pool.get(name).await) }),
        1 => Box::pin(async move { drop(pool.get_with(name, there).await) }),
        2 => Box::pin(async move { drop(pool.warm(name, Warm::Count(2), GetOptions::new()).await) }),
        3 => Box::pin(async move { drop(pool.warm(name, Warm::EveryIp(1), GetOptions::new()).await) }),
        _ => Box::pin(async move {
            drop(pool.get(name).await);
            pool.close().await;
        }),
    }
}

/// What the next connections meet, each in turn.
fn acts() -> Vec<Act> {
    vec![
        Act::Serve,
        Act::ResetOnAccept,
        Act::ResetAfterHello,
        Act::Garbage(Bytes::from_static(b"no TLS")),
        Act::StallOnAccept,
        Act::StallAfterHello,
        Act::StallAfterHandshake,
        Act::CloseAfterHandshake,
    ]
}

/// 0, 1, 2, 3, 5, 8, ...: the first steps one by one, the later ones roughly.
fn steps() -> impl Iterator<Item = usize> {
    let fibonacci = std::iter::successors(Some((0, 1)), |&(a, b)| Some((b, a + b)));
    fibonacci.map(|(n, _)| n).take_while(|&n| n < 700)
}

/// One call, dropped after so many polls; then every dial has its time.
async fn run(peer: &Peer, number: usize, polls: usize) {
    let (pool, clock) = manual_pool(peer, |_| {});
    let name = name(peer);
    poll_times(call(number, &pool, peer, &name), polls).await;
    for _ in 0..5 {
        let_run().await;
        clock.advance(Duration::from_secs(10));
    }
    let context = format!("call {number}, {polls} polls");
    until(&pool, &context, |stats| {
        (stats.waiting, stats.dialling, stats.leases) == (0, 0, 0)
    })
    .await;
    pool.manager().assert_invariants();
    within("close", pool.close()).await;
    assert_eq!(pool.size(), 0, "{context}");
    pool.manager().assert_invariants();
}

async fn every_call(peer: &Peer) {
    for number in 0..5 {
        for polls in steps() {
            run(peer, number, polls).await;
        }
    }
}

#[test]
fn whenever_it_is_dropped_no_descriptor_and_no_task_is_left() {
    alone(
        "live::cancel::whenever_it_is_dropped_no_descriptor_and_no_task_is_left",
        || {
            one_thread().block_on(async {
                for alpn in [Alpn::Http1, Alpn::Http2] {
                    let peer = Peer::builder().ips(2).alpn(alpn).start();
                    run(&peer, 0, 700).await;
                    peer.wait_for("all closed", |seen| seen.live == 0).await;
                    let (descriptors, tasks) = (Descriptors::now(), measure::alive_tasks());
                    for act in acts() {
                        peer.always(To::All, act);
                        every_call(&peer).await;
                        measure::settles(DEADLINE, "tasks", tasks, measure::alive_tasks).await;
                    }
                    peer.order(To::All, Order::Reset);
                    peer.wait_for("all closed", |seen| seen.live == 0).await;
                    measure::no_descriptor_beyond(DEADLINE, &descriptors).await;
                    peer.refuse(To::All).await;
                    every_call(&peer).await;
                    measure::settles(DEADLINE, "tasks", tasks, measure::alive_tasks).await;
                    // Not the same: where the peer listened, it holds its port by other means.
                    let count = descriptors.count();
                    measure::eventually(DEADLINE, "no more descriptors", || {
                        Descriptors::now().count() <= count
                    })
                    .await;
                    peer.shutdown().await;
                }
            });
        },
    );
}

/// A runtime ends while it asks for the addresses of a host: who waits in another one has them asked for there.
#[test]
fn a_runtime_that_ends_while_it_resolves_hangs_nobody() {
    let (stage, clock) = (Stage::new(1), ManualClock::new());
    let pool = stage.pool(config(|_| {}), clock).unwrap();
    let (first, second) = (one_thread(), one_thread());
    stage.next(Phase::Resolve, scripted::Act::Never);
    first.block_on(async {
        assert!(poll_times(pool.get("peer.test"), 20).await.is_none());
    });
    let asks = pool.clone();
    let waits = second.spawn(async move { asks.get("peer.test").await });
    second.block_on(until(&pool, "it waits", |stats| stats.waiting == 1));
    drop(first);
    second.block_on(async {
        drop(within("served", waits).await.unwrap().unwrap());
        pool.manager().assert_invariants();
    });
}

/// Whoever has no other runtime than the one that ended is told so.
#[test]
fn who_is_left_without_a_runtime_is_told() {
    for phase in [Phase::Resolve, Phase::Connect] {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        let pool = stage.pool(config(|_| {}), clock).unwrap();
        let only = one_thread();
        stage.next(phase, scripted::Act::Never);
        let mut get = Box::pin(pool.get("peer.test"));
        assert!(only.block_on(poll_times(get.as_mut(), 20)).is_none());
        drop(only);
        let error = one_thread()
            .block_on(within("told", get))
            .expect_err("nothing runs any more");
        assert_eq!((error.kind(), error.phase()), (ErrorKind::NoRuntime, phase));
        pool.manager().assert_invariants();
    }
}
