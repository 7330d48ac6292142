//! A peer that fails, at each stage of a dial: a typed error in time that names the phase and the target, a penalty, and recovery.

use std::time::Duration;

use bytes::Bytes;
use hotpool::clock::ManualClock;
use hotpool::{ErrorKind, GetOptions, HotConnPool, Phase};

use rustls::SupportedProtocolVersion;

use crate::common::{
    assert_kind, at_rest, failure, finish, http1_peer, manual_pool, name, poll_times, pool, round, until,
    within,
};
use crate::support::measure;
use crate::support::peer::{Act, Alpn, DEADLINE, Order, Peer, To};

const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const SECOND: Duration = Duration::from_secs(1);

/// After a failure: blocked until the penalty of one second is over, to the nanosecond, and then served.
async fn blocked_then_served(pool: &HotConnPool, clock: &ManualClock, peer: &Peer) {
    let (name, accepts) = (name(peer), peer.seen().accepts);
    for (left, wait) in [
        (SECOND, SECOND / 2),
        (SECOND / 2, SECOND / 2 - Duration::from_nanos(1)),
        (Duration::from_nanos(1), Duration::from_nanos(1)),
    ] {
        let error = failure(pool, &name).await;
        assert_kind(&error, ErrorKind::Blocked, Phase::Acquire);
        assert_eq!(error.retry_after(), Some(left));
        clock.advance(wait);
    }
    assert_eq!(peer.seen().accepts, accepts, "nothing was dialled meanwhile");
    assert_eq!(round(pool, &name).await.status, 200);
}

#[tokio::test]
async fn a_refused_connection() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    peer.refuse(To::All).await;
    let error = failure(&pool, &name(&peer)).await;
    assert_kind(&error, ErrorKind::ConnectionRefused, Phase::Connect);
    assert!(!error.is_timeout());
    assert_eq!(pool.stats().counters.failures(Phase::Connect), 1);
    peer.listen(To::All).await;
    blocked_then_served(&pool, &clock, &peer).await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn each_way_to_fail_in_the_handshake() {
    for (act, kind) in [
        (Act::ResetOnAccept, ErrorKind::ConnectionReset),
        (Act::ResetAfterHello, ErrorKind::ConnectionReset),
        (
            Act::Garbage(Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            ErrorKind::Tls,
        ),
        (Act::Garbage(Bytes::from_static(&[0; 64])), ErrorKind::Tls),
        (
            Act::Garbage(Bytes::from_static(&[0x16, 3, 3, 0xff, 0xff])),
            ErrorKind::Tls,
        ),
        (Act::Garbage(Bytes::new()), ErrorKind::ConnectionReset),
    ] {
        let peer = http1_peer();
        let (pool, clock) = manual_pool(&peer, |_| {});
        peer.next(To::All, 1, act.clone());
        let error = failure(&pool, &name(&peer)).await;
        assert_eq!(error.kind(), kind, "{act:?}: {error:?}");
        // A reset that is fast enough comes before the connect is looked at.
        let fast = matches!(act, Act::ResetOnAccept) && error.phase() == Phase::Connect;
        assert!(fast || error.phase() == Phase::Tls, "{act:?}: {error:?}");
        assert_eq!(pool.size(), 0);
        peer.wait_for("nothing is left", |seen| seen.live == 0).await;
        blocked_then_served(&pool, &clock, &peer).await;
        finish(pool, peer).await;
    }
}

/// Stages at which a dial may hang, and the phase that is to blame.
async fn hang(peer: &Peer, stage: usize) -> Phase {
    match stage {
        0 => {
            peer.black_hole(To::All).await;
            Phase::Connect
        }
        1 => {
            peer.next(To::All, 1, Act::StallOnAccept);
            Phase::Tls
        }
        _ => {
            peer.next(To::All, 1, Act::StallAfterHello);
            Phase::Tls
        }
    }
}

async fn hangs(pool: &HotConnPool, peer: &Peer, stage: usize) {
    until(pool, "a dial", |stats| stats.dialling == 1).await;
    match stage {
        0 => {}
        1 => drop(peer.wait_for("accepted", |seen| seen.accepts == 1).await),
        _ => drop(peer.wait_for("heard", |seen| seen.hellos == 1).await),
    }
    crate::common::let_run().await;
}

/// One attempt has `attempt_timeout`: not a nanosecond less, and none more.
#[tokio::test]
async fn a_hanging_attempt_times_out_and_names_its_phase() {
    for stage in 0..3 {
        let peer = http1_peer();
        let (pool, clock) = manual_pool(&peer, |config| config.attempt_timeout = 5 * SECOND);
        let (name, phase) = (name(&peer), hang(&peer, stage).await);
        let mut get = Box::pin(pool.get(&name));
        assert!(poll_times(get.as_mut(), 20).await.is_none());
        hangs(&pool, &peer, stage).await;
        clock.advance(5 * SECOND - Duration::from_nanos(1));
        assert!(poll_times(get.as_mut(), 50).await.is_none(), "too early");
        clock.advance(Duration::from_nanos(1));
        let error = within("the timeout", get).await.unwrap_err();
        assert_kind(&error, ErrorKind::Timeout, phase);
        assert!(error.is_timeout());
        assert_eq!(error.target(), Some(name.as_str()));
        peer.listen(To::All).await;
        blocked_then_served(&pool, &clock, &peer).await;
        finish(pool, peer).await;
    }
}

/// A get with less time than the attempt gives up alone, and says what it was waiting for; the dial goes on and serves the next.
#[tokio::test]
async fn a_get_may_have_less_time_than_its_dial() {
    for stage in 0..3 {
        let peer = http1_peer();
        let (pool, clock) = manual_pool(&peer, |_| {});
        let (name, phase) = (name(&peer), hang(&peer, stage).await);
        let options = GetOptions::new().timeout(2 * SECOND);
        let mut get = Box::pin(pool.get_with(&name, options));
        assert!(poll_times(get.as_mut(), 20).await.is_none());
        hangs(&pool, &peer, stage).await;
        clock.advance(2 * SECOND);
        let error = within("the timeout", get).await.unwrap_err();
        assert_kind(&error, ErrorKind::Timeout, phase);
        let stats = pool.stats();
        assert_eq!(
            (stats.dialling, stats.waiting, stats.counters.timeouts),
            (1, 0, 1)
        );
        clock.advance(8 * SECOND); // the attempt's own end
        at_rest(&pool).await;
        assert_eq!(pool.stats().counters.failures(phase), 1);
        peer.listen(To::All).await;
        blocked_then_served(&pool, &clock, &peer).await;
        finish(pool, peer).await;
    }
}

/// The whole dial has `connect_timeout`, however many addresses are left to try.
#[tokio::test]
async fn the_whole_dial_has_a_limit() {
    let peer = Peer::builder().ips(3).alpn(Alpn::Http1).start();
    let (pool, clock) = manual_pool(&peer, |config| {
        config.attempt_timeout = 4 * SECOND;
        config.connect_timeout = 6 * SECOND;
    });
    peer.always(To::All, Act::StallAfterHello);
    let name = name(&peer);
    let mut get = Box::pin(pool.get(&name));
    for (attempt, wait) in [(1, 4), (2, 2)] {
        assert!(poll_times(get.as_mut(), 20).await.is_none());
        peer.wait_for("an attempt", |seen| seen.hellos == attempt).await;
        crate::common::let_run().await;
        clock.advance(wait * SECOND);
    }
    let error = within("the timeout", get).await.unwrap_err();
    assert_kind(&error, ErrorKind::Timeout, Phase::Tls);
    assert_eq!(peer.seen().accepts, 2, "no time for the third");
    peer.always(To::All, Act::Serve);
    finish(pool, peer).await;
}

/// Real time, once: the limits hold on the system's clock too.
#[tokio::test]
async fn a_black_hole_takes_no_longer_than_allowed_in_real_time() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.attempt_timeout = SECOND / 5);
    peer.black_hole(To::All).await;
    let error = failure(&pool, &name(&peer)).await;
    assert_kind(&error, ErrorKind::Timeout, Phase::Connect);
    finish(pool, peer).await;
}

