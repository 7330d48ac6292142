//! What HTTP/2 costs over the pool: a request at 64 streams of one connection, and a connection that idles; beside the same on bare h2 over
//! tokio-rustls, and on the client of hyper-util.
//!
//! | line | what is measured |
//! |---|---|
//! | `a request` | the CPU time of the client's thread for `get`, a GET with its answer read to the end, `put`; by turns with the others in one run |
//! | `in a shape` | the same for a pool whose profile shapes HTTP/2, as each browser does, and nothing else; by turns with the pool that does not |
//! | `idle` | the resident memory of a process with so many idle connections that have served one request each, less that of the same process without |
//!
//! It exits with an error if a request costs more than 1.15 times the bare one, if a shape adds more than 8 % of that, or an idle connection more than 1.10 times the bare one's memory or 0.9
//! times that of hyper-util. `cargo bench --bench h2`; `-- --test` runs each once and judges nothing; `-- --instructions` has
//! valgrind count those of a request, in a process that has the client alone. valgrind 3.19 stops at the instructions with which rustix reads the vDSO by
//! itself, so libc is to read it: `RUSTFLAGS="--cfg rustix_use_libc" CARGO_TARGET_DIR=target/valgrind`.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and spawns")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench that cannot go on must say so"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hotpool::fingerprint::Profile;
use hotpool::rustls::{ClientConfig, RootCertStore};
use hotpool::{HotConnPool, PoolConfig, Returned, StaticResolver, h2, http};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::client::TlsStream;

#[path = "h2/bare.rs"]
mod bare;
#[path = "h2/elsewhere.rs"]
mod elsewhere;
#[path = "h2/legacy.rs"]
mod legacy;
#[path = "../tests/support/mod.rs"]
mod support;

use support::measure::{median, thread_cpu as cpu};
use support::peer::{Alpn, Peer};
use support::{certs, measure};

const STREAMS: usize = 64;
const BODY: usize = 100;
const IDLE: usize = 1_000;
/// The most that a request over the pool may cost, in bare requests.
const MOST_CPU: f64 = 1.15;
/// The most that a shape may add to that, in bare requests.
const MOST_SHAPE: f64 = 0.08;
/// The most memory of an idle connection, in that of a bare one and that of hyper-util.
const MOST_IDLE: (f64, f64) = (1.10, 0.90);

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// A peer, and how to trust it; one TLS configuration and one request for all.
#[derive(Clone)]
struct Server {
    addr: SocketAddr,
    roots: RootCertStore,
    tls: Arc<ClientConfig>,
    request: http::Request<()>,
}

impl Server {
    fn new(addr: SocketAddr, roots: RootCertStore) -> Self {
        let uri = format!("https://peer.test:{}/bytes/{BODY}", addr.port());
        Server {
            addr,
            tls: bare::tls(&roots, "h2"),
            roots,
            request: http::Request::get(uri).body(()).unwrap(),
        }
    }

    fn request(&self) -> http::Request<()> {
        self.request.clone()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        bare::connect(self.addr, &self.tls).await
    }

    fn is_http2(&self) -> bool {
        true
    }

    async fn bare(&self) -> h2::client::SendRequest<Bytes> {
        bare::h2(self.connect().await).await
    }

    fn pool(&self, change: impl FnOnce(&mut PoolConfig)) -> (HotConnPool, String) {
        self.pool_of(Profile::rustls(), change)
    }

    /// A pool whose HTTP/2 is this browser's, and whose TLS is not.
    fn shaped(&self, browser: Profile) -> (HotConnPool, String) {
        let h2 = browser.h2().unwrap().clone();
        self.pool_of(Profile::rustls().with_h2(h2), |_| {})
    }

    fn pool_of(&self, profile: Profile, change: impl FnOnce(&mut PoolConfig)) -> (HotConnPool, String) {
        let target = format!("peer.test:{}", self.addr.port());
        let mut config = PoolConfig::default();
        (config.idle_timeout, config.max_lifetime) = (Duration::from_secs(3600), Duration::from_secs(36_000));
        change(&mut config);
        let resolver = StaticResolver::new().with(target.as_str(), [self.addr.ip()]);
        let pool = HotConnPool::builder()
            .config(config)
            .roots(self.roots.clone())
            .profile(profile)
            .resolver(resolver.unwrap());
        (pool.build().unwrap(), target)
    }
}

async fn over_bare(send: h2::client::SendRequest<Bytes>, server: Server, times: usize) {
    bare::ask(send, server.request(), times, BODY).await;
}

