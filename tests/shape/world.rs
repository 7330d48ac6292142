//! Profiles, a client of each, a stock server, and a wire between them that is written down.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hotpool::fingerprint::{FoundHello, HelloSpec, Profile, hellos};
use hotpool::shaped::{Connection, Shape};
use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{ClientConfig, DEFAULT_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_rustls::TlsAcceptor;

use crate::support::certs;

/// A browser, and what its hello has as JA4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Browser {
    Chromium,
    Firefox,
}

pub(crate) const BROWSERS: [Browser; 2] = [Browser::Chromium, Browser::Firefox];

impl Browser {
    pub(crate) fn spec(self) -> HelloSpec {
        let names: &[&str] = match self {
            Browser::Chromium => &[
                "chromium-156-00",
                "chromium-156-01",
                "chromium-156-02",
                "chromium-156-resume-01",
            ],
            Browser::Firefox => &["firefox-153esr-resume-00", "firefox-153esr-resume-01"],
        };
        HelloSpec::from_client_hellos(names.iter().map(|name| fixture(name)))
            .unwrap()
            .spec
    }

    /// As the captures have it (see the fixtures' own README).
    pub(crate) fn ja4(self, resumed: bool) -> &'static str {
        match (self, resumed) {
            (Browser::Chromium, false) => "t13d1517h2_8daaf6152771_cb7bf5808d99",
            (Browser::Chromium, true) => "t13d1518h2_8daaf6152771_e2d80978ab2e",
            (Browser::Firefox, false) => "t13d1617h2_86a278354501_3cbfd9057e0d",
            (Browser::Firefox, true) => "t13d1617h2_86a278354501_e6dcd7ae0a9e",
        }
    }

    pub(crate) fn profile(self) -> Profile {
        match self {
            Browser::Chromium => Profile::chromium(156).expect("known"),
            Browser::Firefox => Profile::firefox_esr(153).expect("known"),
        }
    }

    pub(crate) fn client(self) -> Client {
        Client::new(&self.spec())
    }
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hello");
    std::fs::read(dir.join(format!("{name}.bin"))).unwrap()
}

/// A shape and a configuration for it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) shape: Shape,
    pub(crate) config: Arc<ClientConfig>,
}

impl Client {
    pub(crate) fn new(spec: &HelloSpec) -> Self {
        Client::with(spec, certs::authority().roots(), None)
    }

    pub(crate) fn with(spec: &HelloSpec, roots: RootCertStore, own: Option<certs::Leaf>) -> Self {
        let shape = Shape::new(spec, &certs::provider()).unwrap();
        let builder = ClientConfig::builder_with_provider(shape.provider())
            .with_protocol_versions(&shape.versions())
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(leaf) => builder
                .with_client_auth_cert(leaf.chain.clone(), leaf.key())
                .unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        shape.complete(&mut config);
        Client {
            shape,
            config: Arc::new(config),
        }
    }

    /// The same with another configuration.
    pub(crate) fn configured(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    pub(crate) fn connect<IO>(&self, io: IO) -> impl Future<Output = io::Result<Connection<IO>>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.shape.connect(&self.config, "peer.test", io)
    }

    /// Connects, and exchanges a line with a server that echoes.
    pub(crate) fn talk<IO>(&self, io: IO) -> impl Future<Output = io::Result<Connection<IO>>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.talk_to("peer.test", io)
    }

    /// The same under another name.
    pub(crate) async fn talk_to<IO>(&self, name: &str, io: IO) -> io::Result<Connection<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let mut connection = self.shape.connect(&self.config, name, io).await?;
        connection.write_all(b"hello").await?;
        connection.flush().await?;
        let mut echo = [0; 5];
        connection.read_exact(&mut echo).await?;
        assert_eq!(&echo, b"hello");
        Ok(connection)
    }
}

