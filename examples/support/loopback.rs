//! What a TLS server on the loopback stands on: an authority of its own, a certificate, and one port on several addresses.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// A port that is free on the first address may be taken on the others.
const ATTEMPTS: usize = 10;

/// Sockets on 127.0.0.1, .2 and so on, `count` of them, at one free port. Where a system gives its loopback one address alone, on that one.
pub(crate) fn listen(count: u8) -> io::Result<Vec<TcpListener>> {
    let mut trouble = None;
    for _ in 0..ATTEMPTS {
        match listen_once(count) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => trouble = Some(error),
            done => return done,
        }
    }
    Err(trouble.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn listen_once(count: u8) -> io::Result<Vec<TcpListener>> {
    let mut listeners = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
    let port = listeners[0].local_addr()?.port();
    for last in 2..=count {
        match TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) => return Err(error),
        }
    }
    for listener in &listeners {
        listener.set_nonblocking(true)?;
    }
    Ok(listeners)
}

/// A new authority, and what shakes hands with a certificate of its own for these names.
///
/// # Errors
/// None but what this machine's cryptography has to say.
pub(crate) fn tls(names: &[&str]) -> io::Result<(CertificateDer<'static>, TlsAcceptor)> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "hotpool example authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, key()?).map_err(io::Error::other)?;
    let key = key()?;
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let leaf = CertificateParams::new(names).and_then(|leaf| leaf.signed_by(&key, &authority));
    let leaf = leaf.map_err(io::Error::other)?.der().clone();
    let secret = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            let config = config.with_no_client_auth();
            config.with_single_cert(vec![leaf], secret)
        })
        .map_err(io::Error::other)?;
    seed();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((authority.der().clone(), TlsAcceptor::from(Arc::new(config))))
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

/// The authority as the one to trust.
pub(crate) fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}

/// The cryptography that the crate is built with; aws-lc-rs where both are.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}

/// Makes the process's first random key. A provider may gather entropy for tens of milliseconds then, which is no part of anybody's
/// handshake.
pub(crate) fn seed() {
    if let Some(group) = provider().kx_groups.first() {
        let _ = group.start(); // what is wrong shows in the handshakes
    }
}
