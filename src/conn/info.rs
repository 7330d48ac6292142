//! What is known of a connection since its birth.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Protocol;
use crate::tls::TlsInfo;

/// What is known of a connection since its birth. None of it changes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnInfo {
    /// A number of its own among all connections that its pool ever made, from 1.
    pub serial: u64,
    /// The target it was made for: `host` or `host:port`.
    pub target: Arc<str>,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Its own address.
    pub local: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// What TLS agreed on.
    pub tls: TlsInfo,
    /// How long TCP took to connect.
    pub connect_time: Duration,
    /// How long the TLS handshake took.
    pub tls_time: Duration,
}
