//! What the pool does by itself.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hotpool::clock::{Clock, ManualClock, Moment, Sleep};
use hotpool::scripted::{Act, Stage};
use hotpool::{
    AllBlocked, Answer, CloseReason, GetOptions, Health, HotConnPool, Outcome, Phase, PoolConfig, Resolve,
    Resolving, Resting, Returned, SourcePolicy, StaticSources, StatusValidator, Tls, Trouble, Warm,
};
use parking_lot::Mutex;

use super::{lease, poll_once};
use crate::common::{
    at_rest, builder, config, finish, host, http1_peer, let_run, manual_pool, name, resolver, round, until,
    within,
};
use crate::support::certs;
use crate::support::peer::{Alpn, Order, Peer, To};

const SECOND: Duration = Duration::from_secs(1);

/// Lets the jobs have their turns while so many seconds go by.
async fn pass(clock: &ManualClock, seconds: u64) {
    for _ in 0..seconds {
        clock.advance(SECOND);
        let_run().await;
    }
}

/// The peer, which hangs, was asked for a sign of life, and gives it now.
async fn is_asked_and_answers(pool: &HotConnPool, peer: &Peer) {
    assert_eq!(
        pool.health(),
        Health::Degraded(vec![Trouble::Unanswered { connections: 1 }])
    );
    peer.order(To::All, Order::Resume);
    until(pool, "it answered", |stats| stats.idle == 1).await;
    assert_eq!(pool.health(), Health::Healthy);
}

/// An idle HTTP/2 connection whose peer has gone silent is asked, serves nobody from then on, and closes when the answer stays away.
#[tokio::test]
async fn silent_http2_is_found_within_an_interval_and_an_answer_s_time() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, clock) = manual_pool(&peer, |config| config.health_interval = 30 * SECOND);
    round(&pool, &name(&peer)).await;
    peer.order(To::All, Order::Hang);
    let_run().await;
    pass(&clock, 29).await;
    assert_eq!(pool.health(), Health::Healthy);
    pass(&clock, 1).await;
    assert_eq!(
        pool.health(),
        Health::Degraded(vec![Trouble::Unanswered { connections: 1 }])
    );
    assert!(
        pool.try_get(name(&peer)).unwrap().is_none(),
        "handed out in doubt"
    );
    pass(&clock, 5).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::Unresponsive), 1);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// One that answers is as it was, and no younger.
#[tokio::test]
async fn a_check_is_no_use() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, clock) = manual_pool(&peer, |config| {
        (config.health_interval, config.idle_timeout) = (20 * SECOND, 50 * SECOND);
    });
    round(&pool, &name(&peer)).await;
    let_run().await;
    for _ in 0..2 {
        peer.order(To::All, Order::Hang);
        pass(&clock, 20).await;
        is_asked_and_answers(&pool, &peer).await;
    }
    pass(&clock, 11).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 1);
    finish(pool, peer).await;
}

#[tokio::test]
async fn the_dead_are_replaced_down_to_the_minimum() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| {
        (config.min_idle, config.health_interval) = (2, 10 * SECOND);
    });
    round(&pool, &name(&peer)).await;
    let_run().await;
    pass(&clock, 10).await;
    until(&pool, "as many as are to rest", |stats| stats.idle == 2).await;
    peer.order(To::All, Order::Close);
    until(&pool, "both died", |stats| stats.total == 0).await;
    pass(&clock, 10).await;
    until(&pool, "and are replaced", |stats| stats.idle == 2).await;
    pass(&clock, 20).await;
    assert_eq!(pool.stats().counters.opened, 4, "and no more");
    finish(pool, peer).await;
}

