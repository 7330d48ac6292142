//! What a request costs through the client, get and answer and all: beside the same on a bare connection of hyper's or h2's, and on the client of hyper-util,
//! over the same TLS.
//!
//! | line | what is measured |
//! |---|---|
//! | `h1`, `h2` | the CPU time of the client's thread for a GET with its answer read to the end, 64 at once; by turns with the others; the middle of fifteen turns, and of five processes |
//! | `idle` | the resident memory of a process with so many idle connections that have served one request each, less that of the same process without: each dialled and used after the other, or all used at once; of three processes the one in the middle |
//!
//! On HTTP/1.1 each of the 64 tasks of hyper's has a connection; on HTTP/2 all of them share one, as everywhere.
//!
//! It exits with an error if a request costs more than 1.10 times that of a bare connection of hyper's (HTTP/1.1), 1.25 times that of bare h2, or as much as one of
//! hyper-util's, or if an idle HTTP/1.1 connection takes more than 10,000 octets where they were used one after the other, or more than half of hyper-util's where all were used at once. `cargo bench --features client --bench e2e`; `-- --test` runs each once or twice and judges
//! nothing; `-- --memory` measures memory alone, `-- --requests` requests alone; `-- --instructions` has valgrind count those of a request, in a process that has the client alone. valgrind 3.19 stops at the instructions with
//! which rustix reads the vDSO by itself, so libc is to read it: `RUSTFLAGS="--cfg rustix_use_libc" CARGO_TARGET_DIR=target/valgrind`.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and spawns")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench that cannot go on must say so"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hotpool::http::Request;
use hotpool::rustls::{ClientConfig, RootCertStore};
use hotpool::{GetOptions, HotConnPool, PoolConfig, StaticResolver, Warm};
use http_body_util::Empty;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::client::TlsStream;

#[path = "h2/bare.rs"]
mod bare;
#[path = "h2/elsewhere.rs"]
mod elsewhere;
#[path = "e2e/http1.rs"]
mod http1;
#[path = "h2/legacy.rs"]
mod legacy;
#[path = "../tests/support/mod.rs"]
mod support;

use support::measure::{median, thread_cpu as cpu};
use support::peer::{Alpn, Peer};
use support::{certs, measure};

const AT_ONCE: usize = 64;
/// Requests of each task in one turn, turns, and processes.
const EACH: usize = 50;
const ROUNDS: usize = 15;
const PROCESSES: usize = 5;
const IDLE: usize = 1_000;
const BODY: usize = 100;
/// The most that a request may cost, in bare ones: HTTP/1.1, and HTTP/2.
const MOST: [f64; 2] = [1.10, 1.25];
/// The most memory of an idle HTTP/1.1 connection that was used when no other was, in octets.
const MOST_IDLE: f64 = 10_000.0;

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// A peer, how to trust it, and what is spoken with it.
#[derive(Clone)]
struct Server {
    addr: SocketAddr,
    roots: RootCertStore,
    tls: Arc<ClientConfig>,
    request: Request<()>,
    http2: bool,
}

impl Server {
    fn new(addr: SocketAddr, roots: RootCertStore, http2: bool) -> Self {
        let uri = format!("https://peer.test:{}/bytes/{BODY}", addr.port());
        let request = Request::get(uri)
            .header("user-agent", "bench")
            .header("accept", "*/*");
        Server {
            addr,
            tls: bare::tls(&roots, if http2 { "h2" } else { "http/1.1" }),
            roots,
            request: request.body(()).unwrap(),
            http2,
        }
    }

    fn request(&self) -> Request<()> {
        self.request.clone()
    }

    fn is_http2(&self) -> bool {
        self.http2
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        bare::connect(self.addr, &self.tls).await
    }

    fn pool(&self, most: usize) -> HotConnPool {
        let target = format!("peer.test:{}", self.addr.port());
        let mut config = PoolConfig::default();
        let most = u32::try_from(most).unwrap();
        (config.max_connections, config.max_per_host, config.max_per_ip) = (most, most, most);
        config.max_idle_per_host = most;
        (config.idle_timeout, config.max_lifetime) = (Duration::from_secs(3600), Duration::from_secs(36_000));
        if self.http2 {
            config.h2_max_streams = if most as usize == AT_ONCE { 100 } else { 1 };
        }
        let resolver = StaticResolver::new().with(target.as_str(), [self.addr.ip()]);
        let pool = HotConnPool::builder()
            .config(config)
            .roots(self.roots.clone())
            .resolver(resolver.unwrap());
        pool.build().unwrap()
    }
}

/// Who makes requests.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Client,
    Bare,
    Legacy,
}

const KINDS: [(&str, Kind); 3] = [
    ("client", Kind::Client),
    ("bare", Kind::Bare),
    ("hyper-util", Kind::Legacy),
];

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// What makes the task that asks so often.
type Asker = Box<dyn Fn(usize) -> Task>;

