//! HTTP/2, against a server that speaks in frames.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{CloseReason, H2Response, HotConn, HotConnPool, PoolConfig, RetrySafety, Returned, h2};
use tokio::sync::{Semaphore, mpsc};

use super::{as_soon_as, lease, poll_once};
use crate::common::{at_rest, config, http1_peer, let_run, name, spawn, until, within};
use crate::support::certs;
use crate::support::frames::{
    ACK, DATA, END_STREAM, FramePeer, HEADERS, MAX_STREAMS, OK, PING, RST_STREAM, SETTINGS, Script, Wire,
    frame,
};
use crate::support::peer::{Act, To};

const NAME: &str = "peer.test";

/// What a test tells the one connection of its peer to do.
type Line = mpsc::UnboundedSender<Vec<u8>>;

pub(super) fn builder(peer: &FramePeer, change: impl FnOnce(&mut PoolConfig)) -> hotpool::Builder {
    let target = format!("{NAME}:{}", peer.port());
    HotConnPool::builder()
        .config(config(change))
        .roots(certs::authority().roots())
        .resolver(
            hotpool::StaticResolver::new()
                .with(target.as_str(), [peer.ip()])
                .unwrap(),
        )
}

pub(super) fn pool(peer: &FramePeer, change: impl FnOnce(&mut PoolConfig)) -> (HotConnPool, String) {
    let pool = builder(peer, change).build().unwrap();
    (pool, format!("{NAME}:{}", peer.port()))
}

fn manual(peer: &FramePeer) -> (HotConnPool, String, ManualClock) {
    let clock = ManualClock::new();
    let pool = builder(peer, |_| {}).clock(clock.clone()).build().unwrap();
    (pool, format!("{NAME}:{}", peer.port()), clock)
}

/// Whatever the script does, with the answer to the client's SETTINGS ahead.
pub(super) fn script<F: Future<Output = ()> + Send + 'static>(
    body: impl Fn(Wire) -> F + Send + Sync + Clone + 'static,
) -> impl Fn(Wire) -> Script + Send + Sync + 'static {
    move |wire| Box::pin(body(wire))
}

/// A peer that allows `streams` and answers everything.
pub(super) fn answering(streams: u32) -> FramePeer {
    FramePeer::start(script(move |mut wire| async move {
        wire.settings(&[(MAX_STREAMS, streams)]).await;
        wire.serve().await;
    }))
}

/// A peer that allows `streams`, says nothing by itself but what it must, and passes on what it is told.
fn told(streams: u32) -> (FramePeer, Line, mpsc::UnboundedReceiver<(u8, u32)>) {
    let (line, orders) = mpsc::unbounded_channel::<Vec<u8>>();
    let (seen, sees) = mpsc::unbounded_channel();
    let orders = Arc::new(tokio::sync::Mutex::new(orders));
    let peer = FramePeer::start(script(move |mut wire| {
        let (orders, seen) = (orders.clone(), seen.clone());
        async move {
            wire.settings(&[(MAX_STREAMS, streams)]).await;
            // Only the first connection is told anything; others answer.
            let Ok(mut orders) = orders.try_lock() else {
                return wire.serve().await;
            };
            loop {
                tokio::select! {
                    biased;
                    Some(order) = orders.recv() => drop(wire.send(&order).await),
                    // Whole frames: what is read by halves here is small, and has come by then.
                    frame = wire.next() => match frame {
                        Some(frame) => drop(seen.send((frame.kind, frame.stream))),
                        None => return,
                    },
                }
            }
        }
    }));
    (peer, line, sees)
}

pub(super) fn get(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://{NAME}{path}"))
        .body(())
        .unwrap()
}

pub(super) async fn ask(conn: &mut HotConn) -> H2Response {
    conn.h2().unwrap().send_request(get("/"), true).await.unwrap().0
}

/// One exchange, to its end.
pub(super) async fn exchange(conn: &mut HotConn) -> Result<(), h2::Error> {
    let response = conn.h2().unwrap().send_request(get("/"), true).await.unwrap().0;
    let mut body = within("an answer", response).await?.into_body();
    while let Some(piece) = within("a body", body.data()).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(())
}

/// Gets a lease and makes one exchange.
pub(super) async fn round(pool: &HotConnPool, name: &str) -> u64 {
    let mut conn = lease(pool, name).await;
    exchange(&mut conn).await.unwrap();
    conn.info().serial
}