/// Its replacement stands before it goes: at no moment does nothing rest.
#[tokio::test]
async fn who_will_be_over_soon_is_replaced_before() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| {
        (config.min_idle, config.health_interval) = (1, 10 * SECOND);
        (config.max_lifetime, config.lifetime_jitter, config.idle_timeout) = (60 * SECOND, 0, 3600 * SECOND);
    });
    round(&pool, &name(&peer)).await;
    let_run().await;
    for second in 0..70 {
        pass(&clock, 1).await;
        until(&pool, "the dial ends", |stats| stats.dialling == 0).await;
        let stats = pool.stats();
        assert!((1..=2).contains(&stats.idle), "{second} s: {stats:?}");
        if stats.counters.closes(CloseReason::Lifetime) > 0 {
            break;
        }
    }
    assert_eq!(pool.stats().counters.closes(CloseReason::Lifetime), 1);
    finish(pool, peer).await;
}

/// Nobody waits for what is refilled: it takes nobody's place.
#[tokio::test]
async fn a_refill_takes_no_other_s_place() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| {
        (config.min_idle, config.health_interval, config.max_connections) = (2, 10 * SECOND, 3);
    });
    for known in ["a.peer.test", "b.peer.test", "c.peer.test"] {
        round(&pool, &host(&peer, known)).await;
    }
    let_run().await;
    pass(&clock, 40).await;
    let stats = pool.stats();
    assert_eq!((stats.total, stats.counters.opened), (3, 3), "{stats:?}");
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_policy_of_one_s_own_closes_what_rests_and_nothing_in_use() {
    let peer = http1_peer();
    let clock = ManualClock::new();
    let policy = |conn: Resting<'_>| conn.idle < 20 * SECOND || conn.info.target.starts_with("b.");
    let pool = builder(&peer, |config| config.cleanup_interval = 10 * SECOND);
    let pool = pool.clock(clock.clone()).cleanup_policy(policy).build().unwrap();
    let names = ["a.peer.test", "b.peer.test", "c.peer.test"].map(|known| host(&peer, known));
    for name in &names {
        round(&pool, name).await;
    }
    let held = lease(&pool, &names[2]).await;
    let_run().await;
    pass(&clock, 15).await;
    assert_eq!(pool.size(), 3);
    pass(&clock, 20).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::Removed), 1);
    let left = pool.manager().host_mapping();
    assert_eq!(left.len(), 2, "{left:?}");
    drop(held);
    finish(pool, peer).await;
}

#[tokio::test]
async fn each_clean_up_closes_its_own_and_counts_it() {
    let peer = http1_peer();
    let long = |config: &mut PoolConfig| {
        (config.idle_timeout, config.max_lifetime, config.lifetime_jitter) = (60 * SECOND, 300 * SECOND, 0);
    };
    let (pool, clock) = manual_pool(&peer, long);
    let manager = pool.manager();
    let (a, b) = (host(&peer, "a.peer.test"), host(&peer, "b.peer.test"));
    let held = lease(&pool, &a).await;
    round(&pool, &a).await;
    round(&pool, &b).await;
    assert_eq!(
        (
            manager.cleanup_idle(),
            manager.cleanup_expired(),
            manager.cleanup_unhealthy()
        ),
        (0, 0, 0)
    );
    clock.advance(60 * SECOND); // nobody else has had a turn yet
    assert_eq!(
        (
            manager.cleanup_expired(),
            manager.cleanup_idle(),
            manager.cleanup_idle()
        ),
        (0, 2, 0)
    );
    drop(held);
    clock.advance(30 * SECOND);
    round(&pool, &a).await;
    clock.advance(20 * SECOND);
    peer.order(To::All, Order::Close);
    // Its end is in the socket; no task of the pool has had a turn.
    std::thread::sleep(Duration::from_millis(200));
    tokio::task::yield_now().await;
    let closed = manager.cleanup_unhealthy();
    let dead = pool.stats().counters.closes(CloseReason::PeerClosed);
    assert_eq!(dead, 1);
    assert!(closed <= 1);
    // One that is in use is its holder's, however old.
    let held = lease(&pool, &a).await;
    clock.advance(300 * SECOND);
    assert_eq!((manager.cleanup_expired(), manager.cleanup_idle()), (0, 0));
    assert_eq!(pool.put(held), Returned::Closed(CloseReason::Lifetime));
    finish(pool, peer).await;
}

