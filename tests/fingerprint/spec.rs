//! A spec is learned from captures, has the JA4 of its client, and is refused where it could not be served.

use hotpool::fingerprint::{
    ClientHello, Code, EchGrease, EncryptedClientHello, Extension, HelloError, HelloSpec, Ja4, KeyShare,
    Slot, SpecError, kind,
};

use crate::captures::{bytes, capture, names};

const G: Code = Code::Grease;

const fn p(code: u16) -> Code {
    Code::Plain(code)
}

fn plain(codes: &[u16]) -> Vec<Code> {
    codes.iter().copied().map(Code::Plain).collect()
}

fn raw(kind: u16, body: &[u8]) -> Slot {
    Slot::Raw {
        kind,
        body: body.to_vec(),
    }
}

/// The suites and slots of a small spec that can be served.
fn parts() -> (Vec<Code>, Vec<Slot>) {
    let slots = vec![
        Slot::Native(kind::SERVER_NAME),
        Slot::Groups(vec![G, p(0x11ec), p(0x001d), p(0x0017)]),
        Slot::Signatures(vec![p(0x0403)]),
        Slot::Alpn(vec!["h2".to_owned(), "http/1.1".to_owned()]),
        Slot::Versions(vec![p(0x0304), p(0x0303)]),
        Slot::KeyShares(vec![G, p(0x11ec), p(0x001d)]),
    ];
    (vec![G, p(0x1301), p(0xc02b)], slots)
}

/// What becomes of the small spec with one slot more.
fn with(slot: Slot) -> Result<HelloSpec, SpecError> {
    let (suites, mut slots) = parts();
    slots.push(slot);
    HelloSpec::new(suites, slots)
}

/// What becomes of it with this slot in the place of the one of the same variant.
fn instead(slot: Slot) -> Result<HelloSpec, SpecError> {
    let (suites, mut slots) = parts();
    let variant = std::mem::discriminant(&slot);
    let same = slots
        .iter_mut()
        .find(|other| std::mem::discriminant(*other) == variant);
    *same.unwrap() = slot;
    HelloSpec::new(suites, slots)
}

fn learned(names: &[&str]) -> Result<HelloSpec, SpecError> {
    of(names.iter().map(|name| bytes(name)))
}

fn of<B: AsRef<[u8]>>(captures: impl IntoIterator<Item = B>) -> Result<HelloSpec, SpecError> {
    HelloSpec::from_client_hellos(captures).map(|learned| learned.spec)
}

