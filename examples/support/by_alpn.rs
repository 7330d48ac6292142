//! One connection of a TLS server on hyper: HTTP/2 or HTTP/1.1, as ALPN has it.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;

use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Serves it to its end, upgrades and tunnels included. What goes wrong on it is its client's to notice.
pub(crate) async fn serve<F, A, B>(stream: TlsStream<TcpStream>, answer: F)
where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let io = TokioIo::new(stream);
    let _ = if http2 {
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.enable_connect_protocol();
        server.serve_connection(io, service).await
    } else {
        let server = http1::Builder::new();
        server.serve_connection(io, service).with_upgrades().await
    };
}
