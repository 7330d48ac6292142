//! Whom the pool trusts and to whom it shows itself: nothing unverified is ever pooled, and each refusal has its own name.

use hotpool::{Builder, ErrorKind, GetOptions, HotConnPool, Returned};
use rustls::RootCertStore;

use crate::common::{builder, config, finish, name, pool, resolver, round, use_up, within};
use crate::support::certs::{self, Leaf};
use crate::support::peer::{Alpn, Peer, To};
use crate::tls::{TLS12, TLS13, refused, whole, with_whole};

fn bad_leaves() -> [(&'static str, Leaf, ErrorKind); 6] {
    [
        ("wrong name", certs::wrong_name(), ErrorKind::CertificateName),
        ("expired", certs::expired(), ErrorKind::CertificateExpired),
        (
            "not yet valid",
            certs::not_yet_valid(),
            ErrorKind::CertificateNotYetValid,
        ),
        (
            "unknown authority",
            certs::unknown_ca(),
            ErrorKind::CertificateIssuer,
        ),
        (
            "self-signed",
            certs::self_signed(),
            ErrorKind::CertificateSelfSigned,
        ),
        (
            "self-signed authority",
            certs::self_signed_ca(),
            ErrorKind::CertificateSelfSigned,
        ),
    ]
}

#[tokio::test]
async fn each_bad_certificate_is_refused_by_its_own_name() {
    for versions in [TLS13, TLS12] {
        for (what, leaf, kind) in bad_leaves() {
            let peer = Peer::builder().certificate(leaf).versions(versions).start();
            let pool = pool(&peer, |_| {});
            let error = refused(pool, peer, GetOptions::new()).await;
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
        }
    }
}

/// A whole configuration has a verifier of its own, which may call a self-signed certificate by another name; it is refused all the same.
#[tokio::test]
async fn a_whole_configuration_refuses_the_same() {
    for (what, leaf, kind) in bad_leaves() {
        let peer = Peer::builder().certificate(leaf).start();
        let pool = with_whole(&peer, whole(certs::authority().roots()));
        let error = refused(pool, peer, GetOptions::new()).await;
        if kind == ErrorKind::CertificateSelfSigned {
            let kinds = [ErrorKind::CertificateIssuer, ErrorKind::CertificateInvalid];
            assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
        } else {
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
        }
    }
}

/// The connection that is trusted lives on; a new one to the same peer is judged anew.
#[tokio::test]
async fn each_connection_is_judged_by_its_own_certificate() {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut trusted = pool.get(&name).await.unwrap();
    peer.switch_certificate(To::All, &certs::expired());
    let error = within("the refusal", pool.get(&name)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CertificateExpired);
    assert_eq!(use_up(&mut trusted, "/").await.conn, 1);
    assert_eq!(pool.put(trusted), Returned::Kept);
    assert_eq!(pool.size(), 1);
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_good_certificate_by_an_intermediate_and_a_root_of_ones_own_are_trusted() {
    let by_intermediate = certs::authority().server_by_intermediate(&["peer.test"]);
    let peer = Peer::builder().certificate(by_intermediate).start();
    let trusting = pool(&peer, |_| {});
    assert_eq!(round(&trusting, &name(&peer)).await.status, 200);
    finish(trusting, peer).await;

    let own = certs::self_signed();
    let roots = own.as_root();
    let peer = Peer::builder().certificate(own).start();
    let known = HotConnPool::builder().roots(roots).resolver(resolver(&peer));
    let pool = known.build().unwrap();
    assert_eq!(round(&pool, &name(&peer)).await.status, 200);
    finish(pool, peer).await;
}

/// Without any roots of one's own Mozilla's are trusted, which have never heard of the test authority.
#[tokio::test]
async fn the_default_roots_do_not_know_the_test_authority() {
    let peer = Peer::start();
    let pool = HotConnPool::builder().resolver(resolver(&peer)).build().unwrap();
    let error = refused(pool, peer, GetOptions::new()).await;
    assert_eq!(error.kind(), ErrorKind::CertificateIssuer);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks() {
    let client = certs::authority().client("the client");
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder()
            .alpn(alpn)
            .client_auth(certs::authority().roots())
            .start();
        let pool = builder(&peer, |_| {})
            .client_identity(client.chain.clone(), client.key())
            .build()
            .unwrap();
        assert_eq!(round(&pool, &name(&peer)).await.status, 200);
        let shown = peer.connections()[0].client_chain.clone();
        assert_eq!(shown.first().map(Vec::as_slice), Some(client.chain[0].as_ref()));
        finish(pool, peer).await;
    }
}

/// Shown to nobody who does not ask.
#[tokio::test]
async fn a_client_certificate_is_not_shown_unasked() {
    let client = certs::authority().client("the client");
    let peer = Peer::start();
    let pool = builder(&peer, |_| {})
        .client_identity(client.chain.clone(), client.key())
        .build()
        .unwrap();
    round(&pool, &name(&peer)).await;
    assert!(peer.connections()[0].client_chain.is_empty());
    finish(pool, peer).await;
}

fn fault(builder: Builder) -> &'static str {
    builder.build().expect_err("must be refused").field()
}

#[test]
fn what_cannot_be_built_names_the_field() {
    let roots = || certs::authority().roots();
    let client = certs::authority().client("the client");
    let start = HotConnPool::builder;
    assert_eq!(fault(start().roots(RootCertStore::empty())), "roots");
    assert_eq!(fault(start().tls_config(whole(roots())).roots(roots())), "roots");
    assert_eq!(
        fault(start().tls_config(whole(roots())).provider(certs::provider())),
        "provider"
    );
    let identity = start().client_identity(client.chain.clone(), client.key());
    assert_eq!(fault(identity.tls_config(whole(roots()))), "client_identity");
    let another_key = certs::authority().client("another").key();
    let mismatched = start()
        .roots(roots())
        .client_identity(client.chain.clone(), another_key);
    assert_eq!(fault(mismatched), "client_identity");
    assert_eq!(
        fault(start().config(config(|config| config.max_per_ip = 0))),
        "max_per_ip"
    );
}
