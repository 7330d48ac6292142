//! What goes over the wire beside what the browsers' captures have: fresh, resumed, and asked again, field by field; and a thousand first
//! hellos, by what they draw.

use std::collections::{BTreeMap, BTreeSet};

use hotpool::fingerprint::{
    Binders, ClientHello, EncryptedClientHello, Extension, FoundHello, KeyShare, PreSharedKey, Profile,
    hellos, is_grease, kind,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::certs;
use crate::support::outside::tls::{Maker, TlsServer};
use crate::support::outside::{self, Outside};
use crate::world::{Browser, Client, Wire, fixture};

/// The name that the captures ask for.
const NAME: &str = "www.example.com";
/// Chromium's payloads of an encrypted_client_hello that is GREASE.
const PAYLOADS: [usize; 4] = [144, 176, 208, 240];

fn client(profile: &Profile) -> Client {
    Client::new(profile.hello().unwrap())
}

/// The hellos of a capture.
fn captured(name: &str) -> Vec<FoundHello> {
    hellos(&fixture(name)).map_while(Result::ok).collect()
}

/// An OpenSSL server, as the captures were made against one: its tickets are as long, and for the same hash.
fn openssl(group: &'static str) -> Outside {
    let server = TlsServer {
        group,
        more: ["-ciphersuites", "TLS_AES_256_GCM_SHA384"]
            .map(str::to_owned)
            .to_vec(),
        ..TlsServer::of(Maker::OpenSsl)
    };
    outside::start(&server, 1, &certs::authority().server(&[NAME])).unwrap()
}

/// What a connection sent until its server had answered a request.
async fn sent(client: &Client, server: &Outside) -> Vec<FoundHello> {
    let tcp = TcpStream::connect(server.addr(0)).await.unwrap();
    let wire = Wire::new(tcp);
    let mut connection = client
        .shape
        .connect(&client.config, NAME, wire)
        .await
        .unwrap_or_else(|error| panic!("{error:?}\n{}", server.output()));
    connection.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    connection.flush().await.unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    assert!(!answer.is_empty());
    connection.transport().hellos()
}

/// Zeros, as many.
fn zeros(bytes: &[u8]) -> Vec<u8> {
    vec![0; bytes.len()]
}

fn plain(code: u16) -> u16 {
    if is_grease(code) { 0x0a0a } else { code }
}

/// A hello with zeros for all that a connection draws or a server gave, as long as it was.
fn normalised(hello: &ClientHello, browser: Browser) -> ClientHello {
    let list = |codes: &[u16]| codes.iter().copied().map(plain).collect();
    let extension = |extension: &Extension| match extension {
        Extension::Opaque(kind, body) if is_grease(*kind) => Extension::Opaque(0x0a0a, body.clone()),
        Extension::SupportedGroups(codes) => Extension::SupportedGroups(list(codes)),
        Extension::SignatureAlgorithms(codes) => Extension::SignatureAlgorithms(list(codes)),
        Extension::SupportedVersions(codes) => Extension::SupportedVersions(list(codes)),
        Extension::KeyShare(shares) => {
            let share = |share: &KeyShare| KeyShare {
                group: plain(share.group),
                exchange: zeros(&share.exchange),
            };
            Extension::KeyShare(shares.iter().map(share).collect())
        }
        Extension::EncryptedClientHello(EncryptedClientHello::Outer {
            kdf,
            aead,
            enc,
            payload,
            ..
        }) => {
            let len = match browser {
                Browser::Chromium if PAYLOADS.contains(&payload.len()) => PAYLOADS[0],
                _ => payload.len(),
            };
            assert!(*aead == 1 || browser == Browser::Firefox && *aead == 3);
            Extension::EncryptedClientHello(EncryptedClientHello::Outer {
                kdf: *kdf,
                aead: 1,
                config_id: 0,
                enc: zeros(enc),
                payload: vec![0; len],
            })
        }
        Extension::PreSharedKey(PreSharedKey { identities, binders }) => {
            let mut identities = identities.clone();
            for offered in &mut identities {
                offered.identity = zeros(&offered.identity);
                offered.obfuscated_ticket_age = 0;
            }
            let Binders::Present(binders) = binders else {
                panic!("a whole hello has its binders");
            };
            let binders = Binders::Present(binders.iter().map(|binder| zeros(binder)).collect());
            Extension::PreSharedKey(PreSharedKey { identities, binders })
        }
        other => other.clone(),
    };
    ClientHello {
        random: [0; 32],
        session_id: zeros(&hello.session_id),
        cipher_suites: list(&hello.cipher_suites),
        extensions: Some(hello.extensions().iter().map(extension).collect()),
        ..hello.clone()
    }
}

/// The same, and what stands between Chromium's first extension and its last GREASE sorted: it is permuted.
fn comparable(found: &FoundHello, browser: Browser) -> ClientHello {
    let mut hello = normalised(&found.hello, browser);
    if browser == Browser::Chromium {
        let extensions = hello.extensions.as_mut().unwrap();
        let grease = |extension: &Extension| is_grease(extension.kind());
        let last = extensions.iter().rposition(grease).unwrap();
        assert!(grease(&extensions[0]) && last > 0);
        extensions[1..last].sort_by_key(Extension::kind);
    }
    hello
}

/// The pairs of shares of which one ends like the other: they have a key in common.
fn keys(hello: &ClientHello) -> Vec<(u16, u16)> {
    let shares = || hello.key_shares().iter().filter(|share| share.exchange.len() > 1);
    let pairs = shares().flat_map(|one| shares().map(move |other| (one, other)));
    pairs
        .filter(|(one, other)| one != other && one.exchange.ends_with(&other.exchange))
        .map(|(one, other)| (one.group, other.group))
        .collect()
}

/// Every list, body, length and place, and the records around them.
fn same(sent: &[FoundHello], captured: &[FoundHello], browser: Browser) {
    assert_eq!(sent.len(), captured.len(), "{browser:?}");
    for (ours, theirs) in sent.iter().zip(captured) {
        let (left, right) = (comparable(ours, browser), comparable(theirs, browser));
        for (left, right) in left.extensions().iter().zip(right.extensions()) {
            let kind = left.kind();
            assert!(left == right, "{browser:?}: {kind} is not {right:?}");
        }
        assert!(left == right, "{browser:?}");
        assert_eq!(keys(&ours.hello), keys(&theirs.hello), "{browser:?}");
        let versions = |found: &FoundHello| -> Vec<u16> {
            let records = found.records.iter();
            records.map(|record| record.version).collect()
        };
        assert_eq!(versions(ours), versions(theirs), "{browser:?}");
        if browser == Browser::Firefox {
            assert_eq!(ours.records, theirs.records, "{browser:?}");
        }
    }
}

#[tokio::test]
async fn fresh_and_resumed_hellos_are_the_captured_ones() {
    let server = openssl("");
    for (browser, name) in [
        (Browser::Chromium, "chromium-156-resume"),
        (Browser::Firefox, "firefox-153esr-resume"),
    ] {
        let client = client(&browser.profile());
        for which in ["00", "01"] {
            let captured = captured(&format!("{name}-{which}"));
            same(&sent(&client, &server).await, &captured, browser);
        }
    }
}

/// Two that draw nothing but keys, so that all of it is compared as Firefox's is.
#[tokio::test]
async fn curl_and_node_resume_with_the_captured_hellos() {
    let server = openssl("");
    for (profile, name) in [
        (Profile::curl(), "curl-7.88-resume"),
        (Profile::node(), "node-20-resume"),
    ] {
        let client = client(&profile);
        for which in ["00", "01"] {
            let captured = captured(&format!("{name}-{which}"));
            same(&sent(&client, &server).await, &captured, Browser::Firefox);
        }
    }
}

#[tokio::test]
async fn hellos_that_are_asked_for_again_are_the_captured_ones() {
    for (browser, group, name) in [
        (Browser::Chromium, "P-256", "chromium-156-hrr-00"),
        (Browser::Firefox, "P-384", "firefox-153esr-hrr-00"),
    ] {
        let server = openssl(group);
        let client = client(&browser.profile());
        let sent = sent(&client, &server).await;
        same(&sent, &captured(name), browser);
        // What is drawn for a connection stands in both.
        let [first, second] = sent.as_slice() else {
            panic!("{} hellos", sent.len())
        };
        let rest = |found: &FoundHello| -> Vec<Extension> {
            let all = found.hello.extensions().iter();
            all.filter(|one| one.kind() != kind::KEY_SHARE).cloned().collect()
        };
        assert_eq!(rest(first), rest(second));
        assert_eq!(first.hello.random, second.hello.random);
    }
}

/// The first hello of a connection, which gets no answer.
async fn first_hello(client: &Client) -> ClientHello {
    let (near, mut far) = tokio::io::duplex(1 << 14);
    far.shutdown().await.unwrap();
    let wire = Wire::new(near);
    let noted = std::sync::Arc::clone(&wire.sent);
    let ended = client.shape.connect(&client.config, NAME, wire).await;
    assert!(ended.is_err());
    let noted = noted.lock();
    hellos(&noted).next().unwrap().unwrap().hello
}

/// The cipher, the key and the payload of its encrypted_client_hello.
fn grease(hello: &ClientHello) -> (u16, &[u8], &[u8]) {
    match hello.extension(kind::ENCRYPTED_CLIENT_HELLO) {
        Some(Extension::EncryptedClientHello(EncryptedClientHello::Outer {
            aead, enc, payload, ..
        })) => (*aead, enc, payload),
        _ => panic!("no encrypted_client_hello"),
    }
}

/// Whether one number tells anything of another: both below 16, counted in pairs. Of independent ones this is about 225, and 330 once in 10^5
/// times; of such that follow from each other, some thousands.
fn dependence(pairs: &[(u8, u8)]) -> f64 {
    let mut counts = [[0_f64; 16]; 16];
    for &(one, other) in pairs {
        counts[usize::from(one)][usize::from(other)] += 1.0;
    }
    let all = pairs.len() as f64;
    let rows: Vec<f64> = counts.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<f64> = (0..16)
        .map(|nth| counts.iter().map(|row| row[nth]).sum())
        .collect();
    let mut sum = 0.0;
    for (row, of_row) in counts.iter().zip(&rows) {
        for (count, of_column) in row.iter().zip(&columns) {
            let expected = of_row * of_column / all;
            sum += (count - expected).powi(2) / expected;
        }
    }
    sum
}

/// Of a thousand, one in sixteen or in seventeen: further off once in 10^6 times.
fn even(count: &usize) -> bool {
    (22..115).contains(count)
}

#[tokio::test]
async fn a_thousand_hellos_of_chromium_draw_as_it_does() {
    const HELLOS: usize = 1000;
    let client = client(&Profile::chromium(156).expect("known"));
    let mut orders = BTreeSet::new();
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    let mut values: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    let mut places: BTreeMap<(u16, usize), usize> = BTreeMap::new();
    let mut seen: Vec<([u8; 32], Vec<u8>)> = Vec::new();
    let (mut alike, mut keys) = (0, BTreeSet::new());
    for _ in 0..HELLOS {
        let hello = first_hello(&client).await;
        let kinds: Vec<u16> = hello.extension_kinds().collect();
        let (first, last) = (kinds[0], *kinds.last().unwrap());
        let Some(Extension::SignatureAlgorithms(signatures)) = hello.extension(kind::SIGNATURE_ALGORITHMS)
        else {
            panic!("no signature algorithms");
        };
        let drawn = [
            ("cipher", hello.cipher_suites[0]),
            ("group", hello.supported_groups()[0]),
            ("signature", signatures[0]),
            ("version", hello.supported_versions().unwrap()[0]),
            ("first extension", first),
            ("last extension", last),
        ];
        for (place, value) in drawn {
            assert!(is_grease(value), "{place}");
            *values.entry((place, value)).or_default() += 1;
        }
        assert_ne!(first, last);
        assert_eq!(hello.key_shares()[0].group, drawn[1].1, "group and share are one");
        alike += usize::from(drawn[0].1 == drawn[1].1);
        for (place, kind) in kinds.iter().enumerate().filter(|(_, kind)| !is_grease(**kind)) {
            *places.entry((*kind, place)).or_default() += 1;
        }
        orders.insert(kinds[1..kinds.len() - 1].to_vec());
        let (_, enc, payload) = grease(&hello);
        *lengths.entry(payload.len()).or_default() += 1;
        assert!(enc[31] < 0x80, "a public key of X25519 never has its highest bit");
        keys.insert(enc.to_vec());
        // The second GREASE extension steps aside where it would be the first.
        let greases = drawn.map(|(_, value)| (value >> 12) as u8).to_vec();
        seen.push((hello.random, greases));
    }
    assert_eq!((orders.len(), keys.len()), (HELLOS, HELLOS), "none comes twice");
    assert_eq!(lengths.keys().copied().collect::<Vec<_>>(), PAYLOADS);
    assert!(
        lengths.values().all(|count| (180..320).contains(count)),
        "{lengths:?}"
    );
    assert_eq!(values.len(), 6 * 16, "all sixteen, 0x0a0a among them");
    assert!(values.values().all(even), "{values:?}");
    assert!(even(&alike), "one in sixteen: {alike}");
    assert_eq!(places.len(), 17 * 17, "every extension comes to every place");
    assert!(places.values().all(even), "{places:?}");
    for place in 0..6 {
        for nibble in 0..64 {
            let of = |random: &[u8; 32]| random[nibble / 2] >> (4 * (nibble % 2)) & 0xf;
            let pairs: Vec<(u8, u8)> = seen
                .iter()
                .map(|(random, drawn)| (of(random), drawn[place]))
                .collect();
            let found = dependence(&pairs);
            assert!(
                found < 360.0,
                "GREASE {place} follows the random's nibble {nibble}: {found}"
            );
        }
    }
}

#[test]
fn the_test_for_dependence_sees_what_depends() {
    let random = |nth: u32| (nth.wrapping_mul(2_654_435_761) >> 20) as u8 & 0xf;
    let follows: Vec<(u8, u8)> = (0..1000).map(|nth| (random(nth), random(nth) ^ 5)).collect();
    assert!(dependence(&follows) > 10_000.0);
}

#[tokio::test]
async fn firefoxs_hellos_have_the_captured_length_two_ciphers_and_no_key() {
    let client = client(&Profile::firefox_esr(153).expect("known"));
    let (mut ciphers, mut high): (BTreeMap<u16, usize>, [usize; 2]) = Default::default();
    for _ in 0..200 {
        let hello = first_hello(&client).await;
        let (aead, enc, payload) = grease(&hello);
        assert_eq!(payload.len(), 239);
        *ciphers.entry(aead).or_default() += 1;
        high[usize::from(enc[31] >> 7)] += 1;
    }
    assert_eq!(ciphers.keys().copied().collect::<Vec<_>>(), [1, 3]);
    let even = |count: &usize| (60..140).contains(count);
    assert!(ciphers.values().all(even), "{ciphers:?}");
    assert!(
        high.iter().all(even),
        "a key's highest bit is never set: {high:?}"
    );
}

/// What the profiles rest on: Chromium's are keys, Firefox's are not.
#[test]
fn captured_keys_are_chromiums_alone() {
    let high = |names: [&str; 5]| {
        let all = names.into_iter().flat_map(captured);
        all.filter(|found| grease(&found.hello).1[31] >= 0x80).count()
    };
    let chromium = ["00", "01", "02", "hrr-00", "resume-01"].map(|nth| format!("chromium-156-{nth}"));
    let firefox = ["00", "01", "hrr-00", "resume-00", "resume-01"].map(|nth| format!("firefox-153esr-{nth}"));
    assert_eq!(high(chromium.each_ref().map(String::as_str)), 0);
    assert_eq!(
        high(firefox.each_ref().map(String::as_str)),
        4,
        "one of them twice"
    );
}
