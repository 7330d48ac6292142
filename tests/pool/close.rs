//! The end: close waits for leases and no longer than it may, says the same to everybody, and leaves nothing behind.

use std::time::Duration;

use hotpool::{CloseReason, ErrorKind, HotConn, HotConnPool, Protocol, Returned};
use tokio::io::AsyncReadExt;

use crate::common::{
    at_rest, finish, host, http1_peer, let_run, manual_pool, name, poll_times, pool, round, spawn, until,
    use_up, within,
};
use crate::support::measure::{self, Descriptors};
use crate::support::peer::{Act, Alpn, DEADLINE, Peer, To};
use crate::support::process::alone;

const SECOND: Duration = Duration::from_secs(1);

async fn lease(pool: &HotConnPool, name: &str) -> HotConn {
    within("a lease", pool.get(name)).await.unwrap()
}

/// Everything a pool can be in the middle of: idle and leased connections of both protocols, a waiter, a dial that hangs.
async fn in_full_swing(http1: &Peer, http2: &Peer) {
    let (one, two) = (pool(http1, |config| config.max_per_host = 3), pool(http2, |_| {}));
    let (name1, name2) = (name(http1), name(http2));
    let leased = [
        lease(&one, &name1).await,
        lease(&one, &name1).await,
        lease(&two, &name2).await,
    ];
    round(&one, &name1).await;
    http1.always(To::All, Act::StallAfterHello);
    let hangs = host(http1, "a.peer.test");
    let dialling = Box::pin(one.get(&hangs));
    assert!(poll_times(dialling, 50).await.is_none());
    let third = lease(&one, &name1).await;
    let mut waiting = Box::pin(one.get(&name1));
    assert!(poll_times(waiting.as_mut(), 50).await.is_none());
    assert_eq!(one.stats().waiting, 1);
    assert!(measure::alive_tasks() > 0);
    let closing = {
        let (one, two) = (one.clone(), two.clone());
        spawn(async move { (one.close().await, two.close().await) })
    };
    assert_eq!(
        within("refused", waiting).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    drop((leased, third));
    let (first, second) = within("close", closing).await.unwrap();
    assert_eq!((first.closed, first.leases_left), (3, 0));
    assert_eq!((second.closed, second.leases_left), (1, 0));
    for pool in [one, two] {
        at_rest(&pool).await;
    }
    http1.always(To::All, Act::Serve);
}

/// Runs in a process of its own: other tests open descriptors too.
#[test]
fn closing_leaves_no_task_and_no_descriptor() {
    alone("close::closing_leaves_no_task_and_no_descriptor", || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let http1 = Peer::builder().ips(3).alpn(Alpn::Http1).start();
            let http2 = Peer::builder().ips(3).alpn(Alpn::Http2).start();
            // Once for whatever is opened once, then for the count.
            in_full_swing(&http1, &http2).await;
            http1.wait_for("all closed", |seen| seen.live == 0).await;
            http2.wait_for("all closed", |seen| seen.live == 0).await;
            let (descriptors, tasks) = (Descriptors::now(), measure::alive_tasks());
            for _ in 0..10 {
                in_full_swing(&http1, &http2).await;
            }
            measure::settles(DEADLINE, "tasks", tasks, measure::alive_tasks).await;
            measure::no_descriptor_beyond(DEADLINE, &descriptors).await;
        });
    });
}

/// A lease that comes home ends the wait at once; the clock stands still all the while.
#[tokio::test]
async fn close_waits_for_leases_and_no_longer() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, clock) = manual_pool(&peer, |_| {});
        let mut conn = lease(&pool, &name(&peer)).await;
        let closing = {
            let pool = pool.clone();
            spawn(async move { pool.close().await })
        };
        let_run().await;
        clock.advance(7 * SECOND);
        let_run().await;
        assert!(!closing.is_finished());
        assert_eq!(use_up(&mut conn, "/").await.status, 200, "a lease may finish");
        assert_eq!(pool.put(conn), Returned::Closed(CloseReason::PoolClosed));
        let report = within("close", closing).await.unwrap();
        assert_eq!(
            (report.closed, report.leases_left, report.took),
            (1, 0, 7 * SECOND)
        );
        finish(pool, peer).await;
    }
}

