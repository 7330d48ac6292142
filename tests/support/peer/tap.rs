//! The TLS stream of a connection, with a side door: what an order sends goes in between the protocol's own writes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::board::Conn;
use super::wire::{self, Wire};

/// Decrypted bytes kept where the peer records bytes.
const FIRST_BYTES: usize = 16 * 1024;

/// What goes through the side door.
pub(super) enum Extra {
    Bytes(Bytes),
    CloseNotify,
    Fin,
}

/// A handle of the stream. Every clone is the same stream; one task uses them all.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<Inner>>);

struct Inner {
    tls: TlsStream<Wire>,
    tcp: Arc<TcpStream>,
    conn: Arc<Conn>,
    extras: VecDeque<Extra>,
    /// The protocol's last write was not taken whole: the stream may stand inside a frame.
    mid_write: bool,
    /// The client's close_notify has come.
    ended: bool,
    /// The protocol has asked for the stream's end.
    closing: bool,
}

impl Tap {
    pub(super) fn new(tls: TlsStream<Wire>, tcp: Arc<TcpStream>, conn: Arc<Conn>) -> Self {
        let extras = VecDeque::new();
        let inner = Inner {
            tls,
            tcp,
            conn,
            extras,
            mid_write: false,
            ended: false,
            closing: false,
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Queues something for the side door; [`Tap::poll_extras`] sends it.
    pub(super) fn push(&self, extra: Extra) {
        self.0.lock().extras.push_back(extra);
    }

    /// Sends what waits at the side door. `Ready` once nothing waits.
    pub(super) fn poll_extras(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_extras(cx)
    }
}

impl Inner {
    fn poll_extras(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(extra) = self.extras.front_mut() {
            if self.mid_write {
                return Poll::Pending;
            }
            match extra {
                Extra::Bytes(bytes) => {
                    while bytes.has_remaining() {
                        let taken = ready!(Pin::new(&mut self.tls).poll_write(cx, bytes))?;
                        bytes.advance(taken);
                    }
                    ready!(Pin::new(&mut self.tls).poll_flush(cx))?;
                }
                Extra::CloseNotify => {
                    self.tls.get_mut().1.send_close_notify();
                    ready!(Pin::new(&mut self.tls).poll_flush(cx))?;
                }
                Extra::Fin => wire::send_fin(&self.tcp)?,
            }
            self.extras.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    fn record(&self, bytes: &[u8]) {
        if self.conn.records_bytes() {
            self.conn.seen(|seen| {
                let room = FIRST_BYTES - seen.first_bytes.len();
                seen.first_bytes
                    .extend_from_slice(&bytes[..bytes.len().min(room)]);
            });
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        let before = buf.filled().len();
        ready!(Pin::new(&mut inner.tls).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if read.is_empty() && buf.remaining() > 0 {
            inner.ended = true;
            inner.conn.close_notify();
        }
        inner.record(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        if !inner.mid_write {
            // An extra that was begun is written to its end before the protocol goes on.
            ready!(inner.poll_extras(cx))?;
        }
        let written = Pin::new(&mut inner.tls).poll_write(cx, bytes);
        inner.mid_write = !matches!(written, Poll::Ready(Ok(count)) if count == bytes.len());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().tls).poll_flush(cx)
    }

    /// close_notify and FIN; nothing if the client's end has come, so that an answer cannot turn the client's clean
    /// end into an RST before its FIN is read.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        if inner.ended {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut inner.tls).poll_flush(cx))?;
        if !std::mem::replace(&mut inner.closing, true) {
            inner.mid_write = false;
            inner.extras.extend([Extra::CloseNotify, Extra::Fin]);
        }
        inner.poll_extras(cx)
    }
}
