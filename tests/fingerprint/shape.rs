//! A hello shaped by a spec is the captured browser's, field by field, but for what a connection draws; and the draws are the browser's, too.

use std::collections::{BTreeMap, BTreeSet};

use hotpool::fingerprint::{
    Binders, ClientHello, Draws, EncryptedClientHello, Extension, HelloSpec, Ja4, KeyShare, PreSharedKey,
    ShapeError, Slot, is_grease, kind,
};

use crate::captures::{bytes, capture};

const CHROMIUM: [&str; 6] = [
    "chromium-156-00",
    "chromium-156-01",
    "chromium-156-02",
    "chromium-156-hrr-00",
    "chromium-156-resume-00",
    "chromium-156-resume-01",
];
const FIREFOX: [&str; 5] = [
    "firefox-153esr-00",
    "firefox-153esr-01",
    "firefox-153esr-hrr-00",
    "firefox-153esr-resume-00",
    "firefox-153esr-resume-01",
];

/// Chromium's payloads of an encrypted_client_hello that is GREASE.
const CHROMIUM_PAYLOADS: [usize; 4] = [144, 176, 208, 240];

fn spec(names: &[&str]) -> HelloSpec {
    HelloSpec::from_client_hellos(names.iter().map(|name| bytes(name)))
        .unwrap()
        .spec
}

/// A small generator of numbers that are the same on every run.
fn numbers(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), ()> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |buffer| {
        for byte in buffer {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 32) as u8;
        }
        Ok(())
    }
}

/// What rustls would send where a browser sent `captured`: its own lists, two shares, one ticket, no draw. And what the draws need beside.
fn native(captured: &ClientHello) -> (ClientHello, Vec<KeyShare>) {
    let shares = captured
        .key_shares()
        .iter()
        .filter(|share| !is_grease(share.group));
    let mut shares: Vec<KeyShare> = shares.cloned().collect();
    let further = shares.split_off(shares.len().min(2));
    let mut extensions: Vec<Extension> = [kind::SERVER_NAME, kind::ALPN, kind::COOKIE]
        .iter()
        .filter_map(|kind| captured.extension(*kind).cloned())
        .collect();
    extensions.push(Extension::ExtendedMasterSecret);
    extensions.push(Extension::SupportedGroups(vec![0x11ec, 0x1d]));
    extensions.push(Extension::SignatureAlgorithms(vec![0x0403]));
    extensions.push(Extension::SupportedVersions(vec![0x0304, 0x0303]));
    extensions.push(Extension::KeyShare(shares));
    match captured.extension(kind::PRE_SHARED_KEY) {
        None => extensions.push(Extension::SessionTicket(Vec::new())),
        psk => extensions.extend(psk.cloned()),
    }
    let native = ClientHello {
        cipher_suites: vec![0x1302, 0x1301, 0x00ff],
        extensions: Some(extensions),
        ..captured.clone()
    };
    (native, further)
}

fn draws(spec: &HelloSpec, seed: u64, further: &[KeyShare]) -> Draws {
    let draws = spec.draw(|| Ok([9; 32]), numbers(seed)).unwrap();
    further.iter().cloned().fold(draws, Draws::with_share)
}

/// Everything drawn at random in one form. What remains is compared as it stands.
fn normalised(hello: &ClientHello) -> ClientHello {
    let plain = |list: &[u16]| -> Vec<u16> {
        list.iter()
            .map(|code| if is_grease(*code) { 0x0a0a } else { *code })
            .collect()
    };
    let extension = |extension: &Extension| match extension {
        Extension::Opaque(kind, body) if is_grease(*kind) => Extension::Opaque(0x0a0a, body.clone()),
        Extension::SupportedGroups(list) => Extension::SupportedGroups(plain(list)),
        Extension::SignatureAlgorithms(list) => Extension::SignatureAlgorithms(plain(list)),
        Extension::SupportedVersions(list) => Extension::SupportedVersions(plain(list)),
        Extension::KeyShare(shares) => Extension::KeyShare(
            shares
                .iter()
                .map(|share| KeyShare {
                    group: plain(&[share.group])[0],
                    exchange: share.exchange.clone(),
                })
                .collect(),
        ),
        Extension::EncryptedClientHello(EncryptedClientHello::Outer {
            kdf,
            aead,
            enc,
            payload,
            ..
        }) => {
            assert!([1, 3].contains(aead));
            let len = if CHROMIUM_PAYLOADS.contains(&payload.len()) {
                144
            } else {
                payload.len()
            };
            Extension::EncryptedClientHello(EncryptedClientHello::Outer {
                kdf: *kdf,
                aead: 1,
                config_id: 0,
                enc: vec![0; enc.len()],
                payload: vec![0; len],
            })
        }
        other => other.clone(),
    };
    ClientHello {
        cipher_suites: plain(&hello.cipher_suites),
        extensions: Some(hello.extensions().iter().map(extension).collect()),
        ..hello.clone()
    }
}

