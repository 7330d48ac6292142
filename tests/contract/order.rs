//! In which order the provider and the store are called.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup};

use crate::log::Log;
use crate::run::{GROUPS, client, records, run, server};

const FULL: &[&str] = &[
    "store.take_tls13_ticket",
    "store.tls12_session",
    "store.kx_hint",
    "kx.start(0x11ec)",
    // The hello is written; only the ServerHello tells which hash it is for.
    "hash.start",
    "update(1)",
    "update(2)",
    "kx.complete",
    "fork_finish",
    "decrypter",
    "encrypter",
    "decrypt(8+11+15+20)",
    "update(8)",
    "update(11)",
    "fork_finish",
    "update(15)",
    "fork_finish",
    "update(20)",
    "fork_finish", // A: the application secrets
    "fork_finish", // B: what the client's Finished proves
    "update(20)",
    "encrypt(20) seq 0",
    "store.set_kx_hint",
    "store.remove_tls12_session",
    "fork_finish",
    "decrypter",
    "encrypter",
    "settled",
];

/// From here on nothing runs within the handshake any more.
const TICKETS: &[&str] = &[
    "decrypt(4+4)",
    "store.insert_tls13_ticket",
    "store.insert_tls13_ticket",
];

fn same(events: &[String], expected: &[&[&str]]) {
    let expected: Vec<&str> = expected.concat();
    assert_eq!(events, expected, "\n{events:#?}");
}

#[test]
fn a_full_handshake() {
    let log = Log::default();
    let ran = run(
        &log,
        &Arc::new(client(&log, false)),
        &Arc::new(server(&GROUPS, &TLS13, false)),
    );
    same(&ran.events, &[FULL, TICKETS]);
    let sent = records(&ran.sent);
    assert_eq!(
        (sent[0].0, sent[0].1, sent[0].2[0]),
        (22, 0x0301, 1),
        "one record holds the hello"
    );
    assert_eq!(sent[1].0, 20);
    assert_eq!(sent[2].0, 23);
    assert_eq!(ran.server.alpn_protocol(), None);
}

#[test]
fn a_resumed_handshake_hashes_the_hello_cut_before_its_binders_first() {
    let log = Log::default();
    let (client, server) = (
        Arc::new(client(&log, false)),
        Arc::new(server(&GROUPS, &TLS13, false)),
    );
    run(&log, &client, &server);
    let ran = run(&log, &client, &server);
    assert_eq!(ran.client.handshake_kind(), Some(HandshakeKind::Resumed));
    let length = ran
        .events
        .iter()
        .find(|event| event.starts_with("update(1-"))
        .unwrap();
    // Two lengths and a binder of SHA-384.
    assert_eq!(length, "update(1-51)");
    same(
        &ran.events,
        &[
            &[
                "store.take_tls13_ticket",
                "store.kx_hint",
                "kx.start(0x11ec)",
                "hash.start",
                "update()",
                "update(1-51)",
                "finish",
                "hash.start",
                "update(1)",
                "update(2)",
                "kx.complete",
                "fork_finish",
                "decrypter",
                "encrypter",
                "decrypt(8+20)",
                "update(8)",
                "fork_finish",
                "update(20)",
                "fork_finish",
                "fork_finish",
                "update(20)",
                "encrypt(20) seq 0",
                "store.set_kx_hint",
                "store.remove_tls12_session",
                "fork_finish",
                "decrypter",
                "encrypter",
                "settled",
            ],
            TICKETS,
        ],
    );
}

#[test]
fn after_a_retry_one_call_brings_all_that_was() {
    let log = Log::default();
    let only: [&dyn rustls::crypto::SupportedKxGroup; 1] = [kx_group::SECP384R1];
    let ran = run(
        &log,
        &Arc::new(client(&log, false)),
        &Arc::new(server(&only, &TLS13, false)),
    );
    let upto = ran
        .events
        .iter()
        .position(|event| event == "kx.complete")
        .unwrap();
    same(
        &ran.events[..upto],
        &[&[
            "store.take_tls13_ticket",
            "store.tls12_session",
            "store.kx_hint",
            "kx.start(0x11ec)",
            "hash.start",
            "update(1)",
            "finish",
            "kx.start(0x0018)",
            "hash.start",
            "update(254+2+1)",
            "update(2)",
        ]],
    );
    let sent = records(&ran.sent);
    let shapes: Vec<(u8, u16)> = sent.iter().take(3).map(|record| (record.0, record.1)).collect();
    assert_eq!(shapes, [(22, 0x0301), (20, 0x0303), (22, 0x0303)]);
    assert_eq!((sent[0].2[0], sent[2].2[0]), (1, 1));
    assert_eq!(sent[0].2[6..38], sent[2].2[6..38], "the random is the same");
}

