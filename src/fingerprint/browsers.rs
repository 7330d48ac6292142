//! The browsers' hellos and how they open HTTP/2, as captured: which lists, in which order. The tests compare them with the captures.

use super::{Code, EchGrease, H2Spec, HelloSpec, Priority, Pseudo, Slot, kind};

const GREASE: Code = Code::Grease;

const SERVER_NAME: Slot = Slot::Native(kind::SERVER_NAME);

/// Trust anchors of Chromium's root program: relative object identifiers, each behind its length.
const CHROMIUM_ANCHORS: &[&[u8]] = &[
    &[0x82, 0xdf, 0x13, 0x02, 0x01],
    &[0x82, 0xdf, 0x13, 0x02, 0x06],
    &[0x82, 0xdf, 0x13, 0x02, 0x0d],
    &[0x82, 0xdf, 0x13, 0x02, 0x0e],
    &[0x82, 0xdf, 0x13, 0x02, 0x0f],
    &[0x82, 0xdf, 0x13, 0x02, 0x12],
    &[0x82, 0xdf, 0x13, 0x02, 0x13],
    &[0x82, 0xdf, 0x13, 0x02, 0x14],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x07],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x08],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x09],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x0a],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x0b],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x0c],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x0d],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x12],
    &[0x83, 0x9a, 0x64, 0x8c, 0x9b, 0x2d, 0x01, 0x13],
    &[0xd6, 0x79, 0x09, 0x01],
    &[0xd6, 0x79, 0x09, 0x04],
    &[0xd6, 0x79, 0x09, 0x05],
    &[0xd6, 0x79, 0x09, 0x06],
    &[0xd6, 0x79, 0x09, 0x07],
    &[0xd6, 0x79, 0x09, 0x08],
    &[0xd6, 0x79, 0x09, 0x0a],
    &[0xd6, 0x79, 0x09, 0x0b],
    &[0xd6, 0x79, 0x09, 0x0c],
    &[0xd6, 0x79, 0x09, 0x0d],
    &[0xd6, 0x79, 0x09, 0x0f],
];

/// Chromium 156. All between its first extension and its last stands in an order of its own on each connection, and each share has a key of its own.
pub(super) fn chromium() -> HelloSpec {
    let suites = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
        0x009d, 0x002f, 0x0035,
    ];
    let signatures = [
        0x0904, 0x0905, 0x0906, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
    ];
    let slots = vec![
        Slot::Grease(vec![]),
        SERVER_NAME,
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
        raw(kind::RENEGOTIATION_INFO, &[0]),
        Slot::Groups(greased(&[0x11ec, 0x001d, 0x0017, 0x0018])),
        raw(kind::EC_POINT_FORMATS, &[1, 0]),
        Slot::NativeOrEmpty(kind::SESSION_TICKET),
        alpn(),
        raw(kind::STATUS_REQUEST, &[1, 0, 0, 0, 0]),
        Slot::Signatures(greased(&signatures)),
        raw(kind::SIGNED_CERTIFICATE_TIMESTAMP, &[]),
        Slot::KeyShares(greased(&[0x11ec, 0x001d])),
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 1]),
        Slot::Versions(greased(&[0x0304, 0x0303])),
        raw(kind::COMPRESS_CERTIFICATE, &[2, 0, 2]),
        raw(kind::APPLICATION_SETTINGS, b"\0\x03\x02h2"),
        raw(kind::TRUST_ANCHORS, &names(CHROMIUM_ANCHORS)),
        Slot::EchGrease(EchGrease::Chromium),
        Slot::Grease(vec![0]),
    ];
    let between = 1..slots.len() - 1;
    HelloSpec::observed(greased(&suites), slots, between, false)
}

/// Firefox 153 ESR. Its X25519 is the one in X25519MLKEM768.
pub(super) fn firefox() -> HelloSpec {
    let suites = [
        0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc00a, 0xc013, 0xc014,
        0x009c, 0x009d, 0x002f, 0x0035,
    ];
    let signatures = [
        0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
    ];
    let slots = vec![
        SERVER_NAME,
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
        raw(kind::RENEGOTIATION_INFO, &[0]),
        Slot::Groups(plain(&[0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x0100, 0x0101])),
        raw(kind::EC_POINT_FORMATS, &[1, 0]),
        Slot::Native(kind::SESSION_TICKET),
        alpn(),
        raw(kind::STATUS_REQUEST, &[1, 0, 0, 0, 0]),
        raw(kind::DELEGATED_CREDENTIALS, &[0, 8, 4, 3, 5, 3, 6, 3, 2, 3]),
        raw(kind::SIGNED_CERTIFICATE_TIMESTAMP, &[]),
        Slot::KeyShares(plain(&[0x11ec, 0x001d, 0x0017])),
        Slot::Versions(plain(&[0x0304, 0x0303])),
        Slot::Signatures(plain(&signatures)),
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 1]),
        raw(kind::RECORD_SIZE_LIMIT, &0x4001_u16.to_be_bytes()),
        raw(kind::COMPRESS_CERTIFICATE, &[6, 0, 1, 0, 2, 0, 3]),
        Slot::EchGrease(EchGrease::Firefox),
    ];
    HelloSpec::observed(plain(&suites), slots, 0..0, true)
}

/// Chromium 156 on HTTP/2.
pub(super) fn chromium_h2() -> H2Spec {
    H2Spec::observed(
        &[(1, 65_536), (2, 0), (4, 6_291_456), (6, 262_144)],
        15_663_105,
        [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path],
        Priority {
            exclusive: true,
            depends_on: 0,
            weight: 256,
        },
        1,
        0,
    )
}

/// Firefox 153 ESR on HTTP/2.
pub(super) fn firefox_h2() -> H2Spec {
    H2Spec::observed(
        &[(1, 65_536), (2, 0), (4, 131_072), (5, 16_384)],
        12_517_377,
        [Pseudo::Method, Pseudo::Path, Pseudo::Authority, Pseudo::Scheme],
        Priority {
            exclusive: false,
            depends_on: 0,
            weight: 42,
        },
        3,
        12_451_840,
    )
}

fn plain(codes: &[u16]) -> Vec<Code> {
    codes.iter().copied().map(Code::Plain).collect()
}

fn greased(codes: &[u16]) -> Vec<Code> {
    [vec![GREASE], plain(codes)].concat()
}

fn raw(kind: u16, body: &[u8]) -> Slot {
    Slot::Raw {
        kind,
        body: body.to_vec(),
    }
}

fn alpn() -> Slot {
    Slot::Alpn(vec!["h2".to_owned(), "http/1.1".to_owned()])
}

/// Names behind their lengths, and the whole behind its own. All of it is a few hundred bytes.
fn names(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[name.len() as u8], *name].concat())
        .collect();
    [&(list.len() as u16).to_be_bytes()[..], &list].concat()
}
