//! Everything at once, at random, on many threads: the counts agree all the while, no limit is passed, and everything comes home.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hotpool::{Error, ErrorKind, GetOptions, HotConnPool, Require};
use tokio::task::JoinHandle;

use crate::common::{Dice, at_rest, builder, exchange, finish, host, poll_times, round, spawn, within};
use crate::support::peer::{Alpn, DEADLINE, Order, Peer, To};

const THREADS: usize = 8;
const CALLERS: usize = 24;
const LASTS: Duration = Duration::from_secs(3);
/// Exchanges without which a day proves nothing: on a busy machine it lasts longer.
const ENOUGH: u64 = 500;

const MAX_CONNECTIONS: u32 = 8;
const MAX_PER_HOST: u32 = 4;
const MAX_PER_IP: u32 = 3;

/// What came of it all.
#[derive(Default)]
struct Tally {
    served: AtomicU64,
    cancelled: AtomicU64,
    late: AtomicU64,
    failed: AtomicU64,
}

async fn caller(pool: HotConnPool, hosts: Vec<String>, seed: u64, tally: Arc<Tally>) {
    let (began, mut dice) = (Instant::now(), Dice(seed));
    let enough = |tally: &Tally| tally.served.load(Ordering::Relaxed) > ENOUGH;
    while began.elapsed() < LASTS || (!enough(&tally) && began.elapsed() < DEADLINE) {
        let host = &hosts[usize::try_from(dice.below(hosts.len() as u64)).unwrap()];
        let mut options = GetOptions::new();
        if dice.below(4) == 0 {
            options = options.require(Require::Http1);
        }
        if dice.below(6) == 0 {
            options = options.timeout(Duration::from_micros(dice.below(3000)));
        }
        if dice.below(6) == 0 {
            let polls = usize::try_from(dice.below(40)).unwrap();
            drop(poll_times(pool.get_with(host, options), polls).await);
            tally.cancelled.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        match within("a get", pool.get_with(host, options)).await {
            Ok(conn) => use_somehow(&pool, conn, &mut dice, &tally).await,
            Err(error) => explain(error, &tally).await,
        }
    }
}

/// Only what such a day brings: out of time, a peer that reset, and the penalty for that.
async fn explain(error: Error, tally: &Tally) {
    match error.kind() {
        ErrorKind::Timeout => tally.late.fetch_add(1, Ordering::Relaxed),
        ErrorKind::ConnectionReset | ErrorKind::Blocked | ErrorKind::Tls | ErrorKind::Http2 => {
            tally.failed.fetch_add(1, Ordering::Relaxed)
        }
        _ => panic!("{error:?}"),
    };
    tokio::task::yield_now().await;
}

async fn use_somehow(pool: &HotConnPool, mut conn: hotpool::HotConn, dice: &mut Dice, tally: &Tally) {
    match dice.below(12) {
        0 => conn.discard(),
        1 => drop(conn),
        2 => {
            // Given up in the middle.
            let polls = usize::try_from(dice.below(20)).unwrap();
            drop(poll_times(exchange(&mut conn, "/bytes/3000"), polls).await);
            let _ = pool.put(conn);
        }
        _ => {
            // The peer may reset it under us; what it answers must be an answer to us.
            let tag = dice.below(1 << 30);
            let path = format!("/echo/{tag}");
            match within("an exchange", exchange(&mut conn, &path)).await {
                Ok(answer) => {
                    assert_eq!(String::from_utf8_lossy(&answer.body), tag.to_string());
                    tally.served.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => drop(tally.failed.fetch_add(1, Ordering::Relaxed)),
            }
            let _ = pool.put(conn);
        }
    }
}

/// Looks all the time; and the peer misbehaves now and then.
async fn watch(pool: HotConnPool, peer: Arc<Peer>, over: Arc<AtomicBool>) {
    let mut dice = Dice(99);
    while !over.load(Ordering::Relaxed) {
        pool.manager().assert_invariants();
        let stats = pool.stats();
        assert!(stats.total <= MAX_CONNECTIONS, "{stats:?}");
        for host in &stats.hosts {
            assert!(host.total <= MAX_PER_HOST, "{host:?}");
        }
        for &ip in peer.ips() {
            let hosts = stats.hosts.iter().flat_map(|host| &host.ips);
            let there: u32 = hosts
                .filter(|found| found.ip == ip)
                .map(|found| found.total)
                .sum();
            assert!(there <= MAX_PER_IP, "{ip}: {stats:?}");
        }
        match dice.below(200) {
            0 => drop(peer.order(To::Ip(peer.ips()[0]), Order::Reset)),
            1 => drop(peer.order(To::Ip(peer.ips()[1]), Order::Close)),
            _ => {}
        }
        pool.manager().cleanup();
        tokio::task::yield_now().await;
    }
}

fn day(alpn: Alpn, max_streams: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let peer = Arc::new(Peer::builder().ips(3).alpn(alpn).max_streams(max_streams).start());
        let pool = builder(&peer, |config| {
            config.max_connections = MAX_CONNECTIONS;
            config.max_per_host = MAX_PER_HOST;
            config.max_per_ip = MAX_PER_IP;
            config.max_idle_per_host = 3;
            config.max_dials = 3;
            config.idle_timeout = Duration::from_millis(40);
            config.max_lifetime = Duration::from_millis(400);
        })
        .build()
        .unwrap();
        let hosts = ["a", "b", "c", "d"].map(|letter| host(&peer, &format!("{letter}.peer.test")));
        let (tally, over) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let callers: Vec<JoinHandle<()>> = (1..=CALLERS as u64)
            .map(|seed| {
                spawn(caller(
                    pool.clone(),
                    hosts.to_vec(),
                    seed * 7919,
                    Arc::clone(&tally),
                ))
            })
            .collect();
        let watcher = spawn(watch(pool.clone(), Arc::clone(&peer), Arc::clone(&over)));
        for caller in callers {
            caller.await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
        within("the watcher", watcher).await.unwrap();
        at_rest(&pool).await;
        every_permit_is_home(&pool, &hosts).await;
        let figures = [&tally.served, &tally.cancelled, &tally.late, &tally.failed];
        let figures = figures.map(|figure| figure.load(Ordering::Relaxed));
        eprintln!(
            "served, cancelled, late, failed: {figures:?}; {:?}",
            pool.stats().counters
        );
        assert!(
            figures[0] > ENOUGH,
            "too little was served to prove anything: {figures:?}"
        );
        assert!(figures[1] > 20, "{figures:?}");
        finish(pool, Arc::into_inner(peer).unwrap()).await;
    });
}

/// As many leases at once as the limit allows, each of a connection of its own: nothing was lost on the way.
async fn every_permit_is_home(pool: &HotConnPool, hosts: &[String]) {
    // A penalty for the last reset may be running; it ends by itself.
    crate::support::measure::eventually(DEADLINE, "no dial is penalised", || pool.stats().dialling == 0)
        .await;
    let http1 = GetOptions::new().require(Require::Http1);
    let began = Instant::now();
    let mut leased = Vec::new();
    while leased.len() < MAX_CONNECTIONS as usize {
        let host = &hosts[leased.len() / 2];
        match within("a lease", pool.get_with(host, http1.clone())).await {
            Ok(conn) => leased.push(conn),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Blocked, "{error:?}"),
        }
        assert!(began.elapsed() < DEADLINE, "{} leases and no more", leased.len());
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.size(), MAX_CONNECTIONS as usize);
    drop(leased);
    at_rest(pool).await;
    round(pool, &hosts[0]).await;
}

#[test]
fn a_day_over_http1() {
    day(Alpn::Http1, 3);
}

#[test]
fn a_day_over_both_protocols() {
    day(Alpn::Both, 3);
}