#[test]
fn a_resumed_handshake_that_is_retried_hashes_both_forms() {
    let log = Log::default();
    let client = Arc::new(client(&log, false));
    let mut first = server(&GROUPS, &TLS13, false);
    let mut second = server(&[kx_group::SECP384R1], &TLS13, false);
    let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    first.ticketer = Arc::clone(&ticketer);
    second.ticketer = ticketer;
    run(&log, &client, &Arc::new(first));
    let ran = run(&log, &client, &Arc::new(second));
    let hellos: Vec<&str> = ran
        .events
        .iter()
        .map(String::as_str)
        .filter(|event| event.starts_with("update(") && event.contains('1'))
        .take(4)
        .collect();
    assert_eq!(
        hellos,
        ["update(1-51)", "update(1)", "update(1-51)", "update(254+2+1)"]
    );
    assert!(
        ran.events.contains(&"update(254+2)".to_owned()),
        "{:#?}",
        ran.events
    );
}

#[test]
fn a_client_certificate_comes_between_the_two_reads() {
    let log = Log::default();
    let ran = run(
        &log,
        &Arc::new(client(&log, true)),
        &Arc::new(server(&GROUPS, &TLS13, true)),
    );
    let from = ran.events.iter().position(|event| event == "update(15)").unwrap();
    let upto = ran.events.iter().position(|event| event == "settled").unwrap();
    same(
        &ran.events[from..upto],
        &[&[
            "update(15)",
            "fork_finish",
            "update(20)",
            "fork_finish", // A
            "update(11)",
            "fork_finish", // what the CertificateVerify proves
            "update(15)",
            "fork_finish", // B
            "update(20)",
            "encrypt(11+15+20) seq 0",
            "store.set_kx_hint",
            "store.remove_tls12_session",
            "fork_finish",
            "decrypter",
            "encrypter",
        ]],
    );
}

#[test]
fn tls12_hashes_the_same_way_and_stores_its_session_within_the_handshake() {
    let log = Log::default();
    let mut config = server(&GROUPS, &TLS12, false);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let (client, server) = (Arc::new(client(&log, false)), Arc::new(config));
    let ran = run(&log, &client, &server);
    same(
        &ran.events,
        &[&[
            "store.take_tls13_ticket",
            "store.tls12_session",
            "store.kx_hint",
            "kx.start(0x11ec)",
            "hash.start",
            "update(1)",
            "update(2)",
            "update(11)",
            "update(12)",
            "update(14)",
            "kx.start(0x001d)",
            "update(16)",
            "fork_finish",
            "kx.complete",
            "fork_finish",
            "update(20)",
            "update(4)",
            "fork_finish",
            "update(20)",
            "store.set_tls12_session",
            "settled",
        ]],
    );
    let ran = run(&log, &client, &server);
    assert_eq!(ran.client.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(!ran.events.contains(&"finish".to_owned()), "no binder in TLS 1.2");
}

#[test]
fn the_component_of_a_hybrid_is_completed_apart() {
    let log = Log::default();
    let ran = run(
        &log,
        &Arc::new(client(&log, false)),
        &Arc::new(server(&[kx_group::X25519], &TLS13, false)),
    );
    assert!(ran.events.contains(&"kx.complete_hybrid_component".to_owned()));
    assert!(!ran.events.contains(&"kx.complete".to_owned()));
    let starts = ran
        .events
        .iter()
        .filter(|event| event.starts_with("kx.start"))
        .count();
    assert_eq!(starts, 1, "the one key serves both shares");
    let group = ran.client.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519);
}
