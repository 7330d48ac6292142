//! What an observer is told is what is counted.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hotpool::{CloseReason, Counters, ErrorKind, Event, GetOptions, HotConnPool, Observer, Phase};
use parking_lot::Mutex;

use super::{lease, poll_once};
use crate::common::{at_rest, builder, failure, http1_peer, name, round, use_up, within};
use crate::support::peer::{Act, Peer, To};

/// Everything that was told, as counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heard {
    opened: u64,
    closes: BTreeMap<CloseReason, u64>,
    failures: BTreeMap<Phase, u64>,
    waits: u64,
    wait_time: Duration,
}

impl Heard {
    fn counted(counters: &Counters) -> Self {
        Heard {
            opened: counters.opened,
            closes: counters.closes_by_reason().collect(),
            failures: counters.failures_by_phase().collect(),
            waits: counters.waits,
            wait_time: counters.wait_time,
        }
    }
}

/// Writes down what it is told, and that the pool may be asked meanwhile.
#[derive(Clone, Default)]
struct Ear {
    heard: Arc<Mutex<Heard>>,
    refused: Arc<Mutex<Vec<ErrorKind>>>,
}

impl Observer for Ear {
    fn on_event(&self, event: &Event<'_>) {
        let mut heard = self.heard.lock();
        match event {
            Event::Opened { .. } => heard.opened += 1,
            Event::Closed { reason, .. } => *heard.closes.entry(*reason).or_default() += 1,
            Event::Failed { error, .. } => *heard.failures.entry(error.phase()).or_default() += 1,
            Event::Waited { waited, error, .. } => {
                heard.waits += 1;
                heard.wait_time += *waited;
                self.refused.lock().extend(error.map(|error| error.kind()));
            }
            other => panic!("what is {other:?}?"),
        }
    }
}

fn pool_of_one(peer: &Peer) -> HotConnPool {
    builder(peer, |config| config.max_per_host = 1).build().unwrap()
}

#[tokio::test]
async fn every_event_is_told_once_for_each_count() {
    let peer = http1_peer();
    let pool = pool_of_one(&peer);
    let ear = Ear::default();
    pool.on_event(ear.clone());
    // It may ask the pool, which holds no lock then.
    let asked = pool.manager().clone();
    pool.on_event(move |_: &Event<'_>| asked.assert_invariants());

    let name = name(&peer);
    failure(&pool, "nowhere.peer.test").await;
    let mut held = lease(&pool, &name).await;
    use_up(&mut held, "/").await;
    // One that is served, and one whose time is over.
    let mut served = pin!(pool.get(&*name));
    assert!(poll_once(served.as_mut()).await.is_none());
    let late = GetOptions::new().timeout(Duration::from_millis(1));
    let late = within("an end", pool.get_with(&*name, late)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    drop(held);
    within("a connection", served).await.unwrap().discard();
    at_rest(&pool).await;
    // An attempt that fails, and one whose connection is kept until the end.
    peer.next(To::All, 1, Act::ResetAfterHello);
    failure(&pool, &name).await;
    pool.manager().network_changed(); // forgives
    round(&pool, &name).await;
    at_rest(&pool).await;
    let report = within("close", pool.close()).await;
    assert!(report.is_clean(), "{report:?}");

    let counted = Heard::counted(&pool.stats().counters);
    assert_eq!(*ear.heard.lock(), counted);
    assert_eq!((counted.opened, counted.failures.len()), (2, 2), "{counted:?}");
    assert_eq!(counted.closes.values().sum::<u64>(), 2, "{counted:?}");
    let refused = ear.refused.lock().clone();
    let times = |kind| refused.iter().filter(|&&refused| refused == kind).count();
    assert_eq!(
        (times(ErrorKind::Timeout), times(ErrorKind::NameNotFound)),
        (1, 1),
        "{refused:?}"
    );
    assert_eq!(counted.waits as usize, refused.len() + 3, "those who were served");
    peer.shutdown().await;
}

#[tokio::test]
async fn an_observer_that_panics_is_not_told_again_and_harms_nobody() {
    let peer = http1_peer();
    let pool = pool_of_one(&peer);
    let told = Arc::new(Mutex::new(0));
    let mine = Arc::clone(&told);
    pool.on_event(move |_: &Event<'_>| {
        *mine.lock() += 1;
        panic!("as this test wants");
    });
    let ear = Ear::default();
    pool.on_event(ear.clone());
    let name = name(&peer);
    for _ in 0..3 {
        lease(&pool, &name).await.discard();
    }
    at_rest(&pool).await;
    assert_eq!((*told.lock(), Arc::strong_count(&told)), (1, 1), "it is gone");
    assert_eq!(*ear.heard.lock(), Heard::counted(&pool.stats().counters));
    within("close", pool.close()).await;
    peer.shutdown().await;
}
