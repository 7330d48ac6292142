//! A pause: nothing is handed out and nothing dialled, and who asks waits.

use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::Stage;
use hotpool::{ErrorKind, GetOptions, Returned, Warm};

use super::{lease, poll_once};
use crate::common::{config, finish, host, http1_peer, let_run, manual_pool, name, poll_times, pool, within};

#[tokio::test]
async fn while_paused_known_hosts_hand_out_nothing() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let leased = lease(&pool, &name).await;
    pool.manager().pause();
    let mut waits = Box::pin(pool.get(&name));
    assert!(poll_once(waits.as_mut()).await.is_none());
    assert_eq!(pool.put(leased), Returned::Kept, "what comes home rests");
    assert!(poll_times(waits.as_mut(), 100).await.is_none());
    assert!(pool.try_get(&name).unwrap().is_none());
    assert_eq!((pool.stats().idle, peer.seen().accepts), (1, 1));
    pool.manager().resume();
    assert_eq!(
        poll_once(waits.as_mut())
            .await
            .expect("served")
            .unwrap()
            .info()
            .serial,
        1
    );
    drop(waits);
    finish(pool, peer).await;
}

#[tokio::test]
async fn while_paused_new_hosts_are_not_dialled() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    pool.manager().pause();
    let mut waits = Box::pin(pool.get(&name));
    assert!(poll_times(waits.as_mut(), 200).await.is_none());
    assert_eq!((pool.stats().dialling, peer.seen().accepts), (0, 0));
    pool.manager().resume();
    drop(within("dialled now", waits).await.unwrap());
    finish(pool, peer).await;
}

/// Opening connections before anybody asks is dialling, too.
#[tokio::test]
async fn while_paused_nothing_is_warmed() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    pool.manager().pause();
    let report = within("warm", pool.warm(&name, Warm::Count(2), GetOptions::new()))
        .await
        .unwrap();
    assert_eq!((report.opened, peer.seen().accepts), (0, 0));
    pool.manager().resume();
    let report = within("warm", pool.warm(&name, Warm::Count(2), GetOptions::new()))
        .await
        .unwrap();
    assert_eq!(report.opened, 2);
    finish(pool, peer).await;
}

#[tokio::test]
async fn who_waits_for_the_end_of_a_pause_has_a_timeout() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    drop(lease(&pool, &name).await);
    pool.manager().pause();
    for name in [&name, &other] {
        let mut waits = Box::pin(pool.get(name));
        assert!(poll_once(waits.as_mut()).await.is_none());
        clock.advance(Duration::from_secs(30));
        let error = within("the timeout", waits).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    let_run().await;
    pool.manager().resume();
    let_run().await;
    assert_eq!(pool.stats().leases, 0, "nobody is there any more");
    finish(pool, peer).await;
}

/// Its dial had not begun: it waits as others do, and is made after the pause.
#[tokio::test]
async fn who_warms_when_a_pause_comes_goes_on_after_it() {
    let stage = Stage::new(1);
    let one = config(|config| config.max_connections = 1);
    let pool = stage.pool(one, ManualClock::new()).unwrap();
    let held = lease(&pool, "a.test").await;
    let mut warm = Box::pin(pool.warm("b.test", Warm::Count(1), GetOptions::new()));
    assert!(poll_times(warm.as_mut(), 20).await.is_none());
    assert_eq!(pool.stats().dialling, 1, "it waits for a permit");
    pool.manager().pause();
    held.discard();
    assert!(poll_times(warm.as_mut(), 100).await.is_none());
    assert_eq!((pool.stats().dialling, stage.dials()), (0, 1));
    pool.manager().resume();
    let report = within("warm", warm).await.unwrap();
    assert_eq!((report.opened, report.errors.len()), (1, 0), "{report:?}");
    pool.manager().assert_invariants();
}