pub(super) async fn close(pool: HotConnPool, peer: FramePeer) {
    at_rest(&pool).await;
    within("close", pool.close()).await;
    pool.manager().assert_invariants();
    drop(peer);
}

fn headers(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, 4 | flags, stream, OK)
}

async fn sees(sees: &mut mpsc::UnboundedReceiver<(u8, u32)>, kind: u8) -> u32 {
    let wanted = async {
        loop {
            match sees.recv().await.unwrap() {
                (seen, stream) if seen == kind => return stream,
                _ => {}
            }
        }
    };
    within("a frame at the peer", wanted).await
}

#[tokio::test]
async fn streams_are_reserved_before_they_are_opened() {
    let peer = answering(2);
    let (pool, name) = pool(&peer, |config| config.max_per_host = 1);
    round(&pool, &name).await;
    // No stream is opened on either, and still there is no third.
    let mut both = [lease(&pool, &name).await, lease(&pool, &name).await];
    let mut third = Box::pin(pool.get(&name));
    assert!(poll_once(third.as_mut()).await.is_none());
    for conn in &mut both {
        exchange(conn).await.unwrap();
    }
    let_run().await;
    assert!(
        poll_once(third.as_mut()).await.is_none(),
        "their streams have ended, their leases have not"
    );
    drop(both);
    drop(within("the third", third).await.unwrap());
    assert_eq!(peer.accepts(), 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn full_connection_opens_a_second_up_to_the_cap() {
    let peer = answering(2);
    let (pool, name) = pool(&peer, |config| config.max_per_host = 2);
    round(&pool, &name).await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        let mut conn = lease(&pool, &name).await;
        exchange(&mut conn).await.unwrap();
        leases.push(conn);
    }
    let mut serials: Vec<u64> = leases.iter().map(|conn| conn.info().serial).collect();
    serials.sort_unstable();
    assert_eq!(serials, [1, 1, 2, 2]);
    let mut fifth = Box::pin(pool.get(&name));
    assert!(poll_once(fifth.as_mut()).await.is_none());
    drop(leases);
    drop(within("a place", fifth).await.unwrap());
    assert_eq!(peer.accepts(), 2);
    close(pool, peer).await;
}

#[tokio::test]
async fn goaway_leaves_rotation_at_once_and_lets_streams_finish() {
    let (peer, line, mut seen) = told(10);
    let (pool, name) = pool(&peer, |_| {});
    let mut old = lease(&pool, &name).await;
    let response = ask(&mut old).await;
    let stream = sees(&mut seen, HEADERS).await;
    line.send(frame(7, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]))
        .unwrap();
    as_soon_as(&pool, "out of rotation", |_| {
        let held = pool.try_get(&name).unwrap();
        held.is_none_or(|conn| conn.info().serial != 1)
    })
    .await;
    assert_eq!(round(&pool, &name).await, 2);
    line.send(headers(stream, END_STREAM)).unwrap();
    assert_eq!(within("the old answer", response).await.unwrap().status(), 200);
    assert_eq!(pool.put(old), Returned::Closed(CloseReason::GoAway));
    until(&pool, "the old one is gone", |stats| stats.total == 1).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::GoAway), 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn streams_above_last_id_are_reported_unprocessed() {
    let (peer, line, mut seen) = told(10);
    let (pool, name) = pool(&peer, |_| {});
    let mut leases = Vec::new();
    for _ in 0..3 {
        let mut conn = lease(&pool, &name).await;
        assert_eq!(conn.retry_safety(), RetrySafety::NeverSent);
        let response = ask(&mut conn).await;
        let stream = sees(&mut seen, HEADERS).await;
        assert_eq!(conn.retry_safety(), RetrySafety::Sent);
        leases.push((conn, response, stream));
    }
    // Twice, as servers do that drain: all, then up to the second.
    line.send(frame(7, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]))
        .unwrap();
    let last = leases[1].2.to_be_bytes();
    line.send(frame(7, 0, 0, &[&last[..], &[0; 4]].concat())).unwrap();
    let (above, response, _) = leases.pop().unwrap();
    within("an error", response).await.unwrap_err();
    assert_eq!(above.retry_safety(), RetrySafety::Unprocessed);
    assert_eq!(pool.put(above), Returned::Closed(CloseReason::GoAway));
    for (conn, response, stream) in leases {
        line.send(headers(stream, END_STREAM)).unwrap();
        within("an answer", response).await.unwrap();
        assert_eq!(conn.retry_safety(), RetrySafety::Sent);
        assert_eq!(pool.put(conn), Returned::Closed(CloseReason::GoAway));
    }
    // One that is refused was not looked at either.
    let refusing = FramePeer::start(script(|mut wire| async move {
        wire.settings(&[]).await;
        while let Some(stream) = wire.request().await {
            wire.reset(stream, 7).await;
        }
    }));
    close(pool, peer).await;
    let (pool, name) = self::pool(&refusing, |_| {});
    let mut conn = lease(&pool, &name).await;
    within("an error", exchange(&mut conn)).await.unwrap_err();
    assert_eq!(conn.retry_safety(), RetrySafety::Unprocessed);
    assert_eq!(pool.put(conn), Returned::Kept);
    close(pool, refusing).await;
}

