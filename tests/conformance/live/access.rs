//! What the pool's owner blocks and allows while it runs.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::{Act, Stage};
use hotpool::{
    AccessPolicy, BlockCause, CloseReason, ErrorKind, GetOptions, Health, HotConnPool, Outcome, Phase,
    Require, Returned, Scope, Tls, Trouble, Warm,
};

use super::{as_soon_as, lease, poll_once};
use crate::common::{
    at_rest, builder, config, finish, host, http1_peer, let_run, manual_pool, name, pool, round, spawn,
    within,
};
use crate::support::certs;
use crate::support::peer::{Alpn, Peer};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn network(text: &str) -> Scope {
    Scope::network(text).unwrap()
}

/// A refusal, and for how long it holds.
pub(super) async fn refusal(pool: &HotConnPool, name: &str, options: GetOptions) -> Option<Duration> {
    let error = within("a refusal", pool.get_with(name, options))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Blocked, Phase::Acquire),
        "{error}"
    );
    assert_eq!(error.target(), Some(name));
    error.retry_after()
}

pub(super) async fn refused(pool: &HotConnPool, name: &str) -> Option<Duration> {
    refusal(pool, name, GetOptions::new()).await
}

/// Who asks for what an address does not offer, or accepts other certificates than it has, blocks it for nobody, and is told the same each time.
#[tokio::test]
async fn what_one_caller_requires_in_vain_blocks_nobody() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let roots = certs::unknown_authority().roots();
    let tls = Tls::builder().roots(roots).build().unwrap();
    for (options, kind) in [
        (GetOptions::new().require(Require::Http2), ErrorKind::Protocol),
        (GetOptions::new().tls(tls), ErrorKind::CertificateIssuer),
    ] {
        for _ in 0..2 {
            let refused = within("a refusal", pool.get_with(&name, options.clone())).await;
            let error = refused.unwrap_err();
            assert_eq!((error.kind(), error.phase()), (kind, Phase::Tls), "{error}");
        }
        assert!(pool.manager().blocklist().is_empty(), "{kind:?}");
        lease(&pool, &name).await.discard();
    }
    finish(pool, peer).await;
}

/// Whatever allows the same, by whichever scope, before or after.
#[tokio::test]
async fn blocked_wins_over_allowed() {
    let peer = http1_peer();
    let name = name(&peer);
    let scopes = || {
        let ip = peer.ips()[0];
        [
            network("127.0.0.0/8"),
            ip.into(),
            Scope::host("peer.test").unwrap(),
            Scope::origin(&name).unwrap(),
            Scope::address(&name, ip).unwrap(),
        ]
    };
    for policy in [AccessPolicy::OpenUnlessBlocked, AccessPolicy::AllowlistOnly] {
        let pool = builder(&peer, |_| {}).access(policy).build().unwrap();
        let manager = pool.manager();
        for allowed in scopes() {
            manager.allow(allowed).unwrap();
        }
        round(&pool, &name).await;
        for blocked in scopes() {
            manager.block(blocked.clone(), None).unwrap();
            assert_eq!(refused(&pool, &name).await, None, "{blocked}");
            manager.allow(blocked.clone()).unwrap();
            assert_eq!(refused(&pool, &name).await, None, "{blocked}");
            assert!(manager.unblock(&blocked), "{blocked}");
            round(&pool, &name).await;
        }
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
    peer.shutdown().await;
}

/// What no list names is refused before any connect, and what stood by an allowance that is taken back goes.
#[tokio::test]
async fn allowlist_only_mode() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let pool = builder(&peer, |_| {})
        .access(AccessPolicy::AllowlistOnly)
        .build()
        .unwrap();
    let manager = pool.manager();
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    let ips: [IpAddr; 2] = peer.ips().try_into().unwrap();
    assert_eq!(refused(&pool, &name).await, None);
    assert_eq!(refusal(&pool, &name, GetOptions::new().ip(ips[0])).await, None);
    let warmed = within("a refusal", pool.warm(&name, Warm::Count(1), GetOptions::new())).await;
    assert_eq!(warmed.unwrap_err().kind(), ErrorKind::Blocked);
    assert_eq!(peer.seen().accepts, 0);
    // By its address, for every host; the other address stays out.
    manager.allow(ips[1].into()).unwrap();
    for target in [&name, &other] {
        for _ in 0..2 {
            let conn = lease(&pool, target).await;
            assert_eq!(conn.info().remote.ip(), ips[1]);
            conn.discard();
        }
    }
    // By its host, at every address.
    manager.allow(Scope::host("peer.test").unwrap()).unwrap();
    drop(lease(&pool, &name).await);
    let pinned = within("one there", pool.get_with(&name, GetOptions::new().ip(ips[0]))).await;
    drop(pinned.unwrap());
    assert_eq!(refusal(&pool, &other, GetOptions::new().ip(ips[0])).await, None);
    let leased = lease(&pool, &name).await;
    assert!(manager.disallow(&ips[1].into()));
    assert!(manager.disallow(&Scope::host("peer.test").unwrap()));
    assert!(!manager.disallow(&Scope::host("peer.test").unwrap()));
    assert_eq!(pool.put(leased), Returned::Closed(CloseReason::Blocked));
    assert_eq!((pool.size(), refused(&pool, &name).await), (0, None));
    manager.set_access(AccessPolicy::OpenUnlessBlocked);
    round(&pool, &name).await;
    finish(pool, peer).await;
}

