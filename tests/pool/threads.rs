//! Everything that a pool can be told, at random, from eight threads at once, over connections and dials that are played: so many more turns
//! than over real sockets. The books agree all the while, nobody has what another has, and at the end every permit is home.
//!
//! `HOTPOOL_STRESS` says for how many seconds (2).

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hotpool::clock::ManualClock;
use hotpool::scripted::{Act, Stage};
use hotpool::{
    Error, ErrorKind, GetOptions, HotConn, HotConnPool, Outcome, Phase, PoolConfig, Require, Scope, Tls, Warm,
};

use crate::common::{Dice, config, poll_times};
use crate::support::peer::DEADLINE;

const THREADS: u64 = 8;
const HOSTS: u64 = 50;
const ADDRESSES: u32 = 3;
/// No settings ever allow more than these.
const MOST_CONNECTIONS: u32 = 12;
const MOST_PER_IP: u32 = 6;
/// How far the pool's clock goes on at a time.
const TICK: Duration = Duration::from_millis(20);
/// Connections handed out without which the time proves nothing.
const ENOUGH: u64 = 2_000;

fn lasts() -> Duration {
    let seconds = std::env::var("HOTPOOL_STRESS").map_or(2, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Small caps, each of them drawn.
fn settings(dice: &mut Dice) -> PoolConfig {
    let mut up_to = |most| 1 + u32::try_from(dice.below(u64::from(most))).unwrap();
    config(|config| {
        config.max_connections = up_to(MOST_CONNECTIONS);
        config.max_per_ip = up_to(MOST_PER_IP);
        config.max_per_host = up_to(4);
        config.max_idle_per_host = up_to(4) - 1;
        config.max_dials = up_to(4);
        config.max_hosts = 20 + up_to(40);
        config.acquire_timeout = Duration::from_secs(2);
        config.connect_timeout = Duration::from_secs(2);
        config.idle_timeout = Duration::from_secs(3);
        config.max_lifetime = Duration::from_secs(20);
    })
}

/// What all threads share.
struct Day {
    stage: Stage,
    pool: HotConnPool,
    /// What takes the place of the pool's own TLS setup now and then.
    setup: Tls,
    clock: ManualClock,
    over: AtomicBool,
    in_use: Mutex<BTreeSet<u64>>,
    served: AtomicU64,
    refused: AtomicU64,
    cancelled: AtomicU64,
}

impl Day {
    fn begin() -> Self {
        let (stage, clock) = (Stage::new(ADDRESSES), ManualClock::new());
        let pool = stage.pool(settings(&mut Dice(1)), clock.clone()).unwrap();
        Day {
            stage,
            pool,
            setup: Tls::builder().build().unwrap(),
            clock,
            over: AtomicBool::new(false),
            in_use: Mutex::default(),
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn caller(&self, seed: u64) {
        let mut dice = Dice(seed);
        while !self.is_over() {
            // Some are asked for more often than others.
            let hosts = if dice.below(2) == 0 { HOSTS } else { 4 };
            let host = format!("{}.test", dice.below(hosts));
            match dice.below(100) {
                0..2 => self.meddle(&host, &mut dice).await,
                2..6 => self.act(&mut dice),
                6..20 => {
                    let polls = usize::try_from(dice.below(6)).unwrap();
                    drop(poll_times(self.pool.get(&host), polls).await);
                    self.cancelled.fetch_add(1, Ordering::Relaxed);
                }
                20..25 => {
                    if let Ok(Some(conn)) = self.pool.try_get(&host) {
                        self.hold(conn, &mut dice).await;
                    }
                }
                _ => self.ask(&host, &mut dice).await,
            }
        }
    }

    async fn ask(&self, host: &str, dice: &mut Dice) {
        let mut options = GetOptions::new();
        if dice.below(8) == 0 {
            options = options.require(Require::Http1);
        }
        if dice.below(8) == 0 {
            options = options.timeout(Duration::from_millis(dice.below(100)));
        }
        match self.pool.get_with(host, options).await {
            Ok(conn) => self.hold(conn, dice).await,
            Err(error) => self.explain(&error),
        }
    }

    async fn hold(&self, conn: HotConn, dice: &mut Dice) {
        let serial = conn.info().serial;
        assert!(
            self.in_use.lock().unwrap().insert(serial),
            "{serial} is another's"
        );
        for _ in 0..dice.below(4) {
            tokio::task::yield_now().await;
        }
        assert!(self.in_use.lock().unwrap().remove(&serial));
        self.served.fetch_add(1, Ordering::Relaxed);
        match dice.below(16) {
            0 => conn.report(Outcome::Error),
            1 => conn.report(Outcome::TryLater(Duration::from_millis(dice.below(100)))),
            2..9 => conn.report(Outcome::Ok),
            _ => {}
        }
        match dice.below(8) {
            0 => conn.discard(),
            1 => drop(conn),
            2 => drop(conn.detach()),
            3 => match conn.detach() {
                Ok(detached) => drop(self.pool.manager().add(detached)),
                Err(_) => panic!("HTTP/2"),
            },
            _ => drop(self.pool.put(conn)),
        }
    }

    /// Only what such a day brings.
    fn explain(&self, error: &Error) {
        let expected = [
            ErrorKind::Timeout,
            ErrorKind::Blocked,
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::Tls,
            ErrorKind::TooManyHosts,
        ];
        assert!(expected.contains(&error.kind()), "{error:?}");
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The owner of the pool changes its mind.
    async fn meddle(&self, host: &str, dice: &mut Dice) {
        let manager = self.pool.manager();
        match dice.below(12) {
            0 => manager.update_config(settings(dice)).unwrap(),
            1 => drop(manager.evict_host(host).unwrap()),
            2 => drop(manager.evict_ip("10.0.0.1".parse().unwrap())),
            3 => drop(manager.remove(host).unwrap()),
            4 => drop(manager.retain(|info| info.serial % 2 == 0)),
            5 => drop(manager.cleanup()),
            6 => drop(poll_times(self.pool.warm(host, Warm::Count(2), GetOptions::new()), 20).await),
            7 => drop(manager.stats()),
            8 => drop(self.pool.force_cleanup()),
            9 => self.pool.update_tls(self.setup.clone()),
            10 => {
                let scope = Scope::from("10.0.0.1".parse::<std::net::IpAddr>().unwrap());
                manager
                    .block(scope.clone(), Some(Duration::from_millis(200)))
                    .unwrap();
                tokio::task::yield_now().await;
                manager.unblock(&scope);
            }
            _ => {
                manager.pause();
                tokio::task::yield_now().await;
                manager.resume();
            }
        }
    }

    /// The other side does something.
    fn act(&self, dice: &mut Dice) {
        let phase = [Phase::Resolve, Phase::Connect, Phase::Tls][usize::try_from(dice.below(3)).unwrap()];
        match dice.below(8) {
            0 => drop(self.stage.close_all()),
            1 => drop(self.stage.stray_all()),
            2..4 => self.stage.next(phase, Act::Err),
            _ => self
                .stage
                .next(phase, Act::Slow(1 + u32::try_from(dice.below(5)).unwrap())),
        }
    }

    /// Time goes on, and nothing is ever wrong.
    fn watch(&self) {
        while !self.is_over() {
            self.clock.advance(TICK);
            self.pool.manager().assert_invariants();
            let stats = self.pool.stats();
            assert!(stats.total <= MOST_CONNECTIONS, "{stats:?}");
            for last in 1..=ADDRESSES {
                let ip = std::net::Ipv4Addr::from(0x0a00_0000 + last);
                let ips = stats.hosts.iter().flat_map(|host| &host.ips);
                let there: u32 = ips.filter(|found| found.ip == ip).map(|found| found.total).sum();
                assert!(there <= MOST_PER_IP, "{ip}: {stats:?}");
            }
            // It holds every lock there is in turn: somebody else may have them now and then.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What is missing until each permit is that of a live connection, and nothing else is under way.
    fn unrest(&self) -> Option<String> {
        let ((ledger, orders), stats) = (self.pool.manager().books(), self.pool.stats());
        let counts = ledger.counts();
        let busy = (
            stats.dialling,
            stats.waiting,
            stats.leases,
            counts.dials,
            counts.waiting,
            orders,
        );
        let even = counts.total == stats.total && self.stage.open() == self.pool.size();
        (busy != (0, 0, 0, 0, 0, 0) || !even || self.stage.struck() > 0).then(|| {
            format!(
                "{counts:?}, {orders} orders, {} open, {stats:?}",
                self.stage.open()
            )
        })
    }

    async fn comes_to_rest(&self) {
        let began = Instant::now();
        while let Some(unrest) = self.unrest() {
            assert!(began.elapsed() < DEADLINE, "{unrest}");
            self.clock.advance(TICK);
            tokio::task::yield_now().await;
        }
        self.pool.manager().assert_invariants();
    }

    /// As many leases at once as the limit allows: nothing was lost on the way.
    async fn every_permit_is_home(&self) {
        let whole = config(|config| {
            config.max_connections = MOST_CONNECTIONS;
            config.max_per_ip = MOST_CONNECTIONS;
        });
        self.pool.manager().update_config(whole).unwrap();
        let began = Instant::now();
        let mut leased = Vec::new();
        while leased.len() < MOST_CONNECTIONS as usize {
            let host = format!("last{}.test", leased.len() / 4);
            match self.pool.get(&host).await {
                Ok(conn) => leased.push(conn),
                // The last acts of the other side are played out, and their penalties with them.
                Err(error) => self.explain(&error),
            }
            self.clock.advance(Duration::from_secs(1));
            assert!(began.elapsed() < DEADLINE, "{} leases and no more", leased.len());
        }
        assert_eq!(self.pool.size(), leased.len());
    }

    async fn end(&self) {
        self.comes_to_rest().await;
        self.every_permit_is_home().await;
        let report = self.pool.close().await;
        assert_eq!((report.leases_left, report.tasks_left), (0, 0), "{report:?}");
        let ((ledger, orders), open) = (self.pool.manager().books(), self.stage.open());
        assert_eq!(
            (ledger.counts().total, orders, self.pool.size(), open),
            (0, 0, 0, 0)
        );
        self.pool.manager().assert_invariants();
    }
}

#[test]
fn a_day_of_everything() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let day = Day::begin();
    std::thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (day, home) = (&day, runtime.handle());
            scope.spawn(move || home.block_on(day.caller(seed * 7919)));
        }
        let watcher = scope.spawn(|| day.watch());
        let began = Instant::now();
        // On a busy machine it lasts longer.
        let enough = || day.served.load(Ordering::Relaxed) > ENOUGH;
        while !watcher.is_finished()
            && (began.elapsed() < lasts() || (!enough() && began.elapsed() < DEADLINE))
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Those who wait are waiting for time to go on.
        day.over.store(true, Ordering::Relaxed);
        let manager = day.pool.manager();
        manager.resume();
        for _ in 0..10_000 {
            day.clock.advance(TICK);
            std::thread::yield_now();
        }
    });
    runtime.block_on(day.end());
    let figures = [&day.served, &day.refused, &day.cancelled].map(|figure| figure.load(Ordering::Relaxed));
    eprintln!(
        "served, refused, cancelled: {figures:?}; {:?}",
        day.pool.stats().counters
    );
    assert!(figures[0] > ENOUGH, "too little to prove anything: {figures:?}");
}