async fn over_pool((pool, target): (HotConnPool, String), server: Server, times: usize) {
    for _ in 0..times {
        let mut conn = pool.get(&target).await.unwrap();
        let (response, _) = conn
            .h2()
            .unwrap()
            .send_request(server.request(), true)
            .await
            .unwrap();
        assert_eq!(bare::read(response).await, BODY);
        assert_eq!(pool.put(conn), Returned::Kept);
    }
}

async fn over_legacy(client: legacy::Client, server: Server, times: usize) {
    for _ in 0..times {
        assert_eq!(client.get(server.request()).await, BODY);
    }
}

/// Nanoseconds of CPU for each of `each` requests by each of so many tasks.
fn spent<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    each: usize,
    task: impl Fn() -> F,
) -> f64 {
    runtime.block_on(async {
        let began = cpu();
        let tasks: Vec<_> = (0..STREAMS).map(|_| tokio::spawn(task())).collect();
        for task in tasks {
            task.await.unwrap();
        }
        (cpu() - began).as_nanos() as f64 / (STREAMS * each) as f64
    })
}

/// Nanoseconds of a request, turn by turn: over the pool, bare, over hyper-util, and over the pool in Chromium's and in Firefox's shape.
fn requests(server: &Server, rounds: usize, each: usize) -> Vec<[f64; 5]> {
    let runtime = runtime();
    let pooled = server.pool(|_| {});
    let shaped = [
        Profile::chromium(156).unwrap(),
        Profile::firefox_esr(153).unwrap(),
    ]
    .map(|browser| server.shaped(browser));
    let bare = runtime.block_on(server.bare());
    let client = legacy::Client::new(server);
    let mut times = Vec::new();
    for round in 0..rounds + 1 {
        let figures = [
            spent(&runtime, each, || over_pool(pooled.clone(), server.clone(), each)),
            spent(&runtime, each, || over_bare(bare.clone(), server.clone(), each)),
            spent(&runtime, each, || {
                over_legacy(client.clone(), server.clone(), each)
            }),
            spent(&runtime, each, || {
                over_pool(shaped[0].clone(), server.clone(), each)
            }),
            spent(&runtime, each, || {
                over_pool(shaped[1].clone(), server.clone(), each)
            }),
        ];
        // The first one only warms.
        if round > 0 {
            times.push(figures);
        }
    }
    let counters = pooled.0.stats().counters;
    assert_eq!(
        (counters.opened, counters.gets - counters.hits),
        (1, 1),
        "one connection"
    );
    times
}

/// In a process of its own: the bytes that so many idle connections take.
fn idle(kind: &str, server: &Server, count: usize) -> usize {
    let runtime = runtime();
    runtime.block_on(async {
        // What the first connection of a kind brings along, its code above all, is not the connections'.
        over_bare(server.bare().await, server.clone(), 1).await;
        let pooled = server.pool(|config| {
            let most = count as u32 + 1;
            (config.max_connections, config.max_per_host, config.max_per_ip) = (most, most, most);
            (config.max_idle_per_host, config.h2_max_streams) = (most, 1);
        });
        let client = legacy::Client::new(server);
        match kind {
            "pool" => over_pool(pooled.clone(), server.clone(), 1).await,
            "bare" => {}
            _ => assert_eq!(client.get_of(count, server.request()).await, BODY),
        }
        let before = measure::resident_bytes();
        let after = match kind {
            "pool" => {
                let mut leases = Vec::new();
                for _ in 0..count + 1 {
                    let mut conn = pooled.0.get(&pooled.1).await.unwrap();
                    let mut side = conn.h2().unwrap();
                    let sent = side.send_request(server.request(), true).await.unwrap();
                    assert_eq!(bare::read(sent.0).await, BODY);
                    leases.push(conn);
                }
                drop(leases);
                assert_eq!(pooled.0.stats().idle as usize, count + 1);
                measure::resident_bytes()
            }
            "bare" => {
                let mut all = Vec::new();
                for _ in 0..count {
                    let send = server.bare().await;
                    over_bare(send.clone(), server.clone(), 1).await;
                    all.push(send);
                }
                measure::resident_bytes()
            }
            _ => {
                for host in 0..count {
                    assert_eq!(client.get_of(host, server.request()).await, BODY);
                }
                measure::resident_bytes()
            }
        };
        after - before
    })
}

fn measure_idle(kind: &str, addr: SocketAddr, count: usize) -> f64 {
    elsewhere::number(&["--idle", kind, &addr.to_string(), &count.to_string()]) / count as f64
}

