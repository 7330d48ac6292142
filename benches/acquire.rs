//! What `get` and `put` cost on a hot HTTP/1.1 connection, and where the time goes. Real TLS connections, the loopback, every default.
//!
//! After each row of the pool its counters must say that every lease was served by a connection dialled beforehand, or the benchmark
//! panics. For the same beside other pools see `benches/peers`.
//!
//! | name | one iteration |
//! |---|---|
//! | `name/N` | `get` by name and `put`, N connections idle |
//! | `endpoint/9` | the same by an endpoint that was prepared before |
//! | `exchanged/9` | the same two, with a request and its answer in between that are not counted; two readings of the clock are (`part/instant`) |
//! | `threads/9` | the same on each of two threads at once |
//! | `part/parse` | reading the name |
//! | `part/clock` | reading the coarse clock once |
//! | `part/instant` | reading the exact clock twice |
//! | `part/lock` | taking and releasing a lock that nobody else wants |
//! | `part/machine` | the rules alone: a hit and its return, three connections on each of three addresses (with `--features __internals`) |
//!
//! `cargo bench --bench acquire`; `-- --test` runs each once, with the same checks.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a benchmark has clocks and threads")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use hotpool::clock::{Clock, SystemClock};
use hotpool::{GetOptions, HotConn, HotConnPool, Protocol, Returned, StaticResolver, Target, Warm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

#[path = "../tests/support/mod.rs"]
mod support;

use support::certs;
use support::peer::{Alpn, Peer};

/// A body of this many bytes, which `/bytes/N` answers.
const BODY: usize = 100;

/// A pool with so many idle connections, and the peer that they lead to.
struct Bench {
    pool: HotConnPool,
    target: String,
    idle: u64,
    runtime: Runtime,
    _peer: Peer,
}

impl Bench {
    fn new(ips: usize, on_each: usize, runtime: &mut Builder) -> Self {
        let peer = Peer::builder().ips(ips).alpn(Alpn::Http1).start();
        let target = format!("peer.test:{}", peer.port());
        let resolver = StaticResolver::new().with(target.as_str(), peer.ips().iter().copied());
        let builder = HotConnPool::builder().roots(certs::authority().roots());
        let bench = Bench {
            pool: builder.resolver(resolver.unwrap()).build().unwrap(),
            target,
            idle: (ips * on_each) as u64,
            runtime: runtime.enable_all().build().unwrap(),
            _peer: peer,
        };
        let warm = bench
            .pool
            .warm(bench.target.as_str(), Warm::EveryIp(on_each), GetOptions::new());
        let warm = bench.runtime.block_on(warm).unwrap();
        assert_eq!(warm.opened as u64, bench.idle, "{:?}", warm.errors);
        bench
    }

    async fn lease(&self) -> HotConn {
        self.pool.get(self.target.as_str()).await.unwrap()
    }

    fn put(&self, conn: HotConn) {
        assert_eq!(self.pool.put(conn), Returned::Kept);
    }

    /// So many times `get` and `put`.
    async fn borrow(&self, times: u64) -> Duration {
        let began = Instant::now();
        for _ in 0..times {
            self.put(black_box(self.lease().await));
        }
        began.elapsed()
    }

    /// As [`borrow`](Self::borrow), by an endpoint.
    async fn borrow_prepared(&self, times: u64) -> Duration {
        let endpoint = self.pool.endpoint(&self.target).unwrap();
        let began = Instant::now();
        for _ in 0..times {
            self.put(black_box(self.pool.get(&endpoint).await.unwrap()));
        }
        began.elapsed()
    }

    /// As [`borrow`](Self::borrow), with an exchange in each lease that is not counted.
    async fn exchange(&self, times: u64) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            let began = Instant::now();
            let mut conn = self.lease().await;
            total += began.elapsed();
            converse(&mut conn, &self.target).await;
            let began = Instant::now();
            self.put(conn);
            total += began.elapsed();
        }
        total
    }

    /// As [`borrow`](Self::borrow) on two threads: the time of the slower one.
    fn borrow_twice(&self, times: u64) -> Duration {
        let start = Barrier::new(2);
        let thread = || {
            start.wait();
            self.runtime.handle().block_on(self.borrow(times))
        };
        std::thread::scope(|scope| {
            let threads = [scope.spawn(thread), scope.spawn(thread)];
            threads
                .map(|thread| thread.join().unwrap())
                .into_iter()
                .max()
                .unwrap()
        })
    }

    /// Panics unless no connection was made after the first ones, all of them are idle now, and every lease was served by one of them.
    fn vouch(&self) {
        let stats = self.pool.stats();
        let counters = &stats.counters;
        assert_eq!(
            (counters.opened, u64::from(stats.idle)),
            (self.idle, self.idle),
            "connections"
        );
        assert_eq!(counters.closed(), 0, "connections that closed");
        assert!(
            counters.gets > 0 && counters.hits == counters.gets,
            "{counters:?}"
        );
        self.pool.manager().assert_invariants();
    }
}