/// A block that is older than the interval is tried, and what comes of it rests in the pool.
#[tokio::test]
async fn a_blocked_address_is_tried_when_its_time_has_come() {
    let peer = http1_peer();
    let clock = ManualClock::new();
    let pool = builder(&peer, |config| config.blacklist_interval = 300 * SECOND)
        .validator(StatusValidator::new("/").unwrap())
        .clock(clock.clone())
        .build()
        .unwrap();
    let name = name(&peer);
    let conn = lease(&pool, &name).await;
    conn.report(Outcome::Status(403));
    drop(conn);
    let_run().await;
    assert!(
        matches!(pool.health(), Health::Degraded(why) if why == [Trouble::Blocked { target: name.as_str().into() }])
    );
    clock.advance(299 * SECOND);
    let_run().await;
    assert!(pool.get(&name).await.is_err(), "blocked");
    assert_eq!(peer.seen().accepts, 1);
    clock.advance(2 * SECOND);
    until(&pool, "its proof rests", |stats| stats.idle == 1).await;
    assert_eq!(pool.health(), Health::Healthy);
    assert_eq!(round(&pool, &name).await.status, 200);
    assert_eq!(peer.seen().accepts, 2);
    finish(pool, peer).await;
}

/// So is one that fails again and again by what its users say, once it is blocked for longer than the interval.
#[tokio::test]
async fn what_was_reported_to_fail_is_tried_when_its_time_has_come() {
    let (stage, clock) = (Stage::new(1), ManualClock::new());
    let often = config(|config| config.idle_timeout = 3600 * SECOND);
    let pool = stage.welcome_pool(often, clock.clone()).unwrap();
    let conn = lease(&pool, "a.test").await;
    for doublings in 0..9 {
        conn.report(Outcome::Error);
        let_run().await;
        clock.advance((1 << doublings) * SECOND);
    }
    conn.report(Outcome::Error);
    conn.discard();
    let_run().await;
    clock.advance(299 * SECOND);
    let_run().await;
    let left = pool.manager().blocklist()[0].left;
    assert_eq!((left, stage.dials()), (Some(213 * SECOND), 1));
    clock.advance(SECOND);
    until(&pool, "its proof rests", |stats| stats.idle == 1).await;
    assert_eq!(pool.manager().blocklist(), []);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// A 403 told to one who comes from elsewhere is asked about again from there, as long as anything is left of it, and else not at all: never by the pool's own way.
#[tokio::test]
async fn a_block_is_tried_as_who_heard_of_it_or_not_at_all() {
    let (own, elsewhere) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 9]));
    for stays in [true, false] {
        let peer = http1_peer();
        let clock = ManualClock::new();
        let tls = || Tls::builder().roots(certs::authority().roots()).build().unwrap();
        let config = config(|config| {
            (config.blacklist_interval, config.idle_timeout) = (300 * SECOND, 3600 * SECOND);
        });
        let pool = HotConnPool::builder().config(config).tls(tls());
        let pool = pool.resolver(resolver(&peer)).clock(clock.clone());
        let pool = pool
            .validator(StatusValidator::new("/").unwrap())
            .build()
            .unwrap();
        let sources = StaticSources::new([elsewhere]).unwrap();
        let call = GetOptions::new().sources(SourcePolicy::require(sources));
        let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
        let get = || within("a connection", pool.get_with(&name, call.clone()));
        let (conn, second) = (get().await.unwrap(), get().await.unwrap());
        conn.report(Outcome::Status(403));
        drop(conn);
        drop(second);
        // One that the pool heard of itself, to tell when both have had their turn.
        let conn = lease(&pool, &other).await;
        conn.report(Outcome::Status(403));
        drop(conn);
        if !stays {
            pool.update_tls(tls()); // nobody goes out as before
        }
        let_run().await;
        clock.advance(301 * SECOND);
        let proofs = 1 + u32::from(stays);
        until(&pool, "what was asked about rests", |stats| stats.idle == proofs).await;
        assert_eq!(pool.stats().counters.dials, u64::from(3 + proofs));
        assert_eq!(pool.manager().blocklist().len(), usize::from(!stays));
        let mut from: Vec<_> = peer.connections().iter().map(|conn| conn.from.ip()).collect();
        from.sort_unstable();
        let mut expected = vec![own, own, elsewhere, elsewhere];
        expected.extend(stays.then_some(elsewhere));
        assert_eq!(from, expected);
        finish(pool, peer).await;
    }
}

