//! What an answer says of the address that gave it: asked before anybody has a connection, told by who had one, asked again while the address is blocked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::Stage;
use hotpool::{
    Block, BlockCause, Candidate, CloseReason, Error, ErrorKind, GetOptions, HotConn, HotConnPool, Outcome,
    Phase, Protocol, Returned, Scope, StaticResolver, StatusValidator, Validating, Validator, Verdict,
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{as_soon_as, lease, poll_once};
use crate::common::{
    at_rest, builder, config, finish, host, manual_pool, name, round, spawn, until, use_up, within,
};
use crate::support::peer::{Alpn, Order, Peer, To, go_away};

const SECOND: Duration = Duration::from_secs(1);
const QUARTER: Duration = Duration::from_secs(15 * 60);
/// A path that the peer answers no earlier than at the end of the test.
const HELD: &str = "/held";
const BOTH: [Alpn; 2] = [Alpn::Http1, Alpn::Http2];

/// Asks for the path that it is told to at the moment.
#[derive(Clone)]
struct Asks(Arc<Mutex<String>>);

impl Asks {
    fn for_path(path: &str) -> Self {
        Asks(Arc::new(Mutex::new(path.to_owned())))
    }

    fn switch(&self, path: &str) {
        *self.0.lock() = path.to_owned();
    }
}

impl Validator for Asks {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        let validator = StatusValidator::new(&self.0.lock()).unwrap();
        Box::pin(async move { validator.validate(conn).await })
    }
}

fn validated(peer: &Peer, validator: impl Validator) -> (HotConnPool, ManualClock) {
    let clock = ManualClock::new();
    let pool = builder(peer, |config| config.idle_timeout = 3600 * SECOND)
        .validator(validator)
        .clock(clock.clone())
        .build()
        .unwrap();
    (pool, clock)
}

fn peer(alpn: Alpn) -> Peer {
    Peer::builder().alpn(alpn).start()
}

fn hold(peer: &Peer, path: &str) {
    if path == HELD {
        peer.hold(To::All);
    }
}

fn get(pool: &HotConnPool, name: &str) -> tokio::task::JoinHandle<Result<HotConn, Error>> {
    let (pool, name) = (pool.clone(), name.to_owned());
    spawn(async move { pool.get(&name).await })
}

/// What is held against the one address that there is.
fn held(pool: &HotConnPool) -> Option<(BlockCause, Option<Duration>)> {
    let list = all_held(pool);
    assert!(list.len() < 2, "{list:?}");
    list.first().copied()
}

/// The same where that may be two things.
fn all_held(pool: &HotConnPool) -> Vec<(BlockCause, Option<Duration>)> {
    let list = pool.manager().blocklist().into_iter();
    list.map(|Block { cause, left, .. }| (cause, left)).collect()
}

/// A 403 with so many seconds left, and a wish to be left alone for so many, which shows where it is longer.
fn told_and_later(left: u64, later: Option<u64>) -> Vec<(BlockCause, Option<Duration>)> {
    let later = later
        .filter(|&later| later > left)
        .map(|later| (BlockCause::Protocol, later));
    let blocks = [(BlockCause::Status, left)].into_iter().chain(later);
    blocks
        .map(|(cause, left)| (cause, Some(Duration::from_secs(left))))
        .collect()
}

/// How an answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Allowed,
    Blocked,
    /// For so many seconds.
    BacksOff(ErrorKind, u64),
    /// It says nothing of the address: where it is reported nothing comes of it. A connection over which a validator hears it is not taken.
    Unfit,
}

impl Taken {
    /// As a validator takes it: a dial that brings nothing backs off.
    fn judged(self) -> Taken {
        match self {
            Taken::Unfit => Taken::BacksOff(ErrorKind::Rejected, 1),
            taken => taken,
        }
    }

    /// What is held against an address that nothing was held against, once it is reported.
    fn reported(self) -> Option<(BlockCause, Option<Duration>)> {
        match self {
            Taken::Allowed | Taken::Unfit => None,
            Taken::Blocked => Some((BlockCause::Status, Some(QUARTER))),
            Taken::BacksOff(_, seconds) => Some((BlockCause::Protocol, Some(Duration::from_secs(seconds)))),
        }
    }
}