/// One address of three is bad, whichever way: a get tries the next and succeeds.
#[tokio::test]
async fn one_bad_address_of_three_is_stepped_over() {
    for bad in 0..3 {
        for act in [
            Act::ResetOnAccept,
            Act::ResetAfterHello,
            Act::Garbage(Bytes::from_static(b"no")),
        ] {
            let peer = Peer::builder().ips(3).alpn(Alpn::Http1).start();
            let (pool, name) = (pool(&peer, |_| {}), name(&peer));
            let ip = peer.ips()[bad];
            peer.always(To::Ip(ip), act.clone());
            let mut leases = Vec::new();
            for _ in 0..6 {
                leases.push(within("a connection", pool.get(&name)).await.unwrap());
            }
            assert!(leases.iter().all(|conn| conn.info().remote.ip() != ip), "{act:?}");
            assert_eq!(peer.seen().at(ip).accepts, 1, "once bitten: {act:?}");
            leases.into_iter().for_each(drop);
            finish(pool, peer).await;
        }
    }
}

/// A refused address and a black hole beside a good one.
#[tokio::test]
async fn a_refused_and_a_hanging_address_are_stepped_over() {
    let peer = Peer::builder().ips(3).alpn(Alpn::Http1).start();
    let (pool, clock) = manual_pool(&peer, |config| config.attempt_timeout = 5 * SECOND);
    let name = name(&peer);
    peer.refuse(To::Ip(peer.ips()[0])).await;
    peer.black_hole(To::Ip(peer.ips()[1])).await;
    let mut get = Box::pin(pool.get(&name));
    assert!(poll_times(get.as_mut(), 20).await.is_none());
    until(&pool, "the first was refused", |stats| {
        stats.counters.failures(Phase::Connect) == 1
    })
    .await;
    crate::common::let_run().await;
    clock.advance(5 * SECOND);
    let conn = within("the third", get).await.unwrap();
    assert_eq!(conn.info().remote.ip(), peer.ips()[2]);
    drop(conn);
    peer.listen(To::All).await;
    finish(pool, peer).await;
}

