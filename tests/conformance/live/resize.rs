//! Other settings for a pool at work.

use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::Stage;
use hotpool::{CloseReason, GetOptions, PoolConfig, Warm};

use super::{lease, poll_once};
use crate::common::{config, finish, host, http1_peer, let_run, manual_pool, name, poll_times, pool, within};

const SECOND: Duration = Duration::from_secs(1);

/// Who waits at the cap of all is dialled for as soon as that grows.
#[tokio::test]
async fn a_higher_total_is_used_at_once() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_connections = 1);
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    let leased = lease(&pool, &name).await;
    let mut waits = Box::pin(pool.get(&other));
    assert!(poll_times(waits.as_mut(), 100).await.is_none());
    let more = config(|config| config.max_connections = 2);
    pool.manager().update_config(more).unwrap();
    drop(within("room", waits).await.unwrap());
    assert_eq!(pool.size(), 2);
    drop(leased);
    finish(pool, peer).await;
}

/// Too many are idle: those that have been for longest go, whatever their host; what is leased may stay out.
#[tokio::test]
async fn a_lower_total_closes_the_longest_idle() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let hosts = ["a", "b", "c"].map(|letter| host(&peer, &format!("{letter}.peer.test")));
    let leased = lease(&pool, &name(&peer)).await;
    for host in &hosts {
        clock.advance(SECOND);
        drop(lease(&pool, host).await);
    }
    let fewer = config(|config| config.max_connections = 2);
    pool.manager().update_config(fewer).unwrap();
    let mapping = pool.manager().host_mapping();
    assert_eq!(pool.size(), 2, "{mapping:?}");
    assert!(mapping.contains_key(hosts[2].as_str()), "{mapping:?}");
    assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 2);
    let none = config(|config| config.max_connections = 1);
    pool.manager().update_config(none).unwrap();
    assert_eq!((pool.size(), pool.stats().leases), (1, 1));
    peer.wait_for("one is left", |seen| seen.live == 1).await;
    drop(leased);
    finish(pool, peer).await;
}

/// What is due by a shorter time goes now, and by itself.
#[tokio::test]
async fn a_shorter_idle_time_closes_what_is_due() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    drop(lease(&pool, &name).await);
    clock.advance(10 * SECOND);
    drop(lease(&pool, &other).await);
    let_run().await;
    let shorter = config(|config| config.idle_timeout = 5 * SECOND);
    pool.manager().update_config(shorter).unwrap();
    clock.advance(SECOND);
    let_run().await;
    assert_eq!(pool.size(), 1, "idle for ten seconds already");
    clock.advance(4 * SECOND);
    let_run().await;
    clock.advance(SECOND);
    let_run().await;
    assert_eq!(pool.size(), 0);
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 2);
    finish(pool, peer).await;
}

/// A bad setting is refused by its name, and nothing of the others is in force.
#[tokio::test]
async fn bad_settings_change_nothing() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let bad = config(|config| (config.max_per_host, config.max_dials) = (1, 0));
    assert_eq!(
        pool.manager().update_config(bad).unwrap_err().field(),
        "max_dials"
    );
    assert_eq!(*pool.manager().config(), PoolConfig::default());
    drop([lease(&pool, &name).await, lease(&pool, &name).await]);
    finish(pool, peer).await;
}

/// A dial that has a place under the host's limit, and waits for a permit of the pool's, has to keep the limit that is in force when it begins.
#[tokio::test]
async fn who_waits_to_dial_keeps_a_lower_limit() {
    let stage = Stage::new(1);
    let one = config(|config| config.max_connections = 1);
    let pool = stage.pool(one, ManualClock::new()).unwrap();
    drop(lease(&pool, "b.test").await); // what it speaks is known from now on
    let held = lease(&pool, "a.test").await;
    let mut gets: Vec<_> = (0..10).map(|_| Box::pin(pool.get("b.test"))).collect();
    for get in &mut gets {
        assert!(poll_once(get.as_mut()).await.is_none());
    }
    assert_eq!(pool.stats().dialling, 10, "each has a right to dial");
    let lower = config(|config| config.max_per_host = 1);
    pool.manager().update_config(lower).unwrap();
    assert_eq!(pool.stats().dialling, 1);
    let served = within("the first", gets.remove(0)).await.unwrap();
    assert_eq!(pool.size(), 2);
    drop(served);
    for get in gets {
        drop(within("one after the other", get).await.unwrap());
    }
    drop(held);
    pool.manager().assert_invariants();
}

/// It opens what the limits in force allow, as if they had been so from the start.
#[tokio::test]
async fn who_warms_keeps_a_lower_limit() {
    let stage = Stage::new(1);
    let one = config(|config| config.max_connections = 1);
    let pool = stage.pool(one, ManualClock::new()).unwrap();
    let held = lease(&pool, "a.test").await;
    let mut warm = Box::pin(pool.warm("b.test", Warm::Count(3), GetOptions::new()));
    assert!(poll_times(warm.as_mut(), 20).await.is_none());
    assert_eq!(pool.stats().dialling, 3);
    let lower = config(|config| config.max_per_host = 1);
    pool.manager().update_config(lower).unwrap();
    let report = within("warm", warm).await.unwrap();
    assert_eq!((report.opened, report.errors.len()), (1, 0), "{report:?}");
    drop(held);
    pool.manager().assert_invariants();
}
