//! Dropped at every await: each call is polled so many times and dropped, for every number of times until it is ready, while each step of its
//! dial succeeds, fails, takes its time or never ends.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::{Act, Stage};
use hotpool::{Error, GetOptions, HotConnPool, Phase, Stats, Warm};

use super::poll_once;
use crate::common::{config, poll_times, within};
use crate::support::measure::{self, alive_tasks};
use crate::support::peer::DEADLINE;

const STEPS: [Phase; 4] = [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Http2];
/// A call that hangs is dropped after so many polls at the latest: longer than any that is ready takes to get there.
const MOST_POLLS: usize = 24;

/// What happens at each step. What comes after one that does not succeed is never played.
type Plan = Vec<Act>;

fn plans() -> Vec<Plan> {
    let mut plans = vec![Plan::new()];
    for _ in STEPS {
        plans = plans.into_iter().flat_map(one_step_more).collect();
    }
    plans
}

fn one_step_more(plan: Plan) -> Vec<Plan> {
    if matches!(plan.last(), Some(Act::Err | Act::Never)) {
        return vec![plan];
    }
    let more = [Act::Ok, Act::Slow(2), Act::Err, Act::Never];
    more.map(|act| [plan.clone(), vec![act]].concat()).into()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Get,
    Pinned,
    Count,
    EveryIp,
}

/// The connections that a call has in the end, or its error.
type Outcome = Result<usize, Error>;

impl Call {
    fn make(self, pool: &HotConnPool) -> Pin<Box<dyn Future<Output = Outcome> + '_>> {
        let warm = |warm| async move {
            let report = pool.warm("peer.test", warm, GetOptions::new()).await?;
            assert!(report.opened + report.errors.len() <= 2, "{report:?}");
            Ok(report.opened)
        };
        match self {
            Call::Get => Box::pin(async { pool.get("peer.test").await.map(|_| 1) }),
            Call::Pinned => {
                let there = GetOptions::new().ip([10, 0, 0, 9].into());
                Box::pin(async { pool.get_with("peer.test", there).await.map(|_| 1) })
            }
            Call::Count => Box::pin(warm(Warm::Count(2))),
            Call::EveryIp => Box::pin(warm(Warm::EveryIp(1))),
        }
    }

    /// What has to come of it; nothing where a step never ends.
    fn expected(self, plan: &Plan) -> Option<Result<usize, ()>> {
        let last = (plan[plan.len() - 1], plan.len());
        Some(match (last, self) {
            // A pinned address needs no name.
            ((Act::Err | Act::Never, 1), Call::Pinned) => Ok(1),
            ((Act::Never, _), _) => return None,
            // A name without an address is everybody's error.
            ((Act::Err, 1), _) => Err(()),
            // The other address serves, unless it was asked for by itself.
            ((Act::Err, _), Call::Pinned) => Err(()),
            ((Act::Err, _), Call::EveryIp) => Ok(1),
            (_, Call::Get | Call::Pinned) => Ok(1),
            (_, Call::Count | Call::EveryIp) => Ok(2),
        })
    }
}

fn quiet(stats: &Stats) -> bool {
    (stats.waiting, stats.dialling, stats.leases) == (0, 0, 0)
}

/// Lets time pass until every dial and every question has had its own, and no task is left but the five of the pool itself. Answers whether that came.
async fn settle(pool: &HotConnPool, clock: &ManualClock, before: usize) -> bool {
    for _ in 0..8 {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if quiet(&pool.stats()) && alive_tasks() <= before + 5 {
            return true;
        }
        clock.advance(Duration::from_secs(10));
    }
    false
}