/// An address that is full is not dialled, be it the only one left to try.
#[tokio::test]
async fn a_full_address_is_stepped_over() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let (pool, name) = (pool(&peer, |config| config.max_per_ip = 1), name(&peer));
    let full = GetOptions::new().ip(peer.ips()[1]);
    let leased = within("a lease", pool.get_with(&name, full)).await.unwrap();
    peer.always(To::All, Act::ResetAfterHello);
    let error = failure(&pool, &name).await;
    assert_eq!(error.ip(), Some(peer.ips()[0]), "{error:?}");
    let seen = peer.seen();
    assert_eq!(
        (seen.at(peer.ips()[0]).accepts, seen.at(peer.ips()[1]).accepts),
        (1, 1)
    );
    drop(leased);
    finish(pool, peer).await;
}

/// No more addresses than `dial_attempts` are tried in one dial.
#[tokio::test]
async fn a_dial_tries_so_many_addresses_and_no_more() {
    let peer = Peer::builder().ips(5).alpn(Alpn::Http1).start();
    let pool = pool(&peer, |config| config.dial_attempts = 2);
    peer.always(To::All, Act::ResetAfterHello);
    let error = failure(&pool, &name(&peer)).await;
    assert_kind(&error, ErrorKind::ConnectionReset, Phase::Tls);
    assert_eq!(peer.seen().accepts, 2);
    finish(pool, peer).await;
}

/// The error of a dial is that of everybody who waited for it, and each hears it.
#[tokio::test]
async fn everybody_who_waited_hears_the_error() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    peer.always(To::All, Act::StallAfterHello);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (pool, name) = (pool.clone(), name.clone());
            crate::common::spawn(async move { pool.get(&name).await.unwrap_err() })
        })
        .collect();
    peer.wait_for("the one dial of a cold host", |seen| seen.hellos == 1)
        .await;
    until(&pool, "all wait", |stats| stats.waiting == 20).await;
    peer.order(To::All, Order::Reset);
    for caller in callers {
        let error = within("the error", caller).await.unwrap();
        assert_kind(&error, ErrorKind::ConnectionReset, Phase::Tls);
    }
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// A peer that closes right after the handshake is not dialled for ever: each get ends, and no storm of dials comes of it.
#[tokio::test]
async fn a_peer_that_closes_at_once_is_not_stormed() {
    // In TLS 1.2 the peer has the last word of the handshake: its end comes with it.
    for versions in [TLS12, TLS13] {
        for alpn in [Alpn::Http1, Alpn::Http2] {
            let peer = Peer::builder().alpn(alpn).versions(versions).start();
            let (pool, name) = (pool(&peer, |_| {}), name(&peer));
            peer.always(To::All, Act::CloseAfterHandshake);
            for _ in 0..10 {
                // Handed out before the end arrived, or not: either is an answer.
                if let Err(error) = within("an answer", pool.get(&name)).await {
                    assert_eq!(error.target(), Some(name.as_str()));
                }
            }
            let accepts = peer.seen().accepts;
            assert!(accepts <= 30, "{accepts} dials for ten gets");
            finish(pool, peer).await;
        }
    }
}

/// Whose connections all die between the grant and the first look is told so in the end, instead of dialling for ever.
#[tokio::test]
async fn so_many_dead_on_arrival_and_no_more() {
    let peer = Peer::builder().ips(3).alpn(Alpn::Http1).start();
    // What is held against an address does not pass meanwhile.
    let ((pool, _clock), name) = (manual_pool(&peer, |_| {}), name(&peer));
    peer.always(To::All, Act::CloseAfterHandshake);
    let ended = || {
        let mut sockets = measure::tcp_sockets().into_iter();
        sockets.any(|socket| socket.remote.port() == peer.port() && socket.state == "CLOSE_WAIT")
    };
    let mut get = Box::pin(pool.get(&name));
    for dials in 1..=3 {
        assert!(poll_times(get.as_mut(), 1).await.is_none());
        peer.wait_for("a dial", |seen| seen.handshakes == dials).await;
        until(&pool, "granted", |stats| stats.leases == 1).await;
        measure::eventually(DEADLINE, "its end has come", ended).await;
        crate::common::let_run().await;
    }
    let error = within("the end of it", get).await.unwrap_err();
    assert_kind(&error, ErrorKind::ConnectionReset, Phase::Tls);
    assert_eq!(error.target(), Some(name.as_str()));
    assert!(
        peer.ips().iter().all(|&ip| peer.seen().at(ip).accepts == 1),
        "each address once"
    );
    finish(pool, peer).await;
}