/// The path, and what its answer means over either protocol, whoever hears it.
const TABLE: &[(&str, Taken, Taken)] = {
    use ErrorKind::{ConnectionReset, Http2, Io, Rejected, Timeout};
    use Taken::{Allowed, BacksOff, Blocked, Unfit};
    &[
        ("/status/200", Allowed, Allowed),
        ("/chunked/100000", Allowed, Allowed),
        ("/hints", Allowed, Allowed),
        ("/status/204", Allowed, Allowed),
        ("/status/301", Allowed, Allowed),
        ("/status/403", Blocked, Blocked),
        ("/status/404", Unfit, Unfit),
        ("/status/429", BacksOff(Rejected, 1), BacksOff(Rejected, 1)),
        ("/later/7", BacksOff(Rejected, 7), BacksOff(Rejected, 7)),
        ("/later/100000", BacksOff(Rejected, 900), BacksOff(Rejected, 900)),
        ("/status/500", Unfit, Unfit),
        ("/status/503", BacksOff(Rejected, 1), BacksOff(Rejected, 1)),
        (HELD, BacksOff(Timeout, 1), BacksOff(Timeout, 1)),
        ("/partial/10", BacksOff(Timeout, 1), BacksOff(Timeout, 1)),
        ("/reset/2", BacksOff(ConnectionReset, 1), BacksOff(Http2, 1)),
        ("/bytes/2000000", BacksOff(Io, 1), BacksOff(Io, 1)),
        ("/close", BacksOff(Rejected, 1), Allowed),
    ]
};

/// How whoever hears the answer to a path reports it; none where it is only a validator that minds.
fn reported(path: &str) -> Option<Outcome> {
    match path {
        HELD | "/reset/2" => return Some(Outcome::Error),
        "/partial/10" | "/bytes/2000000" | "/chunked/100000" | "/hints" | "/close" => return None,
        _ => {}
    }
    let (what, number) = path[1..].split_once('/').unwrap();
    Some(match what {
        "status" => Outcome::Status(number.parse().unwrap()),
        _ => Outcome::TryLater(Duration::from_secs(number.parse().unwrap())),
    })
}

fn table(alpn: Alpn) -> impl Iterator<Item = (&'static str, Taken)> {
    let column = move |&(path, http1, http2): &(&'static str, _, _)| match alpn {
        Alpn::Http2 => (path, http2),
        _ => (path, http1),
    };
    TABLE.iter().map(column)
}

/// One connection is accepted for each get, and validated once: it is the one that is lent, and lent again.
#[tokio::test]
async fn the_answer_decides_what_a_get_brings() {
    for alpn in BOTH {
        for (path, taken) in table(alpn).map(|(path, taken)| (path, taken.judged())) {
            let case = format!("{path} over {alpn:?}");
            let peer = peer(alpn);
            hold(&peer, path);
            let (pool, clock) = validated(&peer, StatusValidator::new(path).unwrap());
            let name = name(&peer);
            let got = get(&pool, &name);
            if let Taken::BacksOff(ErrorKind::Timeout, _) = taken {
                peer.wait_for("it is asked", |seen| seen.requests() == 1).await;
                clock.advance(10 * SECOND);
            }
            let got = within(&case, got).await.unwrap();
            let blocked = match taken {
                Taken::Allowed => {
                    assert_eq!(pool.put(got.expect(&case)), Returned::Kept, "{case}");
                    let mut again = lease(&pool, &name).await;
                    assert_eq!(use_up(&mut again, "/").await.nth, 2, "{case}");
                    drop(again);
                    assert_eq!(peer.seen().requests(), 2, "{case}");
                    None
                }
                Taken::Blocked => {
                    let error = got.expect_err(&case);
                    assert_eq!(
                        (error.kind(), error.phase()),
                        (ErrorKind::Blocked, Phase::Validate),
                        "{case}"
                    );
                    assert_eq!(
                        (error.retry_after(), error.ip()),
                        (Some(QUARTER), Some(peer.ips()[0])),
                        "{case}"
                    );
                    Some((BlockCause::Status, Some(QUARTER)))
                }
                Taken::BacksOff(kind, seconds) => {
                    let error = got.expect_err(&case);
                    let span = Duration::from_secs(seconds);
                    assert_eq!(
                        (error.kind(), error.phase()),
                        (kind, Phase::Validate),
                        "{case}: {error:?}"
                    );
                    assert_eq!(error.retry_after(), Some(span), "{case}");
                    Some((BlockCause::Protocol, Some(span)))
                }
                Taken::Unfit => unreachable!("nobody takes it"),
            };
            assert_eq!(held(&pool), blocked, "{case}");
            if let Some((_, left)) = blocked {
                let refused = within(&case, pool.get(&name)).await.expect_err(&case);
                assert_eq!(
                    (refused.kind(), refused.retry_after()),
                    (ErrorKind::Blocked, left),
                    "{case}"
                );
                assert_eq!(
                    (pool.size(), pool.stats().counters.failures(Phase::Validate)),
                    (0, 1),
                    "{case}"
                );
            }
            assert_eq!(peer.seen().accepts, 1, "{case}");
            peer.release(To::All);
            finish(pool, peer).await;
        }
    }
}

/// Asks, gives the question up when it is told to, asks another or not, and finds nothing wrong.
#[derive(Clone)]
struct GivesUp(Arc<tokio::sync::Notify>, Then);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Allows,
    Asks,
    AsksAndAllows,
}

