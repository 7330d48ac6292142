//! Hellos and first flights that are nobody's. Whatever a server chooses of them can be served, by either provider.

use super::super::clients::{SERVER_NAME, alpn, plain, raw};
use super::super::seed::Seed;
use super::super::{Code, EchGrease, H2Spec, HelloSpec, Huffman, PingForm, Priority, Pseudo, Slot, kind};

pub(super) fn specs(seed: u64) -> (HelloSpec, H2Spec) {
    let mut seed = Seed::new(seed);
    (hello(&mut seed), h2(&mut seed))
}

/// In any order; with GREASE ahead or without.
fn codes(seed: &mut Seed, codes: &[u16], grease: bool) -> Vec<Code> {
    let mut codes = plain(codes);
    seed.shuffle(&mut codes);
    if grease {
        codes.insert(0, Code::Grease);
    }
    codes
}

fn hello(seed: &mut Seed) -> HelloSpec {
    let grease = seed.coin();
    let mut suites = codes(seed, &[0x1301, 0x1302, 0x1303], grease);
    suites.extend(codes(
        seed,
        &[0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9],
        false,
    ));
    let groups = codes(seed, &[0x001d, 0x0017, 0x0018], grease);
    // Those that come first, and one at least.
    let most = if grease { 3 } else { 2 };
    let shares = groups.iter().copied().take(most - seed.below(2)).collect();
    let signatures = codes(
        seed,
        &[
            0x0403, 0x0503, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
        ],
        false,
    );
    let mut versions = plain(&[0x0304, 0x0303]);
    if grease {
        versions.insert(0, Code::Grease);
    }
    let mut slots = vec![
        SERVER_NAME,
        Slot::Groups(groups),
        Slot::KeyShares(shares),
        Slot::Signatures(signatures),
        Slot::Versions(versions),
        alpn(),
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 1]),
        raw(kind::EC_POINT_FORMATS, &[1, 0]),
        Slot::NativeOrEmpty(kind::SESSION_TICKET),
    ];
    // No padding: whether it is there depends on the length of a name, and with it the JA4.
    let optional = [
        raw(kind::RENEGOTIATION_INFO, &[0]),
        raw(kind::STATUS_REQUEST, &[1, 0, 0, 0, 0]),
        raw(kind::SIGNED_CERTIFICATE_TIMESTAMP, &[]),
        raw(kind::COMPRESS_CERTIFICATE, &[4, 0, 2, 0, 1]),
        Slot::EchGrease(EchGrease::Chromium),
    ];
    slots.extend(optional.into_iter().filter(|_| seed.coin()));
    seed.shuffle(&mut slots);
    if grease {
        slots.insert(0, Slot::Grease(Vec::new()));
    }
    HelloSpec::observed(suites, slots, 0..0, false)
}

fn h2(seed: &mut Seed) -> H2Spec {
    let mut settings = vec![(2, 0)];
    for (id, values) in [
        (1, &[4_096, 16_384, 65_536][..]),
        (3, &[100, 1_000]),
        (4, &[65_535, 131_072, 1_048_576, 6_291_456]),
        (5, &[16_384, 32_768]),
        (6, &[65_536, 262_144]),
    ] {
        if seed.coin() {
            settings.extend(seed.one(values).map(|value| (id, value)));
        }
    }
    seed.shuffle(&mut settings);
    let mut order = Pseudo::ALL;
    seed.shuffle(&mut order);
    let place = |order: &[Pseudo], pseudo| order.iter().position(|one| *one == pseudo).unwrap_or(0);
    let (method, authority) = (place(&order, Pseudo::Method), place(&order, Pseudo::Authority));
    if authority < method {
        order.swap(method, authority);
    }
    let update = seed.one(&[983_041, 10_420_225, 15_663_105]).unwrap_or(983_041);
    let priority = Priority {
        exclusive: seed.coin(),
        depends_on: 0,
        weight: 1 + seed.below(256) as u16,
    };
    let priority = seed.coin().then_some(priority);
    let first = if seed.coin() { 1 } else { 3 };
    let huffman = seed.one(&[Huffman::Always, Huffman::WhenShorter]);
    H2Spec::observed(&settings, update, order, priority, first, 0)
        .with_huffman(huffman.unwrap_or(Huffman::Always))
        .with_literal_path(seed.coin())
        .with_goodbye(seed.coin())
        .with_ping(match seed.coin() {
            true => PingForm::Counter,
            false => PingForm::Zeros,
        })
}