#[test]
fn a_spec_has_the_ja4_of_the_hello_it_was_learned_from() {
    for name in names() {
        let hello = capture(&name)[0].hello.clone();
        let spec = of([bytes(&name)]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let resumed = hello.extension(kind::PRE_SHARED_KEY).is_some();
        let (seen, other) = match resumed {
            true => (spec.ja4_resumed(), spec.ja4()),
            false => (spec.ja4(), spec.ja4_resumed()),
        };
        assert_eq!(seen, Ja4::of(&hello), "{name}");
        assert_ne!(other, seen, "{name}: a resumed connection has pre_shared_key");
        let message = &capture(&name)[0].message;
        assert_eq!(of([message]).as_ref(), Ok(&spec), "{name}");
    }
}

#[test]
fn chromium_is_learned_with_what_it_draws() {
    let fresh = ["chromium-156-00", "chromium-156-01", "chromium-156-02"];
    let spec = learned(&[&fresh[..], &["chromium-156-hrr-00", "chromium-156-resume-01"]].concat()).unwrap();
    assert_eq!(spec.slots().len(), 19);
    assert_eq!(spec.permuted(), 1..18, "all but the two GREASE extensions");
    assert_eq!(spec.slots()[0], Slot::Grease(Vec::new()));
    assert_eq!(spec.slots()[18], Slot::Grease(vec![0]));
    assert_eq!(spec.cipher_suites()[..2], [G, p(0x1301)]);
    for slot in [
        Slot::Native(kind::SERVER_NAME),
        Slot::NativeOrEmpty(kind::SESSION_TICKET),
        Slot::Groups(vec![G, p(0x11ec), p(0x001d), p(0x0017), p(0x0018)]),
        Slot::KeyShares(vec![G, p(0x11ec), p(0x001d)]),
        Slot::Versions(vec![G, p(0x0304), p(0x0303)]),
        Slot::Alpn(vec!["h2".to_owned(), "http/1.1".to_owned()]),
        Slot::EchGrease(EchGrease::Chromium),
        raw(27, &[2, 0, 2]),
        raw(17_613, &[0, 3, 2, b'h', b'2']),
        raw(65_281, &[0]),
    ] {
        assert!(spec.slots().contains(&slot), "{slot:?}");
    }
    assert_eq!(spec.ja4().to_string(), "t13d1517h2_8daaf6152771_cb7bf5808d99");
    assert_eq!(
        spec.ja4_resumed().to_string(),
        "t13d1518h2_8daaf6152771_e2d80978ab2e"
    );
    // One hello does not show what is drawn.
    assert_eq!(learned(&fresh[..1]).unwrap().permuted(), 0..0);
    assert!(!spec.reuses_x25519(), "each share has a key of its own");
}

#[test]
fn firefox_is_learned_with_the_ticket_that_it_drops() {
    let both = ["firefox-153esr-resume-01", "firefox-153esr-resume-00"];
    let spec = learned(&both).unwrap();
    assert_eq!(spec.permuted(), 0..0);
    assert_eq!(spec.slots()[5], Slot::Native(kind::SESSION_TICKET));
    assert_eq!(
        spec.slots()[10],
        Slot::KeyShares(plain(&[0x11ec, 0x001d, 0x0017]))
    );
    assert_eq!(
        spec.slots()[16],
        Slot::EchGrease(EchGrease::Firefox),
        "fresh and resumed follow one rule"
    );
    assert_eq!(spec.ja4().to_string(), "t13d1617h2_86a278354501_3cbfd9057e0d");
    assert_eq!(
        spec.ja4_resumed().to_string(),
        "t13d1617h2_86a278354501_e6dcd7ae0a9e"
    );
    let fresh = learned(&["firefox-153esr-00", "firefox-153esr-01"]).unwrap();
    assert_eq!(fresh.slots()[5], Slot::NativeOrEmpty(kind::SESSION_TICKET));
    assert!(spec.reuses_x25519() && fresh.reuses_x25519());
}

#[test]
fn one_key_in_two_shares_needs_both() {
    let firefox = learned(&["firefox-153esr-00"]).unwrap();
    let sharing = |groups: &[u16]| {
        let mut slots = firefox.slots().to_vec();
        for slot in &mut slots {
            match slot {
                Slot::KeyShares(shares) => *shares = plain(groups),
                Slot::Groups(all) => *all = plain(&[0x001d, 0x11ec, 0x001d, 0x0017]),
                _ => {}
            }
        }
        let spec = HelloSpec::new(firefox.cipher_suites().to_vec(), slots);
        spec.unwrap().reusing_x25519()
    };
    assert!(sharing(&[0x11ec, 0x001d]).is_ok_and(|spec| spec.reuses_x25519()));
    for (groups, lacks) in [
        (&[0x001d, 0x11ec][..], 0x11ec),
        (&[0x11ec], 0x001d),
        (&[0x11ec, 0x0017], 0x001d),
        (&[0x001d], 0x11ec),
    ] {
        assert_eq!(sharing(groups), Err(SpecError::Share(lacks)), "{groups:?}");
    }
}

#[test]
fn hellos_that_differ_in_their_keys_are_not_of_one_client() {
    let mut other = capture("firefox-153esr-01")[0].hello.clone();
    for extension in other.extensions.iter_mut().flatten() {
        if let Extension::KeyShare(shares) = extension {
            shares[1].exchange[31] ^= 1;
        }
    }
    let captures = [other.to_message().unwrap(), bytes("firefox-153esr-00")];
    let refused = of(captures);
    assert_eq!(refused, Err(SpecError::Disagree("the keys of X25519")));
}

#[test]
fn an_order_that_differs_is_found_beside_a_dropped_ticket() {
    let mut resumed = capture("firefox-153esr-resume-01")[0].hello.clone();
    // ALPN and status_request, which stand one place later in the fresh hello, behind its session_ticket.
    resumed.extensions.as_mut().unwrap().swap(5, 6);
    let captures = [resumed.to_message().unwrap(), bytes("firefox-153esr-00")];
    let spec = of(captures).unwrap();
    assert_eq!(spec.slots()[5], Slot::Native(kind::SESSION_TICKET));
    assert_eq!(spec.permuted(), 6..8);
}

#[test]
fn padding_is_learned_as_a_rule() {
    for name in ["curl-7.88-00", "python311-00"] {
        assert_eq!(capture(name)[0].message.len(), 512);
        let spec = learned(&[name]).unwrap();
        assert_eq!(spec.slots().last(), Some(&Slot::Padding), "{name}");
    }
}

#[test]
fn hellos_of_two_clients_are_told_apart() {
    assert_eq!(
        learned(&["firefox-153esr-00", "chromium-156-00"]),
        Err(SpecError::Disagree("the cipher suites"))
    );
    let changed = |change: fn(&mut ClientHello)| {
        let mut hello = capture("firefox-153esr-00")[0].hello.clone();
        change(&mut hello);
        of([bytes("firefox-153esr-00"), hello.to_message().unwrap()])
    };
    assert!(changed(|_| {}).is_ok());
    let different = Err(SpecError::Disagree("the extensions"));
    assert_eq!(
        changed(|hello| hello.extensions.as_mut().unwrap().truncate(15)),
        different
    );
    assert_eq!(
        changed(|hello| hello.extensions.as_mut().unwrap()[6] = Extension::Alpn(vec![b"h2".to_vec()])),
        different
    );
    let ticket = changed(|hello| drop(hello.extensions.as_mut().unwrap().remove(5)));
    assert_eq!(ticket, different, "a fresh hello keeps its session_ticket");
    assert_eq!(learned(&[]), Err(SpecError::NoHello));
}

/// The error of learning from a captured Firefox hello after a change.
fn refused(change: impl FnOnce(&mut ClientHello)) -> SpecError {
    let mut hello = capture("firefox-153esr-00")[0].hello.clone();
    change(&mut hello);
    of([hello.to_message().unwrap()]).expect_err("must be refused")
}

/// The same, with another extension in the place of the one of its type, or at the end.
fn refused_with(extension: Extension) -> SpecError {
    refused(|hello| {
        let extensions = hello.extensions.as_mut().unwrap();
        match extensions.iter_mut().find(|old| old.kind() == extension.kind()) {
            Some(old) => *old = extension,
            None => extensions.push(extension),
        }
    })
}

#[test]
fn what_cannot_be_served_is_not_learned() {
    assert_eq!(of([[]]), Err(SpecError::NoHello));
    assert!(matches!(
        of([[1, 0, 0, 9]]),
        Err(SpecError::Hello(HelloError::Short { .. }))
    ));
    assert_eq!(
        refused(|hello| hello.legacy_version = 0x0302),
        SpecError::LegacyVersion(0x0302)
    );
    assert_eq!(refused(|hello| hello.session_id.clear()), SpecError::SessionId(0));
    assert_eq!(
        refused(|hello| hello.compression_methods = vec![1, 0]),
        SpecError::Compression
    );
    assert_eq!(
        refused(|hello| hello.cipher_suites = vec![0xc009, 0x0035]),
        SpecError::NoCipherSuite
    );
    assert_eq!(
        refused(|hello| hello.cipher_suites.splice(0..0, [0x0a0a, 0x1a1a]).for_each(drop)),
        SpecError::Grease("cipher_suites")
    );
    assert_eq!(
        refused(|hello| drop(hello.extensions.as_mut().unwrap().remove(0))),
        SpecError::NoServerName
    );
    assert_eq!(
        refused_with(Extension::ServerName(Vec::new())),
        SpecError::NoServerName
    );
    for kind in [kind::EARLY_DATA, kind::COOKIE, 57, 13_172, 17, 0x7777] {
        let extension = match kind {
            kind::EARLY_DATA => Extension::EarlyData,
            kind::COOKIE => Extension::Cookie(vec![1]),
            other => Extension::Opaque(other, Vec::new()),
        };
        assert_eq!(refused_with(extension), SpecError::Extension(kind));
    }
    assert_eq!(
        refused_with(Extension::ApplicationSettingsOld(vec![b"h2".to_vec()])),
        SpecError::Extension(17_513)
    );
    for extension in [
        Extension::CompressCertificate(vec![2, 9]),
        Extension::RecordSizeLimit(63),
        Extension::PskKeyExchangeModes(vec![0]),
        Extension::EcPointFormats(vec![1]),
        Extension::RenegotiationInfo(vec![1]),
        Extension::ApplicationSettings(vec![b"http/1.1".to_vec()]),
        Extension::Padding(3),
        Extension::Alpn(vec![vec![0xff]]),
        Extension::Alpn(vec![b"h2".to_vec(), b"h3".to_vec()]),
        Extension::Alpn(vec![Vec::new()]),
        Extension::EncryptedClientHello(EncryptedClientHello::Inner),
    ] {
        let kind = extension.kind();
        assert_eq!(refused_with(extension), SpecError::Content(kind));
    }
    assert_eq!(
        refused_with(Extension::SupportedVersions(vec![0x0302])),
        SpecError::NoVersion
    );
}

#[test]
fn shares_that_cannot_be_made_are_not_learned() {
    let share = |group, len| KeyShare {
        group,
        exchange: vec![4; len],
    };
    for (shares, expected) in [
        (vec![share(0x0019, 133)], SpecError::Share(0x0019)), // no P-521
        (vec![share(0x001d, 31)], SpecError::Share(0x001d)),  // half a share
        (
            vec![share(0x0017, 65), share(0x001d, 32)],
            SpecError::Share(0x001d),
        ), // not in the groups' order
        (vec![share(0x3a3a, 1)], SpecError::Grease("key_share")), // no GREASE among the groups
    ] {
        assert_eq!(refused_with(Extension::KeyShare(shares)), expected);
    }
    // GREASE of another value than the groups'.
    let mut hello = capture("chromium-156-00")[0].hello.clone();
    for extension in hello.extensions.as_mut().unwrap() {
        if let Extension::KeyShare(shares) = extension {
            assert_eq!(shares[0].group, 0xfafa);
            shares[0].group = 0xeaea;
        }
    }
    let changed = of([hello.to_message().unwrap()]);
    assert_eq!(changed, Err(SpecError::Grease("key_share")));
}

#[test]
fn what_cannot_be_served_is_not_written_by_hand_either() {
    let (suites, slots) = parts();
    assert!(HelloSpec::new(suites.clone(), slots.clone()).is_ok());
    assert!(with(Slot::Padding).is_ok() && with(Slot::EchGrease(EchGrease::Chromium)).is_ok());

    for kind in [kind::ALPN, kind::PRE_SHARED_KEY] {
        assert_eq!(with(Slot::Native(kind)), Err(SpecError::Extension(kind)));
        assert_eq!(with(Slot::NativeOrEmpty(kind)), Err(SpecError::Extension(kind)));
    }
    for (kind, body) in [
        (kind::PRE_SHARED_KEY, &[0, 0, 0, 0][..]),
        (kind::SUPPORTED_VERSIONS, &[2, 3, 4]),
        (kind::EARLY_DATA, &[]),
        (0x0a0a, &[]),
    ] {
        assert_eq!(with(raw(kind, body)), Err(SpecError::Extension(kind)));
    }
    for names in [&[][..], &[""], &["h3"], &["h2", "http/1.1", "http/1.0"]] {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let mut slots = slots.clone();
        for slot in &mut slots {
            if matches!(slot, Slot::Alpn(_)) {
                *slot = Slot::Alpn(Vec::clone(&names));
            }
        }
        let refused = HelloSpec::new(suites.clone(), slots);
        assert_eq!(refused, Err(SpecError::Content(kind::ALPN)), "{names:?}");
    }
    for slot in [Slot::Native(kind::SERVER_NAME), Slot::Alpn(vec!["h2".to_owned()])] {
        let kind = if slot == Slot::Native(kind::SERVER_NAME) {
            0
        } else {
            16
        };
        assert_eq!(with(slot), Err(SpecError::Duplicate(kind)));
    }
    assert!(matches!(
        with(raw(5, &[1, 0])),
        Err(SpecError::Hello(HelloError::Short { .. }))
    ));
    assert!(matches!(
        with(Slot::Grease(vec![0; 0x10000])),
        Err(SpecError::Hello(HelloError::TooLong { .. }))
    ));
    assert_eq!(
        instead(Slot::Versions(vec![p(0x0303)])),
        Err(SpecError::Needs(kind::KEY_SHARE))
    );
    assert_eq!(
        instead(Slot::Versions(vec![G])),
        Err(SpecError::Content(kind::SUPPORTED_VERSIONS))
    );
    assert_eq!(
        instead(Slot::Signatures(Vec::new())),
        Err(SpecError::Content(kind::SIGNATURE_ALGORITHMS))
    );
    assert_eq!(
        instead(Slot::Groups(vec![p(0x11ec), p(0x001d)])),
        Err(SpecError::Grease("key_share"))
    );
    assert_eq!(
        instead(Slot::Groups(vec![G, p(0x001d)])),
        Err(SpecError::Share(0x11ec))
    );
    assert_eq!(
        instead(Slot::Groups(vec![p(0x2a2a), p(0x001d)])),
        Err(SpecError::Grease("supported_groups"))
    );
    for (without, needed) in [
        (1, kind::SUPPORTED_GROUPS),
        (2, kind::SIGNATURE_ALGORITHMS),
        (5, kind::KEY_SHARE),
    ] {
        let mut fewer = slots.clone();
        fewer.remove(without);
        let made = HelloSpec::new(suites.clone(), fewer);
        assert_eq!(made, Err(SpecError::Needs(needed)));
    }
    let old: Vec<Slot> = slots.iter().take(4).cloned().collect();
    assert!(
        HelloSpec::new(vec![p(0xc02b)], old.clone()).is_ok(),
        "TLS 1.2 alone"
    );
    assert_eq!(
        HelloSpec::new(vec![p(0x1301)], old),
        Err(SpecError::NoCipherSuite)
    );

    let settings = raw(kind::APPLICATION_SETTINGS, b"\0\x03\x02h2");
    assert!(with(settings.clone()).is_ok());
    let mut alone = slots.clone();
    alone[3] = Slot::Alpn(vec!["http/1.1".to_owned()]);
    alone.push(settings);
    assert_eq!(
        HelloSpec::new(suites.clone(), alone),
        Err(SpecError::Content(kind::APPLICATION_SETTINGS)),
        "settings of a protocol that is not offered"
    );

    let (mut four, usual) = (slots.clone(), HelloSpec::new(suites.clone(), slots).unwrap());
    four.extend([Slot::Grease(Vec::new()), Slot::Grease(Vec::new())]);
    let greased = HelloSpec::new(suites.clone(), four.clone()).unwrap();
    assert_eq!(greased.ja4(), usual.ja4(), "GREASE does not count");
    four.push(Slot::Grease(vec![0]));
    assert_eq!(HelloSpec::new(suites, four), Err(SpecError::Grease("extensions")));
}

#[test]
fn only_slots_that_are_there_are_permuted() {
    let spec = with(Slot::Padding).unwrap();
    let count = spec.slots().len();
    assert_eq!(spec.clone().permuting(1..count).unwrap().permuted(), 1..count);
    for (start, end) in [(0, count + 1), (2, 1), (count + 1, count + 1)] {
        let refused = spec.clone().permuting(start..end);
        assert_eq!(refused, Err(SpecError::Permuted { start, end }));
    }
}

#[cfg(feature = "serde")]
mod file {
    use super::*;

    #[test]
    fn a_spec_is_the_same_after_a_file() {
        let chromium = learned(&["chromium-156-00", "chromium-156-01", "chromium-156-02"]).unwrap();
        let firefox = learned(&["firefox-153esr-resume-00", "firefox-153esr-resume-01"]).unwrap();
        let others = names().into_iter().map(|name| learned(&[&name]).unwrap());
        let never = firefox.clone().without_resumption();
        assert_ne!(never, firefox, "who resumes nothing is somebody else");
        for spec in [chromium, firefox, never].into_iter().chain(others) {
            let text = toml::to_string(&spec).unwrap();
            let again: HelloSpec = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(again, spec, "{text}");
        }
    }

    const SMALL: &str = r#"
        cipher_suites = ["grease", "0x1301", "0xc02b"]
        permuted = { start = 0, end = 2 }
        extensions = [
            { native = "0x0000" },
            { groups = ["grease", "0x11ec", "0x001d"] },
            { signatures = ["0x0403"] },
            { versions = ["0x0304"] },
            { key_shares = ["grease", "0x11ec"] },
            { alpn = ["h2"] },
            { native_or_empty = "0x0023" },
            { raw = { kind = "0x001b", body = "020002" } },
            { grease = "00" },
            { ech_grease = { fixed = { aead = 1, payload = 144 } } },
            "padding",
        ]
    "#;

    #[test]
    fn a_file_written_by_hand_is_a_spec() {
        let spec: HelloSpec = toml::from_str(SMALL).unwrap();
        assert_eq!((spec.permuted(), spec.resumes()), (0..2, true));
        assert_eq!(spec.slots()[7], raw(27, &[2, 0, 2]));
        assert_eq!(spec.ja4().to_string()[..10], *"t13d0210h2");
    }

    #[test]
    fn a_file_goes_through_the_same_checks() {
        for (from, to, complaint) in [
            ("{ native = \"0x0000\" },", "", "does not ask for one host"),
            ("\"020002\"", "\"020009\"", "extension 27 cannot be served"),
            ("\"020002\"", "\"02000\"", "pairs of hexadecimal digits"),
            ("\"020002\"", "\"0200zz\"", "pairs of hexadecimal digits"),
            ("\"0x1301\"", "\"1301\"", "four hexadecimal digits"),
            ("\"0x1301\"", "\"0x+301\"", "four hexadecimal digits"),
            ("end = 2", "end = 99", "cannot be permuted"),
            ("permuted =", "premuted =", "unknown field"),
            (
                "permuted =",
                "reuses_x25519 = true\npermuted =",
                "group 0x001d cannot be sent",
            ),
        ] {
            let text = SMALL.replacen(from, to, 1);
            assert_ne!(text, SMALL);
            let error = toml::from_str::<HelloSpec>(&text)
                .expect_err(complaint)
                .to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
