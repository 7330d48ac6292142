//! The end of a pool, and of everything in it.

use std::sync::Arc;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{CloseReason, ErrorKind, GetOptions, HotConnPool, Phase, Returned, Warm};

use super::{alone, lease, one_thread, poll_once};
use crate::common::{
    at_rest, exchange, finish, host, http1_peer, let_run, manual_pool, name, pool, round, spawn, until,
    use_up, within,
};
use crate::support::measure::{self, Descriptors};
use crate::support::peer::{Act, Alpn, DEADLINE, Order, Peer, To};

#[tokio::test]
async fn close_is_idempotent_and_concurrent_closers_agree() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let name = name(&peer);
    let leased = [lease(&pool, &name).await, lease(&pool, &name).await];
    drop(lease(&pool, &host(&peer, "a.peer.test")).await);
    let mut closers: Vec<_> = (0..4).map(|_| Box::pin(pool.close())).collect();
    for closer in &mut closers {
        assert!(poll_once(closer.as_mut()).await.is_none(), "leases are out");
    }
    drop(closers.remove(0)); // the one that began goes away
    clock.advance(Duration::from_secs(1));
    drop(leased);
    let mut reports = Vec::new();
    for closer in closers {
        reports.push(within("close", closer).await);
    }
    clock.advance(Duration::from_secs(1));
    reports.push(within("close again", pool.close()).await);
    assert!(reports.iter().all(|report| *report == reports[0]), "{reports:?}");
    assert_eq!((reports[0].closed, reports[0].leases_left), (3, 0));
    finish(pool, peer).await;
}

#[tokio::test]
async fn get_after_close_is_an_error() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let (known, new) = (name(&peer), host(&peer, "a.peer.test"));
    round(&pool, &known).await;
    within("close", pool.close()).await;
    for name in [&known, &new] {
        let endpoint = pool.endpoint(name).unwrap();
        let warm = within("warm", pool.warm(name, Warm::Count(1), GetOptions::new())).await;
        for error in [
            within("get", pool.get(name)).await.unwrap_err(),
            within("get by endpoint", pool.get(&endpoint)).await.unwrap_err(),
            pool.try_get(name).unwrap_err(),
            warm.unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Closed, Phase::Acquire),
                "{name}"
            );
            assert_eq!(error.target(), Some(name.as_str()));
        }
    }
    assert_eq!(peer.seen().accepts, 1);
    let hosts = pool.stats().hosts;
    assert!(hosts.iter().all(|host| *host.target == *known), "{hosts:?}");
    finish(pool, peer).await;
}

/// One cycle: a connection is had, used in one of the ways there are, and goes the way that follows from it.
async fn cycle(pool: &HotConnPool, name: &str, nth: usize) {
    let mut conn = lease(pool, name).await;
    match nth % 8 {
        0 => conn.discard(),
        1 => assert_eq!(pool.put(conn), Returned::Kept, "untouched"),
        2 => {
            within("an exchange", exchange(&mut conn, "/")).await.unwrap();
            drop(conn); // nobody vouches
        }
        3 => {
            let mut waits = Box::pin(pool.get(name));
            poll_once(waits.as_mut()).await;
            drop(conn);
        }
        _ => {
            use_up(&mut conn, "/").await;
            drop(conn);
        }
    }
}

#[test]
fn a_thousand_cycles_leave_no_descriptor_and_no_task() {
    alone(
        "live::life::a_thousand_cycles_leave_no_descriptor_and_no_task",
        || {
            one_thread().block_on(async {
                let peers = [Alpn::Http1, Alpn::Http2].map(|alpn| Peer::builder().ips(2).alpn(alpn).start());
                let pools = peers.each_ref().map(|peer| pool(peer, |_| {}));
                let names = peers.each_ref().map(name);
                // Once, for whatever is opened once.
                for (pool, name) in pools.iter().zip(&names) {
                    round(pool, name).await;
                    pool.manager().evict_host(name).unwrap();
                }
                for peer in &peers {
                    peer.wait_for("none is left", |seen| seen.live == 0).await;
                }
                let_run().await;
                let (descriptors, tasks) = (Descriptors::now(), measure::alive_tasks());
                for nth in 0..1000 {
                    let which = nth / 8 % 2;
                    cycle(&pools[which], &names[which], nth).await;
                }
                for pool in &pools {
                    at_rest(pool).await;
                    assert!(pool.size() <= 10, "{:?}", pool.stats());
                    pool.manager().retain(|_| false);
                }
                measure::no_descriptor_beyond(DEADLINE, &descriptors).await;
                measure::settles(DEADLINE, "tasks", tasks, measure::alive_tasks).await;
                for (pool, peer) in pools.into_iter().zip(peers) {
                    finish(pool, peer).await;
                }
            });
        },
    );
}

/// Ends connections at its whim, in every way there is, and lets time pass: a quarter of a second for three milliseconds.
async fn surprises(peer: Arc<Peer>, clock: ManualClock) {
    let orders = [Order::Close, Order::CloseNotify, Order::HalfClose, Order::Reset];
    for nth in 0.. {
        peer.order(To::All, orders[nth % 4].clone());
        if nth % 5 == 0 {
            peer.next(To::All, 1, Act::CloseAfterHandshake);
        }
        clock.advance(Duration::from_millis(250));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Uses connections of a server that does that. Answers how many exchanges went well.
async fn undaunted(pool: HotConnPool, name: String) -> usize {
    let mut served = 0;
    for _ in 0..60 {
        // An error is an answer; a hang is not.
        match within("an answer", pool.get(&name)).await {
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(mut conn) => {
                let answer = within("an exchange", exchange(&mut conn, "/")).await;
                served += usize::from(answer.is_ok());
                conn.assume_clean();
            }
        }
        tokio::task::yield_now().await;
    }
    served
}

#[test]
fn surprise_server_closes_deadlock_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let peer = Arc::new(http1_peer());
        let (pool, clock) = manual_pool(&peer, |config| {
            config.max_per_host = 3;
            config.acquire_timeout = Duration::from_secs(3600);
        });
        let name = name(&peer);
        let server = spawn(surprises(Arc::clone(&peer), clock.clone()));
        let users: Vec<_> = (0..8)
            .map(|_| spawn(undaunted(pool.clone(), name.clone())))
            .collect();
        let mut served = 0;
        for user in users {
            served += user.await.unwrap();
        }
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        assert!(served > 0, "nobody was ever served");
        at_rest(&pool).await;
        let again = async {
            // What is held against the address passes, and what the server had planned comes to an end.
            while pool.get(&name).await.is_err() {
                clock.advance(Duration::from_secs(900));
            }
        };
        within("as before", again).await;
        // One more surprise, for what rests: it does not stay in between, where who asks would wait for it.
        peer.order(To::All, Order::Reset);
        until(&pool, "the last one is gone", |stats| stats.total == 0).await;
        within("close", pool.close()).await;
        pool.manager().assert_invariants();
        peer.wait_for("every connection is closed", |seen| seen.live == 0)
            .await;
    });
}

/// Its runtime ends, and with it its driver; the pool does not.
#[test]
fn a_driver_that_ends_with_its_runtime_has_failed() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, ending) = (pool(&peer, |_| {}), one_thread());
    drop(ending.block_on(lease(&pool, &name(&peer))));
    drop(ending);
    let counters = pool.stats().counters;
    let closes = [CloseReason::Failed, CloseReason::PoolClosed].map(|reason| counters.closes(reason));
    assert_eq!(closes, [1, 0]);
    one_thread().block_on(finish(pool, peer));
}
