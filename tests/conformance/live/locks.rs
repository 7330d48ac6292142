//! No code of a caller's runs under a lock of the pool's.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use hotpool::clock::ManualClock;
use hotpool::scripted::{Act, Stage};
use hotpool::{Dial, DialTo, Dialing, GetOptions, HotConnPool, Phase, Warm};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::{as_soon_as, lease, one_thread, poll_once};
use crate::common::{config, finish, http1_peer, let_run, name, pool, spawn, use_up, within};
use crate::support::peer::DEADLINE;

/// Runs `body` in a runtime of its own. It never ends where somebody waits for a lock that he has himself.
fn without_a_deadlock(body: impl Future<Output = ()> + Send + 'static) {
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        one_thread().block_on(body);
        let _ = told.send(());
    });
    heard.recv_timeout(DEADLINE).expect("deadlock");
}

/// Looks at the whole pool whenever it is woken.
struct Looks(HotConnPool, mpsc::Sender<u32>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let _ = self.1.send(self.0.stats().dialling);
    }
}

#[test]
fn who_is_woken_may_ask_the_pool() {
    without_a_deadlock(async {
        let one = config(|config| config.max_connections = 1);
        let pool = Stage::new(1).pool(one, ManualClock::new()).unwrap();
        let _held = lease(&pool, "a.test").await;
        let (saw, seen) = mpsc::channel();
        let waker = Waker::from(Arc::new(Looks(pool.clone(), saw)));
        let mut warm = pin!(pool.warm("b.test", Warm::Count(1), GetOptions::new()));
        assert!(warm.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(pool.stats().dialling, 1);
        let mut close = pin!(pool.close());
        let polled = std::future::poll_fn(|cx| Poll::Ready(close.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "a lease is out");
        assert_eq!(seen.try_recv(), Ok(0), "its dial was given up");
    });
}

/// Ends every use of the pool when it is dropped.
struct Ends(HotConnPool);

impl Wake for Ends {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.force_cleanup();
    }
}

#[test]
fn a_waker_that_goes_may_end_all() {
    without_a_deadlock(async {
        let peer = http1_peer();
        let pool = pool(&peer, |_| {});
        let mut conn = lease(&pool, &name(&peer)).await;
        let mut read = |waker: &Waker| {
            let (mut byte, cx) = ([0], &mut Context::from_waker(waker));
            Pin::new(&mut conn).poll_read(cx, &mut ReadBuf::new(&mut byte))
        };
        let waker = Waker::from(Arc::new(Ends(pool.clone())));
        assert!(read(&waker).is_pending());
        drop(waker);
        match read(Waker::noop()) {
            Poll::Ready(Err(error)) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted),
            other => panic!("{other:?}"),
        }
    });
}

/// What a call brought: looks at the whole pool when nobody has it any more.
struct Leaves(HotConnPool, Arc<Mutex<Vec<u32>>>);

impl Dial for Leaves {
    fn dial<'a>(&'a self, _: DialTo<'a>) -> Dialing<'a> {
        unreachable!("whatever is dialled is played")
    }
}

impl Drop for Leaves {
    fn drop(&mut self) {
        let total = self.0.stats().total;
        self.1.lock().push(total);
    }
}

/// It goes with the last connection, dial, or place in line that was for it, however that ends.
#[test]
fn what_a_call_brought_may_ask_the_pool_as_it_goes() {
    without_a_deadlock(async {
        let (stage, one) = (Stage::new(1), config(|config| config.max_connections = 1));
        let pool = stage.pool(one, ManualClock::new()).unwrap();
        let seen: Arc<Mutex<Vec<u32>>> = Arc::default();
        let call = || GetOptions::new().dial(Some(Arc::new(Leaves(pool.clone(), Arc::clone(&seen)))));
        let get = async || within("one", pool.get_with("a.test", call())).await.unwrap();
        let ended = |left: u32, how: &str| assert_eq!(std::mem::take(&mut *seen.lock()), [left], "{how}");
        get().await.discard();
        ended(0, "closed as it came home");
        drop(get().await);
        pool.manager().evict_host("a.test").unwrap();
        ended(0, "evicted");
        drop(get().await);
        drop(lease(&pool, "b.test").await);
        ended(0, "closed to make room");
        pool.manager().evict_host("b.test").unwrap();
        stage.next(Phase::Connect, Act::Err);
        within("an error", pool.get_with("a.test", call()))
            .await
            .unwrap_err();
        ended(0, "its dial failed");
        let held = lease(&pool, "b.test").await;
        let mut waits = Box::pin(pool.get_with("c.test", call()));
        assert!(poll_once(waits.as_mut()).await.is_none());
        let_run().await;
        drop(waits);
        ended(1, "left the line");
        let mut warms = Box::pin(pool.warm("c.test", Warm::Count(1), call()));
        assert!(poll_once(warms.as_mut()).await.is_none());
        assert_eq!(pool.stats().dialling, 1);
        drop(warms);
        assert!(seen.lock().is_empty(), "its dial goes on");
        pool.manager().pause();
        ended(1, "its dial was given up");
        drop(held);
    });
}

/// A panic ends a runtime, and with it a lease that must close: whoever waits behind it is dialled for, in vain, by the thread that unwinds, in the midst of
/// what it does for the pool.
#[test]
fn a_panic_that_ends_a_runtime_leaves_no_lock_behind() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let (told, heard) = mpsc::channel();
    let (ending, target) = (pool.clone(), name.clone());
    std::thread::spawn(move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            one_thread().block_on(async {
                let mut conn = lease(&ending, &target).await;
                conn.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
                let waits = || {
                    let (pool, target) = (ending.clone(), target.clone());
                    spawn(async move { pool.get(&*target).await.map(drop) })
                };
                // Before and behind it, and so many that some of them end after it: a runtime has several lists of its tasks, and ends one after the other.
                let before: Vec<_> = (0..16).map(|_| waits()).collect();
                let holds = spawn(async move {
                    std::future::pending::<()>().await;
                    drop(conn);
                });
                let behind: Vec<_> = (0..16).map(|_| waits()).collect();
                as_soon_as(&ending, "all wait", |stats| stats.waiting == 32).await;
                std::panic::panic_any((before, holds, behind));
            })
        }));
        let _ = told.send(ended.is_err());
    });
    assert_eq!(heard.recv_timeout(DEADLINE), Ok(true), "deadlock");
    one_thread().block_on(async {
        use_up(&mut lease(&pool, &name).await, "/").await;
        finish(pool, peer).await;
    });
}
