//! The pool's own rules for streams.

use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{CloseReason, ErrorKind, Phase, Returned};

use super::http2::{answering, ask, builder, close, exchange, get, pool, round, script};
use super::{lease, poll_once};
use crate::common::{let_run, until, within};
use crate::support::frames::{FramePeer, MAX_STREAMS};

#[tokio::test]
async fn a_lease_opens_one_stream_at_a_time() {
    let peer = FramePeer::start(script(|mut wire| async move {
        wire.settings(&[]).await;
        let first = wire.request().await.unwrap_or_default();
        // The first is answered when a second one comes, which must be another lease's.
        let second = wire.request().await.unwrap_or_default();
        wire.answer(first).await;
        wire.answer(second).await;
        wire.serve().await;
    }));
    let (pool, name) = pool(&peer, |_| {});
    let (mut one, mut other) = (lease(&pool, &name).await, lease(&pool, &name).await);
    let response = ask(&mut one).await;
    let error = one.h2().unwrap().send_request(get("/"), true).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Busy, Phase::Use));
    exchange(&mut other).await.unwrap();
    within("the answer", response).await.unwrap();
    // One after the other, as many as it likes.
    for _ in 0..3 {
        exchange(&mut one).await.unwrap();
    }
    drop((one, other));
    assert_eq!(pool.stats().total, 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn what_is_taken_out_of_sharing_is_nobody_else_s() {
    let peer = answering(100);
    let (pool, name) = pool(&peer, |config| config.max_per_host = 2);
    let (one, other) = (lease(&pool, &name).await, lease(&pool, &name).await);
    let one = one.into_h2_raw().expect_err("others use it");
    drop(one);
    let mut raw = other.into_h2_raw().expect("nobody else uses it");
    assert!(pool.try_get(&name).unwrap().is_none(), "it is lent no more");
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(raw.send_request(get("/"), true).unwrap().0);
    }
    for answer in answers {
        assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
    }
    assert_eq!(round(&pool, &name).await, 2);
    assert_eq!(pool.size(), 2, "its permits are its holder's");
    drop(raw);
    until(&pool, "closed", |stats| stats.total == 1).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::Detached), 1);
    close(pool, peer).await;
}

#[tokio::test]
async fn a_peer_that_asks_for_less_is_not_dialled_for_a_while() {
    for calm in [false, true] {
        let peer = FramePeer::start(script(move |mut wire| async move {
            wire.settings(&[(MAX_STREAMS, 1)]).await;
            if wire.nth == 1 {
                let stream = wire.request().await.unwrap_or_default();
                match calm {
                    true => wire.go_away(0, 11).await,
                    false => wire.reset(stream, 7).await,
                }
            }
            wire.serve().await;
        }));
        let clock = ManualClock::new();
        let pool = builder(&peer, |_| {}).clock(clock.clone()).build().unwrap();
        let name = format!("peer.test:{}", peer.port());
        let mut conn = lease(&pool, &name).await;
        within("an error", exchange(&mut conn)).await.unwrap_err();
        // Where only a new connection would do, none is dialled for a second; one that is there goes on.
        let mut next = Box::pin(pool.get(&name));
        match calm {
            true => {
                let error = within("an error", next).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Blocked);
                assert_eq!(pool.put(conn), Returned::Closed(CloseReason::GoAway));
            }
            false => {
                assert!(poll_once(next.as_mut()).await.is_none());
                let_run().await;
                assert_eq!(peer.accepts(), 1);
                assert_eq!(pool.put(conn), Returned::Kept);
                drop(within("the place", next).await.unwrap());
            }
        }
        clock.advance(Duration::from_secs(1));
        assert_eq!(round(&pool, &name).await, if calm { 2 } else { 1 });
        close(pool, peer).await;
    }
}
