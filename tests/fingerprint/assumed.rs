//! What captures leave open is said, and what a client draws for each connection is drawn or refused, and never repeated.

use std::collections::BTreeSet;

use hotpool::fingerprint::{
    Assumption, ClientHello, Code, EchGrease, EncryptedClientHello, Extension, HelloSpec, Learned, Slot,
    SpecError, StatusRequest, kind,
};

use crate::captures::{bytes, capture};

fn learned(names: &[&str]) -> Learned<HelloSpec> {
    HelloSpec::from_client_hellos(names.iter().map(|name| bytes(name))).unwrap()
}

/// A captured hello after a change.
fn changed(name: &str, change: impl FnOnce(&mut ClientHello)) -> Vec<u8> {
    let mut hello = capture(name)[0].hello.clone();
    change(&mut hello);
    hello.to_message().unwrap()
}

/// The same with another extension in the place of the one of its type, or at the end.
fn with(name: &str, extension: Extension) -> Vec<u8> {
    changed(name, |hello| {
        let extensions = hello.extensions.as_mut().unwrap();
        match extensions.iter_mut().find(|old| old.kind() == extension.kind()) {
            Some(old) => *old = extension,
            None => extensions.push(extension),
        }
    })
}

/// The same with this cipher and a payload of this length in its encrypted_client_hello.
fn with_ech(name: &str, wanted: u16, len: usize) -> Vec<u8> {
    changed(name, |hello| {
        for extension in hello.extensions.iter_mut().flatten() {
            if let Extension::EncryptedClientHello(EncryptedClientHello::Outer { aead, payload, .. }) =
                extension
            {
                (*aead, *payload) = (wanted, vec![7; len]);
            }
        }
    })
}

fn grease(list: &'static str, place: usize) -> Assumption {
    Assumption::GreasePlace { list, place }
}

fn ech(rule: EchGrease, aeads: &[u16], payloads: &[usize]) -> Assumption {
    Assumption::EchGrease {
        rule,
        aeads: aeads.to_vec(),
        payloads: payloads.to_vec(),
    }
}

/// Whether any of them is about an order that is drawn, and which places it says did not move.
fn still(learned: &Learned<HelloSpec>) -> Option<Vec<usize>> {
    learned.assumptions.iter().find_map(|one| match one {
        Assumption::DrawnOrder { still, .. } => Some(still.clone()),
        _ => None,
    })
}

