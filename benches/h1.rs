//! What it costs to follow HTTP/1.1 as it passes, and to have a connection from a pool at all: an exchange over the pool beside the same over a bare
//! TLS stream, in one run, turn by turn, by the CPU time of the client's thread.
//!
//! | line | what is measured |
//! |---|---|
//! | `observer` | the observer alone: one request, its answer; in one piece each, and with heads that come in two |
//! | `one connection` | `get`, one GET with its answer, `put`; beside write and read on a bare stream |
//! | `64 at once` | the same by 64 tasks on one thread, each with a connection |
//!
//! It exits with an error if an exchange over the pool costs more than 1.15 times the bare one, or if the observer costs more than 3 % of an
//! exchange at 64 at once. `cargo bench --features __internals --bench h1`; `-- --test` runs each once and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and spawns")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on must say so")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use hotpool::rustls::ClientConfig;
use hotpool::rustls::pki_types::ServerName;
use hotpool::{Framing, GetOptions, HotConnPool, PoolConfig, Returned, StaticResolver, Warm};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[path = "../tests/support/mod.rs"]
mod support;

use support::certs;
use support::measure::{median, thread_cpu as cpu};
use support::peer::{Alpn, Peer, filler};

const AT_ONCE: usize = 64;
/// The most that an exchange over the pool may cost, in exchanges over a bare stream.
const MOST_POOL: f64 = 1.15;
/// The largest part of an exchange's CPU time that may go to the observer.
const MOST_OBSERVER: f64 = 0.03;

const BODY: usize = 100;
const REQUEST: &str =
    "GET /bytes/100 HTTP/1.1\r\nHost: peer.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// How long a measurement is.
#[derive(Clone, Copy)]
struct Length {
    rounds: usize,
    exchanges: usize,
}

/// Nanoseconds of one of so many exchanges by the observer alone, its heads cut at `cut`: with its code and data at hand, so the least that it costs.
fn observe(exchanges: usize, cut: usize) -> f64 {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n\
         Cache-Control: no-cache\r\nContent-Length: {BODY}\r\n\r\n"
    )
    .into_bytes();
    answer.extend(filler(BODY));
    let mut framing = Framing::new();
    let began = cpu();
    for _ in 0..exchanges {
        let (first, second) = REQUEST.as_bytes().split_at(cut);
        framing.sent(black_box(first));
        framing.sent(black_box(second));
        let (first, second) = answer.split_at(cut);
        framing.received(black_box(first));
        framing.received(black_box(second));
        assert!(framing.verdict().is_ok());
    }
    (cpu() - began).as_nanos() as f64 / exchanges as f64
}

/// Nanoseconds of an exchange, each measured by turns with the others.
struct Figures {
    pool: f64,
    bare: f64,
    observer: f64,
    /// Over the pool in those over a bare stream, and the observer's part of those over the pool, of each turn.
    ratio: f64,
    part: f64,
}

impl Figures {
    fn of(turns: &[[f64; 3]]) -> Self {
        let figure = |of: fn(&[f64; 3]) -> f64| median(turns.iter().map(of).collect());
        Figures {
            pool: figure(|turn| turn[0]),
            bare: figure(|turn| turn[1]),
            observer: figure(|turn| turn[2]),
            ratio: figure(|turn| turn[0] / turn[1]),
            part: figure(|turn| turn[2] / turn[0]),
        }
    }
}

/// One GET and its answer, the same for both.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), body: &[u8]) {
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let (mut answer, mut filled) = ([0; 2048], 0);
    while !answer[..filled].ends_with(body) {
        let count = stream.read(&mut answer[filled..]).await.unwrap();
        assert!(count > 0, "a whole answer");
        filled += count;
    }
}

/// A pool and bare streams that talk to one peer.
struct Bench {
    runtime: Runtime,
    pool: HotConnPool,
    target: String,
    bare: Vec<TlsStream<TcpStream>>,
    body: Vec<u8>,
    peer: Peer,
}

impl Bench {
    fn new() -> Self {
        let peer = Peer::builder().alpn(Alpn::Http1).start();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let target = format!("peer.test:{}", peer.port());
        let resolver = StaticResolver::new().with(target.as_str(), peer.ips().iter().copied());
        let mut config = PoolConfig::default();
        let most = AT_ONCE as u32;
        (config.max_per_host, config.max_per_ip, config.max_idle_per_host) = (most, most, most);
        (config.idle_timeout, config.max_lifetime) = (Duration::from_secs(3600), Duration::from_secs(36_000));
        let pool = HotConnPool::builder()
            .config(config)
            .roots(certs::authority().roots())
            .resolver(resolver.unwrap());
        let pool = pool.build().unwrap();
        let bare = runtime.block_on(async {
            let warm = Warm::Count(AT_ONCE);
            let report = pool.warm(&target, warm, GetOptions::new()).await.unwrap();
            assert_eq!(report.opened, AT_ONCE);
            let mut bare = Vec::new();
            for _ in 0..AT_ONCE {
                bare.push(connect(&peer).await);
            }
            bare
        });
        Bench {
            runtime,
            pool,
            target,
            bare,
            body: filler(BODY).to_vec(),
            peer,
        }
    }

