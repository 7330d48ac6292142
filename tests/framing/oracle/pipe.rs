//! A stream in memory, as hyper takes one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

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

    /// How much hyper has not read yet.
    pub(super) fn unread(&self) -> usize {
        self.0.borrow().inbound.len()
    }

    /// What hyper has written since.
    pub(super) fn written(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().outbound)
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
