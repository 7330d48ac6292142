//! Answers to offers that rustls did not make: what is taken out, what ends the handshake, and what is left for rustls to refuse.

use hotpool::fingerprint::{HelloSpec, Slot, hellos, kind};
use hotpool::shaped::Trial;
use rustls::client::Resumption;

use crate::world::{Browser, Client};

const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;

fn trial(browser: Browser) -> Trial {
    let client = browser.client();
    let trial = client.shape.trial(&client.config, "peer.test").unwrap();
    assert_eq!(hellos(trial.sent()).count(), 1);
    trial
}

/// Its type and its body.
type Extension<'a> = (u16, &'a [u8]);

/// A certificate and what stands beside it.
type Entry<'a> = (&'a [u8], &'a [Extension<'a>]);

fn vec16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

fn vec24(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_be_bytes()[1..], content].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], vec24(body)].concat()
}

fn list(extensions: &[Extension<'_>]) -> Vec<u8> {
    let one = |(kind, body): &Extension<'_>| [&kind.to_be_bytes()[..], &vec16(body)].concat();
    vec16(&extensions.iter().flat_map(one).collect::<Vec<u8>>())
}

fn encrypted_extensions(extensions: &[Extension<'_>]) -> Vec<u8> {
    message(ENCRYPTED_EXTENSIONS, &list(extensions))
}

/// A message that signs with this scheme.
fn verify(scheme: u16) -> Vec<u8> {
    let body = [&scheme.to_be_bytes()[..], &vec16(&[6; 70])].concat();
    message(CERTIFICATE_VERIFY, &body)
}

/// A certificate message whose entries are these bytes with these extensions.
fn certificate(entries: &[Entry<'_>]) -> Vec<u8> {
    let one = |(der, extensions): &Entry<'_>| [vec24(der), list(extensions)].concat();
    let entries: Vec<u8> = entries.iter().flat_map(one).collect();
    message(CERTIFICATE, &[vec![0], vec24(&entries)].concat())
}

const H2: Extension<'static> = (kind::ALPN, b"\0\x03\x02h2");
const HTTP1: Extension<'static> = (kind::ALPN, b"\0\x09\x08http/1.1");
const LIMIT: Extension<'static> = (kind::RECORD_SIZE_LIMIT, &[0x40, 1]);
/// Of no version that anybody knows.
const CONFIGS: Extension<'static> = (
    kind::ENCRYPTED_CLIENT_HELLO,
    b"\0\x0b\xfe\x0d\0\x02ab\xfe\x0e\0\x01c",
);
const ANCHORS: Extension<'static> = (kind::TRUST_ANCHORS, b"\0\x06\x02ab\x02cd");
const SETTINGS: Extension<'static> = (kind::APPLICATION_SETTINGS, b"any");
const STAMPS: Extension<'static> = (kind::SIGNED_CERTIFICATE_TIMESTAMP, b"\0\x08\0\x03one\0\x01b");
const STATUS: Extension<'static> = (kind::STATUS_REQUEST, b"\x01\0\0\x01x");

#[test]
fn what_a_profile_offers_is_taken_out_and_the_transcript_keeps_it() {
    for (browser, answers, left) in [
        (
            Browser::Chromium,
            &[H2, CONFIGS, ANCHORS, SETTINGS][..],
            &[H2][..],
        ),
        (Browser::Chromium, &[CONFIGS], &[]),
        (Browser::Firefox, &[LIMIT, HTTP1, CONFIGS], &[HTTP1]),
        // Not offered by this one: for rustls to refuse.
        (
            Browser::Firefox,
            &[H2, ANCHORS, SETTINGS],
            &[H2, ANCHORS, SETTINGS],
        ),
        (Browser::Chromium, &[LIMIT], &[LIMIT]),
    ] {
        let trial = trial(browser);
        let sent = encrypted_extensions(answers);
        let read = trial.decrypts(&[&sent]).unwrap();
        assert_eq!(read, encrypted_extensions(left), "{browser:?}");
        assert_eq!(trial.transcript(&read), sent);
        let taken: Vec<u16> = trial.answers().into_iter().collect();
        let mut expected: Vec<u16> = answers.iter().map(|(kind, _)| *kind).collect();
        expected.retain(|kind| !left.iter().any(|(kept, _)| kept == kind));
        expected.sort();
        assert_eq!(taken, expected);
    }
}

/// Whoever agrees on settings says so in a message of its own (draft-vvv-tls-alps section 4): behind the server's Finished, of whose transcript the
/// application's secrets are made first.
#[test]
fn settings_that_are_owed_stand_behind_the_servers_finished() {
    let (theirs, ours) = (message(FINISHED, &[7; 32]), message(FINISHED, &[8; 32]));
    let owed = encrypted_extensions(&[(kind::APPLICATION_SETTINGS, b"")]);
    for (answers, owed) in [(&[H2, SETTINGS][..], owed), (&[H2], Vec::new())] {
        let trial = trial(Browser::Chromium);
        trial.decrypts(&[&encrypted_extensions(answers)]).unwrap();
        let hash = |parts: &[&[u8]]| trial.hash(&parts.concat());
        let all = hash(&[&theirs, &owed, &ours]);
        let expected = [[hash(&[&theirs]), hash(&[&theirs, &owed])], [all.clone(), all]];
        assert_eq!(trial.hashes(&[&theirs, &ours]), expected);
    }
}

#[test]
fn timestamps_are_taken_out_of_every_entry() {
    for browser in [Browser::Chromium, Browser::Firefox] {
        let trial = trial(browser);
        let sent = certificate(&[
            (b"leaf", &[STATUS, STAMPS]),
            (b"authority", &[STAMPS]),
            (b"root", &[]),
        ]);
        let read = trial.decrypts(&[&sent]).unwrap();
        let left = certificate(&[(b"leaf", &[STATUS]), (b"authority", &[]), (b"root", &[])]);
        assert_eq!((&read, trial.transcript(&read)), (&left, sent));
    }
}

#[test]
fn an_answer_that_is_not_of_its_form_ends_the_handshake() {
    use Browser::{Chromium, Firefox};
    let settings = b"settings for a protocol";
    let malformed = b"is malformed";
    let limit = b"records of at most 16384";
    type Case = (Browser, &'static [Extension<'static>], &'static [u8]);
    let in_extensions: &[Case] = &[
        (Chromium, &[SETTINGS], settings),
        (Chromium, &[HTTP1, SETTINGS], settings),
        (
            Chromium,
            &[(kind::ALPN, b"\0\x06\x02h2\x02h2"), SETTINGS],
            settings,
        ),
        (Chromium, &[(kind::ENCRYPTED_CLIENT_HELLO, b"")], malformed),
        (Chromium, &[(kind::ENCRYPTED_CLIENT_HELLO, b"\0\0")], malformed),
        (
            Chromium,
            &[(kind::ENCRYPTED_CLIENT_HELLO, b"\0\x05\xfe\x0d\0\x02a")],
            malformed,
        ),
        (
            Chromium,
            &[(kind::ENCRYPTED_CLIENT_HELLO, b"\0\x06\xfe\x0d\0\x02ab.")],
            malformed,
        ),
        (Chromium, &[(kind::TRUST_ANCHORS, b"\0\x01\0")], malformed),
        (Chromium, &[CONFIGS, H2, CONFIGS], malformed),
        (Firefox, &[(kind::RECORD_SIZE_LIMIT, b"\x40")], malformed),
        (Firefox, &[(kind::RECORD_SIZE_LIMIT, b"\0\x3f")], malformed),
        (Firefox, &[(kind::RECORD_SIZE_LIMIT, b"\x40\0")], limit),
    ];
    for (browser, answers, why) in in_extensions {
        let found = trial(*browser)
            .decrypts(&[&encrypted_extensions(answers)])
            .unwrap_err();
        assert!(
            found.contains(str::from_utf8(why).unwrap()),
            "{answers:?}: {found}"
        );
    }
    for stamps in [
        &b""[..],
        b"\0\0",
        b"\0\x02\0\0",
        b"\0\x03\0\x02a",
        b"\0\x03\0\x01ab",
    ] {
        let sent = certificate(&[(b"leaf", &[(kind::SIGNED_CERTIFICATE_TIMESTAMP, stamps)])]);
        let found = trial(Chromium).decrypts(&[&sent]).unwrap_err();
        assert!(found.contains("is malformed"), "{stamps:?}: {found}");
    }
    let twice = certificate(&[(b"leaf", &[STAMPS, STATUS, STAMPS])]);
    let found = trial(Chromium).decrypts(&[&twice]).unwrap_err();
    assert!(found.contains("is malformed"), "{found}");
}

#[test]
fn a_message_that_is_split_is_left_alone_or_refused() {
    let finished = message(FINISHED, &[7; 32]);
    let plain = [encrypted_extensions(&[H2]), finished.clone()].concat();
    let answered = [encrypted_extensions(&[H2, CONFIGS]), finished].concat();
    let whole = trial(Browser::Chromium).decrypts(&[&answered]).unwrap();
    assert_eq!(whole, plain);
    let first = encrypted_extensions(&[H2, CONFIGS]).len();
    for at in 1..answered.len() {
        let (head, tail) = answered.split_at(at);
        let read = trial(Browser::Chromium).decrypts(&[head, tail]);
        if at < first {
            assert!(read.unwrap_err().contains("message 8"), "at {at}");
        } else {
            assert_eq!(read.as_ref(), Ok(&plain), "at {at}");
        }
        if at < plain.len() {
            let (head, tail) = plain.split_at(at);
            assert_eq!(
                trial(Browser::Chromium).decrypts(&[head, tail]).as_ref(),
                Ok(&plain)
            );
        }
    }
    let bytes: Vec<&[u8]> = plain.chunks(1).collect();
    assert_eq!(trial(Browser::Chromium).decrypts(&bytes).as_ref(), Ok(&plain));
}

#[test]
fn what_is_malformed_as_a_whole_is_left_for_rustls_to_refuse() {
    for body in [&b""[..], b"\0", b"\0\x05\0\x10", b"\0\0\0", b"\0\x04\0\x1c\0\x02"] {
        for kind in [ENCRYPTED_EXTENSIONS, CERTIFICATE] {
            let sent = message(kind, body);
            assert_eq!(trial(Browser::Firefox).decrypts(&[&sent]).as_ref(), Ok(&sent));
        }
    }
}

/// A record of handshake messages.
fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 3][..], &vec16(content)].concat()
}