/// Whatever others meet at an address that has told somebody to stay away: whether that still holds is asked by whoever was told.
#[tokio::test]
async fn a_403_is_asked_about_by_who_was_told_whoever_fails_there_after() {
    let (own, elsewhere) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 9]));
    let after = [
        Outcome::Error,
        Outcome::Status(429),
        Outcome::TryLater(100 * SECOND),
    ];
    for outcome in after {
        for told in [own, elsewhere] {
            let case = format!("{outcome:?} after {told} was told");
            let peer = http1_peer();
            let clock = ManualClock::new();
            let pool = builder(&peer, |config| {
                (config.blacklist_interval, config.idle_timeout) = (300 * SECOND, 3600 * SECOND);
            });
            let pool = pool.validator(StatusValidator::new("/").unwrap());
            let pool = pool.clock(clock.clone()).build().unwrap();
            let name = name(&peer);
            let sources = StaticSources::new([elsewhere]).unwrap();
            let from_elsewhere = GetOptions::new().sources(SourcePolicy::require(sources));
            let mut leases = Vec::new();
            for (from, call) in [(own, GetOptions::new()), (elsewhere, from_elsewhere)] {
                let conn = within(&case, pool.get_with(&name, call)).await.unwrap();
                leases.insert(if from == told { 0 } else { leases.len() }, conn);
            }
            leases[0].report(Outcome::Status(403));
            clock.advance(SECOND);
            leases[1].report(outcome);
            leases.truncate(1); // it keeps its identity about
            let_run().await;
            clock.advance(300 * SECOND);
            until(&pool, &case, |stats| stats.counters.opened == 3).await;
            assert_eq!(peer.connections().last().unwrap().from.ip(), told, "{case}");
            assert_eq!(pool.manager().blocklist(), [], "{case}");
            drop(leases);
            finish(pool, peer).await;
        }
    }
}

/// An origin that every call reaches by a way of its own is not dialled by the pool's for the sake of a minimum.
#[tokio::test]
async fn a_minimum_is_held_only_for_who_goes_out_as_the_pool_does() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.min_idle = 1);
    let sources = StaticSources::new([IpAddr::from([127, 0, 0, 9])]).unwrap();
    let call = GetOptions::new().sources(SourcePolicy::require(sources));
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    let conn = within("a connection", pool.get_with(&name, call)).await.unwrap();
    // One that is asked for as the pool goes out, to tell when both have had their turn.
    let own = lease(&pool, &other).await;
    let_run().await;
    clock.advance(31 * SECOND);
    until(&pool, "one rests", |stats| stats.idle == 1).await;
    assert_eq!(pool.stats().counters.dials, 3);
    drop((conn, own));
    finish(pool, peer).await;
}

