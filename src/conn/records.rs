//! Where one TLS record ends and the next begins, seen from below TLS.
//!
//! TLS shows nothing of a record until all of it has come. So a peer could send half a record on an idle connection, unseen, and the rest
//! of it after the connection was handed out: the next caller would read bytes that were never meant for it. This stream follows the
//! record headers (RFC 8446 section 5.1: type, version, a length of two octets) of what is read, and knows whether a record is half there.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Transport;

const HEADER: u8 = 5;

/// A stream of TLS records, passed through as it is.
pub(crate) struct Records<IO> {
    io: IO,
    /// Octets of the current record's header that have come; zero between records.
    header: u8,
    /// Octets of the current record's payload that are still to come.
    left: u16,
    /// Octets that were written.
    written: u64,
}

impl<IO> Records<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Records {
            io,
            header: 0,
            left: 0,
            written: 0,
        }
    }

    /// How many octets were written: those that the stream below has taken.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether everything read so far is whole records.
    pub(crate) fn at_boundary(&self) -> bool {
        self.header == 0
    }

    fn count(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.written += *count as u64;
        }
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        // Most often a record comes whole.
        while let (0, [_, _, _, high, low, rest @ ..]) = (self.header, bytes)
            && let Some(after) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)
        {
            bytes = after;
        }
        while let Some((&first, rest)) = bytes.split_first() {
            if self.header == HEADER {
                let taken = bytes.len().min(self.left.into());
                self.left -= taken as u16; // no more than `left`
                bytes = &bytes[taken..];
            } else {
                self.header += 1;
                self.left = match self.header {
                    4 => u16::from(first) << 8,
                    5 => self.left | u16::from(first),
                    _ => 0,
                };
                bytes = rest;
            }
            if self.header == HEADER && self.left == 0 {
                self.header = 0;
            }
        }
    }
}

impl Records<Transport> {
    /// Reads what the socket has now, past the reactor and its wakers: `WouldBlock` if that is nothing, or if it is no socket.
    pub(crate) fn now(&mut self) -> impl io::Read {
        Now(self)
    }
}

struct Now<'a>(&'a mut Records<Transport>);

impl io::Read for Now<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let socket = self.0.io.socket().ok_or(io::ErrorKind::WouldBlock)?;
        let count = (&*SockRef::from(socket)).read(buf)?;
        self.0.follow(&buf[..count]);
        Ok(count)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Records<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        self.follow(&buf.filled()[before..]);
        result
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Records<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.count(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.count(&result);
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
    use super::*;

    /// Three records, one of them empty, and where each ends.
    fn stream() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for length in [300_u16, 0, 2] {
            bytes.extend([23, 3, 3]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(std::iter::repeat_n(0x17, length.into()));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn only_the_end_of_a_record_is_a_boundary_however_the_bytes_come() {
        let (bytes, ends) = stream();
        for first in 0..=bytes.len() {
            for second in [first, (first + 3).min(bytes.len()), bytes.len()] {
                let mut records = Records::new(());
                for (end, piece) in [(first, &bytes[..first]), (second, &bytes[first..second])] {
                    records.follow(piece);
                    assert_eq!(
                        records.at_boundary(),
                        ends.contains(&end),
                        "after {end} of {first}, {second}"
                    );
                }
            }
        }
    }
}
