//! What runs between h2 and TLS: both directions are read as they pass, and what h2 writes leaves in the shape of a spec if there is one.
//!
//! The one place below h2 that sees frames, and so the one that may change them. The book is kept by what is on the wire.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shared;
use super::frames::Frames;
use super::sent::H2Sent;
use super::shape::{self, Shape};
use crate::error::Error;
use crate::fault::planted;
use crate::fingerprint::H2Spec;

pub(crate) struct Adapter<IO> {
    io: IO,
    tls: Asked<IO>,
    sent: Frames,
    received: Frames,
    /// Frames that came in this turn of the driver.
    turn: u32,
    shared: Arc<Shared>,
    /// What changes what h2 writes. In a box: most connections have none.
    shape: Option<Box<Shape>>,
}

/// What TLS is asked for.
pub(super) struct Asked<IO> {
    /// By what it has failed, of one that is seen to be broken.
    pub(super) failure: fn(&mut IO) -> Option<Error>,
    /// How many octets have left below it.
    pub(super) written: fn(&IO) -> u64,
}

/// So many frames, and it is the turn of other connections of the same thread: a flood of small frames is otherwise read for as long as it comes.
const FRAMES_A_TURN: u32 = 1_000;

impl<IO> Adapter<IO> {
    pub(super) fn new(io: IO, tls: Asked<IO>, shared: Arc<Shared>, spec: Option<&H2Spec>) -> Self {
        Adapter {
            io,
            tls,
            sent: Frames::outbound(),
            received: Frames::inbound(),
            turn: 0,
            shared,
            shape: spec.map(|spec| Box::new(Shape::new(spec))),
        }
    }

    /// What has been sent in the shape of a spec.
    pub(super) fn sent(&self) -> Option<&H2Sent> {
        self.shape.as_ref().map(|shape| shape.sent())
    }

    /// What came of a read or a write. Where it failed, notes by what TLS has.
    fn noted<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = &result
            && let Some(failure) = (self.tls.failure)(&mut self.io)
        {
            _ = self.shared.failure.set(failure); // the first one counts
        }
        result
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

impl<IO> Adapter<IO> {
    /// Whether some of a write that failed has left all the same: TLS goes on until it has taken all, or can send no more.
    fn has_left(&self, before: u64) -> bool {
        (self.tls.written)(&self.io) > before && !planted("a_write_that_failed_sent_nothing")
    }
}

impl<IO: AsyncWrite + Unpin> Adapter<IO> {
    /// Writes what stands in the shape's buffer.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(shape) = &mut self.shape else {
            return Poll::Ready(Ok(()));
        };
        if shape.out().is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut out = std::mem::take(shape.out());
        let mut written = 0;
        let result = loop {
            if written == out.len() {
                break Poll::Ready(Ok(()));
            }
            let before = (self.tls.written)(&self.io);
            match Pin::new(&mut self.io).poll_write(cx, &out[written..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => {
                    if self.has_left(before) {
                        written = out.len();
                    }
                    break Poll::Ready(Err(error));
                }
                Poll::Pending => break Poll::Pending,
            }
        };
        self.follow(&[IoSlice::new(&out)], written);
        if written == out.len() {
            shape::clear(&mut out);
        } else {
            out.drain(..written);
        }
        if let Some(shape) = &mut self.shape {
            *shape.out() = out;
        }
        result
    }

