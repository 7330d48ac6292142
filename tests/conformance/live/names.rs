//! What the pool knows of names, and from when.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hotpool::{Answer, ErrorKind, Phase, Resolve, Resolving};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::poll_once;
use crate::common::{builder, finish, http1_peer, let_run, name, round, within};
use crate::support::peer::Peer;

/// Answers the questions one after the other, counts them, and knows no ports.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Vec<Resolving>>>, Arc<AtomicU32>);

impl Script {
    fn new(answers: impl IntoIterator<Item = Resolving>) -> Self {
        Script(
            Arc::new(Mutex::new(answers.into_iter().collect())),
            Arc::default(),
        )
    }
}

impl Resolve for Script {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.lock().remove(0)
    }

    fn tells_ports_apart(&self) -> bool {
        false
    }
}

fn addresses(addresses: &[IpAddr]) -> Answer {
    Answer {
        addresses: addresses.to_vec(),
        ttl: Duration::from_secs(60),
    }
}

fn right(peer: &Peer) -> Resolving {
    Resolving::ready(Ok(addresses(peer.ips())))
}

/// It has failed, for everybody who waits for the name, and the next question is asked.
#[tokio::test]
async fn a_resolver_that_panics_hangs_nobody() {
    let peers = [http1_peer(), http1_peer()];
    let (go, may_go) = oneshot::channel::<()>();
    let panics = Resolving::new(async {
        _ = may_go.await;
        panic!("as the test wants it")
    });
    let resolver = Script::new([panics]);
    let pool = builder(&peers[0], |_| {})
        .resolver(resolver.clone())
        .build()
        .unwrap();
    let names = [name(&peers[0]), name(&peers[1])];
    let (mut one, mut other) = (Box::pin(pool.get(&names[0])), Box::pin(pool.get(&names[1])));
    assert!(poll_once(one.as_mut()).await.is_none());
    assert!(poll_once(other.as_mut()).await.is_none());
    let_run().await; // both wait for the one answer
    drop(go);
    let (one, other) = within("both", async { tokio::join!(one, other) }).await;
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Resolve, Phase::Resolve),
            "{error}"
        );
    }
    assert_eq!(resolver.1.load(Ordering::Relaxed), 1);
    for peer in peers {
        peer.shutdown().await;
    }
}

/// Whoever waited for a name when the network changed gets what it is in the new one.
#[tokio::test]
async fn what_was_asked_in_another_network_is_asked_again() {
    let peer = http1_peer();
    let (tell, told) = oneshot::channel();
    let old = Resolving::new(async { Ok(told.await.unwrap()) });
    let resolver = Script::new([old, right(&peer)]);
    let pool = builder(&peer, |_| {}).resolver(resolver.clone()).build().unwrap();
    let name = name(&peer);
    let mut served = Box::pin(round(&pool, &name));
    assert!(poll_once(served.as_mut()).await.is_none());
    let asked = async {
        while resolver.1.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the question", asked).await;
    pool.network_changed();
    // An address where nobody listens.
    _ = tell.send(addresses(&[[127, 9, 9, 9].into()]));
    assert_eq!(served.await.status, 200);
    finish(pool, peer).await;
}

/// A clock that was set back leaves a snapshot whose age nobody knows.
#[tokio::test]
async fn a_snapshot_from_the_future_is_not_fresh() {
    let peer = http1_peer();
    let first = builder(&peer, |_| {})
        .resolver(Script::new([right(&peer)]))
        .build()
        .unwrap();
    round(&first, &name(&peer)).await;
    let snapshot = first.dns_snapshot();
    within("close", first.close()).await;
    for (ahead, asked) in [(0, 0), (3600, 1)] {
        let mut snapshot = snapshot.clone();
        snapshot.taken += ahead;
        let resolver = Script::new([right(&peer)]);
        let pool = builder(&peer, |_| {})
            .resolver(resolver.clone())
            .dns_snapshot(snapshot)
            .build()
            .unwrap();
        round(&pool, &name(&peer)).await;
        assert_eq!(resolver.1.load(Ordering::Relaxed), asked, "{ahead} s ahead");
        within("close", pool.close()).await;
    }
    peer.shutdown().await;
}
