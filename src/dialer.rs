//! How the byte stream below a connection comes to be, where that is not the pool's own TCP: through a proxy of another kind, a Unix socket, a virtual machine's
//! socket, TLS in TLS.
//!
//! A [`Dial`] is set for a pool ([`Builder::dial`](crate::Builder::dial)) or a call ([`GetOptions::dial`](crate::GetOptions::dial)), and is part of the
//! identity: who asks for another never rides on a connection that this one made, and a clone of the same `Arc` is the same.
//!
//! It takes the place of TCP, and of nothing else. The pool resolves names, races their addresses, asks the dialer once for each attempt, and speaks TLS
//! over what it gives, verified as ever. Limits, permits, penalties, deadlines, [`ConnInfo::remote`](crate::ConnInfo::remote) and every count by IP go by the
//! address that the dialer was asked for, wherever its stream leads in truth. But an address answers for one way to it alone, the
//! pool's own: see [`GetOptions::dial`](crate::GetOptions::dial). [`AddressPolicy`](crate::AddressPolicy) and the owner's blocks judge that address,
//! too. A pool whose names mean nothing here has a [`Resolve`](crate::Resolve) that gives each an address of its own choosing.
//!
//! Where the pool has a [proxy](crate::proxy), it is the proxy that is dialled so: its name and address are asked for, and the tunnel is opened over the
//! stream that comes. A proxy that is spoken to over TLS (`https://`) is that:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use hotpool::rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
//! use hotpool::{Dial, DialError, DialTo, Dialing, HotConnPool, Proxy, ProxyProtocol, Transport};
//!
//! /// TCP as the pool does it, from its sources and with its options, and TLS on top.
//! struct OverTls(tokio_rustls::TlsConnector);
//!
//! impl Dial for OverTls {
//!     fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
//!         Box::pin(async move {
//!             let tcp = to.connect().await?;
//!             let name = ServerName::try_from(to.host().to_owned()).map_err(DialError::nobody)?;
//!             // It is the address itself that TLS is spoken to here.
//!             let tls = self.0.connect(name, tcp).await.map_err(DialError::address)?;
//!             Ok(Transport::new(tls))
//!         })
//!     }
//! }
//!
//! let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
//! let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
//! let pool = HotConnPool::builder()
//!     .proxy(Proxy::new(ProxyProtocol::Http, "proxy.example:443")?)
//!     .dial(OverTls(Arc::new(config).into()))
//!     .build()?;
//! # let _ = pool;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use self::error::DialError;
use crate::error::Error;
use crate::target::Target;
use crate::transport::{Fence, Transport};

/// Makes byte streams.
///
/// ```
/// # #[cfg(unix)] {
/// use hotpool::{Dial, DialTo, Dialing, HotConnPool, Transport};
/// use tokio::io::AsyncWriteExt;
/// use tokio::net::UnixStream;
///
/// /// A relay at a Unix socket: it is told where to go in one line, and leads there.
/// struct Relay(std::path::PathBuf);
///
/// impl Dial for Relay {
///     fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
///         Box::pin(async move {
///             // A relay that is down is no fault of the address: an `io::Error` blames nobody.
///             let mut stream = UnixStream::connect(&self.0).await?;
///             stream.write_all(format!("{}\n", to.addr()).as_bytes()).await?;
///             Ok(Transport::new(stream))
///         })
///     }
/// }
///
/// let pool = HotConnPool::builder().dial(Relay("/run/relay.sock".into())).build()?;
/// # let _ = pool;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Dial: Send + Sync + 'static {
    /// A stream to `to`. Called in the pool's runtime, for each address that is tried, several at a time where they race.
    ///
    /// It has what is left of [`attempt_timeout`](crate::PoolConfig::attempt_timeout). When that is over the address is to blame only if
    /// [`DialTo::connect`] has yet to answer: what else it waits for is its own. The future may be dropped at any await: what it had opened should close then. It
    /// must not block. If it panics, that is an error like another, and blames nobody.
    ///
    /// # Errors
    /// They say themselves whom they blame. They come to the caller as [`ErrorKind::Dial`](crate::ErrorKind::Dial) in
    /// [`Phase::Connect`](crate::Phase::Connect), with the [`DialError`] as their [`cause`](crate::Error::cause). One that takes too long is an
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) there.
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a>;
}

