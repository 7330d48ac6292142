//! Second hellos, second connections and older versions.

use std::sync::Arc;

use hotpool::fingerprint::{ClientHello, Extension, Ja4, Profile, kind};
use rustls::crypto::aws_lc_rs::{Ticketer, kx_group};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ServerConfig};

use crate::support::certs;
use crate::world::{BROWSERS, Browser, Client, serve, server};

fn shares(hello: &ClientHello) -> Vec<u16> {
    hello.key_shares().iter().map(|share| share.group).collect()
}

#[tokio::test]
async fn a_retry_is_answered_with_the_one_share() {
    for (browser, group, asked) in [
        (Browser::Chromium, kx_group::SECP256R1, 0x0017),
        (Browser::Chromium, kx_group::SECP384R1, 0x0018),
        (Browser::Firefox, kx_group::SECP384R1, 0x0018),
    ] {
        let config = Arc::new(server(&[group], &[&TLS13, &TLS12]));
        let client = browser.client();
        for resumed in [false, true] {
            let connection = client.talk(serve(&config)).await.unwrap();
            let session = connection.session();
            let kind = if resumed {
                HandshakeKind::Resumed
            } else {
                HandshakeKind::FullWithHelloRetryRequest
            };
            assert_eq!(session.handshake_kind(), Some(kind));
            assert_eq!(
                u16::from(session.negotiated_key_exchange_group().unwrap().name()),
                asked
            );
            let sent = connection.transport().hellos();
            let [first, second] = sent.as_slice() else {
                panic!("{} hellos", sent.len())
            };
            assert_eq!(shares(&second.hello), [asked]);
            assert_eq!(second.records[0].version, 0x0303);
            for found in [first, second] {
                assert_eq!(Ja4::of(&found.hello).to_string(), browser.ja4(resumed));
            }
            let ech = |hello: &ClientHello| hello.extension(kind::ENCRYPTED_CLIENT_HELLO).cloned();
            assert_eq!(ech(&first.hello), ech(&second.hello));
        }
    }
}

#[tokio::test]
async fn a_third_share_is_taken_at_once() {
    let client = Browser::Firefox.client();
    let config = Arc::new(server(&[kx_group::SECP256R1], &[&TLS13]));
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let connection = client.talk(serve(&config)).await.unwrap();
        assert_eq!(connection.session().handshake_kind(), Some(kind));
        assert_eq!(connection.group, Some(0x0017));
        let sent = connection.transport().hellos();
        assert_eq!(sent.len(), 1);
        assert_eq!(shares(&sent[0].hello), [0x11ec, 0x001d, 0x0017]);
    }
}

#[tokio::test]
async fn the_second_share_is_the_hybrids_own_where_it_is_the_browsers() {
    for browser in BROWSERS {
        let config = Arc::new(server(&[kx_group::X25519], &[&TLS13]));
        let connection = browser.client().talk(serve(&config)).await.unwrap();
        let group = connection.session().negotiated_key_exchange_group().unwrap();
        assert_eq!((group.name(), connection.group), (NamedGroup::X25519, None));
        let sent = connection.transport().hellos();
        let shares = sent[0].hello.key_shares();
        let of = |group| shares.iter().find(|share| share.group == group).unwrap();
        let same = of(0x11ec).exchange.ends_with(&of(0x001d).exchange);
        assert_eq!(same, browser == Browser::Firefox);
    }
}

#[tokio::test]
async fn resumed_connections_have_the_resumed_fingerprint() {
    for browser in BROWSERS {
        let client = browser.client();
        let config = Arc::new(server(&[], &[&TLS13, &TLS12]));
        client.talk(serve(&config)).await.unwrap();
        let connection = client.talk(serve(&config)).await.unwrap();
        assert_eq!(
            connection.session().handshake_kind(),
            Some(HandshakeKind::Resumed)
        );
        let hello = &connection.transport().hellos()[0].hello;
        assert_eq!(Ja4::of(hello).to_string(), browser.ja4(true));
        assert!(matches!(
            hello.extensions().last(),
            Some(Extension::PreSharedKey(_))
        ));
        let ticket = hello.extension(kind::SESSION_TICKET).is_some();
        assert_eq!(ticket, browser == Browser::Chromium);
        // What Firefox's captures show beside a ticket: the payload grows with it.
        if let Some(Extension::EncryptedClientHello(hotpool::fingerprint::EncryptedClientHello::Outer {
            payload,
            ..
        })) = hello.extension(kind::ENCRYPTED_CLIENT_HELLO)
        {
            assert_eq!(
                (payload.len() + 1).rem_euclid(32) == 16,
                browser == Browser::Firefox
            );
        }
    }
}