/// A stock server.
pub(crate) fn server(
    groups: &[&'static dyn SupportedKxGroup],
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let mut provider = CryptoProvider::clone(&certs::provider());
    if !groups.is_empty() {
        provider.kx_groups = groups.to_vec();
    }
    let mut config = certs::good().config(provider, versions);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    config
}

/// A stock server that shows `leaf`.
pub(crate) fn serve_as(leaf: &certs::Leaf) -> Wire {
    serve(&Arc::new(leaf.config(certs::provider(), DEFAULT_VERSIONS)))
}

/// A stock server at the other end of a pipe, which echoes all it reads. What it says at last is dropped.
pub(crate) fn serve(config: &Arc<ServerConfig>) -> Wire {
    serve_after(config, async {})
}

/// The same, which does nothing before `gate` is open.
pub(crate) fn serve_after(
    config: &Arc<ServerConfig>,
    gate: impl Future<Output = ()> + Send + 'static,
) -> Wire {
    let (wire, server) = beside(config, gate);
    tokio::spawn(server);
    wire
}

/// The same, which is not running: its future is the server.
pub(crate) fn beside(
    config: &Arc<ServerConfig>,
    gate: impl Future<Output = ()> + Send + 'static,
) -> (Wire, impl Future<Output = io::Result<()>> + Send + 'static) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let wire = Wire::new(near);
    let complaint = Arc::clone(&wire.complaint);
    let server = async move {
        gate.await;
        let accepted = acceptor.accept(far).await;
        let mut tls = accepted.inspect_err(|error| *complaint.lock() = format!("{error:?}"))?;
        let mut space = [0; 4096];
        loop {
            let count = tls.read(&mut space).await?;
            if count == 0 {
                return io::Result::Ok(());
            }
            tls.write_all(&space[..count]).await?;
            tls.flush().await?;
        }
    };
    (wire, server)
}

/// A byte of one of the client's hellos whose bits are flipped by a mask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flip {
    /// Which hello.
    pub(crate) nth: usize,
    /// Which byte of its message, counted from the front, or from the end if it is negative.
    pub(crate) at: isize,
    pub(crate) mask: u8,
}

impl Flip {
    /// Where that byte is in the client's stream, of which this has come so far. Each hello is one record.
    fn place(self, stream: &[u8]) -> Option<usize> {
        const HANDSHAKE: u8 = 22;
        let (mut start, mut left) = (0, self.nth);
        while let Some([kind, _, _, high, low]) = stream.get(start..start + 5) {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            start += 5;
            if *kind == HANDSHAKE {
                if left == 0 {
                    let len = isize::try_from(len).unwrap();
                    let at = if self.at < 0 { len + self.at } else { self.at };
                    assert!((0..len).contains(&at));
                    return start.checked_add_signed(at);
                }
                left -= 1;
            }
            start += len;
        }
        None
    }
}

/// A transport that writes down what the client sent, and may change a byte of it.
pub(crate) struct Wire<IO = DuplexStream> {
    io: IO,
    pub(crate) sent: Arc<Mutex<Vec<u8>>>,
    /// How much of it each write brought.
    pub(crate) writes: Arc<Mutex<Vec<usize>>>,
    /// What is changed of a hello on its way.
    pub(crate) flip: Option<Flip>,
    /// What a server of [`serve`] found wrong with the handshake.
    pub(crate) complaint: Arc<Mutex<String>>,
}

impl<IO> Wire<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Wire {
            io,
            sent: Arc::default(),
            writes: Arc::default(),
            flip: None,
            complaint: Arc::default(),
        }
    }

    pub(crate) fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The hellos that the client sent. An encrypted Finished of TLS 1.2 may begin like one; it is none.
    pub(crate) fn hellos(&self) -> Vec<FoundHello> {
        hellos(&self.sent.lock()).map_while(Result::ok).collect()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut bytes = buf.to_vec();
        if let Some(flip) = self.flip {
            let sent = self.sent.lock();
            let place = flip.place(&[sent.as_slice(), buf].concat());
            let within = place.and_then(|place| place.checked_sub(sent.len()));
            if let Some(byte) = within.and_then(|within| bytes.get_mut(within)) {
                *byte ^= flip.mask;
            }
        }
        let written = Pin::new(&mut self.io).poll_write(cx, &bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.sent.lock().extend_from_slice(&bytes[..count]);
            self.writes.lock().push(count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