/// A peer that answers nothing from some point on, not even a PING.
fn falling_silent() -> (FramePeer, mpsc::UnboundedReceiver<()>) {
    let (asked, pings) = mpsc::unbounded_channel();
    let peer = FramePeer::start(script(move |mut wire| {
        let asked = asked.clone();
        async move {
            wire.settings(&[]).await;
            if wire.nth > 1 {
                return wire.serve().await;
            }
            let first = wire.request().await;
            wire.answer(first.unwrap_or_default()).await;
            while let Some(frame) = wire.read().await {
                if (frame.kind, frame.flags) == (PING, 0) {
                    let _ = asked.send(());
                }
            }
        }
    }));
    (peer, pings)
}

/// Asks for something on a lease, gives it up after two seconds without an answer, and gives the lease back.
async fn give_up(pool: &HotConnPool, name: &str, clock: &ManualClock) -> u64 {
    let mut conn = lease(pool, name).await;
    let mut response = Box::pin(ask(&mut conn).await);
    let_run().await;
    clock.advance(Duration::from_secs(2));
    assert!(poll_once(response.as_mut()).await.is_none());
    conn.info().serial
}

#[tokio::test]
async fn lost_ping_closes() {
    let (peer, mut pings) = falling_silent();
    let (pool, name, clock) = manual(&peer);
    round(&pool, &name).await;
    assert_eq!(give_up(&pool, &name, &clock).await, 1);
    within("a PING", pings.recv()).await.unwrap();
    clock.advance(Duration::from_millis(4_999));
    let_run().await;
    assert_eq!(pool.stats().total, 1);
    clock.advance(Duration::from_millis(1));
    until(&pool, "it is gone", |stats| stats.total == 0).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::Unresponsive), 1);
    assert_eq!(round(&pool, &name).await, 2);
    close(pool, peer).await;
}

#[tokio::test]
async fn unresponsive_connection_becomes_suspect() {
    let (pinged, mut pings) = mpsc::unbounded_channel();
    let (line, orders) = mpsc::unbounded_channel::<()>();
    let orders = Arc::new(tokio::sync::Mutex::new(orders));
    let peer = FramePeer::start(script(move |mut wire| {
        let (pinged, orders) = (pinged.clone(), orders.clone());
        async move {
            wire.settings(&[]).await;
            if wire.nth > 1 {
                return wire.serve().await;
            }
            let first = wire.request().await.unwrap_or_default();
            wire.answer(first).await;
            let mut orders = orders.lock().await;
            let ping = wire.read_until(PING).await;
            let _ = pinged.send(());
            orders.recv().await;
            if let Some(ping) = ping {
                let _ = wire.write(PING, ACK, 0, &ping.payload).await;
            }
            wire.serve().await;
        }
    }));
    let (pool, name, clock) = manual(&peer);
    round(&pool, &name).await;
    assert_eq!(give_up(&pool, &name, &clock).await, 1);
    within("a PING", pings.recv()).await.unwrap();
    assert!(pool.try_get(&name).unwrap().is_none(), "in doubt, and handed out");
    assert_eq!(round(&pool, &name).await, 2, "who comes meanwhile gets another");
    line.send(()).unwrap();
    let back = |pool: &HotConnPool| {
        let leases: Vec<_> = std::iter::from_fn(|| pool.try_get(&name).unwrap())
            .take(2)
            .collect();
        leases.iter().any(|conn| conn.info().serial == 1)
    };
    as_soon_as(&pool, "back in rotation", |stats| stats.idle == 2).await;
    assert!(back(&pool) || back(&pool));
    // A caller's own doubt has the same effect.
    lease(&pool, &name).await.doubt();
    as_soon_as(&pool, "proved", |stats| stats.idle == 2).await;
    close(pool, peer).await;
}

