//! The race of one dial over several addresses, by the pool's clock and a scripted network: who begins when, who shakes hands, who is blamed.

use std::net::IpAddr;
use std::time::Duration;

use hotpool::clock::{Clock, ManualClock, SystemClock};
use hotpool::scripted::{Act, Stage};
use hotpool::{
    AllBlocked, BlockCause, CloseReason, Error, ErrorKind, GetOptions, HotConn, HotConnPool, Phase,
    PoolConfig, Returned, Warm,
};

use super::{as_soon_as, lease};
use crate::common::{at_rest, config, let_run, poll_times, spawn, within};

const MILLI: Duration = Duration::from_millis(1);

/// A stage, a pool on it, and its time.
struct World {
    stage: Stage,
    pool: HotConnPool,
    clock: ManualClock,
}

impl World {
    fn new(addresses: &[&str], change: impl FnOnce(&mut PoolConfig)) -> Self {
        let stage = Stage::at(addresses.iter().map(|text| ip(text)));
        let clock = ManualClock::new();
        let pool = stage.pool(config(change), clock.clone()).unwrap();
        World { stage, pool, clock }
    }

    /// A `get` under way.
    fn get(&self) -> tokio::task::JoinHandle<Result<HotConn, Error>> {
        let pool = self.pool.clone();
        spawn(async move { pool.get("a.test").await })
    }

    /// Lets the time pass in steps of a millisecond, and everything run in between.
    async fn pass(&self, millis: u32) {
        for _ in 0..millis {
            let_run().await;
            self.clock.advance(MILLI);
        }
        let_run().await;
    }

    /// The steps of this phase: the millisecond and the address.
    fn steps(&self, phase: Phase) -> Vec<(u64, IpAddr)> {
        let steps = self.stage.steps().into_iter();
        steps
            .filter(|step| step.2 == phase)
            .map(|(at, ip, _)| (at.as_nanos() / 1_000_000, ip))
            .collect()
    }

