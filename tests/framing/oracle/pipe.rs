//! A stream in memory, as hyper takes one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};

/// More than any of these conversations takes.
const STEPS: usize = 10_000;

/// Both ends share it.
#[derive(Clone, Default)]
pub(super) struct Pipe(Rc<RefCell<Ends>>);

#[derive(Default)]
struct Ends {
    inbound: VecDeque<u8>,
    outbound: Vec<u8>,
}

impl Pipe {
    /// For hyper to read.
    pub(super) fn feed(&self, bytes: &[u8]) {
        self.0.borrow_mut().inbound.extend(bytes);
    }

    /// What hyper has written since.
    pub(super) fn written(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().outbound)
    }
}

/// Whether hyper asked to be polled again.
#[derive(Default)]
pub(super) struct Bell(AtomicBool);

impl Bell {
    /// Polls `step` until hyper waits for bytes.
    pub(super) fn until_quiet(self: &Arc<Self>, mut step: impl FnMut(&mut Context<'_>)) {
        let waker = Waker::from(Arc::clone(self));
        for _ in 0..STEPS {
            step(&mut Context::from_waker(&waker));
            if !self.0.swap(false, Ordering::Relaxed) {
                return;
            }
        }
        panic!("hyper does not come to rest");
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Read for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let inbound = &mut self.0.borrow_mut().inbound;
        let count = buf.remaining().min(inbound.len());
        if count == 0 {
            return Poll::Pending; // whoever feeds it polls again
        }
        let bytes: Vec<u8> = inbound.drain(..count).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl Write for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().outbound.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
