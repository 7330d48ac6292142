//! What the pool offers, what it agrees to, and what it remembers: no session crosses identities.

use std::sync::Arc;

use hotpool::fingerprint::Profile;
use hotpool::{Error, ErrorKind, GetOptions, HotConnPool, Phase, Protocol, Require, Tls};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::common::{at_rest, builder, finish, name, pool, resolver, round, use_up, within};
use crate::support::certs;
use crate::support::peer::{Alpn, Peer};

pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub(crate) const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A whole configuration that trusts the test authority and shows no certificate.
pub(crate) fn whole(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn with_whole(peer: &Peer, tls: ClientConfig) -> HotConnPool {
    let builder = HotConnPool::builder().resolver(resolver(peer));
    builder.tls_config(tls).build().unwrap()
}

pub(crate) fn with_setup(peer: &Peer, tls: Tls) -> HotConnPool {
    let builder = HotConnPool::builder().resolver(resolver(peer));
    builder.tls(tls).build().unwrap()
}

/// A get that must fail in the TLS handshake, and leave nothing behind on either side.
pub(crate) async fn refused(pool: HotConnPool, peer: Peer, options: GetOptions) -> Error {
    let name = name(&peer);
    let error = within("the refusal", pool.get_with(&name, options))
        .await
        .unwrap_err();
    assert_eq!(error.phase(), Phase::Tls, "{error:?}");
    assert_eq!(error.target(), Some(name.as_str()), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with(&format!("{name}: tls (127.0.0.1): ")),
        "{error}"
    );
    assert_eq!(pool.size(), 0);
    at_rest(&pool).await;
    let stats = pool.stats();
    assert_eq!(
        (stats.counters.opened, stats.counters.failures(Phase::Tls)),
        (0, 1)
    );
    peer.wait_for("nothing is left", |seen| (seen.accepts, seen.live) == (1, 0))
        .await;
    finish(pool, peer).await;
    error
}

#[tokio::test]
async fn what_the_peer_chooses_is_what_is_spoken() {
    for (alpn, protocol) in [
        (Alpn::Both, Protocol::Http2),
        (Alpn::Http1, Protocol::Http1),
        (Alpn::Http2, Protocol::Http2),
        (Alpn::None, Protocol::Http1),
    ] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut conn = pool.get(&name).await.unwrap();
        assert_eq!(conn.protocol(), protocol, "{alpn:?}");
        assert_eq!(use_up(&mut conn, "/").await.status, 200);
        drop(conn);
        let offered = peer.connections()[0].offered.clone();
        assert_eq!(offered, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn requiring_one_protocol_offers_that_alone() {
    for (require, protocol, offered) in [
        (Require::Http1, Protocol::Http1, &b"http/1.1"[..]),
        (Require::Http2, Protocol::Http2, &b"h2"[..]),
    ] {
        let peer = Peer::start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let options = GetOptions::new().require(require);
        let conn = pool.get_with(&name, options).await.unwrap();
        assert_eq!(conn.protocol(), protocol);
        assert_eq!(peer.connections()[0].offered, [offered]);
        drop(conn);
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn a_required_protocol_that_the_peer_lacks_is_an_error() {
    for (alpn, require) in [
        (Alpn::Http1, Require::Http2),
        (Alpn::Http2, Require::Http1),
        (Alpn::None, Require::Http2),
    ] {
        let peer = Peer::builder().alpn(alpn).start();
        let pool = pool(&peer, |_| {});
        let error = refused(pool, peer, GetOptions::new().require(require)).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{alpn:?}, {require:?}");
    }
}

/// HTTP/1.1 by choice of the peer and HTTP/1.1 by requirement are different identities: neither rides on the other's connection.
#[tokio::test]
async fn a_required_protocol_has_connections_of_its_own() {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    drop(pool.get(&name).await.unwrap());
    let required = GetOptions::new().require(Require::Http1);
    let mut conn = pool.get_with(&name, required.clone()).await.unwrap();
    assert_eq!(use_up(&mut conn, "/").await.conn, 2);
    drop(conn);
    for (options, serial) in [(GetOptions::new(), 1), (required, 2)] {
        let conn = pool.get_with(&name, options).await.unwrap();
        assert_eq!(conn.info().serial, serial);
    }
    finish(pool, peer).await;
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    for (versions, spoken) in [(TLS12, "TLSv1_2"), (TLS13, "TLSv1_3")] {
        let peer = Peer::builder().versions(versions).start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let conn = pool.get(&name).await.unwrap();
        assert_eq!(conn.info().tls.version, spoken);
        drop(conn);
        round(&pool, &name).await;
        assert_eq!(peer.seen().accepts, 1);
        finish(pool, peer).await;
    }
}

/// One connection after another, each used, so that its tickets have been read, and discarded.
async fn dial_anew(pool: &HotConnPool, name: &str, require: Require) -> bool {
    let options = GetOptions::new().require(require);
    let mut conn = within("a connection", pool.get_with(name, options))
        .await
        .unwrap();
    use_up(&mut conn, "/").await;
    let resumed = conn.info().tls.resumed;
    conn.discard();
    resumed
}

#[tokio::test]
async fn sessions_are_resumed_within_an_identity_and_never_across() {
    for versions in [TLS13, TLS12] {
        let peer = Peer::builder().versions(versions).start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut resumed = Vec::new();
        for require in [
            Require::Any,
            Require::Any,
            Require::Http1,
            Require::Http2,
            Require::Http1,
            Require::Http2,
            Require::Any,
        ] {
            resumed.push(dial_anew(&pool, &name, require).await);
        }
        assert_eq!(resumed, [false, true, false, false, true, true, true]);
        let seen: Vec<bool> = peer.connections().iter().map(|seen| seen.resumed).collect();
        assert_eq!(seen, resumed, "the peer says the same");
        finish(pool, peer).await;
    }
}

/// Two hosts behind one certificate and one address do not share sessions, nor do two pools.
#[tokio::test]
async fn sessions_belong_to_one_host_of_one_pool() {
    let peer = Peer::start();
    let (one, two) = (pool(&peer, |_| {}), pool(&peer, |_| {}));
    let (a, b) = (
        crate::common::host(&peer, "a.peer.test"),
        crate::common::host(&peer, "b.peer.test"),
    );
    assert!(!dial_anew(&one, &a, Require::Any).await);
    assert!(!dial_anew(&one, &b, Require::Any).await);
    assert!(!dial_anew(&two, &a, Require::Any).await);
    assert!(dial_anew(&one, &a, Require::Any).await);
    within("close", two.close()).await;
    finish(one, peer).await;
}

/// A whole configuration may have had its sessions turned off, which it does not tell: it resumes only where that is asked for, and then from stores of
/// the pool's own.
#[tokio::test]
async fn a_whole_configuration_resumes_only_if_told_to() {
    let peer = Peer::start();
    let name = name(&peer);
    let shared = Arc::new(whole(certs::authority().roots()));
    for resumes in [false, true] {
        let tls = Tls::builder().config(Arc::clone(&shared));
        let tls = if resumes { tls.resumption(true) } else { tls };
        let pool = with_setup(&peer, tls.build().unwrap());
        let mut resumed = Vec::new();
        for require in [Require::Any, Require::Any, Require::Http1, Require::Http1] {
            resumed.push(dial_anew(&pool, &name, require).await);
        }
        assert_eq!(resumed, [false, resumes, false, resumes]);
        within("close", pool.close()).await;
    }
    let plain = with_whole(&peer, whole(certs::authority().roots()));
    assert!(!dial_anew(&plain, &name, Require::Any).await);
    assert!(!dial_anew(&plain, &name, Require::Any).await);
    finish(plain, peer).await;
}

/// Sessions can be turned off, which leaves nothing by which a peer knows the client again.
#[tokio::test]
async fn without_resumption_no_session_is_resumed() {
    let peer = Peer::start();
    let setup = Tls::builder().roots(certs::authority().roots()).resumption(false);
    let pool = with_setup(&peer, setup.build().unwrap());
    for _ in 0..2 {
        assert!(!dial_anew(&pool, &name(&peer), Require::Any).await);
    }
    finish(pool, peer).await;
}

/// Its ALPN list is the pool's, whatever it had.
#[tokio::test]
async fn a_whole_configuration_offers_what_the_pool_offers() {
    let peer = Peer::start();
    let mut tls = whole(certs::authority().roots());
    tls.alpn_protocols = vec![b"gopher".to_vec()];
    tls.enable_early_data = true;
    let pool = with_whole(&peer, tls);
    round(&pool, &name(&peer)).await;
    let seen = &peer.connections()[0];
    assert_eq!(seen.offered, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    finish(pool, peer).await;
}

/// The name of the target is what TLS asks for, and an address is asked for by no name.
#[tokio::test]
async fn the_server_name_is_the_targets() {
    let peer = Peer::start();
    let pool = pool(&peer, |_| {});
    round(&pool, &crate::common::host(&peer, "A.Peer.Test")).await;
    round(&pool, &format!("127.0.0.1:{}", peer.port())).await;
    let names: Vec<_> = peer.connections().into_iter().map(|seen| seen.sni).collect();
    assert_eq!(names, [Some("a.peer.test".to_owned()), None]);
    finish(pool, peer).await;
}

/// A provider of one's own is taken.
#[tokio::test]
async fn a_provider_of_ones_own_is_used() {
    let mut provider = (*certs::provider()).clone();
    provider
        .cipher_suites
        .retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let pool = builder(&peer, |_| {})
        .provider(Arc::new(provider))
        .build()
        .unwrap();
    let conn = pool.get(name(&peer)).await.unwrap();
    assert_eq!(conn.info().tls.suite, "TLS13_CHACHA20_POLY1305_SHA256");
    drop(conn);
    finish(pool, peer).await;
}

/// ring has no ML-KEM, of which both browsers send a share.
#[cfg(feature = "ring")]
#[test]
fn a_profile_that_the_cryptography_cannot_serve_is_told_when_the_pool_is_built() {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    for profile in [
        Profile::chromium(156).expect("known"),
        Profile::firefox_esr(153).expect("known"),
    ] {
        let built = HotConnPool::builder()
            .provider(Arc::clone(&ring))
            .profile(profile)
            .build();
        let error = built.unwrap_err();
        assert_eq!(error.field(), "profile");
        assert!(error.to_string().contains("group 0x11ec"), "{error}");
        assert!(error.to_string().contains("ring has no ML-KEM"), "{error}");
    }
}

/// Those without it, and whatever is drawn from a seed, shake hands over the provider that stands first, be it ring alone.
#[tokio::test]
async fn profiles_without_ml_kem_shake_hands_over_any_cryptography() {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let fixed = [Profile::curl(), Profile::node(), Profile::go(), Profile::python()];
    for profile in fixed.into_iter().chain((0..20).map(Profile::randomized)) {
        let ja4 = profile.hello().unwrap().ja4().to_string();
        let pool = builder(&peer, |_| {}).profile(profile.clone()).build().unwrap();
        let conn = pool.get(name(&peer)).await.unwrap();
        let seen = conn.info().tls.prints.clone().unwrap().ja4().to_string();
        assert_eq!(seen, ja4, "{}", profile.name());
        drop(conn);
        pool.close().await;
    }
}
