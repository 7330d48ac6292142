//! The pool under hyper-util's client.

use std::error::Error as _;
use std::io::ErrorKind as ErrorKindIo;
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::{Request, Response, StatusCode, Version};
use bytes::Bytes;
use hotpool::hyper::{Connector, HyperConn};
use hotpool::{CloseReason, ConnInfo, Error, ErrorKind, HotConnPool, Protocol, Require};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{at_rest, finish, http1_peer, manual_pool, name, pool, spawn, until, within};
use crate::support::peer::{Alpn, Peer};

type Hyper = Client<Connector, Full<Bytes>>;

/// A client that keeps connections by itself, so many at a host.
fn client(pool: &HotConnPool, keeps: usize) -> Hyper {
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(keeps)
        .build(Connector::new(pool.clone()))
}

fn request(peer: &Peer, path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://{}{path}", name(peer));
    Request::get(uri).body(Full::default()).unwrap()
}

async fn ask(client: &Hyper, peer: &Peer, path: &str) -> Response<Incoming> {
    within("an answer", client.request(request(peer, path)))
        .await
        .unwrap()
}

/// The whole body as text.
async fn text(answer: Response<Incoming>) -> String {
    let body = within("a body", answer.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// Hyper-util keeps nothing: one connection serves one after the other, and the pool counts each of them.
#[tokio::test]
async fn what_hyper_lets_go_of_comes_home_and_serves_again() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let client = client(&pool, 0);
    for round in 0..50_u64 {
        let answer = ask(&client, &peer, &format!("/echo/{round}")).await;
        let info = answer.extensions().get::<ConnInfo>().unwrap();
        assert_eq!((info.serial, info.protocol), (1, Protocol::Http1));
        assert_eq!(answer.version(), Version::HTTP_11);
        assert_eq!(text(answer).await, round.to_string());
        until(&pool, "the lease is home", |stats| stats.leases == 0).await;
    }
    let counters = pool.stats().counters;
    assert_eq!((counters.gets, counters.hits, counters.opened), (50, 49, 1));
    assert_eq!((peer.seen().accepts, peer.seen().http1_requests), (1, 50));
    drop(client);
    finish(pool, peer).await;
}

/// Hyper-util keeps what it has: the pool sees leases that last, none of them leaked, and has them back when the client goes.
#[tokio::test]
async fn what_hyper_keeps_is_leased_and_not_leaked() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| {
        config.leak_timeout = Duration::from_secs(60);
        config.idle_timeout = Duration::from_secs(3600);
        config.max_lifetime = Duration::from_secs(3600);
    });
    let client = client(&pool, usize::MAX);
    for round in 0..20 {
        let answer = ask(&client, &peer, &format!("/echo/{round}")).await;
        assert_eq!(text(answer).await, round.to_string());
        // Hyper-util has it back when its own task says so.
        until(&pool, "it is leased", |stats| stats.leases >= 1).await;
    }
    let stats = pool.stats();
    assert_eq!(
        (stats.idle, u64::from(stats.active)),
        (0, stats.counters.opened),
        "{stats:?}"
    );
    assert_eq!(stats.counters.hits, 0, "hyper-util's pool served, not this one");
    // A lease without a word, to see by that the leaks have been looked for.
    let forgotten = within("a lease", pool.get(&*name(&peer))).await.unwrap();
    clock.advance(Duration::from_secs(61));
    let stats = until(&pool, "what leaked is reported", |stats| {
        stats.counters.leaked > 0
    })
    .await;
    assert_eq!(stats.counters.leaked, 1, "that one alone");
    drop((forgotten, client));
    at_rest(&pool).await;
    let stats = pool.stats();
    assert_eq!(
        (u64::from(stats.idle), stats.counters.closed()),
        (stats.counters.opened, 0),
        "{stats:?}"
    );
    finish(pool, peer).await;
}

