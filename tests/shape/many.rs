//! Many handshakes at once, many sessions, and specs of every kind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotpool::fingerprint::{Code, EchGrease, FoundHello, HelloSpec, Ja3, Ja4, Slot, hellos, kind};
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

/// Slots that no spec may have.
fn none_may() -> [Slot; 5] {
    [
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 0]),
        raw(kind::EARLY_DATA, &[]),
        raw(kind::COMPRESS_CERTIFICATE, &[2, 0, 9]),
        raw(0x1234, &[1, 2, 3]),
        Slot::Alpn(vec!["h3".to_owned(), "h2".to_owned()]),
    ]
}

/// Slots that some client has, now and then with one that none may have.
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
    ];
    let len = fixed.len();
    let lists = (
        codes(&[0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x0100]),
        codes(&[0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0201]),
        codes(&[0x0304, 0x0303, 0x0302]),
        codes(&[0x11ec, 0x001d, 0x0017, 0x0018]),
    );
    // One in three has one of those.
    let shape = (0..15_usize, vec(any::<prop::sample::Index>(), 8));
    (subsequence(fixed, 4..len), lists, shape).prop_map(move |(mut slots, lists, (chance, places))| {
        slots.splice(..0, none_may().into_iter().nth(chance));
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

/// A list of a spec, without its GREASE value.
fn list(slots: &[Slot], of: impl Fn(&Slot) -> Option<&Vec<Code>>) -> Option<Vec<u16>> {
    let plain = |code: &Code| match code {
        Code::Plain(code) => Some(*code),
        Code::Grease => None,
    };
    let list = slots.iter().find_map(of)?;
    Some(list.iter().filter_map(plain).collect())
}

fn groups(slots: &[Slot]) -> Vec<u16> {
    let groups = list(slots, |slot| match slot {
        Slot::Groups(list) => Some(list),
        _ => None,
    });
    groups.unwrap()
}

/// Why no spec may be made of these. None: one must be.
fn defect(suites: &[Code], slots: &[Slot]) -> Option<&'static str> {
    let versions = list(slots, |slot| match slot {
        Slot::Versions(list) => Some(list),
        _ => None,
    });
    let versions = versions.unwrap();
    let shares = list(slots, |slot| match slot {
        Slot::KeyShares(list) => Some(list),
        _ => None,
    });
    let offers_h2 = slots
        .iter()
        .any(|slot| matches!(slot, Slot::Alpn(names) if names.contains(&"h2".to_owned())));
    let settings = |slot: &Slot| {
        matches!(
            slot,
            Slot::Raw {
                kind: kind::APPLICATION_SETTINGS,
                ..
            }
        )
    };
    let served: &[u16] = match versions.contains(&0x0304) {
        true => &[0x1301, 0x1302, 0x1303],
        false => &[0xc02b, 0xc02c, 0xcca9],
    };
    let offers = |suite: &u16| suites.contains(&Code::Plain(*suite));
    [
        (
            "what none may have",
            slots.iter().any(|slot| none_may().contains(slot)),
        ),
        ("settings without h2", slots.iter().any(settings) && !offers_h2),
        (
            "no version",
            !versions.iter().any(|version| [0x0304, 0x0303].contains(version)),
        ),
        ("no cipher suite", !served.iter().any(offers)),
        ("no share", shares.is_some_and(|shares| shares.is_empty())),
    ]
    .into_iter()
    .find_map(|(why, is)| is.then_some(why))
}

/// What a spec and a server have not in common, and how a server of rustls says so. None: they must shake hands.
fn nothing_in_common(
    slots: &[Slot],
    server: &ServerConfig,
) -> Option<(&'static str, &'static [&'static str])> {
    const P256_SHA256: u16 = 0x0403;
    const X25519MLKEM768: u16 = 0x11ec;
    let modern = slots.iter().any(|slot| matches!(slot, Slot::KeyShares(_)));
    let signatures = list(slots, |slot| match slot {
        Slot::Signatures(list) => Some(list),
        _ => None,
    });
    let taken = server.crypto_provider().kx_groups.iter();
    let mut taken = taken.map(|group| u16::from(group.name()));
    let offered = groups(slots);
    if !taken.any(|group| offered.contains(&group) && (modern || group != X25519MLKEM768)) {
        return Some(("a group", &["NoKxGroupsInCommon", "NoEcPointFormatsInCommon"]));
    }
    if !signatures.unwrap().contains(&P256_SHA256) {
        // The certificate's key signs in no other way.
        let said = &["NoSignatureSchemesInCommon", "incompatible signing key"];
        return Some(("a signature", said));
    }
    None
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
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        // Each that passes shakes hands.
        max_shrink_iters: 64,
        ..Config::default()
    });
    let strategy = (
        suites,
        slots(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    let outcomes = parking_lot::Mutex::new(BTreeMap::<&str, u32>::new());
    let count = |outcome| *outcomes.lock().entry(outcome).or_default() += 1;
    runner
        .run(&strategy, |(suites, slots, from, to, reuses)| {
            let (from, to) = (from.index(slots.len()), to.index(slots.len() + 1));
            let defect = defect(&suites, &slots);
            let spec = HelloSpec::new(suites, slots.clone());
            let spec = spec.and_then(|spec| spec.permuting(from.min(to)..from.max(to)));
            prop_assert_eq!(
                spec.is_err(),
                defect.is_some(),
                "{:?}: {:?}, {:?}",
                defect,
                spec,
                slots
            );
            let Ok(spec) = spec else {
                count(defect.unwrap());
                return Ok(());
            };
            let spec = match spec.clone().reusing_x25519() {
                Ok(reusing) if reuses => reusing,
                _ => spec,
            };
            let served = [0x11ec, 0x001d, 0x0017, 0x0018];
            let no_group = !groups(&slots).iter().any(|group| served.contains(group));
            let shape = hotpool::shaped::Shape::new(&spec, &certs::provider());
            prop_assert_eq!(shape.is_err(), no_group, "{:?}: {:?}", shape, spec);
            if no_group {
                count("no group that is served");
                return Ok(());
            }
            for config in &servers {
                let lack = nothing_in_common(&slots, config);
                runtime.block_on(shakes(&spec, config, lack.map(|(_, said)| said)))?;
                count(lack.map_or("shook hands", |(lack, _)| lack));
            }
            Ok(())
        })
        .unwrap();
    let outcomes = outcomes.into_inner();
    eprintln!("{outcomes:?}");
    assert!(
        outcomes["shook hands"] > cases / 10 && outcomes.len() >= 7,
        "{outcomes:?}"
    );
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

/// Twice, so that what can be resumed is. A server that has nothing in common with the spec must say so, in one of these words.
async fn shakes(
    spec: &HelloSpec,
    config: &Arc<ServerConfig>,
    refused: Option<&[&str]>,
) -> Result<(), TestCaseError> {
    let client = Client::new(spec);
    for _ in 0..2 {
        let wire = serve(config);
        let (sent, complaint) = (Arc::clone(&wire.sent), Arc::clone(&wire.complaint));
        let talked = client.talk(wire).await;
        let sent: Vec<FoundHello> = hellos(&sent.lock()).map_while(Result::ok).collect();
        prop_assert!(!sent.is_empty());
        for found in &sent {
            has_the_prints(spec, found)?;
        }
        let Some(refused) = refused else {
            prop_assert!(
                talked.is_ok(),
                "{spec:?}: {:?}, {}",
                talked.err(),
                told(&complaint).await
            );
            continue;
        };
        prop_assert!(talked.is_err(), "{spec:?}");
        let complaint = told(&complaint).await;
        let said = refused.iter().any(|lack| complaint.contains(lack));
        prop_assert!(said, "{spec:?}: {:?}, {complaint}", talked.err());
    }
    Ok(())
}

/// What was on the wire has the fingerprints that the spec states, whole; with padding where it must be, and else without.
fn has_the_prints(spec: &HelloSpec, found: &FoundHello) -> Result<(), TestCaseError> {
    let hello = &found.hello;
    let padding = hello
        .extension(kind::PADDING)
        .map(|one| 4 + one.body().unwrap().len());
    let len = found.message.len() - padding.unwrap_or(0);
    let pads = spec.slots().contains(&Slot::Padding);
    prop_assert_eq!(
        padding.is_some(),
        pads && (256..512).contains(&len),
        "{} bytes",
        len
    );
    let mut slots = spec.slots().to_vec();
    slots.retain(|slot| padding.is_some() || *slot != Slot::Padding);
    let stated = HelloSpec::new(spec.cipher_suites().to_vec(), slots).unwrap();
    if hello.extension(kind::PRE_SHARED_KEY).is_some() {
        prop_assert_eq!(Ja4::of(hello).raw(), stated.ja4_resumed().raw());
    } else {
        prop_assert_eq!(Ja4::of(hello).raw(), stated.ja4().raw());
        prop_assert_eq!(Ja3::sorted(hello), stated.ja3_sorted());
        // Where the order is drawn, there is none to state.
        if spec.permuted().is_empty() {
            prop_assert_eq!(Ja3::of(hello), stated.ja3());
        }
    }
    let of = |group| hello.key_shares().iter().find(|share| share.group == group);
    if let (Some(hybrid), Some(own)) = (of(0x11ec), of(0x001d)) {
        let same = hybrid.exchange.ends_with(&own.exchange);
        prop_assert_eq!(same, spec.reuses_x25519());
    }
    Ok(())
}