impl Validator for GivesUp {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        Box::pin(async move {
            let request = http::Request::get(HELD).body(()).unwrap();
            tokio::select! {
                biased;
                () = self.0.notified() => {}
                answer = conn.ask(&request) => panic!("{answer:?}"),
            }
            if self.1 != Then::Allows {
                let another = http::Request::get("/").body(()).unwrap();
                let refused = conn.ask(&another).await;
                let refused = refused.map(|answer| panic!("{answer:?}"));
                if self.1 == Then::Asks {
                    return refused;
                }
            }
            Ok(Verdict::Allow)
        })
    }
}

/// Whatever its validator thinks of that. It is no fault of the address's.
#[tokio::test]
async fn a_question_that_was_given_up_leaves_no_connection() {
    for alpn in BOTH {
        for then in [Then::Allows, Then::Asks, Then::AsksAndAllows] {
            let case = format!("{then:?} over {alpn:?}");
            let peer = peer(alpn);
            peer.hold(To::All);
            let validator = GivesUp(Arc::default(), then);
            let (pool, _clock) = validated(&peer, validator.clone());
            let name = name(&peer);
            let got = get(&pool, &name);
            peer.wait_for("it is asked", |seen| seen.requests() == 1).await;
            validator.0.notify_one();
            let error = within("a refusal", got).await.unwrap().unwrap_err();
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Validator, Phase::Validate),
                "{case}"
            );
            let busy = error.cause().and_then(|cause| cause.downcast_ref::<Error>());
            let busy = busy.is_some_and(|cause| cause.kind() == ErrorKind::Busy);
            assert_eq!(busy, then == Then::Asks, "{case}");
            assert_eq!((pool.size(), pool.stats().counters.opened), (0, 0), "{case}");
            assert_eq!((held(&pool), peer.seen().requests()), (None, 1), "{case}");
            peer.release(To::All);
            finish(pool, peer).await;
        }
    }
}

/// Does what it does before it waits for something that never comes.
#[derive(Clone)]
struct Waits(Arc<tokio::sync::Notify>, First);

#[derive(Clone, Copy, Debug)]
enum First {
    Nothing,
    Asks,
    GivesUp,
}

impl Validator for Waits {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        Box::pin(async move {
            match self.1 {
                First::Nothing => {}
                First::Asks => _ = conn.ask(&http::Request::get("/").body(()).unwrap()).await?,
                First::GivesUp => {
                    let request = http::Request::get(HELD).body(()).unwrap();
                    let mut asked = Box::pin(conn.ask(&request));
                    assert!(poll_once(asked.as_mut()).await.is_none());
                }
            }
            self.0.notify_one();
            std::future::pending().await
        })
    }
}

/// Time that a validator takes for things of its own is none in which the address was silent, be the connection new or not.
#[tokio::test]
async fn a_validator_s_own_time_blames_nobody() {
    for alpn in BOTH {
        for first in [First::Nothing, First::Asks, First::GivesUp] {
            let case = format!("{first:?} over {alpn:?}");
            let peer = peer(alpn);
            let name = name(&peer);
            let validator = Waits(Arc::default(), first);
            let (pool, clock) = validated(&peer, validator.clone());
            let (plain, time) = manual_pool(&peer, |_| {});
            if matches!(first, First::GivesUp) {
                peer.hold(To::All);
            }
            let call = GetOptions::new().validate(Arc::new(validator.clone()));
            for (pool, clock, call) in [(&pool, clock, GetOptions::new()), (&plain, time, call)] {
                let judged = spawn({
                    let (pool, name) = (pool.clone(), name.clone());
                    async move { pool.get_with(&name, call).await }
                });
                within(&case, validator.0.notified()).await;
                clock.advance(10 * SECOND);
                let error = within(&case, judged).await.unwrap().unwrap_err();
                assert_eq!(
                    (error.kind(), error.phase()),
                    (ErrorKind::Timeout, Phase::Validate),
                    "{case}"
                );
                assert_eq!(
                    (held(pool), error.retry_after()),
                    (None, None),
                    "{case}: {error:?}"
                );
            }
            peer.release(To::All);
            at_rest(&plain).await;
            within("close", plain.close()).await;
            finish(pool, peer).await;
        }
    }
}

/// Panics as it is called, or as it is polled, once it has asked.
#[derive(Clone, Copy, Debug)]
struct Panics(bool);

impl Validator for Panics {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        assert!(!self.0, "a panic that is wanted");
        Box::pin(async move {
            let answer = conn.ask(&http::Request::get("/").body(()).unwrap()).await;
            panic!("a panic that is wanted: {answer:?}")
        })
    }
}

