//! What the rules cost: a clean-up pass that finds nothing due, beside a scan of all entries, and one hit with its
//! return.
//!
//! A pass over 100,000 idle connections must cost at most 5 us, whatever the number of hosts; it exits with an error if it
//! costs more. Times are medians over many rounds; the scan is measured in the same run, so that the ratio says more
//! than the machine.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot go on must say so"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use hotpool::clock::Moment;
use hotpool::machine::{
    Acquire, Fate, IdentityId, Limits, Machine, Protocol, Require, Returned, Want, Wheel,
};

const CONNECTIONS: u64 = 100_000;
const MOST_PER_PASS: Duration = Duration::from_micros(5);

const WANT: Want = Want {
    identity: IdentityId(0),
    require: Require::Any,
    pin: None,
};

fn at(millis: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(millis)
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn roomy() -> Limits {
    Limits {
        max_per_host: u32::MAX,
        max_idle_per_host: u32::MAX,
        ..Limits::default()
    }
}

/// The median time of `rounds` calls.
fn median(rounds: u64, mut call: impl FnMut(u64)) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|round| {
            let start = Instant::now();
            call(round);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Hosts whose connections went idle one by one over the first fifty seconds, and the wheel that knows them.
fn idle_hosts(hosts: u64) -> (Vec<Machine>, Wheel<usize>) {
    let mut machines: Vec<Machine> = (0..hosts).map(|seed| Machine::new(roomy(), seed)).collect();
    let mut wheel = Wheel::new();
    for connection in 0..CONNECTIONS {
        let now = at(connection / 2);
        let host = (connection % hosts) as usize;
        let last = (connection / hosts % 4) as u8;
        machines[host]
            .adopt(now, WANT.identity, ip(last), Protocol::Http1)
            .expect("there is room");
        if let Some(due) = machines[host].arm(now) {
            wheel.arm(host, due);
        }
    }
    (machines, wheel)
}

/// One pass of the clean-up: whoever is due looks at the time.
fn pass(machines: &mut [Machine], wheel: &mut Wheel<usize>, now: Moment) -> u32 {
    let mut closed = 0;
    while let Some(host) = wheel.pop_due(now) {
        closed += machines[host].handle_timeout(now);
        if let Some(due) = machines[host].arm(now) {
            wheel.arm(host, due);
        }
    }
    closed
}

/// The same without a wheel: every entry of every host is looked at.
fn scan(machines: &[Machine], now: Moment) -> usize {
    let overdue = |since: Moment| now.since(since) >= Duration::from_secs(60);
    let connections = machines.iter().flat_map(Machine::connections);
    connections
        .filter(|info| info.idle_since.is_some_and(overdue))
        .count()
}

fn upkeep(hosts: u64) -> bool {
    let (mut machines, mut wheel) = idle_hosts(hosts);
    // Nothing is due from 50 s to 60 s. A pass each 10 ms; ten of the 900 turn the wheel by a slot.
    let with_wheel = median(900, |round| {
        let closed = pass(&mut machines, &mut wheel, at(50_000 + round * 10));
        assert_eq!(closed, 0, "something was due");
    });
    let naive = median(9, |round| {
        assert_eq!(
            black_box(scan(&machines, at(50_000 + round * 1_000))),
            0,
            "something was due"
        );
    });
    // The pass is not cheap because it is blind: at the deadline it finds what is due.
    let due = pass(&mut machines, &mut wheel, at(62_000));
    assert!(due > 0, "nothing was found at the deadline");
    let ratio = naive.as_secs_f64() / with_wheel.as_secs_f64();
    println!(
        "{hosts:>6} hosts: pass {with_wheel:>9.1?}, scan {naive:>9.1?}, ratio {ratio:>9.0}; {due} closed when due"
    );
    with_wheel <= MOST_PER_PASS
}

/// `idle` connections of one host over `ips` addresses; a hit and its return.
fn hit(idle: u8, ips: u8) {
    const CYCLES: u32 = 10_000;
    let mut machine = Machine::new(roomy(), 0);
    for connection in 0..idle {
        let ip = ip(connection % ips);
        machine
            .adopt(at(0), WANT.identity, ip, Protocol::Http1)
            .expect("there is room");
    }
    let all = median(101, |round| {
        for cycle in 0..CYCLES {
            let now = at(round * 10 + u64::from(cycle) / 1_000);
            let Acquire::Lease(lease) = machine.acquire(now, black_box(WANT)) else {
                panic!("a miss")
            };
            let returned = machine.release(now, black_box(lease.conn), Fate::Reusable);
            assert_eq!(black_box(returned), Returned::Kept);
        }
    });
    let each = all.as_secs_f64() * 1e9 / f64::from(CYCLES);
    println!("hit and return, {idle:>3} idle over {ips} addresses: {each:.1} ns");
}

fn main() {
    let mut in_time = true;
    for hosts in [100, 1_000, 10_000] {
        in_time &= upkeep(hosts);
    }
    for (idle, ips) in [(1, 1), (10, 1), (10, 4), (100, 8)] {
        hit(idle, ips);
    }
    if !in_time {
        println!("FAILED: a pass that finds nothing due costs more than {MOST_PER_PASS:?}");
        std::process::exit(1);
    }
}