/// A lease that does not come home holds close up for its share of `close_timeout` and not longer; it closes when it does come.
#[tokio::test]
async fn close_has_a_limit() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.close_timeout = 5 * SECOND);
    let conn = lease(&pool, &name(&peer)).await;
    let closing = {
        let pool = pool.clone();
        spawn(async move { pool.close().await })
    };
    let_run().await;
    clock.advance(4 * SECOND - Duration::from_nanos(1));
    let_run().await;
    assert!(!closing.is_finished(), "too early");
    clock.advance(Duration::from_nanos(1));
    let report = within("close", closing).await.unwrap();
    assert_eq!(
        (report.closed, report.leases_left, report.took),
        (0, 1, 4 * SECOND)
    );
    assert_eq!(peer.seen().live, 1);
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::PoolClosed));
    peer.wait_for("the late one is gone", |seen| seen.live == 0).await;
    at_rest(&pool).await;
    assert_eq!(pool.size(), 0);
}

#[tokio::test]
async fn all_who_close_hear_the_same() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let conn = lease(&pool, &name(&peer)).await;
    round(&pool, &name(&peer)).await;
    let closers: Vec<_> = (0..5)
        .map(|_| {
            let pool = pool.clone();
            spawn(async move { pool.close().await })
        })
        .collect();
    let_run().await;
    clock.advance(SECOND);
    drop(conn);
    let mut reports = Vec::new();
    for closer in closers {
        reports.push(within("close", closer).await.unwrap());
    }
    clock.advance(SECOND);
    reports.push(within("close again", pool.close()).await);
    reports.push(within("close by the manager", pool.manager().close()).await);
    assert!(reports.iter().all(|report| *report == reports[0]), "{reports:?}");
    assert_eq!((reports[0].closed, reports[0].took), (2, SECOND));
    finish(pool, peer).await;
}

/// The first closer goes away: the pool stays closed, and the next closer brings it to its end.
#[tokio::test]
async fn a_closer_that_goes_away_is_replaced() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let conn = lease(&pool, &name(&peer)).await;
    assert!(
        poll_times(Box::pin(pool.close()), 20).await.is_none(),
        "the lease is out"
    );
    assert_eq!(pool.get(name(&peer)).await.unwrap_err().kind(), ErrorKind::Closed);
    drop(conn);
    finish(pool, peer).await;
}

#[tokio::test]
async fn an_unused_pool_closes() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let report = within("close", pool.close()).await;
    assert_eq!((report.closed, report.leases_left), (0, 0));
    finish(pool, peer).await;
}

/// Who waits and who dials is told, at once.
#[tokio::test]
async fn close_refuses_who_waits() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let conn = lease(&pool, &name).await;
    peer.always(To::All, Act::StallAfterHello);
    let callers: Vec<_> = [
        name.clone(),
        host(&peer, "a.peer.test"),
        host(&peer, "b.peer.test"),
    ]
    .into_iter()
    .map(|name| {
        let pool = pool.clone();
        spawn(async move { (pool.get(&name).await.unwrap_err(), name) })
    })
    .collect();
    peer.wait_for("two dials hang", |seen| seen.hellos == 3).await;
    until(&pool, "three wait", |stats| stats.waiting == 3).await;
    let closing = {
        let pool = pool.clone();
        spawn(async move { pool.close().await })
    };
    for caller in callers {
        let (error, name) = within("the refusal", caller).await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert_eq!(error.target(), Some(name.as_str()));
    }
    peer.wait_for("the dials are given up", |seen| seen.live == 1)
        .await;
    drop(conn);
    within("close", closing).await.unwrap();
    finish(pool, peer).await;
}

