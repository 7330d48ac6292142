//! TLS setups: what each part does, which are equal, and what becomes of connections when the pool's own is replaced.

use std::sync::Arc;

use hotpool::{CloseReason, ErrorKind, GetOptions, HotConnPool, Returned, Revocation, Tls, TlsBuilder};
use rustls::{RootCertStore, SignatureScheme};

use crate::common::{finish, name, resolver, round, use_up, within};
use crate::support::certs::{self, Leaf};
use crate::support::peer::{Alpn, Peer, To};
use crate::support::verifier::Second;
use crate::tls::{TLS12, TLS13, refused, whole, with_setup};

fn trusting() -> TlsBuilder {
    Tls::builder().roots(certs::authority().roots())
}

fn extra(refuses_certificates: bool, refuses_signatures: bool) -> Arc<Second> {
    Arc::new(Second {
        refuses_certificates,
        refuses_signatures,
        ..Second::knowing([SignatureScheme::ECDSA_NISTP256_SHA256])
    })
}

#[tokio::test]
async fn a_verifier_beside_the_roots_can_refuse_and_nothing_else() {
    for versions in [TLS13, TLS12] {
        for (certificates, signatures, kind) in [
            (true, false, ErrorKind::CertificateInvalid),
            (false, true, ErrorKind::Tls),
        ] {
            let peer = Peer::builder().versions(versions).start();
            let tls = trusting()
                .verifier(extra(certificates, signatures))
                .build()
                .unwrap();
            let error = refused(with_setup(&peer, tls), peer, GetOptions::new()).await;
            assert_eq!(error.kind(), kind, "{error:?}");
        }
        let peer = Peer::builder().versions(versions).start();
        let pool = with_setup(&peer, trusting().verifier(extra(false, false)).build().unwrap());
        assert_eq!(round(&pool, &name(&peer)).await.status, 200);
        finish(pool, peer).await;

        // It has nothing against this one, and the roots do.
        let peer = Peer::builder()
            .versions(versions)
            .certificate(certs::unknown_ca())
            .start();
        let tls = trusting().verifier(extra(false, false)).build().unwrap();
        let error = refused(with_setup(&peer, tls), peer, GetOptions::new()).await;
        assert_eq!(error.kind(), ErrorKind::CertificateIssuer, "{error:?}");
    }
}

/// Whether a client with this policy accepts a server with this leaf.
async fn accepts(leaf: Leaf, revocation: Revocation) -> bool {
    let peer = Peer::builder().certificate(leaf).start();
    let pool = with_setup(&peer, trusting().revocation(revocation).build().unwrap());
    let got = within("a verdict", pool.get(name(&peer))).await;
    let accepted = match got {
        Ok(mut conn) => use_up(&mut conn, "/").await.status == 200,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::CertificateInvalid, "{error:?}");
            false
        }
    };
    within("close", pool.close()).await;
    peer.shutdown().await;
    accepted
}

#[tokio::test]
async fn a_certificate_that_was_called_back_is_refused() {
    let authority = certs::authority();
    let (bad, good) = (certs::good(), certs::good());
    let lists = Revocation::new([authority.revocations(1, &[&bad])]);
    assert!(accepts(good, lists.clone()).await);
    assert!(!accepts(bad, lists).await);
}

/// The list is the authority's: it says nothing of what an intermediate signed.
#[tokio::test]
async fn a_certificate_that_no_list_covers_is_refused_unless_said_otherwise() {
    let authority = certs::authority();
    let leaf = || authority.server_by_intermediate(&certs::NAMES);
    let lists = || Revocation::new([authority.revocations(1, &[])]);
    assert!(!accepts(leaf(), lists()).await);
    assert!(!accepts(leaf(), lists().end_entity_only()).await);
    assert!(accepts(leaf(), lists().allow_unknown()).await);
}

#[test]
fn what_cannot_be_built_names_the_field() {
    let field = |builder: TlsBuilder| builder.build().expect_err("must be refused").field();
    let config = || Tls::builder().config(whole(certs::authority().roots()));
    let lists = Revocation::new([certs::authority().revocations(1, &[])]);
    let (client, other) = (
        certs::authority().client("one"),
        certs::authority().client("other"),
    );
    assert_eq!(field(Tls::builder().roots(RootCertStore::empty())), "roots");
    assert_eq!(field(trusting().revocation(Revocation::new([]))), "revocation");
    assert_eq!(
        field(trusting().revocation(Revocation::new([vec![0].into()]))),
        "revocation"
    );
    assert_eq!(
        field(trusting().client_identity(client.chain.clone(), other.key())),
        "client_identity"
    );
    assert_eq!(field(config().verifier(extra(false, false))), "verifier");
    assert_eq!(field(config().revocation(lists)), "revocation");
    let both = HotConnPool::builder().tls(trusting().build().unwrap());
    let both = both.roots(certs::authority().roots()).build();
    assert_eq!(both.expect_err("must be refused").field(), "tls");
}

