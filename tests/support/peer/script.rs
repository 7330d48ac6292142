//! What a peer is told to do: to the next connections, to the live ones, to answers.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::sync::watch;

use super::super::certs::Leaf;
use super::tls::Maker;

/// Whom a command is for.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// Every address, every connection.
    All,
    /// One address, and the connections to it.
    Ip(IpAddr),
    /// One connection, by the serial number that its answers carry as `x-conn`. For orders only.
    Conn(u64),
}

/// What a new connection meets.
///
/// The kernel completes the TCP handshake before a server hears of it: a connect succeeds under every act. Only
/// [`super::Peer::refuse`] and a black hole make a connect itself fail.
#[derive(Clone, Debug)]
pub enum Act {
    /// TLS, then HTTP.
    Serve,
    /// RST as soon as it is accepted.
    ResetOnAccept,
    /// RST once the ClientHello has been read.
    ResetAfterHello,
    /// These bytes for an answer to the ClientHello, as they are, and then FIN.
    Garbage(Bytes),
    /// Never reads a byte.
    StallOnAccept,
    /// Reads the ClientHello and never answers it.
    StallAfterHello,
    /// Completes the handshake, and reads and writes nothing more.
    StallAfterHandshake,
    /// Completes the handshake, then close_notify and FIN.
    CloseAfterHandshake,
}

/// What a live connection does now. What takes TLS waits until that stands.
#[derive(Clone, Debug)]
pub enum Order {
    /// close_notify and FIN; reads on until the client closes, so the connection stays `live` until then.
    Close,
    /// close_notify alone; TCP stays open.
    CloseNotify,
    /// FIN without close_notify: a truncation, to TLS. Reads on until the client closes.
    HalfClose,
    /// RST.
    Reset,
    /// Reads and writes nothing more; `Reset`, `Send`, `Close` and the like still work.
    Hang,
    /// Reads and answers again after `Hang`.
    Resume,
    /// Sends these as application bytes, never inside a frame of HTTP/2: stray bytes to HTTP/1.1, and any
    /// frame (see [`go_away`]) to HTTP/2. The peer's own HTTP/2 side knows nothing of it and serves on.
    Send(Bytes),
}

/// A GOAWAY frame (RFC 9113, 6.8) for [`Order::Send`]. A graceful server sends `go_away(0x7fff_ffff, 0)`, and later
/// one with the true last stream.
pub fn go_away(last_stream: u32, error: u32) -> Order {
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last_stream.to_be_bytes());
    frame.extend_from_slice(&error.to_be_bytes());
    Order::Send(frame.into())
}

/// How answers go: not before `held` is false, and `delay` after that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) held: bool,
    pub(super) delay: Duration,
}

struct Page {
    next: VecDeque<Act>,
    always: Act,
    tls: Arc<ServerConfig>,
    pace: watch::Sender<Pace>,
}

/// The commands of a whole peer, by address.
pub(super) struct Script {
    maker: Maker,
    first: Arc<ServerConfig>,
    pages: Mutex<BTreeMap<IpAddr, Page>>,
}

impl Script {
    pub(super) fn new(maker: Maker, leaf: &Leaf) -> Self {
        let first = maker.make(leaf);
        Self {
            maker,
            first,
            pages: Mutex::default(),
        }
    }

    /// What the connection just accepted on `ip` meets.
    pub(super) fn take_act(&self, ip: IpAddr) -> Act {
        self.with(ip, |page| {
            page.next.pop_front().unwrap_or_else(|| page.always.clone())
        })
    }

    pub(super) fn tls(&self, ip: IpAddr) -> Arc<ServerConfig> {
        self.with(ip, |page| page.tls.clone())
    }

    pub(super) fn pace(&self, ip: IpAddr) -> watch::Receiver<Pace> {
        self.with(ip, |page| page.pace.subscribe())
    }

    pub(super) fn plan(&self, ips: &[IpAddr], count: usize, act: &Act) {
        self.each(ips, |page| {
            page.next.extend(std::iter::repeat_n(act.clone(), count))
        });
    }

    pub(super) fn always(&self, ips: &[IpAddr], act: &Act) {
        self.each(ips, |page| page.always = act.clone());
    }

    pub(super) fn delay(&self, ips: &[IpAddr], delay: Duration) {
        self.each(ips, |page| page.pace.send_modify(|pace| pace.delay = delay));
    }

    pub(super) fn hold(&self, ips: &[IpAddr], held: bool) {
        self.each(ips, |page| page.pace.send_modify(|pace| pace.held = held));
    }

    pub(super) fn switch(&self, ips: &[IpAddr], leaf: &Leaf) {
        let tls = self.maker.make(leaf);
        self.each(ips, |page| page.tls = tls.clone());
    }

    fn each(&self, ips: &[IpAddr], mut change: impl FnMut(&mut Page)) {
        for ip in ips {
            self.with(*ip, &mut change);
        }
    }

    fn with<T>(&self, ip: IpAddr, look: impl FnOnce(&mut Page) -> T) -> T {
        let mut pages = self.pages.lock();
        look(pages.entry(ip).or_insert_with(|| Page {
            next: VecDeque::new(),
            always: Act::Serve,
            tls: self.first.clone(),
            pace: watch::Sender::new(Pace::default()),
        }))
    }
}