/// Whether tickets are kept is nothing that anybody else sees.
#[tokio::test]
async fn a_client_that_resumes_nothing_looks_the_same() {
    for browser in BROWSERS {
        let client = browser
            .client()
            .configured(|config| config.resumption = rustls::client::Resumption::disabled());
        for config in [server(&[], &[&TLS13]), tickets_of_12()] {
            let config = Arc::new(config);
            for _ in 0..2 {
                let connection = client.talk(serve(&config)).await.unwrap();
                let kind = connection.session().handshake_kind();
                assert_eq!(kind, Some(HandshakeKind::Full));
                let hello = &connection.transport().hellos()[0].hello;
                assert_eq!(Ja4::of(hello).to_string(), browser.ja4(false));
            }
        }
    }
}

/// Whoever is known to resume nothing does not, in either version, whatever the server gives.
#[tokio::test]
async fn only_those_resume_whose_client_does() {
    for (profile, resumes) in [
        (Profile::safari(), false),
        (Profile::ios(), false),
        (Profile::python(), false),
        (Profile::go(), false),
        (Profile::chrome(), true),
        (Profile::firefox(), true),
        (Profile::curl(), true),
        (Profile::node(), true),
    ] {
        let (hello, name) = (profile.hello().unwrap(), profile.name());
        assert_eq!(hello.resumes(), resumes, "{name}");
        for config in [server(&[], &[&TLS13]), tickets_of_12(), server(&[], &[&TLS12])] {
            let (client, config) = (Client::new(hello), Arc::new(config));
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let connection = client.talk(serve(&config)).await.unwrap();
                let kind = if resumes { kind } else { HandshakeKind::Full };
                assert_eq!(connection.session().handshake_kind(), Some(kind), "{name}");
                if !resumes {
                    let sent = &connection.transport().hellos()[0].hello;
                    assert_eq!(Ja4::of(sent), hello.ja4(), "{name}");
                }
            }
        }
    }
}

fn tickets_of_12() -> ServerConfig {
    let mut config = server(&[], &[&TLS12]);
    config.ticketer = Ticketer::new().unwrap();
    config
}

#[tokio::test]
async fn tls12_resumes_by_ticket_and_by_id() {
    for browser in BROWSERS {
        for config in [tickets_of_12(), server(&[], &[&TLS12])] {
            let (client, config) = (browser.client(), Arc::new(config));
            client.talk(serve(&config)).await.unwrap();
            let connection = client.talk(serve(&config)).await.unwrap();
            assert_eq!(
                connection.session().handshake_kind(),
                Some(HandshakeKind::Resumed)
            );
            let hello = &connection.transport().hellos()[0].hello;
            assert_eq!(Ja4::of(hello).to_string(), browser.ja4(false));
        }
    }
}

#[tokio::test]
async fn client_certificates_of_both_versions() {
    for browser in BROWSERS {
        for version in [&TLS13, &TLS12] {
            let roots = Arc::new(certs::authority().roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, certs::provider())
                .build()
                .unwrap();
            let leaf = certs::good();
            let config = ServerConfig::builder_with_provider(certs::provider())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_client_cert_verifier(verifier)
                .with_single_cert(leaf.chain.clone(), leaf.key())
                .unwrap();
            let config = Arc::new(config);
            let own = certs::authority().client("client");
            let client = Client::with(&browser.spec(), certs::authority().roots(), Some(own));
            client.talk(serve(&config)).await.unwrap();
            let without = browser.client().talk(serve(&config)).await;
            assert!(without.is_err(), "the server asks for a certificate in earnest");
        }
    }
}

/// An abbreviated handshake's Finished is encrypted and stands where a second hello would: one in 256 begins like one.
#[tokio::test]
async fn an_encrypted_finished_is_no_hello() {
    let (client, config) = (Browser::Firefox.client(), Arc::new(tickets_of_12()));
    for _ in 0..1500 {
        client.talk(serve(&config)).await.unwrap();
    }
}
