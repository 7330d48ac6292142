//! Which hosts a pool knows, and by which names.

use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::Stage;
use hotpool::{ErrorKind, HotConnPool, Phase, Returned};

use super::{lease, poll_once};
use crate::common::{config, finish, host, http1_peer, manual_pool, name, pool, round, use_up};
use crate::support::peer::{Act, Order, Peer, To};

const SECOND: Duration = Duration::from_secs(1);

fn hosts<const N: usize>(peer: &Peer) -> [String; N] {
    let letters = ["a", "b", "c", "d"];
    std::array::from_fn(|index| host(peer, &format!("{}.peer.test", letters[index])))
}

/// The hosts that the pool knows, in order.
fn known(pool: &HotConnPool) -> Vec<String> {
    let mut known: Vec<_> = pool
        .stats()
        .hosts
        .iter()
        .map(|host| host.target.to_string())
        .collect();
    known.sort();
    known
}

#[tokio::test]
async fn the_host_that_was_used_longest_ago_goes() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.max_hosts = 3);
    let [a, b, c, d] = hosts(&peer);
    for host in [&a, &b, &c, &a] {
        round(&pool, host).await;
        clock.advance(SECOND);
    }
    round(&pool, &d).await;
    assert_eq!(known(&pool), [a.clone(), c.clone(), d.clone()]);
    peer.wait_for("its idle connection is closed", |seen| seen.live == 3)
        .await;
    clock.advance(SECOND);
    // Its time was put right when its turn to go came: now it is the next.
    drop(pool.try_get(&c).unwrap().expect("idle"));
    clock.advance(SECOND);
    round(&pool, &b).await;
    assert_eq!(known(&pool), [b, c, d]);
    assert_eq!(
        pool.stats().counters.opened,
        5,
        "what the forgotten had counted is kept"
    );
    finish(pool, peer).await;
}

/// A pool that sees many hosts keeps nothing of those that it has let go.
#[tokio::test]
async fn hosts_that_come_and_go_leave_nothing() {
    let stage = Stage::new(4);
    let pool = stage
        .pool(config(|config| config.max_hosts = 100), ManualClock::new())
        .unwrap();
    for number in 0..5_000 {
        drop(lease(&pool, &format!("h{number}.test")).await);
    }
    let (keys, entries) = pool.manager().on_the_wheel();
    assert_eq!((pool.stats().hosts.len(), keys), (100, 100));
    assert!(entries <= 2 * keys + 512, "{entries} entries for {keys} hosts");
    pool.manager().assert_invariants();
}

#[tokio::test]
async fn hosts_in_use_stay() {
    let peer = http1_peer();
    // Time stands still: all were used at the same moment, and yet only those in use stay.
    let (pool, _) = manual_pool(&peer, |config| config.max_hosts = 2);
    let [a, b, c, _] = hosts(&peer);
    let mut leased = lease(&pool, &a).await;
    peer.next(To::All, 1, Act::StallAfterHello);
    let mut dialled = Box::pin(pool.get(&b));
    assert!(poll_once(dialled.as_mut()).await.is_none());
    peer.wait_for("b is dialled", |seen| seen.hellos == 2).await;
    let error = pool.get(&c).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::TooManyHosts, Phase::Acquire)
    );
    assert_eq!(error.target(), Some(c.as_str()));
    assert_eq!(known(&pool), [a.clone(), b.clone()]);
    // A dial under way is use as well, though nobody waits for it any more.
    drop(dialled);
    assert_eq!(pool.get(&c).await.unwrap_err().kind(), ErrorKind::TooManyHosts);
    peer.order(To::Conn(2), Order::Reset);
    crate::common::until(&pool, "it is over", |stats| stats.dialling == 0).await;
    round(&pool, &c).await;
    assert_eq!(known(&pool), [a.clone(), c]);
    assert_eq!(use_up(&mut leased, "/").await.status, 200);
    assert_eq!(pool.put(leased), Returned::Kept);
    finish(pool, peer).await;
}