    /// Writes `bufs` in the shape of the spec, or as they are if there is none.
    ///
    /// What changes is taken at once and leaves now, with the next write, or with the flush. What passes is written from where it stands.
    fn write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.drain(cx))?;
        let mut most = usize::MAX;
        if let Some(shape) = &mut self.shape {
            let Some(passable) = shape.passable(bufs) else {
                let taken = shape.take(bufs);
                // Whatever there is no room for now is woken for when it is flushed.
                return match self.drain(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(taken)),
                };
            };
            let whole: usize = bufs.iter().map(|buf| buf.len()).sum();
            if passable < whole {
                most = passable;
            }
        }
        let before = (self.tls.written)(&self.io);
        let io = Pin::new(&mut self.io);
        let count = match (most, bufs) {
            (usize::MAX, [buf]) => io.poll_write(cx, buf),
            (usize::MAX, _) => io.poll_write_vectored(cx, bufs),
            _ => {
                let first = bufs
                    .iter()
                    .find(|buf| !buf.is_empty())
                    .map_or(&[][..], |buf| &**buf);
                io.poll_write(cx, &first[..first.len().min(most)])
            }
        };
        let count = match ready!(count) {
            Ok(count) => count,
            Err(error) => {
                if self.has_left(before) {
                    self.follow(bufs, usize::MAX); // at the most
                }
                return Poll::Ready(Err(error));
            }
        };
        if let Some(shape) = &mut self.shape {
            shape.pass(bufs, count);
        }
        self.follow(bufs, count);
        Poll::Ready(Ok(count))
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
        let read = &mut buf.filled_mut()[before..];
        if !read.is_empty() {
            let now = this.shared.clock.now_coarse();
            let mask = this.shape.as_ref().map_or([0; 8], |shape| shape.ping_mask());
            let mut book = this.shared.book.lock();
            this.received.follow_and_mask(read, mask, |found| {
                this.turn += 1;
                book.inbound(now, found);
                if let Some(shape) = &mut this.shape {
                    shape.heard(found);
                }
            });
            this.shared.note(&book);
        }
        self.noted(result)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Adapter<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.write(cx, &[IoSlice::new(buf)]);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.write(cx, bufs);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match ready!(self.drain(cx)) {
            Ok(()) => Pin::new(&mut self.io).poll_flush(cx),
            failed => Poll::Ready(failed),
        };
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::super::frames::tests::frame;
    use super::*;
    use crate::clock::ManualClock;
    use crate::fingerprint::frame::kind;
    use crate::sync::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn shared() -> Arc<Shared> {
        let clock: Arc<dyn crate::clock::Clock> = Arc::new(ManualClock::new());
        Arc::new(Shared::new(&clock))
    }

    fn asked<IO>(written: fn(&IO) -> u64) -> Asked<IO> {
        Asked {
            failure: |_| None,
            written,
        }
    }

    /// A transport that takes so much in one write, and nothing in every other call.
    struct Narrow {
        most: usize,
        takes: bool,
        written: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.takes = !self.takes;
            if !self.takes && self.most < usize::MAX {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = buf.len().min(self.most);
            self.written.push(buf[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// What h2 writes for a connection of Firefox's, one flush each: the preface, its settings and its window, a request with a body.
    fn written(most: usize) -> Vec<Vec<u8>> {
        let settings = frame(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0]);
        let window = frame(kind::WINDOW_UPDATE, 0, 0, &12_517_377_u32.to_be_bytes());
        let headers = frame(kind::HEADERS, 4, 3, b"\x83\x87\x41\x01a\x84");
        let data = frame(kind::DATA, 1, 3, &[7; 3_000]);
        let (head, body) = data.split_at(9);
        let flushes = [
            vec![PREFACE.to_vec()],
            vec![[settings, window].concat()],
            vec![[headers, head.to_vec()].concat(), body.to_vec()],
        ];
        let firefox = crate::fingerprint::Profile::firefox_esr(153).expect("known");
        let narrow = Narrow {
            most,
            takes: false,
            written: Vec::new(),
        };
        let mut adapter = Adapter::new(narrow, asked(|_| 0), shared(), firefox.h2());
        let mut cx = Context::from_waker(Waker::noop());
        for pieces in flushes {
            let mut bufs: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut left = &mut bufs[..];
            while !left.is_empty() {
                if let Poll::Ready(count) = Pin::new(&mut adapter).poll_write_vectored(&mut cx, left) {
                    IoSlice::advance_slices(&mut left, count.expect("a transport that does not fail"));
                }
            }
            while Pin::new(&mut adapter).poll_flush(&mut cx).is_pending() {}
        }
        adapter.io.written
    }

    #[test]
    fn the_first_flight_is_one_write_and_a_long_body_is_not_copied() {
        let spec = crate::fingerprint::Profile::firefox_esr(153)
            .expect("known")
            .h2()
            .cloned()
            .expect("a spec");
        let wide = written(usize::MAX);
        let [flight, request, body] = &wide[..] else {
            panic!("{} writes", wide.len());
        };
        assert_eq!(flight, &spec.first_flight());
        let priority = [0, 0, 0, 0, 41];
        let headers = [&priority[..], b"\x83\x04\x81\x63\x41\x01a\x87"].concat();
        let window = frame(kind::WINDOW_UPDATE, 0, 3, &12_451_840_u32.to_be_bytes());
        let data = &frame(kind::DATA, 1, 3, &[7; 3_000])[..9];
        assert_eq!(
            *request,
            [&frame(kind::HEADERS, 0x24, 3, &headers)[..], &window, data].concat()
        );
        assert_eq!(*body, [7; 3_000]);
        for most in [1, 2, 7, 100, 1_000] {
            assert!(written(most).concat() == wide.concat(), "in writes of {most}");
        }
    }

    /// TLS over a transport that takes so much, and fails behind that.
    struct Breaking(u64);

    impl AsyncWrite for Breaking {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.0 *= 2;
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_has_left_of_a_write_that_failed_is_taken_for_sent() {
        use crate::event::RetrySafety::{NeverSent, PartlySent};
        let firefox = crate::fingerprint::Profile::firefox_esr(153).expect("known");
        for (takes, spec, expected) in [
            (0, None, NeverSent),
            (1, None, PartlySent),
            (0, firefox.h2(), NeverSent),
            (1, firefox.h2(), PartlySent),
        ] {
            let shared = shared();
            let mut adapter = Adapter::new(Breaking(takes), asked(|io| io.0), Arc::clone(&shared), spec);
            shared.book.lock().open(shared.clock.now_coarse(), 3);
            let settings = frame(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0]);
            let headers = frame(kind::HEADERS, 4, 3, b"\x83\x87\x41\x01a\x84");
            let text = [PREFACE, &settings, &headers].concat();
            let mut cx = Context::from_waker(Waker::noop());
            let written = Pin::new(&mut adapter).poll_write(&mut cx, &text);
            assert!(matches!(written, Poll::Ready(Err(_))), "{written:?}");
            assert_eq!(shared.book.lock().safety(3), expected);
        }
    }

    #[test]
    fn a_flood_is_read_in_turns() {
        let shared = shared();
        // Empty DATA without end.
        let mut adapter = Adapter::new(tokio::io::repeat(0), asked(|_| 0), shared, None);
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
