//! What a TLS setup is to blame for itself: its own code, its own certificate, what it alone offers. Others may be served where it is not.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hotpool::fingerprint::{HelloSpec, Profile, Slot};
use hotpool::{
    Builder, Candidate, ErrorKind, GetOptions, HotConnPool, Phase, SourcePolicy, StaticResolver,
    StaticSources, StatusValidator, Tls, TlsBuilder, Validating, Validator,
};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureAlgorithm, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};

use super::{as_soon_as, lease, one_thread, poll_once};
use crate::common::{builder, finish, name, until, within};
use crate::support::certs;
use crate::support::peer::{Alpn, Peer};

const BOTH: [Alpn; 2] = [Alpn::Http1, Alpn::Http2];

fn trusting() -> TlsBuilder {
    Tls::builder().roots(certs::authority().roots())
}

/// Where the code of a setup's owner panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Certificate,
    Signature,
    Resolver,
    Key,
    Signer,
}

impl At {
    fn here(self, at: At) {
        assert_ne!(self, at, "a panic that is wanted");
    }
}

impl ServerCertVerifier for At {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.here(At::Certificate);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.here(At::Signature);
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.here(At::Signature);
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        certs::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ResolvesClientCert for At {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.here(At::Resolver);
        let chain = certs::authority().client("the client").chain;
        Some(Arc::new(CertifiedKey::new(chain, Arc::new(*self))))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl SigningKey for At {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.here(At::Key);
        Some(Box::new(*self))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for At {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        self.here(At::Signer);
        Err(Error::General("nobody signs here".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// One that panics there: as a whole configuration, or as another verifier, under a profile or under none.
fn panics(at: At, profile: Option<Profile>) -> Tls {
    if matches!(at, At::Certificate | At::Signature) {
        let setup = trusting().verifier(Arc::new(at));
        return match profile {
            Some(profile) => setup.profile(profile).build().unwrap(),
            None => setup.build().unwrap(),
        };
    }
    let config = ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(certs::authority().roots())
        .with_client_cert_resolver(Arc::new(at));
    Tls::builder().config(config).build().unwrap()
}

/// Its caller is told what happened, whoever comes with another setup is served, what was leased comes back, and it is tried anew by the next.
#[tokio::test]
async fn a_setup_that_panics_says_so_and_blames_nobody() {
    for (at, profile) in [
        (At::Certificate, None),
        (At::Certificate, Some(Profile::curl())),
        (At::Signature, None),
        (At::Resolver, None),
        (At::Key, None),
        (At::Signer, None),
    ] {
        let case = format!("{at:?} {profile:?}");
        let peer = Peer::builder().client_auth(certs::authority().roots()).start();
        let client = certs::authority().client("the client");
        let sound = trusting().client_identity(client.chain.clone(), client.key());
        let source = StaticSources::new([[127, 0, 0, 9].into()]).unwrap();
        let pool = builder(&peer, |_| {}).sources(SourcePolicy::require(source));
        let pool = pool.build().unwrap();
        pool.update_tls(panics(at, profile));
        let name = name(&peer);
        for _ in 0..2 {
            let error = within(&case, pool.get(&name)).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.phase(), error.ip()),
                (ErrorKind::Tls, Phase::Tls, Some(peer.ips()[0])),
                "{case}"
            );
            assert!(format!("{error:?}").contains("panicked"), "{error:?}");
            assert!(pool.manager().blocklist().is_empty(), "{case}");
        }
        until(&pool, "its sources are back", |stats| stats.sources.leased == 0).await;
        let other = GetOptions::new().tls(sound.build().unwrap());
        drop(within(&case, pool.get_with(&name, other)).await.unwrap());
        assert!(pool.stats().tasks.iter().all(|task| task.panics == 0), "{case}");
        finish(pool, peer).await;
    }
}

/// Shows a certificate that the peer refuses.
fn unknown() -> GetOptions {
    let client = certs::unknown_authority().client("the client");
    let setup = trusting().client_identity(client.chain.clone(), client.key());
    GetOptions::new().tls(setup.build().unwrap())
}

/// A peer that wants certificates, and a pool that has one.
fn certified(alpn: Alpn) -> (Peer, Builder) {
    let peer = Peer::builder()
        .alpn(alpn)
        .client_auth(certs::authority().roots())
        .start();
    let client = certs::authority().client("the client");
    let pool = builder(&peer, |_| {}).client_identity(client.chain.clone(), client.key());
    (peer, pool)
}

/// It says by which alert it was refused, if anybody was there to hear that, and blocks nothing.
fn is_refused(pool: &HotConnPool, error: &hotpool::Error, phases: &[Phase]) {
    assert!(pool.manager().blocklist().is_empty(), "{error:?}");
    assert!(phases.contains(&error.phase()), "{error:?}");
    if error.phase() == Phase::Acquire {
        return assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error:?}");
    }
    assert_eq!(
        (error.kind(), error.retry_after()),
        (ErrorKind::Tls, None),
        "{error:?}"
    );
    let cause: Option<&Error> = error.cause().unwrap().downcast_ref();
    assert!(matches!(cause, Some(Error::AlertReceived(_))), "{error:?}");
}

/// A server of TLS 1.3 says so behind the handshake, to whoever asks something first: the pool's validator, or a call's.
#[tokio::test]
async fn a_client_certificate_that_is_refused_blames_nobody_however_late() {
    let validator = || StatusValidator::new("/").unwrap();
    for alpn in BOTH {
        for by_call in [false, true] {
            let case = format!("{alpn:?}, by the call: {by_call}");
            let (peer, pool) = certified(alpn);
            let (pool, options, phases) = match by_call {
                // Its certificate may have been refused before it asks, or is granted what was dialled.
                true => (
                    pool,
                    unknown().validate(Arc::new(validator())),
                    &[Phase::Validate, Phase::Tls, Phase::Acquire][..],
                ),
                false => (pool.validator(validator()), unknown(), &[Phase::Validate][..]),
            };
            let (pool, name) = (pool.build().unwrap(), name(&peer));
            for _ in 0..3 {
                let refused = within(&case, pool.get_with(&name, options.clone())).await;
                is_refused(&pool, &refused.unwrap_err(), phases);
            }
            lease(&pool, &name).await.discard();
            finish(pool, peer).await;
        }
    }
}

/// A door to a peer, in a thread of its own, for one guest: when the peer closes, the guest has what it said, and a reset. Says so when that is done.
fn door(peer: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (addr, gone) = (listener.local_addr().unwrap(), Arc::<AtomicBool>::default());
    let done = Arc::clone(&gone);
    let serve = async move {
        let (mut guest, _) = TcpListener::from_std(listener).unwrap().accept().await.unwrap();
        let mut inside = TcpStream::connect(peer).await.unwrap();
        {
            let ((mut from, mut to), (mut answer, mut ask)) = (guest.split(), inside.split());
            tokio::select! {
                _ = tokio::io::copy(&mut answer, &mut to) => {}
                () = async {
                    let _ = tokio::io::copy(&mut from, &mut ask).await;
                    pending().await
                } => {}
            }
        }
        guest.set_zero_linger().unwrap();
        drop(guest);
        done.store(true, Ordering::SeqCst);
    };
    std::thread::spawn(move || one_thread().block_on(serve));
    (addr, gone)
}

/// Asks once its peer has gone, and lets nobody see that before.
struct Late(Arc<AtomicBool>);

impl Validator for Late {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        while !self.0.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Box::pin(async move { StatusValidator::new("/").unwrap().validate(conn).await })
    }
}

/// Where its peer takes nothing more it is the write that fails: why is read all the same.
#[tokio::test]
async fn why_a_certificate_was_refused_is_heard_where_a_write_fails() {
    let (peer, pool) = certified(Alpn::Http2);
    let (door, gone) = door(peer.addr(0));
    let target = format!("peer.test:{}", door.port());
    let resolver = StaticResolver::new().with(&*target, [door.ip()]).unwrap();
    let pool = pool.validator(Late(gone)).resolver(resolver).build().unwrap();
    let refused = within("a refusal", pool.get_with(&target, unknown())).await;
    is_refused(&pool, &refused.unwrap_err(), &[Phase::Validate]);
    finish(pool, peer).await;
}

/// Where nobody asks anything it may say so before anybody has the connection.
#[tokio::test]
async fn a_certificate_that_is_refused_before_anybody_has_the_connection_blames_nobody() {
    let (peer, pool) = certified(Alpn::Http1);
    let (pool, name) = (pool.build().unwrap(), name(&peer));
    let mut getting = Box::pin(pool.get_with(&name, unknown()));
    for refused in 1..=3 {
        assert!(poll_once(getting.as_mut()).await.is_none());
        peer.wait_for("it is refused", |seen| seen.handshakes_failed == refused)
            .await;
        as_soon_as(&pool, "it stood", |stats| stats.counters.opened == refused).await;
    }
    let error = within("a refusal", getting).await.unwrap_err();
    is_refused(&pool, &error, &[Phase::Tls]);
    lease(&pool, &name).await.discard();
    finish(pool, peer).await;
}

/// Whichever protocols the call takes.
#[tokio::test]
async fn protocols_that_a_setup_alone_does_not_offer_blame_nobody() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let curl = Profile::curl();
    let hello = curl.hello().unwrap();
    let slots = hello.slots().iter().cloned().map(|slot| match slot {
        Slot::Alpn(_) => Slot::Alpn(vec!["http/1.1".to_owned()]),
        slot => slot,
    });
    let hello = HelloSpec::new(hello.cipher_suites().to_vec(), slots.collect()).unwrap();
    let setup = trusting().profile(Profile::custom("old", hello)).build().unwrap();
    let (pool, name) = (builder(&peer, |_| {}).build().unwrap(), name(&peer));
    let refused = within("a refusal", pool.get_with(&name, GetOptions::new().tls(setup))).await;
    let error = refused.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Protocol, Phase::Tls),
        "{error:?}"
    );
    assert!(pool.manager().blocklist().is_empty());
    lease(&pool, &name).await.discard();
    finish(pool, peer).await;
}

/// What a peer does once a protocol was chosen is its own affair, whoever brought the setup: or it would be asked again at once, without end.
#[tokio::test]
async fn what_breaks_behind_a_setup_blames_the_address() {
    for alpn in BOTH {
        let peer = Peer::builder().alpn(alpn).start();
        let pool = builder(&peer, |_| {}).validator(StatusValidator::new("/reset/2").unwrap());
        let (pool, name) = (pool.build().unwrap(), name(&peer));
        let options = GetOptions::new().tls(trusting().build().unwrap());
        let broken = within("a reset", pool.get_with(&name, options.clone())).await;
        let broken = broken.unwrap_err();
        assert_eq!(broken.phase(), Phase::Validate, "{broken:?}");
        let again = within("a refusal", pool.get_with(&name, options)).await;
        let again = again.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Blocked, "{alpn:?}: {again:?}");
        assert!(again.retry_after().is_some());
        assert_eq!(peer.seen().accepts, 1, "{alpn:?}");
        finish(pool, peer).await;
    }
}
