//! What reuse is worth: an exchange on a hot connection against one on a connection dialled for it, and what the pool itself costs, over
//! HTTP/1.1 and HTTP/2, TLS and the loopback.
//!
//! Each figure is vouched for: after every run the pool's counters and the peer's must say that the connections were as hot, or as cold, as
//! the name claims, or the benchmark panics.
//!
//! | name | one iteration |
//! |---|---|
//! | `lease` | `get` and `put` on a hot connection, nothing sent |
//! | `hot` | `get`, one GET with its answer, `put`, always on the same connection |
//! | `cold` | the same with TCP and a full TLS handshake first, and the connection closed after |
//!
//! `cargo bench --bench reuse`; `-- --test` runs each once, with the same checks.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use hotpool::{GetOptions, HotConn, HotConnPool, Protocol, Require, Returned, StaticResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

#[path = "../tests/support/mod.rs"]
mod support;

use support::{certs, peer::Peer};

const PROTOCOLS: [(&str, Require); 2] = [("h1", Require::Http1), ("h2", Require::Http2)];

/// A body of this many bytes, which `/bytes/N` answers.
const BODY: usize = 100;

/// What becomes of the connection after an iteration.
#[derive(Clone, Copy, PartialEq)]
enum After {
    Put,
    Discard,
}

/// A pool, the one peer it talks to, and what was asked of them.
struct Bench {
    peer: Peer,
    pool: HotConnPool,
    target: String,
    options: GetOptions,
    leases: AtomicU64,
    requests: AtomicU64,
}

impl Bench {
    /// The peer issues no tickets: every handshake is a full one.
    fn new(require: Require) -> Self {
        let peer = Peer::builder().tickets(0).start();
        let target = format!("peer.test:{}", peer.port());
        let resolver = StaticResolver::new().with(target.as_str(), peer.ips().iter().copied());
        let pool = HotConnPool::builder()
            .roots(certs::authority().roots())
            .resolver(resolver.unwrap());
        Bench {
            peer,
            pool: pool.build().unwrap(),
            target,
            options: GetOptions::new().require(require),
            leases: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    async fn lease(&self) -> HotConn {
        self.leases.fetch_add(1, Ordering::Relaxed);
        self.pool
            .get_with(&self.target, self.options.clone())
            .await
            .unwrap()
    }

    /// `get` and `put`.
    async fn borrow(&self) {
        let conn = self.lease().await;
        assert_eq!(self.pool.put(conn), Returned::Kept);
    }

    /// `get`, an exchange, and what comes after.
    async fn exchange(&self, after: After) {
        let mut conn = self.lease().await;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let length = match conn.protocol() {
            Protocol::Http1 => http1(&mut conn, &self.target).await,
            _ => http2(&mut conn, &self.target).await,
        };
        assert_eq!(length, BODY);
        match after {
            After::Put => assert_eq!(self.pool.put(conn), Returned::Kept),
            After::Discard => conn.discard(),
        }
    }

    /// Panics unless pool and peer have seen as many leases, requests and connections as were meant, and every connection made a handshake of its
    /// own; says what share of the leases was served by a connection dialled before.
    async fn vouch(&self, name: &str, after: After) {
        let (leases, requests) = (
            self.leases.load(Ordering::Relaxed),
            self.requests.load(Ordering::Relaxed),
        );
        let dials = match after {
            After::Put => 1,
            After::Discard => leases,
        };
        let stats = self.pool.stats();
        assert_eq!(stats.idle, u32::from(after == After::Put), "hot connections left");
        let counters = stats.counters;
        assert_eq!(counters.gets, leases, "leases");
        assert_eq!(counters.opened, dials, "connections opened");
        assert_eq!(
            counters.hits,
            leases - dials,
            "leases on a connection dialled before"
        );
        // The client's side of a handshake is over before the peer's.
        let seen = self
            .peer
            .wait_for("every handshake", |seen| seen.handshakes == dials)
            .await;
        assert_eq!(seen.accepts, dials, "connections that the peer took");
        assert_eq!((seen.handshakes, seen.resumed), (dials, 0), "full handshakes");
        assert_eq!(seen.requests(), requests, "requests that the peer read");
        self.pool.manager().assert_invariants();
        let reuse = 100.0 * counters.hits as f64 / counters.gets as f64;
        eprintln!("{name}: {leases} leases, {requests} requests, {dials} connections, reuse {reuse:.2} %");
    }
}

async fn http1(conn: &mut HotConn, target: &str) -> usize {
    let request = format!("GET /bytes/{BODY} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    conn.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut body) = (Vec::with_capacity(1024), None);
    loop {
        assert!(conn.read_buf(&mut answer).await.unwrap() > 0, "a whole answer");
        body = body.or_else(|| {
            answer
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .map(|at| at + 4)
        });
        if let Some(body) = body.filter(|body| answer.len() >= body + BODY) {
            return answer.len() - body;
        }
    }
}

async fn http2(conn: &mut HotConn, target: &str) -> usize {
    let request = http::Request::get(format!("https://{target}/bytes/{BODY}"));
    let h2 = &mut conn.h2().unwrap();
    let (response, _) = h2.send_request(request.body(()).unwrap(), true).await.unwrap();
    let (mut body, mut length) = (response.await.unwrap().into_body(), 0);
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        length += data.len();
    }
    length
}

/// One thread, as the peer has one of its own.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn reuse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reuse");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (protocol, require) in PROTOCOLS {
        let name = format!("lease/{protocol}");
        let (bench, runtime) = (Bench::new(require), runtime());
        runtime.block_on(bench.borrow()); // dials
        group.bench_function(&name, |b| b.to_async(&runtime).iter(|| bench.borrow()));
        runtime.block_on(bench.vouch(&name, After::Put));
        for (kind, after) in [("hot", After::Put), ("cold", After::Discard)] {
            let name = format!("{kind}/{protocol}");
            let (bench, runtime) = (Bench::new(require), self::runtime());
            if after == After::Put {
                runtime.block_on(bench.borrow());
            }
            group.bench_function(&name, |b| b.to_async(&runtime).iter(|| bench.exchange(after)));
            runtime.block_on(bench.vouch(&name, after));
        }
    }
    group.finish();
}

criterion_group!(benches, reuse);
criterion_main!(benches);
