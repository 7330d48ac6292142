//! A get may be dropped at any point: no place in line, no permit and no connection is lost by it.

use std::pin::pin;
use std::time::Duration;

use futures::poll_once;
use hotpool::{GetOptions, HotConnPool, PoolConfig, Stats};

use crate::common::{
    at_rest, finish, host, http1_peer, manual_pool, name, poll_times, pool, round, until, use_up, within,
};
use crate::support::peer::{Act, Alpn, Order, Peer, To};

/// What the tests of this module need of a future.
mod futures {
    use std::future::{Future, poll_fn};
    use std::pin::Pin;
    use std::task::Poll;

    /// Polls it once.
    pub(super) async fn poll_once<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| {
            Poll::Ready(match future.as_mut().poll(cx) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            })
        })
        .await
    }
}

/// One of everything: whatever leaks, the next get hangs.
fn one_of_everything(config: &mut PoolConfig) {
    config.max_connections = 1;
    config.max_per_host = 1;
    config.max_per_ip = 1;
    config.max_dials = 1;
}

/// 0, 1, 2, 3, 5, 8, ... up to some ten thousand: the first steps one by one, the later ones roughly.
fn steps() -> impl Iterator<Item = usize> {
    let fibonacci = std::iter::successors(Some((0, 1)), |&(a, b)| Some((b, a + b)));
    fibonacci.map(|(n, _)| n).take_while(|&n| n < 30_000)
}

fn dialled(stats: &Stats) -> bool {
    stats.dialling == 1 || stats.counters.opened == 1
}

/// Another host takes the only place: so every permit came back.
async fn every_permit_is_back(pool: &HotConnPool, peer: &Peer) {
    at_rest(pool).await;
    assert_eq!(round(pool, &host(peer, "b.peer.test")).await.status, 200);
    assert_eq!(pool.size(), 1);
    round(pool, &name(peer)).await;
    assert_eq!(pool.size(), 1);
    pool.manager().assert_invariants();
}

#[tokio::test]
async fn dropped_after_any_number_of_polls() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let mut served = 0;
        for times in steps() {
            let peer = Peer::builder().alpn(alpn).start();
            let (pool, name) = (pool(&peer, one_of_everything), name(&peer));
            served += usize::from(poll_times(pool.get(&name), times).await.is_some());
            every_permit_is_back(&pool, &peer).await;
            finish(pool, peer).await;
        }
        assert!(served > 0, "the last ones run to their end");
        assert!(served < steps().count() - 3, "the first ones do not");
    }
}

/// The same at each stage of a dial that hangs there: it goes on alone, and its end gives everything back.
#[tokio::test]
async fn dropped_while_the_dial_hangs() {
    for act in [Act::StallOnAccept, Act::StallAfterHello] {
        let peer = http1_peer();
        let (pool, clock) = manual_pool(&peer, one_of_everything);
        let name = name(&peer);
        peer.next(To::All, 1, act.clone());
        {
            let mut get = pin!(pool.get(&name));
            assert!(poll_once(&mut get).await.is_none());
            peer.wait_for("the dial hangs", |seen| seen.accepts == 1).await;
            assert!(poll_once(&mut get).await.is_none());
        }
        until(&pool, "nobody waits", |stats| stats.waiting == 0).await;
        assert_eq!(pool.stats().dialling, 1, "the dial goes on: {act:?}");
        peer.order(To::All, Order::Reset);
        at_rest(&pool).await;
        let other = host(&peer, "b.peer.test");
        clock.advance(Duration::from_secs(1)); // the penalty for the reset
        assert_eq!(round(&pool, &other).await.conn, 2, "{act:?}: {:?}", pool.stats());
        finish(pool, peer).await;
    }
}

/// The connection of a dial whose caller has gone serves the next caller, or rests.
#[tokio::test]
async fn the_dial_outlives_its_caller() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    {
        let mut get = pin!(pool.get(&name));
        assert!(poll_once(&mut get).await.is_none());
        until(&pool, "the dial is ordered, or over already", dialled).await;
        peer.wait_for("connected", |seen| seen.accepts == 1).await;
    }
    let mut conn = within("the connection of the other", pool.get(&name))
        .await
        .unwrap();
    assert_eq!(use_up(&mut conn, "/").await.conn, 1);
    drop(conn);
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// Granted and dropped before it looked: the connection goes on to the next in line, and rests after the last.
#[tokio::test]
async fn granted_and_never_taken() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, one_of_everything), name(&peer));
    let leased = within("a connection", pool.get(&name)).await.unwrap();
    {
        let mut first = Box::pin(pool.get(&name));
        let mut second = Box::pin(pool.get(&name));
        assert!(poll_once(&mut first.as_mut()).await.is_none());
        assert!(poll_once(&mut second.as_mut()).await.is_none());
        drop(leased); // granted to the first
        assert_eq!(pool.stats().leases, 1);
        assert!(
            poll_once(&mut second.as_mut()).await.is_none(),
            "not the second's turn"
        );
        drop(first);
        let second = poll_once(&mut second.as_mut()).await.expect("passed on").unwrap();
        drop(second);
    }
    assert_eq!(pool.stats().idle, 1);
    every_permit_is_back(&pool, &peer).await;
    finish(pool, peer).await;
}

/// Every other one of a long line goes away; the rest are served by the one connection.
#[tokio::test]
async fn holes_in_the_line_hold_up_nobody() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, one_of_everything), name(&peer));
    let leased = within("a connection", pool.get(&name)).await.unwrap();
    let mut line: Vec<_> = (0..20).map(|_| Box::pin(pool.get(&name))).collect();
    for get in &mut line {
        assert!(poll_once(&mut get.as_mut()).await.is_none());
    }
    let mut number = 0;
    line.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    assert_eq!(pool.stats().waiting, 10);
    drop(leased);
    for get in line {
        drop(within("a turn", get).await.unwrap());
    }
    assert_eq!(peer.seen().accepts, 1);
    every_permit_is_back(&pool, &peer).await;
    finish(pool, peer).await;
}

/// Two wait on one dial; the one that caused it goes away. The other is served all the same.
#[tokio::test]
async fn a_cancelled_caller_does_not_fail_the_others() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, one_of_everything), name(&peer));
    let mut first = Box::pin(pool.get(&name));
    let mut second = Box::pin(pool.get(&name));
    assert!(poll_once(&mut first.as_mut()).await.is_none());
    assert!(poll_once(&mut second.as_mut()).await.is_none());
    until(&pool, "the dial is ordered, or over already", dialled).await;
    drop(first);
    drop(within("the second", second).await.unwrap());
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// Timeouts of every size, down to none at all, against real handshakes.
#[tokio::test]
async fn timeouts_of_any_size_leak_nothing() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, one_of_everything), name(&peer));
    let (mut late, mut served) = (0, 0);
    for micros in (0..60).map(|n| n * n * 4) {
        let options = GetOptions::new().timeout(Duration::from_micros(micros));
        match within("a get with a timeout", pool.get_with(&name, options)).await {
            Ok(conn) => {
                served += 1;
                conn.discard();
            }
            Err(error) => {
                assert!(error.is_timeout(), "{error:?}");
                late += 1;
            }
        }
        pool.manager().assert_invariants();
    }
    assert!(late > 0, "none ran out of time");
    assert!(served > 0, "none was served");
    every_permit_is_back(&pool, &peer).await;
    finish(pool, peer).await;
}
