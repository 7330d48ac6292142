//! An HTTP/1.1 connection: the TLS stream, with an observer of what passes.
//!
//! | what | where |
//! |---|---|
//! | whether another caller may have it, with the reason for every no | `verdict` |
//! | the exchange, as far as it has passed | `observer` |
//! | where messages end | `head`, `fields`, `body`, `chunked` |
//! | a head that comes in pieces | `held` |

mod body;
mod chunked;
mod fields;
#[cfg(feature = "__internals")]
mod framing;
mod head;
mod held;
mod observer;
mod verdict;

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "__internals")]
pub use self::framing::Framing;
pub(crate) use self::observer::{Observer, Rest};
use super::{Tls, last_words, written};
use crate::config::ReuseCheck;
use crate::error::Error;
use crate::event::{CloseReason, RetrySafety};
use crate::fault::planted;

/// A stream that knows whether an exchange is under way on it.
pub(crate) struct H1 {
    stream: Tls,
    observer: Observer,
    /// It failed, ended, or brought what nobody asked for. For good.
    broken: Option<CloseReason>,
    check: ReuseCheck,
}

impl H1 {
    pub(crate) fn new(stream: Tls, check: ReuseCheck) -> Self {
        H1 {
            stream,
            observer: Observer::new(),
            broken: None,
            check,
        }
    }

    /// The verdict, of one whose user has done with it.
    pub(crate) fn come_home(&mut self) -> Result<(), CloseReason> {
        if !planted("who_had_it_before_is_remembered") {
            self.observer.come_home();
        }
        self.verdict()
    }

    /// The caller vouches for what could not be followed. A failure, and what was seen to be unfinished, is not forgiven.
    pub(crate) fn assume_clean(&mut self) {
        self.observer.vouch();
    }

    /// What is known of its user's last request.
    pub(crate) fn retry_safety(&self) -> RetrySafety {
        match self.observer.retry_safety() {
            // What TLS has to send behind an answer is no part of the request.
            RetrySafety::Sent if self.answered().is_none() && self.is_unflushed() => RetrySafety::PartlySent,
            known => known,
        }
    }

    /// The status of the last answer, once its head has passed, and what is left of it.
    pub(crate) fn answered(&self) -> Option<(u16, Rest)> {
        self.observer.answered()
    }

    /// Says goodbye (close_notify) as far as that can be done at once, and closes.
    pub(crate) fn end(mut self) {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }

    /// By what TLS has failed, of one that is seen to be broken.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        last_words(&mut self.stream)
    }

    /// A write has failed. TLS may have sent the beginning of it all the same: it goes on until it has taken all, or can send no more.
    fn fail_to_write<T>(&mut self, before: u64, error: io::Error) -> Poll<io::Result<T>> {
        if written(&self.stream) > before && !planted("a_write_that_failed_sent_nothing") {
            self.observer.sent_in_part();
        }
        self.fail(error)
    }

    fn fail<T>(&mut self, error: io::Error) -> Poll<io::Result<T>> {
        self.broken = Some(reason(&error));
        Poll::Ready(Err(error))
    }

    /// Fails, and goes on failing, because of bytes that nobody asked for: they reach nobody.
    fn refuse<T>(&mut self) -> Poll<io::Result<T>> {
        self.broken = Some(CloseReason::StrayBytes);
        Poll::Ready(Err(unasked()))
    }

    /// A read while nothing was asked: waits for an end or an error. Bytes are not taken out of the stream.
    fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_fill_buf(cx)).map(<[u8]>::len) {
            Ok(0) => {
                self.broken = Some(CloseReason::PeerClosed);
                Poll::Ready(Ok(()))
            }
            Ok(_) => self.refuse(),
            Err(error) => self.fail(error),
        }
    }

    /// Called before each write. Before the first of an exchange it looks for bytes that came unasked.
    fn admit(&mut self) -> io::Result<()> {
        if self.broken == Some(CloseReason::StrayBytes) {
            return Err(unasked());
        }
        if !self.observer.is_idle() {
            return Ok(());
        }
        self.look_before_asking().map_err(|reason| {
            self.broken = Some(reason);
            match reason {
                CloseReason::StrayBytes => unasked(),
                _ => io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the peer had closed the connection",
                ),
            }
        })
    }
}

fn unasked() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the peer sent data before it was asked",
    )
}

fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            CloseReason::PeerClosed
        }
        // By TCP's keepalive, or its user timeout.
        io::ErrorKind::TimedOut => CloseReason::Unresponsive,
        _ => CloseReason::Failed,
    }
}

impl AsyncRead for H1 {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        if this.broken == Some(CloseReason::StrayBytes) {
            return this.refuse();
        }
        if this.observer.is_idle() {
            return this.poll_unasked(cx);
        }
        let before = buf.filled().len();
        if let Err(error) = ready!(Pin::new(&mut this.stream).poll_read(cx, buf)) {
            return this.fail(error);
        }
        match &buf.filled()[before..] {
            [] => this.broken = Some(CloseReason::PeerClosed),
            read => this.observer.received(read),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H1 {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.admit()?;
        let before = written(&this.stream);
        match ready!(Pin::new(&mut this.stream).poll_write(cx, buf)) {
            Ok(taken) => {
                this.observer.sent(&buf[..taken]);
                Poll::Ready(Ok(taken))
            }
            Err(error) => this.fail_to_write(before, error),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.admit()?;
        let before = written(&this.stream);
        match ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs)) {
            Ok(taken) => {
                let mut left = taken;
                for buf in bufs {
                    let passed = left.min(buf.len());
                    this.observer.sent(&buf[..passed]);
                    left -= passed;
                }
                Poll::Ready(Ok(taken))
            }
            Err(error) => this.fail_to_write(before, error),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => self.fail(error),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Shut down in the middle of something, that is the reason.
        self.broken = Some(self.verdict().err().unwrap_or(CloseReason::Discarded));
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
