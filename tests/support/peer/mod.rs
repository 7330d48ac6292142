//! A scripted TLS server on loopback addresses that share one port, which counts what it sees.
//!
//! It lives on a thread and a runtime of its own: a test's runtime counts none of its tasks, a blocked test does not
//! block it, and starting and dropping it need no runtime. Dropping a [`Peer`] closes every socket it has.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::{RootCertStore, SupportedProtocolVersion};
use tokio::sync::watch;

use super::black_hole::BlackHole;
use super::certs::{self, Leaf};

mod board;
mod counts;
mod h1;
mod h2;
mod life;
mod listen;
mod routes;
mod script;
pub mod sockets;
mod tap;
mod tls;
mod wire;

use board::Board;
pub use board::Seen;
pub use counts::{Counts, Snapshot};
use listen::Doors;
pub use routes::filler;
use script::Script;
pub use script::{Act, Order, To, go_away};

/// How long [`Peer::wait_for`] waits before it fails the test.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What the peer answers a client's ALPN offer with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2 if offered, else HTTP/1.1.
    #[default]
    Both,
    /// HTTP/1.1 alone; a client that offers only others fails its handshake.
    Http1,
    /// HTTP/2 alone; a client that offers only others fails its handshake.
    Http2,
    /// No ALPN at all, and HTTP/1.1 spoken.
    None,
}

/// How a peer is to be. Everything has a default: one address, a good certificate, both protocols.
pub struct Builder {
    ips: usize,
    leaf: Leaf,
    tls: tls::Options,
    h2: h2::Options,
    record: bool,
}

impl Builder {
    /// On how many addresses it listens: 127.0.0.1, 127.0.0.2, ... all at one port.
    pub fn ips(mut self, count: usize) -> Self {
        self.ips = count;
        self
    }

    /// The certificate it shows; [`certs::good`] unless said.
    pub fn certificate(mut self, leaf: Leaf) -> Self {
        self.leaf = leaf;
        self
    }

    /// The protocols it agrees to.
    pub fn alpn(mut self, alpn: Alpn) -> Self {
        self.tls.alpn = alpn;
        self
    }

    /// The TLS versions it speaks; rustls's default set unless said.
    pub fn versions(mut self, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        self.tls.versions = versions;
        self
    }

    /// How many TLS 1.3 tickets it sends after a handshake (2 unless said). 0 turns resumption off.
    pub fn tickets(mut self, count: usize) -> Self {
        self.tls.tickets = count;
        self
    }

    /// Asks every client for a certificate that one of `roots` signed.
    pub fn client_auth(mut self, roots: RootCertStore) -> Self {
        self.tls.client_roots = Some(Arc::new(roots));
        self
    }

    /// The MAX_CONCURRENT_STREAMS of its HTTP/2 SETTINGS; not sent unless said.
    pub fn max_streams(mut self, count: u32) -> Self {
        self.h2.max_streams = Some(count);
        self
    }

    /// The receive windows of its HTTP/2 side, in bytes: one stream's, and the connection's.
    pub fn windows(mut self, stream: u32, connection: u32) -> Self {
        self.h2.windows = Some((stream, connection));
        self
    }

    /// Keeps the bytes of every ClientHello and the first decrypted bytes of every connection (see [`Seen`]).
    pub fn record_bytes(mut self) -> Self {
        self.record = true;
        self
    }

    /// Starts it: when this returns, it listens.
    pub fn start(self) -> Peer {
        let script = Arc::new(Script::new(tls::Maker::new(self.tls), &self.leaf));
        let ips: Vec<IpAddr> = (0..self.ips).map(ip).collect();
        let board = Arc::new(Board::new(&ips, self.record));
        let sockets = sockets::listen_all(&ips);
        let port = sockets::local(&sockets[0]).port();
        let (stop, stopped) = watch::channel(());
        let shop = life::Shop {
            board: board.clone(),
            script: script.clone(),
            h2: self.h2,
        };
        let (doors, thread) = listen::open(&ips, sockets, shop, stopped);
        Peer {
            ips,
            port,
            board,
            script,
            doors,
            holes: Mutex::default(),
            stop,
            thread: Some(thread),
        }
    }
}

/// A running peer. See the module.
pub struct Peer {
    ips: Vec<IpAddr>,
    port: u16,
    board: Arc<Board>,
    script: Arc<Script>,
    doors: Doors,
    holes: Mutex<BTreeMap<IpAddr, BlackHole>>,
    stop: watch::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// The loopback address with the given index: 0 is 127.0.0.1.
pub fn ip(index: usize) -> IpAddr {
    let last = u8::try_from(index + 1).expect("fewer than 255 addresses");
    Ipv4Addr::new(127, 0, 0, last).into()
}

impl Peer {
    /// A peer with every default.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Says first how the peer is to be.
    pub fn builder() -> Builder {
        Builder {
            ips: 1,
            leaf: certs::good(),
            tls: tls::Options::default(),
            h2: h2::Options::default(),
            record: false,
        }
    }