const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

fn server_hello(random: [u8; 32], suite: u16, extensions: &[Extension<'_>]) -> Vec<u8> {
    let head = [&[3, 3][..], &random, &[0], &suite.to_be_bytes(), &[0]].concat();
    message(SERVER_HELLO, &[head, list(extensions)].concat())
}

/// The record of an alert: a warning of an unrecognized name.
const WARNING: &[u8] = &[21, 3, 3, 0, 2, 1, 112];

const TLS13: Extension<'static> = (kind::SUPPORTED_VERSIONS, &[3, 4]);

fn share(group: u16) -> Vec<u8> {
    [&group.to_be_bytes()[..], &vec16(&[4; 65])].concat()
}

/// rustls takes any protocol that it was told to offer, and of those a profile sends what it has.
#[test]
fn a_protocol_that_was_not_offered_ends_the_handshake() {
    let mut slots = Browser::Chromium.spec().slots().to_vec();
    for slot in &mut slots {
        if let Slot::Alpn(protocols) = slot {
            *protocols = vec!["h2".to_owned()];
        }
    }
    let spec = HelloSpec::new(Browser::Chromium.spec().cipher_suites().to_vec(), slots).unwrap();
    let client = Client::new(&spec);
    for version in ["1.2", "1.3"] {
        let chosen = |protocol: Extension<'_>| {
            let trial = client.shape.trial(&client.config, "peer.test").unwrap();
            match version {
                "1.2" => trial.reads(&[&record(&server_hello([9; 32], 0xc02b, &[protocol]))]),
                _ => trial.decrypts(&[&encrypted_extensions(&[protocol])]),
            }
        };
        assert!(chosen(H2).is_ok(), "{version}");
        let refused = chosen(HTTP1).unwrap_err();
        assert!(
            refused.contains("a protocol that the profile does not offer"),
            "{refused}"
        );
    }
}

