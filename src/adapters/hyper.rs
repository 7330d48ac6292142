//! The pool under hyper and hyper-util: leases as hyper's I/O, and the connector of hyper-util's client. Behind the feature `hyper`.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use hotpool::{GetOptions, HotConnPool};
//! use hotpool::hyper::Connector;
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = HotConnPool::builder().build()?;
//! let connector = Connector::new(pool.clone()).options(GetOptions::new().timeout(Duration::from_secs(2)));
//! let client = Client::builder(TokioExecutor::new())
//!     .pool_max_idle_per_host(0) // hyper-util keeps nothing: every request asks the pool
//!     .build::<_, http_body_util::Empty<bytes::Bytes>>(connector);
//! let answer = client.get("https://example.com/".parse()?).await?;
//! println!("{}", answer.status());
//! # Ok(())
//! # }
//! ```
//!
//! # Two pools
//!
//! hyper-util's client has a pool of its own. What it keeps there is leased from this one, for as long as it keeps it: by its defaults 90 seconds after the
//! last use, with no bound on how many. Where it keeps nothing (`pool_max_idle_per_host(0)`, as above) a connection comes home after each exchange, and this
//! pool decides who has it next; that is how to use both. The difference:
//!
//! | | hyper-util keeps nothing | hyper-util keeps connections |
//! |---|---|---|
//! | a lease lasts | an exchange | as long as hyper-util has the connection |
//! | [`Stats::active`](crate::Stats::active), `leases` | what is asked for now | all that hyper-util has, resting there or not |
//! | [`Counters::gets`](crate::Counters::gets), `hits` | requests, and those that needed no dial | connections that hyper-util asked for |
//! | idle time, lifetime, health, `evict_host`, blocks | as ever | hold once the connection comes home |
//! | caps by host, by address and in total | as ever | what hyper-util keeps counts, and cannot be closed for another |
//! | `close` | waits for exchanges | waits until hyper-util lets go, 80 % of its time, then cuts: drop the client before |
//!
//! So whoever has hyper-util keep connections must not be short of them: a request that waits here for a connection of its host waits for one that hyper-util
//! keeps, until `acquire_timeout`, and as long as it waits hyper-util lets go of none, not even when its client is dropped.
//!
//! Either way a lease is never reported as leaked, and a connection that is let go of comes home as from any other holder: it is kept if it is known to be
//! clean, else it closes with its [`CloseReason`](crate::CloseReason). hyper says goodbye to a connection that it lets go of; of a clean one the pool does
//! not hear that ([`HyperConn`]).
//!
//! # HTTP/1.1 alone
//!
//! A connector gives a stream, and over HTTP/2 this pool has none to give: the connection is shared, its frames are shaped, counted and watched by whoever
//! drives it, and the server speaks first, which on a stream that rests looks like bytes that nobody asked for. So a [`Connector`] asks for
//! [`Require::Http1`], whatever its options say, and connections of its kind are an identity of their own. A client that is told to speak HTTP/2
//! (`http2_only`) fails, and its connection is not kept.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use crate::fault::planted;
use crate::{Error, GetOptions, HotConn, HotConnPool, Protocol, Require};

/// An HTTP/1.1 lease as hyper is to have it: within a [`TokioIo`] it is hyper's I/O, and hyper-util's [`Connection`].
///
/// It is the [`HotConn`] itself but for its end: shut down while it is clean, it stays open, and comes home when it is dropped. Answers
/// carry its [`ConnInfo`](crate::ConnInfo) among their extensions.
///
/// ```no_run
/// # async fn example(pool: hotpool::HotConnPool) -> Result<(), Box<dyn std::error::Error>> {
/// use hotpool::hyper::{Connecting, Connector, HyperConn};
/// use hotpool::{GetOptions, Require};
/// use tower_service::Service;
///
/// // By hyper's own engine.
/// let conn = pool.get_with("example.com", GetOptions::new().require(Require::Http1)).await?;
/// let conn = HyperConn::new(conn);
/// println!("{}", conn.into_inner().info().remote);
///
/// // As a connector.
/// let mut connector = Connector::new(pool);
/// let connecting: Connecting = connector.call("https://example.com/".parse()?);
/// let _io = connecting.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HyperConn(HotConn);

impl HyperConn {
    /// Says that the lease will take long: whoever has it now keeps it as it likes.
    pub fn new(conn: HotConn) -> Self {
        if !planted("what_hyper_keeps_is_leaked") {
            conn.expect_long();
        }
        HyperConn(conn)
    }

    /// The lease: after an upgrade, say, to [`detach`](HotConn::detach) it.
    pub fn into_inner(self) -> HotConn {
        self.0
    }
}

impl From<HotConn> for HyperConn {
    fn from(conn: HotConn) -> Self {
        HyperConn::new(conn)
    }
}

impl AsyncRead for HyperConn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for HyperConn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    /// Whoever shuts down a clean connection is done with it; that its peer be told is for the pool to decide.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.is_clean() && !planted("goodbyes_reach_the_peer") {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.0).poll_shutdown(cx),
        }
    }
}

impl Connection for HyperConn {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.0.info().clone());
        match self.0.protocol() {
            Protocol::Http2 => connected.negotiated_h2(),
            _ => connected,
        }
    }
}

/// The connector of hyper-util's client: asks the pool for an HTTP/1.1 connection to the authority of an `https` URI.
///
/// Its errors are the pool's own [`Error`]s, which hyper-util's have as their source.
#[derive(Clone, Debug)]
pub struct Connector {
    pool: HotConnPool,
    options: GetOptions,
}

impl Connector {
    /// One that asks by the pool's defaults.
    pub fn new(pool: HotConnPool) -> Self {
        Connector {
            pool,
            options: GetOptions::new(),
        }
    }

    /// Asks with these options, but for [`GetOptions::require`].
    #[must_use]
    pub fn options(mut self, options: GetOptions) -> Self {
        self.options = options;
        self
    }
}

/// A connection to come: see [`Connector`].
pub type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<HyperConn>, Error>> + Send>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<HyperConn>;
    type Error = Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let Connector { pool, options } = self.clone();
        let options = match planted("the_connector_takes_any_protocol") {
            true => options,
            false => options.require(Require::Http1),
        };
        Box::pin(async move {
            let conn = pool.get_with(&uri, options).await?;
            Ok(TokioIo::new(HyperConn::new(conn)))
        })
    }
}
