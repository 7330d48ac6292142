//! A connection that speaks something else by now.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{ConnInfo, Detached};

/// A connection that speaks something else than HTTP by now: see [`Body::into_upgraded`](crate::Body::into_upgraded). It reads first what had come
/// with the head of the answer.
///
/// It counts under every limit of the pool until it is dropped, which closes it: nobody else gets it.
#[derive(Debug)]
#[must_use = "dropped, it is closed"]
pub struct Upgraded {
    conn: Detached,
    read: Bytes,
}

impl Upgraded {
    pub(super) fn new(conn: Detached, read: Bytes) -> Self {
        Upgraded { conn, read }
    }

    /// What is known of the connection since its birth.
    pub fn info(&self) -> &ConnInfo {
        self.conn.info()
    }

    /// The connection, and what has been read and not used.
    pub fn into_parts(self) -> (Detached, Bytes) {
        (self.conn, self.read)
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.conn).poll_read(cx, buf);
        }
        let count = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..count]);
        self.read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.conn).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.conn).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.conn.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_shutdown(cx)
    }
}