#[test]
fn setups_are_equal_by_their_content() {
    let client = certs::authority().client("a client");
    let lists = [1, 2].map(|number| certs::authority().revocations(number, &[]));
    let mut roots = certs::authority().roots();
    roots.add(certs::unknown_authority().certificate()).unwrap();
    let mut reversed = roots.clone();
    reversed.roots.reverse();
    let make = |roots: &RootCertStore, lists: Vec<_>| {
        let builder = Tls::builder()
            .roots(roots.clone())
            .revocation(Revocation::new(lists));
        let builder = builder.client_identity(client.chain.clone(), client.key());
        builder.build().unwrap()
    };
    let [one, two] = lists;
    let setup = make(&roots, vec![one.clone(), two.clone()]);
    assert_eq!(
        setup,
        make(&reversed, vec![two.clone(), one.clone(), one.clone()]),
        "order means nothing"
    );
    assert_ne!(setup, make(&roots, vec![one.clone()]));
    assert_ne!(setup, make(&certs::authority().roots(), vec![one, two]));
    assert_eq!(
        Tls::builder().build().unwrap(),
        Tls::builder().resumption(true).build().unwrap()
    );
}

#[test]
fn no_secret_is_shown() {
    let client = certs::authority().client("a client");
    let tls = trusting()
        .client_identity(client.chain.clone(), client.key())
        .build()
        .unwrap();
    let shown = "Tls { roots: Some(1), verifier: false, client_identity: true, revocation: false, provider: false, \
                 resumption: Some(true), profile: None, on_shape_rejected: Fail, whole: false }";
    assert_eq!(format!("{tls:?}"), shown);
    let options = format!("{:?}", GetOptions::new().partition("token-5f1e8a").tls(tls));
    assert!(
        options.contains("token-5f") && !options.contains("token-5f1"),
        "{options}"
    );
}

/// The pool learns to trust another authority, and to show another certificate, without being built anew.
#[tokio::test]
async fn roots_and_client_certificate_can_be_replaced() {
    let mut both = certs::authority().roots();
    both.add(certs::unknown_authority().certificate()).unwrap();
    let peer = Peer::builder()
        .alpn(Alpn::Http1)
        .client_auth(certs::authority().roots())
        .start();
    let clients = [certs::authority().client("old"), certs::authority().client("new")];
    let with = |builder: TlsBuilder, client: &Leaf| {
        let builder = builder.client_identity(client.chain.clone(), client.key());
        builder.build().unwrap()
    };
    let pool = with_setup(&peer, with(trusting(), &clients[0]));
    let name = name(&peer);
    let mut old = within("a connection", pool.get(&name)).await.unwrap();
    peer.switch_certificate(To::All, &certs::unknown_ca());
    let error = within("the refusal", pool.get(&name)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CertificateIssuer);

    pool.update_tls(with(Tls::builder().roots(both), &clients[1]));
    use_up(&mut old, "/").await;
    assert_eq!(pool.put(old), Returned::Closed(CloseReason::IdentityRetired));
    let seen = || peer.connections().pop().unwrap();
    // The address is avoided for a second after the refusal.
    let new = within("a connection", async {
        loop {
            match pool.get(&name).await {
                Ok(conn) => return conn,
                Err(error) if error.kind() == ErrorKind::Blocked => {
                    tokio::time::sleep(error.retry_after().unwrap()).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let mut new = new.await;
    use_up(&mut new, "/").await;
    drop(new);
    assert_eq!(seen().client_chain[0], clients[1].chain[0].as_ref());
    finish(pool, peer).await;
}

/// What is warmed for a partition serves that partition, and what the pool has for its own serves nobody else.
#[tokio::test]
async fn a_partition_is_warmed_and_asked_for_like_any_other() {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let pool = HotConnPool::builder()
        .tls(trusting().build().unwrap())
        .resolver(resolver(&peer));
    let (pool, name) = (pool.build().unwrap(), name(&peer));
    let user = || GetOptions::new().partition("user");
    let report = pool.warm(&name, hotpool::Warm::Count(2), user()).await.unwrap();
    assert_eq!(report.opened, 2);
    assert!(
        pool.try_get(&name).unwrap().is_none(),
        "none of them is the pool's own"
    );
    let conns = [
        pool.get_with(&name, user()).await.unwrap(),
        pool.get_with(&name, user()).await.unwrap(),
    ];
    assert_eq!(peer.seen().accepts, 2);
    drop(conns);
    finish(pool, peer).await;
}
