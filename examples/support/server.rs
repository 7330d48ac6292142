//! A TLS server for examples: `hotpool.test`, on three loopback addresses at one port, HTTP/2 and HTTP/1.1 by ALPN.
//!
//! It stands on hyper and shares no code with the pool. Every path answers 200 with one line of text, and with
//! the `x-tag` of its request, if that has one. It runs on a thread of its own and
//! ends when it is dropped.
#![expect(
    clippy::disallowed_methods,
    reason = "a server lives outside the pool: its own thread and tasks"
)]

mod by_alpn;
pub(crate) mod loopback;

use std::error::Error;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::thread::JoinHandle;

use hotpool::{StaticResolver, TargetError};
use hyper::body::Incoming;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "hotpool.test";

/// 127.0.0.1, .2 and .3.
const ADDRESSES: u8 = 3;

/// A running server. Dropping it closes every socket it has.
pub(crate) struct Server {
    port: u16,
    ips: Vec<IpAddr>,
    authority: CertificateDer<'static>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it: when this returns, it listens.
    ///
    /// # Errors
    /// No port is free on the loopback addresses, or this machine starts no thread.
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let (authority, acceptor) = loopback::tls(&[NAME])?;
        let listeners = loopback::listen(ADDRESSES)?;
        let addresses: Vec<_> = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("server".into()).spawn(move || {
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(accept(listener, acceptor.clone()));
                }
                let _ = stopped.await; // dropped unsent, it ends the server just as well
            });
        })?;
        Ok(Server {
            port: addresses.first().map_or(0, std::net::SocketAddr::port),
            ips: addresses.iter().map(std::net::SocketAddr::ip).collect(),
            authority,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The target that it serves: `hotpool.test:port`.
    pub(crate) fn target(&self) -> String {
        format!("{NAME}:{}", self.port)
    }

    /// What knows its addresses.
    ///
    /// # Errors
    /// None: its name is a target.
    pub(crate) fn resolver(&self) -> Result<StaticResolver, TargetError> {
        StaticResolver::new().with(self.target(), self.ips.iter().copied())
    }

    /// The authority to trust: it was made for this server alone, and signs nothing else.
    ///
    /// # Errors
    /// None: the certificate reads as a root.
    pub(crate) fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        loopback::roots(&self.authority)
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

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        // An error here is one connection's, that went before it was taken.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone()));
        }
    }
}

/// Serves one connection to its end. What goes wrong on it is the client's to notice.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let ip = stream.local_addr().ok()?.ip();
    let stream = acceptor.accept(stream).await.ok()?;
    let answer = |request: hyper::Request<Incoming>| async move {
        let text = format!("hello from {ip} over {:?}\n", request.version());
        let mut answer = hyper::Response::new(text);
        if let Some(tag) = request.headers().get("x-tag") {
            answer.headers_mut().insert("x-tag", tag.clone());
        }
        answer
    };
    by_alpn::serve(stream, answer).await;
    Some(())
}
