//! How long a `get` takes while clean-up runs on another thread without a pause, and how long without.
//!
//! Open-loop: each `get` has a time at which it is due, and its latency counts from then, so that one that is held up charges those behind it
//! (a closed loop would not have asked meanwhile). Connections went idle in a hundred lots, one after the other; time stands still until a
//! pass moves it on to where the next lot is due. What is asked for is the latest idle one of each host, which is never due.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hotpool::clock::{Clock, Moment, Sleep};
use hotpool::{HotConnPool, PoolConfig};

use crate::field::Field;
use crate::histogram::Histogram;
use crate::many::Random;
use crate::meter::{share_of_two_cores, stay_on};

/// One pass expires one lot: one hundredth of all.
const LOTS: usize = 100;
/// Lots that expire, those that stay are what the `get`s use.
const EXPIRING: usize = 90;
/// Each has figures of its own, and the one in the middle counts: a virtual machine loses its processors for some milliseconds now and then, which
/// would be the hundredth part of all.
const ROUNDS: usize = 9;
/// Between one lot's going idle and the next's.
const GAP: Duration = Duration::from_millis(100);
/// The mean time between two `get`s.
const MEAN: Duration = Duration::from_micros(20);

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
struct Stepped(Arc<AtomicU64>);

impl Stepped {
    fn step(&self, span: Duration) {
        self.0.fetch_add(span.as_nanos() as u64, Ordering::AcqRel);
    }
}

impl Clock for Stepped {
    fn now(&self) -> Moment {
        Moment::from_nanos(self.0.load(Ordering::Acquire))
    }

    /// For ever: nothing here happens by itself.
    fn sleep_until(&self, _: Moment) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// What was measured.
pub(crate) struct Latency {
    pub(crate) hosts: usize,
    pub(crate) entries: usize,
    pub(crate) closed: usize,
    /// The time of each pass of the clean-up, in the mean.
    pub(crate) pass: Duration,
    /// What share of two cores was free between rounds, at the least.
    pub(crate) free: f64,
    /// Of each round.
    pub(crate) quiet: Vec<Histogram>,
    pub(crate) cleaning: Vec<Histogram>,
}

/// So many entries over so many hosts.
pub(crate) fn measure(hosts: usize, entries: usize) -> Latency {
    let lot = entries / LOTS / hosts;
    assert_eq!(lot * LOTS * hosts, entries, "a hundred equal lots for each host");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let clock = Stepped::default();
    let field = runtime.block_on(async {
        let field = Field::with_clock(hosts, clock.clone());
        for laid in 1..=LOTS {
            clock.step(GAP);
            field.warm(lot, lot * laid).await;
        }
        field
    });
    // The first pass is a gap before the first lot is due.
    clock.step(PoolConfig::default().idle_timeout - GAP * LOTS as u32);
    let (mut quiet, mut cleaning) = (Vec::new(), Vec::new());
    let (mut closed, mut spent) = (0, Duration::ZERO);
    let mut random = Random::new(11);
    let mut free = share_of_two_cores();
    for _ in 0..ROUNDS {
        let (mut alone, mut beside) = (Histogram::default(), Histogram::default());
        let over = AtomicBool::new(false);
        let took = std::thread::scope(|scope| {
            let passes = scope.spawn(|| {
                stay_on(1);
                let began = Instant::now();
                let swept = runtime.block_on(clean(&field.pool, &clock, lot * hosts));
                let took = began.elapsed();
                over.store(true, Ordering::Release);
                (swept, took)
            });
            let asks = || ask(&field, &mut random, &mut beside, || !over.load(Ordering::Acquire));
            scope.spawn(asks);
            passes.join().expect("a clean-up")
        });
        closed += took.0;
        spent += took.1;
        let until = Instant::now() + took.1;
        std::thread::scope(|scope| {
            scope.spawn(|| ask(&field, &mut random, &mut alone, || Instant::now() < until));
        });
        quiet.push(alone);
        cleaning.push(beside);
        free = free.min(share_of_two_cores());
    }
    assert_eq!(closed, lot * hosts * EXPIRING, "connections that expired");
    let left = field.pool.stats();
    assert_eq!(left.idle as usize, entries - closed, "idle connections left");
    Latency {
        hosts,
        entries,
        closed,
        pass: spent / EXPIRING as u32,
        free,
        quiet,
        cleaning,
    }
}

/// A round's share of the passes, without a pause. What a pass leaves to the runtime is done here as well.
async fn clean(pool: &HotConnPool, clock: &Stepped, lot: usize) -> usize {
    let mut closed = 0;
    for _ in 0..EXPIRING / ROUNDS {
        clock.step(GAP);
        let swept = pool.manager().cleanup();
        assert_eq!(swept, lot, "connections that one pass closes");
        closed += swept;
        tokio::task::yield_now().await;
    }
    closed
}

/// Gets and puts of random hosts at random times, for as long as that holds.
fn ask(field: &Field, random: &mut Random, latencies: &mut Histogram, holds: impl Fn() -> bool) {
    stay_on(0);
    let mut due = Instant::now();
    while holds() {
        due += pause(random);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let name = &field.names[random.below(field.names.len() as u64) as usize];
        let mut get = pin!(field.pool.get(name.as_str()));
        let got = match get.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(got) => got.expect("an idle connection"),
            Poll::Pending => panic!("no idle connection to {name}"),
        };
        latencies.record(due.elapsed());
        let kept = field.pool.put(got);
        assert!(matches!(kept, hotpool::Returned::Kept), "{kept:?}");
    }
}

/// Exponential: independent callers.
fn pause(random: &mut Random) -> Duration {
    let even = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    MEAN.mul_f64(-(1.0 - even).ln())
}