/// What a [`Dial`] answers with.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Transport, DialError>> + Send + 'a>>;

/// Where a stream is to go.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use std::time::Duration;
///
/// use hotpool::{Dial, DialError, DialTo, Dialing, Transport};
/// use tokio::io::AsyncWriteExt;
///
/// /// A relay that takes port 443 alone, and is slow.
/// struct Relay(SocketAddr);
///
/// impl Dial for Relay {
///     fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
///         Box::pin(async move {
///             if to.port() != 443 || to.time_left() < Duration::from_secs(1) {
///                 let refused = DialError::nobody("not by this relay");
///                 assert!(!refused.blames_address());
///                 return Err(refused);
///             }
///             let mut tcp = to.connect_to(self.0).await?;
///             tcp.write_all(format!("{}\n", to.addr()).as_bytes()).await?;
///             let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); // what `ConnInfo::local` is to say
///             Ok(Transport::new(tcp).local(from))
///         })
///     }
/// }
/// ```
#[derive(Clone, Copy)]
pub struct DialTo<'a> {
    place: &'a Target<'a>,
    addr: SocketAddr,
    left: Duration,
    tcp: &'a dyn Tcp,
}

/// The pool's own TCP, for one attempt.
pub(crate) trait Tcp: Send + Sync {
    fn connect<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Transport, Error>> + Send + 'a>>;
}

impl<'a> DialTo<'a> {
    /// The host's canonical name, or its address: the target's, or the proxy's where the pool has one.
    pub fn host(&self) -> &'a str {
        self.place.host()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.place.port()
    }

    /// The address of it that this attempt is for, by which the connection is counted.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How much time there was for all of the attempt, TLS included, when it began.
    pub fn time_left(&self) -> Duration {
        self.left
    }

    /// Connects to [`addr`](Self::addr) as the pool itself would: with the options of [`PoolConfig::tcp`](crate::PoolConfig::tcp), and from the sources that
    /// the call or the pool has, if any; what is leased is given back when the stream has closed. Cancel safe.
    ///
    /// # Errors
    /// Those of the pool itself: handed on as they are, they blame whom they would without a dialer, unless it is a call's on a pool that has another.
    pub async fn connect(&self) -> Result<Transport, DialError> {
        self.tcp.connect(self.addr).await.map_err(DialError::own)
    }

    /// The same, to wherever one knows to go on from. No policy judges that address.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), but what fails there is not the fault of the address that was asked for: it blames nobody.
    pub async fn connect_to(&self, remote: SocketAddr) -> Result<Transport, DialError> {
        self.tcp.connect(remote).await.map_err(DialError::elsewhere)
    }
}

impl fmt::Debug for DialTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialTo")
            .field("host", &self.host())
            .field("port", &self.port())
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// A [`Dial`] as a part of an identity: equal to itself alone.
#[derive(Clone)]
pub(crate) struct DialedBy(pub(crate) Arc<dyn Dial>);

impl DialedBy {
    /// A stream to `addr` of `place`. Cancel safe: what is not done is dropped.
    pub(crate) async fn dial(
        &self,
        (place, addr): (&Target<'_>, SocketAddr),
        left: Duration,
        tcp: &dyn Tcp,
    ) -> Result<Transport, Error> {
        let to = DialTo {
            place,
            addr,
            left,
            tcp,
        };
        let dialled = Fence::new(|| self.0.dial(to)).outcome().await;
        let dialled = dialled.unwrap_or_else(|| Err(DialError::panicked()));
        dialled.map_err(DialError::into_error)
    }
}

impl PartialEq for DialedBy {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

impl Eq for DialedBy {}

impl Hash for DialedBy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

impl fmt::Debug for DialedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}
