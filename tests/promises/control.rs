//! Ruling a pool while it runs.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use hotpool::scripted::Act;
use hotpool::{CloseReason, GetOptions, HotConn, Phase, ReuseCheck, Warm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::peer::{Order, To};
use crate::{builder, config, got, h1_peer, let_run, name, staged};

/// "Hands nothing out and dials nothing from now on."
#[tokio::test]
async fn a_paused_pool_dials_nothing() {
    let (stage, pool, _clock) = staged(1, |_| {});
    pool.manager().pause();
    let _ = pool.warm("a.test", Warm::Count(2), GetOptions::new()).await;
    assert_eq!(stage.dials(), 0, "dials of a paused pool");
}

/// Dials that wait for a permit when the pool is paused do not begin.
#[tokio::test]
async fn a_paused_pool_begins_no_dial_that_was_ordered() {
    let (stage, pool, _clock) = staged(1, |config| config.max_connections = 1);
    let lease = got(&pool, "a.test").await;
    let mut waiting = Box::pin(pool.get("b.test"));
    assert!(crate::poll_once(waiting.as_mut()).is_none());
    let_run().await;
    assert_eq!(stage.dials(), 1);
    pool.manager().pause();
    lease.discard();
    let_run().await;
    assert_eq!(stage.dials(), 1, "dials of a paused pool");
}

const REQUEST: &[u8] = b"GET /status/204 HTTP/1.1\r\nhost: peer.test\r\n\r\n";

/// One exchange without a body.
async fn asked(lease: &mut HotConn) -> std::io::Result<u16> {
    lease.write_all(REQUEST).await?;
    lease.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(lease.read_u8().await?);
    }
    Ok(if head.starts_with(b"HTTP/1.1 204") { 200 } else { 0 })
}

/// "Puts other settings in force, at once and for all hosts", and `config()` says so: connections that are dialled from now on are checked so.
#[tokio::test]
async fn the_reuse_check_can_be_changed() {
    let unasked = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    for at_birth in [true, false] {
        let peer = h1_peer();
        let check = |config: &mut hotpool::PoolConfig| config.reuse_check = ReuseCheck::Peek;
        let pool = match at_birth {
            true => builder(&peer).config(config(check)).build().unwrap(),
            false => {
                let pool = builder(&peer).build().unwrap();
                pool.manager().update_config(config(check)).unwrap();
                pool
            }
        };
        assert_eq!(pool.manager().config().reuse_check, ReuseCheck::Peek);
        let mut lease = got(&pool, &name(&peer)).await;
        assert_eq!(asked(&mut lease).await.unwrap(), 200);
        peer.order(To::All, Order::Send(unasked.clone()));
        // The reactor of this runtime has no turn: only the socket knows.
        std::thread::sleep(Duration::from_millis(300));
        let written = lease.write(REQUEST).await;
        assert!(written.is_err(), "Peek, said at birth: {at_birth}");
    }
}

/// "Where it shrank, idle connections close, the longest idle first".
#[tokio::test]
async fn the_cap_of_an_address_can_shrink() {
    let (_stage, pool, _clock) = staged(1, |_| {});
    let leases = [
        got(&pool, "a.test").await,
        got(&pool, "b.test").await,
        got(&pool, "c.test").await,
    ];
    drop(leases);
    pool.manager()
        .update_config(config(|config| config.max_per_ip = 1))
        .unwrap();
    let_run().await;
    assert_eq!(pool.size(), 1, "connections to one address");
}

/// The time after which a lease counts as leaked is in force at once, too.
#[tokio::test]
async fn the_leak_timeout_can_shrink() {
    let (_stage, pool, clock) = staged(1, |_| {});
    let lease = got(&pool, "a.test").await;
    let_run().await;
    pool.manager()
        .update_config(config(|config| config.leak_timeout = Duration::from_secs(2)))
        .unwrap();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        let_run().await;
    }
    assert_eq!(pool.stats().counters.leaked, 1, "after 20 s");
    drop(lease);
}

