//! Safari, whose TLS and HTTP/2 are the system's: macOS and iOS 26 and 27 have the same.

use super::super::profile::{About, Browser, Guarantee, Headers, Platform};
use super::super::{H2Spec, HelloSpec, Pseudo, Slot, kind};
use super::{REQUIRE, SERVER_NAME, alpn, greased, raw, unserved};

const UNSERVED: &str =
    unserved!("a cipher suite with CBC, 3DES or without ECDHE, P-521 or a signature with SHA-1");
const BODIES: &str = "the order of lists and the bodies that no print covers are as published, and were not compared with bytes: the last GREASE \
                      extension has one octet (curl-impersonate, tests/signatures/safari_26.0_macOS.yaml), each share has a key of its own (not known); on HTTP/2 every string is in Huffman's code, a connection ends with a GOAWAY, and PINGs have h2's octets (none of these is known)";
const RESUMED: &str = "no connection resumes: the source has Safari without pre_shared_key, and of later connections nothing was published";
const HTTP1: &str = "its own headers on HTTP/1.1 are those of HTTP/2 in the same order: none were published";

pub(in crate::fingerprint) static MACOS: About = About {
    browser: Browser::Safari,
    platform: Platform::MacOs,
    source: "Safari 26.6.2 and 27.0 on macOS 26.6.2: lists, JA4, Akamai's text and headers as leyline-http 0.1.6 (crates.io) has them from tls.peet.ws of \
             2026-09-25, JA3 as koon 1.1.0 (PyPI, 2026-09) has it in its reference safari-26",
    guarantee: Guarantee::Prints,
    limits: &[UNSERVED, REQUIRE, BODIES, RESUMED, HTTP1],
};

pub(in crate::fingerprint) static IOS: About = About {
    browser: Browser::Safari,
    platform: Platform::Ios,
    source: "Safari 27.0 on an iPhone 15 Pro Max with iOS 27.0: lists, JA4, Akamai's text and headers as leyline-http 0.1.6 (crates.io) has them from \
             tls.peet.ws of 2026-09-25, JA3 as koon 1.1.0 (PyPI, 2026-09) has it in its reference safari-26",
    guarantee: Guarantee::Prints,
    limits: &[UNSERVED, REQUIRE, BODIES, RESUMED, HTTP1],
};

pub(in crate::fingerprint) const MACOS_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/27.0 Safari/605.1.15";
pub(in crate::fingerprint) const IOS_AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/27.0 Mobile/15E148 Safari/604.1";

const ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

pub(in crate::fingerprint) fn headers(agent: &'static str) -> Headers {
    Headers::observed(
        &[
            ("Host", ""),
            ("Sec-Fetch-Dest", "document"),
            ("User-Agent", agent),
            ("Accept", ACCEPT),
            ("Sec-Fetch-Site", "none"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Accept-Language", "en-US,en;q=0.9"),
            ("Priority", "u=0, i"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Connection", "keep-alive"),
        ],
        &[
            ("sec-fetch-dest", "document"),
            ("user-agent", agent),
            ("accept", ACCEPT),
            ("sec-fetch-site", "none"),
            ("sec-fetch-mode", "navigate"),
            ("accept-language", "en-US,en;q=0.9"),
            ("priority", "u=0, i"),
            ("accept-encoding", "gzip, deflate, br, zstd"),
        ],
    )
}

/// rsa_pss_rsae_sha384 stands there twice, as on the devices.
pub(in crate::fingerprint) fn hello() -> HelloSpec {
    let suites = [
        0x1302, 0x1303, 0x1301, 0xc02c, 0xc02b, 0xcca9, 0xc030, 0xc02f, 0xcca8, 0xc00a, 0xc009, 0xc014,
        0xc013, 0x009d, 0x009c, 0x0035, 0x002f, 0xc008, 0xc012, 0x000a,
    ];
    let signatures = [
        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201,
    ];
    let slots = vec![
        Slot::Grease(vec![]),
        SERVER_NAME,
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
        raw(kind::RENEGOTIATION_INFO, &[0]),
        Slot::Groups(greased(&[0x11ec, 0x001d, 0x0017, 0x0018, 0x0019])),
        raw(kind::EC_POINT_FORMATS, &[1, 0]),
        alpn(),
        raw(kind::STATUS_REQUEST, &[1, 0, 0, 0, 0]),
        Slot::Signatures(super::plain(&signatures)),
        raw(kind::SIGNED_CERTIFICATE_TIMESTAMP, &[]),
        Slot::KeyShares(greased(&[0x11ec, 0x001d])),
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 1]),
        Slot::Versions(greased(&[0x0304, 0x0303])),
        raw(kind::COMPRESS_CERTIFICATE, &[2, 0, 1]),
        Slot::Grease(vec![0]),
    ];
    HelloSpec::observed(greased(&suites), slots, 0..0, false).without_resumption()
}

pub(in crate::fingerprint) fn h2() -> H2Spec {
    H2Spec::observed(
        &[(2, 0), (3, 100), (4, 2_097_152), (9, 1)],
        10_420_225,
        [Pseudo::Method, Pseudo::Scheme, Pseudo::Authority, Pseudo::Path],
        None,
        1,
        0,
    )
}