/// However many there are: a refusal looks at nobody who was found in use before, and one that comes home makes room at once.
#[tokio::test]
async fn a_host_in_use_is_looked_at_once() {
    let stage = Stage::new(4);
    let few = config(|config| {
        config.max_hosts = 20;
        config.max_per_ip = 20;
    });
    let pool = stage.pool(few, ManualClock::new()).unwrap();
    let mut leases = Vec::new();
    for number in 0..20 {
        leases.push(lease(&pool, &format!("h{number}.test")).await);
    }
    for number in 0..3 {
        let error = pool.get(format!("more{number}.test")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyHosts);
        assert_eq!(pool.manager().on_the_roll(), 0, "hosts to be looked at");
    }
    drop(leases.pop());
    assert_eq!(pool.manager().on_the_roll(), 1, "the one that came home");
    leases.pop().unwrap().discard();
    assert_eq!(pool.manager().on_the_roll(), 2, "the one that was closed, too");
    for number in 0..2 {
        leases.push(lease(&pool, &format!("last{number}.test")).await);
    }
    assert_eq!(known(&pool).len(), 20);
    drop(leases);
    assert_eq!(pool.manager().on_the_roll(), 20);
    pool.manager().assert_invariants();
}

/// All of them were used again since they came to be known: that is not to be in use.
#[tokio::test]
async fn who_was_used_again_may_go_in_its_turn() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.max_hosts = 2);
    let [a, b, c, _] = hosts(&peer);
    for host in [&a, &b, &b, &a] {
        round(&pool, host).await;
        clock.advance(SECOND);
    }
    round(&pool, &c).await;
    assert_eq!(known(&pool), [a, c]);
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_lower_limit_of_hosts_keeps_as_many_as_it_says() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let all: [String; 4] = hosts(&peer);
    for host in &all {
        round(&pool, host).await;
        clock.advance(SECOND);
    }
    let fewer = config(|config| config.max_hosts = 2);
    pool.manager().update_config(fewer).unwrap();
    assert_eq!(known(&pool), all[2..]);
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_lower_limit_of_hosts_holds_at_once() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let all: [String; 4] = hosts(&peer);
    let leased = lease(&pool, &all[0]).await;
    for host in &all[1..] {
        clock.advance(SECOND);
        round(&pool, host).await;
    }
    let fewer = config(|config| config.max_hosts = 2);
    pool.manager().update_config(fewer).unwrap();
    assert_eq!(
        known(&pool),
        [all[0].clone(), all[3].clone()],
        "the one in use and the one used last"
    );
    peer.wait_for("their connections are closed", |seen| seen.live == 2)
        .await;
    drop(leased);
    finish(pool, peer).await;
}

/// Written any way, it is one host: one connection serves all spellings, whichever came first.
#[tokio::test]
async fn every_spelling_reaches_the_same_host() {
    let peer = http1_peer();
    let port = peer.port();
    let uri: http::Uri = format!("https://Peer.Test:{port}/path?query").parse().unwrap();
    let spellings = ["PEER.test", "peer.test.", "Peer.TEST.", "peer.test"];
    for first in 0..spellings.len() {
        let pool = pool(&peer, |_| {});
        let turns = spellings.iter().cycle().skip(first).take(spellings.len());
        let mut serials = Vec::new();
        for spelling in turns {
            serials.push(lease(&pool, &format!("{spelling}:{port}")).await.info().serial);
        }
        serials.push(pool.get(&uri).await.unwrap().info().serial);
        let owned = format!("PEER.TEST.:{port}");
        serials.push(pool.try_get(owned).unwrap().expect("idle").info().serial);
        assert_eq!(serials, [1; 6], "{} first", spellings[first]);
        assert_eq!(known(&pool), [name(&peer)]);
        pool.close().await;
    }
    peer.wait_for("all closed", |seen| seen.live == 0).await;
}

/// An endpoint is its name: the same connections, in its own pool and in another.
#[tokio::test]
async fn an_endpoint_is_the_host_of_its_name() {
    let peer = http1_peer();
    let (own, foreign) = (pool(&peer, |_| {}), pool(&peer, |_| {}));
    let name = name(&peer);
    let endpoint = own.endpoint(&name).unwrap();
    assert_eq!(endpoint.target().as_str(), name);
    for pool in [&own, &foreign] {
        let first = crate::common::within("by endpoint", pool.get(&endpoint))
            .await
            .unwrap();
        drop(first);
        assert_eq!(lease(pool, &name).await.info().serial, 1);
        assert_eq!(pool.get(&endpoint).await.unwrap().info().serial, 1);
        assert_eq!(pool.try_get(&endpoint).unwrap().expect("idle").info().serial, 1);
        assert_eq!(pool.manager().connections_for_host(&endpoint).unwrap().len(), 1);
        assert_eq!(known(pool), [name.as_str()]);
    }
    assert_eq!(peer.seen().accepts, 2, "one for each pool");
    foreign.close().await;
    finish(own, peer).await;
}
