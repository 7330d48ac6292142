//! Whatever the bytes: no panic, and what is read is written again as it was; whatever the hello: what is written is read again.

use hotpool::fingerprint::{
    Binders, ClientHello, EncryptedClientHello, Extension, HelloSpec, Ja3, Ja4, KeyShare, PreSharedKey,
    PskIdentity, ServerName, StatusRequest, hellos, to_records,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::captures::{bytes, names};

/// Reads `message` through every door and checks what comes out. Whether anything did.
fn check_message(message: &[u8]) -> bool {
    let read = [
        ClientHello::from_message(message),
        ClientHello::from_truncated_message(message),
    ];
    let mut any = false;
    for (nth, hello) in read.into_iter().enumerate() {
        let Ok(hello) = hello else { continue };
        any = true;
        assert_eq!(hello.is_truncated(), nth == 1);
        assert_eq!(hello.to_message().as_deref(), Ok(message));
        check_prints(&hello);
        if let Ok(learned) = HelloSpec::from_client_hello(message) {
            let spec = learned.spec;
            let ja4 = Ja4::of(&hello);
            assert!([spec.ja4(), spec.ja4_resumed()].contains(&ja4), "{ja4}");
        }
    }
    any
}

fn check_prints(hello: &ClientHello) {
    assert_eq!(Ja3::of(hello).to_string().len(), 32);
    assert_eq!(Ja3::sorted(hello).text().len(), Ja3::of(hello).text().len());
    for ja4 in [Ja4::of(hello), Ja4::original(hello)] {
        assert_eq!(ja4.to_string().len(), 36, "{ja4}");
        assert_eq!(ja4.raw()[..10], ja4.to_string()[..10]);
    }
}

fn few_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn codes() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 0..20)
}

fn psk() -> impl Strategy<Value = Extension> {
    let identity = (few_bytes(), any::<u32>()).prop_map(|(identity, obfuscated_ticket_age)| PskIdentity {
        identity,
        obfuscated_ticket_age,
    });
    let binders = prop_oneof![
        vec(few_bytes(), 0..3).prop_map(Binders::Present),
        (2..9000_u16).prop_map(Binders::Cut),
    ];
    (vec(identity, 0..3), binders)
        .prop_map(|(identities, binders)| Extension::PreSharedKey(PreSharedKey { identities, binders }))
}

