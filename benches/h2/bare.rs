//! Bare connections over TLS, and stock h2 on one of them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hotpool::h2::client::{Builder, ResponseFuture, SendRequest};
use hotpool::http::Request;
use hotpool::rustls::pki_types::ServerName;
use hotpool::rustls::{ClientConfig, RootCertStore};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::certs;

/// One configuration for all who are compared.
pub(super) fn tls(roots: &RootCertStore, alpn: &str) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(certs::provider());
    let mut tls = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.into()];
    Arc::new(tls)
}

pub(super) async fn connect(addr: SocketAddr, tls: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("peer.test").unwrap();
    let connector = TlsConnector::from(Arc::clone(tls));
    connector.connect(name, tcp).await.unwrap()
}

/// A connection of h2's, with the settings of the pool, and the task that moves it.
pub(super) async fn h2(io: TlsStream<TcpStream>) -> SendRequest<Bytes> {
    let (send, connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(100)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_header_list_size(64 << 10)
        .handshake(io)
        .await
        .unwrap();
    tokio::spawn(connection);
    send
}

/// The answer, read to its end: how many bytes its body has.
pub(super) async fn read(response: ResponseFuture) -> usize {
    let mut body = response.await.unwrap().into_body();
    let mut size = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        size += piece.len();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    size
}

/// A body of any kind, read to its end: how many bytes it has.
pub(super) async fn read_frames<B: Body<Data = Bytes, Error: std::fmt::Debug> + Unpin>(mut body: B) -> usize {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    size
}

/// The same request so often, one after the other, whose answer has so many bytes.
pub(super) async fn ask(mut send: SendRequest<Bytes>, request: Request<()>, times: usize, size: usize) {
    for _ in 0..times {
        std::future::poll_fn(|cx| send.poll_ready(cx)).await.unwrap();
        let (response, _) = send.send_request(request.clone(), true).unwrap();
        assert_eq!(read(response).await, size);
    }
}
