//! What happens to a connection that nobody uses, and what does not.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hotpool::clock::{ManualClock, SystemClock};
use hotpool::scripted::Stage;
use hotpool::{CloseReason, GetOptions, HotConnPool, PoolConfig, RetrySafety, Returned, StaticResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::coop;

use super::{lease, poll_once};
use crate::common::{config, finish, http1_peer, let_run, name, pool, round, until, use_up, within};
use crate::support::certs;
use crate::support::peer::{Order, To};

/// Bytes that nobody asked for: it goes by itself, with a reason of its own.
#[tokio::test]
async fn stray_bytes_remove_what_is_idle() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    round(&pool, &name).await;
    peer.order(To::All, Order::Send(Bytes::from_static(b"HTTP/1.1 408 \r\n\r\n")));
    let stats = until(&pool, "it is gone", |stats| stats.total == 0).await;
    assert_eq!(stats.counters.closes(CloseReason::StrayBytes), 1);
    finish(pool, peer).await;
}

/// What the server of one connection is told to send.
enum Tell {
    /// The tickets that it had to send after the handshake.
    Tickets,
    UpdateKeys,
    /// The first octets of such a record.
    HalfAnUpdate,
    TheOtherHalf,
    Close,
}

/// A server for one connection that sends its tickets and renews its keys when told to, and a pool that knows it.
async fn renewing(tickets: usize) -> (HotConnPool, String, mpsc::Sender<Tell>) {
    let leaf = certs::good();
    let mut config = rustls::ServerConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(leaf.chain.clone(), leaf.key())
        .unwrap();
    config.send_tls13_tickets = tickets;
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, mut told) = mpsc::channel(1);
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        while tls.is_handshaking() {
            send_all(&mut tls, &mut tcp);
            tls.read_tls(&mut tcp).unwrap();
            tls.process_new_packets().unwrap();
        }
        let mut record = Vec::new();
        while let Some(tell) = told.blocking_recv() {
            match tell {
                Tell::Tickets => send_all(&mut tls, &mut tcp),
                Tell::HalfAnUpdate => {
                    tls.refresh_traffic_keys().unwrap();
                    send_all(&mut tls, &mut record);
                    tcp.write_all(&record[..7]).unwrap();
                }
                Tell::TheOtherHalf => tcp.write_all(&record[7..]).unwrap(),
                Tell::UpdateKeys => {
                    tls.refresh_traffic_keys().unwrap();
                    send_all(&mut tls, &mut tcp);
                }
                Tell::Close => {
                    tls.send_close_notify();
                    send_all(&mut tls, &mut tcp);
                    tcp.shutdown(Shutdown::Write).unwrap();
                }
            }
        }
    });
    let name = format!("peer.test:{}", address.port());
    let resolver = StaticResolver::new().with(name.as_str(), [address.ip()]).unwrap();
    let builder = HotConnPool::builder()
        .resolver(resolver)
        .roots(certs::authority().roots());
    (builder.build().unwrap(), name, tell)
}

/// Writes what TLS has to say.
fn send_all(tls: &mut rustls::ServerConnection, to: &mut impl Write) {
    while tls.wants_write() {
        tls.write_tls(to).unwrap();
    }
}