/// A peer that has gone deaf does not hold close up beyond its time.
#[tokio::test]
async fn a_deaf_peer_does_not_hold_up_close() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let pool = pool(&peer, |config| config.close_timeout = SECOND);
        round(&pool, &name(&peer)).await;
        peer.order(To::All, crate::support::peer::Order::Hang);
        let report = within("close", pool.close()).await;
        assert_eq!((report.closed, report.leases_left), (1, 0));
        assert!(report.took < 3 * SECOND, "{report:?}");
        finish(pool, peer).await;
    }
}

/// HTTP/2 says goodbye: GOAWAY and close_notify, not a bare end.
#[tokio::test]
async fn close_says_goodbye() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let pool = pool(&peer, |_| {});
        round(&pool, &name(&peer)).await;
        within("close", pool.close()).await;
        peer.wait_for("close_notify", |seen| (seen.close_notifies, seen.live) == (1, 0))
            .await;
        finish(pool, peer).await;
    }
}

/// Without close: the last handle ends every task, closes what is idle and ends the use of what is leased, at once even for one who waits
/// for an answer. The socket of an HTTP/1.1 lease goes with its holder.
#[tokio::test]
async fn dropping_the_last_handle_ends_everything() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let before = measure::alive_tasks() + usize::from(alpn == Alpn::Http2); // the holder of that lease waits for ever
        let pool = pool(&peer, |_| {});
        let (a, b) = (host(&peer, "a.peer.test"), host(&peer, "b.peer.test"));
        round(&pool, &a).await;
        let mut leased = lease(&pool, &b).await;
        use_up(&mut leased, "/").await;
        let waits = tokio::spawn(async move {
            match leased.protocol() {
                Protocol::Http1 => leased.read(&mut [0]).await,
                _ => std::future::pending().await,
            }
        });
        peer.next(To::All, 1, Act::StallAfterHello);
        let hangs = host(&peer, "c.peer.test");
        assert!(poll_times(Box::pin(pool.get(&hangs)), 50).await.is_none());
        peer.wait_for("idle, leased, hanging", |seen| seen.hellos == 3)
            .await;
        assert!(measure::alive_tasks() > before + 1);
        let clone = pool.clone();
        drop(pool);
        let_run().await;
        assert_eq!(peer.seen().live, 3, "a handle is left");
        drop(clone);
        measure::settles(DEADLINE, "tasks", before, measure::alive_tasks).await;
        if alpn == Alpn::Http1 {
            let read = within("the reader is told", waits).await.expect("no panic");
            assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
        }
        peer.wait_for("every socket is closed", |seen| seen.live == 0)
            .await;
        peer.shutdown().await;
    }
}

/// The longest intervals that are taken: nothing overflows, the pool serves, and closes at once.
#[tokio::test]
async fn intervals_may_be_as_long_as_they_like() {
    let peer = http1_peer();
    let longest = Duration::from_nanos(u64::MAX / 2);
    let (pool, clock) = manual_pool(&peer, |config| {
        (
            config.health_interval,
            config.cleanup_interval,
            config.blacklist_interval,
        ) = (longest, longest, longest);
        (config.leak_timeout, config.idle_timeout, config.max_lifetime) = (longest, longest, longest);
        (config.close_timeout, config.dns_refresh) = (longest, longest);
    });
    round(&pool, &name(&peer)).await;
    for span in [SECOND, 3600 * SECOND, 30 * 24 * 3600 * SECOND] {
        clock.advance(span);
        let_run().await;
        until(&pool, "no job has panicked", |stats| {
            stats.tasks.iter().all(|task| task.panics == 0)
        })
        .await;
    }
    let report = within("close", pool.close_within(Duration::MAX)).await;
    assert!(report.is_clean(), "{report:?}");
    at_rest(&pool).await;
    finish(pool, peer).await;
}
