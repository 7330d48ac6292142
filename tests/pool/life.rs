//! Long lives in little time: a day of a clock that is moved, thousands of connections that come and go, a network that swallows everything.
#![expect(clippy::print_stdout, reason = "a test says what it measured")]

use std::time::{Duration, Instant};

use hotpool::{CloseReason, HotConnPool};

use crate::common::{at_rest, finish, host, name, pool, round, until, use_up, within};
use crate::support::measure::{self, Descriptors};
use crate::support::network;
use crate::support::peer::{Alpn, Peer};
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
    assert!(measure::alive_tasks() <= tasks + 4, "but the jobs");
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

#[test]
fn churned_connections_leave_no_descriptor_and_no_memory() {
    alone(
        "life::churned_connections_leave_no_descriptor_and_no_memory",
        || {
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
                for nth in 1..=5 {
                    churn(&pool, &names, (all, at_once)).await;
                    measure::no_descriptor_beyond(5 * SECOND, &descriptors).await;
                    peer.forget_the_ended(); // what it knows of them is no memory of the pool's
                    resident.push(measure::resident_bytes());
                    println!("measured: round {nth}, {} resident", resident[nth - 1]);
                }
                let (second, fifth) = (resident[1] as f64, resident[4] as f64);
                assert!(fifth < second * 1.05, "{resident:?}");
                finish(pool, peer).await;
            });
        },
    );
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
