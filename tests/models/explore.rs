//! Going through schedules: how many, in which order, and what is said of the one that fails.

use std::cell::Cell;
use std::env;
use std::str::FromStr;
use std::sync::Once;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, MaxSteps, Runner};

/// Schedules, if nobody says otherwise.
const SCHEDULES: usize = 300;
const SEED: u64 = 1;
/// Steps after which a schedule is taken for one that never ends.
const ENDLESS: usize = 60_000;
/// Changes of priority in a schedule, beside the one at its beginning: a race of that many steps is found with a known probability.
const DEPTH: usize = 3;

thread_local! {
    /// The schedule under way, from 1.
    static SCHEDULE: Cell<usize> = const { Cell::new(0) };
}

/// Runs `model` under one schedule after the other.
pub(crate) fn explore(model: fn()) {
    say_where_it_failed();
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(ENDLESS);
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config.stack_size = 0x20000; // futures are large without optimisation
    config.silence_warnings = true; // sequential consistency: see the head of these models
    if let Ok(schedule) = env::var("HOTPOOL_REPLAY") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(model);
        return;
    }
    let (schedules, seed) = (
        number("HOTPOOL_SCHEDULES", SCHEDULES),
        number("HOTPOOL_SEED", SEED),
    );
    let run = Runner::new(InTurn::new(seed, schedules), config).run(model);
    assert_eq!(run, schedules, "schedules were left out");
    eprintln!("explored {run} schedules from seed {seed}");
}

fn number<T: FromStr>(name: &str, otherwise: T) -> T {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => otherwise,
    }
}

/// A panic may end the process before anybody can catch it: so it is said where it begins.
fn say_where_it_failed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            eprintln!("failed at schedule {}", SCHEDULE.get());
            before(panic);
        }));
    });
}

/// Two ways to choose who goes on, in turn: anybody at every step, which finds what many schedules show, and PCT (Burckhardt et al., ASPLOS
/// 2010), which finds what needs a few changes at the right moments.
struct InTurn {
    random: RandomScheduler,
    pct: PctScheduler,
    schedules: usize,
}

impl InTurn {
    fn new(seed: u64, schedules: usize) -> Self {
        SCHEDULE.set(0);
        InTurn {
            random: RandomScheduler::new_from_seed(seed, schedules / 2),
            pct: PctScheduler::new_from_seed(seed, DEPTH, usize::MAX),
            schedules,
        }
    }

    fn now(&mut self) -> &mut dyn Scheduler {
        match SCHEDULE.get() % 2 {
            0 => &mut self.random,
            _ => &mut self.pct,
        }
    }
}

impl Scheduler for InTurn {
    fn new_execution(&mut self) -> Option<Schedule> {
        if SCHEDULE.get() == self.schedules {
            return self.random.new_execution(); // none, and it knows then that nothing failed
        }
        SCHEDULE.set(SCHEDULE.get() + 1);
        self.now().new_execution()
    }

    fn next_task(&mut self, ready: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        self.now().next_task(ready, current, yields)
    }

    fn next_u64(&mut self) -> u64 {
        self.now().next_u64()
    }
}