/// In a process of its own: so many requests by each of the tasks.
fn ask(kind: &str, server: &Server, each: usize) {
    let runtime = runtime();
    let pooled = match kind {
        "chromium" => server.shaped(Profile::chromium(156).unwrap()),
        "firefox" => server.shaped(Profile::firefox_esr(153).unwrap()),
        _ => server.pool(|_| {}),
    };
    match kind {
        "bare" => {
            let bare = runtime.block_on(server.bare());
            spent(&runtime, each, || over_bare(bare.clone(), server.clone(), each));
        }
        _ => {
            spent(&runtime, each, || over_pool(pooled.clone(), server.clone(), each));
        }
    }
}

/// The instructions of a request, of each kind: those of a process that has many, less those of one that has few.
fn instructions(addr: SocketAddr) {
    let counted =
        |kind: &str, each: usize| elsewhere::counted(&["--ask", kind, &addr.to_string(), &each.to_string()]);
    let [bare, pool, chromium, firefox] = ["bare", "pool", "chromium", "firefox"].map(|kind| {
        let (few, many) = (2, 12);
        (counted(kind, many) - counted(kind, few)) / ((many - few) * STREAMS) as f64
    });
    println!("instructions of a request: {bare:.0} bare, {pool:.0} over the pool");
    for (shape, count) in [("Chromium's", chromium), ("Firefox's", firefox)] {
        let share = (count - pool) / bare * 100.0;
        println!("in {shape} shape: {count:.0}, {share:+.1} % of a bare request");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let own = |argument: &String| argument == "--idle" || argument == "--ask";
    if let Some(at) = arguments.iter().position(own) {
        let addr = arguments[at + 2].parse().unwrap();
        let (server, count) = (
            Server::new(addr, elsewhere::roots()),
            arguments[at + 3].parse().unwrap(),
        );
        match &*arguments[at] {
            "--ask" => ask(&arguments[at + 1], &server, count),
            _ => println!("{}", idle(&arguments[at + 1], &server, count)),
        }
        return;
    }
    let test = arguments.iter().any(|argument| argument == "--test");
    let (rounds, each, count) = if test { (1, 1, 3) } else { (201, 10, IDLE) };
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let server = Server::new(peer.addr(0), certs::authority().roots());
    if arguments.iter().any(|argument| argument == "--instructions") {
        return instructions(peer.addr(0));
    }
    let times = requests(&server, rounds, each);
    let all = |figure: &dyn Fn(&[f64; 5]) -> f64| median(times.iter().map(figure).collect());
    let [pool, bare, hyper, chromium, firefox] = [0, 1, 2, 3, 4].map(|kind| all(&|turn| turn[kind]));
    // Of one turn with another: the machine is not the same for long.
    let (to_bare, to_hyper) = (all(&|turn| turn[0] / turn[1]), all(&|turn| turn[0] / turn[2]));
    println!(
        "a request at {STREAMS} streams: {pool:.0} ns over the pool, {bare:.0} bare, {hyper:.0} over hyper-util; ratios {to_bare:.3} and {to_hyper:.3}"
    );
    let added = [3, 4].map(|shape| all(&|turn| (turn[shape] - turn[0]) / turn[1]));
    println!(
        "in a shape: {chromium:.0} ns in Chromium's, {firefox:.0} in Firefox's; {:+.1} and {:+.1} % of a bare request",
        added[0] * 100.0,
        added[1] * 100.0
    );
    let [idle_pool, idle_bare, idle_hyper] =
        ["pool", "bare", "hyper"].map(|kind| measure_idle(kind, peer.addr(0), count));
    println!(
        "idle, {count} of them: {idle_pool:.0} bytes in the pool, {idle_bare:.0} bare, {idle_hyper:.0} in hyper-util; ratios {:.3} and {:.3}",
        idle_pool / idle_bare,
        idle_pool / idle_hyper
    );
    let (most_bare, most_hyper) = MOST_IDLE;
    let within = added.iter().all(|added| *added <= MOST_SHAPE)
        && to_bare <= MOST_CPU
        && idle_pool / idle_bare <= most_bare
        && idle_pool / idle_hyper < most_hyper;
    if !test && !within {
        println!(
            "FAILED: at most {MOST_CPU} of the CPU time, {MOST_SHAPE} more in a shape, {most_bare} and {most_hyper} of the memory"
        );
        std::process::exit(1);
    }
}