/// A request, and its answer to the end.
async fn converse(conn: &mut HotConn, target: &str) {
    assert_eq!(conn.protocol(), Protocol::Http1);
    let request = format!("GET /bytes/{BODY} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    conn.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut whole) = (Vec::with_capacity(1024), usize::MAX);
    while answer.len() < whole {
        assert!(conn.read_buf(&mut answer).await.unwrap() > 0, "a whole answer");
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
        whole = head.map_or(usize::MAX, |head| head + 4 + BODY);
    }
    conn.assume_clean();
}

fn one_thread(group: &mut BenchmarkGroup<'_, WallTime>) {
    for (ips, on_each) in [(1, 1), (3, 3)] {
        let bench = Bench::new(ips, on_each, &mut Builder::new_current_thread());
        group.bench_function(format!("name/{}", bench.idle), |b| {
            b.iter_custom(|times| bench.runtime.block_on(bench.borrow(times)));
        });
        bench.vouch();
    }
    let bench = Bench::new(3, 3, &mut Builder::new_current_thread());
    group.bench_function("endpoint/9", |b| {
        b.iter_custom(|times| bench.runtime.block_on(bench.borrow_prepared(times)));
    });
    bench.vouch();
    group.bench_function("exchanged/9", |b| {
        b.iter_custom(|times| bench.runtime.block_on(bench.exchange(times)));
    });
    bench.vouch();
}

fn two_threads(group: &mut BenchmarkGroup<'_, WallTime>) {
    let bench = Bench::new(3, 3, Builder::new_multi_thread().worker_threads(1));
    group.bench_function("threads/9", |b| {
        b.iter_custom(|times| bench.borrow_twice(times));
    });
    bench.vouch();
}

fn parts(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function("part/parse", |b| {
        b.iter(|| Target::try_from(black_box("peer.test:44300")).unwrap());
    });
    let clock = SystemClock::new();
    group.bench_function("part/clock", |b| b.iter(|| clock.now_coarse()));
    group.bench_function("part/instant", |b| b.iter(|| Instant::now().elapsed()));
    let lock = parking_lot::Mutex::new(0_u64);
    group.bench_function("part/lock", |b| b.iter(|| *black_box(&lock).lock() += 1));
    #[cfg(feature = "__internals")]
    machine(group);
}

/// What the coarse clock says stands still here: what depends on it does not matter for a hit.
#[cfg(feature = "__internals")]
fn machine(group: &mut BenchmarkGroup<'_, WallTime>) {
    use hotpool::clock::Moment;
    use hotpool::machine::{Acquire, Fate, IdentityId, Limits, Machine, Require, Want};

    let want = Want {
        identity: IdentityId(0),
        require: Require::Any,
        pin: None,
    };
    let (mut machine, now) = (Machine::new(Limits::default(), 0), Moment::ZERO);
    for last in [1, 2, 3].repeat(3) {
        let ip = std::net::Ipv4Addr::new(10, 0, 0, last).into();
        let adopted = machine.adopt(now, want.identity, ip, Protocol::Http1);
        assert!(adopted.is_some(), "there is room for nine");
    }
    group.bench_function("part/machine", |b| {
        b.iter(|| {
            let Acquire::Lease(lease) = machine.acquire(now, black_box(want)) else {
                unreachable!("nine are idle");
            };
            let returned = machine.release(now, black_box(lease.conn), Fate::Reusable);
            assert_eq!(returned, Returned::Kept);
        });
    });
}

fn acquire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("acquire");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    one_thread(&mut group);
    two_threads(&mut group);
    parts(&mut group);
    group.finish();
}

criterion_group!(benches, acquire);
criterion_main!(benches);