/// A handshake says nothing of a 403, and a `Retry-After` is to be heeded: where nobody asks, the first ends by its time, and neither is tried before.
#[tokio::test]
async fn what_an_address_told_us_ends_by_its_time() {
    let later = Outcome::TryLater(700 * SECOND);
    for (outcome, span) in [(Outcome::Status(403), 900), (later, 700)] {
        for all_blocked in [AllBlocked::Fail, AllBlocked::ProbeLeastBad] {
            let case = format!("{outcome:?}, {all_blocked:?}");
            let peer = http1_peer();
            let (pool, clock) = manual_pool(&peer, |config| {
                (config.blacklist_interval, config.min_idle) = (10 * SECOND, 2);
                (config.all_blocked, config.idle_timeout) = (all_blocked, 3600 * SECOND);
            });
            let name = name(&peer);
            let conn = lease(&pool, &name).await;
            conn.report(outcome);
            conn.discard();
            let_run().await;
            let asked = outcome == Outcome::Status(403) || all_blocked == AllBlocked::Fail;
            for left in [span, span - 500, 1] {
                clock.advance((span - left) * SECOND - clock.now().since(Moment::ZERO));
                let_run().await;
                if asked {
                    let error = within(&case, pool.get(&name)).await.expect_err(&case);
                    assert_eq!(error.retry_after(), Some(left * SECOND), "{case}");
                }
                let options = GetOptions::new();
                if outcome == Outcome::Status(403) {
                    let warmed = within(&case, pool.warm(&name, Warm::Count(1), options)).await;
                    assert_eq!(warmed.unwrap_err().retry_after(), Some(left * SECOND), "{case}");
                }
                assert_eq!(
                    (pool.stats().dialling, peer.seen().accepts),
                    (0, 1),
                    "{case}, {left} s left"
                );
            }
            clock.advance(SECOND);
            round(&pool, &name).await;
            finish(pool, peer).await;
        }
    }
}

/// A pool of which each of these hosts is blocked at its one address, and whose rechecks end as they are told to.
async fn blocked_hosts(hosts: usize, config: PoolConfig) -> (Stage, HotConnPool, ManualClock) {
    let (stage, clock) = (Stage::new(1), ManualClock::new());
    let pool = stage.welcome_pool(config, clock.clone()).unwrap();
    for host in 0..hosts {
        let conn = lease(&pool, &format!("{host}.test")).await;
        conn.report(Outcome::Status(403));
    }
    let_run().await;
    assert_eq!((stage.dials(), pool.size()), (hosts as u64, 0));
    (stage, pool, clock)
}

