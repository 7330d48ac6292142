//! Names: what the resolver is asked, what becomes of its answers, and targets that are none.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{
    Answer, ErrorKind, GetOptions, HotConnPool, Phase, Resolve, ResolveError, Resolving, TargetError,
};
use parking_lot::Mutex;

use crate::common::{
    assert_kind, at_rest, finish, http1_peer, let_run, name, poll_times, pool, round, within,
};
use crate::support::certs;
use crate::support::peer::{Alpn, Peer};

/// Answers in the order it was told, the last answer again and again; none: it never answers. Keeps what it was asked.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: VecDeque<Option<Result<Answer, ResolveError>>>,
    asked: Vec<(String, u16)>,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = Option<Result<Answer, ResolveError>>>) -> Self {
        let answers = answers.into_iter().collect();
        Scripted(Arc::new(Mutex::new(Script {
            answers,
            asked: Vec::new(),
        })))
    }

    fn asked(&self) -> Vec<(String, u16)> {
        self.0.lock().asked.clone()
    }
}

impl Resolve for Scripted {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        let mut script = self.0.lock();
        script.asked.push((host.to_owned(), port));
        let next = match script.answers.len() {
            0 | 1 => script.answers.front().cloned(),
            _ => script.answers.pop_front(),
        };
        Resolving::new(async move {
            match next.flatten() {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

fn found(ips: &[IpAddr], ttl: u64) -> Option<Result<Answer, ResolveError>> {
    Some(Ok(Answer {
        addresses: ips.to_vec(),
        ttl: Duration::from_secs(ttl),
    }))
}

fn not_found() -> ResolveError {
    ResolveError::NotFound {
        ttl: Duration::from_secs(60),
    }
}

fn asking(resolver: &Scripted, clock: &ManualClock) -> HotConnPool {
    let builder = HotConnPool::builder().roots(certs::authority().roots());
    builder
        .resolver(resolver.clone())
        .clock(clock.clone())
        .build()
        .unwrap()
}

#[tokio::test]
async fn each_failure_of_the_resolver_has_its_kind() {
    let empty = Ok(Answer {
        addresses: Vec::new(),
        ttl: Duration::from_secs(60),
    });
    for (answer, kind) in [
        (Err(not_found()), ErrorKind::NameNotFound),
        (empty, ErrorKind::NameNotFound),
        (Err(ResolveError::Failed("SERVFAIL".into())), ErrorKind::Resolve),
        (Err(ResolveError::Timeout), ErrorKind::Timeout),
    ] {
        let pool = asking(&Scripted::new([Some(answer)]), &ManualClock::new());
        let error = within("the error", pool.get("who.test")).await.unwrap_err();
        assert_kind(&error, kind, Phase::Resolve);
        assert_eq!(error.target(), Some("who.test"));
        assert_eq!(error.ip(), None);
        at_rest(&pool).await;
        assert_eq!(pool.stats().counters.failures(Phase::Resolve), 1);
        within("close", pool.close()).await;
    }
}

/// The resolver's own words are the source of the error.
#[tokio::test]
async fn the_resolvers_words_are_kept() {
    let failed = Err(ResolveError::Failed("the wire is cut".into()));
    let pool = asking(&Scripted::new([Some(failed)]), &ManualClock::new());
    let error = pool.get("who.test").await.unwrap_err();
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert_eq!(source, "the wire is cut");
}

#[tokio::test]
async fn an_unknown_name_of_the_static_resolver_is_not_found() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let error = pool.get("unknown.test").await.unwrap_err();
    assert_kind(&error, ErrorKind::NameNotFound, Phase::Resolve);
    finish(pool, peer).await;
}

/// A failure is not remembered for ever: once its time is over, half a minute at the most, a get asks again.
#[tokio::test]
async fn a_name_may_come_to_be() {
    let peer = http1_peer();
    let resolver = Scripted::new([Some(Err(not_found())), found(peer.ips(), 60)]);
    let clock = ManualClock::new();
    let pool = asking(&resolver, &clock);
    let name = name(&peer);
    for wait in [0, 29] {
        clock.advance(Duration::from_secs(wait));
        assert_kind(
            &pool.get(&name).await.unwrap_err(),
            ErrorKind::NameNotFound,
            Phase::Resolve,
        );
        assert_eq!(resolver.asked().len(), 1);
    }
    clock.advance(Duration::from_secs(1));
    round(&pool, &name).await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_resolver_that_hangs_is_a_timeout_while_resolving() {
    // The get's own time first, then the resolution's.
    for (timeout, seconds) in [(Some(Duration::from_secs(3)), 3), (None, 30)] {
        let (resolver, clock) = (Scripted::new([]), ManualClock::new());
        let pool = asking(&resolver, &clock);
        let options = timeout.map_or(GetOptions::new(), |timeout| GetOptions::new().timeout(timeout));
        let mut get = pin!(pool.get_with("slow.test", options));
        assert!(poll_times(get.as_mut(), 50).await.is_none());
        clock.advance(Duration::from_secs(seconds) - Duration::from_nanos(1));
        assert!(poll_times(get.as_mut(), 50).await.is_none(), "too early");
        clock.advance(Duration::from_nanos(1));
        let error = within("the timeout", get).await.unwrap_err();
        assert_kind(&error, ErrorKind::Timeout, Phase::Resolve);
        assert_eq!(error.target(), Some("slow.test"));
        clock.advance(Duration::from_secs(60));
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// Close ends a resolution that hangs, and whoever waits for it hears that the pool is closed.
#[tokio::test]
async fn close_ends_a_resolution() {
    let pool = asking(&Scripted::new([]), &ManualClock::new());
    let mut get = pin!(pool.get("slow.test"));
    assert!(poll_times(get.as_mut(), 50).await.is_none());
    within("close", pool.close()).await;
    assert_eq!(
        within("the error", get).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(pool.stats().waiting, 0);
}

/// Fifty callers of a cold name ask once.
#[tokio::test]
async fn a_crowd_asks_once() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let resolver = Scripted::new([found(peer.ips(), 60)]);
    let pool = asking(&resolver, &ManualClock::new());
    let name = name(&peer);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (pool, name) = (pool.clone(), name.clone());
            crate::common::spawn(async move { round(&pool, &name).await })
        })
        .collect();
    for caller in callers {
        within("an answer", caller).await.unwrap();
    }
    assert_eq!(resolver.asked(), [("peer.test".to_owned(), peer.port())]);
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// What warming asked need not be asked again by the dials that follow.
#[tokio::test]
async fn warming_asks_once() {
    let peer = http1_peer();
    let (resolver, clock) = (Scripted::new([found(peer.ips(), 60)]), ManualClock::new());
    let pool = asking(&resolver, &clock);
    let name = name(&peer);
    let report = pool
        .warm(&name, hotpool::Warm::Count(2), GetOptions::new())
        .await
        .unwrap();
    assert_eq!((report.opened, report.errors.len()), (2, 0));
    round(&pool, &name).await;
    assert_eq!((resolver.asked().len(), peer.seen().accepts), (1, 2));
    finish(pool, peer).await;
}

/// An answer holds for its time to live; the dial after that asks again, and uses what it has meanwhile.
#[tokio::test]
async fn an_answer_holds_for_its_time() {
    let peer = http1_peer();
    let (resolver, clock) = (Scripted::new([found(peer.ips(), 20)]), ManualClock::new());
    let pool = asking(&resolver, &clock);
    let name = name(&peer);
    for (wait, asked) in [(0, 1), (19, 1), (1, 2), (19, 2), (1, 3)] {
        clock.advance(Duration::from_secs(wait));
        within("a connection", pool.get(&name)).await.unwrap().discard();
        let_run().await;
        assert_eq!(resolver.asked().len(), asked, "after {wait} s more");
    }
    finish(pool, peer).await;
}

/// An address that two answers in a row leave out is gone: what is idle there closes, and nothing new goes there.
#[tokio::test]
async fn an_address_that_vanished_is_left() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let (both, second) = (peer.ips(), &peer.ips()[1..]);
    let answers = [found(both, 5), found(second, 5), found(second, 5)];
    let (resolver, clock) = (Scripted::new(answers), ManualClock::new());
    let pool = asking(&resolver, &clock);
    let name = name(&peer);
    let first = within("the first", pool.get(&name)).await.unwrap();
    assert_eq!(first.info().remote.ip(), peer.ips()[0]);
    drop(first);
    for (asked, live_there) in [(2, 1), (3, 0)] {
        clock.advance(Duration::from_secs(5));
        let pinned = GetOptions::new().ip(peer.ips()[1]);
        within("a dial", pool.get_with(&name, pinned))
            .await
            .unwrap()
            .discard();
        crate::support::measure::settles(Duration::from_secs(5), "questions", asked, || {
            resolver.asked().len()
        })
        .await;
        let there = peer.ips()[0];
        peer.wait_for("its connections", |seen| seen.at(there).live == live_there)
            .await;
    }
    let conn = within("elsewhere", pool.get(&name)).await.unwrap();
    assert_eq!(conn.info().remote.ip(), peer.ips()[1]);
    assert_eq!(pool.stats().counters.closes(hotpool::CloseReason::AddressGone), 1);
    drop(conn);
    finish(pool, peer).await;
}

/// An address is nobody's name: it is dialled as it stands and the certificate must carry it.
#[tokio::test]
async fn an_address_is_never_asked_for() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let resolver = Scripted::new([Some(Err(ResolveError::Failed("asked for an address".into())))]);
    let pool = asking(&resolver, &ManualClock::new());
    for ip in peer.ips() {
        let mut conn = pool.get(format!("{ip}:{}", peer.port())).await.unwrap();
        assert_eq!(conn.info().remote.ip(), *ip);
        crate::common::use_up(&mut conn, "/").await;
    }
    assert!(resolver.asked().is_empty());
    finish(pool, peer).await;

    let peer = Peer::builder()
        .certificate(certs::authority().server(&["peer.test"]))
        .start();
    let pool = asking(&resolver, &ManualClock::new());
    let address = format!("127.0.0.1:{}", peer.port());
    let error = pool.get(&address).await.unwrap_err();
    assert_kind(&error, ErrorKind::CertificateName, Phase::Tls);
    finish(pool, peer).await;
}

/// Written any way, it is one host: one connection serves all spellings.
#[tokio::test]
async fn spellings_of_one_host_share() {
    let peer = http1_peer();
    let (pool, port) = (pool(&peer, |_| {}), peer.port());
    for spelling in ["peer.test", "PEER.test", "Peer.Test.", "peer.test."] {
        round(&pool, &format!("{spelling}:{port}")).await;
    }
    let uri: http::Uri = format!("https://peer.test:{port}/path?query").parse().unwrap();
    drop(pool.get(&uri).await.unwrap());
    assert_eq!(peer.seen().accepts, 1);
    assert_eq!(pool.stats().hosts.len(), 1);
    finish(pool, peer).await;
}

/// What is no target is the error of the future, for get and try_get alike, and the pool never hears of it.
#[tokio::test]
async fn a_bad_target_is_an_error_of_its_own() {
    let resolver = Scripted::new([]);
    let pool = asking(&resolver, &ManualClock::new());
    for bad in [
        "",
        ":443",
        "exa mple.test",
        "example.test:0x1",
        "example.test:99999",
        "[::1",
        "a\0b",
    ] {
        let error = pool.get(bad).await.unwrap_err();
        assert_kind(&error, ErrorKind::InvalidTarget, Phase::Target);
        assert!(error.target_error().is_some(), "{bad:?}: {error:?}");
        assert_eq!(pool.try_get(bad).unwrap_err().kind(), ErrorKind::InvalidTarget);
    }
    let nul = pool.get("a\0b").await.unwrap_err();
    assert_eq!(nul.target_error(), Some(&TargetError::Nul));
    assert!(resolver.asked().is_empty());
    assert!(pool.stats().hosts.is_empty());
}

/// What a pool knows of names, another one knows from its beginning: by JSON, as a process keeps it over a restart.
#[cfg(feature = "serde")]
#[tokio::test]
async fn a_snapshot_starts_warm() {
    let peer = http1_peer();
    let resolver = Scripted::new([found(peer.ips(), 60)]);
    let first = asking(&resolver, &ManualClock::new());
    let name = name(&peer);
    round(&first, &name).await;
    let text = serde_json::to_string(&first.dns_snapshot()).unwrap();
    within("close", first.close()).await;

    let silent = Scripted::new([]);
    let second = HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(silent.clone())
        .dns_snapshot(serde_json::from_str(&text).unwrap())
        .build()
        .unwrap();
    round(&second, &name).await;
    assert!(silent.asked().is_empty());
    assert_eq!(second.dns_snapshot().names.len(), 1);
    finish(second, peer).await;
}

/// A process that begins with an old snapshot asks, and what it knows serves only where nobody answers.
#[tokio::test]
async fn an_old_snapshot_serves_where_nobody_answers() {
    let peer = http1_peer();
    let (name, clock) = (name(&peer), ManualClock::new());
    let resolver = Scripted::new([found(peer.ips(), 60)]);
    let first = asking(&resolver, &clock);
    round(&first, &name).await;
    clock.advance(Duration::from_secs(100)); // past its time to live
    let snapshot = first.dns_snapshot();
    within("close", first.close()).await;
    for answer in [Err(ResolveError::Failed("SERVFAIL".into())), Err(not_found())] {
        let served = answer != Err(not_found());
        let failing = Scripted::new([Some(answer)]);
        let second = HotConnPool::builder()
            .roots(certs::authority().roots())
            .resolver(failing.clone())
            .dns_snapshot(snapshot.clone())
            .build()
            .unwrap();
        let got = within("an answer", second.get(&name)).await;
        assert_eq!((got.is_ok(), failing.asked().len()), (served, 1));
        drop(got);
        within("close", second.close()).await;
    }
    peer.shutdown().await;
}
