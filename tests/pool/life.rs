//! Long lives in little time: a day of a clock that is moved, thousands of connections that come and go, a network that swallows everything.
#![expect(clippy::print_stdout, reason = "a test says what it measured")]

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hotpool::{CloseReason, Health, HotConnPool, Trouble};
use rustix::process::{
    PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, getpid, getrlimit, pidfd_getfd, pidfd_open, setrlimit,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::common::{at_rest, finish, host, name, pool, round, until, use_up, within};
use crate::support::measure::{self, Descriptors};
use crate::support::network;
use crate::support::peer::{Alpn, Peer};
use crate::support::peers_table;
use crate::support::process::alone;

const SECOND: Duration = Duration::from_secs(1);

fn number(name: &str, reduced: usize) -> usize {
    std::env::var(name).map_or(reduced, |number| number.parse().unwrap())
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A day goes by while hosts come and go, peers close, speak unasked and refuse, and jobs look after it all: in the end nothing is left of it.
#[cfg(feature = "__internals")]
#[tokio::test]
async fn a_day_leaves_nothing() {
    use hotpool::Phase;
    use hotpool::clock::{Clock, ManualClock};
    use hotpool::scripted::{Act, Stage};

    use crate::common::{Dice, poll_times};
    use crate::support::peer::DEADLINE;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    let operations = number("HOTPOOL_OPERATIONS", 40_000);
    let began = Instant::now();
    let (stage, clock, mut dice) = (Stage::new(4), ManualClock::new(), Dice(7));
    let tasks = measure::alive_tasks();
    let settings = crate::common::config(|config| {
        (config.max_per_ip, config.max_hosts, config.min_idle) = (100, 50, 1);
        config.acquire_timeout = SECOND;
    });
    let pool = stage.pool(settings, clock.clone()).unwrap();
    let (mut served, mut held) = (0, Vec::new());
    for nth in 0..operations {
        clock.advance(DAY / u32::try_from(operations).unwrap());
        let name = format!("h{}.test", dice.below(if nth % 7 == 0 { 200 } else { 8 }));
        match dice.below(100) {
            0 => drop(stage.close_all()),
            1 => drop(stage.stray_all()),
            2 => stage.next(Phase::Connect, Act::Err),
            3 => stage.next(Phase::Resolve, Act::Err),
            4 => drop(held.pop()),
            _ => {
                // Who waits, waits for somebody, or for time to pass.
                let mut get = Box::pin(pool.get(&name));
                let answer = loop {
                    match poll_times(get.as_mut(), 20).await {
                        Some(answer) => break answer,
                        None => clock.advance(SECOND / 10),
                    }
                };
                if let Ok(conn) = answer {
                    served += 1;
                    match dice.below(20) {
                        0 => conn.discard(),
                        1 if dice.below((operations as u64 / 10_000).max(1)) == 0 => {
                            conn.report(hotpool::Outcome::Status(403))
                        } // hundreds a day: each blocks for minutes
                        2 if held.len() < 10 => held.push(conn),
                        _ => drop(conn),
                    }
                }
            }
        }
        if nth % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(served > operations / 2, "{served} of {operations} were served");
    drop(held);
    stage.forget();
    // Nobody asks any more: after the last lifetime, the last block and the last round everything has gone.
    for _ in 0..3600 {
        clock.advance(SECOND);
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    at_rest(&pool).await;
    let stats = pool.stats();
    let ((ledger, orders), (on_wheel, entries)) = (pool.manager().books(), pool.manager().on_the_wheel());
    assert_eq!(
        (pool.size(), stage.open(), stats.hosts.len()),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(
        (ledger.counts().total, orders, on_wheel),
        (0, 0, 0),
        "{entries} entries"
    );
    assert!(
        measure::alive_tasks() <= tasks + 5,
        "but the jobs, and who joins them"
    );
    assert!(
        stats.tasks.iter().all(|task| task.runs > 0 && task.panics == 0),
        "{:?}",
        stats.tasks
    );
    assert!(within("close", pool.close()).await.is_clean());
    measure::settles(DEADLINE, "tasks", tasks, measure::alive_tasks).await;
    println!(
        "measured: {operations} operations in {} of the clock, {:?}",
        clock.now().as_nanos() / 1_000_000_000,
        began.elapsed()
    );
}

/// So many connections that are open at once, each used, in lots until the round is done.
async fn churn(pool: &HotConnPool, names: &[String], (all, at_once): (usize, usize)) {
    for lot in 0..all.div_ceil(at_once) {
        let count = at_once.min(all - lot * at_once);
        let mut gets = tokio::task::JoinSet::new();
        for nth in 0..count {
            let (pool, name) = (pool.clone(), names[nth % names.len()].clone());
            gets.spawn(async move { pool.get(&name).await });
        }
        let mut open = Vec::new();
        while let Some(conn) = gets.join_next().await {
            open.push(conn.unwrap().unwrap());
        }
        for conn in open.iter_mut().step_by(50) {
            assert_eq!(use_up(conn, "/").await.status, 200);
        }
        // Some are discarded, the others go back and are let go of.
        for (nth, conn) in open.into_iter().enumerate() {
            match nth % 3 {
                0 => conn.discard(),
                _ => drop(conn),
            }
        }
        pool.manager().retain(|_| false);
    }
}

/// As many descriptors as may be had.
fn widen_limit() {
    let limits = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    setrlimit(Resource::Nofile, most).unwrap();
}

#[test]
fn churned_connections_leave_no_descriptor_and_no_memory() {
    alone(
        "life::churned_connections_leave_no_descriptor_and_no_memory",
        || {
            widen_limit();
            let runtime = one_thread();
            runtime.block_on(async {
                let (all, at_once) = (number("HOTPOOL_CHURN", 500), number("HOTPOOL_AT_ONCE", 100));
                let peer = Peer::builder().ips(4).alpn(Alpn::Http1).start();
                let most = u32::try_from(at_once).unwrap();
                let pool = pool(&peer, |config| {
                    (config.max_connections, config.max_per_ip, config.max_per_host) = (most, most, most);
                    (config.max_idle_per_host, config.max_dials) = (most, 64);
                    (config.acquire_timeout, config.connect_timeout) = (60 * SECOND, 60 * SECOND);
                    config.attempt_timeout = 60 * SECOND;
                });
                let names = ["a", "b", "c", "d", "e"].map(|first| host(&peer, &format!("{first}.peer.test")));
                round(&pool, &names[0]).await;
                pool.manager().retain(|_| false);
                peer.wait_for("none is left", |seen| seen.live == 0).await;
                let (descriptors, mut resident) = (Descriptors::now(), Vec::new());
                for nth in 1..=10 {
                    churn(&pool, &names, (all, at_once)).await;
                    measure::no_descriptor_beyond(5 * SECOND, &descriptors).await;
                    peer.forget_the_ended(); // what it knows of them is no memory of the pool's
                    resident.push(measure::resident_bytes());
                    println!("measured: round {nth}, {} resident", resident[nth - 1]);
                }
                // An allocator takes more at one go, once in a while; what leaks leaks in every round. The first fills what stays.
                let mut grown: Vec<_> = resident[1..]
                    .windows(2)
                    .map(|two| two[1] as f64 - two[0] as f64)
                    .collect();
                grown.sort_unstable_by(f64::total_cmp);
                let each = grown[grown.len() / 2];
                assert!(each < resident[1] as f64 * 0.005, "{each} of {resident:?}");
                finish(pool, peer).await;
            });
        },
    );
}

/// Writes down what is said of descriptors.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<&'static str>>>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The two events that have these fields.
        metadata.target() == "hotpool" && metadata.fields().field("limit").is_some()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let said = if level == Level::WARN {
            "short"
        } else {
            "no longer"
        };
        self.0.lock().unwrap().push(said);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A process that may have few descriptors, of which a pool takes more than four fifths: it says so, goes on, and says when that is over.
#[test]
fn descriptors_that_get_short_are_told() {
    alone("life::descriptors_that_get_short_are_told", || {
        one_thread().block_on(async {
            let ear = Ear::default();
            let _listening = tracing::subscriber::set_default(ear.clone());
            let peer = Peer::builder().ips(4).alpn(Alpn::Http1).start();
            let pool = pool(&peer, |config| {
                (config.max_connections, config.max_per_host, config.max_per_ip) = (1000, 1000, 1000);
                config.cleanup_interval = Duration::from_millis(20);
            });
            let name = name(&peer);
            round(&pool, &name).await;
            let limits = getrlimit(Resource::Nofile);
            let few = u64::try_from(Descriptors::now().count()).unwrap() + 100;
            let fewer = Rlimit {
                current: Some(few),
                maximum: limits.maximum,
            };
            setrlimit(Resource::Nofile, fewer).unwrap();
            assert_eq!(pool.health(), Health::Healthy);
            // Each takes two: its peer's end is in this process, too.
            let mut held = Vec::new();
            let trouble = loop {
                held.push(within("a connection", pool.get(&name)).await.unwrap());
                match pool.health() {
                    Health::Healthy => {}
                    Health::Degraded(trouble) => break trouble,
                    other => panic!("{other:?}"),
                }
                // It would fail at the limit.
                assert!(held.len() < 50, "nobody noticed");
            };
            let [Trouble::Descriptors { open, limit }] = trouble[..] else {
                panic!("{trouble:?}");
            };
            assert!(
                limit == few && open * 5 > limit * 4 && open < limit,
                "{open} of {limit}"
            );
            println!("measured: degraded at {open} of {limit}");
            measure::eventually(5 * SECOND, "it is told", || *ear.0.lock().unwrap() == ["short"]).await;
            assert_eq!(round(&pool, &name).await.status, 200, "it works");
            held.into_iter().for_each(hotpool::HotConn::discard);
            measure::settles(5 * SECOND, "it recovers", Health::Healthy, || pool.health()).await;
            measure::eventually(5 * SECOND, "that, too", || {
                *ear.0.lock().unwrap() == ["short", "no longer"]
            })
            .await;
            setrlimit(Resource::Nofile, limits).unwrap();
            finish(pool, peer).await;
        });
    });
}

/// In a network of its own, of which nothing arrives any more at a word.
struct Hole(u16);

impl Hole {
    /// Whatever is sent to the peer, or by it, is lost.
    fn open(peer: &Peer) -> Self {
        let hole = Hole(peer.port());
        hole.rules("-A");
        hole
    }

    fn rules(&self, act: &str) {
        for way in ["--dport", "--sport"] {
            network::sh(&format!("iptables {act} INPUT -p tcp {way} {} -j DROP", self.0));
        }
    }
}

impl Drop for Hole {
    fn drop(&mut self) {
        self.rules("-D");
    }
}

/// Connections whose peer has vanished without a word: each is found within an interval of the health check and the time for an answer, and is
/// never handed out after that.
#[test]
fn half_open_connections_are_found_in_time() {
    network::alone("life::half_open_connections_are_found_in_time", || {
        one_thread().block_on(async {
            for alpn in [Alpn::Http2, Alpn::Http1] {
                let peer = Peer::builder().alpn(alpn).start();
                let pool = pool(&peer, |config| {
                    config.health_interval = SECOND;
                    config.health_request = Some("/".to_owned());
                });
                let name = name(&peer);
                round(&pool, &name).await;
                let hole = Hole::open(&peer);
                let began = Instant::now();
                let gone = |stats: &hotpool::Stats| stats.counters.closes(CloseReason::Unresponsive) == 1;
                until(&pool, "it is found", gone).await;
                let took = began.elapsed();
                assert!(took < 7 * SECOND, "{alpn:?} took {took:?}");
                assert!(pool.try_get(&name).unwrap().is_none());
                println!("measured: {alpn:?} found after {took:?}");
                drop(hole);
                // The other side finds out by itself.
                assert_eq!(round(&pool, &name).await.status, 200);
                at_rest(&pool).await;
                within("close", pool.close()).await;
            }
        });
    });
}

/// The socket of a connection of this very process, by a descriptor of its own. None where the system does not let one look.
fn socket_of(conn: &hotpool::ConnInfo) -> Option<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut copies = numbers.filter_map(|number| pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).ok());
    copies.find(|copy| {
        let address =
            |address: std::io::Result<socket2::SockAddr>| address.ok().and_then(|it| it.as_socket());
        let socket = SockRef::from(copy);
        address(socket.local_addr()) == conn.local && address(socket.peer_addr()) == Some(conn.remote)
    })
}

/// A fresh pool with an idle connection whose peer has gone without a word, after `change` was made to its socket. Nothing but TCP looks at it.
async fn half_open(change: impl FnOnce(&SockRef<'_>)) -> Option<(Peer, HotConnPool, Hole)> {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let pool = pool(&peer, |config| {
        (config.idle_timeout, config.max_lifetime) = (3600 * SECOND, 3600 * SECOND);
        config.health_interval = 3600 * SECOND;
    });
    let mut conn = within("a connection", pool.get(name(&peer))).await.unwrap();
    use_up(&mut conn, "/").await;
    let Some(socket) = socket_of(conn.info()) else {
        peers_table::skip("descriptors", "of this process may not be copied");
        return None;
    };
    change(&SockRef::from(&socket));
    drop(conn);
    until(&pool, "it rests", |stats| stats.idle == 1).await;
    let hole = Hole::open(&peer);
    Some((peer, pool, hole))
}

async fn is_served_anew(peer: &Peer, pool: &HotConnPool) {
    let answer = round(pool, &name(peer)).await;
    assert_eq!((answer.status, answer.nth), (200, 1), "on another connection");
    at_rest(pool).await;
    within("close", pool.close()).await;
}

/// By keepalive alone. The pool's own values (a minute, then four times 15 seconds) are read back, and made short for the test, but for
/// `HOTPOOL_KEEPALIVE`, which waits two minutes.
#[test]
fn a_half_open_connection_is_found_by_keepalive_alone() {
    network::alone("life::a_half_open_connection_is_found_by_keepalive_alone", || {
        one_thread().block_on(async {
            let patient = number("HOTPOOL_KEEPALIVE", 0) > 0;
            let change = |socket: &SockRef<'_>| {
                let seconds = |time: std::io::Result<Duration>| time.unwrap().as_secs();
                assert!(socket.keepalive().unwrap());
                assert_eq!(seconds(socket.tcp_keepalive_time()), 60);
                assert_eq!(seconds(socket.tcp_keepalive_interval()), 15);
                assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
                assert_eq!(
                    socket.tcp_user_timeout().unwrap(),
                    None,
                    "there is no setting for it"
                );
                let short = TcpKeepalive::new()
                    .with_time(SECOND)
                    .with_interval(SECOND)
                    .with_retries(2);
                if !patient {
                    socket.set_tcp_keepalive(&short).unwrap();
                }
            };
            let limit = if patient { 125 * SECOND } else { 8 * SECOND };
            let Some((peer, pool, hole)) = half_open(change).await else {
                return;
            };
            let began = Instant::now();
            measure::eventually(limit, "it is found", || pool.size() == 0).await;
            let closes: Vec<_> = pool
                .stats()
                .counters
                .closes_by_reason()
                .filter(|(_, count)| *count > 0)
                .collect();
            assert_eq!(closes, [(CloseReason::Unresponsive, 1)]);
            println!("measured: found by keepalive after {:?}", began.elapsed());
            assert!(pool.try_get(name(&peer)).unwrap().is_none());
            drop(hole);
            is_served_anew(&peer, &pool).await;
        });
    });
}

/// By TCP's user timeout alone, which begins to count when something was sent: whoever asks over it is told in time, and nobody after that.
#[test]
fn a_half_open_connection_is_found_by_user_timeout_alone() {
    network::alone(
        "life::a_half_open_connection_is_found_by_user_timeout_alone",
        || {
            one_thread().block_on(async {
                let change = |socket: &SockRef<'_>| {
                    socket.set_keepalive(false).unwrap();
                    socket.set_tcp_user_timeout(Some(2 * SECOND)).unwrap();
                };
                let Some((peer, pool, hole)) = half_open(change).await else {
                    return;
                };
                let mut conn = within("the old one", pool.get(name(&peer))).await.unwrap();
                let began = Instant::now();
                conn.write_all(b"GET / HTTP/1.1\r\nhost: peer.test\r\n\r\n")
                    .await
                    .unwrap();
                conn.flush().await.unwrap();
                let error = within("an end", conn.read_u8()).await.unwrap_err();
                let took = began.elapsed();
                println!("measured: found by user timeout after {took:?}");
                assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error:?}");
                assert!(took < 8 * SECOND, "{took:?}");
                drop(conn);
                assert!(pool.try_get(name(&peer)).unwrap().is_none());
                assert_eq!(pool.size(), 0);
                drop(hole);
                is_served_anew(&peer, &pool).await;
            });
        },
    );
}
