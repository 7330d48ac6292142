//! Addresses that race: scripted connections, and a clock that moves when it is told to.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use hotpool::clock::{ManualClock, Moment};
use hotpool::scripted::{Act, Stage, Step};
use hotpool::{AllBlocked, ErrorKind, GetOptions, HotConn, HotConnPool, Phase, PoolConfig, Warm};

use crate::common::{config, let_run, poll_times, within};

const NAME: &str = "peer.test";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn at(count: u64) -> Moment {
    Moment::ZERO + millis(count)
}

fn two() -> [IpAddr; 2] {
    [ip("192.0.2.1"), ip("192.0.2.2")]
}

fn pool(stage: &Stage, change: impl FnOnce(&mut PoolConfig)) -> (HotConnPool, ManualClock) {
    let clock = ManualClock::new();
    (stage.pool(config(change), clock.clone()).unwrap(), clock)
}

/// Lets so much time pass, a piece at a time, and everything run in between.
async fn pass(clock: &ManualClock, span: Duration) {
    const PIECE: Duration = Duration::from_millis(10);
    for _ in 0..span.as_millis() / PIECE.as_millis() {
        clock.advance(PIECE);
        let_run().await;
    }
}

/// A connection, and its address, once so much time has passed.
async fn get(pool: &HotConnPool, clock: &ManualClock, span: Duration) -> (HotConn, IpAddr) {
    let mut get = pin!(pool.get(NAME));
    let early = poll_times(get.as_mut(), 200).await;
    let conn = match early {
        Some(conn) => conn,
        None => {
            pass(clock, span).await;
            within("a connection", get).await
        }
    };
    let conn = conn.unwrap();
    let ip = conn.info().remote.ip();
    (conn, ip)
}

/// When each address was first tried, in order.
fn begun(stage: &Stage) -> Vec<(IpAddr, Moment)> {
    let steps = stage.steps().into_iter();
    steps
        .filter(|step| step.phase == Phase::Connect)
        .map(|step| (step.ip, step.at))
        .collect()
}

#[tokio::test]
async fn losing_race_does_not_start_tls() {
    let [slow, fast] = two();
    let stage = Stage::at([slow, fast]);
    stage.next_at(slow, Phase::Connect, Act::After(millis(400)));
    stage.next_at(fast, Phase::Connect, Act::After(millis(100)));
    stage.next_at(fast, Phase::Tls, Act::After(millis(200)));
    let (pool, clock) = pool(&stage, |_| {});
    let (conn, got) = get(&pool, &clock, millis(600)).await;
    assert_eq!(got, fast);
    let step = |ip, phase, count| Step {
        at: at(count),
        ip,
        phase,
    };
    let expected = [
        step(slow, Phase::Connect, 0),
        step(fast, Phase::Connect, 250),
        step(fast, Phase::Tls, 350),
        step(fast, Phase::Http2, 550),
    ];
    assert_eq!(stage.steps(), expected);
    drop(conn);
    assert_eq!((pool.size(), stage.open()), (1, 1));
    pool.manager().assert_invariants();
}

#[tokio::test]
async fn race_loser_is_pooled_or_never_started() {
    let [first, second] = two();
    let stage = Stage::at([first, second]);
    stage.next_at(first, Phase::Connect, Act::Never);
    let (pool, clock) = pool(&stage, |config| config.max_per_ip = 1);
    let (conn, got) = get(&pool, &clock, millis(300)).await;
    assert_eq!(got, second);
    assert_eq!((pool.size(), stage.open()), (1, 1));
    pool.manager().assert_invariants();
    // Its permit is back: the one connection that may stand to that address goes to somebody else.
    let there = GetOptions::new().ip(first);
    let other = within("the permit", pool.get_with("other.test", there)).await;
    drop((conn, other.unwrap()));
    pool.manager().assert_invariants();
}

#[tokio::test]
async fn attempts_are_spaced() {
    let addresses: Vec<IpAddr> = (1..6).map(|last| IpAddr::from([192, 0, 2, last])).collect();
    let stage = Stage::at(addresses.clone());
    for &ip in &addresses {
        stage.next_at(ip, Phase::Connect, Act::Never);
    }
    let (pool, clock) = pool(&stage, |_| {});
    let mut get = pin!(pool.get(NAME));
    assert!(poll_times(get.as_mut(), 200).await.is_none());
    pass(&clock, millis(2_000)).await;
    let expected = [
        (addresses[0], at(0)),
        (addresses[1], at(250)),
        (addresses[2], at(500)),
    ];
    assert_eq!(begun(&stage), expected, "and no more than three");
    // One that fails makes room for the next at once.
    let stage = Stage::at(addresses.clone());
    stage.next_at(addresses[0], Phase::Connect, Act::After(millis(10)));
    stage.next_at(addresses[0], Phase::Tls, Act::Err);
    stage.next_at(addresses[1], Phase::Connect, Act::Err);
    let (pool, clock) = self::pool(&stage, |_| {});
    let (_conn, got) = self::get(&pool, &clock, millis(300)).await;
    assert_eq!(got, addresses[2]);
    assert_eq!(
        begun(&stage),
        [
            (addresses[0], at(0)),
            (addresses[1], at(10)),
            (addresses[2], at(10))
        ]
    );
}

#[tokio::test]
async fn families_interleave_v6_first() {
    let answer = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"].map(ip);
    let [a, b, x, y] = answer;
    let stage = Stage::at(answer);
    for ip in answer {
        stage.next_at(ip, Phase::Connect, Act::Never);
    }
    let (pool, clock) = pool(&stage, |config| config.dial_attempts = 4);
    let mut get = pin!(pool.get(NAME));
    assert!(poll_times(get.as_mut(), 200).await.is_none());
    pass(&clock, millis(1_000)).await;
    let expected = [(x, at(0)), (a, at(250)), (y, at(500)), (b, at(750))];
    assert_eq!(begun(&stage), expected);
}