/// At once: what rests there closes, what is leased closes when it comes home, who waits for nothing else is refused, and what is being dialled reaches
/// nobody. Other hosts and addresses are not concerned.
#[tokio::test]
async fn a_block_takes_effect_on_what_rests_and_who_waits_at_once() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().ips(2).alpn(alpn).start();
        let (pool, clock) = manual_pool(&peer, |config| config.max_per_host = 3);
        let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
        let ips: [IpAddr; 2] = peer.ips().try_into().unwrap();
        let at = |ip| GetOptions::new().ip(ip);
        let here = within("here", pool.get_with(&name, at(ips[0]))).await.unwrap();
        let there = within("there", pool.get_with(&name, at(ips[1]))).await.unwrap();
        drop(there);
        drop(
            within("another's", pool.get_with(&other, at(ips[1])))
                .await
                .unwrap(),
        );
        pool.manager()
            .block(Scope::address(&name, ips[1]).unwrap(), Some(10 * SECOND))
            .unwrap();
        let stats = pool.stats();
        assert_eq!(
            (stats.total, stats.counters.closes(CloseReason::Blocked)),
            (2, 1),
            "{alpn:?}"
        );
        drop(
            within("another's", pool.get_with(&other, at(ips[1])))
                .await
                .unwrap(),
        );
        assert_eq!(refusal(&pool, &name, at(ips[1])).await, Some(10 * SECOND));
        // Whoever may go elsewhere goes there.
        let elsewhere = lease(&pool, &name).await;
        assert_eq!(elsewhere.info().remote.ip(), ips[0]);
        drop(elsewhere);
        let (second, third) = (lease(&pool, &name).await, lease(&pool, &name).await);
        // The host is full on HTTP/1.1: whoever comes waits for one of these. The block is the end of that hope, too.
        let (asked, wanted) = (pool.clone(), name.clone());
        let waiting = (alpn == Alpn::Http1).then(|| spawn(async move { asked.get(&wanted).await }));
        let waits = u32::from(waiting.is_some());
        as_soon_as(&pool, "it waits", |stats| stats.waiting == waits).await;
        pool.manager()
            .block(Scope::host("peer.test").unwrap(), None)
            .unwrap();
        if let Some(waiting) = waiting {
            let error = within("a refusal", waiting).await.unwrap().unwrap_err();
            assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Blocked, None));
        }
        assert_eq!(refused(&pool, &name).await, None);
        for leased in [here, second, third] {
            assert_eq!(
                pool.put(leased),
                Returned::Closed(CloseReason::Blocked),
                "{alpn:?}"
            );
        }
        // The other origin stands, and a block of its network ends with its time.
        round(&pool, &other).await;
        pool.manager()
            .block(network("127.0.0.0/8"), Some(5 * SECOND))
            .unwrap();
        assert_eq!(refused(&pool, &other).await, Some(5 * SECOND));
        clock.advance(5 * SECOND);
        round(&pool, &other).await;
        finish(pool, peer).await;
    }
}