/// A ticket of TLS 1.2 that rustls did not ask for is kept from it. A second, or the thousandth, is not kept at all.
#[test]
fn one_ticket_is_hidden_and_no_more() {
    const NEW_SESSION_TICKET: u8 = 4;
    let client = Browser::Chromium.client();
    let client = client.configured(|config| config.resumption = Resumption::disabled());
    let trial = client.shape.trial(&client.config, "peer.test").unwrap();
    let hello = server_hello([9; 32], 0xc02b, &[(kind::SESSION_TICKET, b"")]);
    let ticket = record(&message(NEW_SESSION_TICKET, &[7; 100]));
    let read = trial
        .reads(&[&record(&hello), &ticket, &ticket, &ticket])
        .unwrap();
    let shown = record(&server_hello([9; 32], 0xc02b, &[]));
    assert!(
        read.len() <= shown.len() + 2 * ticket.len(),
        "the first is not hidden"
    );
    assert!(read.ends_with(&[ticket.clone(), ticket].concat()));
}

#[test]
fn a_choice_that_cannot_be_served_is_named() {
    let chosen = |browser: Browser, hello: &[u8]| trial(browser).reads(&[&record(hello)]).unwrap_err();
    // rustls has neither CBC nor P-521, nor any finite field.
    for (browser, hello, why) in [
        (
            Browser::Firefox,
            server_hello([9; 32], 0xc00a, &[]),
            "cipher suite 0xc00a",
        ),
        (
            Browser::Chromium,
            server_hello([9; 32], 0x002f, &[]),
            "cipher suite 0x002f",
        ),
        (
            Browser::Firefox,
            server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[0, 0x19])]),
            "group 0x0019",
        ),
        (
            Browser::Firefox,
            server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[1, 0])]),
            "group 0x0100",
        ),
        // Shares that went out, the third among them.
        (
            Browser::Firefox,
            server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[0, 0x17])]),
            "asks again for group 0x0017",
        ),
        (
            Browser::Chromium,
            server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[0x11, 0xec])]),
            "asks again for group 0x11ec",
        ),
    ] {
        let found = chosen(browser, &hello);
        assert!(found.contains(why), "{found}");
    }
    for (browser, scheme, why) in [
        (
            Browser::Firefox,
            0x0203,
            "signature scheme 0x0203, which the profile offers",
        ),
        (
            Browser::Firefox,
            0x0401,
            "signature scheme 0x0401, which the profile offers",
        ),
        (
            Browser::Firefox,
            0x0904,
            "signature scheme 0x0904, which the profile does not offer",
        ),
        (
            Browser::Chromium,
            0x0807,
            "signature scheme 0x0807, which the profile does not offer",
        ),
    ] {
        let found = trial(browser).decrypts(&[&verify(scheme)]).unwrap_err();
        assert!(found.contains(why), "{found}");
    }
    // Not offered at all: for rustls to refuse, like anything malformed.
    for sent in [verify(0x0804), message(CERTIFICATE_VERIFY, &[8])] {
        assert_eq!(trial(Browser::Firefox).decrypts(&[&sent]), Ok(sent));
    }
    let other = record(&server_hello([9; 32], 0xc00a, &[]));
    assert_eq!(trial(Browser::Chromium).reads(&[&other]), Ok(other));
}

