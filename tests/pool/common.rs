//! What every promise is tested with: pools that know a peer, exchanges over their connections, and the end of a test.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use hotpool::clock::ManualClock;
use hotpool::{
    Builder, Error, ErrorKind, HotConn, HotConnPool, Phase, PoolConfig, Protocol, StaticResolver, Stats,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::certs;
use crate::support::measure;
use crate::support::peer::{Alpn, DEADLINE, Peer};

/// The names that resolve to all of a peer's addresses. Its certificate covers each.
const HOSTS: [&str; 6] = [
    "peer.test",
    "a.peer.test",
    "b.peer.test",
    "c.peer.test",
    "d.peer.test",
    "e.peer.test",
];

/// `peer.test` at the peer's port.
pub(crate) fn name(peer: &Peer) -> String {
    host(peer, "peer.test")
}

/// `host` at the peer's port.
pub(crate) fn host(peer: &Peer, host: &str) -> String {
    format!("{host}:{}", peer.port())
}

/// A peer on one address that speaks HTTP/1.1 alone.
pub(crate) fn http1_peer() -> Peer {
    Peer::builder().alpn(Alpn::Http1).start()
}

/// The defaults, changed.
pub(crate) fn config(change: impl FnOnce(&mut PoolConfig)) -> PoolConfig {
    let mut config = PoolConfig::default();
    change(&mut config);
    config
}

/// Knows where the peer's names are.
pub(crate) fn resolver(peer: &Peer) -> StaticResolver {
    HOSTS.iter().fold(StaticResolver::new(), |resolver, known| {
        let target = host(peer, known);
        resolver
            .with(target.as_str(), peer.ips().iter().copied())
            .unwrap()
    })
}

/// A builder that trusts the test authority and knows where the peer's names are.
pub(crate) fn builder(peer: &Peer, change: impl FnOnce(&mut PoolConfig)) -> Builder {
    HotConnPool::builder()
        .config(config(change))
        .roots(certs::authority().roots())
        .resolver(resolver(peer))
}

/// A pool that trusts the test authority and knows where the peer's names are.
pub(crate) fn pool(peer: &Peer, change: impl FnOnce(&mut PoolConfig)) -> HotConnPool {
    builder(peer, change).build().unwrap()
}

/// As [`pool`], and its time moves only when told to.
pub(crate) fn manual_pool(peer: &Peer, change: impl FnOnce(&mut PoolConfig)) -> (HotConnPool, ManualClock) {
    let clock = ManualClock::new();
    let pool = builder(peer, change).clock(clock.clone()).build().unwrap();
    (pool, clock)
}

/// What the peer answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The peer's number of the connection.
    pub(crate) conn: u64,
    /// Which request of that connection it answered, from 1.
    pub(crate) nth: u64,
    pub(crate) body: Vec<u8>,
}

/// One exchange, read to its end.
pub(crate) async fn exchange(conn: &mut HotConn, path: &str) -> io::Result<Answer> {
    match conn.protocol() {
        Protocol::Http2 => http2_exchange(conn, path).await,
        _ => http1_exchange(conn, path).await,
    }
}

/// One exchange that must succeed.
pub(crate) async fn use_up(conn: &mut HotConn, path: &str) -> Answer {
    within("an exchange", exchange(conn, path)).await.unwrap()
}

/// Gets a connection, makes one exchange and lets it go home.
pub(crate) async fn round(pool: &HotConnPool, name: &str) -> Answer {
    let mut conn = within("a connection", pool.get(name)).await.unwrap();
    use_up(&mut conn, "/").await
}

async fn http1_exchange(conn: &mut HotConn, path: &str) -> io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: peer.test\r\n\r\n");
    conn.write_all(request.as_bytes()).await?;
    conn.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(conn.read_u8().await?);
    }
    let head = String::from_utf8(head).expect("an ASCII head");
    let header = |wanted: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.and_then(|(_, value)| value.parse().ok()).expect("a number")
    };
    let mut body = vec![0; usize::try_from(header("content-length")).unwrap()];
    conn.read_exact(&mut body).await?;
    Ok(Answer {
        status: head[9..12].parse().unwrap(),
        conn: header("x-conn"),
        nth: header("x-nth"),
        body,
    })
}

async fn http2_exchange(conn: &mut HotConn, path: &str) -> io::Result<Answer> {
    let request = http::Request::get(format!("https://peer.test{path}"))
        .body(())
        .unwrap();
    let (response, _) = conn.h2()?.send_request(request, true).await?;
    let (head, mut stream) = response.await.map_err(io::Error::other)?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(io::Error::other)?;
        body.extend_from_slice(&piece);
        let released = stream.flow_control().release_capacity(piece.len());
        released.map_err(io::Error::other)?;
    }
    let header = |name: &str| head.headers[name].to_str().unwrap().parse().unwrap();
    Ok(Answer {
        status: head.status.as_u16(),
        conn: header("x-conn"),
        nth: header("x-nth"),
        body,
    })
}

/// Fails the test, naming `what`, if it takes longer than anything here may.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took longer than {DEADLINE:?}"),
    }
}

/// Runs `future` as a task of the test.
pub(crate) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(future)
}

/// Polls `future` up to `times` times and lets everything else run in between. None if it was not ready by then; it is dropped.
pub(crate) async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Lets every task that is ready run, a few times over: for what must *not* happen.
pub(crate) async fn let_run() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Waits until the pool's own figures satisfy `holds`, and returns them.
pub(crate) async fn until(pool: &HotConnPool, what: &str, mut holds: impl FnMut(&Stats) -> bool) -> Stats {
    measure::eventually(DEADLINE, what, || holds(&pool.stats())).await;
    pool.stats()
}

/// Nobody waits, nothing is dialled, nothing is leased; and every count agrees.
pub(crate) async fn at_rest(pool: &HotConnPool) {
    let quiet = |stats: &Stats| (stats.waiting, stats.dialling, stats.leases) == (0, 0, 0);
    until(pool, "nothing waits, is dialled or leased", quiet).await;
    pool.manager().assert_invariants();
}

/// The end of a test: at rest, closed, and not a connection left at the peer.
pub(crate) async fn finish(pool: HotConnPool, peer: Peer) {
    at_rest(&pool).await;
    let report = within("close", pool.close()).await;
    assert_eq!(report.leases_left, 0);
    assert_eq!(pool.size(), 0);
    pool.manager().assert_invariants();
    peer.wait_for("every connection closed", |seen| seen.live == 0)
        .await;
    peer.shutdown().await;
}

/// A generator of one's own: the same numbers for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // xorshift64* (Vigna 2014)
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// The error of a get that must fail; it names its target.
pub(crate) async fn failure(pool: &HotConnPool, name: &str) -> Error {
    let error = within("the error", pool.get(name)).await.unwrap_err();
    assert_eq!(error.target(), Some(name), "{error:?}");
    error
}

/// The kind of an error, and where it happened.
pub(crate) fn assert_kind(error: &Error, kind: ErrorKind, phase: Phase) {
    assert_eq!((error.kind(), error.phase()), (kind, phase), "{error:?}");
}