    /// The port, the same on each address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its addresses, in order.
    pub fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    /// The socket address of the address with the given index.
    pub fn addr(&self, index: usize) -> SocketAddr {
        SocketAddr::new(self.ips[index], self.port)
    }

    /// What has been counted up to now.
    pub fn seen(&self) -> Snapshot {
        self.board.snapshot()
    }

    /// Each connection accepted up to now, in order of [`Seen::serial`]; beyond 4,096 the oldest dead are forgotten.
    pub fn connections(&self) -> Vec<Seen> {
        self.board.connections()
    }

    /// Forgets the connections that have ended, for a test that measures memory.
    pub fn forget_the_ended(&self) {
        self.board.forget_the_ended();
    }

    /// Waits until the counters satisfy `done` and returns them. Fails the test, naming `what` and showing the
    /// counters, when [`DEADLINE`] passes first. Cancel safe.
    pub async fn wait_for(&self, what: &str, done: impl FnMut(&Snapshot) -> bool) -> Snapshot {
        self.wait_within(DEADLINE, what, done).await
    }

    /// [`Peer::wait_for`] with a deadline of one's own.
    pub async fn wait_within(
        &self,
        deadline: Duration,
        what: &str,
        done: impl FnMut(&Snapshot) -> bool,
    ) -> Snapshot {
        self.board.wait(deadline, what, done).await
    }

    /// What the next `count` connections meet, after those already planned.
    pub fn next(&self, to: To, count: usize, act: Act) {
        self.script.plan(&self.board.pick_ips(to), count, &act);
    }

    /// What every connection meets from now on that [`Peer::next`] has no plan for. [`Act::Serve`] is the default.
    pub fn always(&self, to: To, act: Act) {
        self.script.always(&self.board.pick_ips(to), &act);
    }

    /// Tells live connections to do something now; returns how many were told.
    pub fn order(&self, to: To, order: Order) -> usize {
        self.board.order(to, &order)
    }

    /// Every answer from now on waits this long first.
    pub fn delay(&self, to: To, delay: Duration) {
        self.script.delay(&self.board.pick_ips(to), delay);
    }

    /// Requests are read and counted, and no answer begins until [`Peer::release`].
    pub fn hold(&self, to: To) {
        self.script.hold(&self.board.pick_ips(to), true);
    }

    /// Ends [`Peer::hold`].
    pub fn release(&self, to: To) {
        self.script.hold(&self.board.pick_ips(to), false);
    }

    /// The certificate that new connections see. Sessions made before are not resumed under it.
    pub fn switch_certificate(&self, to: To, leaf: &Leaf) {
        self.script.switch(&self.board.pick_ips(to), leaf);
    }

    /// Closes the listener, so that a connect is refused at once; the port stays taken. Live connections live on.
    /// When this returns, it is so.
    pub async fn refuse(&self, to: To) {
        self.close_holes(to);
        self.doors.set(&self.board.pick_ips(to), false).await;
    }

    /// Drops every SYN, so that a connect hangs. Live connections live on. When this returns, it is so.
    pub async fn black_hole(&self, to: To) {
        self.refuse(to).await;
        for ip in self.board.pick_ips(to) {
            let hole = BlackHole::open_at(SocketAddr::new(ip, self.port)).await;
            self.holes.lock().insert(ip, hole);
        }
    }

    /// Listens again, at the same port. When this returns, it is so.
    pub async fn listen(&self, to: To) {
        self.close_holes(to);
        self.doors.set(&self.board.pick_ips(to), true).await;
    }

    /// Ends every task and closes every socket, then returns the last counters. Fails the test if a connection
    /// outlived that.
    pub async fn shutdown(mut self) -> Snapshot {
        self.stop.send_replace(());
        self.doors.ended().await;
        self.join();
        let last = self.board.snapshot();
        assert_eq!(last.live, 0, "a connection outlived its peer: {last:?}");
        last
    }

    fn close_holes(&self, to: To) {
        let mut holes = self.holes.lock();
        for ip in self.board.pick_ips(to) {
            holes.remove(&ip);
        }
    }

    fn join(&mut self) {
        self.stop.send_replace(());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the peer's thread panicked"
            );
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.join();
    }
}
