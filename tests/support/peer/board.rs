//! What a peer has seen: a record of each connection, and the board where they and the counters hang.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::server::ServerConnection;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::sync::{mpsc, watch};

use super::counts::{Counts, Snapshot};
use super::script::{Order, To};

/// How many dead connections are remembered.
const REMEMBERED: usize = 4096;

/// One connection, as the peer saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its number, from 1 in order of accepting; answers carry it as `x-conn`.
    pub serial: u64,
    /// The peer's address that it came to.
    pub ip: IpAddr,
    /// Where it came from.
    pub from: SocketAddr,
    /// The server name that its ClientHello asked for.
    pub sni: Option<String>,
    /// The protocols that its ClientHello offered.
    pub offered: Vec<Vec<u8>>,
    /// The protocol agreed on, once the handshake was over.
    pub alpn: Option<Vec<u8>>,
    /// The TLS version agreed on.
    pub version: Option<ProtocolVersion>,
    /// Whether the handshake resumed a session.
    pub resumed: bool,
    /// The client's certificate chain, if it showed one.
    pub client_chain: Vec<Vec<u8>>,
    /// Requests read on it.
    pub requests: u64,
    /// The path of the first of them: whom the connection belongs to from then on, to tests that say so in it.
    pub first_path: Option<String>,
    /// Whether the peer still holds its socket.
    pub live: bool,
    /// Whether the client's close_notify arrived.
    pub close_notify: bool,
    /// Whether the client's FIN arrived.
    pub fin: bool,
    /// Whether the client's RST arrived.
    pub reset: bool,
    /// The bytes on the wire up to the end of the ClientHello, if the peer records bytes.
    pub hello: Vec<u8>,
    /// The first decrypted bytes (16 KiB at most), if the peer records bytes.
    pub first_bytes: Vec<u8>,
}

struct Entry {
    seen: Seen,
    orders: mpsc::UnboundedSender<Order>,
}

/// The counters and records of a whole peer.
pub(super) struct Board {
    ips: Vec<IpAddr>,
    record: bool,
    serial: AtomicU64,
    counts: watch::Sender<Snapshot>,
    entries: Mutex<BTreeMap<u64, Entry>>,
}

impl Board {
    pub(super) fn new(ips: &[IpAddr], record: bool) -> Self {
        Self {
            ips: ips.to_vec(),
            record,
            serial: AtomicU64::new(0),
            counts: watch::Sender::default(),
            entries: Mutex::default(),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.counts.borrow().clone()
    }

    pub(super) fn connections(&self) -> Vec<Seen> {
        self.entries
            .lock()
            .values()
            .map(|entry| entry.seen.clone())
            .collect()
    }

    /// Drops the records of connections that have ended.
    pub(super) fn forget_the_ended(&self) {
        self.entries.lock().retain(|_, entry| entry.seen.live);
    }

    pub(super) fn pick_ips(&self, to: To) -> Vec<IpAddr> {
        match to {
            To::All => self.ips.clone(),
            To::Ip(ip) if self.ips.contains(&ip) => vec![ip],
            To::Ip(ip) => panic!("this peer has no address {ip}"),
            To::Conn(_) => panic!("this command is for addresses, not for one connection"),
        }
    }

    pub(super) fn order(&self, to: To, order: &Order) -> usize {
        let entries = self.entries.lock();
        let meant = entries.values().filter(|entry| match to {
            To::All => true,
            To::Ip(ip) => entry.seen.ip == ip,
            To::Conn(serial) => entry.seen.serial == serial,
        });
        meant
            .filter(|entry| entry.seen.live && entry.orders.send(order.clone()).is_ok())
            .count()
    }

    pub(super) async fn wait(
        &self,
        deadline: Duration,
        what: &str,
        mut done: impl FnMut(&Snapshot) -> bool,
    ) -> Snapshot {
        let mut counts = self.counts.subscribe();
        let waited = tokio::time::timeout(deadline, counts.wait_for(|counts| done(counts))).await;
        match waited {
            Ok(Ok(counts)) => counts.clone(),
            Ok(Err(_)) => unreachable!("the board holds the sender"),
            Err(_) => panic!(
                "the peer did not see \"{what}\" within {deadline:?}: {:#?}",
                self.snapshot()
            ),
        }
    }

    /// Counts a connection just accepted. Its [`Conn`] must outlive its socket.
    pub(super) fn accepted(
        self: &Arc<Self>,
        ip: IpAddr,
        from: SocketAddr,
    ) -> (Conn, mpsc::UnboundedReceiver<Order>) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        self.entries.lock().insert(
            serial,
            Entry {
                seen: Seen::new(serial, ip, from),
                orders,
            },
        );
        let conn = Conn {
            board: self.clone(),
            serial,
            ip,
        };
        conn.count(|counts| {
            counts.accepts += 1;
            counts.live += 1;
        });
        (conn, receiver)
    }