/// Many at once, whatever the peer would rather speak.
#[tokio::test]
async fn every_answer_belongs_to_its_request_over_http1_alone() {
    let peer = Peer::builder().alpn(Alpn::Both).ips(2).start();
    // Who keeps connections must not be short of them: whoever waits for one would wait for what is kept. A request asks for one at the most.
    for (keeps, most) in [(0, 6), (usize::MAX, 300)] {
        let pool = pool(&peer, |config| {
            (config.max_per_host, config.max_per_ip, config.max_idle_per_host) = (most, most, most);
            config.max_connections = 300;
        });
        let client = client(&pool, keeps);
        let tasks: Vec<_> = (0..12_u32)
            .map(|task| {
                let client = client.clone();
                let requests: Vec<_> = (0..25)
                    .map(|nth| {
                        (
                            format!("{task}-{nth}"),
                            request(&peer, &format!("/echo/{task}-{nth}")),
                        )
                    })
                    .collect();
                spawn(async move {
                    for (tag, request) in requests {
                        let answer = within("an answer", client.request(request)).await.unwrap();
                        assert_eq!(answer.headers()["x-proto"], "h1");
                        assert_eq!(text(answer).await, tag);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap(); // each answer has its time
        }
        drop(client);
        at_rest(&pool).await;
        let counters = pool.stats().counters;
        assert!(counters.opened <= u64::from(most), "{counters:?}");
        assert_eq!(counters.closed(), 0, "{counters:?}");
        within("close", pool.close()).await;
    }
    assert_eq!((peer.seen().http1_requests, peer.seen().http2_requests), (600, 0));
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_handed_on() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let client = client(&pool, 0);
    drop(ask(&client, &peer, "/bytes/3000000").await);
    until(&pool, "it has closed", |stats| stats.counters.closed() == 1).await;
    let counters = pool.stats().counters;
    assert_eq!(counters.closes(CloseReason::HalfRead), 1, "{counters:?}");
    assert_eq!(text(ask(&client, &peer, "/echo/next").await).await, "next");
    assert_eq!(pool.stats().counters.opened, 2);
    drop(client);
    finish(pool, peer).await;
}

/// An upgrade is the caller's, to the end: half of it may be shut down, and nothing of it is pooled.
#[tokio::test]
async fn an_upgrade_is_the_caller_s_and_is_never_pooled() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let client = client(&pool, usize::MAX);
    let mut request = request(&peer, "/upgrade");
    let upgrade = [("connection", "upgrade"), ("upgrade", "echo")];
    for (name, value) in upgrade {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = within("an answer", client.request(request)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgraded = within("an upgrade", ::hyper::upgrade::on(answer)).await.unwrap();
    let parts = upgraded.downcast::<TokioIo<HyperConn>>().unwrap();
    let mut conn = parts.io.into_inner();
    conn.write_all(b"ping").await.unwrap();
    conn.flush().await.unwrap();
    let mut pong = [0; 4];
    within("the echo", conn.read_exact(&mut pong)).await.unwrap();
    assert_eq!((&pong, parts.read_buf.len()), (b"ping", 0));
    // A goodbye is said here, and the peer hears it.
    conn.shutdown().await.unwrap();
    let rest = within("its end", conn.read(&mut pong)).await;
    let ended = rest.map_err(|error| error.kind());
    assert!(
        matches!(ended, Ok(0) | Err(ErrorKindIo::UnexpectedEof)),
        "{ended:?}"
    );
    drop(conn.into_inner());
    at_rest(&pool).await;
    let counters = pool.stats().counters;
    assert_eq!((counters.opened, counters.closed()), (1, 1), "{counters:?}");
    drop(client);
    finish(pool, peer).await;
}

/// A client that speaks another protocol than the connection fails, and harms nobody.
#[tokio::test]
async fn a_client_that_insists_on_http2_fails_and_nothing_is_kept() {
    let peer = Peer::builder().alpn(Alpn::Both).start();
    let pool = pool(&peer, |_| {});
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build::<_, Empty<Bytes>>(Connector::new(pool.clone()));
    let uri = format!("https://{}/", name(&peer)).parse().unwrap();
    within("an error", client.get(uri)).await.unwrap_err();
    drop(client);
    at_rest(&pool).await;
    let stats = pool.stats();
    assert_eq!(
        (stats.total, stats.counters.closed()),
        (0, stats.counters.opened),
        "{stats:?}"
    );
    finish(pool, peer).await;
}

#[tokio::test]
async fn errors_are_the_pool_s_own() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let client = client(&pool, 0);
    for (uri, kind) in [
        ("https://nowhere.peer.test/", ErrorKind::NameNotFound),
        ("http://peer.test/", ErrorKind::InvalidTarget),
    ] {
        let error = within("an error", client.get(uri.parse().unwrap()))
            .await
            .unwrap_err();
        let source = error.source().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!((error.is_connect(), source.kind()), (true, kind), "{error:?}");
    }
    drop(client);
    finish(pool, peer).await;
}

/// A lease by itself, under hyper's own connection.
#[tokio::test]
async fn a_lease_serves_hyper_s_connection() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let options = hotpool::GetOptions::new().require(Require::Http1);
    for nth in 1..=3 {
        let conn = within("a lease", pool.get_with(&*name(&peer), options.clone()))
            .await
            .unwrap();
        let io = TokioIo::new(HyperConn::new(conn));
        let (mut send, driver) = ::hyper::client::conn::http1::handshake(io).await.unwrap();
        let driver = spawn(driver);
        let request = Request::get("/echo/lease").header("host", "peer.test");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = within("an answer", send.send_request(request)).await.unwrap();
        assert_eq!(answer.headers()["x-nth"], nth.to_string());
        assert_eq!(text(answer).await, "lease");
        drop(send);
        within("hyper's end", driver).await.unwrap().unwrap();
        at_rest(&pool).await;
    }
    assert_eq!(pool.stats().counters.opened, 1);
    finish(pool, peer).await;
}