/// Ten, and others as these end.
#[tokio::test]
async fn the_blocked_are_tried_so_many_at_once() {
    let many = config(|config| (config.max_per_ip, config.attempt_timeout) = (100, 30 * SECOND));
    let (stage, pool, clock) = blocked_hosts(25, many).await;
    for _ in 0..25 {
        stage.next(Phase::Connect, Act::Never);
    }
    clock.advance(300 * SECOND);
    for began in [10, 20, 25] {
        until(&pool, "they are being tried", |_| stage.dials() == 25 + began).await;
        pass(&clock, 20).await;
        assert_eq!(stage.dials(), 25 + began, "one more would be too many");
        pass(&clock, 12).await;
    }
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// Twice as long each time; a block that ends meanwhile is not tried.
#[tokio::test]
async fn who_was_tried_in_vain_rests_longer_each_time() {
    let often = config(|config| config.blacklist_interval = 10 * SECOND);
    let (stage, pool, clock) = blocked_hosts(1, often).await;
    let mut tried = Vec::new();
    for second in 1..=400_u64 {
        stage.next(Phase::Tls, Act::Err);
        let before = stage.dials();
        pass(&clock, 1).await;
        if stage.dials() > before {
            tried.push(second);
        } else {
            stage.forget();
        }
    }
    assert_eq!(tried, [10, 30, 70, 150, 310]);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// A recheck that takes long is not joined by another.
#[tokio::test]
async fn who_is_being_tried_is_not_tried_beside() {
    let slow = config(|config| {
        (config.attempt_timeout, config.connect_timeout) = (100 * SECOND, 100 * SECOND);
        config.blacklist_interval = 5 * SECOND;
    });
    let (stage, pool, clock) = blocked_hosts(1, slow).await;
    stage.next(Phase::Connect, Act::After(80 * SECOND));
    pass(&clock, 84).await;
    assert_eq!(stage.dials(), 2);
    pass(&clock, 2).await;
    until(&pool, "its proof rests", |stats| stats.idle == 1).await;
    assert_eq!((stage.dials(), pool.health()), (2, Health::Healthy));
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// What the whole pool avoids is tried, too, though a get may not go there.
#[tokio::test]
async fn what_the_whole_pool_avoids_is_tried_as_well() {
    let often = config(|config| config.blacklist_interval = 10 * SECOND);
    let (stage, clock) = (Stage::new(1), ManualClock::new());
    let pool = stage.pool(often, clock.clone()).unwrap();
    for strike in 0..5 {
        stage.next(Phase::Connect, Act::Unreachable);
        within("an error", pool.get("a.test")).await.unwrap_err();
        clock.advance(if strike < 4 {
            SECOND * (1 << strike)
        } else {
            Duration::ZERO
        });
    }
    let dials = stage.dials();
    pass(&clock, 9).await;
    assert!(within("a refusal", pool.get("a.test")).await.is_err());
    assert_eq!(stage.dials(), dials);
    pass(&clock, 1).await;
    until(&pool, "its proof rests", |stats| stats.idle == 1).await;
    assert_eq!(pool.manager().blocklist(), []);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// Answers what it is told to, for a minute, and counts.
#[derive(Clone)]
struct Names(Arc<Mutex<Vec<IpAddr>>>, Arc<AtomicU64>);

impl Resolve for Names {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        self.1.fetch_add(1, Ordering::Relaxed);
        let addresses = self.0.lock().clone();
        Resolving::new(async move {
            Ok(Answer {
                addresses,
                ttl: Duration::from_secs(60),
            })
        })
    }
}

/// While something is alive its name is asked for again when its time is over; an address that two answers leave out drains.
#[tokio::test]
async fn names_are_refreshed_and_what_has_vanished_drains() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let clock = ManualClock::new();
    let names = Names(Arc::new(Mutex::new(peer.ips().to_vec())), Arc::default());
    let pool = HotConnPool::builder()
        .config(config(|config| config.idle_timeout = 3600 * SECOND))
        .roots(certs::authority().roots())
        .resolver(names.clone())
        .clock(clock.clone())
        .build()
        .unwrap();
    let name = name(&peer);
    let options = GetOptions::new();
    within("warm", pool.warm(&name, Warm::EveryIp(1), options))
        .await
        .unwrap();
    let_run().await;
    assert_eq!((pool.size(), names.1.load(Ordering::Relaxed)), (2, 1));
    *names.0.lock() = peer.ips()[..1].to_vec();
    for (refreshes, left) in [(2, 2), (3, 1)] {
        pass(&clock, 61).await;
        until(&pool, "as many as are left", |stats| stats.total == left).await;
        assert_eq!(names.1.load(Ordering::Relaxed), refreshes);
    }
    assert_eq!(pool.stats().counters.closes(CloseReason::AddressGone), 1);
    // With nothing alive nobody asks.
    pool.manager().retain(|_| false);
    let asked = names.1.load(Ordering::Relaxed);
    pass(&clock, 200).await;
    assert_eq!(names.1.load(Ordering::Relaxed), asked);
    finish(pool, peer).await;
}

/// Answers for IPv4 alone; what asks for IPv6 fails.
struct Lame(Arc<Mutex<Vec<IpAddr>>>);

impl Resolve for Lame {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        let addresses = self.0.lock().clone();
        let ttl = Duration::from_secs(60);
        Resolving::families(
            async { Err(hotpool::ResolveError::Failed("SERVFAIL".to_owned())) },
            async move { Ok(Answer { addresses, ttl }) },
        )
    }
}

/// Name servers that are broken for one family say enough of the other.
#[tokio::test]
async fn what_has_vanished_drains_though_one_family_fails() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let clock = ManualClock::new();
    let names = Arc::new(Mutex::new(peer.ips().to_vec()));
    let pool = HotConnPool::builder()
        .config(config(|config| config.idle_timeout = 3600 * SECOND))
        .roots(certs::authority().roots())
        .resolver(Lame(Arc::clone(&names)))
        .clock(clock.clone())
        .build()
        .unwrap();
    let options = GetOptions::new();
    within("warm", pool.warm(&name(&peer), Warm::EveryIp(1), options))
        .await
        .unwrap();
    let_run().await;
    assert_eq!(pool.size(), 2);
    *names.lock() = peer.ips()[..1].to_vec();
    for _ in 0..4 {
        pass(&clock, 61).await;
        let_run().await;
    }
    until(&pool, "one is left", |stats| stats.total == 1).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::AddressGone), 1);
    finish(pool, peer).await;
}

