//! The stream under rustls: another hello goes out than it wrote, and it is shown of the server's first message what it can take.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::inbound::Inbound;
use super::outbound::Outbound;
use super::scope::masked;
use super::state::Shaping;
use crate::fingerprint::{MAX_MESSAGE, hellos};

/// A transport whose first flight is shaped; once both directions have settled it passes through.
pub(crate) struct Shaped<IO> {
    io: IO,
    /// None once both directions have settled.
    flight: Option<Box<Flight>>,
    /// What went out by itself, until a hello is whole.
    watched: Option<Box<Noted>>,
}

/// In a place of its own, which a connection that rests does not have.
#[derive(Default)]
struct Noted(Vec<u8>);

/// More than any hello takes of a stream, in octets.
const WATCHED: usize = 2 * MAX_MESSAGE;

struct Flight {
    shaping: Arc<Shaping>,
    outbound: Outbound,
    inbound: Inbound,
}

impl<IO> Shaped<IO> {
    pub(super) fn new(io: IO, shaping: Arc<Shaping>) -> Self {
        Shaped {
            io,
            flight: Some(Box::new(Flight {
                shaping,
                outbound: Outbound::default(),
                inbound: Inbound::default(),
            })),
            watched: None,
        }
    }

    /// A transport that is as it is, and whose first hello is noted.
    pub(crate) fn watched(io: IO) -> Self {
        Shaped {
            io,
            flight: None,
            watched: Some(Box::default()),
        }
    }

    /// What was noted.
    pub(super) fn take_watched(&mut self) -> Vec<Vec<u8>> {
        let noted = self.watched.take().unwrap_or_default();
        hellos(&noted.0)
            .map_while(Result::ok)
            .map(|found| found.message)
            .take(1)
            .collect()
    }

    fn note(&mut self, result: &Poll<io::Result<usize>>, buf: &[u8]) {
        if let (Some(noted), Poll::Ready(Ok(count))) = (&mut self.watched, result)
            && noted.0.len() < WATCHED
        {
            noted.0.extend_from_slice(&buf[..*count]);
        }
    }

    /// The transport itself.
    pub(crate) fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The transport itself. Only for whoever has taken what is [held](Self::held) above it.
    pub(crate) fn get_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    /// Reads what has come from the transport already and was not read, without looking at it.
    pub(crate) fn held(&mut self, buf: &mut [u8]) -> usize {
        let Some(flight) = &mut self.flight else {
            return 0;
        };
        let mut buf = ReadBuf::new(buf);
        flight.inbound.pull(&mut buf);
        let count = buf.filled().len();
        self.settle();
        count
    }

    fn settle(&mut self) {
        if self
            .flight
            .as_ref()
            .is_some_and(|flight| flight.outbound.is_over() && flight.inbound.is_over())
        {
            self.flight = None;
        }
    }
}

impl<IO: AsyncWrite + Unpin> Shaped<IO> {
    /// Writes what rustls wrote while its hellos are replaced: all of it at once, as a browser's ChangeCipherSpec and Finished go out together.
    fn poll_flight(&mut self, cx: &mut Context<'_>, bufs: &[&[u8]]) -> Poll<io::Result<usize>> {
        let Some(flight) = self.flight.as_mut() else {
            return Poll::Ready(Ok(0));
        };
        for buf in bufs {
            flight
                .outbound
                .push(buf, &flight.shaping)
                .map_err(|why| rejected(&flight.shaping, why))?;
        }
        // What cannot go at once goes with the next write or flush; rustls flushes.
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum())),
        }
    }

    fn shapes_outbound(&self) -> bool {
        self.flight
            .as_ref()
            .is_some_and(|flight| !flight.outbound.is_over())
    }

    /// Writes what was shaped and has not gone out.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(flight) = &mut self.flight else {
            return Poll::Ready(Ok(()));
        };
        while let Some(waiting) = flight.outbound.waiting() {
            let written = ready!(masked(|| Pin::new(&mut self.io).poll_write(cx, waiting)))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            flight.outbound.advance(written);
        }
        self.settle();
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Shaped<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        if self.shapes_outbound() {
            return self.poll_flight(cx, &[buf]);
        }
        let this = &mut *self;
        let written = masked(|| Pin::new(&mut this.io).poll_write(cx, buf));
        this.note(&written, buf);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.flight.is_none() && self.watched.is_none() {
            return masked(|| Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        }
        ready!(self.poll_drain(cx))?;
        if self.shapes_outbound() {
            let bufs: Vec<&[u8]> = bufs.iter().map(|buf| &**buf).collect();
            return self.poll_flight(cx, &bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(cx, first.map_or(&[], |buf| buf))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        masked(|| Pin::new(&mut self.io).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        masked(|| Pin::new(&mut self.io).poll_shutdown(cx))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Shaped<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(flight) = this.flight.as_mut().filter(|flight| !flight.inbound.is_over()) else {
            return masked(|| Pin::new(&mut this.io).poll_read(cx, buf));
        };
        while flight.inbound.is_dry() {
            let mut space = [const { MaybeUninit::uninit() }; 4096];
            let mut chunk = ReadBuf::uninit(&mut space);
            ready!(masked(|| Pin::new(&mut this.io).poll_read(cx, &mut chunk)))?;
            if chunk.filled().is_empty() {
                flight.inbound.end();
                break;
            }
            flight
                .inbound
                .push(chunk.filled(), &flight.shaping)
                .map_err(|why| rejected(&flight.shaping, why))?;
        }
        flight.inbound.pull(buf);
        this.settle();
        Poll::Ready(Ok(()))
    }
}

fn rejected(shaping: &Shaping, why: super::error::Rejected) -> io::Error {
    shaping.reject(why.clone());
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(all(test, feature = "aws-lc-rs"))]
mod tests;