async fn ask(pool: HotConnPool, server: Server, times: usize) {
    let request = server.request().map(|()| Empty::<Bytes>::new());
    for _ in 0..times {
        let answer = pool.send(request.clone()).await.unwrap();
        assert_eq!(bare::read_frames(answer.into_body()).await, BODY);
    }
}

/// Which request of its connection it was, and how many bytes its answer has.
async fn ask_once(pool: &HotConnPool, server: &Server) -> (String, usize) {
    let request = server.request().map(|()| Empty::<Bytes>::new());
    let answer = pool.send(request).await.unwrap();
    let nth = answer.headers()["x-nth"].to_str().unwrap().to_owned();
    (nth, bare::read_frames(answer.into_body()).await)
}

/// One with connections for as many tasks as there are at once.
fn asker(kind: Kind, server: &Server, runtime: &Runtime) -> Asker {
    let server = server.clone();
    match kind {
        Kind::Client => {
            let pool = server.pool(AT_ONCE);
            Box::new(move |times| Box::pin(ask(pool.clone(), server.clone(), times)))
        }
        Kind::Legacy => {
            let client = legacy::Client::new(&server);
            Box::new(move |times| {
                let (client, server) = (client.clone(), server.clone());
                Box::pin(async move {
                    for _ in 0..times {
                        assert_eq!(client.get(server.request()).await, BODY);
                    }
                })
            })
        }
        Kind::Bare if server.http2 => {
            let send = runtime.block_on(async { bare::h2(server.connect().await).await });
            Box::new(move |times| Box::pin(bare::ask(send.clone(), server.request(), times, BODY)))
        }
        Kind::Bare => {
            let all = runtime.block_on(http1::all(&server, AT_ONCE));
            Box::new(move |times| Box::pin(http1::ask(Arc::clone(&all), server.clone(), times)))
        }
    }
}

/// Nanoseconds of CPU for each of `each` requests by each of so many tasks.
fn spent(runtime: &Runtime, each: usize, asker: &Asker) -> f64 {
    runtime.block_on(async {
        let began = cpu();
        let tasks: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(asker(each))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        (cpu() - began).as_nanos() as f64 / (AT_ONCE * each) as f64
    })
}

/// In a process of its own: nanoseconds of a request of each kind, and the client's in those of the other two; turn by turn, and of so many turns the middle.
fn requests(server: &Server, rounds: usize) -> [f64; 5] {
    let runtime = runtime();
    let askers = KINDS.map(|(_, kind)| asker(kind, server, &runtime));
    let mut times = Vec::new();
    let each = if rounds > 1 { EACH } else { 1 };
    for round in 0..rounds + 1 {
        let [client, bare, util] = [0, 1, 2].map(|kind| spent(&runtime, each, &askers[kind]));
        // The first one only warms.
        if round > 0 {
            times.push([client, bare, util, client / bare, client / util]);
        }
    }
    middle(&times)
}

/// Of each figure the one in the middle.
fn middle(all: &[[f64; 5]]) -> [f64; 5] {
    std::array::from_fn(|which| median(all.iter().map(|figures| figures[which]).collect()))
}

/// The same of several processes, whose memory is laid out in different ways: that alone makes two in a hundred.
fn measure_requests(server: &Server, rounds: usize) -> [f64; 5] {
    let (addr, http2) = (server.addr.to_string(), server.http2.to_string());
    let one = |_| elsewhere::numbers(&["--requests-of", "client", &addr, &http2, &rounds.to_string()]);
    middle(&(0..PROCESSES).map(one).collect::<Vec<_>>())
}

