//! The same behaviours, and the pool's own, of a whole pool: over real TLS where a socket is involved, over scripted connections where only the
//! order of steps is.

mod access;
mod age;
mod anew;
mod cancel;
mod closing;
mod control;
mod dialers;
mod ear;
mod end;
mod handout;
mod hosts;
mod http2;
mod idle;
mod jobs;
mod leases;
mod life;
mod limits;
mod locks;
mod log;
mod names;
mod observer;
mod pause;
mod policy;
mod proxies;
mod races;
mod resize;
mod setups;
mod slow;
mod sockets;
mod sources;
mod spans;
mod steps;
mod streams;
mod tables;
mod told;
mod validate;
mod waits;
mod work;
mod written;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use hotpool::{GetOptions, HotConn, HotConnPool, Returned, Stats};

use crate::common::{use_up, within};
use crate::support::process::alone;

/// A connection, which must come.
async fn lease(pool: &HotConnPool, name: &str) -> HotConn {
    within("a connection", pool.get(name)).await.unwrap()
}

/// Which connection each of these calls has, one after the other, each used and put back.
async fn serials<'c>(
    pool: &HotConnPool,
    name: &str,
    calls: impl Iterator<Item = &'c GetOptions>,
) -> Vec<u64> {
    let mut serials = Vec::new();
    for call in calls {
        let mut conn = within("a connection", pool.get_with(name, call.clone()))
            .await
            .unwrap();
        use_up(&mut conn, "/").await;
        serials.push(conn.info().serial);
        assert_eq!(pool.put(conn), Returned::Kept);
    }
    serials
}

/// Polls a future once.
async fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    let mut future = future;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Lets everything run until the pool's figures satisfy `holds`, and looks between any two steps.
async fn as_soon_as(pool: &HotConnPool, what: &str, mut holds: impl FnMut(&Stats) -> bool) {
    let soon = async {
        while !holds(&pool.stats()) {
            tokio::task::yield_now().await;
        }
    };
    within(what, soon).await;
}

/// A runtime of one thread.
fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs the test of this name in a process of its own: whether anybody listens is remembered for a whole process, and what other tests log first at
/// the very moment at which one begins to listen is never heard there.
fn alone_with_its_log(test: &str, body: impl Future<Output = ()>) {
    alone(test, || one_thread().block_on(body));
}
