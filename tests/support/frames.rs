//! An HTTP/2 server that speaks in frames, over real TLS, and so may break every rule: each connection runs the script that a test gives it.
//!
//! It knows no HPACK beyond the one octet that says `:status: 200`, keeps no state, and acknowledges nothing unless told to. Like [`super::peer`] it
//! lives on a thread of its own.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certs;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// SETTINGS_MAX_CONCURRENT_STREAMS.
pub const MAX_STREAMS: u16 = 3;

/// `:status: 200`, indexed in HPACK's static table.
pub const OK: &[u8] = &[0x88];

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of an RST_STREAM.
    pub fn code(&self) -> u32 {
        self.payload
            .iter()
            .fold(0, |code, &octet| code << 8 | u32::from(octet))
    }
}

/// The server's end of one connection, after TLS and the client's preface.
pub struct Wire {
    tls: TlsStream<TcpStream>,
    /// Its number, from 1.
    pub nth: u64,
}

impl Wire {
    /// The next frame; none when the client is gone.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.tls.read_exact(&mut header).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.tls.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// The next frame of that kind; others are passed over.
    pub async fn read_until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// All that is still to come, up to TLS's close_notify.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.tls.read_to_end(&mut rest).await?;
        Ok(rest)
    }

    /// Writes one frame and flushes it.
    pub async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.send(&frame(kind, flags, stream, payload)).await
    }

    /// Writes bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes).await?;
        self.tls.flush().await
    }

    /// SETTINGS with these entries.
    pub async fn settings(&mut self, entries: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (id, value) in entries {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let _ = self.write(SETTINGS, 0, 0, &payload).await; // the client may be gone
    }

    /// The whole answer to a request: 200 without a body.
    pub async fn answer(&mut self, stream: u32) {
        let _ = self.write(HEADERS, END_HEADERS | END_STREAM, stream, OK).await;
    }

    /// The head of an answer whose body is to come.
    pub async fn begin_answer(&mut self, stream: u32) {
        let _ = self.write(HEADERS, END_HEADERS, stream, OK).await;
    }

    pub async fn reset(&mut self, stream: u32, code: u32) {
        let _ = self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    pub async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        let _ = self.write(GOAWAY, 0, 0, &payload).await;
    }

    /// Answers what keeps a connection going (SETTINGS, PING) and gives the next frame of any other kind.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            let acked = frame.flags & ACK != 0;
            match frame.kind {
                SETTINGS if !acked => drop(self.write(SETTINGS, ACK, 0, &[]).await),
                PING if !acked => drop(self.write(PING, ACK, 0, &frame.payload).await),
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next request's stream; resets and whatever else comes meanwhile are passed over.
    pub async fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == HEADERS {
                return Some(frame.stream);
            }
        }
    }

    /// Answers every request until the client is gone.
    pub async fn serve(&mut self) {
        while let Some(stream) = self.request().await {
            self.answer(stream).await;
        }
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a frame's length")
        .to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a connection does.
pub type Script = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A running server on 127.0.0.1. Dropping it closes every socket it has.
pub struct FramePeer {
    port: u16,
    accepts: Arc<AtomicU64>,
    stop: watch::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl FramePeer {
    /// Starts it: when this returns, it listens. Each connection runs `script`, and is closed when that ends.
    pub fn start(script: impl Fn(Wire) -> Script + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let accepts = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = watch::channel(());
        let counted = Arc::clone(&accepts);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a peer's runtime");
            runtime.block_on(listen(listener, Arc::new(script), counted, stopped));
        });
        FramePeer {
            port,
            accepts,
            stop,
            thread: Some(thread),
        }
    }

    pub fn ip(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many TCP connections it has accepted.
    pub fn accepts(&self) -> u64 {
        self.accepts.load(Ordering::SeqCst)
    }
}

impl Drop for FramePeer {
    fn drop(&mut self) {
        self.stop.send_replace(());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking(),
            "the peer's thread panicked"
        );
    }
}

async fn listen(
    listener: std::net::TcpListener,
    script: Arc<dyn Fn(Wire) -> Script + Send + Sync>,
    accepts: Arc<AtomicU64>,
    mut stop: watch::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let acceptor = TlsAcceptor::from(config());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(ended) = connections.join_next() => ended.expect("a script does not panic"),
            Ok((tcp, _)) = listener.accept() => {
                let nth = accepts.fetch_add(1, Ordering::SeqCst) + 1;
                tcp.set_nodelay(true).ok();
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
                connections.spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut preface = [0; 24];
                    if tls.read_exact(&mut preface).await.is_ok() {
                        script(Wire { tls, nth }).await;
                    }
                });
            }
        }
    }
    connections.shutdown().await;
}

fn config() -> Arc<ServerConfig> {
    let leaf = certs::good();
    let builder = ServerConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .expect("versions that the provider knows")
        .with_no_client_auth();
    let mut config = builder
        .with_single_cert(leaf.chain.clone(), leaf.key())
        .expect("a chain and its key");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
