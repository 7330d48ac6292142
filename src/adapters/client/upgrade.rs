//! A connection, or a stream of one, that speaks something else by now.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::h2::poll_room;
use crate::{Detached, HotConn};

/// What speaks something else than HTTP by now: see [`Body::into_upgraded`](crate::Body::into_upgraded). A connection (HTTP/1.1), or one stream of it
/// (HTTP/2, CONNECT). It reads first what had come with the head of the answer.
///
/// A connection counts under every limit of the pool until it is dropped, which closes it: nobody else gets it. A stream holds its place until it is over.
#[must_use = "dropped, it is closed"]
pub struct Upgraded {
    way: Way,
    /// What has come and was not read yet.
    read: Bytes,
}

enum Way {
    H1(Box<Detached>),
    // In this order: the lease comes home when nothing of the stream is left.
    H2(Box<(RecvStream, SendStream<Bytes>, Option<HotConn>)>),
}

impl Upgraded {
    pub(super) fn of_h1(conn: Detached, read: Bytes) -> Self {
        let way = Way::H1(Box::new(conn));
        Upgraded { way, read }
    }

    pub(super) fn of_h2(stream: (RecvStream, SendStream<Bytes>, Option<HotConn>)) -> Self {
        let (way, read) = (Way::H2(Box::new(stream)), Bytes::new());
        Upgraded { way, read }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Upgraded { way, read } = self.get_mut();
        while read.is_empty() {
            match way {
                Way::H1(conn) => return Pin::new(conn).poll_read(cx, buf),
                Way::H2(stream) => match ready!(stream.0.poll_data(cx)) {
                    Some(data) => *read = data.map_err(failed)?,
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
        let count = read.len().min(buf.remaining());
        buf.put_slice(&read[..count]);
        read.advance(count);
        if let Way::H2(stream) = way {
            let released = stream.0.flow_control().release_capacity(count);
            released.map_err(failed)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::H1(conn) => Pin::new(conn).poll_write(cx, buf),
            Way::H2(_) if buf.is_empty() => Poll::Ready(Ok(0)),
            Way::H2(stream) => {
                let Some(count) = ready!(poll_room(&mut stream.1, buf.len(), cx)) else {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                };
                let data = Bytes::copy_from_slice(&buf[..count]);
                stream.1.send_data(data, false).map_err(failed)?;
                Poll::Ready(Ok(count))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::H1(conn) => Pin::new(conn).poll_flush(cx),
            Way::H2(_) => Poll::Ready(Ok(())), // its driver sends
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::H1(conn) => Pin::new(conn).poll_shutdown(cx),
            Way::H2(stream) => Poll::Ready(stream.1.send_data(Bytes::new(), true).map_err(failed)),
        }
    }
}

fn failed(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().unwrap_or_else(|| io::ErrorKind::Other.into()),
        false => io::Error::other(error),
    }
}

impl std::fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
