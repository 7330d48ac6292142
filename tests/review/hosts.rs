//! `max_hosts`: the least recently used host goes, if any may go, and there are never more.

use std::time::Duration;

use hotpool::clock::{Clock, SystemClock};
use hotpool::{CloseReason, ErrorKind, Outcome};

use crate::support::measure::resident_bytes;
use crate::{config, got, let_run, staged, staged_by};

const SECOND: Duration = Duration::from_secs(1);

/// Every get that is refused for want of a place takes one host off the roll, which then counts no more.
#[tokio::test]
async fn a_refused_host_does_not_make_place_for_the_next() {
    let (_stage, pool, _clock) = staged(1, |config| config.max_hosts = 1);
    let lease = got(&pool, "a.test").await;
    let error = pool.get("b.test").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyHosts);
    let second = pool.get("c.test").await;
    let hosts = pool.stats().hosts.len();
    assert_eq!(hosts, 1, "max_hosts is 1; the second refusal: {:?}", second.err());
    drop(lease);
}

/// The one host is idle, and was used a second time: its place is free for whoever comes.
#[tokio::test]
async fn hosts_that_were_used_again_may_still_go() {
    let (_stage, pool, clock) = staged(1, |config| config.max_hosts = 1);
    drop(got(&pool, "a.test").await);
    clock.advance(SECOND);
    drop(got(&pool, "a.test").await);
    clock.advance(SECOND);
    drop(got(&pool, "b.test").await);
}

/// The same with many, by the clock of the system.
#[tokio::test]
async fn a_working_set_that_moves_on_is_followed() {
    let (_stage, pool) = staged_by(SystemClock::new(), |config| {
        config.max_hosts = 8;
        config.max_per_ip = 100;
    });
    for _ in 0..2 {
        for host in 0..8 {
            drop(got(&pool, &format!("old{host}.test")).await);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    drop(got(&pool, "new.test").await);
}

/// After a refusal the hosts that are known can be let go as before.
#[tokio::test]
async fn a_host_that_was_busy_once_may_go_later() {
    let (_stage, pool, clock) = staged(1, |config| config.max_hosts = 2);
    let leases = [got(&pool, "a.test").await, got(&pool, "b.test").await];
    for _ in 0..2 {
        let _ = pool.get("c.test").await;
    }
    drop(leases);
    let_run().await;
    for host in 0..10 {
        clock.advance(SECOND);
        let _ = pool.get(format!("n{host}.test")).await;
    }
    assert!(
        pool.stats().hosts.len() <= 2,
        "{} hosts",
        pool.stats().hosts.len()
    );
}

/// Three, and two may stay: one goes.
#[tokio::test]
async fn as_many_hosts_stay_as_may_be() {
    let (_stage, pool, clock) = staged(1, |_| {});
    for host in ["a.test", "b.test", "c.test"] {
        drop(got(&pool, host).await);
        clock.advance(SECOND);
    }
    pool.manager()
        .update_config(config(|config| config.max_hosts = 2))
        .unwrap();
    let stats = pool.stats();
    assert_eq!(stats.hosts.len(), 2);
    assert_eq!(stats.counters.closes(CloseReason::Evicted), 1);
}

/// A 403 blocks for fifteen minutes from when it was reported, however long ago anybody asked.
#[tokio::test]
async fn a_block_outlives_the_last_get() {
    let minute = 60 * SECOND;
    let (_stage, pool, clock) = staged(1, |_| {});
    let lease = got(&pool, "a.test").await;
    clock.advance(10 * minute);
    lease.report(Outcome::Status(403));
    drop(lease);
    for _ in 0..30 {
        clock.advance(minute / 5);
        let_run().await;
    }
    assert!(clock.now().as_nanos() < 17 * 60_000_000_000);
    let error = pool.get("a.test").await;
    assert_eq!(error.map(drop).unwrap_err().kind(), ErrorKind::Blocked);
}

/// At no moment are there more, however many come at once.
#[test]
fn there_are_never_more_hosts_than_may_be() {
    let (_stage, pool, _clock) = staged(1, |config| config.max_hosts = 2);
    let most = std::thread::scope(|scope| {
        let comer = |thread: u32| {
            let pool = &pool;
            move || {
                let mut most = 0;
                for host in 0..20_000_u32 {
                    // Outside any runtime: an error at once, and a host that nobody uses.
                    let name = format!("10.{thread}.{}.{}", host / 250, host % 250 + 1);
                    let _ = crate::poll_once(Box::pin(pool.get(&name)).as_mut());
                    most = most.max(pool.stats().hosts.len());
                }
                most
            }
        };
        let comers = [1, 2, 3, 4].map(|thread| scope.spawn(comer(thread)));
        comers.map(|comer| comer.join().unwrap()).into_iter().max()
    });
    assert!(most <= Some(2), "{most:?} hosts at once");
}

/// Hosts that are forgotten leave nothing, not even a place in the order of deadlines. To be run by itself: it weighs the process.
#[test]
#[ignore = "weighs the whole process: --ignored --test-threads=1"]
fn what_is_forgotten_weighs_nothing() {
    let (_stage, pool, _clock) = staged(1, |config| {
        config.max_hosts = 10;
        config.idle_timeout = 24 * 3600 * SECOND;
    });
    let come = |from: u32, to: u32| {
        for host in from..to {
            let name = std::net::Ipv4Addr::from(0x0a00_0001 + host).to_string();
            let _ = crate::poll_once(Box::pin(pool.get(&name)).as_mut());
        }
    };
    come(0, 50_000);
    let before = resident_bytes();
    come(50_000, 1_050_000);
    let grown = resident_bytes().saturating_sub(before);
    assert_eq!(pool.stats().hosts.len(), 10);
    assert!(grown < 4 << 20, "a million hosts later: {grown} bytes more");
}