async fn crowd(pool: &HotConnPool, name: &str, count: usize) -> Vec<HotConn> {
    let waiting: Vec<_> = (0..count)
        .map(|_| {
            let (pool, name) = (pool.clone(), name.to_owned());
            spawn(async move { lease(&pool, &name).await })
        })
        .collect();
    let mut leases = Vec::new();
    for waiter in waiting {
        leases.push(within("a lease", waiter).await.unwrap());
    }
    leases
}

#[tokio::test]
async fn cold_h2_host_is_dialled_once() {
    for (ours, dials) in [(1_000, 1), (100, 10)] {
        let peer = answering(1_000);
        let (pool, name) = pool(&peer, |config| config.h2_max_streams = ours);
        let mut leases = crowd(&pool, &name, 1_000).await;
        assert_eq!(peer.accepts(), dials);
        exchange(&mut leases[999]).await.unwrap();
        drop(leases);
        close(pool, peer).await;
    }
    // The peer says nothing of streams: then it sets no limit.
    let peer = FramePeer::start(script(|mut wire| async move {
        wire.settings(&[]).await;
        wire.serve().await;
    }));
    let (pool, name) = pool(&peer, |config| config.h2_max_streams = 1_000);
    drop(crowd(&pool, &name, 1_000).await);
    assert_eq!(peer.accepts(), 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn cold_h1_host_fans_out_once_known() {
    for stalled in [true, false] {
        let peer = http1_peer();
        if stalled {
            // All but the first dial come to nothing: who does not dial for everybody at once never makes ten.
            peer.always(To::All, Act::StallAfterHello);
            peer.next(To::All, 1, Act::Serve);
        }
        let pool = crate::common::pool(&peer, |config| config.max_per_host = 10);
        let name = name(&peer);
        let gate = Arc::new(Semaphore::new(0));
        let waiting: Vec<_> = (0..1_000)
            .map(|_| {
                let (pool, name, gate) = (pool.clone(), name.clone(), gate.clone());
                spawn(async move {
                    let conn = lease(&pool, &name).await;
                    gate.acquire().await.unwrap_err();
                    drop(conn);
                })
            })
            .collect();
        peer.wait_for("ten dials", |seen| seen.accepts == 10).await;
        gate.close();
        for waiter in waiting {
            within("a lease", waiter).await.unwrap();
        }
        assert_eq!(peer.seen().accepts, 10);
        within("close", pool.close()).await;
        peer.wait_for("every connection closed", |seen| seen.live == 0)
            .await;
    }
}

#[tokio::test]
async fn broken_h2_is_not_cached() {
    let peer = FramePeer::start(script(|mut wire| async move {
        wire.settings(&[]).await;
        if wire.nth > 1 {
            return wire.serve().await;
        }
        wire.request().await;
        // A frame that no stream may have: an error of the connection.
        let _ = wire.write(HEADERS, 4, 2, OK).await;
        while wire.read().await.is_some() {}
    }));
    let (pool, name) = pool(&peer, |_| {});
    let mut conn = lease(&pool, &name).await;
    within("an error", exchange(&mut conn)).await.unwrap_err();
    assert!(matches!(pool.put(conn), Returned::Closed(_)));
    assert_eq!(round(&pool, &name).await, 2);
    assert_eq!(pool.stats().counters.closed(), 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn free_slots_are_counted() {
    let (peer, line, mut seen) = told(3);
    let (pool, name) = pool(&peer, |config| {
        (config.max_per_host, config.h2_max_streams) = (1, 4);
    });
    let mut leases = [(); 3].map(|()| None);
    for place in &mut leases {
        let mut conn = lease(&pool, &name).await;
        let response = ask(&mut conn).await;
        *place = Some((conn, response, sees(&mut seen, HEADERS).await));
    }
    let free = || {
        std::iter::from_fn(|| pool.try_get(&name).unwrap())
            .take(9)
            .collect::<Vec<_>>()
            .len()
    };
    assert_eq!(free(), 0);
    // More are allowed than we want, then fewer than are out: none is cut.
    line.send(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 5])).unwrap();
    as_soon_as(&pool, "one more", |_| free() > 0).await;
    assert_eq!(free(), 1);
    line.send(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1])).unwrap();
    as_soon_as(&pool, "none", |_| free() == 0).await;
    let mut leases = leases.into_iter().flatten();
    let (first, response, stream) = leases.next().unwrap();
    line.send(headers(stream, END_STREAM)).unwrap();
    within("an answer", response).await.unwrap();
    assert_eq!(pool.put(first), Returned::Kept);
    assert_eq!(free(), 0);
    for (conn, response, stream) in leases {
        line.send(headers(stream, END_STREAM)).unwrap();
        within("an answer", response).await.unwrap();
        drop(conn);
    }
    assert_eq!(free(), 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn stream_lease_lives_as_long_as_the_response_body() {
    let (peer, line, mut seen) = told(1);
    let (pool, name) = pool(&peer, |config| config.max_per_host = 1);
    let free = || pool.try_get(&name).unwrap().is_some();
    for attached in [true, false] {
        let mut conn = lease(&pool, &name).await;
        let response = ask(&mut conn).await;
        let stream = sees(&mut seen, HEADERS).await;
        line.send(headers(stream, 0)).unwrap();
        let body = within("a head", response).await.unwrap().into_body();
        as_soon_as(&pool, "its SETTINGS are known", |_| !free()).await;
        match attached {
            true => {
                let mut body = conn.attach(body);
                line.send(frame(DATA, 0, stream, b"half")).unwrap();
                assert_eq!(within("half", body.data()).await.unwrap().unwrap(), "half");
                assert!(!free());
                line.send(frame(DATA, END_STREAM, stream, b"")).unwrap();
                while within("the end", body.data()).await.is_some() {}
                assert!(!free(), "the lease is where the body is");
                drop(body);
                assert!(free());
            }
            // The lease is home, its stream is not: the place is taken until it has ended.
            false => {
                assert_eq!(pool.put(conn), Returned::Kept);
                let_run().await;
                assert!(!free(), "the place of a stream that is open");
                let mut waiting = Box::pin(pool.get(&name));
                assert!(poll_once(waiting.as_mut()).await.is_none());
                line.send(frame(DATA, END_STREAM, stream, b"")).unwrap();
                drop(within("the place of one that has ended", waiting).await.unwrap());
                drop(body);
            }
        }
    }
    // Dropped, it is reset, and its place is free once that is on its way.
    let mut conn = lease(&pool, &name).await;
    drop(ask(&mut conn).await);
    drop(conn);
    assert_eq!(sees(&mut seen, RST_STREAM).await % 2, 1);
    as_soon_as(&pool, "free again", |_| free()).await;
    assert_eq!(peer.accepts(), 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn cancel_storm_does_not_kill_the_connection() {
    // As servers do, it counts: so many resets on one connection, and it is over with that client.
    let peer = FramePeer::start(script(|mut wire| async move {
        wire.settings(&[(MAX_STREAMS, 100)]).await;
        let mut resets = 0;
        while let Some(frame) = wire.next().await {
            resets += u32::from(frame.kind == RST_STREAM);
            // Late, so that what was cancelled has frames under way.
            if frame.kind == HEADERS {
                wire.begin_answer(frame.stream).await;
            }
            if resets > 1_000 {
                return wire.go_away(frame.stream, 11).await;
            }
        }
    }));
    let (pool, name) = pool(&peer, |config| config.max_per_host = 2);
    for _ in 0..10_000 {
        let mut conn = lease(&pool, &name).await;
        let mut response = Box::pin(ask(&mut conn).await);
        poll_once(response.as_mut()).await;
        tokio::task::yield_now().await;
    }
    let stats = pool.stats();
    assert_eq!(stats.counters.closes(CloseReason::GoAway), 0, "{stats:?}");
    assert_eq!(stats.counters.closes(CloseReason::Failed), 0, "{stats:?}");
    assert!(stats.counters.closes(CloseReason::ResetsSpent) >= 10, "{stats:?}");
    let mut conn = lease(&pool, &name).await;
    assert_eq!(
        within("an answer", ask(&mut conn).await).await.unwrap().status(),
        200
    );
    drop(conn);
    close(pool, peer).await;
}