/// The permuted extensions sorted: those between the first and the last that are GREASE.
fn sorted(hello: &ClientHello) -> Vec<Vec<u8>> {
    let grease = |extension: &&Extension| is_grease(extension.kind());
    let all = hello.extensions();
    let last = all.iter().rposition(|extension| grease(&extension)).unwrap();
    assert!(grease(&&all[0]) && last > 0);
    let with_kind = |extension: &Extension| {
        let mut text = extension.kind().to_be_bytes().to_vec();
        text.extend(extension.body().unwrap());
        text
    };
    let mut texts: Vec<Vec<u8>> = all.iter().map(with_kind).collect();
    texts[1..last].sort();
    texts
}

#[test]
fn every_captured_hello_is_made_again_field_by_field() {
    for (names, permutes) in [(&CHROMIUM[..], true), (&FIREFOX[..], false)] {
        let spec = spec(names);
        for name in names {
            let mut first = None;
            for found in capture(name) {
                let captured = found.hello;
                let (native, further) = native(&captured);
                let draws = draws(&spec, 7, &further);
                let shaped = match &first {
                    None => spec.shape(&native, &draws),
                    Some(first) => spec.shape_again(&native, &draws, first),
                };
                let shaped = shaped.unwrap();
                assert_eq!(Ja4::of(&shaped), Ja4::of(&captured), "{name}");
                let (left, right) = (normalised(&shaped), normalised(&captured));
                if permutes {
                    assert_eq!(sorted(&left), sorted(&right), "{name}");
                    let (head, tail) = ((left.random, left.session_id), (right.random, right.session_id));
                    assert_eq!((head, left.cipher_suites), (tail, right.cipher_suites));
                } else {
                    assert_eq!(left, right, "{name}");
                    assert_eq!(shaped.to_message().unwrap().len(), found.message.len(), "{name}");
                }
                check_grease(&shaped);
                first.get_or_insert(shaped);
            }
        }
    }
}

/// Two GREASE extensions differ; groups and shares have one value.
fn check_grease(hello: &ClientHello) {
    let kinds: Vec<u16> = hello.extension_kinds().filter(|kind| is_grease(*kind)).collect();
    assert!(
        kinds.is_empty() || (kinds.len() == 2 && kinds[0] != kinds[1]),
        "{kinds:?}"
    );
    let of = |list: Vec<u16>| list.into_iter().find(|code| is_grease(*code));
    let group = of(hello.supported_groups().to_vec());
    let share = of(hello.key_shares().iter().map(|share| share.group).collect());
    assert!(share.is_none() || share == group);
}

#[test]
fn the_second_hello_has_the_draws_of_the_first() {
    for (names, name) in [
        (&CHROMIUM[..], "chromium-156-hrr-00"),
        (&FIREFOX[..], "firefox-153esr-hrr-00"),
    ] {
        let (spec, captured) = (spec(names), capture(name));
        let made = |which: usize, first: Option<&ClientHello>| {
            let (native, further) = native(&captured[which].hello);
            let draws = draws(&spec, 3, &further);
            match first {
                None => spec.shape(&native, &draws).unwrap(),
                Some(first) => spec.shape_again(&native, &draws, first).unwrap(),
            }
        };
        let first = made(0, None);
        let second = made(1, Some(&first));
        for pair in [(&first, &second), (&captured[0].hello, &captured[1].hello)] {
            let rest = |hello: &ClientHello| -> Vec<Extension> {
                let other = |extension: &&Extension| extension.kind() != kind::KEY_SHARE;
                hello.extensions().iter().filter(other).cloned().collect()
            };
            assert_eq!(rest(pair.0), rest(pair.1), "{name}");
            assert_eq!(pair.0.cipher_suites, pair.1.cipher_suites);
            assert_eq!(pair.1.key_shares().len(), 1, "without a GREASE share");
        }
    }
}

