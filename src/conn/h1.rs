//! An HTTP/1.1 connection: the TLS stream, and whether it is known to be between two exchanges.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;

use super::Tls;
use crate::event::{CloseReason, RetrySafety};
use crate::fault::planted;

/// A stream that knows whether it was touched since it was last known to be clean.
pub(crate) struct H1 {
    stream: Tls,
    state: State,
    /// Whether anything was written since it was last known to be clean.
    sent: bool,
}

/// ```text
/// Clean ──first byte, either way──▶ Touched ──assume_clean──▶ Clean
///   └───────────error────────▶ Broken ◀──────error──────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Clean,
    Touched,
    Broken(CloseReason),
}

impl H1 {
    pub(crate) fn new(stream: Tls) -> Self {
        H1 {
            stream,
            state: State::Clean,
            sent: false,
        }
    }

    /// The caller vouches for the connection: what it asked for was answered and read to the end. A failure is not forgiven.
    pub(crate) fn assume_clean(&mut self) {
        if self.state == State::Touched {
            self.state = State::Clean;
            self.sent = false;
        }
    }

    /// What is known of the last request.
    pub(crate) fn retry_safety(&self) -> RetrySafety {
        match self.sent {
            false => RetrySafety::NeverSent,
            true => RetrySafety::Sent,
        }
    }

    /// Whether another caller may have it.
    pub(crate) fn verdict(&self) -> Result<(), CloseReason> {
        match self.state {
            // What TLS has taken and not sent yet belongs to an exchange that is not over.
            State::Clean if self.stream.get_ref().1.wants_write() => Err(CloseReason::NotClean),
            State::Clean => Ok(()),
            State::Touched => Err(CloseReason::NotClean),
            State::Broken(reason) => Err(reason),
        }
    }

    /// Looks at the stream without reading from it: any byte, an end or an error makes it unusable.
    pub(crate) fn look(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        // Outside the task's budget: with that spent, tokio would answer "nothing there" without having looked.
        let mut fill =
            std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_fill_buf(cx).map_ok(<[u8]>::len));
        let looked = match planted("a_look_costs_budget") {
            true => pin!(&mut fill).poll(cx),
            false => pin!(unconstrained(&mut fill)).poll(cx),
        };
        match looked {
            // Half a record is a byte that nobody asked for, though TLS cannot show it yet.
            Poll::Pending if !self.stream.get_ref().0.at_boundary() => Err(CloseReason::StrayBytes),
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(0)) => Err(CloseReason::PeerClosed),
            Poll::Ready(Ok(_)) => Err(CloseReason::StrayBytes),
            Poll::Ready(Err(error)) => Err(reason(&error)),
        }
    }

    /// Says goodbye (close_notify) as far as that can be done at once, and closes.
    pub(crate) fn end(mut self) {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }

    fn note<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(Err(error)) => self.state = State::Broken(reason(error)),
            Poll::Ready(Ok(_)) if self.state == State::Clean => self.state = State::Touched,
            _ => {}
        }
        result
    }
}

fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            CloseReason::PeerClosed
        }
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
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) && buf.filled().len() == before {
            self.state = State::Broken(CloseReason::PeerClosed);
        }
        self.note(result)
    }
}

impl AsyncWrite for H1 {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.sent |= matches!(result, Poll::Ready(Ok(1..)));
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.sent |= matches!(result, Poll::Ready(Ok(1..)));
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Err(error)) = &result {
            self.state = State::Broken(reason(error));
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state = State::Broken(CloseReason::Discarded);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