#[test]
fn one_hello_of_chromium_leaves_open_what_it_draws() {
    let one = learned(&["chromium-156-00"]);
    let mut expected = vec![Assumption::FixedOrder, grease("cipher_suites", 0)];
    let lists = one.spec.slots().iter().filter_map(|slot| match slot {
        Slot::Groups(_) => Some("supported_groups"),
        Slot::Signatures(_) => Some("signature_algorithms"),
        Slot::Versions(_) => Some("supported_versions"),
        Slot::KeyShares(_) => Some("key_share"),
        _ => None,
    });
    expected.extend(lists.map(|list| grease(list, 0)));
    assert_eq!(expected.len(), 6);
    expected.extend([grease("extensions", 0), grease("extensions", 18)]);
    expected.push(ech(EchGrease::Chromium, &[1], &[176]));
    expected.push(Assumption::NoneResumed);
    assert_eq!(one.assumptions, expected, "{one}");
    assert_eq!(one.captures, 1);
    let text = one.to_string();
    assert!(text.starts_with("learned of 1 capture\n"), "{text}");
    for said in [
        "always stand in this order",
        "GREASE always stands at place 0 of cipher_suites",
        "AEAD 1 and a payload of 176 octets are taken as drawn by Chromium's rule",
        "none was captured",
    ] {
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn more_hellos_leave_less_open() {
    let fresh = ["chromium-156-00", "chromium-156-01", "chromium-156-02"];
    // Of two orders some places are the same by chance; here none of three.
    let two = learned(&fresh[..2]);
    let moved = two.spec.permuted();
    let same = |place: &usize| {
        let kinds = |name: &str| capture(name)[0].hello.extension_kinds().collect::<Vec<u16>>();
        kinds(fresh[0])[*place] == kinds(fresh[1])[*place]
    };
    let unmoved: Vec<usize> = moved.clone().filter(same).collect();
    assert_eq!(still(&two), Some(unmoved));
    assert_eq!(
        still(&learned(&fresh[..1])),
        None,
        "one has an order, which is not called drawn"
    );
    let all = learned(&[&fresh[..], &["chromium-156-resume-01"]].concat());
    assert_eq!(
        all.assumptions[0],
        Assumption::DrawnOrder {
            places: 1..18,
            still: Vec::new(),
        },
    );
    assert!(
        all.assumptions
            .contains(&ech(EchGrease::Chromium, &[1], &[176, 208, 240]))
    );
    assert!(!all.assumptions.contains(&Assumption::NoneResumed), "{all}");
    assert!(all.to_string().starts_with("learned of 4 captures\n"), "{all}");

    let firefox = learned(&["firefox-153esr-00"]);
    let expected = [
        Assumption::FixedOrder,
        ech(EchGrease::Firefox, &[3], &[239]),
        Assumption::NoneResumed,
    ];
    assert_eq!(firefox.assumptions, expected, "{firefox}");
    let resumed = learned(&["firefox-153esr-resume-01"]);
    assert_eq!(resumed.assumptions[2], Assumption::NoneFresh, "{resumed}");
    let both = learned(&[
        "firefox-153esr-00",
        "firefox-153esr-01",
        "firefox-153esr-resume-01",
    ]);
    let expected = [
        Assumption::FixedOrder,
        ech(EchGrease::Firefox, &[1, 3], &[239, 527]),
    ];
    assert_eq!(both.assumptions, expected, "{both}");
}

/// A place that never moved stands within the range that is drawn, and that is said.
#[test]
fn a_place_that_did_not_move_is_named() {
    let other = changed("firefox-153esr-00", |hello| {
        hello.extensions.as_mut().unwrap().swap(2, 8);
    });
    let learned = HelloSpec::from_client_hellos([bytes("firefox-153esr-00"), other]).unwrap();
    assert_eq!(learned.spec.permuted(), 2..9);
    assert_eq!(still(&learned), Some((3..8).collect()));
    assert!(
        learned
            .to_string()
            .contains("no capture has another at 3, 4, 5, 6, 7"),
        "{learned}"
    );
}

#[test]
fn grease_that_cannot_be_drawn_is_not_repeated() {
    for (extension, list) in [
        (
            Extension::PskKeyExchangeModes(vec![0x2a, 1]),
            "psk_key_exchange_modes",
        ),
        (
            Extension::DelegatedCredentials(vec![0x0403, 0xdada]),
            "delegated_credentials",
        ),
        (
            Extension::SignatureAlgorithmsCert(vec![0x1a1a, 0x0403]),
            "signature_algorithms_cert",
        ),
    ] {
        let (kind, body) = (extension.kind(), extension.body().unwrap());
        let refused = HelloSpec::from_client_hello(&with("firefox-153esr-00", extension));
        assert_eq!(refused, Err(SpecError::Grease(list)));
        // By hand neither.
        let spec = learned(&["firefox-153esr-00"]).spec;
        let mut slots = spec.slots().to_vec();
        slots.retain(|slot| !matches!(slot, Slot::Raw { kind: one, .. } if *one == kind));
        slots.push(Slot::Raw { kind, body });
        let made = HelloSpec::new(spec.cipher_suites().to_vec(), slots);
        assert_eq!(made, Err(SpecError::Grease(list)));
    }
}

#[test]
fn what_was_drawn_is_not_repeated() {
    let status = |extensions: &[u8]| {
        let request = StatusRequest::Ocsp {
            responders: Vec::new(),
            extensions: extensions.to_vec(),
        };
        HelloSpec::from_client_hello(&with("firefox-153esr-00", Extension::StatusRequest(request)))
    };
    assert!(status(&[]).is_ok());
    // An OCSP nonce (RFC 8954).
    let nonce = b"\x30\x13\x30\x11\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02\x04\x04\x02\xab\xcd";
    let refused = status(nonce).unwrap_err();
    assert_eq!(refused, SpecError::Drawn(kind::STATUS_REQUEST));
    assert!(refused.to_string().contains("would be repeated"), "{refused}");
    let other = Extension::StatusRequest(StatusRequest::Other(2, vec![1, 2, 3]));
    let refused = HelloSpec::from_client_hello(&with("firefox-153esr-00", other));
    assert_eq!(refused, Err(SpecError::Content(kind::STATUS_REQUEST)));
    for (body, taken) in [(&[][..], true), (&[0, 0], true), (&[0, 1], false)] {
        let grease = Extension::Opaque(0x3a3a, body.to_vec());
        let made = HelloSpec::from_client_hello(&with("firefox-153esr-00", grease));
        match taken {
            true => assert!(made.unwrap().spec.slots().contains(&Slot::Grease(body.to_vec()))),
            false => assert_eq!(made, Err(SpecError::Drawn(0x3a3a))),
        }
    }
}

/// A hello of this spec on a connection whose numbers are these.
fn shaped(spec: &HelloSpec, nth: u8) -> (u16, usize) {
    let mut state = u32::from(nth);
    let draws = spec.draw(
        || Ok::<_, ()>([9; 32]),
        |buffer| {
            for byte in buffer {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
            Ok(())
        },
    );
    let native = capture("chromium-156-00")[0].hello.clone();
    let hello = spec.shape(&native, &draws.unwrap()).unwrap();
    match hello.extension(kind::ENCRYPTED_CLIENT_HELLO) {
        Some(Extension::EncryptedClientHello(EncryptedClientHello::Outer { aead, payload, .. })) => {
            (*aead, payload.len())
        }
        _ => panic!("no encrypted_client_hello"),
    }
}

/// Without instructions for AES Chromium has another cipher, and draws the length as ever.
#[test]
fn chromium_without_aes_draws_its_length_too() {
    let one = HelloSpec::from_client_hello(&with_ech("chromium-156-00", 3, 208)).unwrap();
    let rule = EchGrease::ChromiumWithoutAes;
    assert!(one.spec.slots().contains(&Slot::EchGrease(rule.clone())));
    assert!(
        one.assumptions.contains(&ech(rule.clone(), &[3], &[208])),
        "{one}"
    );
    let both = [
        with_ech("chromium-156-00", 3, 208),
        with_ech("chromium-156-01", 3, 144),
    ];
    let both = HelloSpec::from_client_hellos(both).unwrap();
    assert!(both.assumptions.contains(&ech(rule, &[3], &[144, 208])), "{both}");
    let drawn: BTreeSet<(u16, usize)> = (0..64).map(|nth| shaped(&one.spec, nth)).collect();
    assert_eq!(
        drawn.into_iter().collect::<Vec<_>>(),
        [(3, 144), (3, 176), (3, 208), (3, 240)]
    );
}

#[test]
fn an_encrypted_client_hello_of_no_known_rule_is_said_to_be_fixed() {
    let one = HelloSpec::from_client_hello(&with_ech("firefox-153esr-00", 2, 77)).unwrap();
    let fixed = EchGrease::Fixed { aead: 2, payload: 77 };
    assert!(one.assumptions.contains(&ech(fixed, &[2], &[77])), "{one}");
    let text = one.to_string();
    assert!(text.contains("HKDF-SHA256, AEAD 2 and a payload of 77 octets are taken as always the same"));
    // Two that differ are not of one rule.
    let differ = [
        with_ech("firefox-153esr-00", 2, 77),
        with_ech("firefox-153esr-01", 2, 78),
    ];
    assert_eq!(
        HelloSpec::from_client_hellos(differ),
        Err(SpecError::Disagree("how they draw encrypted_client_hello"))
    );
}

/// curl's hello with a name of this length, and padding of so many zeros or none.
fn curl(name: usize, zeros: Option<u16>) -> Vec<u8> {
    changed("curl-7.88-00", |hello| {
        let extensions = hello.extensions.as_mut().unwrap();
        for extension in extensions.iter_mut() {
            if let Extension::ServerName(names) = extension {
                names[0].name = vec![b'a'; name];
            }
        }
        extensions.retain(|extension| extension.kind() != kind::PADDING);
        extensions.extend(zeros.map(Extension::Padding));
    })
}

#[test]
fn padding_is_a_rule_that_all_captures_keep_or_disagree_on() {
    let captured = bytes("curl-7.88-00");
    let open = |bytes: &[Vec<u8>]| HelloSpec::from_client_hellos(bytes).map(|learned| learned.assumptions);
    let padding = |seen| Assumption::Padding { seen };
    let bare = curl(15, None).len();
    let filled = curl(15, Some(u16::try_from(512 - bare - 4).unwrap()));
    assert_eq!(filled.len(), 512);
    assert!(
        open(&[captured.clone(), filled])
            .unwrap()
            .contains(&padding(true))
    );
    // One of 512 octets needs none, and shows no more.
    let long = curl(15 + 512 - bare, None);
    assert_eq!(long.len(), 512);
    let learned = HelloSpec::from_client_hellos([long.clone(), captured.clone()]).unwrap();
    assert_eq!(learned.spec.slots().last(), Some(&Slot::Padding));
    assert!(learned.assumptions.contains(&padding(true)), "{learned}");
    assert!(open(&[long]).unwrap().contains(&padding(false)));
    // The rule leaves one zero at the least.
    let brim = curl(15 + 511 - bare, Some(1));
    assert_eq!(brim.len(), 516);
    assert!(open(&[brim]).unwrap().contains(&padding(true)));
    // One that would be padded and is not.
    let none = curl(15, None);
    let disagree = Err(SpecError::Disagree("padding"));
    assert_eq!(open(&[captured.clone(), none.clone()]), disagree);
    assert_eq!(open(&[none.clone(), captured]), disagree);
    let alone = open(&[none]).unwrap();
    assert!(!alone.contains(&padding(true)) && !alone.contains(&padding(false)));
    assert_eq!(
        open(&[curl(15, Some(9))]),
        Err(SpecError::Content(kind::PADDING)),
        "another rule"
    );
}

#[test]
fn two_grease_extensions_are_told_apart_by_what_they_hold() {
    let greased = |last: &[u8]| {
        changed("firefox-153esr-00", |hello| {
            let extensions = hello.extensions.as_mut().unwrap();
            extensions.push(Extension::Opaque(0x0a0a, Vec::new()));
            extensions.push(Extension::Opaque(0x1a1a, last.to_vec()));
        })
    };
    assert!(HelloSpec::from_client_hellos([greased(&[]), greased(&[])]).is_ok());
    let differ = HelloSpec::from_client_hellos([greased(&[]), greased(&[0])]);
    assert_eq!(differ, Err(SpecError::Disagree("the extensions")));
}

#[test]
fn grease_at_another_place_is_named() {
    let late = changed("chromium-156-00", |hello| hello.cipher_suites.swap(0, 3));
    let learned = HelloSpec::from_client_hello(&late).unwrap();
    assert_eq!(learned.spec.cipher_suites()[3], Code::Grease);
    assert!(
        learned.assumptions.contains(&grease("cipher_suites", 3)),
        "{learned}"
    );
    assert_eq!(
        HelloSpec::from_client_hellos([late, bytes("chromium-156-00")]),
        Err(SpecError::Disagree("the cipher suites"))
    );
}