/// Its caller is told that it was the validator, and nobody is blamed.
#[tokio::test]
async fn a_validator_that_panics_harms_nobody() {
    for alpn in BOTH {
        for validator in [Panics(true), Panics(false)] {
            let case = format!("{validator:?} over {alpn:?}");
            let peer = peer(alpn);
            let name = name(&peer);
            let (pool, _clock) = validated(&peer, validator);
            let (plain, _clock) = manual_pool(&peer, |_| {});
            let by_call = GetOptions::new().validate(Arc::new(validator));
            let failures = [
                within(&case, pool.get(&name)).await,
                within(&case, plain.get_with(&name, by_call)).await,
            ];
            for error in failures.map(Result::unwrap_err) {
                assert_eq!(
                    (error.kind(), error.phase(), error.target()),
                    (ErrorKind::Validator, Phase::Validate, Some(&*name)),
                    "{case}: {error:?}"
                );
                assert!(format!("{error:?}").contains("panicked"), "{error:?}");
            }
            assert_eq!((held(&pool), held(&plain)), (None, None), "{case}");
            assert!(pool.stats().tasks.iter().all(|task| task.panics == 0), "{case}");
            assert_eq!(round(&plain, &name).await.status, 200, "{case}");
            at_rest(&plain).await;
            within("close", plain.close()).await;
            finish(pool, peer).await;
        }
    }
}

/// Tells of another network while it judges, and then to come again after the end of all times.
struct Elsewhere(Arc<Mutex<Option<HotConnPool>>>);

impl Validator for Elsewhere {
    fn validate<'a>(&'a self, _: &'a mut Candidate<'_>) -> Validating<'a> {
        let pool = self.0.lock().take();
        pool.expect("a pool").network_changed();
        Box::pin(async { Ok(Verdict::BackOff(Some(Duration::MAX))) })
    }
}

/// Nothing is held against an address of the network before; what the caller is told is a time that can be reckoned with all the same.
#[tokio::test]
async fn a_caller_is_told_no_longer_than_a_penalty_lasts() {
    let peer = peer(Alpn::Http1);
    let known = Arc::default();
    let (pool, _clock) = validated(&peer, Elsewhere(Arc::clone(&known)));
    *known.lock() = Some(pool.clone());
    let name = name(&peer);
    let error = within("a refusal", pool.get(&name)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Rejected, Phase::Validate)
    );
    assert_eq!(error.retry_after(), Some(QUARTER));
    assert_eq!(held(&pool), None);
    finish(pool, peer).await;
}

