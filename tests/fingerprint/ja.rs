//! JA3 and JA4: known values, and each rule by an example.

use hotpool::fingerprint::{ClientHello, Extension, Ja3, Ja4, ServerName};

use crate::captures::capture;

/// The cipher suites, extensions and schemes of the worked example in FoxIO's description of JA4.
const CIPHERS: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
    0x002f, 0x0035,
];
const EXTENSIONS: [u16; 16] = [
    0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01,
    0x000b, 0x000a, 0x0015,
];
const SCHEMES: [u16; 8] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];

fn hello(ciphers: &[u16], extensions: Option<Vec<Extension>>) -> ClientHello {
    ClientHello {
        legacy_version: 0x0303,
        random: [1; 32],
        session_id: Vec::new(),
        cipher_suites: ciphers.to_vec(),
        compression_methods: vec![0],
        extensions,
    }
}

/// The worked example, with GREASE in every list that may have it.
fn example() -> ClientHello {
    let mut extensions: Vec<Extension> = EXTENSIONS
        .iter()
        .map(|kind| match kind {
            0x0010 => Extension::Alpn(vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
            0x002b => Extension::SupportedVersions(vec![0xfafa, 0x0304, 0x0303]),
            0x000d => Extension::SignatureAlgorithms([&[0x5a5a], &SCHEMES[..]].concat()),
            other => Extension::Opaque(*other, Vec::new()),
        })
        .collect();
    extensions.insert(0, Extension::Opaque(0x1a1a, Vec::new()));
    extensions.push(Extension::Opaque(0xdada, vec![0]));
    hello(&[&[0x0a0a], &CIPHERS[..]].concat(), Some(extensions))
}

fn head(extensions: Vec<Extension>) -> String {
    let ja4 = Ja4::of(&hello(&CIPHERS, Some(extensions))).to_string();
    ja4.split('_').next().unwrap().to_owned()
}

#[test]
fn the_published_example_of_ja4() {
    let (sorted, original) = (Ja4::of(&example()), Ja4::original(&example()));
    assert_eq!(sorted.to_string(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    assert_eq!(original.to_string(), "t13d1516h2_acb858a92679_18f69afefd3d");
    assert_eq!(
        sorted.raw(),
        "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_\
         0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_\
         0403,0804,0401,0503,0805,0501,0806,0601"
    );
    assert_eq!(
        original.raw(),
        "t13d1516h2_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035_\
         001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015_\
         0403,0804,0401,0503,0805,0501,0806,0601"
    );
}

#[test]
fn without_signature_algorithms_the_list_ends_without_an_underscore() {
    let mut hello = example();
    for extension in hello.extensions.as_mut().unwrap() {
        if let Extension::SignatureAlgorithms(schemes) = extension {
            schemes.clear();
        }
    }
    let ja4 = Ja4::of(&hello);
    assert!(ja4.to_string().ends_with("_6d807ffa2a79"), "{ja4}");
    assert!(ja4.raw().ends_with(",4469,ff01"), "{}", ja4.raw());
}

#[test]
fn empty_lists_are_zeros_and_not_the_hash_of_nothing() {
    assert_eq!(
        Ja4::of(&hello(&[0x2a2a], None)).to_string(),
        "t12i000000_000000000000_000000000000"
    );
    let named = vec![Extension::ServerName(Vec::new()), Extension::Alpn(Vec::new())];
    assert_eq!(
        Ja4::of(&hello(&[], Some(named))).to_string(),
        "t12d000200_000000000000_000000000000"
    );
}

#[test]
fn the_protocol_is_its_first_and_last_character() {
    // The last six are those of the description.
    for (protocol, expected) in [
        (&b"h2"[..], "h2"),
        (b"http/1.1", "h1"),
        (b"q", "qq"),
        (b"", "00"),
        (b"Az", "Az"),
        (b"a-", "6d"),
        (&[0xab], "ab"),
        (&[0xab, 0xcd], "ad"),
        (&[0x30, 0xab], "3b"),
        (&[0x30, 0x31, 0xab, 0xcd], "3d"),
        (&[0x30, 0xab, 0xcd, 0x31], "01"),
    ] {
        let offered = vec![Extension::Alpn(vec![protocol.to_vec(), b"zz".to_vec()])];
        assert_eq!(head(offered), format!("t12i1501{expected}"), "{protocol:02x?}");
    }
    assert_eq!(head(vec![Extension::Alpn(Vec::new())]), "t12i150100");
    assert_eq!(head(Vec::new()), "t12i150000");
}

#[test]
fn the_version_is_the_highest_offered() {
    for (versions, expected) in [
        (&[0x0303, 0x0304][..], "13"),
        (&[0xfafa, 0x0303], "12"),
        (&[0x0302], "11"),
        (&[0x0301], "10"),
        (&[0x0300], "s3"),
        (&[0x0002], "s2"),
        (&[0x7f1c], "00"),
        (&[0x0a0a], "00"),
        (&[], "00"),
    ] {
        let offered = vec![Extension::SupportedVersions(versions.to_vec())];
        assert_eq!(head(offered), format!("t{expected}i150100"), "{versions:04x?}");
    }
    let mut old = hello(&CIPHERS, Some(Vec::new()));
    old.legacy_version = 0x0301;
    assert!(Ja4::of(&old).to_string().starts_with("t10i"));
}

#[test]
fn a_name_is_told_from_an_address() {
    let name = ServerName {
        kind: 0,
        name: b"peer.test".to_vec(),
    };
    assert_eq!(head(vec![Extension::ServerName(vec![name])]), "t12d150100");
    assert_eq!(head(vec![Extension::SessionTicket(Vec::new())]), "t12i150100");
}

#[test]
fn counts_stop_at_99() {
    let extensions = (1000..1120).map(|kind| Extension::Opaque(kind, Vec::new()));
    let many = hello(&[0x1301; 100], Some(extensions.collect()));
    assert!(Ja4::of(&many).to_string().starts_with("t12i999900_"));
    let fewer = hello(&[0x1301; 99], Some(Vec::new()));
    assert!(Ja4::of(&fewer).to_string().starts_with("t12i990000_"));
}

#[test]
fn ja3_leaves_out_grease_and_keeps_the_order() {
    let found = hello(
        &[0x3a3a, 0x1301, 0x00ff],
        Some(vec![
            Extension::Opaque(0x4a4a, Vec::new()),
            Extension::SupportedGroups(vec![0x5a5a, 0x001d, 0x0017]),
            Extension::ServerName(Vec::new()),
            Extension::EcPointFormats(vec![0, 1]),
        ]),
    );
    assert_eq!(Ja3::of(&found).text(), "771,4865-255,10-0-11,29-23,0-1");
    assert_eq!(Ja3::sorted(&found).text(), "771,4865-255,0-10-11,29-23,0-1");
    assert_eq!(Ja3::of(&hello(&[], None)).text(), "771,,,,");
    // The MD5 of "771,,,,", by coreutils.
    assert_eq!(
        Ja3::of(&hello(&[], None)).to_string(),
        "bddda940f9963577c41d7c28b1a5f65f"
    );
}

#[test]
fn the_browsers_have_the_values_known_of_them() {
    const CHROMIUM: &str = "t13d1517h2_8daaf6152771_cb7bf5808d99";
    const FIREFOX: &str = "t13d1617h2_86a278354501_3cbfd9057e0d";
    for (name, ja4) in [
        ("chromium-156-00", CHROMIUM),
        ("chromium-156-01", CHROMIUM),
        ("chromium-156-02", CHROMIUM),
        ("chromium-156-hrr-00", CHROMIUM),
        ("chromium-156-resume-00", CHROMIUM),
        ("chromium-156-resume-01", "t13d1518h2_8daaf6152771_e2d80978ab2e"),
        ("firefox-153esr-00", FIREFOX),
        ("firefox-153esr-01", FIREFOX),
        ("firefox-153esr-hrr-00", FIREFOX),
        ("firefox-153esr-resume-00", FIREFOX),
        ("firefox-153esr-resume-01", "t13d1617h2_86a278354501_e6dcd7ae0a9e"),
    ] {
        for found in capture(name) {
            assert_eq!(Ja4::of(&found.hello).to_string(), ja4, "{name}");
        }
    }
    for name in [
        "firefox-153esr-00",
        "firefox-153esr-01",
        "firefox-153esr-resume-00",
    ] {
        let ja3 = Ja3::of(&capture(name)[0].hello).to_string();
        assert_eq!(ja3, "6447ab086255d194909d4013b1a89e87", "{name}");
    }
    let [first, second] = [0, 1].map(|nth| capture(&format!("chromium-156-0{nth}"))[0].hello.clone());
    assert_ne!(
        Ja3::of(&first),
        Ja3::of(&second),
        "Chromium permutes its extensions"
    );
    assert_eq!(Ja3::sorted(&first), Ja3::sorted(&second));
}