/// One call, dropped after so many polls; what came of it, if it was ready before.
async fn run(call: Call, plan: &Plan, polls: usize) -> Option<Outcome> {
    let before = alive_tasks();
    let (stage, clock) = (Stage::new(2), ManualClock::new());
    // As few as one call needs: whatever leaks, the next ones hang.
    let few = config(|config| {
        (config.max_connections, config.max_per_host, config.max_dials) = (2, 2, 2);
    });
    let pool = stage.pool(few, clock.clone()).unwrap();
    let planned = STEPS.into_iter().zip(plan);
    for (phase, &act) in planned.filter(|(phase, _)| call != Call::Pinned || *phase != Phase::Resolve) {
        stage.next(phase, act);
    }
    let outcome = poll_times(call.make(&pool), polls).await;
    let settled = settle(&pool, &clock, before).await;
    let (stats, context) = (pool.stats(), format!("{call:?} {plan:?}, {polls} polls"));
    assert!(settled, "{context}: {} tasks, {stats:?}", alive_tasks() - before);
    pool.manager().assert_invariants();
    assert_eq!(stats.total as usize, stage.open(), "{context}");
    // Another host takes every permit there is.
    stage.forget();
    let both = within(&context, async {
        [
            pool.get("other.test").await.unwrap(),
            pool.get("other.test").await.unwrap(),
        ]
    });
    drop(both.await);
    within("close", pool.close()).await;
    drop(pool);
    assert_eq!(stage.open(), 0, "{context}");
    measure::settles(DEADLINE, &context, before, alive_tasks).await;
    outcome
}

/// Each number of polls, until it is ready.
async fn every_number_of_polls(call: Call, plan: &Plan) {
    for polls in 0..=MOST_POLLS {
        let Some(outcome) = run(call, plan, polls).await else {
            continue;
        };
        let expected = call.expected(plan);
        assert_eq!(expected, Some(outcome.map_err(drop)), "{call:?} {plan:?}");
        return;
    }
    assert_eq!(
        call.expected(plan),
        None,
        "{call:?} {plan:?} is not ready in {MOST_POLLS} polls"
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_await_leaves_nothing() {
    let plans = plans();
    assert_eq!(
        plans.len(),
        46,
        "each step Ok, Slow, Err, Never, as far as it gets"
    );
    for plan in &plans {
        for call in [Call::Get, Call::Pinned, Call::Count, Call::EveryIp] {
            every_number_of_polls(call, plan).await;
        }
    }
}

/// One caller is dropped; the other is served all the same, by what the first had begun if that goes well.
#[tokio::test]
async fn who_asked_beside_a_call_that_is_dropped_is_served() {
    let served = |plan: &&Plan| plan[0] != Act::Err && !plan.contains(&Act::Never);
    for plan in plans().iter().filter(served) {
        for call in [Call::Get, Call::Count, Call::EveryIp] {
            for polls in 0..10 {
                beside(call, plan, polls).await;
            }
        }
    }
}

async fn beside(call: Call, plan: &Plan, polls: usize) {
    let context = format!("{call:?} {plan:?}, {polls} polls");
    let before = alive_tasks();
    let (stage, clock) = (Stage::new(2), ManualClock::new());
    let few = config(|config| (config.max_per_host, config.max_dials) = (3, 2));
    let pool = stage.pool(few, clock.clone()).unwrap();
    STEPS
        .into_iter()
        .zip(plan)
        .for_each(|(phase, &act)| stage.next(phase, act));
    let mut dropped = call.make(&pool);
    assert!(poll_once(dropped.as_mut()).await.is_none(), "{context}");
    let mut stays = Box::pin(pool.get("peer.test"));
    assert!(poll_once(stays.as_mut()).await.is_none(), "{context}");
    poll_times(dropped, polls).await;
    let served = within(&context, stays).await;
    drop(served.unwrap_or_else(|error| panic!("{context}: {error:?}")));
    assert!(
        settle(&pool, &clock, before).await,
        "{context}: {:?}",
        pool.stats()
    );
    pool.manager().assert_invariants();
    assert!(pool.size() <= 3, "{context}");
    within("close", pool.close()).await;
    measure::settles(DEADLINE, &context, before, alive_tasks).await;
}
