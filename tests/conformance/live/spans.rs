//! Where the log's spans stand.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{Event, Metadata, Subscriber, debug_span, span};
use tracing_core::span::Current;

use super::{alone_with_its_log, lease};
use crate::common::{finish, name, pool, spawn, until, within};
use crate::support::peer::{Alpn, Peer};

/// Writes every span down: its name and that of the span that it stands in.
#[derive(Clone, Default)]
struct Tree(Arc<Mutex<Grown>>);

#[derive(Default)]
struct Grown {
    /// Name, parent, handles that are out.
    spans: Vec<(&'static Metadata<'static>, Option<u64>, usize)>,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Tree {
    /// `child < parent`, as they came to be.
    fn told(&self) -> Vec<String> {
        let grown = self.0.lock();
        let name = |id: u64| grown.spans[id as usize - 1].0.name();
        let told = |&(metadata, parent, _): &(&Metadata<'_>, Option<u64>, usize)| match parent {
            Some(parent) => format!("{} < {}", metadata.name(), name(parent)),
            None => metadata.name().to_owned(),
        };
        let ours = grown
            .spans
            .iter()
            .filter(|(metadata, ..)| metadata.target() == "hotpool");
        ours.map(told).collect()
    }

    fn named(&self, name: &str) -> Vec<String> {
        let mut told = self.told();
        told.retain(|told| told.split(' ').next() == Some(name));
        told
    }

    /// Handles of spans of that name that are out.
    fn held(&self, name: &str) -> usize {
        let grown = self.0.lock();
        let named = grown
            .spans
            .iter()
            .filter(|(metadata, ..)| metadata.name() == name);
        named.map(|&(_, _, handles)| handles).sum()
    }
}

impl Subscriber for Tree {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && ["hotpool", "caller"].contains(&metadata.target())
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let entered = || ENTERED.with_borrow(|entered| entered.last().copied());
        let parent = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_root() => None,
            None => entered(),
        };
        let mut grown = self.0.lock();
        grown.spans.push((attributes.metadata(), parent, 1));
        span::Id::from_u64(grown.spans.len() as u64)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &span::Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, _: &span::Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }

    fn current_span(&self) -> Current {
        match ENTERED.with_borrow(|entered| entered.last().copied()) {
            Some(id) => {
                let metadata = self.0.lock().spans[id as usize - 1].0;
                Current::new(span::Id::from_u64(id), metadata)
            }
            None => Current::none(),
        }
    }

    fn clone_span(&self, id: &span::Id) -> span::Id {
        self.0.lock().spans[id.into_u64() as usize - 1].2 += 1;
        id.clone()
    }

    fn try_close(&self, id: span::Id) -> bool {
        let handles = &mut self.0.lock().spans[id.into_u64() as usize - 1].2;
        *handles -= 1;
        *handles == 0
    }
}

/// A get that waits, and what was begun for it; nothing around one that is served at once.
#[test]
fn a_wait_stands_around_its_dial() {
    alone_with_its_log("live::spans::a_wait_stands_around_its_dial", async {
        for (alpn, h2) in [(Alpn::Http1, false), (Alpn::Http2, true)] {
            let tree = Tree::default();
            let _growing = tracing::subscriber::set_default(tree.clone());
            let peer = Peer::builder().alpn(alpn).start();
            let pool = pool(&peer, |_| {});
            let name = name(&peer);
            drop(lease(&pool, &name).await);
            let mut told = vec![
                "pool.get",
                "dns < pool.get",
                "dial < pool.get",
                "connect < dial",
                "tls < dial",
            ];
            told.extend(h2.then_some("h2 < dial"));
            assert_eq!(tree.told(), told);
            drop(lease(&pool, &name).await);
            assert_eq!(tree.told(), told, "served at once");
            finish(pool, peer).await;
            for name in ["pool.get", "dns", "dial", "connect", "tls", "h2"] {
                assert_eq!(tree.held(name), 0, "{name}");
            }
        }
    });
}

/// What one caller sets free, a dial for another begins with: it does not stand in a span of theirs.
#[test]
fn a_dial_stands_in_no_span_of_a_stranger() {
    alone_with_its_log("live::spans::a_dial_stands_in_no_span_of_a_stranger", async {
        let tree = Tree::default();
        let _growing = tracing::subscriber::set_default(tree.clone());
        let peer = Peer::builder().alpn(Alpn::Http1).start();
        let pool = pool(&peer, |config| config.max_per_host = 1);
        let name = name(&peer);
        let conn = lease(&pool, &name).await;
        let waits = {
            let (pool, name) = (pool.clone(), name.clone());
            spawn(async move { drop(lease(&pool, &name).await) })
        };
        until(&pool, "somebody waits", |stats| stats.waiting == 1).await;
        debug_span!(target: "caller", "request").in_scope(|| conn.discard());
        within("the other", waits).await.unwrap();
        assert_eq!(tree.named("dial"), ["dial < pool.get", "dial"]);
        assert_eq!(tree.held("request"), 0);
        finish(pool, peer).await;
    });
}
