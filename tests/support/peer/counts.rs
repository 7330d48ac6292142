//! The counters of a peer, by address and summed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;

/// What happened at one address, or at all of them. Each counts from the peer's start; `live` is a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// TCP connections accepted.
    pub accepts: u64,
    /// Connections whose socket the peer still holds open.
    pub live: u64,
    /// ClientHellos read in full: a connection without one never began TLS.
    pub hellos: u64,
    /// TLS handshakes completed.
    pub handshakes: u64,
    /// TLS handshakes that ended in an error after a ClientHello, of whichever side; not those the script cut.
    pub handshakes_failed: u64,
    /// Completed handshakes that resumed a session.
    pub resumed: u64,
    /// Request heads read as HTTP/1.1.
    pub http1_requests: u64,
    /// Request heads read as HTTP/2.
    pub http2_requests: u64,
    /// HTTP/2 streams that the client reset before their answer was written.
    pub stream_resets: u64,
    /// Connections on which the client's close_notify arrived.
    pub close_notifies: u64,
    /// Connections on which the client's FIN arrived.
    pub fins: u64,
    /// Connections on which the client's RST arrived. A client's kernel sends one too when a socket is closed
    /// with unread bytes in it, such as TLS tickets that nobody read.
    pub resets: u64,
}

impl Counts {
    /// Requests of both protocols.
    pub fn requests(&self) -> u64 {
        self.http1_requests + self.http2_requests
    }
}

/// The counters at one instant. Reads as the sum over all addresses (`seen.accepts`); [`Snapshot::at`] has one's.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    sum: Counts,
    by_ip: BTreeMap<IpAddr, Counts>,
}

impl Snapshot {
    /// The counters of one address.
    pub fn at(&self, ip: IpAddr) -> Counts {
        self.by_ip.get(&ip).copied().unwrap_or_default()
    }

    /// Changes the counters of one address, and the sum with them.
    pub(super) fn change(&mut self, ip: IpAddr, change: impl Fn(&mut Counts)) {
        change(&mut self.sum);
        change(self.by_ip.entry(ip).or_default());
    }
}

impl Deref for Snapshot {
    type Target = Counts;

    fn deref(&self) -> &Counts {
        &self.sum
    }
}