/// Not even what was answered a moment ago holds in another network.
#[tokio::test]
async fn another_network_has_names_of_its_own() {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let names = Names(Arc::new(Mutex::new(peer.ips().to_vec())), Arc::default());
    let pool = HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(names.clone())
        .clock(ManualClock::new())
        .build()
        .unwrap();
    let name = name(&peer);
    round(&pool, &name).await;
    assert_eq!(names.1.load(Ordering::Relaxed), 1);
    pool.network_changed();
    round(&pool, &name).await;
    assert_eq!(names.1.load(Ordering::Relaxed), 2);
    finish(pool, peer).await;
}

/// A dial that began in the network before brings nothing to keep: whoever waited for it has it, and nobody else.
#[tokio::test]
async fn what_began_in_the_network_before_is_not_kept() {
    let (stage, clock) = (Stage::new(1), ManualClock::new());
    stage.next(Phase::Tls, Act::After(SECOND));
    let pool = stage.pool(config(|_| {}), clock.clone()).unwrap();
    let mut get = pin!(pool.get("a.test"));
    assert!(poll_once(get.as_mut()).await.is_none());
    until(&pool, "it is dialled", |stats| stats.dialling == 1).await;
    let_run().await;
    pool.network_changed();
    clock.advance(SECOND);
    let conn = within("a connection", get).await.unwrap();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::NetworkChanged));
    pool.manager().assert_invariants();
}

/// A manual clock whose machine can be suspended.
#[derive(Clone, Default)]
struct Laptop(ManualClock, Arc<AtomicU64>);

