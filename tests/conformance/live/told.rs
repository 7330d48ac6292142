//! What the log tells.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use hotpool::Outcome;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::lease;
use crate::common::{finish, host, name, pool, round, until};
use crate::support::peer::{Order, Peer, To};

/// Writes every event of the pool down, whatever its level.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "hotpool"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        self.0.lock().push(words.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn every_close_is_told_once_with_its_reason() {
    let ear = Ear::default();
    let _listening = tracing::subscriber::set_default(ear.clone());
    let peer = Peer::start();
    let pool = pool(&peer, |_| {});
    let names = ["a.peer.test", "b.peer.test", "c.peer.test"].map(|known| host(&peer, known));
    lease(&pool, &names[0]).await.discard();
    lease(&pool, &names[1]).await.report(Outcome::Status(403));
    round(&pool, &names[2]).await;
    pool.manager().retain(|_| false);
    round(&pool, &name(&peer)).await;
    peer.order(To::All, Order::Reset);
    until(&pool, "all are closed", |stats| stats.total == 0).await;
    let counters = pool.stats().counters;
    let mut expected: Vec<_> = counters
        .closes_by_reason()
        .flat_map(|(reason, count)| {
            std::iter::repeat_n(format!("reason={reason} "), usize::try_from(count).unwrap())
        })
        .collect();
    expected.sort_unstable();
    let heard = ear.0.lock().clone();
    let told = |word: &str| {
        heard
            .iter()
            .filter(|line| line.starts_with(&format!("message={word} ")))
            .cloned()
            .collect::<Vec<_>>()
    };
    let reason = |line: &String| line[line.find("reason=").unwrap()..].to_owned();
    let mut reasons: Vec<_> = told("closed").iter().map(reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, expected, "{heard:#?}");
    assert_eq!((reasons.len(), told("opened").len()), (4, 4), "{heard:#?}");
    finish(pool, peer).await;
}