    fn forget_surplus(entries: &mut BTreeMap<u64, Entry>) {
        if entries.len() > REMEMBERED {
            let oldest = entries
                .iter()
                .find(|(_, entry)| !entry.seen.live)
                .map(|(serial, _)| *serial);
            oldest.and_then(|serial| entries.remove(&serial));
        }
    }
}

impl Seen {
    fn new(serial: u64, ip: IpAddr, from: SocketAddr) -> Self {
        Self {
            serial,
            ip,
            from,
            sni: None,
            offered: Vec::new(),
            alpn: None,
            version: None,
            resumed: false,
            client_chain: Vec::new(),
            requests: 0,
            first_path: None,
            live: true,
            close_notify: false,
            fin: false,
            reset: false,
            hello: Vec::new(),
            first_bytes: Vec::new(),
        }
    }
}

/// The pen of one connection. Dropping it says that the connection's socket is closed.
pub(super) struct Conn {
    board: Arc<Board>,
    pub(super) serial: u64,
    pub(super) ip: IpAddr,
}

impl Conn {
    pub(super) fn records_bytes(&self) -> bool {
        self.board.record
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        let mut entries = self.board.entries.lock();
        let entry = entries
            .get_mut(&self.serial)
            .expect("a live connection is not forgotten");
        look(&mut entry.seen)
    }

    pub(super) fn count(&self, change: impl Fn(&mut Counts)) {
        self.board
            .counts
            .send_modify(|snapshot| snapshot.change(self.ip, change));
    }

    pub(super) fn hello(&self, sni: Option<String>, offered: Vec<Vec<u8>>, bytes: Vec<u8>) {
        self.seen(|seen| (seen.sni, seen.offered, seen.hello) = (sni, offered, bytes));
        self.count(|counts| counts.hellos += 1);
    }

    pub(super) fn handshake(&self, tls: &ServerConnection) {
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        self.seen(|seen| {
            seen.alpn = tls.alpn_protocol().map(<[u8]>::to_vec);
            seen.version = tls.protocol_version();
            seen.resumed = resumed;
            seen.client_chain = tls
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|der| der.to_vec())
                .collect();
        });
        self.count(|counts| {
            counts.handshakes += 1;
            counts.resumed += u64::from(resumed);
        });
    }

    /// Counts a request for `path`; the answer is its number on this connection, from 1.
    pub(super) fn request(&self, path: &str, which: impl Fn(&mut Counts) -> &mut u64) -> u64 {
        let nth = self.seen(|seen| {
            seen.first_path.get_or_insert_with(|| path.to_owned());
            seen.requests += 1;
            seen.requests
        });
        self.count(|counts| *which(counts) += 1);
        nth
    }

    pub(super) fn close_notify(&self) {
        if !self.seen(|seen| std::mem::replace(&mut seen.close_notify, true)) {
            self.count(|counts| counts.close_notifies += 1);
        }
    }

    /// Notes a read of no bytes: a FIN, unless an RST came before. The kernel reports an RST once, and then an end.
    pub(super) fn fin(&self) {
        if !self.seen(|seen| seen.reset || std::mem::replace(&mut seen.fin, true)) {
            self.count(|counts| counts.fins += 1);
        }
    }

    pub(super) fn reset(&self) {
        if !self.seen(|seen| std::mem::replace(&mut seen.reset, true)) {
            self.count(|counts| counts.resets += 1);
        }
    }

    /// Whether the client's side has ended at the level of TCP.
    pub(super) fn is_gone(&self) -> bool {
        self.seen(|seen| seen.fin || seen.reset)
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.seen(|seen| seen.live = false);
        Board::forget_surplus(&mut self.board.entries.lock());
        self.count(|counts| counts.live -= 1);
    }
}
