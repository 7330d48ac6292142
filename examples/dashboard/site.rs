//! The servers that the pool is shown with: two names over four loopback addresses at one port, each address with a switch.
//!
//! They stand on hyper and share no code with the pool, on a thread of their own that ends when this is dropped.
#![expect(
    clippy::disallowed_methods,
    reason = "servers live outside the pool: their own thread, tasks and pauses"
)]

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hotpool::{StaticResolver, TargetError};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::{by_alpn, loopback};

/// Served over HTTP/2, from the first three addresses.
pub(crate) const API: &str = "api.test";
/// Served over HTTP/1.1, from the last three.
pub(crate) const SHOP: &str = "shop.test";

/// 127.0.0.1 to .4; fewer where a system gives its loopback one address alone.
const ADDRESSES: u8 = 4;
/// Of these, each name has so many.
const EACH: usize = 3;
/// Somebody else may have the port for a moment, when a server comes back.
const AGAIN: Duration = Duration::from_millis(50);

/// The running servers. Dropping them closes every socket they have.
pub(crate) struct Site {
    port: u16,
    addresses: Vec<Arc<Address>>,
    authority: CertificateDer<'static>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One address, and what it does.
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    /// Whether anything listens there.
    up: watch::Sender<bool>,
    /// Whether it answers 403 to whoever asks for [`SHOP`].
    forbids: AtomicBool,
}

impl Site {
    /// Starts them: when this returns, they listen.
    ///
    /// # Errors
    /// No port is free on the loopback addresses, or this machine starts no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (authority, acceptor) = loopback::tls(&[API, SHOP])?;
        let listeners = loopback::listen(ADDRESSES)?;
        let bound: Vec<SocketAddr> = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<_>>()?;
        let addresses: Vec<_> = bound.iter().map(|at| Arc::new(Address::new(at.ip()))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serving: Vec<_> = addresses.iter().cloned().zip(listeners).collect();
        let thread = std::thread::Builder::new()
            .name("servers".into())
            .spawn(move || {
                runtime.block_on(async {
                    for (address, listener) in serving {
                        tokio::spawn(address.serve(listener, acceptor.clone()));
                    }
                    let _ = stopped.await; // dropped unsent, it ends the servers just as well
                });
            })?;
        Ok(Site {
            port: bound.first().map_or(0, SocketAddr::port),
            addresses,
            authority,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `name:port`.
    pub(crate) fn target(&self, name: &str) -> String {
        format!("{name}:{}", self.port)
    }

    /// What knows the addresses of both names.
    ///
    /// # Errors
    /// None: the names are targets.
    pub(crate) fn resolver(&self) -> Result<StaticResolver, TargetError> {
        let mut resolver = StaticResolver::new();
        for (target, addresses) in self.origins() {
            resolver = resolver.with(target, addresses.iter().map(|address| address.ip))?;
        }
        Ok(resolver)
    }

    /// The addresses of both names, with their targets.
    pub(crate) fn origins(&self) -> [(String, &[Arc<Address>]); 2] {
        let all = &self.addresses[..];
        let each = EACH.min(all.len());
        [
            (self.target(API), &all[..each]),
            (self.target(SHOP), &all[all.len() - each..]),
        ]
    }

    /// The authority to trust: it was made for these servers alone.
    ///
    /// # Errors
    /// None: the certificate reads as a root.
    pub(crate) fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        loopback::roots(&self.authority)
    }

    /// The address of this place in the list, from 0; the last one where there are fewer.
    pub(crate) fn address(&self, place: usize) -> &Address {
        &self.addresses[place.min(self.addresses.len() - 1)]
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Address {
    fn new(ip: IpAddr) -> Self {
        Address {
            ip,
            up: watch::Sender::new(true),
            forbids: AtomicBool::new(false),
        }
    }

    /// Has it listen, or not: then whoever is connected is cut off, and whoever tries to connect refused.
    pub(crate) fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    pub(crate) fn set_forbids(&self, forbids: bool) {
        self.forbids.store(forbids, Ordering::Relaxed);
    }

    pub(crate) fn forbids(&self) -> bool {
        self.forbids.load(Ordering::Relaxed)
    }

    async fn serve(self: Arc<Self>, first: TcpListener, acceptor: TlsAcceptor) -> Option<()> {
        let mut up = self.up.subscribe();
        let at = first.local_addr().ok()?;
        let mut listener = Some(tokio::net::TcpListener::from_std(first).ok()?);
        loop {
            up.wait_for(|&up| up).await.ok()?;
            let listening = match listener.take() {
                Some(listener) => listener,
                None => again(at).await,
            };
            let mut connections = JoinSet::new();
            while *up.borrow() {
                tokio::select! {
                    accepted = listening.accept() => {
                        // An error here is one connection's, that went before it was taken.
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(Arc::clone(&self).connection(stream, acceptor.clone()));
                        }
                    }
                    Some(_) = connections.join_next() => {} // over, and forgotten
                    changed = up.changed() => changed.ok()?,
                }
            }
            // Both end here: who is connected is cut off, who connects refused.
        }
    }

    /// Serves one connection to its end. What goes wrong on it is the client's to notice.
    async fn connection(self: Arc<Self>, stream: TcpStream, acceptor: TlsAcceptor) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let stream = acceptor.accept(stream).await.ok()?;
        by_alpn::serve(stream, |request| std::future::ready(self.answer(&request))).await;
        Some(())
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let header = request.headers().get(hyper::header::HOST);
        let header = header.and_then(|host| host.to_str().ok());
        let host = request.uri().host().or(header).unwrap_or_default();
        let mut response = Response::new(format!("hello from {}\n", self.ip));
        if self.forbids() && host.starts_with(SHOP) {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        response
    }
}

/// Listens once more where it had listened.
async fn again(at: SocketAddr) -> tokio::net::TcpListener {
    loop {
        match tokio::net::TcpListener::bind(at).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
