//! The server that everybody connects to: HTTP/1.1 over TLS on 127.0.0.1, .2 and .3 at one port, on a thread of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name that its certificate is for; every name one label below it is good as well.
pub(crate) const NAME: &str = "peer.test";

/// How many addresses it has.
pub(crate) const IPS: u8 = 3;

pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: peer.test\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// What a rival's pool holds: a connection of the same kind as ours, boxed, so that no pool pays for moving it.
pub(crate) type Stream = Box<TlsStream<TcpStream>>;

/// A running server. It ends when it is dropped.
pub(crate) struct Server {
    port: u16,
    roots: RootCertStore,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let (roots, acceptor) = tls();
        let listeners = listen().expect("a port that is free on three loopback addresses");
        let port = listeners[0].local_addr().expect("a bound socket").port();
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for listener in listeners {
                    tokio::spawn(accept(listener, acceptor.clone()));
                }
                let _ = stopped.await; // dropped unsent, it ends the server just as well
            });
        };
        let thread = std::thread::Builder::new().name("server".into()).spawn(serve);
        Server {
            port,
            roots,
            stop: Some(stop),
            thread: Some(thread.expect("a thread")),
        }
    }

    pub(crate) fn target(&self) -> String {
        format!("{NAME}:{}", self.port)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        self.roots.clone()
    }

    /// What a rival dials with.
    pub(crate) fn dialler(&self) -> Dialler {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Dialler {
            connector: TlsConnector::from(Arc::new(config)),
            port: self.port,
            dials: AtomicU64::new(0),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes connections for rivals, to each address in turn, and counts them.
pub(crate) struct Dialler {
    connector: TlsConnector,
    port: u16,
    dials: AtomicU64,
}

impl Dialler {
    pub(crate) async fn dial(&self) -> io::Result<Stream> {
        let number = self.dials.fetch_add(1, Ordering::Relaxed);
        let tcp = TcpStream::connect(SocketAddr::new(ip(number), self.port)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, tcp).await?))
    }

    /// How many connections it was asked for.
    pub(crate) fn dials(&self) -> u64 {
        self.dials.load(Ordering::Relaxed)
    }
}

/// The server's addresses, in turn.
pub(crate) fn ip(number: u64) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, 1 + (number % u64::from(IPS)) as u8).into()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A port that is free on the first address may be taken on another: tries a few.
fn listen() -> io::Result<Vec<TcpListener>> {
    let once = || {
        let first = TcpListener::bind((ip(0), 0))?;
        let port = first.local_addr()?.port();
        let rest = (1..u64::from(IPS)).map(|number| TcpListener::bind((ip(number), port)));
        let all: io::Result<Vec<_>> = std::iter::once(Ok(first)).chain(rest).collect();
        all.and_then(|all| {
            all.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
            Ok(all)
        })
    };
    (0..9).find_map(|_| once().ok()).map_or_else(once, Ok)
}

/// An authority of its own, and what shakes hands with a certificate that it signed.
fn tls() -> (RootCertStore, TlsAcceptor) {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let names = [NAME.to_owned(), format!("*.{NAME}")];
    let (key, params) = (key(), CertificateParams::new(names).expect("names"));
    let leaf = params.signed_by(&key, &authority).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a root");
    let secret = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], secret)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (roots, TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
    loop {
        // An error here is one connection's, that went before it was taken.
        if let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, acceptor.clone()));
        }
    }
}

/// Answers every request of one connection, to its end. What goes wrong on it is the client's to notice.
async fn serve(tcp: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = acceptor.accept(tcp).await?;
    let mut head = Vec::with_capacity(256);
    while stream.read_buf(&mut head).await? > 0 {
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(ANSWER).await?;
            stream.flush().await?;
        }
    }
    Ok(())
}

/// One request with its answer, read to its end.
pub(crate) async fn exchange(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + ?Sized),
) {
    stream.write_all(REQUEST).await.expect("a request is sent");
    stream.flush().await.expect("a request is sent");
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, ANSWER, "what the server says");
}