/// Any extension but pre_shared_key, which has a place of its own.
fn extension() -> impl Strategy<Value = Extension> {
    let names = || vec(few_bytes(), 0..4);
    let server_names = vec(
        (any::<u8>(), few_bytes()).prop_map(|(kind, name)| ServerName { kind, name }),
        0..3,
    );
    let status = prop_oneof![
        (names(), few_bytes()).prop_map(|(responders, extensions)| StatusRequest::Ocsp {
            responders,
            extensions
        }),
        (2..=u8::MAX, few_bytes()).prop_map(|(kind, content)| StatusRequest::Other(kind, content)),
    ];
    let shares = vec(
        (any::<u16>(), few_bytes()).prop_map(|(group, exchange)| KeyShare { group, exchange }),
        0..4,
    );
    let ech = prop_oneof![
        Just(EncryptedClientHello::Inner),
        (any::<u16>(), any::<u16>(), any::<u8>(), few_bytes(), few_bytes()).prop_map(
            |(kdf, aead, config_id, enc, payload)| EncryptedClientHello::Outer {
                kdf,
                aead,
                config_id,
                enc,
                payload,
            }
        ),
    ];
    let listed = prop_oneof![
        codes().prop_map(Extension::SupportedGroups),
        codes().prop_map(Extension::SignatureAlgorithms),
        codes().prop_map(Extension::CompressCertificate),
        codes().prop_map(Extension::DelegatedCredentials),
        codes().prop_map(Extension::SupportedVersions),
        codes().prop_map(Extension::SignatureAlgorithmsCert),
    ];
    let plain = prop_oneof![
        few_bytes().prop_map(Extension::EcPointFormats),
        few_bytes().prop_map(Extension::SessionTicket),
        few_bytes().prop_map(Extension::Cookie),
        few_bytes().prop_map(Extension::PskKeyExchangeModes),
        few_bytes().prop_map(Extension::RenegotiationInfo),
        names().prop_map(Extension::Alpn),
        names().prop_map(Extension::ApplicationSettingsOld),
        names().prop_map(Extension::ApplicationSettings),
        names().prop_map(|names| {
            let one = |name: Vec<u8>| [vec![u8::try_from(name.len()).unwrap()], name].concat();
            Extension::TrustAnchors(names.into_iter().flat_map(one).collect())
        }),
        any::<u16>().prop_map(Extension::RecordSizeLimit),
        (0..600_u16).prop_map(Extension::Padding),
    ];
    let empty = prop_oneof![
        Just(Extension::SignedCertificateTimestamp),
        Just(Extension::EncryptThenMac),
        Just(Extension::ExtendedMasterSecret),
        Just(Extension::EarlyData),
        Just(Extension::PostHandshakeAuth),
    ];
    prop_oneof![
        3 => listed,
        3 => plain,
        2 => empty,
        1 => server_names.prop_map(Extension::ServerName),
        1 => status.prop_map(Extension::StatusRequest),
        1 => shares.prop_map(Extension::KeyShare),
        1 => ech.prop_map(Extension::EncryptedClientHello),
        // Types above all that have a form, and a GREASE one.
        1 => (65_300..=u16::MAX, few_bytes()).prop_map(|(kind, body)| Extension::Opaque(kind, body)),
        1 => few_bytes().prop_map(|body| Extension::Opaque(0x3a3a, body)),
    ]
}

fn hello() -> impl Strategy<Value = ClientHello> {
    let lists = (vec(any::<u8>(), 0..=32), codes(), vec(any::<u8>(), 0..3));
    let extensions = proptest::option::of((vec(extension(), 0..20), proptest::option::of(psk())));
    (any::<u16>(), any::<[u8; 32]>(), lists, extensions).prop_map(
        |(legacy_version, random, (session_id, cipher_suites, compression_methods), extensions)| {
            let extensions = extensions.map(|(mut some, last)| {
                let mut seen = std::collections::BTreeSet::new();
                some.retain(|extension| seen.insert(extension.kind()));
                some.extend(last);
                some
            });
            ClientHello {
                legacy_version,
                random,
                session_id,
                cipher_suites,
                compression_methods,
                extensions,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        check_message(&bytes);
        prop_assert!(hellos(&bytes).count() <= bytes.len());
    }

    #[test]
    fn a_damaged_capture_is_read_or_refused(
        name in proptest::sample::select(names()),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        keep in any::<proptest::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut stream = bytes(&name);
        for (at, value) in damage {
            let at = at.index(stream.len());
            stream[at] = value;
        }
        if shorten {
            let len = keep.index(stream.len());
            stream.truncate(len);
        }
        for found in hellos(&stream).flatten() {
            prop_assert!(check_message(&found.message));
        }
        if stream.len() > 5 {
            check_message(&stream[5..]);
        }
    }

    #[test]
    fn what_is_written_is_read_again(hello in hello(), limit in 1..300_u16) {
        let message = hello.to_message().unwrap();
        let again = if hello.is_truncated() {
            ClientHello::from_truncated_message(&message)
        } else {
            let stream = to_records(&message, 0x0301, limit);
            let found = hellos(&stream).next().unwrap().unwrap();
            prop_assert_eq!(&found.message, &message);
            ClientHello::from_message(&message)
        };
        prop_assert_eq!(again.as_ref(), Ok(&hello));
        prop_assert!(check_message(&message));
        for extension in hello.extensions() {
            let again = Extension::from_body(extension.kind(), &extension.body().unwrap());
            if !hello.is_truncated() {
                prop_assert_eq!(again.as_ref(), Ok(extension));
            }
        }
    }
}
