//! Many handshakes at once, many sessions, and specs of every kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotpool::fingerprint::{Code, EchGrease, HelloSpec, Ja4, Slot, kind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::{Config, TestRunner};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{Ticketer, kx_group};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig};
use tokio::task::JoinSet;

use crate::support::certs;
use crate::world::{BROWSERS, Browser, Client, serve, server};

/// Servers unlike each other: either version, groups that make a retry, take the third share or the hybrid, tickets, small records.
fn fleet() -> Vec<Arc<ServerConfig>> {
    let mut small = server(&[], &[&TLS13]);
    small.max_fragment_size = Some(100);
    let mut tickets = server(&[], &[&TLS12]);
    tickets.ticketer = Ticketer::new().unwrap();
    let fleet = vec![
        server(&[], &[&TLS13, &TLS12]),
        server(&[kx_group::SECP256R1], &[&TLS13]),
        server(&[kx_group::SECP384R1], &[&TLS13]),
        server(&[kx_group::X25519], &[&TLS13]),
        server(&[], &[&TLS12]),
        tickets,
        small,
    ];
    fleet.into_iter().map(Arc::new).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_at_once_go_through() {
    const HANDSHAKES: usize = 1000;
    // Each server has clients of its own, whose tickets it knows.
    let pairs: Vec<(Client, Browser, Arc<ServerConfig>)> = fleet()
        .into_iter()
        .flat_map(|config| BROWSERS.map(|browser| (browser.client(), browser, Arc::clone(&config))))
        .collect();
    // So that those that may resume do.
    for (client, _, config) in &pairs {
        client.talk(serve(config)).await.unwrap();
    }
    let pairs = Arc::new(pairs);
    let (mut tasks, resumed) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for nth in 0..HANDSHAKES {
        let (pairs, resumed) = (Arc::clone(&pairs), Arc::clone(&resumed));
        tasks.spawn(async move {
            let (client, browser, config) = &pairs[nth % pairs.len()];
            // Half of them remember nothing.
            let fresh = client
                .clone()
                .configured(|config| config.resumption = Resumption::disabled());
            let client = if nth < HANDSHAKES / 2 { client } else { &fresh };
            let connection = client.talk(serve(config)).await;
            let connection = connection
                .unwrap_or_else(|error| panic!("{browser:?}, server {}: {error:?}", nth % pairs.len() / 2));
            let again = connection.session().handshake_kind() == Some(HandshakeKind::Resumed);
            resumed.fetch_add(usize::from(again), Ordering::Relaxed);
            for found in connection.transport().hellos() {
                let ja4 = Ja4::of(&found.hello).to_string();
                assert!(
                    [browser.ja4(false), browser.ja4(true)].contains(&ja4.as_str()),
                    "{ja4}"
                );
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let resumed = resumed.load(Ordering::Relaxed);
    eprintln!("{HANDSHAKES} handshakes, {resumed} of them resumed");
    assert!((50..=HANDSHAKES / 2).contains(&resumed), "{resumed}");
}

fn codes(all: &'static [u16]) -> impl Strategy<Value = Vec<Code>> {
    let some = subsequence(all, 1..=all.len()).prop_shuffle();
    (some, any::<bool>(), 0..4_usize).prop_map(|(some, grease, place)| {
        let mut codes: Vec<Code> = some.into_iter().map(Code::Plain).collect();
        if grease {
            codes.insert(place.min(codes.len()), Code::Grease);
        }
        codes
    })
}

fn raw(kind: u16, body: &[u8]) -> Slot {
    Slot::Raw {
        kind,
        body: body.to_vec(),
    }
}

/// Slots that some client has, and a few that none may have.
fn slots() -> impl Strategy<Value = Vec<Slot>> {
    let fixed = vec![
        Slot::Native(kind::SERVER_NAME),
        Slot::NativeOrEmpty(kind::SESSION_TICKET),
        Slot::Native(kind::SESSION_TICKET),
        Slot::Alpn(vec!["h2".to_owned(), "http/1.1".to_owned()]),
        Slot::Alpn(vec!["http/1.1".to_owned()]),
        Slot::EchGrease(EchGrease::Chromium),
        Slot::EchGrease(EchGrease::Firefox),
        Slot::EchGrease(EchGrease::Fixed { aead: 2, payload: 77 }),
        Slot::Padding,
        Slot::Grease(vec![]),
        Slot::Grease(vec![0]),
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
        raw(kind::RENEGOTIATION_INFO, &[0]),
        raw(kind::EC_POINT_FORMATS, &[1, 0]),
        raw(kind::STATUS_REQUEST, &[1, 0, 0, 0, 0]),
        raw(kind::SIGNED_CERTIFICATE_TIMESTAMP, &[]),
        raw(kind::DELEGATED_CREDENTIALS, &[0, 2, 4, 3]),
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 1]),
        raw(kind::RECORD_SIZE_LIMIT, &[0x40, 1]),
        raw(kind::COMPRESS_CERTIFICATE, &[6, 0, 1, 0, 2, 0, 3]),
        raw(kind::APPLICATION_SETTINGS, b"\0\x03\x02h2"),
        raw(kind::POST_HANDSHAKE_AUTH, &[]),
        // From here on, what none may have.
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 0]),
        raw(kind::EARLY_DATA, &[]),
        raw(kind::COMPRESS_CERTIFICATE, &[2, 0, 9]),
        raw(0x1234, &[1, 2, 3]),
    ];
    let (len, servable) = (fixed.len(), fixed.len() - 4);
    let none_may: Vec<Slot> = fixed[servable..].to_vec();
    let lists = (
        codes(&[0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x0100]),
        codes(&[0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0201]),
        codes(&[0x0304, 0x0303, 0x0302]),
        codes(&[0x11ec, 0x001d, 0x0017, 0x0018]),
    );
    let shape = (0..8, vec(any::<prop::sample::Index>(), 8));
    (subsequence(fixed, 4..len), lists, shape).prop_map(move |(mut slots, lists, (chance, places))| {
        slots.retain(|slot| chance == 0 || !none_may.contains(slot));
        slots.push(Slot::Native(kind::SERVER_NAME));
        slots.push(raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 1]));
        // Most of what would be refused for standing twice goes.
        let mut seen = std::collections::BTreeSet::new();
        slots.retain(|slot| match slot {
            Slot::Grease(_) => true,
            Slot::Raw { kind, .. } | Slot::Native(kind) | Slot::NativeOrEmpty(kind) => seen.insert(*kind),
            Slot::Alpn(_) => seen.insert(kind::ALPN),
            Slot::EchGrease(_) => seen.insert(kind::ENCRYPTED_CLIENT_HELLO),
            _ => true,
        });
        let (groups, signatures, versions, shares) = lists;
        let modern = versions.contains(&Code::Plain(0x0304));
        // Shares in the order of the groups, as they must be.
        let shares: Vec<Code> = groups
            .iter()
            .filter(|group| shares.contains(group))
            .copied()
            .collect();
        let mut more = vec![
            Slot::Groups(groups),
            Slot::Signatures(signatures),
            Slot::Versions(versions),
        ];
        if modern {
            more.push(Slot::KeyShares(shares));
        }
        for (slot, place) in more.into_iter().zip(places) {
            let place = place.index(slots.len() + 1);
            slots.insert(place, slot);
        }
        slots
    })
}

