//! Closing takes its time, and nobody else's.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use hotpool::HotConnPool;
use hotpool::clock::{ManualClock, SystemClock};
use hotpool::scripted::Stage;
use tokio::io::AsyncWriteExt;

use super::{lease, one_thread, poll_once};
use crate::common::{config, finish, host, http1_peer, pool};
use crate::support::peer::{DEADLINE, Order, To};

/// How long one connection keeps the thread that closes it.
const LONG: Duration = Duration::from_secs(3);

/// A connection that takes three seconds to close, and meanwhile a dial, a hit and an end at each of so many hosts that they cover every shard.
fn scripted() {
    let (stage, runtime) = (Stage::new(1), one_thread());
    let roomy = config(|config| (config.max_connections, config.max_per_ip) = (500, 500));
    let pool = stage.pool(roomy, SystemClock::new()).unwrap();
    let others: Vec<String> = (0..100).map(|number| format!("host{number}.test")).collect();
    runtime.block_on(async {
        drop(lease(&pool, "slow.test").await);
        for other in &others[1..] {
            drop(lease(&pool, other).await);
        }
    });
    stage.set_drops(LONG);
    let closing = {
        let pool = pool.clone();
        thread::spawn(move || pool.manager().evict_host("slow.test").unwrap())
    };
    while stage.open() == others.len() {
        thread::yield_now();
    }
    stage.set_drops(Duration::ZERO); // for the others
    let began = Instant::now();
    runtime.block_on(async {
        for other in &others {
            drop(lease(&pool, other).await);
        }
    });
    assert!(
        began.elapsed() < LONG * 2 / 3,
        "they waited for {:?}",
        began.elapsed()
    );
    assert_eq!(closing.join().unwrap(), 1);
    pool.manager().assert_invariants();
}

/// A peer that reads no more, and a send buffer that is full: there is no way to say goodbye, and nobody waits for one.
async fn over_tls() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let (deaf, other) = (host(&peer, "a.peer.test"), host(&peer, "b.peer.test"));
    let mut conn = lease(&pool, &deaf).await;
    drop(lease(&pool, &other).await);
    peer.wait_for("its side stands, too", |seen| seen.handshakes == seen.accepts)
        .await;
    peer.order(To::Conn(1), Order::Hang);
    let much = vec![0; 1 << 16];
    loop {
        let mut write = Box::pin(conn.write_all(&much));
        if poll_once(write.as_mut()).await.is_none() {
            drop(write);
            tokio::task::yield_now().await;
            if poll_once(Box::pin(conn.write_all(&much)).as_mut())
                .await
                .is_none()
            {
                break;
            }
        }
    }
    let began = Instant::now();
    conn.discard();
    assert_eq!(lease(&pool, &other).await.info().serial, 2);
    assert!(
        began.elapsed() < LONG * 2 / 3,
        "it waited for {:?}",
        began.elapsed()
    );
    peer.order(To::Conn(1), Order::Reset); // it would never read up to the end
    finish(pool, peer).await;
}

#[test]
fn slow_close_does_not_block_other_hosts() {
    one_thread().block_on(over_tls());
    scripted();
}

/// What its user keeps with a connection: dropping it says so, and then does what it is for.
struct Kept {
    dropped: mpsc::Sender<()>,
    then: Box<dyn Fn() + Send + Sync>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.dropped.send(());
        (self.then)();
    }
}

/// A pool of so many connections. The one to `a.test` rests longest, with something of its user's that does `then` when it is dropped, and as many as there
/// may be beside it.
fn full(
    connections: u32,
    then: impl Fn() + Send + Sync + 'static,
) -> (Stage, HotConnPool, mpsc::Receiver<()>) {
    let (stage, clock) = (Stage::new(1), ManualClock::new());
    let few = config(|config| config.max_connections = connections);
    let pool = stage.pool(few, clock.clone()).unwrap();
    let (dropped, heard) = mpsc::channel();
    let then: Box<dyn Fn() + Send + Sync> = Box::new(then);
    one_thread().block_on(async {
        let mut conn = lease(&pool, "a.test").await;
        conn.extensions_mut().insert(Arc::new(Kept { dropped, then }));
        drop(conn);
        for number in 1..connections {
            clock.advance(Duration::from_secs(1));
            drop(lease(&pool, &format!("more{number}.test")).await);
        }
    });
    (stage, pool, heard)
}

/// It makes room for another host, and closing it takes its time: the other dials of the pool do not wait for that.
#[test]
fn a_victim_that_is_slow_to_close_holds_up_nobody_else() {
    let (go, goes) = mpsc::channel();
    let goes = Mutex::new(goes);
    let (_stage, pool, dropped) = full(2, move || {
        let _ = goes.lock().unwrap().recv_timeout(DEADLINE);
    });
    let first = {
        let pool = pool.clone();
        thread::spawn(move || one_thread().block_on(async { drop(lease(&pool, "b.test").await) }))
    };
    dropped.recv_timeout(DEADLINE).expect("it is closed");
    one_thread().block_on(async { drop(lease(&pool, "c.test").await) });
    go.send(()).unwrap();
    first.join().unwrap();
    pool.manager().assert_invariants();
}

/// The code of its user's that runs when it closes panics: whoever it made room for goes on, and its host makes room
/// again.
#[test]
fn a_victim_whose_close_panics_holds_up_nobody_else() {
    let (_stage, pool, dropped) = full(1, || panic!("as it should"));
    let first = {
        let pool = pool.clone();
        thread::spawn(move || one_thread().block_on(async { drop(lease(&pool, "b.test").await) }))
    };
    dropped.recv_timeout(DEADLINE).expect("it is closed");
    first
        .join()
        .expect("the panic is that of the task that resolved its name");
    for host in ["a.test", "c.test", "a.test"] {
        one_thread().block_on(async { drop(lease(&pool, host).await) });
    }
    pool.manager().assert_invariants();
}
