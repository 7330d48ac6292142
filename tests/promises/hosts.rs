//! `max_hosts`: the least recently used host goes, if any may go, and there are never more.

use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;

use hotpool::clock::{Clock, SystemClock};
use hotpool::{CloseReason, ErrorKind, Outcome};

use crate::{config, got, let_run, poll_once, staged, staged_by};

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

/// A 403 blocks for fifteen minutes from when it was reported, however long ago anybody asked, unless the address is tried and proves itself.
#[tokio::test]
async fn a_block_outlives_the_last_get() {
    let minute = 60 * SECOND;
    let (_stage, pool, clock) = staged(1, |config| config.blacklist_interval = 60 * minute);
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

/// Four threads ask for hosts beyond the limit while all that are known are in use: each is refused, and none waits for the others for ever.
#[test]
fn a_crowd_beyond_the_limit_of_hosts_is_refused() {
    const HOSTS: u32 = 1_000;
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let (_stage, pool, _clock) = staged(1, |config| {
            config.max_hosts = HOSTS;
            config.max_connections = HOSTS;
            config.max_per_ip = HOSTS;
        });
        let leases: Vec<_> = (0..HOSTS)
            .map(|number| runtime.block_on(got(&pool, &format!("h{number}.test"))))
            .collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let pool = &pool;
                scope.spawn(move || {
                    for number in 0..100 {
                        let mut asks = pin!(pool.get(format!("t{thread}n{number}.test")));
                        let refused = poll_once(asks.as_mut()).expect("an answer at once");
                        assert_eq!(refused.map(drop).unwrap_err().kind(), ErrorKind::TooManyHosts);
                    }
                });
            }
        });
        let _ = told.send(leases.len());
    });
    assert_eq!(
        heard.recv_timeout(Duration::from_secs(60)),
        Ok(HOSTS as usize),
        "they wait for each other"
    );
}