/// What is being dialled when its host, or its address, is blocked is closed before anybody has it: who waits for it is told at once.
#[tokio::test]
async fn what_is_being_dialled_when_the_block_comes_reaches_nobody() {
    for scope in [Scope::host("a.test").unwrap(), network("10.0.0.0/24")] {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        stage.next(Phase::Tls, Act::After(SECOND));
        let pool = stage.pool(config(|_| {}), clock.clone()).unwrap();
        let mut get = pin!(pool.get("a.test"));
        assert!(poll_once(get.as_mut()).await.is_none());
        as_soon_as(&pool, "it shakes hands", |_| stage.steps().len() == 2).await;
        pool.manager().block(scope.clone(), None).unwrap();
        let error = within("a refusal", get).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Blocked, "{scope}");
        let_run().await;
        clock.advance(SECOND);
        as_soon_as(&pool, "its end", |stats| stats.counters.opened == 1).await;
        assert_eq!(pool.stats().counters.closes(CloseReason::Blocked), 1);
        // A host that is new knows the block of its network as well.
        let fresh = within("an answer", pool.get("b.test")).await;
        assert_eq!(fresh.is_ok(), scope.to_string() == "host a.test");
        drop(fresh);
        at_rest(&pool).await;
        within("close", pool.close()).await;
        assert_eq!(stage.open(), 0);
    }
}