/// One exchange, whose status is what counts. None if none came.
async fn ask(conn: &mut HotConn, path: &str) -> Option<u16> {
    if conn.protocol() == Protocol::Http2 {
        let request = http::Request::get(format!("https://peer.test{path}"))
            .body(())
            .unwrap();
        let (response, _) = conn.h2().unwrap().send_request(request, true).await.unwrap();
        let (head, mut body) = response.await.ok()?.into_parts();
        while let Some(piece) = body.data().await {
            piece.ok()?;
        }
        return Some(head.status.as_u16());
    }
    let request = format!("GET {path} HTTP/1.1\r\nhost: peer.test\r\n\r\n");
    conn.write_all(request.as_bytes()).await.ok()?;
    conn.flush().await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(conn.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    conn.read_exact(&mut body).await.ok()?;
    head[9..12].parse().ok()
}

/// The same, told by who had the connection.
#[tokio::test]
async fn what_is_reported_decides_what_comes_of_a_put() {
    use Returned::{Closed, Kept};
    for alpn in BOTH {
        for (path, taken) in table(alpn) {
            let Some(outcome) = reported(path) else { continue };
            let case = format!("{path} over {alpn:?}");
            let gone = |reason| if alpn == Alpn::Http1 { Closed(reason) } else { Kept };
            let returned = match (path, taken) {
                (HELD, _) => gone(CloseReason::HalfRead),
                ("/reset/2", _) => gone(CloseReason::PeerClosed),
                (_, Taken::Blocked) => Closed(CloseReason::Blocked),
                _ => Kept,
            };
            let peer = peer(alpn);
            hold(&peer, path);
            let (pool, _clock) = manual_pool(&peer, |_| {});
            let name = name(&peer);
            let mut conn = lease(&pool, &name).await;
            match outcome {
                // It has taken too long.
                Outcome::Error if path == HELD => {
                    let mut asking = Box::pin(ask(&mut conn, path));
                    assert!(poll_once(asking.as_mut()).await.is_none(), "{case}");
                    let asked = peer.wait_for("it is asked", |seen| seen.requests() == 1);
                    tokio::select! { biased; _ = asked => {} _ = asking => panic!("{case}") }
                }
                Outcome::Error => assert_eq!(within(&case, ask(&mut conn, path)).await, None, "{case}"),
                Outcome::Status(status) => {
                    assert_eq!(within(&case, ask(&mut conn, path)).await, Some(status))
                }
                _ => _ = within(&case, ask(&mut conn, path)).await.expect(&case),
            }
            conn.report(outcome);
            assert_eq!(pool.put(conn), returned, "{case}");
            let blocked = taken.reported();
            assert_eq!(held(&pool), blocked, "{case}");
            let next = within(&case, pool.get(&name)).await;
            match (returned, blocked) {
                // What stands there stays, whatever is held against new ones.
                (Kept, _) => assert_eq!(next.expect(&case).info().serial, 1, "{case}"),
                (_, blocked) => {
                    assert_eq!(next.expect_err(&case).retry_after(), blocked.unwrap().1, "{case}")
                }
            }
            assert_eq!(peer.seen().accepts, 1, "{case}");
            peer.release(To::All);
            finish(pool, peer).await;
        }
    }
}

/// What was said by a 403 only an answer lifts that welcomes us, and nothing else hardens what is held.
#[tokio::test]
async fn what_is_reported_lifts_a_403_or_leaves_it() {
    let rows = table(Alpn::Http1).filter_map(|(path, taken)| Some((reported(path)?, taken)));
    for (outcome, taken) in rows.chain([(Outcome::Ok, Taken::Allowed)]) {
        let (stage, clock) = (Stage::new(1), ManualClock::new());
        let pool = stage.pool(config(|_| {}), clock.clone()).unwrap();
        let conn = lease(&pool, "peer.test").await;
        conn.report(Outcome::Status(403));
        clock.advance(100 * SECOND);
        conn.report(outcome);
        let blocks = match taken {
            Taken::Allowed => Vec::new(),
            Taken::Blocked => told_and_later(900, None),
            Taken::BacksOff(_, seconds) => told_and_later(800, Some(seconds)),
            Taken::Unfit => told_and_later(800, None),
        };
        assert_eq!(all_held(&pool), blocks, "{outcome:?}");
        drop(conn);
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// A 403 blocks; the recheck asks again over a connection of its own. What is allowed there goes into the pool, that very connection; what is not leaves
/// the block as it was, and a 403 begins it anew.
#[tokio::test]
async fn status_403_blocks_and_200_on_recheck_restores_into_the_pool() {
    for alpn in BOTH {
        for (path, taken) in table(alpn).map(|(path, taken)| (path, taken.judged())) {
            let case = format!("{path} over {alpn:?}");
            let peer = peer(alpn);
            let asks = Asks::for_path("/");
            let (pool, clock) = validated(&peer, asks.clone());
            let name = name(&peer);
            let conn = lease(&pool, &name).await;
            conn.report(Outcome::Status(403));
            assert_eq!(pool.put(conn), Returned::Closed(CloseReason::Blocked), "{case}");
            assert_eq!(held(&pool), Some((BlockCause::Status, Some(QUARTER))), "{case}");
            asks.switch(path);
            hold(&peer, path);
            crate::common::let_run().await;
            clock.advance(300 * SECOND);
            peer.wait_for("it is asked again", |seen| seen.requests() == 2)
                .await;
            if let Taken::BacksOff(ErrorKind::Timeout, _) = taken {
                clock.advance(10 * SECOND);
            }
            let tried = |failed| {
                move |stats: &hotpool::Stats| {
                    (stats.dialling, stats.counters.failures(Phase::Validate)) == (0, failed)
                }
            };
            let failed = u64::from(taken != Taken::Allowed);
            until(&pool, "the recheck has ended", tried(failed)).await;
            let blocks = match taken {
                Taken::Allowed => Vec::new(),
                Taken::Blocked => told_and_later(900, None),
                Taken::BacksOff(ErrorKind::Timeout, _) => told_and_later(590, None),
                Taken::BacksOff(_, seconds) => told_and_later(600, Some(seconds)),
                Taken::Unfit => unreachable!("nobody takes it"),
            };
            assert_eq!(all_held(&pool), blocks, "{case}");
            match taken {
                Taken::Allowed => {
                    let mut proven = lease(&pool, &name).await;
                    assert_eq!(proven.info().serial, 2, "{case}");
                    assert_eq!(use_up(&mut proven, "/").await.nth, 2, "{case}");
                }
                _ => {
                    assert_eq!(pool.size(), 0, "{case}");
                    let error = within(&case, pool.get(&name)).await.expect_err(&case);
                    assert_eq!(error.kind(), ErrorKind::Blocked, "{case}");
                }
            }
            assert_eq!(peer.seen().accepts, 2, "{case}");
            peer.release(To::All);
            finish(pool, peer).await;
        }
    }
}

/// An address that is blocked and wants to be left alone is not tried meanwhile, and is as soon as that is over, though nothing else happens then.
#[tokio::test]
async fn a_403_is_asked_about_again_when_its_address_may_be_asked() {
    for alpn in BOTH {
        let peer = peer(alpn);
        let (pool, clock) = validated(&peer, StatusValidator::new("/").unwrap());
        let name = name(&peer);
        let conn = lease(&pool, &name).await;
        conn.report(Outcome::Status(403));
        conn.report(Outcome::TryLater(400 * SECOND));
        assert_eq!(pool.put(conn), Returned::Closed(CloseReason::Blocked));
        assert_eq!(held(&pool), Some((BlockCause::Status, Some(QUARTER))));
        for waited in [300, 99] {
            crate::common::let_run().await;
            clock.advance(waited * SECOND);
            crate::common::let_run().await;
            assert_eq!(
                (pool.stats().counters.dials, peer.seen().accepts),
                (1, 1),
                "{alpn:?}"
            );
        }
        clock.advance(SECOND);
        until(&pool, "it rests", |stats| stats.idle == 1).await;
        assert_eq!((held(&pool), peer.seen().accepts), (None, 2), "{alpn:?}");
        finish(pool, peer).await;
    }
}

/// A connection that could not be validated closes nothing that stands, and blocks its address for a second alone.
#[tokio::test]
async fn transport_error_only_backs_off() {
    for path in ["/reset/2", HELD] {
        let peer = peer(Alpn::Http1);
        let asks = Asks::for_path("/");
        let (pool, clock) = validated(&peer, asks.clone());
        let name = name(&peer);
        let (idle, leased) = (lease(&pool, &name).await, lease(&pool, &name).await);
        asks.switch(path);
        hold(&peer, path);
        let failing = get(&pool, &name);
        peer.wait_for("it is asked", |seen| seen.requests() == 3).await;
        if path == HELD {
            clock.advance(10 * SECOND);
        }
        let error = within("an error", failing).await.unwrap().unwrap_err();
        assert_eq!(
            (error.phase(), error.retry_after()),
            (Phase::Validate, Some(SECOND)),
            "{path}"
        );
        assert_eq!(pool.put(idle), Returned::Kept);
        assert_eq!(
            lease(&pool, &name).await.info().serial,
            1,
            "what stands there is lent"
        );
        assert_eq!(pool.put(leased), Returned::Kept);
        assert_eq!(held(&pool), Some((BlockCause::Protocol, Some(SECOND))));
        clock.advance(SECOND);
        assert_eq!(held(&pool), None);
        peer.release(To::All);
        finish(pool, peer).await;
    }
}

/// Blocks one of the sites on an address, and takes the other.
struct Sites;

impl Validator for Sites {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        let blocked = conn.info().target.starts_with("a.");
        let path = if blocked { "/status/403" } else { "/status/200" };
        Box::pin(async move { StatusValidator::new(path).unwrap().validate(conn).await })
    }
}

#[tokio::test]
async fn a_403_for_one_site_leaves_another_on_the_same_ip_alone() {
    for alpn in BOTH {
        let peer = peer(alpn);
        let (pool, _clock) = validated(&peer, Sites);
        let [blocked, other] = ["a.peer.test", "b.peer.test"].map(|label| host(&peer, label));
        let idle = lease(&pool, &other).await;
        let error = within("a refusal", pool.get(&blocked)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Blocked, Phase::Validate)
        );
        assert_eq!(pool.put(idle), Returned::Kept);
        pool.manager().evict_host(&other).unwrap();
        drop(lease(&pool, &other).await);
        let scope = Scope::address(&blocked, peer.ips()[0]).unwrap();
        assert_eq!(
            pool.manager()
                .blocklist()
                .iter()
                .map(|block| &block.scope)
                .collect::<Vec<_>>(),
            [&scope]
        );
        peer.release(To::All);
        finish(pool, peer).await;
    }
}

/// Takes what goes to the last of the peer's addresses.
struct Last(IpAddr);

impl Validator for Last {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        let path = if conn.info().remote.ip() == self.0 {
            "/"
        } else {
            "/status/403"
        };
        Box::pin(async move { StatusValidator::new(path).unwrap().validate(conn).await })
    }
}