/// Whatever is named, taken out or hidden without a warning of the server's is so behind one, too.
#[test]
fn warnings_end_nothing() {
    const NEW_SESSION_TICKET: u8 = 4;
    const LEFT: Extension<'static> = (kind::EXTENDED_MASTER_SECRET, b"");
    let resumes_nothing = Browser::Chromium
        .client()
        .configured(|config| config.resumption = Resumption::disabled());
    let retry = server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[0, 0x19])]);
    let found = trial(Browser::Firefox).reads(&[WARNING, WARNING, &record(&retry)]);
    assert!(found.unwrap_err().contains("group 0x0019"));
    // A HelloRetryRequest, and then the ServerHello.
    let retry = server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[0, 0x18])]);
    let suite = server_hello([9; 32], 0xc00a, &[]);
    let found = trial(Browser::Firefox).reads(&[&record(&retry), WARNING, &record(&suite)]);
    assert!(found.unwrap_err().contains("cipher suite 0xc00a"));
    let trial = resumes_nothing
        .shape
        .trial(&resumes_nothing.config, "peer.test")
        .unwrap();
    let hello = server_hello([9; 32], 0xc02b, &[STAMPS, LEFT, (kind::SESSION_TICKET, b"")]);
    let ticket = record(&message(NEW_SESSION_TICKET, &[7; 100]));
    let shown = record(&server_hello([9; 32], 0xc02b, &[LEFT]));
    let read = trial.reads(&[WARNING, &record(&hello), WARNING, &ticket]);
    assert_eq!(read, Ok([WARNING, &shown, WARNING].concat()));
    // Within a message it is none of the handshake's: for rustls to refuse.
    let (head, tail) = hello.split_at(9);
    let sent = [&record(head), WARNING, &record(tail)].concat();
    assert_eq!(self::trial(Browser::Chromium).reads(&[&sent]), Ok(sent));
}