impl Clock for Laptop {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn boot(&self) -> Moment {
        self.0.now() + Duration::from_secs(self.1.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, deadline: Moment) -> Sleep {
        self.0.sleep_until(deadline)
    }
}

/// By itself after a suspend, or told so: HTTP/1.1 closes, HTTP/2 shows life or goes.
#[tokio::test]
async fn after_a_suspend_nothing_is_trusted() {
    for suspended in [true, false] {
        for alpn in [Alpn::Http1, Alpn::Http2] {
            let peer = Peer::builder().alpn(alpn).start();
            let clock = Laptop::default();
            let pool = builder(&peer, |config| config.idle_timeout = 3600 * SECOND)
                .clock(clock.clone())
                .build()
                .unwrap();
            round(&pool, &name(&peer)).await;
            // The clean-up reads both clocks at least once before.
            let_run().await;
            peer.order(To::All, Order::Hang);
            match suspended {
                true => _ = clock.1.fetch_add(8 * 3600, Ordering::Relaxed),
                false => pool.network_changed(),
            }
            // In one step: at its next turn, within a round.
            clock
                .0
                .advance(if suspended { 61 * SECOND } else { Duration::ZERO });
            let_run().await;
            match alpn {
                Alpn::Http2 => {
                    is_asked_and_answers(&pool, &peer).await;
                }
                _ => assert_eq!(pool.stats().counters.closes(CloseReason::NetworkChanged), 1),
            }
            finish(pool, peer).await;
        }
    }
}

/// While anything is alive both clocks are compared every two seconds, whatever else is to be done; in a pool in which nothing is, nobody looks.
#[tokio::test]
async fn a_suspend_is_noticed_within_two_seconds() {
    let peer = http1_peer();
    let clock = Laptop::default();
    let pool = builder(&peer, |config| {
        (config.idle_timeout, config.leak_timeout) = (3600 * SECOND, 3600 * SECOND);
        config.cleanup_interval = 3600 * SECOND;
    });
    let pool = pool.clock(clock.clone()).build().unwrap();
    let name = name(&peer);
    for nth in 1..=3 {
        round(&pool, &name).await;
        let_run().await;
        pass(&clock.0, 7).await;
        assert_eq!(pool.size(), 1);
        clock.1.fetch_add(6, Ordering::Relaxed);
        pass(&clock.0, 2).await;
        let closes = pool.stats().counters.closes(CloseReason::NetworkChanged);
        assert_eq!((closes, pool.size()), (nth, 0), "an old connection is handed out");
        let runs = || pool.stats().tasks[1].runs;
        let_run().await;
        let before = runs();
        pass(&clock.0, 100).await;
        assert!(
            runs() - before < 5,
            "woken for nothing: {} times",
            runs() - before
        );
    }
    // Less than that is no suspend: the clocks are read one after the other.
    round(&pool, &name).await;
    pass(&clock.0, 3).await;
    clock.1.fetch_add(4, Ordering::Relaxed);
    pass(&clock.0, 3).await;
    assert_eq!(pool.size(), 1);
    finish(pool, peer).await;
}

/// Another interval holds at once, whatever a job sleeps for.
#[tokio::test]
async fn a_shorter_interval_holds_at_once() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, clock) = manual_pool(&peer, |config| config.health_interval = 3000 * SECOND);
    round(&pool, &name(&peer)).await;
    let_run().await;
    pass(&clock, 1).await;
    peer.order(To::All, Order::Hang);
    let shorter = config(|config| config.health_interval = 5 * SECOND);
    pool.manager().update_config(shorter).unwrap();
    let_run().await;
    pass(&clock, 5).await;
    is_asked_and_answers(&pool, &peer).await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn who_waits_for_life_is_told_and_who_closes_too() {
    let peer = http1_peer();
    let (pool, _clock) = manual_pool(&peer, |_| {});
    assert_eq!(pool.health(), Health::Empty);
    let ready = {
        let pool = pool.clone();
        crate::common::spawn(async move { pool.ready().await.is_ok() })
    };
    let_run().await;
    assert!(!ready.is_finished());
    round(&pool, &name(&peer)).await;
    assert!(within("ready", ready).await.unwrap());
    assert_eq!(pool.health(), Health::Healthy);
    pool.manager().retain(|_| false);
    let waits = {
        let pool = pool.clone();
        crate::common::spawn(async move { pool.ready().await.is_ok() })
    };
    let_run().await;
    within("close", pool.close()).await;
    assert!(!within("told", waits).await.unwrap());
    assert_eq!(pool.health(), Health::Closed);
    finish(pool, peer).await;
}

/// An idle HTTP/1.1 connection is asked as it is configured: one that answers stays, and is no younger; one that does not goes, and serves nobody
/// meanwhile.
#[tokio::test]
async fn http1_is_asked_by_a_request() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| {
        (config.health_interval, config.idle_timeout) = (20 * SECOND, 50 * SECOND);
        config.health_request = Some("/status/503".to_owned());
    });
    let name = name(&peer);
    round(&pool, &name).await;
    let_run().await;
    for requests in [2, 3] {
        pass(&clock, 20).await;
        peer.wait_for("it was asked", |seen| seen.requests() == requests)
            .await;
        until(&pool, "it answered", |stats| stats.idle == 1).await;
    }
    pass(&clock, 11).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 1);
    round(&pool, &name).await;
    peer.order(To::All, Order::Hang);
    pass(&clock, 20).await;
    assert!(pool.try_get(&name).unwrap().is_none(), "handed out in doubt");
    pass(&clock, 5).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::Unresponsive), 1);
    at_rest(&pool).await;
    peer.order(To::All, Order::Resume);
    finish(pool, peer).await;
}
