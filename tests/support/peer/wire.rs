//! The socket below TLS, shared, so that an order can reach it whoever reads it at the time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::board::Conn;

/// Bytes kept until the ClientHello is over.
const HELLO: usize = 64 * 1024;

/// How often a connection that reads nothing looks whether its client has gone.
const LOOK: Duration = Duration::from_millis(2);

/// A TCP stream that tells its connection's record of a FIN or RST that it meets.
pub(super) struct Wire {
    tcp: Arc<TcpStream>,
    /// Dropped after `tcp`: the record ends once the socket is closed.
    conn: Arc<Conn>,
    hello: Option<Vec<u8>>,
}

impl Wire {
    pub(super) fn new(tcp: Arc<TcpStream>, conn: Arc<Conn>) -> Self {
        let hello = conn.records_bytes().then(Vec::new);
        Self { tcp, conn, hello }
    }

    /// The bytes read up to now, which are kept no longer.
    pub(super) fn take_hello(&mut self) -> Vec<u8> {
        self.hello.take().unwrap_or_default()
    }

    fn note(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::ConnectionReset {
            self.conn.reset();
        }
        error
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.tcp.poll_read_ready(cx))?;
            match this.tcp.try_read(buf.initialize_unfilled()) {
                Ok(0) => {
                    this.conn.fin();
                    return Poll::Ready(Ok(()));
                }
                Ok(count) => {
                    buf.advance(count);
                    if let Some(hello) = this.hello.as_mut().filter(|hello| hello.len() < HELLO) {
                        hello.extend_from_slice(&buf.filled()[buf.filled().len() - count..]);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(this.note(error))),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tcp.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written.map_err(|error| self.note(error))),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(send_fin(&self.tcp))
    }
}

pub(super) fn send_fin(tcp: &TcpStream) -> io::Result<()> {
    SockRef::from(tcp).shutdown(std::net::Shutdown::Write)
}

/// Turns the close of this socket, when its last holder drops it, into an RST.
pub(super) fn reset_when_dropped(tcp: &TcpStream) {
    SockRef::from(tcp)
        .set_linger(Some(Duration::ZERO))
        .expect("SO_LINGER on an open socket");
}

/// Waits for the client's FIN or RST and notes it, without reading a byte.
pub(super) async fn closed(tcp: &TcpStream, conn: &Conn) {
    while !conn.is_gone() {
        match tcp.ready(Interest::READABLE).await {
            // Bytes wait that are not to be read now. Looking again in a while leaves them to be seen by a later read,
            // which clearing the readiness would not.
            Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK).await,
            _ => match tcp.take_error() {
                Ok(None) => conn.fin(),
                _ => conn.reset(),
            },
        }
    }
}

/// Reads and forgets what comes until the client's FIN or RST.
pub(super) async fn drain(tcp: &TcpStream, conn: &Conn) {
    let mut scrap = [0; 4096];
    while !conn.is_gone() {
        let read = match tcp.readable().await {
            Ok(()) => tcp.try_read(&mut scrap),
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => conn.fin(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => conn.reset(),
        }
    }
}