/// The server signs its share in TLS 1.2, in a message that comes in any pieces.
#[test]
fn a_choice_of_tls12_that_cannot_be_served_is_named() {
    let exchange = |group: u16, scheme: u16| {
        let share = [&[3][..], &group.to_be_bytes(), &[65], &[4; 65]].concat();
        let signature = [&scheme.to_be_bytes()[..], &vec16(&[6; 70])].concat();
        message(SERVER_KEY_EXCHANGE, &[share, signature].concat())
    };
    let hello = server_hello([9; 32], 0xc02b, &[]);
    for (browser, group, scheme, why) in [
        (
            Browser::Firefox,
            0x0019,
            0x0403,
            "group 0x0019, which the profile offers",
        ),
        (
            Browser::Firefox,
            0x001e,
            0x0403,
            "group 0x001e, which the profile does not offer",
        ),
        // No share of TLS 1.2 (draft-ietf-tls-ecdhe-mlkem).
        (
            Browser::Firefox,
            0x11ec,
            0x0403,
            "group 0x11ec, which the profile offers",
        ),
        (
            Browser::Firefox,
            0x001d,
            0x0203,
            "signature scheme 0x0203, which the profile offers",
        ),
        (
            Browser::Chromium,
            0x001d,
            0x0203,
            "signature scheme 0x0203, which the profile does not offer",
        ),
        (
            Browser::Chromium,
            0x001d,
            0x0807,
            "signature scheme 0x0807, which the profile does not offer",
        ),
        (Browser::Chromium, 0x001d, 0x0401, ""),
    ] {
        let sent = [certificate(&[]), exchange(group, scheme), message(14, &[])].concat();
        let at_once = record(&[&*hello, &sent].concat());
        let apart = [record(&hello), record(&sent[..9]), record(&sent[9..])].concat();
        let warned = [WARNING, &record(&hello), WARNING, &record(&sent)].concat();
        for (stream, warning) in [(at_once, &[][..]), (apart, &[]), (warned, WARNING)] {
            for chunk in [1, 7, stream.len()] {
                let chunks: Vec<&[u8]> = stream.chunks(chunk).collect();
                match trial(browser).reads(&chunks) {
                    Err(found) => assert!(!why.is_empty() && found.contains(why), "{found}"),
                    Ok(read) => {
                        assert_eq!(why, "");
                        let whole = [certificate(&[]), exchange(group, scheme), message(14, &[])];
                        let whole = whole.map(|message| record(&message)).concat();
                        assert_eq!(read, [warning, &record(&hello), warning, &whole].concat());
                    }
                }
            }
        }
    }
    // Of no named group, and cut short: for rustls to refuse.
    for body in [&b""[..], &[3], &[3, 0], &[1, 0, 0x19], &[3, 0, 0x1d, 2, 4]] {
        let sent = [record(&hello), record(&message(SERVER_KEY_EXCHANGE, body))].concat();
        assert_eq!(trial(Browser::Firefox).reads(&[&sent]), Ok(sent));
    }
}