    async fn rest(self) {
        at_rest(&self.pool).await;
        within("close", self.pool.close()).await;
        assert_eq!(self.stage.open(), 0);
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const C: &str = "10.0.0.3";

/// Two connect at the same moment: one of them shakes hands.
#[tokio::test]
async fn losing_race_does_not_start_tls() {
    let world = World::new(&[A, B], |_| {});
    world
        .stage
        .next_at(ip(A), Phase::Connect, Act::After(300 * MILLI));
    world.stage.next_at(ip(B), Phase::Connect, Act::After(50 * MILLI));
    world.stage.next(Phase::Tls, Act::After(20 * MILLI));
    let get = world.get();
    world.pass(320).await;
    let conn = within("a connection", get).await.unwrap().unwrap();
    assert_eq!(world.steps(Phase::Tls), [(300, ip(A))]);
    assert_eq!(conn.info().remote.ip(), ip(A));
    drop(conn);
    world.rest().await;
}

/// What the loser held is free as soon as it has lost, while the winner still shakes hands; and nothing is held against it.
#[tokio::test]
async fn race_loser_is_pooled_or_never_started() {
    let world = World::new(&[A, B], |config| config.max_per_ip = 1);
    world.stage.next_at(ip(A), Phase::Connect, Act::Never);
    world.stage.next_at(ip(B), Phase::Tls, Act::After(1000 * MILLI));
    let get = world.get();
    world.pass(260).await;
    assert_eq!(world.steps(Phase::Tls), [(250, ip(B))]);
    let other = world.pool.get_with("b.test", GetOptions::new().ip(ip(A)));
    let other = within("the loser's place", other).await.unwrap();
    assert_eq!(other.info().remote.ip(), ip(A));
    world.pass(1000).await;
    drop(within("the winner", get).await.unwrap().unwrap());
    assert_eq!(world.steps(Phase::Connect).len(), 3);
    drop(other);
    world.rest().await;
}

#[tokio::test]
async fn attempts_are_spaced() {
    let world = World::new(&[A, B, C, "10.0.0.4"], |_| {});
    for silent in [A, B, C] {
        world.stage.next_at(ip(silent), Phase::Connect, Act::Never);
    }
    world.stage.next_at(ip(B), Phase::Connect, Act::Never);
    let get = world.get();
    world.pass(249).await;
    assert_eq!(world.steps(Phase::Connect), [(0, ip(A))]);
    world.pass(300).await;
    let began = [(0, ip(A)), (250, ip(B)), (500, ip(C))];
    assert_eq!(world.steps(Phase::Connect), began);
    world.pass(2000).await;
    assert_eq!(
        world.steps(Phase::Connect),
        began,
        "three attempts, all under way"
    );
    get.abort();
    // One that fails makes way at once.
    let world = World::new(&[A, B], |_| {});
    world.stage.next_at(ip(A), Phase::Connect, Act::Err);
    drop(lease(&world.pool, "a.test").await);
    assert_eq!(world.steps(Phase::Connect), [(0, ip(A)), (0, ip(B))]);
    world.rest().await;
}

#[tokio::test]
async fn families_interleave_v6_first() {
    const SIX: [&str; 2] = ["2001:db8::1", "2001:db8::2"];
    let world = World::new(&[A, B, SIX[0], SIX[1]], |config| config.dial_attempts = 4);
    for silent in [A, B, SIX[0], SIX[1]] {
        world.stage.next_at(ip(silent), Phase::Connect, Act::Never);
    }
    let get = world.get();
    world.pass(800).await;
    let order: Vec<IpAddr> = world.steps(Phase::Connect).iter().map(|step| step.1).collect();
    assert_eq!(order, [SIX[0], A, SIX[1], B].map(ip));
    get.abort();
}

/// If the winner's handshake fails, the one that had only been slower has its turn, within the same dial and deadline.
#[tokio::test]
async fn who_lost_a_race_has_its_turn_when_the_winner_fails() {
    for fate in [Act::Err, Act::Never] {
        let world = World::new(&[A, B], |config| {
            config.dial_attempts = 2;
            config.attempt_timeout = 1000 * MILLI;
        });
        world
            .stage
            .next_at(ip(A), Phase::Connect, Act::After(400 * MILLI));
        world.stage.next_at(ip(B), Phase::Tls, fate);
        let get = world.get();
        world.pass(1260).await;
        let conn = within("a connection", get).await.unwrap().unwrap();
        assert_eq!(conn.info().remote.ip(), ip(A), "{fate:?}");
        assert_eq!(world.pool.stats().counters.dials, 1, "{fate:?}");
        let mut began = vec![(0, ip(A)), (250, ip(B))];
        if fate == Act::Never {
            began.push((1250, ip(A))); // it had been given up meanwhile
        }
        assert_eq!(world.steps(Phase::Connect), began, "{fate:?}");
        drop(conn);
        world.rest().await;
    }
}

/// An address that let another overtake it is not waited for again, until it has proved itself or ten minutes have passed.
#[tokio::test]
async fn who_was_overtaken_comes_last_for_a_while() {
    // A host that nobody asks for is forgotten, and this with it.
    let world = World::new(&[A, B], |config| config.idle_timeout = Duration::from_secs(3600));
    let first = async |then: &str| {
        let before = world.steps(Phase::Connect).len();
        let get = world.get();
        world.pass(260).await;
        within("a connection", get).await.unwrap().unwrap().discard();
        assert_eq!(world.steps(Phase::Connect)[before].1, ip(then));
    };
    world.stage.next_at(ip(A), Phase::Connect, Act::Never);
    first(A).await;
    first(B).await;
    world.clock.advance(Duration::from_secs(599));
    first(B).await;
    world.clock.advance(Duration::from_secs(1));
    first(A).await;
    // It was slow once more, and then was reached.
    world.stage.next_at(ip(A), Phase::Connect, Act::Never);
    first(A).await;
    first(B).await;
    let pinned = world.pool.get_with("a.test", GetOptions::new().ip(ip(A)));
    within("a connection", pinned).await.unwrap().discard();
    first(A).await;
    at_rest(&world.pool).await;
}

/// A full address is stepped over without waiting for its turn.
#[tokio::test]
async fn a_race_steps_over_a_full_address() {
    let world = World::new(&[A, B, C], |config| config.max_per_ip = 1);
    // By another host: to this one all three are alike.
    let full = world.pool.get_with("b.test", GetOptions::new().ip(ip(B)));
    let full = within("a lease", full).await.unwrap();
    world.stage.next_at(ip(A), Phase::Connect, Act::Never);
    let get = world.get();
    world.pass(251).await;
    let conn = within("a connection", get).await.unwrap().unwrap();
    assert_eq!(conn.info().remote.ip(), ip(C));
    assert_eq!(world.steps(Phase::Connect)[1..], [(0, ip(A)), (250, ip(C))]);
    drop((conn, full));
    world.rest().await;
}

/// A timer that fires when this machine has had no time for long says nothing of the peer.
#[tokio::test]
async fn a_timer_that_is_late_blames_nobody() {
    for (late, blocked) in [(100, true), (101, false)] {
        let world = World::new(&[A], |config| config.attempt_timeout = 1000 * MILLI);
        world.stage.next(Phase::Connect, Act::Never);
        let get = world.get();
        let_run().await;
        world.clock.advance((1000 + late) * MILLI);
        let error = within("the timeout", get).await.unwrap().unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(world.pool.get("a.test").await.is_err(), blocked, "{late} ms late");
        world.rest().await;
    }
}

/// Out of something of its own, the pool blames no address, and tries the others.
#[tokio::test]
async fn a_shortage_blames_nobody() {
    let world = World::new(&[A, B], |config| config.dial_attempts = 2);
    world.stage.next(Phase::Connect, Act::Short);
    world.stage.next(Phase::Connect, Act::Short);
    let error = within("the error", world.pool.get("a.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalResource);
    let conn = poll_times(world.pool.get("a.test"), 500)
        .await
        .expect("at once")
        .unwrap();
    assert_eq!(conn.info().remote.ip(), ip(A));
    assert_eq!(world.clock.now(), hotpool::clock::Moment::ZERO);
    drop(conn);
    world.rest().await;
}

/// Every address is blocked: by policy the one that is free first is dialled, one dial at a time, whoever blames it.
#[tokio::test]
async fn the_least_bad_is_probed_one_dial_at_a_time() {
    let world = World::new(&[A, B], |config| {
        config.all_blocked = AllBlocked::ProbeLeastBad;
        config.dial_attempts = 2;
    });
    let fail = async |phase, target: &str| {
        world.stage.next_at(ip(A), phase, Act::Err);
        world.clock.advance(MILLI);
        world.stage.next_at(ip(B), phase, Act::Err);
        within("the error", world.pool.get(target)).await.unwrap_err()
    };
    fail(Phase::Tls, "a.test").await;
    let dials = world.stage.dials();
    // The probe fails as well; then another may be made.
    for _ in 0..2 {
        world.stage.next_at(ip(A), Phase::Tls, Act::Short);
        world.stage.next_at(ip(A), Phase::Tls, Act::Short);
        let error = within("the error", world.pool.get("a.test")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalResource);
    }
    assert_eq!(world.stage.dials(), dials + 2, "one address each");
    world.stage.forget();
    // While one is under way, whoever comes waits for its end.
    world.stage.next_at(ip(A), Phase::Tls, Act::After(100 * MILLI));
    let gets = [world.get(), world.get()];
    world.pass(50).await;
    assert_eq!(world.stage.dials(), dials + 3);
    world.pass(60).await;
    for get in gets {
        drop(within("a connection", get).await.unwrap().unwrap());
    }
    world.rest().await;
}

/// The same where it is the whole pool that blames the addresses.
#[tokio::test]
async fn what_the_whole_pool_blames_is_probed_too() {
    let world = World::new(&[A], |config| config.all_blocked = AllBlocked::ProbeLeastBad);
    world.stage.next_at(ip(A), Phase::Connect, Act::Unreachable);
    let error = within("the error", world.pool.get("a.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    for fate in [Act::Short, Act::Short, Act::Ok] {
        world.stage.next_at(ip(A), Phase::Connect, fate);
        let got = within("an answer", world.pool.get("b.test")).await;
        assert_eq!(got.is_ok(), fate == Act::Ok, "{got:?}");
    }
    world.rest().await;
}

/// The end of what an origin probes for itself is not the end of what the pool probes at the same address.
#[tokio::test]
async fn a_probe_ends_no_other() {
    let world = World::new(&[A], |config| config.all_blocked = AllBlocked::ProbeLeastBad);
    world.stage.next_at(ip(A), Phase::Connect, Act::Unreachable);
    within("the error", world.pool.get("a.test")).await.unwrap_err();
    world
        .stage
        .next_at(ip(A), Phase::Connect, Act::After(500 * MILLI));
    let pool = world.pool.clone();
    let probe = spawn(async move { pool.get("b.test").await });
    as_soon_as(&world.pool, "the pool's probe", |_| world.stage.dials() == 2).await;
    // This origin was there when it failed: it probes by what it knows itself.
    world.stage.next_at(ip(A), Phase::Connect, Act::Short);
    let error = within("the error", world.pool.get("a.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalResource);
    let error = within("the error", world.pool.get("c.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Blocked, "one probe at a time");
    world.pass(500).await;
    drop(within("the probe's end", probe).await.unwrap().unwrap());
    drop(lease(&world.pool, "c.test").await);
    world.rest().await;
}

/// What is still being dialled when the network changes tells nothing of the new one: neither its origin nor the pool holds its failure against the
/// address.
#[tokio::test]
async fn what_fails_late_in_the_network_before_blames_nobody() {
    for (phase, other) in [(Phase::Connect, "b.test"), (Phase::Tls, "a.test")] {
        let world = World::new(&[A], |_| {});
        world.stage.next_at(ip(A), phase, Act::Lost(100 * MILLI));
        let get = world.get();
        world.pass(50).await;
        world.pool.network_changed();
        world.pass(50).await;
        let error = within("the error", get).await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Unreachable, phase));
        assert_eq!(world.pool.manager().blocklist(), []);
        for name in ["a.test", other] {
            drop(lease(&world.pool, name).await);
        }
        world.rest().await;
    }
}

/// Nor is it an answer to what this network holds against the address, be that the pool's or the origin's.
#[tokio::test]
async fn what_succeeds_late_in_the_network_before_clears_nothing() {
    let cases = [
        (Phase::Connect, Act::Unreachable, "b.test", BlockCause::Connect),
        (Phase::Tls, Act::Err, "a.test", BlockCause::Tls),
    ];
    for (phase, act, name, cause) in cases {
        let world = World::new(&[A], |_| {});
        world.stage.next_at(ip(A), Phase::Http2, Act::After(100 * MILLI));
        let get = world.get();
        world.pass(50).await;
        world.pool.network_changed();
        world.stage.next_at(ip(A), phase, act);
        let own = GetOptions::new().partition("its own dial");
        within("the error", world.pool.get_with(name, own))
            .await
            .unwrap_err();
        let causes = || -> Vec<_> {
            let list = world.pool.manager().blocklist().into_iter();
            list.map(|block| block.cause).collect()
        };
        assert_eq!(causes(), [cause]);
        world.pass(50).await;
        let conn = within("a connection", get).await.unwrap().unwrap();
        assert_eq!(causes(), [cause]);
        let closed = Returned::Closed(CloseReason::NetworkChanged);
        assert_eq!(world.pool.put(conn), closed);
        world.rest().await;
    }
}

/// What one host has found out about an address that the whole pool avoided is known to those that had failed there as well.
#[tokio::test]
async fn who_reaches_an_address_clears_it_for_every_host() {
    let world = World::new(&[A], |_| {});
    world
        .stage
        .next_at(ip(A), Phase::Connect, Act::After(100 * MILLI));
    let get = world.get();
    world.pass(50).await;
    world.stage.next_at(ip(A), Phase::Connect, Act::Unreachable);
    within("the error", world.pool.get("b.test")).await.unwrap_err();
    for name in ["b.test", "c.test"] {
        let error = within("the error", world.pool.get(name)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Blocked, "{name}");
    }
    world.pass(50).await;
    drop(within("a connection", get).await.unwrap().unwrap());
    assert_eq!(world.pool.manager().blocklist(), []);
    for name in ["b.test", "c.test"] {
        drop(lease(&world.pool, name).await);
    }
    world.rest().await;
}

/// A dial that had no time to try anything has run out of time: nothing else is wrong.
#[tokio::test]
async fn a_dial_without_time_has_timed_out() {
    let stage = Stage::at([ip(A)]);
    let no_time = config(|config| config.connect_timeout = Duration::from_nanos(1));
    let pool = stage.pool(no_time, SystemClock::new()).unwrap();
    let error = within("the error", pool.get(A)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_eq!(stage.steps().len(), 0);
    within("close", pool.close()).await;
}

/// Warming rests while this machine is out of descriptors or ports, longer each time, and goes on when it has some again.
#[tokio::test]
async fn warming_slows_down_in_a_shortage_and_recovers() {
    let world = World::new(&[A], |_| {});
    drop(lease(&world.pool, "a.test").await);
    let mut began = world.stage.dials();
    for _ in 0..4 {
        world.stage.next(Phase::Connect, Act::Short);
    }
    let pool = world.pool.clone();
    let warming = spawn(async move { pool.warm("a.test", Warm::Count(2), GetOptions::new()).await });
    for millis in [0, 100, 200, 400] {
        world.pass(millis).await;
        began += 1;
        assert_eq!(world.stage.dials(), began, "after {millis} ms");
    }
    world.pass(799).await;
    assert_eq!(world.stage.dials(), began);
    world.pass(1).await;
    let report = within("a report", warming).await.unwrap().unwrap();
    assert_eq!((report.opened, report.errors.len()), (1, 0), "{report:?}");
    world.rest().await;
}

/// What is blocked is shown, for as long as it is.
#[tokio::test]
async fn the_state_of_an_address_is_shown() {
    let world = World::new(&[A, B], |config| config.dial_attempts = 2);
    world.stage.next_at(ip(A), Phase::Tls, Act::Err);
    drop(lease(&world.pool, "a.test").await);
    let state = |at: &str| {
        let stats = world.pool.stats();
        let found = stats.hosts[0]
            .ips
            .iter()
            .find(|state| state.ip == ip(at))
            .copied();
        found.map(|state| (state.total, state.blocked))
    };
    assert_eq!(state(A), Some((0, Some(1000 * MILLI))));
    assert_eq!(state(B), Some((1, None)));
    world.clock.advance(999 * MILLI);
    assert_eq!(state(A), Some((0, Some(MILLI))));
    world.clock.advance(MILLI);
    assert_eq!(state(A), None);
    world.rest().await;
}

/// A family that is known while the other is still asked for is dialled at once. The other joins beside one that hangs, at its turn; and at once
/// where the first has failed.
#[tokio::test]
async fn a_family_that_is_late_joins_the_race() {
    const SIX: &str = "2001:db8::1";
    for (fate, early, late) in [
        (Act::Never, 100, 250),
        (Act::Never, 300, 300),
        (Act::Err, 100, 100),
    ] {
        let world = World::new(&[SIX, A], |_| {});
        world.stage.know_early([ip(SIX)]);
        world.stage.next(Phase::Resolve, Act::After(early * MILLI));
        world.stage.next_at(ip(SIX), Phase::Connect, fate);
        let get = world.get();
        world.pass(400).await;
        let conn = within("a connection", get).await.unwrap().unwrap();
        assert_eq!(conn.info().remote.ip(), ip(A), "{fate:?}");
        let began = [(0, ip(SIX)), (late, ip(A))];
        assert_eq!(world.steps(Phase::Connect), began, "{fate:?}");
        assert_eq!(world.pool.stats().counters.dials, 1, "{fate:?}");
        drop(conn);
        world.rest().await;
    }
}

/// A dial that has tried what is known waits for the rest of the answer, and no longer.
#[tokio::test]
async fn a_dial_ends_with_the_question_for_its_addresses() {
    let world = World::new(&[A], |_| {});
    world.stage.know_early([ip(A)]);
    world.stage.next(Phase::Resolve, Act::After(100 * MILLI));
    world.stage.next_at(ip(A), Phase::Connect, Act::Unreachable);
    let get = world.get();
    world.pass(90).await;
    assert!(!get.is_finished(), "there may be another address");
    world.pass(10).await;
    assert!(get.is_finished(), "there is none");
    let error = within("the error", get).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    world.rest().await;
}