/// Any spec that can be made shakes hands with a server that has something in common with it; the rest are refused when they are made.
#[test]
fn any_spec_is_refused_or_shakes_hands() {
    let cases = std::env::var("HOTPOOL_CASES").map_or(600, |cases| cases.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let suites = codes(&[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xcca9, 0xc013, 0x002f]);
    let servers = [
        Arc::new(server(&[], &[&TLS13, &TLS12])),
        Arc::new(server(
            &[kx_group::SECP384R1, kx_group::X25519],
            &[&TLS13, &TLS12],
        )),
    ];
    let (mut made, mut refused) = (0, 0);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (
        suites,
        slots(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    let counted = (&mut made, &mut refused);
    let counts = parking_lot::Mutex::new(counted);
    runner
        .run(&strategy, |(suites, slots, from, to, reuses)| {
            let (from, to) = (from.index(slots.len()), to.index(slots.len() + 1));
            let spec = HelloSpec::new(suites, slots);
            let spec = spec.and_then(|spec| spec.permuting(from.min(to)..from.max(to)));
            let Ok(spec) = spec else {
                *counts.lock().1 += 1;
                return Ok(());
            };
            let spec = match spec.clone().reusing_x25519() {
                Ok(reusing) if reuses => reusing,
                _ => spec,
            };
            let tried = hotpool::shaped::Shape::new(&spec, &certs::provider());
            if tried.is_err() {
                *counts.lock().1 += 1;
                return Ok(());
            }
            *counts.lock().0 += 1;
            for config in &servers {
                runtime.block_on(shakes(&spec, config))?;
            }
            Ok(())
        })
        .unwrap();
    eprintln!("{made} specs shook hands, {refused} were refused");
    assert!(made > cases / 10 && refused > 0, "{made} made, {refused} refused");
}

/// What the server found wrong; its alert may be here before it has said so.
async fn told(complaint: &parking_lot::Mutex<String>) -> String {
    for _ in 0..400 {
        let told = complaint.lock().clone();
        if !told.is_empty() {
            return told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    String::new()
}

/// Twice, so that what can be resumed is. A server that finds nothing in common says so: that is its right.
async fn shakes(spec: &HelloSpec, config: &Arc<ServerConfig>) -> Result<(), TestCaseError> {
    let client = Client::new(spec);
    for _ in 0..2 {
        let wire = serve(config);
        let complaint = Arc::clone(&wire.complaint);
        match client.talk(wire).await {
            Ok(connection) => {
                let hello = &connection.transport().hellos()[0].hello;
                let ja4 = Ja4::of(hello);
                // Padding and an ALPN that came out empty count or do not.
                prop_assert_eq!(&ja4.raw()[..4], &spec.ja4().raw()[..4]);
                let of = |group| hello.key_shares().iter().find(|share| share.group == group);
                if let (Some(hybrid), Some(own)) = (of(0x11ec), of(0x001d)) {
                    let same = hybrid.exchange.ends_with(&own.exchange);
                    prop_assert_eq!(same, spec.reuses_x25519());
                }
            }
            Err(error) => {
                let complaint = told(&complaint).await;
                let mutual = [
                    "PeerIncompatible",
                    "NoApplicationProtocol",
                    "incompatible signing key",
                ];
                let nothing_in_common = mutual.iter().any(|lack| complaint.contains(lack));
                let named =
                    hotpool::shaped::reason(&error).is_some_and(|why| why.contains("the profile offers"));
                prop_assert!(nothing_in_common || named, "{spec:?}: {error:?}, {complaint}");
            }
        }
    }
    Ok(())
}