/// A ticket that the server's choice of a hash makes useless is not offered again, and the payload was computed beside it.
#[test]
fn the_second_hello_has_the_firsts_payload_without_its_ticket() {
    let spec = spec(&FIREFOX);
    let (native, further) = native(&capture("firefox-153esr-resume-01")[0].hello);
    let draws = draws(&spec, 3, &further);
    let first = spec.shape(&native, &draws).unwrap();
    let mut again = native;
    again.extensions.as_mut().unwrap().pop();
    assert!(again.extension(kind::PRE_SHARED_KEY).is_none());
    let second = spec.shape_again(&again, &draws, &first).unwrap();
    let ech = |hello: &ClientHello| hello.extension(kind::ENCRYPTED_CLIENT_HELLO).cloned();
    assert_eq!(ech(&first), ech(&second));
    let fresh = spec.shape(&again, &draws).unwrap();
    assert_ne!(ech(&first), ech(&fresh), "the ticket makes it longer");
}

#[test]
fn a_thousand_hellos_draw_as_the_browser_does() {
    let spec = spec(&CHROMIUM);
    let captured = &capture("chromium-156-00")[0].hello;
    let (native, _) = native(captured);
    let mut orders = BTreeSet::new();
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    let mut values: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    let (mut alike, mut places) = (0, BTreeMap::<(u16, usize), usize>::new());
    for seed in 0..1000 {
        let hello = spec.shape(&native, &draws(&spec, seed, &[])).unwrap();
        assert_eq!(Ja4::of(&hello), Ja4::of(captured));
        check_grease(&hello);
        let kinds: Vec<u16> = hello.extension_kinds().collect();
        assert!(is_grease(kinds[0]) && is_grease(*kinds.last().unwrap()));
        let drawn = [
            ("cipher", hello.cipher_suites[0]),
            ("group", hello.supported_groups()[0]),
            ("version", hello.supported_versions().unwrap()[0]),
            ("first extension", kinds[0]),
            ("last extension", *kinds.last().unwrap()),
        ];
        for (place, value) in drawn {
            assert!(is_grease(value), "{place}");
            *values.entry((place, value)).or_default() += 1;
        }
        alike += usize::from(drawn[0].1 == drawn[1].1);
        for (place, kind) in kinds.iter().enumerate().filter(|(_, kind)| !is_grease(**kind)) {
            *places.entry((*kind, place)).or_default() += 1;
        }
        orders.insert(
            kinds
                .into_iter()
                .filter(|kind| !is_grease(*kind))
                .collect::<Vec<u16>>(),
        );
        let Some(Extension::EncryptedClientHello(EncryptedClientHello::Outer { payload, .. })) =
            hello.extension(kind::ENCRYPTED_CLIENT_HELLO)
        else {
            panic!("no encrypted_client_hello");
        };
        *lengths.entry(payload.len()).or_default() += 1;
    }
    assert_eq!(orders.len(), 1000, "of 17! orders none comes twice");
    assert_eq!(lengths.keys().copied().collect::<Vec<_>>(), CHROMIUM_PAYLOADS);
    assert!(
        lengths.values().all(|count| (190..310).contains(count)),
        "{lengths:?}"
    );
    assert_eq!(values.len(), 5 * 16, "all sixteen, 0x0a0a among them");
    assert!(
        values.values().all(|count| (25..110).contains(count)),
        "{values:?}"
    );
    assert!((30..100).contains(&alike), "one in sixteen: {alike}");
    assert_eq!(places.len(), 17 * 17, "every extension comes to every place");
    assert!(
        places.values().all(|count| (25..110).contains(count)),
        "{places:?}"
    );
}