/// TLS's own news on an idle connection rings the alarm and is no reason to close; the alarm still works after it.
#[tokio::test]
async fn renewed_keys_do_not_remove_what_is_idle() {
    let (pool, name, tell) = renewing(0).await;
    drop(lease(&pool, &name).await);
    for _ in 0..3 {
        within("told", tell.send(Tell::UpdateKeys)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await; // it crosses loopback, and would close what it closes
        assert_eq!((pool.stats().idle, pool.stats().counters.closed()), (1, 0));
    }
    assert_eq!(lease(&pool, &name).await.info().serial, 1);
    within("told", tell.send(Tell::Close)).await.unwrap();
    let stats = until(&pool, "it is gone", |stats| stats.total == 0).await;
    assert_eq!(stats.counters.closes(CloseReason::PeerClosed), 1);
    pool.manager().assert_invariants();
}

/// What TLS has to say may come in two segments. Until the second has come nobody may have the connection; it stands aside, and is not closed.
#[tokio::test]
async fn half_a_record_does_not_remove_what_is_idle() {
    let (pool, name, tell) = renewing(0).await;
    drop(lease(&pool, &name).await);
    within("told", tell.send(Tell::HalfAnUpdate)).await.unwrap();
    let stats = until(&pool, "it stands aside", |stats| stats.idle == 0).await;
    assert_eq!((stats.total, stats.active, stats.counters.closed()), (1, 0, 0));
    assert!(pool.try_get(&name).unwrap().is_none(), "handed out");
    within("told", tell.send(Tell::TheOtherHalf)).await.unwrap();
    until(&pool, "it is idle again", |stats| stats.idle == 1).await;
    assert_eq!(lease(&pool, &name).await.info().serial, 1);
    pool.manager().assert_invariants();
}

/// Its user reads before it asks, as some do to hear of an end, and half of what nobody asked for comes. The rest would be taken for the answer.
#[tokio::test]
async fn half_a_record_that_its_user_read_is_not_asked_over() {
    let (pool, name, tell) = renewing(0).await;
    let mut conn = lease(&pool, &name).await;
    // Of three, the last is taken from us when the one before it has been taken, and so the first has been done.
    for tell_it in [Tell::HalfAnUpdate, Tell::Tickets, Tell::Tickets] {
        within("told", tell.send(tell_it)).await.unwrap();
    }
    for _ in 0..3 {
        let_run().await; // the reactor has its turn
        assert!(poll_once(pin!(conn.read_u8())).await.is_none(), "half is no byte");
    }
    let error = conn
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(conn.retry_safety(), RetrySafety::NeverSent);
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::StrayBytes));
    pool.manager().assert_invariants();
}

/// A pool of scripted connections whose time stands still, with one that is idle; it has been given back just now.
async fn with_one_idle(change: impl FnOnce(&mut PoolConfig)) -> (Stage, HotConnPool, ManualClock) {
    let (stage, clock) = (Stage::new(1), ManualClock::new());
    let pool = stage.pool(config(change), clock.clone()).unwrap();
    drop(lease(&pool, "a.test").await);
    let_run().await;
    (stage, pool, clock)
}

/// What its peer closes by is when it last heard of a connection. Who only holds one says nothing to its peer, however often.
#[tokio::test]
async fn what_was_only_held_grows_older() {
    let second = Duration::from_secs(1);
    let (_stage, pool, clock) = with_one_idle(|config| config.idle_timeout = 60 * second).await;
    for _ in 0..2 {
        clock.advance(25 * second);
        let conn = lease(&pool, "a.test").await;
        assert_eq!((conn.info().serial, pool.put(conn)), (1, Returned::Kept));
    }
    clock.advance(25 * second);
    let conn = lease(&pool, "a.test").await;
    assert_eq!(conn.info().serial, 2, "one of the age of 75 s was handed out");
    assert_eq!(pool.stats().counters.closes(CloseReason::IdleTimeout), 1);
    drop(conn);
    pool.manager().assert_invariants();
}

/// Half a record is found by whoever is handed the connection, before anybody else has looked at it: it is not the end of it there, either.
#[tokio::test]
async fn half_a_record_is_not_handed_out() {
    let (stage, pool, _) = with_one_idle(|_| {}).await;
    stage.halve_all();
    assert!(pool.try_get("a.test").unwrap().is_none(), "handed out");
    let other = lease(&pool, "a.test").await;
    assert_eq!((other.info().serial, pool.size()), (2, 2));
    stage.complete_all();
    until(&pool, "it is idle again", |stats| stats.idle == 1).await;
    assert_eq!(lease(&pool, "a.test").await.info().serial, 1);
    assert_eq!(pool.stats().counters.closed(), 0);
    drop(other);
    // What was spoken out of turn is the end of it, wherever it stands.
    stage.halve_all();
    until(&pool, "they stand aside", |stats| stats.idle == 0).await;
    stage.stray_all();
    let stats = until(&pool, "they are gone", |stats| stats.total == 0).await;
    assert_eq!(stats.counters.closes(CloseReason::StrayBytes), 2);
    pool.manager().assert_invariants();
}

/// It comes home with half a record: who waits is not made to wait for the rest.
#[tokio::test]
async fn what_comes_home_with_half_a_record_serves_nobody() {
    let (stage, pool, _) = with_one_idle(|config| config.max_connections = 2).await;
    let first = lease(&pool, "a.test").await;
    let second = lease(&pool, "a.test").await;
    let mut waits = pin!(pool.get("a.test"));
    assert!(poll_once(waits.as_mut()).await.is_none());
    stage.halve_all();
    assert_eq!(pool.put(first), Returned::Kept);
    // Its place is given to a new one.
    let third = within("a new one", waits).await.unwrap();
    assert_eq!((third.info().serial, pool.size()), (3, 2));
    assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 1);
    drop((second, third));
    pool.manager().assert_invariants();
}

