//! Servers of a test's own: one that says what it is told to, byte for byte, and one on hyper.

#[path = "../../examples/support/by_alpn.rs"]
mod by_alpn;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hotpool::{Builder, HotConnPool, PoolConfig, StaticResolver};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::common::config;
use crate::support::certs;

pub(crate) type Tls = tokio_rustls::server::TlsStream<TcpStream>;

/// The body of what a server on hyper answers; it may fail, which ends the answer half-way.
pub(crate) type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// A connection of a server, as who answers on it has it.
#[derive(Clone)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: usize,
    cut: Arc<Notify>,
}

impl Line {
    /// Ends it at once, whatever is under way on it, and without a goodbye.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }
}

/// A TLS server for `peer.test`, on tasks of the test's runtime. Dropping it ends every connection.
pub(crate) struct Server {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// One that has `talk` speak on each connection, with its number, from 1.
    pub(crate) async fn scripted<F, T>(alpn: &[&str], talk: F) -> Self
    where
        F: Fn(Tls, usize) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let leaf = certs::good();
        let mut tls = ServerConfig::builder_with_provider(certs::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(leaf.chain.clone(), leaf.key())
            .unwrap();
        tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, talk) = (Arc::clone(&accepted), Arc::new(talk));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut talks = JoinSet::new();
            loop {
                let tcp = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    Some(_) = talks.join_next() => continue,
                };
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (acceptor, talk) = (acceptor.clone(), Arc::clone(&talk));
                talks.spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        talk(stream, number).await;
                    }
                });
            }
        });
        Server {
            addr,
            accepted,
            _tasks: tasks,
        }
    }

    /// One on hyper, which speaks whichever protocol was agreed on.
    pub(crate) async fn hyper<F, T>(alpn: &[&str], answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> T + Send + Sync + 'static,
        T: Future<Output = Answer> + Send + 'static,
    {
        Server::hyper_by_line(alpn, move |request, _| answer(request)).await
    }

    /// The same, and who answers has the connection, too.
    pub(crate) async fn hyper_by_line<F, T>(alpn: &[&str], answer: F) -> Self
    where
        F: Fn(Request<Incoming>, Line) -> T + Send + Sync + 'static,
        T: Future<Output = Answer> + Send + 'static,
    {
        let answer = Arc::new(answer);
        Server::scripted(alpn, move |stream, number| {
            let (answer, cut) = (Arc::clone(&answer), Arc::new(Notify::new()));
            async move {
                let line = Line {
                    number,
                    cut: Arc::clone(&cut),
                };
                tokio::select! {
                    () = by_alpn::serve(stream, |request| answer(request, line.clone())) => {}
                    () = cut.notified() => {}
                }
            }
        })
        .await
    }

    /// `peer.test` at its port.
    pub(crate) fn name(&self) -> String {
        format!("peer.test:{}", self.addr.port())
    }

    pub(crate) fn ip(&self) -> std::net::IpAddr {
        self.addr.ip()
    }

    /// How many connections it has had.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn builder(&self, change: impl FnOnce(&mut PoolConfig)) -> Builder {
        let resolver = StaticResolver::new().with(self.name().as_str(), [self.addr.ip()]);
        HotConnPool::builder()
            .config(config(change))
            .roots(certs::authority().roots())
            .resolver(resolver.unwrap())
    }

    /// A pool that knows and trusts it.
    pub(crate) fn pool(&self) -> HotConnPool {
        self.builder(|_| {}).build().unwrap()
    }
}

/// The head of a request, with its empty line. Nothing, once the client has gone.
pub(crate) async fn head(stream: &mut Tls) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(text).unwrap()
}

/// Says it, and all of it is out.
pub(crate) async fn say(stream: &mut Tls, text: impl AsRef<[u8]>) {
    stream.write_all(text.as_ref()).await.unwrap();
    stream.flush().await.unwrap();
}

/// An answer with this body.
pub(crate) fn whole(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

/// One that answers each request with its own head, and keeps the connection.
pub(crate) async fn mirror() -> Server {
    Server::scripted(&["http/1.1"], |mut stream, _| async move {
        loop {
            let head = head(&mut stream).await;
            if head.is_empty() {
                return;
            }
            say(&mut stream, whole(&head)).await;
        }
    })
    .await
}
