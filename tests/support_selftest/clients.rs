//! Plain clients: tokio-rustls with a hand-written HTTP/1.1 exchange, and stock h2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certs;
use crate::support::peer::filler;
use crate::within;

pub(crate) type Stream = TlsStream<TcpStream>;

/// A configuration that trusts `roots` and offers `alpn`.
pub(crate) fn config(roots: RootCertStore, alpn: &[&str]) -> Arc<ClientConfig> {
    let builder =
        ClientConfig::builder_with_provider(certs::provider()).with_safe_default_protocol_versions();
    let mut config = builder
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A configuration that trusts the test authority.
pub(crate) fn trusting(alpn: &[&str]) -> Arc<ClientConfig> {
    config(certs::authority().roots(), alpn)
}

/// A TLS connection as `peer.test`.
pub(crate) async fn dial(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    handshake(tcp, config).await
}

/// TLS on a TCP connection that stands.
pub(crate) async fn handshake(tcp: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    tcp.set_nodelay(true)?;
    TlsConnector::from(config.clone())
        .connect(ServerName::try_from("peer.test").unwrap(), tcp)
        .await
}

/// An HTTP/1.1 connection.
pub(crate) async fn http1(address: SocketAddr) -> Stream {
    dial(address, &trusting(&["http/1.1"]))
        .await
        .expect("a connection")
}

/// An answer: its head as text (without the status line's CRLF), its body as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Fails the test unless `body` is the first `size` bytes of the peer's filler; tells where it is not, and no more.
pub(crate) fn assert_filler(body: &[u8], size: usize) {
    let expected = filler(size);
    let differs = body.iter().zip(&expected).position(|(got, wanted)| got != wanted);
    assert_eq!(
        (body.len(), differs),
        (size, None),
        "length, and where the first wrong byte is"
    );
}

/// Sends a GET and reads an answer that has a Content-Length.
pub(crate) async fn get(stream: &mut Stream, path: &str) -> io::Result<Answer> {
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: peer.test\r\n\r\n").as_bytes())
        .await?;
    read_answer(stream).await
}

/// Reads one answer that has a Content-Length, or no body.
pub(crate) async fn read_answer(stream: &mut Stream) -> io::Result<Answer> {
    let head = read_head(stream).await?;
    let mut answer = Answer {
        head,
        body: Vec::new(),
    };
    let length = answer
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    answer.body.resize(length, 0);
    within(stream.read_exact(&mut answer.body)).await?;
    Ok(answer)
}

/// Reads up to the empty line behind a head.
pub(crate) async fn read_head(stream: &mut Stream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// What comes until the end of the stream, or the error that ends it.
pub(crate) async fn read_rest(stream: &mut Stream) -> (Vec<u8>, io::Result<()>) {
    let mut rest = Vec::new();
    let ended = within(stream.read_to_end(&mut rest)).await;
    (rest, ended.map(drop))
}

/// An HTTP/2 connection. Its driver is a task that returns how the connection ended.
pub(crate) struct Http2 {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

pub(crate) async fn http2(address: SocketAddr) -> Http2 {
    let stream = dial(address, &trusting(&["h2"])).await.expect("a connection");
    let (send, connection) = h2::client::handshake(stream).await.expect("an HTTP/2 connection");
    Http2 {
        send,
        driver: tokio::spawn(connection),
    }
}

impl Http2 {
    /// A GET, answered in full.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, HeaderMap, Vec<u8>), h2::Error> {
        within(self.exchange(path)).await
    }

    async fn exchange(&self, path: &str) -> Result<(u16, HeaderMap, Vec<u8>), h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let request = Request::get(format!("https://peer.test{path}")).body(()).unwrap();
        let (response, _) = send.send_request(request, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        Ok((head.status.as_u16(), head.headers, bytes))
    }
}
