//! What is a stranger's, and may panic: a panic is its own end, and nobody else's.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::fault::planted;

/// Something of a stranger's. After a panic it is gone.
pub(crate) struct Fence<T>(Option<T>);

impl<T> Fence<T> {
    /// Of what `make` makes.
    pub(crate) fn new(make: impl FnOnce() -> T) -> Self {
        Fence(caught(make))
    }

    /// Acts on it; none if it has panicked, now or before.
    pub(crate) fn act<R>(&mut self, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        let held = self.0.as_mut()?;
        let answer = caught(|| act(held));
        if answer.is_none() {
            self.end();
        }
        answer
    }

    /// What comes of it; none if it panics. Cancel safe, if it is.
    pub(crate) async fn outcome(mut self) -> Option<T::Output>
    where
        T: Future + Unpin,
    {
        poll_fn(|cx| match self.act(|held| Pin::new(held).poll(cx)) {
            Some(polled) => polled.map(Some),
            None => Poll::Ready(None),
        })
        .await
    }

    fn end(&mut self) {
        if let Some(held) = self.0.take() {
            caught(|| drop(held));
        }
    }
}

impl<T> Drop for Fence<T> {
    fn drop(&mut self) {
        self.end();
    }
}

fn caught<R>(call: impl FnOnce() -> R) -> Option<R> {
    if planted("a_dialer_s_panic_is_everybody_s") {
        return Some(call());
    }
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => Some(answer),
        Err(thrown) => {
            _ = ManuallyDrop::new(thrown); // which may panic when it is dropped, too
            None
        }
    }
}

pub(super) trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// A stream of a stranger's.
pub(super) struct Fenced {
    /// Never locked, for whoever comes has it alone: so a lease can be shared although a stream cannot.
    stream: Mutex<Fence<Box<dyn Both>>>,
    pub(super) local: Option<SocketAddr>,
    pub(super) is_write_vectored: bool,
}

impl Fenced {
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let mut stream = Fence::new(|| Box::new(stream) as Box<dyn Both>);
        let is_write_vectored = stream.act(|stream| stream.is_write_vectored());
        Fenced {
            stream: Mutex::new(stream),
            local: None,
            is_write_vectored: is_write_vectored.unwrap_or(false),
        }
    }

    pub(super) fn poll<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut dyn Both>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = stream.act(|stream| poll(Pin::new(&mut **stream)));
        polled.unwrap_or_else(|| Poll::Ready(Err(io::Error::other("the transport panicked"))))
    }

    /// It is handed a buffer of its own, and can do no harm to what stands before.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.initialize_unfilled();
        let most = room.len();
        let mut own = ReadBuf::new(room);
        ready!(self.poll(|stream| stream.poll_read(cx, &mut own)))?;
        let read = own.filled().len();
        within(read, most)?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let most = bufs.iter().map(|buf| buf.len()).sum();
        let written = ready!(self.poll(|stream| match bufs {
            [buf] => stream.poll_write(cx, buf),
            bufs => stream.poll_write_vectored(cx, bufs),
        }))?;
        within(written, most)?;
        Poll::Ready(Ok(written))
    }
}

/// A stream that says to have moved more than it was given is not believed again: what it did move nobody knows.
fn within(moved: usize, most: usize) -> io::Result<()> {
    match moved > most {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the transport moved more than there was",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Lies in every answer, or panics.
    struct Liar(bool);

    impl AsyncRead for Liar {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            assert!(!self.0, "a panic");
            *buf = ReadBuf::new(Box::leak(vec![0; 100].into_boxed_slice()));
            buf.set_filled(100);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Liar {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len() + 1))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Drop for Liar {
        fn drop(&mut self) {
            assert!(!self.0, "a panic");
        }
    }

    #[test]
    fn a_stream_that_lies_or_panics_is_an_error() {
        let cx = &mut Context::from_waker(Waker::noop());
        let kind = |polled: Poll<io::Result<()>>| match polled {
            Poll::Ready(Err(error)) => error.kind(),
            other => panic!("{other:?}"),
        };
        for (panics, expected) in [(false, io::ErrorKind::InvalidData), (true, io::ErrorKind::Other)] {
            let mut fenced = Fenced::new(Liar(panics));
            let mut room = [7; 10];
            let mut buf = ReadBuf::new(&mut room);
            buf.set_filled(3);
            assert_eq!(kind(fenced.poll_read(cx, &mut buf)), expected);
            assert_eq!(buf.filled(), [7; 3]);
            let written = fenced.poll_write(cx, &[IoSlice::new(b"abc")]).map_ok(drop);
            assert_eq!(kind(written), expected);
            if panics {
                assert_eq!(
                    kind(fenced.poll(|stream| stream.poll_flush(cx))),
                    expected,
                    "for good"
                );
            }
        }
    }
}
