//! What the models stand on: pools over played connections, threads of the checker, and the state in which everything must end.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use hotpool::clock::{Clock, Moment, Sleep};
use hotpool::scripted::Stage;
use hotpool::{Error, ErrorKind, HotConn, HotConnPool, PoolConfig};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::JoinHandle;

pub(crate) use shuttle::future::block_on;
pub(crate) use shuttle::thread::yield_now;

/// Turns that whatever is under way gets to end by itself.
const PATIENCE: usize = 200;

/// Longer than any model lets pass.
pub(crate) const LONG: Duration = Duration::from_secs(24 * 3600);

/// A time that stands: no deadline ever comes, so that whoever waits waits for somebody.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Moment {
        Moment::from_nanos(1_000_000_000)
    }

    fn sleep_until(&self, _deadline: Moment) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// A pool that dials on `stage`, with the time that `clock` tells.
pub(crate) fn pool_by(stage: &Stage, clock: impl Clock, change: impl FnOnce(&mut PoolConfig)) -> HotConnPool {
    stage.pool(set_up(change), clock).unwrap()
}

/// Settings by which no deadline comes that the model does not mean.
pub(crate) fn set_up(change: impl FnOnce(&mut PoolConfig)) -> PoolConfig {
    let mut config = PoolConfig::default();
    config.acquire_timeout = LONG;
    config.connect_timeout = LONG;
    config.attempt_timeout = LONG;
    config.max_lifetime = LONG * 365;
    change(&mut config);
    config
}

/// As [`pool_by`], while time stands.
pub(crate) fn pool(stage: &Stage, change: impl FnOnce(&mut PoolConfig)) -> HotConnPool {
    pool_by(stage, Still, change)
}

/// A thread of the checker that uses `pool`.
pub(crate) fn thread(pool: &HotConnPool, act: impl FnOnce(HotConnPool) + Send + 'static) -> JoinHandle<()> {
    let pool = pool.clone();
    shuttle::thread::spawn(move || act(pool))
}

pub(crate) fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A number below `end`, the checker's choice.
pub(crate) fn any(end: u32) -> u32 {
    thread_rng().gen_range(0..end)
}

/// A connection: whoever asks must be served.
pub(crate) fn get(pool: &HotConnPool, host: &str) -> HotConn {
    block_on(pool.get(host)).unwrap()
}

/// A connection, or an error that the model brings about itself.
pub(crate) fn try_get(pool: &HotConnPool, host: &str, expected: &[ErrorKind]) -> Option<HotConn> {
    let wrong = |error: Error| assert!(expected.contains(&error.kind()), "{error:?}");
    block_on(pool.get(host)).map_err(wrong).ok()
}

/// Polls a future that often, unless it ends before, and drops it.
pub(crate) fn give_up<F: Future>(future: F, polls: u32) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
        {
            return;
        }
        yield_now(); // what it waits for may come now, unseen
    }
}

/// Waits until nothing is missing any more, as `missing` tells it.
pub(crate) fn until(mut missing: impl FnMut() -> Option<String>) {
    let mut last = None;
    for _ in 0..PATIENCE {
        last = missing();
        if last.is_none() {
            return;
        }
        yield_now();
    }
    panic!("never came to rest: {}", last.unwrap_or_default());
}

/// Waits until nobody waits and nothing is dialled: every permit is a live connection's then, and every live connection has one.
pub(crate) fn rest(pool: &HotConnPool) {
    until(|| unrest(pool));
    pool.manager().assert_invariants();
}

fn unrest(pool: &HotConnPool) -> Option<String> {
    let (ledger, orders) = pool.manager().books();
    let (stats, counts) = (pool.stats(), ledger.counts());
    let ips = stats.hosts.iter().flat_map(|host| &host.ips);
    let live_at = |at| -> u32 { ips.clone().filter(|ip| ip.ip == at).map(|ip| ip.total).sum() };
    // The addresses of a stage, from the first.
    let even = (1..=4).all(|last| {
        let ip = std::net::Ipv4Addr::new(10, 0, 0, last).into();
        ledger.used(ip) == live_at(ip)
    });
    let rests = (
        stats.dialling,
        stats.waiting,
        counts.dials,
        counts.waiting,
        orders,
    ) == (0, 0, 0, 0, 0)
        && counts.total == stats.total
        && even;
    (!rests).then(|| format!("{counts:?}, {orders} orders, {stats:?}"))
}

/// Everything has come to rest, and closes without a rest of anything.
pub(crate) fn finish(stage: &Stage, pool: &HotConnPool) {
    rest(pool);
    assert_eq!(pool.stats().leases, 0, "a lease is out that nobody has");
    closes(stage, pool);
}

/// Closes, and leaves nothing behind.
pub(crate) fn closes(stage: &Stage, pool: &HotConnPool) {
    let report = block_on(pool.close());
    assert_eq!((report.leases_left, report.tasks_left), (0, 0), "{report:?}");
    until(|| {
        let (ledger, orders) = pool.manager().books();
        let (counts, size, open) = (ledger.counts(), pool.size(), stage.open());
        let clear = (counts.total, counts.waiting, orders, size, open) == (0, 0, 0, 0, 0);
        (!clear).then(|| format!("{counts:?}, {orders} orders, {size} connections, {open} open"))
    });
    pool.manager().assert_invariants();
}