/// Within the same dial: who is refused at one address is served by another.
#[tokio::test]
async fn a_dial_goes_on_to_the_address_that_wants_us() {
    for alpn in BOTH {
        let peer = Peer::builder().ips(3).alpn(alpn).start();
        let (pool, _clock) = validated(&peer, Last(peer.ips()[2]));
        let conn = lease(&pool, &name(&peer)).await;
        assert_eq!(conn.info().remote.ip(), peer.ips()[2]);
        let stats = pool.stats();
        assert_eq!((stats.counters.dials, stats.counters.opened), (1, 1));
        assert_eq!(pool.manager().blocklist().len(), 2);
        assert_eq!((peer.seen().accepts, peer.seen().requests()), (3, 3));
        drop(conn);
        peer.release(To::All);
        finish(pool, peer).await;
    }
}

/// The dial goes on, and what it brings rests, validated.
#[tokio::test]
async fn a_get_that_is_given_up_while_its_connection_is_validated_loses_nothing() {
    for alpn in BOTH {
        let peer = peer(alpn);
        let (pool, _clock) = validated(&peer, StatusValidator::new("/").unwrap());
        let name = name(&peer);
        peer.hold(To::All);
        let got = get(&pool, &name);
        peer.wait_for("it is asked", |seen| seen.requests() == 1).await;
        assert_eq!((pool.size(), pool.stats().waiting), (0, 1), "nobody has it yet");
        let out = within(
            "its time",
            pool.get_with(&name, GetOptions::new().timeout(Duration::ZERO)),
        )
        .await;
        assert_eq!(out.unwrap_err().phase(), Phase::Validate, "{alpn:?}");
        got.abort();
        as_soon_as(&pool, "nobody waits", |stats| stats.waiting == 0).await;
        peer.release(To::All);
        until(&pool, "it rests", |stats| stats.idle == 1).await;
        let mut conn = lease(&pool, &name).await;
        assert_eq!(use_up(&mut conn, "/").await.nth, 2);
        drop(conn);
        assert_eq!(peer.seen().accepts, 1);
        peer.release(To::All);
        finish(pool, peer).await;
    }
}