/// A name that is blocked is not asked for; an address that is blocked between the order and the attempt is not dialled.
#[tokio::test]
async fn nothing_is_asked_or_dialled_where_the_owner_bars_the_way() {
    let (stage, clock) = (Stage::new(2), ManualClock::new());
    let pool = stage
        .pool(config(|config| config.dial_attempts = 2), clock.clone())
        .unwrap();
    pool.manager()
        .block(Scope::host("a.test").unwrap(), None)
        .unwrap();
    stage.next(Phase::Resolve, Act::Never);
    assert_eq!(refused(&pool, "a.test").await, None);
    stage.forget();
    // The first address hangs; the second, whose turn comes later, is blocked meanwhile.
    stage.next(Phase::Connect, Act::After(400 * SECOND / 1000));
    let mut get = pin!(pool.get("b.test"));
    assert!(poll_once(get.as_mut()).await.is_none());
    as_soon_as(&pool, "it connects", |_| stage.steps().len() == 1).await;
    let second = if stage.steps()[0].1.to_string() == "10.0.0.1" {
        "10.0.0.2"
    } else {
        "10.0.0.1"
    };
    pool.manager().block(network(second), None).unwrap();
    for _ in 0..500 {
        clock.advance(SECOND / 1000);
        let_run().await;
    }
    drop(within("a connection", get).await.unwrap());
    assert!(
        stage.steps().iter().all(|step| step.1.to_string() != second),
        "{:?}",
        stage.steps()
    );
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// Whoever blocked it, and for what; and all of it can be taken back.
#[tokio::test]
async fn the_blocklist_shows_what_is_blocked_and_unblock_lifts_it() {
    let (stage, clock) = (Stage::new(2), ManualClock::new());
    let pool = stage
        .pool(config(|config| config.dial_attempts = 1), clock.clone())
        .unwrap();
    let manager = pool.manager();
    let [a, b]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
    manager
        .block(Scope::host("c.test").unwrap(), Some(9 * SECOND))
        .unwrap();
    manager.block(network("192.0.2.0/24"), None).unwrap();
    let conn = within("one", pool.get_with("a.test", GetOptions::new().ip(a)))
        .await
        .unwrap();
    conn.report(Outcome::Status(403));
    drop(conn);
    stage.next_at(b, Phase::Tls, Act::Err);
    within("an error", pool.get_with("a.test", GetOptions::new().ip(b)))
        .await
        .unwrap_err();
    stage.next_at(b, Phase::Connect, Act::Unreachable);
    within("an error", pool.get_with("b.test", GetOptions::new().ip(b)))
        .await
        .unwrap_err();
    let listed = || {
        let blocks = manager.blocklist().into_iter();
        let mut lines: Vec<_> = blocks
            .map(|block| (block.scope.to_string(), block.cause, block.left))
            .collect();
        lines.sort();
        lines
    };
    let minutes = |minutes: u32| Some(minutes * 60 * SECOND);
    let all = [
        ("10.0.0.2".to_owned(), BlockCause::Connect, Some(SECOND)),
        ("192.0.2.0/24".to_owned(), BlockCause::Owner, None),
        ("a.test at 10.0.0.1".to_owned(), BlockCause::Status, minutes(15)),
        ("a.test at 10.0.0.2".to_owned(), BlockCause::Tls, Some(SECOND)),
        ("host c.test".to_owned(), BlockCause::Owner, Some(9 * SECOND)),
    ];
    assert_eq!(listed(), all);
    // Neither the network nor time alone lifts what was said.
    pool.network_changed();
    assert_eq!(listed(), [all[1].clone(), all[2].clone(), all[4].clone()]);
    assert!(manager.unblock(&Scope::address("a.test", a).unwrap()));
    drop(
        within("one", pool.get_with("a.test", GetOptions::new().ip(a)))
            .await
            .unwrap(),
    );
    assert!(manager.unblock(&network("192.0.2.0/24")) && !manager.unblock(&network("192.0.2.0/24")));
    stage.next_at(b, Phase::Connect, Act::Unreachable);
    within("an error", pool.get_with("b.test", GetOptions::new().ip(b)))
        .await
        .unwrap_err();
    assert!(manager.unblock(&b.into()));
    drop(
        within("one", pool.get_with("b.test", GetOptions::new().ip(b)))
            .await
            .unwrap(),
    );
    clock.advance(9 * SECOND);
    assert_eq!(listed(), []);
    drop(lease(&pool, "c.test").await);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// The address that a dial has a permit of is blocked before it is tried: the dial ends at another, and the permit comes back.
#[tokio::test]
async fn a_block_before_the_attempt_costs_no_permit() {
    let stage = Stage::new(2);
    let pool = stage.pool(config(|_| {}), ManualClock::new()).unwrap();
    lease(&pool, "a.test").await.discard();
    let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
    // Whichever it begins with, and in whichever turn.
    for last in [1, 1, 2, 2] {
        let mut get = Box::pin(pool.get("a.test"));
        assert!(poll_once(get.as_mut()).await.is_none());
        pool.manager().block(ip(last).into(), None).unwrap();
        let conn = within("the other", get).await.unwrap();
        assert_ne!(conn.info().remote.ip(), ip(last));
        conn.discard();
        assert!(pool.manager().unblock(&ip(last).into()));
        let (ledger, _) = pool.manager().books();
        assert_eq!([1, 2].map(|last| ledger.used(ip(last))), [0, 0]);
        pool.manager().assert_invariants();
    }
}

/// What one host holds against an address and what the whole pool does stand beside each other, each under its own name, and each is taken back by itself.
#[tokio::test]
async fn what_the_whole_pool_avoids_is_no_host_s_own_block() {
    for told in [true, false] {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        let pool = stage.pool(config(|_| {}), clock.clone()).unwrap();
        let manager = pool.manager();
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let blocks = || -> Vec<_> {
            let blocks = manager.blocklist().into_iter();
            blocks
                .map(|block| (block.scope.to_string(), block.cause, block.left))
                .collect()
        };
        let fails = async |name: &str, phase, act| {
            stage.next(phase, act);
            within("an error", pool.get(name)).await.unwrap_err()
        };
        // Over, but remembered, when nobody can reach the address any more.
        let own = match told {
            true => {
                let conn = lease(&pool, "a.test").await;
                conn.report(Outcome::Status(403));
                drop(conn);
                900 * SECOND
            }
            false => {
                fails("a.test", Phase::Tls, Act::Err).await;
                SECOND
            }
        };
        let_run().await;
        clock.advance(own);
        fails("a.test", Phase::Connect, Act::Unreachable).await;
        let everywhere = ("10.0.0.1".to_owned(), BlockCause::Connect, Some(SECOND));
        assert_eq!(blocks(), [everywhere], "{told}");
        let here = Scope::address("a.test", ip).unwrap();
        assert!(!manager.unblock(&here), "nothing of this very scope is held");
        assert!(manager.unblock(&ip.into()));
        for name in ["a.test", "b.test"] {
            drop(lease(&pool, name).await);
        }
        // While it lasts it stays when the other goes.
        let conn = lease(&pool, "b.test").await;
        fails("b.test", Phase::Connect, Act::Unreachable).await;
        conn.report(Outcome::Status(403));
        drop(conn);
        let own = (
            "b.test at 10.0.0.1".to_owned(),
            BlockCause::Status,
            Some(900 * SECOND),
        );
        assert!(blocks().contains(&own), "{:?}", blocks());
        assert!(manager.unblock(&ip.into()));
        assert_eq!(blocks(), [own]);
        assert_eq!(refused(&pool, "b.test").await, Some(900 * SECOND));
        drop(lease(&pool, "c.test").await);
        // And what is longer than its own goes, though that lasts.
        let conn = lease(&pool, "d.test").await;
        stage.next(Phase::Connect, Act::Lost(SECOND / 2));
        let steps = stage.steps().len();
        let mut failing = pin!(pool.get("d.test"));
        assert!(poll_once(failing.as_mut()).await.is_none());
        as_soon_as(&pool, "it connects", |_| stage.steps().len() == steps + 1).await;
        let_run().await;
        conn.report(Outcome::Error);
        clock.advance(SECOND / 2);
        within("an error", failing).await.unwrap_err();
        conn.discard();
        assert!(manager.unblock(&ip.into()));
        assert_eq!(refused(&pool, "d.test").await, Some(SECOND / 2));
        clock.advance(SECOND / 2);
        drop(lease(&pool, "d.test").await);
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// Whoever warms is told so: what was being opened when its address was blocked, by the owner or by what it answered, is not there.
#[tokio::test]
async fn what_is_blocked_while_it_is_warmed_is_not_reported_as_opened() {
    for by_owner in [true, false] {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        let pool = stage.pool(config(|_| {}), clock.clone()).unwrap();
        let conn = lease(&pool, "a.test").await;
        for _ in 0..2 {
            stage.next(Phase::Tls, Act::After(SECOND));
        }
        let mut warming = pin!(pool.warm("a.test", Warm::Count(3), GetOptions::new()));
        assert!(poll_once(warming.as_mut()).await.is_none());
        as_soon_as(&pool, "they shake hands", |_| stage.steps().len() == 7).await;
        let_run().await;
        match by_owner {
            true => pool
                .manager()
                .block(network("10.0.0.0/24"), Some(60 * SECOND))
                .unwrap(),
            false => conn.report(Outcome::Status(403)),
        }
        let_run().await;
        clock.advance(SECOND);
        let report = within("a report", warming).await.unwrap();
        let left = if by_owner { 59 * SECOND } else { 899 * SECOND };
        assert_eq!((report.opened, report.errors.len()), (0, 2), "{report:?}");
        for error in &report.errors {
            assert_eq!(
                (error.kind(), error.retry_after()),
                (ErrorKind::Blocked, Some(left))
            );
        }
        drop(conn);
        assert_eq!((pool.size(), stage.open()), (0, 0));
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// What failed is named as it was dialled; whatever is listed is taken back by what is listed, and by the address that it leads to.
#[tokio::test]
async fn whatever_is_listed_can_be_taken_back() {
    let ways = [
        "64:ff9b::c000:201",
        "2002:c000:201::1",
        "::ffff:0:192.0.2.1",
        "192.0.2.1",
    ];
    for way in ways {
        let ip: IpAddr = way.parse().unwrap();
        let stage = Stage::at([ip]);
        let pool = stage.pool(config(|_| {}), ManualClock::new()).unwrap();
        let manager = pool.manager();
        let listed = |count: usize| {
            let blocks = manager.blocklist();
            assert_eq!(blocks.len(), count, "{way}: {blocks:?}");
            blocks.into_iter().map(|block| block.scope).collect::<Vec<_>>()
        };
        let fails = async |phase, act| {
            stage.next(phase, act);
            within("an error", pool.get("a.test")).await.unwrap_err();
        };
        for by_text in [false, true] {
            fails(Phase::Connect, Act::Unreachable).await;
            for scope in listed(1) {
                assert_eq!(scope.to_string().parse(), Ok(ip), "it is named as it is dialled");
                let other = Scope::network("192.0.2.2").unwrap();
                assert!(!manager.unblock(&other), "{way}");
                let said = match by_text {
                    true => network(&scope.to_string()),
                    false => scope,
                };
                assert!(manager.unblock(&said), "{way}");
            }
            assert_eq!(listed(0), []);
            fails(Phase::Tls, Act::Err).await;
            for scope in listed(1) {
                assert!(manager.unblock(&scope), "{way}");
            }
            assert_eq!(listed(0), []);
            drop(lease(&pool, "a.test").await);
            manager.evict_host("a.test").unwrap();
        }
        fails(Phase::Connect, Act::Unreachable).await;
        assert!(manager.unblock(&network("192.0.2.1")), "{way}");
        drop(lease(&pool, "a.test").await);
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// Whoever waits for a connection to come home while the whole pool avoids the address is dialled for as soon as it does not, whoever lifts that.
#[tokio::test]
async fn who_waits_beside_a_block_is_dialled_for_when_it_is_lifted() {
    let ip = IpAddr::from([10, 0, 0, 1]);
    let lifts: [fn(&HotConnPool, IpAddr); 2] = [
        |pool, ip| assert!(pool.manager().unblock(&ip.into())),
        |pool, _| pool.network_changed(),
    ];
    for lift in lifts {
        let stage = Stage::new(1);
        let pool = stage.pool(config(|_| {}), ManualClock::new()).unwrap();
        let held = lease(&pool, "a.test").await;
        stage.next(Phase::Connect, Act::Unreachable);
        within("an error", pool.get("b.test")).await.unwrap_err();
        let mut get = Box::pin(pool.get("a.test"));
        assert!(poll_once(get.as_mut()).await.is_none());
        let_run().await;
        assert_eq!((stage.dials(), pool.stats().waiting), (2, 1));
        let Health::Degraded(mut troubles) = pool.health() else {
            panic!("what others found out is trouble, too: {:?}", pool.health())
        };
        troubles.sort_by_key(|trouble| format!("{trouble:?}"));
        let blocked = ["a.test", "b.test"].map(|target| Trouble::Blocked {
            target: target.into(),
        });
        assert_eq!(troubles, blocked);
        lift(&pool, ip);
        drop(within("another", get).await.unwrap());
        assert_eq!(pool.health(), Health::Healthy);
        drop(held);
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// That one is avoided by the whole pool, and the other by this origin alone, leaves none: the one that is free first is not dialled before.
#[tokio::test]
async fn what_is_blocked_by_one_table_or_the_other_is_blocked() {
    let [a, b] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
    for (own, other) in [(a, b), (b, a)] {
        for own_first in [true, false] {
            let (stage, clock) = (Stage::new(2), ManualClock::new());
            let pool = stage.pool(config(|_| {}), clock.clone()).unwrap();
            let fails = async |at_own: bool| {
                let (name, ip, phase, act) = match at_own {
                    true => ("a.test", own, Phase::Tls, Act::Err),
                    false => ("b.test", other, Phase::Connect, Act::Unreachable),
                };
                stage.next_at(ip, phase, act);
                let there = GetOptions::new().ip(ip);
                within("an error", pool.get_with(name, there)).await.unwrap_err();
            };
            // One for two seconds from then on, the other for one.
            fails(!own_first).await;
            clock.advance(SECOND);
            fails(!own_first).await;
            fails(own_first).await;
            let dials = stage.dials();
            assert_eq!(refused(&pool, "a.test").await, Some(SECOND));
            assert_eq!(stage.dials(), dials, "{own_first}");
            clock.advance(SECOND);
            let conn = lease(&pool, "a.test").await;
            let free = if own_first { own } else { other };
            assert_eq!(conn.info().remote.ip(), free);
            drop(conn);
            at_rest(&pool).await;
            within("close", pool.close()).await;
        }
    }
}
