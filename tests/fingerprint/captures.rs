//! Every field of every captured hello is read as an independent decoder reads it, and written again byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use hotpool::fingerprint::{
    Binders, EncryptedClientHello, Extension, FoundHello, Ja3, Ja4, StatusRequest, hellos,
};

/// How many captures there are; none goes missing unnoticed.
const FILES: usize = 19;
/// Two of them hold a second hello after a HelloRetryRequest.
const HELLOS: usize = 21;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hello")
}

/// The bytes of the capture of this name.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    fs::read(directory().join(format!("{name}.bin"))).expect("a fixture")
}

/// The hellos in the capture of this name.
pub(crate) fn capture(name: &str) -> Vec<FoundHello> {
    hellos(&bytes(name)).map(|found| found.expect(name)).collect()
}

/// The names of all captures, sorted.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .expect("the fixtures")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names.len(), FILES);
    names
}

#[test]
fn every_field_is_read_as_another_decoder_reads_it() {
    let mut count = 0;
    for name in names() {
        let outline = directory().join(format!("{name}.txt"));
        let expected = fs::read_to_string(outline).expect("an outline");
        let found = capture(&name);
        count += found.len();
        let read: Vec<String> = found.iter().map(outline_of).collect();
        assert_eq!(read.join("\n"), expected, "{name}");
    }
    assert_eq!(count, HELLOS);
}

#[test]
fn what_was_read_is_written_again_byte_for_byte() {
    for name in names() {
        for found in capture(&name) {
            assert_eq!(found.hello.to_message().as_ref(), Ok(&found.message), "{name}");
            for extension in found.hello.extensions() {
                let body = extension.body().unwrap();
                assert_eq!(
                    Extension::from_body(extension.kind(), &body).as_ref(),
                    Ok(extension)
                );
            }
        }
    }
}

/// The same text that the outlines in the fixtures have.
fn outline_of(found: &FoundHello) -> String {
    let hello = &found.hello;
    let records: Vec<String> = found
        .records
        .iter()
        .map(|record| format!("{:04x}/{}", record.version, record.len))
        .collect();
    let mut lines = vec![
        format!("records {}", records.join(" ")),
        format!("version {:04x}", hello.legacy_version),
        format!("random {}", abridged(&hello.random)),
        format!("session_id {}", abridged(&hello.session_id)),
        format!("ciphers {}", codes(&hello.cipher_suites)),
        format!("compression {}", abridged(&hello.compression_methods)),
    ];
    for extension in hello.extensions() {
        let line = format!("extension {} {}", extension.kind(), content(extension));
        lines.push(line.trim_end().to_owned());
    }
    lines.push(format!("ja3 {}", Ja3::of(hello).text()));
    lines.push(format!("ja4_r {}", Ja4::of(hello).raw()));
    lines.join("\n") + "\n"
}

fn content(extension: &Extension) -> String {
    match extension {
        Extension::ServerName(names) => list(names, |name| {
            format!("{}/{}", name.kind, String::from_utf8_lossy(&name.name))
        }),
        Extension::StatusRequest(StatusRequest::Ocsp {
            responders,
            extensions,
        }) => {
            assert!(responders.is_empty());
            format!("ocsp  {}", abridged(extensions))
        }
        Extension::SupportedGroups(list)
        | Extension::SignatureAlgorithms(list)
        | Extension::DelegatedCredentials(list)
        | Extension::SignatureAlgorithmsCert(list)
        | Extension::CompressCertificate(list)
        | Extension::SupportedVersions(list) => codes(list),
        Extension::EcPointFormats(bytes)
        | Extension::PskKeyExchangeModes(bytes)
        | Extension::RenegotiationInfo(bytes)
        | Extension::SessionTicket(bytes) => abridged(bytes),
        Extension::Alpn(names) | Extension::ApplicationSettings(names) => list(names, |name| abridged(name)),
        Extension::TrustAnchors(anchors) => {
            let (mut names, mut rest) = (Vec::new(), anchors.as_slice());
            while let [len, after @ ..] = rest {
                let (name, after) = after.split_at((*len).into());
                names.push(name);
                rest = after;
            }
            list(&names, |name| abridged(name))
        }
        Extension::Padding(len) => format!("zeros {len}"),
        Extension::RecordSizeLimit(limit) => limit.to_string(),
        Extension::PreSharedKey(keys) => {
            let identities = list(&keys.identities, |offered| {
                format!(
                    "{}@{}",
                    abridged(&offered.identity),
                    offered.obfuscated_ticket_age
                )
            });
            let Binders::Present(binders) = &keys.binders else {
                panic!("a whole hello has its binders");
            };
            format!("{identities} {}", list(binders, |binder| abridged(binder)))
        }
        Extension::KeyShare(shares) => list(shares, |share| {
            format!("{:04x}={}", share.group, abridged(&share.exchange))
        }),
        Extension::EncryptedClientHello(EncryptedClientHello::Outer {
            kdf,
            aead,
            config_id,
            enc,
            payload,
        }) => {
            let (enc, payload) = (abridged(enc), abridged(payload));
            format!("outer {kdf:04x} {aead:04x} {config_id:02x} {enc} {payload}")
        }
        Extension::SignedCertificateTimestamp
        | Extension::EncryptThenMac
        | Extension::ExtendedMasterSecret
        | Extension::PostHandshakeAuth => String::new(),
        Extension::Opaque(kind, body) => {
            assert!(hotpool::fingerprint::is_grease(*kind), "{kind} is known");
            abridged(body)
        }
        other => panic!("no capture has {other:?}"),
    }
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(text).collect();
    format!("[{}]", items.join(" "))
}

fn codes(codes: &[u16]) -> String {
    list(codes, |code| format!("{code:04x}"))
}

fn abridged(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match bytes {
        short if short.len() <= 12 => hex(short),
        long => format!(
            "{}:{}..{}",
            long.len(),
            hex(&long[..4]),
            hex(&long[long.len() - 4..])
        ),
    }
}

#[test]
fn a_second_hello_answers_a_retry() {
    for (name, asked_for) in [("chromium-156-hrr-00", 0x0017), ("firefox-153esr-hrr-00", 0x0018)] {
        let found = capture(name);
        let [first, second] = found.as_slice() else {
            panic!("{name}: {} hellos", found.len());
        };
        let groups = |found: &FoundHello| -> Vec<u16> {
            found.hello.key_shares().iter().map(|share| share.group).collect()
        };
        assert!(groups(first).contains(&0x11ec));
        assert!(!groups(first).contains(&asked_for));
        assert_eq!(groups(second), [asked_for]);
        assert_eq!(first.hello.random, second.hello.random);
        assert_eq!(second.records[0].version, 0x0303);
    }
}