/// In a process of its own: the bytes that so many idle connections take. Each was opened, and has served one request: one after the other, or all at once.
fn idle(kind: Kind, server: &Server, count: usize, at_once: bool) -> usize {
    let runtime = runtime();
    runtime.block_on(async {
        // What the first connection of a kind brings along, its code above all, is not the connections'.
        ask(server.pool(AT_ONCE), server.clone(), 1).await;
        let (pool, client) = (server.pool(count), legacy::Client::new(server));
        if matches!(kind, Kind::Legacy) {
            assert_eq!(client.get_of(count, server.request()).await, BODY);
        }
        let before = measure::resident_bytes();
        let one = |nth: usize| -> Task {
            let (client, pool, server) = (client.clone(), pool.clone(), server.clone());
            match kind {
                Kind::Legacy => Box::pin(async move {
                    assert_eq!(client.get_of(nth, server.request()).await, BODY);
                }),
                _ => Box::pin(async move {
                    let (nth, size) = ask_once(&pool, &server).await;
                    assert_eq!((&*nth, size), ("1", BODY), "one that nobody had before");
                }),
            }
        };
        if at_once {
            if matches!(kind, Kind::Client) {
                warm(&pool, server, count).await;
            }
            let tasks: Vec<_> = (0..count).map(|nth| tokio::spawn(one(nth))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        } else {
            for nth in 0..count {
                if matches!(kind, Kind::Client) {
                    warm(&pool, server, nth + 1).await;
                }
                one(nth).await;
            }
        }
        if matches!(kind, Kind::Client) {
            let stats = pool.stats();
            assert_eq!(
                (stats.idle as usize, stats.counters.opened as usize),
                (count, count)
            );
        }
        measure::resident_bytes() - before
    })
}

/// Opens connections until there are so many.
async fn warm(pool: &HotConnPool, server: &Server, count: usize) {
    let target = format!("peer.test:{}", server.addr.port());
    let warmed = pool.warm(&target, Warm::Count(count), GetOptions::new());
    assert_eq!(warmed.await.unwrap().errors.len(), 0);
}

fn measure_idle(kind: &str, server: &Server, count: usize, at_once: bool) -> f64 {
    let (addr, http2) = (server.addr.to_string(), server.http2.to_string());
    let what = if at_once { "--idle-at-once" } else { "--idle" };
    let one = |_| elsewhere::number(&[what, kind, &addr, &http2, &count.to_string()]) / count as f64;
    median((0..3).map(one).collect())
}

/// The instructions of a request: those of a process that has many, less those of one that has few.
fn instructions(kind: &str, server: &Server) -> f64 {
    let (addr, http2) = (server.addr.to_string(), server.http2.to_string());
    let counted = |each: usize| elsewhere::counted(&["--ask", kind, &addr, &http2, &each.to_string()]);
    let (few, many) = (2, 12);
    (counted(many) - counted(few)) / ((many - few) * AT_ONCE) as f64
}

/// What a process of its own was told to do.
fn serve(arguments: &[String]) {
    let [what, kind, addr, http2, count] = arguments else {
        panic!("{arguments:?}");
    };
    let server = Server::new(addr.parse().unwrap(), elsewhere::roots(), http2 == "true");
    let (count, kind) = (
        count.parse().unwrap(),
        KINDS.iter().find(|(name, _)| name == kind).unwrap().1,
    );
    if what == "--requests-of" {
        let figures = requests(&server, count).map(|figure| figure.to_string());
        return println!("{}", figures.join(" "));
    }
    if what != "--ask" {
        return println!("{}", idle(kind, &server, count, what == "--idle-at-once"));
    }
    let runtime = runtime();
    let asker = asker(kind, &server, &runtime);
    spent(&runtime, count, &asker);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments
        .iter()
        .position(|argument| ["--idle", "--idle-at-once", "--requests-of", "--ask"].contains(&&**argument))
    {
        return serve(&arguments[at..at + 5]);
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let test = has("--test");
    let (rounds, count) = if test { (1, 3) } else { (ROUNDS, IDLE) };
    let mut within = true;
    for (http2, name, most) in [(false, "h1", MOST[0]), (true, "h2", MOST[1])] {
        let peer = Peer::builder()
            .alpn(if http2 { Alpn::Http2 } else { Alpn::Http1 })
            .start();
        let server = Server::new(peer.addr(0), certs::authority().roots(), http2);
        if has("--instructions") {
            let [client, bare, util] = KINDS.map(|(kind, _)| instructions(kind, &server));
            println!(
                "{name}: instructions of a request: {client:.0} through the client, {bare:.0} bare, {util:.0} through hyper-util"
            );
            continue;
        }
        if !has("--memory") {
            let [client, bare, util, to_bare, to_util] = measure_requests(&server, rounds);
            println!(
                "{name}: {client:.0} ns through the client, {bare:.0} bare, {util:.0} through hyper-util; ratios {to_bare:.3} and {to_util:.3}"
            );
            within &= to_bare <= most && to_util < 1.0;
        }
        if has("--requests") && !has("--memory") {
            continue;
        }
        for (how, at_once) in [("one after the other", false), ("all at once", true)] {
            let [client, util] =
                ["client", "hyper-util"].map(|kind| measure_idle(kind, &server, count, at_once));
            println!(
                "{name}: idle, {count} of them, used {how}: {client:.0} octets in the pool, {util:.0} in hyper-util"
            );
            // What was in use at once leaves holes in the heap, in either: there is a bound for what an idle one is by itself.
            within &= http2 || client <= if at_once { util / 2.0 } else { MOST_IDLE };
        }
    }
    if !test && !within {
        println!(
            "FAILED: at most {MOST:?} of a bare request, less than hyper-util, {MOST_IDLE} octets idle, half of hyper-util's where all were used at once"
        );
        std::process::exit(1);
    }
}