    /// An exchange over the pool and over a bare stream, by so many tasks at once, and what the observer alone makes of as many.
    fn compare(&mut self, length: Length, tasks: usize) -> Figures {
        let each = length.exchanges.div_ceil(tasks);
        let count = tasks * each;
        let mut turns = Vec::new();
        for round in 0..length.rounds + 1 {
            let times = [self.pooled(tasks, each), self.bare(tasks, each)];
            let [pool, bare] = times.map(|time| time.as_nanos() as f64 / count as f64);
            if round > 0 {
                // The first one only warms.
                turns.push([pool, bare, observe(count, 0)]);
            }
        }
        Figures::of(&turns)
    }

    fn pooled(&self, tasks: usize, each: usize) -> Duration {
        let lease = |pool: HotConnPool, target: String, body: Vec<u8>| async move {
            for _ in 0..each {
                let mut conn = pool.get(&target).await.unwrap();
                exchange(&mut conn, &body).await;
                assert_eq!(pool.put(conn), Returned::Kept);
            }
        };
        self.runtime.block_on(async {
            let one = || lease(self.pool.clone(), self.target.clone(), self.body.clone());
            let began = cpu();
            let all: Vec<_> = (0..tasks).map(|_| tokio::spawn(one())).collect();
            for task in all {
                task.await.unwrap();
            }
            cpu() - began
        })
    }

    fn bare(&mut self, tasks: usize, each: usize) -> Duration {
        let visit = |mut stream: TlsStream<TcpStream>, body: Vec<u8>| async move {
            for _ in 0..each {
                exchange(&mut stream, &body).await;
            }
            stream
        };
        let streams = self.bare.split_off(AT_ONCE - tasks);
        let (time, streams) = self.runtime.block_on(async {
            let began = cpu();
            let all: Vec<_> = streams
                .into_iter()
                .map(|stream| tokio::spawn(visit(stream, self.body.clone())))
                .collect();
            let mut back = Vec::new();
            for task in all {
                back.push(task.await.unwrap());
            }
            (cpu() - began, back)
        });
        self.bare.extend(streams);
        time
    }

    /// Panics unless every exchange over the pool was on a connection dialled before.
    fn vouch(&self) {
        let counters = self.pool.stats().counters;
        assert_eq!(counters.opened, AT_ONCE as u64, "connections opened");
        assert_eq!(
            counters.hits, counters.gets,
            "gets served by a connection dialled before"
        );
        assert_eq!(self.peer.seen().accepts, 2 * AT_ONCE as u64);
    }
}

async fn connect(peer: &Peer) -> TlsStream<TcpStream> {
    let config = ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(certs::authority().roots())
        .with_no_client_auth();
    let tcp = TcpStream::connect(peer.addr(0)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("peer.test").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap()
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let length = match test {
        true => Length {
            rounds: 1,
            exchanges: AT_ONCE,
        },
        false => Length {
            rounds: 201,
            exchanges: 640,
        },
    };
    let mut bench = Bench::new();
    let one = bench.compare(length, 1);
    println!(
        "one connection: {:.0} ns over the pool, {:.0} ns bare, ratio {:.3}",
        one.pool, one.bare, one.ratio
    );
    let all = bench.compare(length, AT_ONCE);
    println!(
        "{AT_ONCE} at once: {:.0} ns over the pool, {:.0} ns bare, ratio {:.3}",
        all.pool, all.bare, all.ratio
    );
    println!(
        "observer: {:.0} ns an exchange, {:.2} % of one at {AT_ONCE} at once; {:.0} ns with each head in two pieces",
        all.observer,
        100.0 * all.part,
        observe(length.exchanges * 400, 40)
    );
    bench.vouch();
    if !test && (one.ratio.max(all.ratio) > MOST_POOL || all.part > MOST_OBSERVER) {
        println!(
            "FAILED: at most {MOST_POOL} times the bare exchange, and {MOST_OBSERVER} of it for the observer"
        );
        std::process::exit(1);
    }
}