/// The time of one that stands aside goes by as that of an idle one, and the other half in time leaves it the age it had.
#[tokio::test]
async fn what_is_aside_grows_old() {
    let second = Duration::from_secs(1);
    for whole in [false, true] {
        let (stage, pool, clock) = with_one_idle(|_| {}).await;
        clock.advance(30 * second);
        stage.halve_all();
        let_run().await;
        assert_eq!((pool.stats().total, pool.stats().idle), (1, 0));
        clock.advance(20 * second);
        if whole {
            stage.complete_all();
        }
        let_run().await;
        assert_eq!((pool.stats().total, pool.stats().idle), (1, u32::from(whole)));
        clock.advance(11 * second);
        let stats = until(&pool, "it is gone", |stats| stats.total == 0).await;
        assert_eq!(stats.counters.closes(CloseReason::IdleTimeout), 1);
    }
}

/// A place that one holds which nobody may use is given to whoever needs it, at its host, its address and in all.
#[tokio::test]
async fn what_is_aside_makes_room() {
    type Cap = fn(&mut PoolConfig);
    let caps: [(&str, Cap); 3] = [
        ("a.test", |config| config.max_per_host = 1),
        ("b.test", |config| config.max_per_ip = 1),
        ("b.test", |config| config.max_connections = 1),
    ];
    for (host, cap) in caps {
        let (stage, pool, _) = with_one_idle(cap).await;
        stage.halve_all();
        let_run().await;
        let conn = lease(&pool, host).await;
        assert_eq!((conn.info().serial, pool.size()), (2, 1));
        assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 1);
        drop(conn);
        pool.manager().assert_invariants();
    }
}

/// A new connection whose first ticket is longer than a segment is waited for, and blames nobody.
#[tokio::test]
async fn the_other_half_is_waited_for_on_a_new_connection() {
    let stage = Stage::new(1);
    let pool = stage.pool(PoolConfig::default(), SystemClock::new()).unwrap();
    stage.bear_halves(true);
    let mut get = pin!(pool.get("a.test"));
    let soon = async {
        while stage.open() == 0 {
            assert!(
                poll_once(get.as_mut()).await.is_none(),
                "half a record is no connection"
            );
            let_run().await;
        }
    };
    within("a connection", soon).await;
    let_run().await;
    assert!(
        poll_once(get.as_mut()).await.is_none(),
        "half a record is no connection"
    );
    stage.complete_all();
    let conn = within("the other half", get).await.unwrap();
    assert_eq!((conn.info().serial, stage.dials()), (1, 1));
    drop(conn);
    let options = GetOptions::new().timeout(Duration::from_millis(20));
    stage.bear_halves(true);
    let error = within("its time", pool.get_with("b.test", options))
        .await
        .unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}

/// Tickets come after the handshake, when the connection rests already. What follows them says when they have been looked at.
#[tokio::test]
async fn tickets_do_not_remove_what_is_idle() {
    let (pool, name, tell) = renewing(8).await;
    drop(lease(&pool, &name).await);
    within("told", tell.send(Tell::Tickets)).await.unwrap();
    within("told", tell.send(Tell::HalfAnUpdate)).await.unwrap();
    let stats = until(&pool, "it stands aside", |stats| stats.idle == 0).await;
    assert_eq!((stats.total, stats.counters.closed()), (1, 0));
    within("told", tell.send(Tell::TheOtherHalf)).await.unwrap();
    until(&pool, "it is idle again", |stats| stats.idle == 1).await;
    assert_eq!(lease(&pool, &name).await.info().serial, 1);
    pool.manager().assert_invariants();
}

/// A task that has done much is not told that there is nothing to read before anybody has looked.
#[tokio::test]
async fn a_put_by_a_task_without_budget_looks_all_the_same() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut conn = lease(&pool, &name).await;
    use_up(&mut conn, "/").await;
    peer.order(To::All, Order::Reset);
    peer.wait_for("it is closed", |seen| seen.live == 0).await;
    let_run().await;
    while coop::has_budget_remaining() {
        assert!(
            poll_once(Box::pin(coop::consume_budget()).as_mut())
                .await
                .is_some()
        );
    }
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::PeerClosed));
    finish(pool, peer).await;
}