/// By the validator of one call, whether it is new or had rested: what passes is lent, what is blocked gives way to another address, and what backs off
/// stays for those who do not mind.
#[tokio::test]
async fn a_call_may_have_its_connection_judged() {
    for alpn in BOTH {
        let peer = Peer::builder().ips(2).alpn(alpn).start();
        let (pool, _clock) = manual_pool(&peer, |_| {});
        let name = name(&peer);
        let [first, last]: [IpAddr; 2] = peer.ips().try_into().unwrap();
        let by = |validator: Arc<dyn Validator>| GetOptions::new().validate(validator);
        let path = |path: &str| -> Arc<dyn Validator> { Arc::new(StatusValidator::new(path).unwrap()) };
        let judged = async |validator| within("an answer", pool.get_with(&name, by(validator))).await;
        for nth in [2, 4] {
            let mut conn = judged(path("/")).await.unwrap();
            assert_eq!(
                (use_up(&mut conn, "/").await.nth, conn.info().remote.ip()),
                (nth, first),
                "{alpn:?}"
            );
            assert_eq!(pool.put(conn), Returned::Kept);
        }
        let error = judged(path("/later/7")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Rejected, Phase::Validate)
        );
        assert_eq!(
            (error.retry_after(), error.target()),
            (Some(7 * SECOND), Some(name.as_str()))
        );
        assert_eq!(held(&pool), Some((BlockCause::Protocol, Some(7 * SECOND))));
        assert_eq!((peer.seen().accepts, pool.stats().idle), (1, 1), "it stays");
        let conn = judged(Arc::new(Last(last))).await.unwrap();
        assert_eq!(conn.info().remote.ip(), last, "{alpn:?}");
        assert_eq!(
            (
                peer.seen().accepts,
                pool.stats().counters.closes(CloseReason::Blocked)
            ),
            (2, 1)
        );
        assert_eq!(held(&pool), Some((BlockCause::Status, Some(QUARTER))));
        drop(conn);
        let error = judged(path("/status/403")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Blocked, Phase::Validate)
        );
        assert_eq!((pool.size(), peer.seen().accepts), (0, 2), "{alpn:?}");
        finish(pool, peer).await;
    }
}

/// It had its time: another is judged, a new one here, and nothing is held against the address.
#[tokio::test]
async fn what_had_rested_and_ends_as_it_is_asked_blames_nobody() {
    for alpn in BOTH {
        let goodbye = (alpn == Alpn::Http2).then(|| go_away(0, 0));
        for order in [Order::Close, Order::Reset].into_iter().chain(goodbye) {
            let case = format!("{order:?} over {alpn:?}");
            let peer = peer(alpn);
            let (pool, _clock) = manual_pool(&peer, |config| config.dial_attempts = 1);
            let name = name(&peer);
            let conn = lease(&pool, &name).await;
            assert_eq!(pool.put(conn), Returned::Kept, "{case}");
            peer.hold(To::All);
            let call = GetOptions::new().validate(Arc::new(StatusValidator::new("/").unwrap()));
            let mut judged = Box::pin(pool.get_with(&name, call));
            let dialled = async {
                peer.wait_for("it is asked", |seen| seen.requests() == 1).await;
                assert_eq!(peer.order(To::All, order.clone()), 1, "{case}");
                peer.wait_for("another is asked", |seen| seen.requests() == 2)
                    .await;
            };
            tokio::select! {
                biased;
                ended = &mut judged => panic!("{case}: {ended:?}"),
                () = dialled => peer.release(To::All),
            }
            let conn = within(&case, judged).await.expect(&case);
            assert_eq!((conn.info().serial, held(&pool)), (2, None), "{case}");
            assert_eq!(pool.put(conn), Returned::Kept, "{case}");
            finish(pool, peer).await;
        }
    }
}