#[tokio::test]
async fn who_was_beaten_from_a_start_comes_second_the_next_time() {
    let [slow, fast] = two();
    let stage = Stage::at([slow, fast]);
    stage.next_at(slow, Phase::Connect, Act::Never);
    let (pool, clock) = pool(&stage, |_| {});
    let (first, got) = get(&pool, &clock, millis(300)).await;
    assert_eq!(got, fast);
    // Nobody blames it: it is there for whoever wants it, and for all once ten minutes are over.
    first.discard();
    let (second, got) = get(&pool, &clock, millis(300)).await;
    assert_eq!((got, stage.dials()), (fast, 3), "without a wait");
    second.discard();
    clock.advance(Duration::from_secs(600));
    let (third, got) = get(&pool, &clock, millis(300)).await;
    assert_eq!(got, slow);
    drop(third);
}

#[tokio::test]
async fn who_was_beaten_is_tried_when_the_winner_fails() {
    let [slow, fast] = two();
    for stalls in [false, true] {
        let stage = Stage::at([slow, fast]);
        stage.next_at(slow, Phase::Connect, Act::After(millis(5_000)));
        let act = if stalls { Act::Never } else { Act::Err };
        stage.next_at(fast, Phase::Tls, act);
        let (pool, clock) = pool(&stage, |config| config.attempt_timeout = millis(1_000));
        let (conn, got) = get(&pool, &clock, millis(1_500)).await;
        assert_eq!(got, slow);
        let again = if stalls { 1_250 } else { 250 };
        assert_eq!(begun(&stage), [(slow, at(0)), (fast, at(250)), (slow, at(again))]);
        drop(conn);
        pool.manager().assert_invariants();
    }
}

#[tokio::test]
async fn a_shortage_blames_nobody_and_warming_waits_for_its_end() {
    let [first, second] = two();
    let stage = Stage::at([first, second]);
    for ip in two() {
        stage.next_at(ip, Phase::Connect, Act::Short);
    }
    let (pool, clock) = pool(&stage, |_| {});
    let error = within("the error", pool.get(NAME)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::LocalResource, Phase::Connect)
    );
    // No address is blocked: the next one is served, at once.
    assert!(poll_times(pool.get(NAME), 200).await.unwrap().is_ok());
    // Whoever warms is in no hurry: its dials wait, and fail only with their time.
    for _ in 0..4 {
        stage.next(Phase::Connect, Act::Short);
    }
    let warm = pool.warm("other.test", Warm::Count(2), GetOptions::new());
    let mut warm = pin!(warm);
    assert!(poll_times(warm.as_mut(), 200).await.is_none(), "held back");
    pass(&clock, millis(1_000)).await;
    let report = within("warm", warm).await.unwrap();
    assert_eq!((report.opened, report.errors.len()), (2, 0), "{report:?}");
    pool.manager().assert_invariants();
}

#[tokio::test]
async fn all_blocked_is_an_error_at_once_or_one_probe() {
    let [first, second] = two();
    for (policy, served) in [(AllBlocked::Fail, false), (AllBlocked::ProbeLeastBad, true)] {
        let stage = Stage::at([first, second]);
        stage.next_at(first, Phase::Tls, Act::Err);
        stage.next_at(second, Phase::Tls, Act::Err);
        let (pool, clock) = pool(&stage, |config| config.all_blocked = policy);
        within("the error", pool.get(NAME)).await.unwrap_err();
        clock.advance(millis(400));
        let dials = stage.dials();
        let got = poll_times(pool.get(NAME), 200).await.expect("an answer at once");
        match got {
            Err(ref error) => {
                assert_eq!(error.kind(), ErrorKind::Blocked);
                assert_eq!(error.retry_after(), Some(millis(600)));
                assert_eq!(stage.dials(), dials, "nothing is dialled");
            }
            Ok(ref conn) => assert_eq!((conn.info().remote.ip(), stage.dials()), (first, dials + 1)),
        }
        assert_eq!(got.is_ok(), served);
    }
}

#[tokio::test]
async fn a_timer_that_fired_late_blames_nobody() {
    for (late, blamed) in [(100, true), (101, false)] {
        let stage = Stage::at([two()[0]]);
        stage.next(Phase::Tls, Act::Never);
        let (pool, clock) = pool(&stage, |config| config.attempt_timeout = millis(1_000));
        let mut get = pin!(pool.get(NAME));
        assert!(poll_times(get.as_mut(), 200).await.is_none());
        clock.advance(millis(1_000 + late));
        let error = within("the timeout", get).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Tls));
        let next = poll_times(pool.get(NAME), 200).await.expect("an answer at once");
        assert_eq!(next.is_err(), blamed, "{late} ms late");
    }
}

#[tokio::test]
async fn a_family_that_is_late_joins_the_race() {
    let (six, four) = (ip("2001:db8::1"), ip("192.0.2.1"));
    // Beside one that hangs, at its turn; and at once where the first has failed.
    for (act, early, late) in [
        (Act::Never, 100, 250),
        (Act::Never, 300, 300),
        (Act::Err, 100, 100),
    ] {
        let stage = Stage::at([six, four]);
        stage.know_early([six]);
        stage.next(Phase::Resolve, Act::After(millis(early)));
        stage.next_at(six, Phase::Connect, act);
        let (pool, clock) = pool(&stage, |_| {});
        let (conn, got) = get(&pool, &clock, millis(400)).await;
        assert_eq!(got, four);
        assert_eq!(begun(&stage), [(six, at(0)), (four, at(late))]);
        drop(conn);
        pool.manager().assert_invariants();
    }
}
