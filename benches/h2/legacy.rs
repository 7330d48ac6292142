//! The client of hyper-util, over the same TLS.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotpool::http::{Request, Uri};
use http_body_util::Empty;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::{Server, bare};

#[derive(Clone)]
pub(super) struct Client(hyper_util::client::legacy::Client<Connector, Empty<Bytes>>);

impl Client {
    pub(super) fn new(server: &Server) -> Self {
        let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        builder.http2_only(server.is_http2()); // then one dial for all
        Client(builder.build(Connector(server.clone())))
    }

    /// How many bytes the answer has.
    pub(super) async fn get(&self, request: Request<()>) -> usize {
        let answer = self.0.request(request.map(|()| Empty::new())).await.unwrap();
        bare::read_frames(answer.into_body()).await
    }

    /// The same of another host, each of which gets a connection of its own.
    pub(super) async fn get_of(&self, host: usize, mut request: Request<()>) -> usize {
        let uri = format!("https://peer.test:{}/bytes/100", 1 + host);
        *request.uri_mut() = uri.parse().unwrap();
        self.get(request).await
    }
}

/// Goes to the one server, whatever it is asked for.
#[derive(Clone)]
struct Connector(Server);

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let server = self.0.clone();
        let http2 = server.is_http2();
        Box::pin(async move { Ok(Stream(TokioIo::new(server.connect().await), http2)) })
    }
}

/// And whether it speaks HTTP/2.
pub(super) struct Stream(TokioIo<TlsStream<TcpStream>>, bool);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self.1 {
            true => Connected::new().negotiated_h2(),
            false => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize, std::io::Error>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize, std::io::Error>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
