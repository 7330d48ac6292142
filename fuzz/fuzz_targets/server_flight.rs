//! Whatever a server sends first: it ends the handshake by name, or rustls reads what it can take of it, however it comes in pieces, and the transcript
//! keeps what was sent.
#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use hotpool::fingerprint::{Code, HelloSpec, Profile, Slot, kind};
use hotpool::rustls::client::Resumption;
use hotpool::rustls::crypto::ring;
use hotpool::rustls::{ClientConfig, RootCertStore};
use hotpool::shaped::{Shape, Trial};
use libfuzzer_sys::fuzz_target;

const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_VERIFY: u8 = 15;

/// All that the browsers offer, on the groups that ring has.
static CLIENT: LazyLock<(Shape, Arc<ClientConfig>)> = LazyLock::new(|| {
    let plain = |codes: &[u16]| codes.iter().copied().map(Code::Plain).collect::<Vec<Code>>();
    let (chromium, firefox) = (
        Profile::chromium(156).expect("known"),
        Profile::firefox_esr(153).expect("known"),
    );
    let of = |profile: &Profile| profile.hello().expect("a browser").slots().to_vec();
    let mut slots = of(&chromium);
    slots.extend(of(&firefox).into_iter().filter(|slot| {
        matches!(
            slot,
            Slot::Raw {
                kind: kind::RECORD_SIZE_LIMIT | kind::DELEGATED_CREDENTIALS,
                ..
            }
        )
    }));
    for slot in &mut slots {
        match slot {
            Slot::Groups(groups) => *groups = plain(&[0x001d, 0x0017, 0x0018, 0x0019]),
            Slot::KeyShares(shares) => *shares = plain(&[0x001d, 0x0017]),
            _ => {}
        }
    }
    let suites = chromium.hello().expect("a browser").cipher_suites().to_vec();
    let spec = HelloSpec::new(suites, slots).expect("a spec");
    let shape = Shape::new(&spec, &ring::default_provider()).expect("what ring has");
    let mut config = ClientConfig::builder_with_provider(shape.provider())
        .with_protocol_versions(&shape.versions())
        .expect("both versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    shape.complete(&mut config);
    config.resumption = Resumption::disabled();
    (shape, Arc::new(config))
});

fn trial() -> Trial {
    let (shape, config) = &*CLIENT;
    shape.trial(config, "peer.test").expect("a hello")
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let _ = match bytes.arbitrary() {
        Ok(true) => first_messages(&mut bytes),
        _ => encrypted(&mut bytes),
    };
});

/// The ServerHello, and whatever follows it in plain text.
fn first_messages(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut stream = Vec::new();
    for _ in 0..bytes.int_in_range(1..=4)? {
        let content = if bytes.ratio(7u8, 8u8)? {
            any_message(
                bytes,
                &[SERVER_HELLO, SERVER_HELLO, 4, CERTIFICATE, SERVER_KEY_EXCHANGE],
            )?
        } else {
            some(bytes)?
        };
        for fragment in pieces(bytes, &content)? {
            stream.push(*bytes.choose(&[22, 22, 22, 22, 20, 21, 23, 0])?);
            stream.extend([3, 3]);
            stream.extend(
                u16::try_from(fragment.len())
                    .expect("a short message")
                    .to_be_bytes(),
            );
            stream.extend(fragment);
        }
    }
    let whole = trial().reads(&[&stream]);
    let in_pieces = trial().reads(&pieces(bytes, &stream)?);
    assert_eq!(whole, in_pieces);
    // A record of its own for each message at most.
    assert!(whole.is_err() || whole.is_ok_and(|read| read.len() <= stream.len() + stream.len() / 4 * 5));
    Ok(())
}

/// EncryptedExtensions, Certificate and others, in records.
fn encrypted(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut messages = Vec::new();
    for _ in 0..bytes.int_in_range(1..=3)? {
        messages.push(any_message(
            bytes,
            &[
                ENCRYPTED_EXTENSIONS,
                ENCRYPTED_EXTENSIONS,
                CERTIFICATE,
                CERTIFICATE_VERIFY,
                20,
            ],
        )?);
    }
    let begun = if bytes.ratio(1u8, 8u8)? {
        vec![20, 0, 1, 0, 7]
    } else {
        Vec::new()
    };
    let sent = [messages.concat(), begun.clone()].concat();
    let (one, other) = (trial(), trial());
    let whole = one.decrypts(&[&sent]);
    match (&whole, other.decrypts(&pieces(bytes, &sent)?)) {
        (Ok(whole), Ok(in_pieces)) => assert_eq!(*whole, in_pieces),
        (_, Err(why)) => assert!(why.contains("split over records") || whole == Err(why)),
        (Err(why), Ok(_)) => panic!("refused as a whole: {why}"),
    }
    let Ok(read) = whole else {
        return Ok(());
    };
    let alone = |message: &Vec<u8>| trial().decrypts(&[message]).expect("it went through with others");
    let shown: Vec<Vec<u8>> = messages.iter().map(alone).collect();
    assert_eq!(read, [shown.concat(), begun.clone()].concat());
    // Of messages that came to be alike, the first counts: then the handshake fails.
    let real = |seen: &Vec<u8>| {
        let mut edited = messages.iter().zip(&shown).filter(|(sent, shown)| sent != shown);
        edited
            .find(|(_, shown)| *shown == seen)
            .map_or(seen, |(sent, _)| sent)
            .clone()
    };
    let real: Vec<Vec<u8>> = shown.iter().map(real).collect();
    assert_eq!(one.transcript(&read), [real.concat(), begun].concat());
    assert_eq!(trial().decrypts(&[&read]), Ok(read), "nothing more to take out");
    Ok(())
}