#[test]
fn a_third_share_goes_under_the_seconds_name() {
    let trial = trial(Browser::Firefox);
    let sent = server_hello([9; 32], 0x1301, &[TLS13, (kind::KEY_SHARE, &share(0x17))]);
    let shown = server_hello([9; 32], 0x1301, &[TLS13, (kind::KEY_SHARE, &share(0x1d))]);
    assert_eq!(trial.reads(&[&record(&sent)]), Ok(record(&shown)));
    assert_eq!(trial.transcript(&shown), sent);
}

#[test]
fn a_retry_may_confirm_an_encrypted_hello() {
    let confirmed = (kind::ENCRYPTED_CLIENT_HELLO, &[5; 8][..]);
    let sent = server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[0, 0x18]), confirmed]);
    let shown = server_hello(RETRY, 0x1301, &[TLS13, (kind::KEY_SHARE, &[0, 0x18])]);
    let trial = trial(Browser::Chromium);
    assert_eq!(trial.reads(&[&record(&sent)]), Ok(record(&shown)));
    assert_eq!(trial.transcript(&shown), sent);
    let short = (kind::ENCRYPTED_CLIENT_HELLO, &[5; 7][..]);
    let sent = server_hello(RETRY, 0x1301, &[TLS13, short]);
    let found = self::trial(Browser::Chromium)
        .reads(&[&record(&sent)])
        .unwrap_err();
    assert!(found.contains("is malformed"), "{found}");
}

#[test]
fn a_server_hello_may_come_in_any_pieces() {
    let sent = server_hello([9; 32], 0xc02b, &[STAMPS, (kind::EXTENDED_MASTER_SECRET, b"")]);
    let shown = server_hello([9; 32], 0xc02b, &[(kind::EXTENDED_MASTER_SECRET, b"")]);
    let more = message(FINISHED, b"no such message");
    for at in 1..sent.len() {
        let (head, tail) = sent.split_at(at);
        let stream = [record(head), record(&[tail, &more].concat())].concat();
        for chunk in [1, 7, stream.len()] {
            let trial = trial(Browser::Chromium);
            let chunks: Vec<&[u8]> = stream.chunks(chunk).collect();
            let read = trial.reads(&chunks).unwrap();
            assert_eq!(
                read,
                [record(&shown), record(&more)].concat(),
                "at {at} by {chunk}"
            );
            assert_eq!(trial.transcript(&shown), sent);
            assert_eq!(
                trial.answers().into_iter().collect::<Vec<u16>>(),
                [kind::SIGNED_CERTIFICATE_TIMESTAMP]
            );
        }
    }
}
