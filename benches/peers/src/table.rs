//! Who runs against whom.

use crate::after::around_exchanges;
use crate::contender::{Alone, Contender, Paired, Rig};
use crate::many::{Hosts, Map};
use crate::meter::share_of_two_cores;
use crate::ours::{By, ENDPOINT, Ours};
use crate::rivals::bb8::Bb8;
use crate::rivals::deadpool::Deadpool;
use crate::rivals::floor::Streams;
use crate::rivals::legacy::Legacy;
use crate::rivals::pingora::{Bare, Watched};
use crate::rounds::{Entrant, Row, median, race};
use crate::server::Server;

pub(crate) const NAME: &str = "hotpool, by name";
pub(crate) const LEGACY: &str = "hyper-util legacy";
pub(crate) const MAP: &str = "map of such records";
const FLOOR: &str = "floor: sharded map";

/// How many idle connections each has: three on each address.
const IDLE: usize = 9;

/// How often, and how long each time.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) cycles: u64,
}

/// One thread, one host.
pub(crate) fn alone(effort: Effort) -> Vec<Row> {
    let server = &Server::start();
    fn enter<C: Contender + 'static>(name: &str, effort: Effort, rig: Rig<C>) -> Entrant {
        Entrant::new(name, effort.cycles, Alone(rig))
    }
    let few = |part| Effort {
        cycles: effort.cycles / part,
        ..effort
    };
    let entrants = vec![
        enter(NAME, effort, Rig::one(IDLE, || Ours::new(server, By::Name, IDLE))),
        enter(
            ENDPOINT,
            effort,
            Rig::one(IDLE, || Ours::new(server, By::Endpoint, IDLE)),
        ),
        enter(
            "hotpool, by name, 1 idle",
            effort,
            Rig::one(1, || Ours::new(server, By::Name, 1)),
        ),
        enter(LEGACY, effort, Rig::one(IDLE, || Legacy::new(server, IDLE))),
        enter(
            "hyper-util legacy, 1 idle",
            effort,
            Rig::one(1, || Legacy::new(server, 1)),
        ),
        enter(
            "pingora-pool, bare",
            effort,
            Rig::one(IDLE, || Bare::new(server, IDLE)),
        ),
        // A cycle of this one costs as much as several of the others.
        enter(
            "pingora-pool, watched",
            few(4),
            Rig::one(IDLE, || Watched::new(server, IDLE)),
        ),
        enter(
            "deadpool behind a map",
            effort,
            Rig::one(IDLE, || Deadpool::new(server, IDLE)),
        ),
        enter(
            "bb8 behind a map",
            effort,
            Rig::one(IDLE, || Bb8::new(server, IDLE)),
        ),
        enter(FLOOR, effort, Rig::one(IDLE, || Streams::new(server, IDLE))),
    ];
    race(entrants, effort.rounds, LEGACY, || {})
}

/// Two threads, one host; and what share of two cores was free, at the least.
pub(crate) fn paired(effort: Effort) -> (Vec<Row>, f64) {
    let server = &Server::start();
    fn enter<C: Contender + 'static>(name: &str, effort: Effort, rig: Rig<C>) -> Entrant {
        Entrant::new(name, effort.cycles, Paired(rig))
    }
    let entrants = vec![
        enter(NAME, effort, Rig::two(IDLE, || Ours::new(server, By::Name, IDLE))),
        enter(LEGACY, effort, Rig::two(IDLE, || Legacy::new(server, IDLE))),
        enter(
            "pingora-pool, bare",
            effort,
            Rig::two(IDLE, || Bare::new(server, IDLE)),
        ),
        enter(
            "deadpool behind a map",
            effort,
            Rig::two(IDLE, || Deadpool::new(server, IDLE)),
        ),
        enter(
            "bb8 behind a map",
            effort,
            Rig::two(IDLE, || Bb8::new(server, IDLE)),
        ),
        enter(FLOOR, effort, Rig::two(IDLE, || Streams::new(server, IDLE))),
    ];
    let mut free = share_of_two_cores();
    let look = || free = free.min(share_of_two_cores());
    (race(entrants, effort.rounds, LEGACY, look), free)
}

/// Nanoseconds of `get` and `put` around an exchange.
pub(crate) fn after_exchanges(rounds: usize) -> Vec<(&'static str, f64)> {
    const EXCHANGES: usize = 1_000;
    let server = &Server::start();
    let ours = Rig::one(IDLE, || Ours::new(server, By::Name, IDLE));
    let legacy = Rig::one(IDLE, || Legacy::new(server, IDLE));
    let floor = Rig::one(IDLE, || Streams::new(server, IDLE));
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        times[0].push(around_exchanges(&ours, EXCHANGES));
        times[1].push(around_exchanges(&legacy, EXCHANGES));
        times[2].push(around_exchanges(&floor, EXCHANGES));
    }
    [NAME, LEGACY, FLOOR].into_iter().zip(times.map(median)).collect()
}

/// One thread, many hosts, and our own at one host of the same kind.
pub(crate) fn many(effort: Effort, hosts: usize) -> (Vec<Row>, usize) {
    let ours = Rig::one(hosts, || Hosts::new(hosts));
    let bytes = ours.contender.bytes();
    let map = Rig::one(hosts, async || Map::new(&ours.contender));
    let single = Rig::one(1, || Hosts::new(1));
    let entrants = vec![
        Entrant::new(NAME, effort.cycles, Alone(ours)),
        Entrant::new(MAP, effort.cycles, Alone(map)),
        Entrant::new("hotpool, by name, 1 host", effort.cycles, Alone(single)),
    ];
    (race(entrants, effort.rounds, MAP, || {}), bytes)
}

/// How many hosts, where nobody says.
pub(crate) const HOSTS: usize = 10_000;
