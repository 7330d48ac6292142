//! A leased connection.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::host::Live;
use super::inner::Inner;
use crate::conn::{ConnInfo, H1, H2, Wire};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::{CloseReason, Protocol, Returned};
use crate::machine::{Cause, ConnId, Fate, Lease, OriginId};

/// A connection on loan from a pool.
///
/// On HTTP/1.1 it is the TLS stream itself: it reads and writes. On HTTP/2 it is the right to one stream of a connection that others
/// use too: see [`h2`](HotConn::h2).
///
/// Dropping it gives it back, as [`HotConnPool::put`](crate::HotConnPool::put) does; that one says what became of it. An
/// HTTP/1.1 connection is kept only if nothing was read or written, or if the caller vouches for it with
/// [`assume_clean`](HotConn::assume_clean).
#[must_use = "dropped, it goes straight back to the pool"]
pub struct HotConn {
    pool: Arc<Inner>,
    origin: OriginId,
    conn: ConnId,
    /// Some until it is given back.
    wire: Option<Wire>,
    info: Arc<ConnInfo>,
    /// Whether nobody had it before.
    fresh: bool,
    /// Why it must not be used again, if the caller or a look at it said so.
    doomed: Option<CloseReason>,
}

impl HotConn {
    pub(super) fn new(
        pool: Arc<Inner>,
        origin: OriginId,
        lease: Lease,
        wire: Wire,
        info: Arc<ConnInfo>,
    ) -> Self {
        HotConn {
            pool,
            origin,
            conn: lease.conn,
            fresh: !lease.hit,
            wire: Some(wire),
            info,
            doomed: None,
        }
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.info.protocol
    }

    /// What is known of it since its birth.
    pub fn info(&self) -> &ConnInfo {
        &self.info
    }

    /// Its HTTP/2 side.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on an HTTP/1.1 connection.
    pub fn h2(&mut self) -> Result<H2<'_>, Error> {
        match &mut self.wire {
            Some(Wire::H2(handle)) => Ok(handle.lease()),
            _ => Err(Error::new(ErrorKind::Unsupported, Phase::Use)),
        }
    }

    /// Vouches that the last exchange is over: what was asked for was answered and read to its end, and nothing is left in any buffer.
    /// The connection may then serve another caller, who is handed whatever was overlooked. Bytes that came unasked are still noticed when
    /// it is given back, and an error met on the way is not forgiven. No effect on HTTP/2.
    pub fn assume_clean(&mut self) {
        if let Some(Wire::H1(h1)) = &mut self.wire {
            h1.assume_clean();
        }
    }

    /// Closes the connection instead of giving it back. On HTTP/2 it takes no new streams from now on and closes when
    /// the streams of the others have ended.
    pub fn discard(mut self) {
        self.doomed = Some(CloseReason::Discarded);
    }

    /// Looks whether it is alive. One that is not goes, with the reason: an idle one had its time, and another may serve; one that
    /// nobody had before is an error, or a peer that ends every connection at once would be dialled without end.
    pub(super) fn alive(mut self) -> Result<Option<Self>, Error> {
        let Err(reason) = self.wire.as_mut().map_or(Ok(()), Wire::look) else {
            return Ok(Some(self));
        };
        self.doomed = Some(reason);
        if !self.fresh {
            return Ok(None);
        }
        let ip = self.info.remote.ip();
        self.pool.with_host(self.origin, |host, now| {
            host.counters.count_failure(Phase::Tls);
            host.machine.penalise(now, ip, Cause::Protocol)
        });
        let error = match reason {
            CloseReason::StrayBytes => {
                let problem = io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the peer sent data before it was asked",
                );
                Error::new(ErrorKind::Tls, Phase::Tls).with_source(problem)
            }
            _ => Error::new(ErrorKind::ConnectionReset, Phase::Tls),
        };
        Err(error.with_ip(ip))
    }

    pub(crate) fn give_back(mut self) -> Returned {
        self.finish().unwrap_or(Returned::Closed(CloseReason::Discarded))
    }

    fn finish(&mut self) -> Option<Returned> {
        let mut wire = self.wire.take()?;
        let verdict = match (&mut wire, self.doomed) {
            (_, Some(reason)) => Err(reason),
            (Wire::H1(h1), None) => h1.verdict().and_then(|()| wire.look()),
            (Wire::H2(_), None) => wire.look(),
        };
        let fate = match (verdict, &wire) {
            (Ok(()), _) => Fate::Reusable,
            (Err(reason), Wire::H1(_)) => Fate::Close(reason),
            (Err(reason), Wire::H2(_)) => {
                // Others have streams on it: it leaves the rotation now, and closes with the last of them.
                self.pool.with_host(self.origin, |host, now| {
                    host.machine.retire(now, self.conn, reason)
                });
                Fate::Close(reason)
            }
        };
        Some(self.pool.give_back(self.origin, self.conn, wire, fate))
    }

    fn h1(self: Pin<&mut Self>) -> io::Result<Pin<&mut H1>> {
        match &mut self.get_mut().wire {
            Some(Wire::H1(h1)) => Ok(Pin::new(h1)),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "an HTTP/2 connection is used through h2()",
            )),
        }
    }
}

impl Drop for HotConn {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for HotConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotConn")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// Closes it, with a goodbye where one can be said without waiting. HTTP/2 says its own when the last handle goes, unless handles
    /// are out: their time is over, and its permits are somebody else's by now.
    pub(super) fn end(self) {
        self.leave.cancel();
        if let Some(Wire::H1(h1)) = self.wire {
            h1.end();
        } else if self.lent > 0 {
            self.cut.cancel();
        }
    }
}

impl AsyncRead for HotConn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.h1()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for HotConn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.h1()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.h1()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.wire, Some(Wire::H1(h1)) if h1.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.h1()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.h1()?.poll_shutdown(cx)
    }
}