#[test]
fn firefoxs_cipher_and_key_are_drawn_and_its_length_is_computed() {
    let spec = spec(&FIREFOX);
    let (native, further) = native(&capture("firefox-153esr-00")[0].hello);
    let (mut ciphers, mut high): (BTreeMap<u16, usize>, usize) = Default::default();
    for seed in 0..400 {
        let hello = spec.shape(&native, &draws(&spec, seed, &further)).unwrap();
        let Some(Extension::EncryptedClientHello(EncryptedClientHello::Outer {
            aead, payload, enc, ..
        })) = hello.extension(kind::ENCRYPTED_CLIENT_HELLO)
        else {
            panic!("no encrypted_client_hello");
        };
        *ciphers.entry(*aead).or_default() += 1;
        assert_eq!((payload.len(), enc.len()), (239, 32));
        high += usize::from(enc[31] >> 7);
    }
    assert!((150..250).contains(&high), "no key has its highest bit: {high}");
    assert_eq!(ciphers.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert!(
        ciphers.values().all(|count| (150..250).contains(count)),
        "{ciphers:?}"
    );
}

#[test]
fn the_form_for_binders_is_the_whole_hello_cut_there() {
    for (names, name) in [
        (&CHROMIUM[..], "chromium-156-resume-01"),
        (&FIREFOX[..], "firefox-153esr-resume-01"),
    ] {
        let spec = spec(names);
        let (native, further) = native(&capture(name)[0].hello);
        let draws = draws(&spec, 5, &further);
        let whole = spec.shape(&native, &draws).unwrap().to_message().unwrap();
        let message = native.to_message().unwrap();
        // A list of one binder: two lengths and a hash of 32 or 48 bytes.
        let Some(Extension::PreSharedKey(PreSharedKey {
            binders: Binders::Present(binders),
            ..
        })) = native.extension(kind::PRE_SHARED_KEY)
        else {
            panic!("{name} resumes");
        };
        let missing = 2 + binders.iter().map(|binder| 1 + binder.len()).sum::<usize>();
        let cut = ClientHello::from_truncated_message(&message[..message.len() - missing]).unwrap();
        let shaped = spec.shape(&cut, &draws).unwrap().to_message().unwrap();
        assert_eq!(shaped, whole[..whole.len() - missing], "{name}");
    }
}

#[test]
fn alpn_is_what_both_have_and_settings_go_with_it() {
    let spec = spec(&CHROMIUM);
    let (mut native, further) = native(&capture("chromium-156-00")[0].hello);
    let draws = draws(&spec, 5, &further);
    let mut with = |alpn: &[&str]| {
        let names = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        for extension in native.extensions.iter_mut().flatten() {
            if extension.kind() == kind::ALPN {
                *extension = Extension::Alpn(Vec::clone(&names));
            }
        }
        let hello = spec.shape(&native, &draws).unwrap();
        let settings = hello.extension(kind::APPLICATION_SETTINGS).is_some();
        (hello.alpn_protocols().to_vec(), settings)
    };
    assert_eq!(
        with(&["http/1.1", "h2"]),
        (vec![b"h2".to_vec(), b"http/1.1".to_vec()], true)
    );
    assert_eq!(with(&["http/1.1"]), (vec![b"http/1.1".to_vec()], false));
    assert_eq!(with(&["h2"]), (vec![b"h2".to_vec()], true));
    assert_eq!(with(&["other"]), (vec![], false));
}

#[test]
fn a_missing_share_and_early_data_are_refused() {
    let spec = spec(&FIREFOX);
    let (mut native, further) = native(&capture("firefox-153esr-00")[0].hello);
    assert_eq!(
        spec.shape(&native, &draws(&spec, 1, &[])),
        Err(ShapeError::NoShare(0x0017))
    );
    native
        .extensions
        .as_mut()
        .unwrap()
        .insert(0, Extension::EarlyData);
    let shaped = spec.shape(&native, &draws(&spec, 1, &further));
    assert_eq!(shaped, Err(ShapeError::Extension(kind::EARLY_DATA)));
}

#[test]
fn padding_brings_a_hello_to_its_length() {
    let mut slots = spec(&FIREFOX).slots().to_vec();
    slots.retain(|slot| !matches!(slot, Slot::EchGrease(_)));
    let shares = slots
        .iter_mut()
        .find(|slot| matches!(slot, Slot::KeyShares(_)))
        .unwrap();
    *shares = Slot::KeyShares(vec![hotpool::fingerprint::Code::Plain(0x1d)]);
    let suites = spec(&FIREFOX).cipher_suites().to_vec();
    let bare = HelloSpec::new(suites.clone(), slots.clone()).unwrap();
    slots.insert(3, Slot::Padding);
    let padded = HelloSpec::new(suites, slots).unwrap();
    let (mut native, _) = native(&capture("firefox-153esr-00")[0].hello);
    let mut seen = BTreeSet::new();
    for name in 1..250 {
        if let Some(Extension::ServerName(names)) = native.extensions.as_mut().unwrap().first_mut() {
            names[0].name = vec![b'a'; name];
        }
        let length = |spec: &HelloSpec| {
            spec.shape(&native, &draws(spec, 1, &[]))
                .unwrap()
                .to_message()
                .unwrap()
                .len()
        };
        let expected = match length(&bare) {
            short @ 256..=507 => short.max(512),
            close @ 508..=511 => close + 5,
            other => other,
        };
        assert_eq!(length(&padded), expected);
        seen.insert(expected);
    }
    assert!(seen.contains(&512) && seen.contains(&513) && seen.last() > Some(&516));
}
