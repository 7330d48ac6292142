//! Nothing of a pool outlives its last handle and its last lease.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use hotpool::{Answer, HotConnPool, Resolve, Resolving};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::support::certs;
use crate::support::peer::{Alpn, Peer};
use crate::{got, h1_peer, let_run, name};

/// Lives as long as the heart of its pool.
struct Marked {
    _mark: Arc<()>,
    addresses: Vec<std::net::IpAddr>,
}

impl Resolve for Marked {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        let addresses = self.addresses.clone();
        let ttl = Duration::from_secs(60);
        Resolving::ready(Ok(Answer { addresses, ttl }))
    }
}

fn marked(peer: &Peer) -> (HotConnPool, Weak<()>) {
    let mark = Arc::new(());
    let weak = Arc::downgrade(&mark);
    let pool = HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(Marked {
            _mark: mark,
            addresses: peer.ips().to_vec(),
        })
        .build()
        .unwrap();
    (pool, weak)
}

async fn gone(what: &str, weak: &Weak<()>) {
    for _ in 0..100 {
        if weak.upgrade().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    panic!("{what}: it lives on");
}

#[tokio::test]
async fn with_and_without_close_and_leases() {
    for alpn in [Alpn::Http1, Alpn::Both] {
        for (close, lease_out) in [(false, false), (false, true), (true, false), (true, true)] {
            let peer = Peer::builder().alpn(alpn).start();
            let (pool, weak) = marked(&peer);
            let (one, two) = (got(&pool, &name(&peer)).await, got(&pool, &name(&peer)).await);
            drop(two);
            let lease = lease_out.then_some(one);
            if close && !lease_out {
                pool.close().await;
            } else if close {
                let mut closing = Box::pin(pool.close());
                assert!(crate::poll_once(closing.as_mut()).is_none());
            }
            drop(pool);
            drop(lease);
            gone(&format!("close {close}, a lease {lease_out}"), &weak).await;
        }
    }
}

#[tokio::test]
async fn a_detached_one_holds_it_no_longer_than_itself() {
    let peer = h1_peer();
    let (pool, weak) = marked(&peer);
    let detached = got(&pool, &name(&peer)).await.detach().unwrap();
    drop(pool);
    let_run().await;
    drop(detached);
    gone("detached", &weak).await;
}

/// "Takes the connection out of the pool for good, to use it for something else."
#[tokio::test]
async fn a_detached_one_outlives_its_pool() {
    let peer = h1_peer();
    let (pool, _) = marked(&peer);
    let mut detached = got(&pool, &name(&peer)).await.detach().unwrap();
    drop(pool);
    let asked = async {
        detached
            .write_all(b"GET / HTTP/1.1\r\nhost: peer.test\r\n\r\n")
            .await?;
        detached.flush().await?;
        detached.read_u8().await
    };
    assert_eq!(asked.await.map_err(|error| error.kind()), Ok(b'H'));
}

#[test]
fn outside_any_runtime_and_after_two() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    for alpn in [Alpn::Http1, Alpn::Both] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, weak) = marked(&peer);
        let (first, second) = (runtime(), runtime());
        let one = first.block_on(got(&pool, &name(&peer)));
        let two = second.block_on(got(&pool, &name(&peer)));
        drop(one);
        drop(pool); // outside both, which are not driven
        drop(two);
        drop((first, second));
        assert!(weak.upgrade().is_none(), "it lives on");
    }
}

struct Noted;

impl Wake for Noted {
    fn wake(self: Arc<Self>) {}
}

/// A task that is over is not kept by a connection that it once read from.
#[tokio::test]
async fn the_waker_of_its_last_user_is_let_go() {
    let peer = h1_peer();
    let (pool, _) = marked(&peer);
    let mut lease = got(&pool, &name(&peer)).await;
    let noted = Arc::new(Noted);
    let waker = Waker::from(Arc::clone(&noted));
    let mut room = [0; 8];
    let polled =
        Pin::new(&mut lease).poll_read(&mut Context::from_waker(&waker), &mut ReadBuf::new(&mut room));
    assert!(polled.is_pending());
    drop(waker);
    assert_eq!(pool.put(lease), hotpool::Returned::Kept);
    let_run().await;
    assert_eq!(Arc::strong_count(&noted), 1, "the idle connection still holds it");
}
