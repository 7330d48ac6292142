//! A valid answer that nobody asked for, written at a random moment after an exchange: no caller reads what the check at that moment covers.
//!
//! Readiness covers what the reactor had delivered at hand-out, and the reactor has delivered what was in the socket once it has had a turn
//! since. Peek covers what is in the socket when the request's first byte is written. What comes later can be told from an answer by nobody; such rounds are
//! counted and prove nothing.

mod peer;

use std::net::Ipv4Addr;
use std::time::Duration;

use hotpool::{CloseReason, HotConn, HotConnPool, Returned, ReuseCheck, StaticResolver};
use tokio::task::coop;

use self::peer::{MOMENT, Place, Staged};
use crate::common::{config, exchange, spawn, within};
use crate::support::certs;

/// A generator of one's own: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64* (Vigna 2014)
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn moment(&mut self) -> Duration {
        Duration::from_nanos(self.below(MOMENT.as_nanos() as u64))
    }
}

/// In which the reactor has its turn.
const REACTOR: Duration = Duration::from_millis(1);

/// What the rounds came to.
#[derive(Debug, Default)]
struct Tally {
    /// The answer was the caller's own.
    own: u64,
    /// A request was refused before a byte of it was sent.
    refused: u64,
    /// The forged one was read, in a round that the check does not cover.
    beyond: u64,
    /// Rounds in which the forged answer had been written in time.
    covered: u64,
}

struct Stage {
    peer: Staged,
    pool: HotConnPool,
    name: String,
    check: ReuseCheck,
    /// Whether the task has no budget left whenever the pool looks: tokio then says that nothing has come.
    spent: bool,
    dice: Dice,
    tally: Tally,
    place: Place,
}

impl Stage {
    fn new(place: Place, check: ReuseCheck, spent: bool) -> Self {
        let peer = Staged::start(place);
        let name = format!("peer.test:{}", peer.port);
        let resolver = StaticResolver::new().with(name.as_str(), [Ipv4Addr::LOCALHOST.into()]);
        let pool = HotConnPool::builder()
            .config(config(|config| config.reuse_check = check))
            .roots(certs::authority().roots())
            .resolver(resolver.unwrap());
        Stage {
            peer,
            pool: pool.build().unwrap(),
            name,
            check,
            spent,
            dice: Dice(17),
            tally: Tally::default(),
            place,
        }
    }

    /// From one exchange to the next: what was written meanwhile?
    async fn round(&mut self, tag: u64) {
        let before = self.pause().await;
        self.spend().await;
        let mut conn = within("a connection", self.pool.get(&self.name)).await.unwrap();
        let port = conn.info().local.unwrap().port();
        if self.check == ReuseCheck::Peek {
            std::thread::sleep(self.dice.moment()); // in which the reactor sees nothing
        }
        let covered = match self.check {
            ReuseCheck::Peek => self.peer.has_written(port),
            _ => before.contains(&port),
        };
        self.tally.covered += u64::from(covered);
        self.spend().await;
        let answer = within("an answer", exchange(&mut conn, &format!("/echo/{tag}"))).await;
        match answer {
            Ok(answer) if answer.body == tag.to_string().as_bytes() => {
                assert!(!covered, "{tag}: the answer that was written first was skipped");
                self.tally.own += 1;
                self.put(conn).await;
            }
            Ok(answer) => {
                assert!(!covered, "{tag}: a caller read {answer:?}");
                self.tally.beyond += 1;
                conn.discard();
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{tag}: {error}");
                self.tally.refused += 1;
                assert_eq!(self.pool.put(conn), Returned::Closed(CloseReason::StrayBytes));
            }
        }
    }