fn some(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = bytes.int_in_range(0..=40)?;
    Ok(bytes.bytes(len)?.to_vec())
}

/// Cuts `whole` where the bytes say. Nothing is empty.
fn pieces<'a>(bytes: &mut Unstructured<'_>, whole: &'a [u8]) -> Result<Vec<&'a [u8]>> {
    let mut pieces = Vec::new();
    let mut rest = whole;
    while rest.len() > 1 && pieces.len() < 6 && bytes.arbitrary()? {
        let (piece, after) = rest.split_at(bytes.int_in_range(1..=rest.len() - 1)?);
        pieces.push(piece);
        rest = after;
    }
    pieces.extend((!rest.is_empty()).then_some(rest));
    Ok(pieces)
}

fn vec16(content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a short list");
    [&len.to_be_bytes()[..], content].concat()
}

fn vec24(content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).expect("a short list");
    [&len.to_be_bytes()[1..], content].concat()
}

/// Extensions that are nearly well formed.
fn any_extensions(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let known: [(u16, &[u8]); 14] = [
        (kind::ALPN, b"\0\x03\x02h2"),
        (kind::ALPN, b"\0\x09\x08http/1.1"),
        (kind::RECORD_SIZE_LIMIT, b"\x40\x01"),
        (kind::RECORD_SIZE_LIMIT, b"\x02\0"),
        (kind::ENCRYPTED_CLIENT_HELLO, b"\0\x06\xfe\x0d\0\x02ab"),
        (kind::ENCRYPTED_CLIENT_HELLO, b"12345678"),
        (kind::TRUST_ANCHORS, b"\0\x03\x02ab"),
        (kind::APPLICATION_SETTINGS, b"any"),
        (kind::SIGNED_CERTIFICATE_TIMESTAMP, b"\0\x04\0\x02ab"),
        (kind::SESSION_TICKET, b""),
        (kind::SUPPORTED_VERSIONS, b"\x03\x04"),
        (kind::KEY_SHARE, b"\0\x18"),
        (kind::KEY_SHARE, b"\0\x17\0\x01\x04"),
        (kind::STATUS_REQUEST, b"\x01\0\0\x01x"),
    ];
    let mut list = Vec::new();
    for _ in 0..bytes.int_in_range(0..=5)? {
        let (kind, body) = bytes.choose(&known)?;
        let mut body = body.to_vec();
        if bytes.ratio(1u8, 8u8)? {
            body = some(bytes)?;
        } else if bytes.ratio(1u8, 8u8)? && !body.is_empty() {
            let at = bytes.int_in_range(0..=body.len() - 1)?;
            body[at] = bytes.arbitrary()?;
        }
        list.extend(kind.to_be_bytes());
        list.extend(vec16(&body));
    }
    Ok(vec16(&list))
}

/// A scheme and a signature: some are offered and served, some only the one, some neither.
fn signed(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let scheme: u16 = *bytes.choose(&[0x0403, 0x0804, 0x0401, 0x0203, 0x0807, 0x0904, 0x0a0a])?;
    Ok([&scheme.to_be_bytes()[..], &vec16(&some(bytes)?)].concat())
}

fn any_message(bytes: &mut Unstructured<'_>, kinds: &[u8]) -> Result<Vec<u8>> {
    const RETRY: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let kind = *bytes.choose(kinds)?;
    let mut body = match kind {
        SERVER_HELLO => {
            let random = if bytes.ratio(1u8, 3u8)? { RETRY } else { [9; 32] };
            let suite: u16 = *bytes.choose(&[0x1301, 0xc02b, 0xc013, 0x0000])?;
            let head = [&[3, 3][..], &random, &[0], &suite.to_be_bytes(), &[0]].concat();
            [head, any_extensions(bytes)?].concat()
        }
        ENCRYPTED_EXTENSIONS => any_extensions(bytes)?,
        CERTIFICATE => {
            let mut entries = Vec::new();
            for _ in 0..bytes.int_in_range(0..=2)? {
                entries.extend(vec24(&some(bytes)?));
                entries.extend(any_extensions(bytes)?);
            }
            [vec![0], vec24(&entries)].concat()
        }
        SERVER_KEY_EXCHANGE => {
            let group: u16 = *bytes.choose(&[0x001d, 0x0017, 0x0019, 0x001e, 0x0a0a])?;
            let share = some(bytes)?;
            let len = u8::try_from(share.len()).expect("a short share");
            [&[3][..], &group.to_be_bytes(), &[len], &share, &signed(bytes)?].concat()
        }
        CERTIFICATE_VERIFY => signed(bytes)?,
        _ => some(bytes)?,
    };
    if bytes.ratio(1u8, 8u8)? && !body.is_empty() {
        let at = bytes.int_in_range(0..=body.len() - 1)?;
        body[at] = bytes.arbitrary()?;
    }
    Ok([vec![kind], vec24(&body)].concat())
}