/// Whichever of two that come at once is the last: all hosts are paused then, or none.
#[test]
fn pause_and_resume_at_once_leave_one_state() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (_stage, pool, _clock) = staged(200, |config| {
        config.max_connections = 1000;
        config.max_per_ip = 1000;
    });
    let names: Vec<_> = (0..64).map(|host| format!("h{host}.test")).collect();
    for name in &names {
        runtime.block_on(async { drop(got(&pool, name).await) });
    }
    for round in 0..20_000 {
        let barrier = Arc::new(Barrier::new(2));
        std::thread::scope(|scope| {
            let (other, manager) = (Arc::clone(&barrier), pool.manager());
            scope.spawn(move || {
                other.wait();
                manager.pause();
            });
            barrier.wait();
            manager.resume();
        });
        let served = names
            .iter()
            .filter(|name| pool.try_get(name.as_str()).unwrap().is_some())
            .count();
        assert!(
            served == 0 || served == names.len(),
            "round {round}: {served} of {} hosts hand out",
            names.len()
        );
    }
}

/// A caller's own code that panics in `retain` costs no permit.
#[tokio::test]
async fn a_panic_in_retain_costs_no_permit() {
    let (_stage, pool, _clock) = staged(1, |config| {
        config.max_connections = 100;
        config.max_per_ip = 100;
        config.acquire_timeout = Duration::from_secs(5);
    });
    let mut leases = Vec::new();
    for host in 0..100 {
        leases.push(got(&pool, &format!("h{host}.test")).await);
    }
    drop(leases);
    let mut seen = 0;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        pool.manager().retain(|_| {
            seen += 1;
            assert!(seen < 60, "the caller's own trouble");
            false
        })
    }));
    assert!(panicked.is_err());
    pool.manager().retain(|_| false);
    assert_eq!(pool.size(), 0);
    // Everything is closed: a hundred may be opened.
    let mut leases = Vec::new();
    for host in 0..100 {
        let name = format!("n{host}.test");
        let mut get = Box::pin(pool.get(&name));
        let mut conn = None;
        for _ in 0..50 {
            conn = crate::poll_once(get.as_mut());
            if conn.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        leases.push(
            conn.unwrap_or_else(|| panic!("only {host} of 100 permits are left"))
                .unwrap(),
        );
    }
}

/// The caller's closure may look at the pool that it rules.
#[test]
fn retain_may_look_at_its_pool() {
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (_stage, pool, _clock) = staged(1, |_| {});
        runtime.block_on(async { drop(got(&pool, "a.test").await) });
        let gone = pool.manager().retain(|_| pool.size() < 10);
        let _ = told.send(gone);
    });
    let gone = heard.recv_timeout(Duration::from_secs(5));
    assert_eq!(gone, Ok(0), "deadlock");
}

/// Removed as it should be: a check of the test's own tools.
#[tokio::test]
async fn evicting_an_address_counts_once() {
    let (_stage, pool, _clock) = staged(1, |_| {});
    let lease = got(&pool, "a.test").await;
    let ip: IpAddr = lease.info().remote.ip();
    assert_eq!((pool.manager().evict_ip(ip), pool.manager().evict_ip(ip)), (1, 0));
    assert_eq!(pool.put(lease), hotpool::Returned::Closed(CloseReason::Removed));
}

/// Dials that were under way when the cap shrank bring no more than may be.
#[tokio::test]
async fn what_was_being_dialled_counts_under_the_new_cap() {
    let (stage, pool, _clock) = staged(1, |_| {});
    drop(got(&pool, "a.test").await); // known to speak HTTP/1.1
    pool.manager().evict_host("a.test").unwrap();
    let mut gets = Vec::new();
    for _ in 0..4 {
        stage.next(Phase::Connect, Act::Slow(3000));
        let mut get = Box::pin(pool.get("a.test"));
        assert!(crate::poll_once(get.as_mut()).is_none());
        gets.push(get);
    }
    tokio::task::yield_now().await;
    drop(gets);
    assert_eq!(pool.stats().dialling, 4);
    pool.manager()
        .update_config(config(|config| config.max_per_host = 1))
        .unwrap();
    while pool.stats().dialling > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.size(), 1, "max_per_host is 1");
}