    /// Keeps the lease for a while, every other time, and puts it back.
    async fn put(&mut self, conn: HotConn) {
        let mut covered = false;
        if self.dice.below(2) == 0 {
            std::thread::sleep(self.dice.moment());
            covered = self.peer.has_written(conn.info().local.unwrap().port());
            tokio::time::sleep(REACTOR).await;
        }
        self.spend().await;
        match self.pool.put(conn) {
            // Half a record rests, as a ticket's would: whoever is to have it next looks first.
            Returned::Kept => assert!(
                !covered || self.place == Place::Split,
                "kept, with bytes that the reactor had delivered"
            ),
            Returned::Closed(CloseReason::StrayBytes) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Waits for a moment; answers the ports whose forged answers the reactor has delivered by its end.
    async fn pause(&mut self) -> Vec<u16> {
        std::thread::sleep(self.dice.moment());
        if self.check == ReuseCheck::Peek || self.dice.below(2) == 0 {
            return Vec::new();
        }
        let conns = self.pool.manager().connections_for_host(&self.name).unwrap();
        let ports = conns.iter().map(|info| info.local.unwrap().port());
        let before = ports.filter(|port| self.peer.has_written(*port)).collect();
        tokio::time::sleep(REACTOR).await;
        before
    }

    async fn spend(&self) {
        while self.spent && coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
    }
}

/// How many rounds each test has.
fn rounds() -> u64 {
    std::env::var("HOTPOOL_ROUNDS").map_or(400, |rounds| rounds.parse().unwrap())
}

async fn play(place: Place, check: ReuseCheck, spent: bool) -> Tally {
    let mut stage = Stage::new(place, check, spent);
    let rounds = rounds();
    let task = spawn(async move {
        for tag in 0..rounds {
            stage.round(tag).await;
        }
        let strays = stage.pool.stats().counters.closes(CloseReason::StrayBytes);
        assert!(
            strays > rounds / 10,
            "{strays} strays were found, {:?}",
            stage.tally
        );
        stage.tally
    });
    let tally = task.await.unwrap();
    assert_eq!(tally.own + tally.refused + tally.beyond, rounds);
    assert!(tally.own > rounds / 10, "{tally:?}");
    eprintln!("{place:?} {check:?} spent {spent}: {tally:?}");
    tally
}

/// Behind the true answer in one flight: found when the connection comes home, whatever the check.
#[tokio::test]
async fn what_tls_holds_is_found_by_either_check() {
    for check in [ReuseCheck::Readiness, ReuseCheck::Peek] {
        for spent in [false, true] {
            let tally = play(Place::Tls, check, spent).await;
            assert_eq!((tally.refused, tally.beyond), (0, 0), "{tally:?}");
        }
    }
}

#[tokio::test]
async fn what_the_reactor_delivered_is_found_at_hand_out() {
    let tally = play(Place::Socket, ReuseCheck::Readiness, false).await;
    assert_eq!(tally.covered, 0, "handed out: {tally:?}");
}

#[tokio::test]
async fn what_the_reactor_delivered_is_found_with_no_budget_left() {
    let tally = play(Place::Socket, ReuseCheck::Readiness, true).await;
    assert_eq!(tally.covered, 0, "handed out: {tally:?}");
}

#[tokio::test]
async fn half_a_record_that_the_reactor_delivered_is_found_at_hand_out() {
    let tally = play(Place::Split, ReuseCheck::Readiness, false).await;
    assert_eq!(tally.covered, 0, "handed out: {tally:?}");
}

#[tokio::test]
async fn what_is_in_the_socket_is_found_by_peeking() {
    let tally = play(Place::Socket, ReuseCheck::Peek, false).await;
    assert!(tally.refused > 0 && tally.covered > 0, "{tally:?}");
}

#[tokio::test]
async fn what_is_in_the_socket_is_found_with_no_budget_left() {
    let tally = play(Place::Socket, ReuseCheck::Peek, true).await;
    assert!(tally.refused > 0 && tally.covered > 0, "{tally:?}");
}

#[tokio::test]
async fn half_a_record_in_the_socket_is_found_by_peeking() {
    let tally = play(Place::Split, ReuseCheck::Peek, false).await;
    assert!(tally.refused > 0 && tally.covered > 0, "{tally:?}");
}