/// The time of a call is its caller's: that it was over before any attempt's would have been says nothing of the address, and neither does what the pool itself
/// has cut, or a timer that this machine was too busy for. Who had the time of an attempt, and was not answered, can tell.
#[tokio::test]
async fn a_call_without_time_for_a_judgement_blames_nobody() {
    let (short, full) = (9 * SECOND, 10 * SECOND);
    let late = full + Duration::from_millis(101);
    for alpn in BOTH {
        let peer = peer(alpn);
        let (pool, clock) = manual_pool(&peer, |config| config.dial_attempts = 1);
        let name = name(&peer);
        peer.hold(To::All);
        let cases = [
            (Some(short), Some(short), None),
            (None, None, None),
            (None, Some(late), None),
            (None, Some(full), Some((BlockCause::Protocol, Some(SECOND)))),
        ];
        for (nth, (time, passes, blocked)) in (1..).zip(cases) {
            let case = format!("{alpn:?}, {nth}");
            let call = GetOptions::new().validate(Arc::new(StatusValidator::new(HELD).unwrap()));
            let call = time.map_or(call.clone(), |time| call.timeout(time));
            let judged = spawn({
                let (pool, name) = (pool.clone(), name.clone());
                async move { pool.get_with(&name, call).await }
            });
            peer.wait_for("it is asked", |seen| seen.requests() == nth).await;
            match passes {
                Some(time) => clock.advance(time),
                None => _ = pool.force_cleanup(),
            }
            let error = within(&case, judged).await.unwrap().unwrap_err();
            assert_eq!(
                (error.phase(), error.is_timeout()),
                (Phase::Validate, passes.is_some()),
                "{case}: {error:?}"
            );
            let left = blocked.and_then(|(_, left)| left);
            assert_eq!((held(&pool), error.retry_after()), (blocked, left), "{case}");
            // The next has a connection of its own.
            pool.manager().evict_host(&name).unwrap();
        }
        peer.release(To::All);
        finish(pool, peer).await;
    }
}

/// What a validator meets elsewhere is its own trouble.
struct Lost(HotConnPool);

impl Validator for Lost {
    fn validate<'a>(&'a self, _: &'a mut Candidate<'_>) -> Validating<'a> {
        Box::pin(async move {
            let ready = self.0.get("nowhere.test").await?;
            drop(ready);
            Ok(Verdict::Allow)
        })
    }
}

#[tokio::test]
async fn a_validator_s_own_trouble_blames_nobody() {
    for alpn in BOTH {
        let peer = peer(alpn);
        let name = name(&peer);
        let elsewhere = HotConnPool::builder()
            .resolver(StaticResolver::new())
            .build()
            .unwrap();
        let (pool, _clock) = validated(&peer, Lost(elsewhere.clone()));
        let (plain, _clock) = manual_pool(&peer, |_| {});
        let by_call = GetOptions::new().validate(Arc::new(Lost(elsewhere.clone())));
        let failures = [
            within("an error", pool.get(&name)).await,
            within("an error", plain.get_with(&name, by_call)).await,
        ];
        for error in failures.map(Result::unwrap_err) {
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Validator, Phase::Validate)
            );
            let cause = error.cause().unwrap().downcast_ref::<Error>().unwrap();
            assert_eq!(
                (cause.target(), error.target()),
                (Some("nowhere.test"), Some(&*name))
            );
        }
        assert_eq!((held(&pool), held(&plain)), (None, None), "{alpn:?}");
        drop(lease(&plain, &name).await);
        for pool in [elsewhere, plain] {
            at_rest(&pool).await;
            within("close", pool.close()).await;
        }
        finish(pool, peer).await;
    }
}

/// What is leased when the network changes, or when the pool is cut, fails for that: neither is held against an address, and neither clears one. A 403 was said
/// all the same.
#[tokio::test]
async fn what_a_lease_of_another_network_reports_blames_nobody() {
    for alpn in BOTH {
        for cut in [false, true] {
            let peer = peer(alpn);
            let (pool, _clock) = manual_pool(&peer, |_| {});
            let name = name(&peer);
            let case = format!("{alpn:?}, cut: {cut}");
            let before = lease(&pool, &name).await;
            match cut {
                true => _ = pool.force_cleanup(),
                false => pool.network_changed(),
            }
            let failures = [
                Outcome::Error,
                Outcome::Status(429),
                Outcome::TryLater(60 * SECOND),
            ];
            for outcome in failures {
                before.report(outcome);
                assert_eq!(held(&pool), None, "{case}, {outcome:?}");
            }
            if alpn == Alpn::Http2 && !cut {
                // It has shown no life in this network yet.
                let doubtful = lease(&pool, &name).await;
                assert_eq!(doubtful.info().serial, before.info().serial, "{case}");
                for outcome in failures {
                    doubtful.report(outcome);
                    assert_eq!(held(&pool), None, "{case}, {outcome:?}");
                }
                crate::common::let_run().await; // from now on it waits for that
            }
            // Another has its say.
            let after = lease(&pool, &name).await;
            after.report(Outcome::Error);
            let failed = Some((BlockCause::Protocol, Some(SECOND)));
            assert_eq!(held(&pool), failed, "{case}");
            before.report(Outcome::Ok);
            assert_eq!(held(&pool), failed, "{case}");
            before.report(Outcome::Status(403));
            assert_eq!(held(&pool), Some((BlockCause::Status, Some(QUARTER))), "{case}");
            drop((before, after));
            finish(pool, peer).await;
        }
    }
}
