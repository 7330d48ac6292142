//! The byte stream below TLS: the pool's own TCP, with the address that it comes from, or what a [`Dial`](crate::Dial) made.

mod fence;

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(crate) use self::fence::Fence;
use self::fence::Fenced;
use crate::source::SourceLease;

/// A byte stream to where a connection is to go: what a [`Dial`](crate::Dial) answers with. It is a stream itself, to be wrapped in another.
pub struct Transport {
    // In this order: an address is free when nothing comes from it any more.
    stream: Stream,
    /// In a box: most have none.
    _source: Option<Box<SourceLease>>,
}

enum Stream {
    Tcp(TcpStream),
    /// In a box: a connection of the pool's own is no larger for it.
    Own(Box<Fenced>),
}

impl Transport {
    /// Of a stream of one's own. It must wake whoever waits for it, as any, and must not block.
    ///
    /// Whatever it does, the pool can end its use: a lease that is [aborted](crate::HotConnPool::force_cleanup) fails its next read or write at once, without
    /// asking the stream. If it panics, that is an error of the read or write, and it is not asked again.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Transport {
            stream: Stream::Own(Box::new(Fenced::new(stream))),
            _source: None,
        }
    }

    /// The address that it comes from, for [`ConnInfo::local`](crate::ConnInfo::local). Default: none.
    #[must_use]
    pub fn local(mut self, local: SocketAddr) -> Self {
        if let Stream::Own(own) = &mut self.stream {
            own.local = Some(local);
        }
        self
    }

    /// Of a socket of the pool's own. The lease of its source ends behind it, wherever that is dropped.
    pub(crate) fn tcp(stream: TcpStream, source: Option<SourceLease>) -> Self {
        Transport {
            stream: Stream::Tcp(stream),
            _source: source.map(Box::new),
        }
    }

    /// The address that it comes from.
    pub(crate) fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().map(Some),
            Stream::Own(own) => Ok(own.local),
        }
    }

    /// The socket, where it is one.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Tcp(stream) => Some(stream),
            Stream::Own(_) => None,
        }
    }
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Own(own) => own.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Own(own) => own.poll_write(cx, &[IoSlice::new(buf)]),
        }
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Own(own) => own.poll_write(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Own(own) => own.is_write_vectored,
        }
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Own(own) => own.poll(|stream| stream.poll_flush(cx)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Own(own) => own.poll(|stream| stream.poll_shutdown(cx)),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.stream {
            Stream::Tcp(_) => "Tcp",
            Stream::Own(_) => "Own",
        };
        f.debug_tuple("Transport").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection of the pool's own pays nothing for the others: this is what rests by the thousand.
    #[test]
    fn a_socket_of_the_pool_s_own_is_no_larger_for_the_others() {
        assert_eq!(
            size_of::<Transport>(),
            size_of::<(TcpStream, Option<Box<SourceLease>>)>()
        );
    }

    #[test]
    fn a_transport_may_be_shared_and_sent() {
        fn is<T: Send + Sync + Unpin + 'static>() {}
        is::<Transport>();
    }
}
