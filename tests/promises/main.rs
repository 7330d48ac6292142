//! Promises of a whole pool, each as one test: locks, runtimes, names, hosts, counts, memory.
#![cfg(feature = "__internals")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test has tasks and deadlines of its own, beside the pool's"
)]

#[path = "../support/mod.rs"]
mod support;

mod control;
mod counts;
mod freed;
mod hosts;
mod locks;
mod names;
mod runtimes;
mod warming;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hotpool::clock::{Clock, ManualClock};
use hotpool::scripted::Stage;
use hotpool::{HotConn, HotConnPool, PoolConfig, StaticResolver};

use crate::support::certs;
use crate::support::peer::{Alpn, Peer};

/// The defaults, changed.
pub(crate) fn config(change: impl FnOnce(&mut PoolConfig)) -> PoolConfig {
    let mut config = PoolConfig::default();
    change(&mut config);
    config
}

/// A pool of which nothing but the pool is real, and whose time stands still.
pub(crate) fn staged(
    addresses: u32,
    change: impl FnOnce(&mut PoolConfig),
) -> (Stage, HotConnPool, ManualClock) {
    let (stage, clock) = (Stage::new(addresses), ManualClock::new());
    let pool = stage.pool(config(change), clock.clone()).unwrap();
    (stage, pool, clock)
}

/// The same by any clock.
pub(crate) fn staged_by(clock: impl Clock, change: impl FnOnce(&mut PoolConfig)) -> (Stage, HotConnPool) {
    let stage = Stage::new(1);
    let pool = stage.pool(config(change), clock).unwrap();
    (stage, pool)
}

pub(crate) fn h1_peer() -> Peer {
    Peer::builder().alpn(Alpn::Http1).start()
}

pub(crate) fn name(peer: &Peer) -> String {
    format!("peer.test:{}", peer.port())
}

pub(crate) fn builder(peer: &Peer) -> hotpool::Builder {
    let resolver = StaticResolver::new()
        .with(name(peer).as_str(), peer.ips().iter().copied())
        .unwrap();
    HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(resolver)
}

/// A connection, within a time that no test here needs.
pub(crate) async fn got(pool: &HotConnPool, name: &str) -> HotConn {
    tokio::time::timeout(Duration::from_secs(10), pool.get(name))
        .await
        .expect("a connection in ten seconds")
        .unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

pub(crate) async fn let_run() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// One poll by a waker that wakes nobody.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
