//! What runs between h2 and TLS: both directions pass as they are and are read as they pass.
//!
//! The one place below h2 that sees frames, and so the one that may change them: whatever is to leave in another form is held and rewritten in
//! `poll_write`, whatever is to reach h2 in another form in `poll_read`. The book is kept by what is on the wire.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shared;
use super::frames::Frames;

pub(crate) struct Adapter<IO> {
    io: IO,
    sent: Frames,
    received: Frames,
    /// Frames that came in this turn of the driver.
    turn: u32,
    shared: Arc<Shared>,
}

/// So many frames, and it is the turn of other connections of the same thread: a flood of small frames is otherwise read for as long as it comes.
const FRAMES_A_TURN: u32 = 1_000;

impl<IO> Adapter<IO> {
    pub(super) fn new(io: IO, shared: Arc<Shared>) -> Self {
        Adapter {
            io,
            sent: Frames::outbound(),
            received: Frames::inbound(),
            turn: 0,
            shared,
        }
    }

    /// So much of `bufs` is on its way.
    fn follow(&mut self, bufs: &[IoSlice<'_>], mut count: usize) {
        let now = self.shared.clock.now_coarse();
        let mut book = self.shared.book.lock();
        for buf in bufs {
            let taken = count.min(buf.len());
            self.sent.follow(&buf[..taken], |found| book.outbound(now, found));
            count -= taken;
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Adapter<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.turn >= FRAMES_A_TURN {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut this.io).poll_read(cx, buf);
        if result.is_pending() {
            this.turn = 0;
        }
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            let now = this.shared.clock.now_coarse();
            let mut book = this.shared.book.lock();
            this.received.follow(read, |found| {
                this.turn += 1;
                book.inbound(now, found);
            });
        }
        result
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Adapter<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = result {
            self.follow(&[IoSlice::new(buf)], count);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(count)) = result {
            self.follow(bufs, count);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::super::book::Book;
    use super::*;
    use crate::clock::ManualClock;
    use crate::sync::{AtomicBool, Mutex, Ordering};

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_flood_is_read_in_turns() {
        let shared = Arc::new(Shared {
            book: Mutex::new(Book::new()),
            clock: Arc::new(ManualClock::new()),
        });
        // Empty DATA without end.
        let mut adapter = Adapter::new(tokio::io::repeat(0), shared);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..3 {
            let (mut space, mut turn) = ([0; 90], 0);
            loop {
                let mut buf = ReadBuf::new(&mut space);
                match Pin::new(&mut adapter).poll_read(&mut cx, &mut buf) {
                    Poll::Ready(_) => turn += 10,
                    Poll::Pending => break,
                }
            }
            assert_eq!(turn, FRAMES_A_TURN);
            assert!(woken.0.swap(false, Ordering::SeqCst), "nobody comes back");
        }
    }
}
