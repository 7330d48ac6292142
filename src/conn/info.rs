//! What is known of a connection since its birth.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::H2Sent;
use crate::event::Protocol;
use crate::fingerprint::Profile;
use crate::identity::Hearer;
use crate::tls::TlsInfo;

/// What is known of a connection since its birth. None of it changes, but what [`h2`](Self::h2) tells once a request is out.
///
/// ```no_run
/// # async fn example(pool: hotpool::HotConnPool) -> Result<(), hotpool::Error> {
/// use hotpool::{H2Sent, TlsInfo};
///
/// let conn = pool.get("example.com").await?;
/// let info = conn.info();
/// println!("{} from {:?}, {:?}", info.remote, info.local, info.protocol);
/// let tls: &TlsInfo = &info.tls;
/// if let Some(prints) = &tls.prints {
///     println!("{} {}, JA4 {}, in the order of the wire {}", tls.version, tls.suite, prints.ja4(), prints.ja4_original());
/// }
/// let h2: Option<&H2Sent> = info.h2.as_ref();
/// if let Some(h2) = h2 {
///     println!("{:?}, {} requests unlike it", h2.akamai().map(|text| text.to_string()), h2.unshaped_requests());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnInfo {
    /// A number of its own among all connections that its pool ever made, from 1.
    pub serial: u64,
    /// The target it was made for: `host` or `host:port`.
    pub target: Arc<str>,
    /// The peer's address; the proxy's, where the pool has one. What a [`Dial`](crate::Dial) was asked for, where one was.
    pub remote: SocketAddr,
    /// Its own address; none if it goes by a [`Dial`](crate::Dial) that told none.
    pub local: Option<SocketAddr>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whom it looks like. None where that is nobody, and where it fell back from its profile.
    pub profile: Option<Profile>,
    /// What TLS agreed on.
    pub tls: TlsInfo,
    /// How it opened HTTP/2, where its profile has a spec of that.
    pub h2: Option<H2Sent>,
    /// How long TCP, or the dialer, took to connect.
    pub connect_time: Duration,
    /// How long the proxy took to open the tunnel, where the pool has one.
    pub tunnel_time: Option<Duration>,
    /// Where that tunnel ends, if the proxy was handed an address and not a name.
    pub tunnel_end: Option<IpAddr>,
    /// How long the TLS handshake took.
    pub tls_time: Duration,
    /// For whom it was made.
    pub(crate) hearer: Hearer,
    /// Whether it goes there otherwise than the pool does: what becomes of it says nothing to those who go as the pool does.
    pub(crate) detour: bool,
}
