//! Firefox.

use super::super::profile::{About, Browser, Guarantee, Headers, Platform};
use super::super::{EchGrease, H2Spec, HelloSpec, PingForm, Priority, Pseudo, Slot, kind};
use super::{REQUIRE, SERVER_NAME, alpn, plain, raw, unserved};

const UNSERVED: &str = unserved!(
    "a cipher suite with CBC or without ECDHE, P-521, a finite-field group or a signature with SHA-1"
);
const CREDENTIALS: &str = "delegated credentials are offered, and a server that uses one fails verification";

const REMEMBERED: &str = "Firefox has the server remember a cookie in its pieces, those of 20 octets and more, and a content-length or an if-none-match (netwerk, Http2Compression.cpp); here h2 \
                          decides: none of these, nor an if-modified-since, an etag or an age";

const TABLE: &str = "Firefox has the server remember no field of more than half of its table (SETTINGS_HEADER_TABLE_SIZE), and none in one of fewer than 128 octets, which shows in one of \
                     fewer than 4,096 octets and with fields of more than 2,048; h2 none of more than three quarters. Of a larger one h2 uses the last 4,096 octets, and writes out again what \
                     stands behind them; of two sizes in the same frame of SETTINGS Firefox says the lower, too";

const NAMES: &str = "a field that stands in the server's table with another value Firefox names by its oldest place there; here h2 names it by its place in the static table, or by the newest";

const PINGS: &str = "Firefox sends a PING on a connection that was idle for a while (captured after 62 s); here one goes out when the pool wants a sign of life";

pub(in crate::fingerprint) static ESR: About = About {
    browser: Browser::Firefox,
    platform: Platform::Linux,
    source: "captured from Debian's Firefox 153.7.0esr on 2026-11-21 and 2026-11-26, and 153.8.0esr on 2026-11-27",
    guarantee: Guarantee::Fields,
    limits: &[UNSERVED, REQUIRE, CREDENTIALS, REMEMBERED, TABLE, NAMES, PINGS],
};

pub(in crate::fingerprint) static RELEASE: About = About {
    browser: Browser::Firefox,
    platform: Platform::Windows,
    source: "Firefox 156.0.1: the lists, JA4, Akamai's text and user agent as leyline-http 0.1.6 (crates.io) has them from tls.peet.ws of 2026-09-25, \
             JA3 as koon 1.1.0 (PyPI, 2026-09) has it in its reference firefox-156; the rest is the captured Firefox 153 ESR's",
    guarantee: Guarantee::Prints,
    limits: &[
        UNSERVED,
        REQUIRE,
        CREDENTIALS,
        REMEMBERED,
        TABLE,
        NAMES,
        PINGS,
        "bodies that no print covers (encrypted_client_hello, delegated_credentials) are those of Firefox 153 ESR",
        "its own headers are Firefox 153 ESR's with another user agent",
    ],
};

pub(in crate::fingerprint) const ESR_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
pub(in crate::fingerprint) const RELEASE_AGENT: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:156.0) Gecko/20100101 Firefox/156.0";

const ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const LANGUAGES: &str = "en-US,en;q=0.9";
const ENCODINGS: &str = "gzip, deflate, br, zstd";

pub(in crate::fingerprint) fn headers(agent: &'static str) -> Headers {
    Headers::observed(
        &[
            ("Host", ""),
            ("User-Agent", agent),
            ("Accept", ACCEPT),
            ("Accept-Language", LANGUAGES),
            ("Accept-Encoding", ENCODINGS),
            ("Connection", "keep-alive"),
            ("Upgrade-Insecure-Requests", "1"),
            ("Sec-Fetch-Dest", "document"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Site", "none"),
            ("Sec-Fetch-User", "?1"),
            ("Priority", "u=0, i"),
        ],
        &[
            ("user-agent", agent),
            ("accept", ACCEPT),
            ("accept-language", LANGUAGES),
            ("accept-encoding", ENCODINGS),
            ("upgrade-insecure-requests", "1"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-user", "?1"),
            ("priority", "u=0, i"),
            ("te", "trailers"),
        ],
    )
}

/// Firefox 153 ESR.
pub(in crate::fingerprint) fn esr() -> HelloSpec {
    hello(
        &[
            0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc00a, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ],
        &[0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x0100, 0x0101],
    )
}

/// Firefox 156: one cipher suite less, and no finite-field groups.
pub(in crate::fingerprint) fn release() -> HelloSpec {
    hello(
        &[
            0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ],
        &[0x11ec, 0x001d, 0x0017, 0x0018, 0x0019],
    )
}

/// Its X25519 is the one in X25519MLKEM768.
fn hello(suites: &[u16], groups: &[u16]) -> HelloSpec {
    let signatures = [
        0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
    ];
    let slots = vec![
        SERVER_NAME,
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
        raw(kind::RENEGOTIATION_INFO, &[0]),
        Slot::Groups(plain(groups)),
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
    HelloSpec::observed(plain(suites), slots, 0..0, true)
}

/// On HTTP/2.
pub(in crate::fingerprint) fn h2() -> H2Spec {
    H2Spec::observed(
        &[(1, 65_536), (2, 0), (4, 131_072), (5, 16_384)],
        12_517_377,
        [Pseudo::Method, Pseudo::Path, Pseudo::Authority, Pseudo::Scheme],
        Some(Priority {
            exclusive: false,
            depends_on: 0,
            weight: 42,
        }),
        3,
        12_451_840,
    )
    .with_literal_path(true)
    .with_never_indexed(true)
    .with_table_limit(u32::MAX)
    .with_every_table_size(true)
    .with_ping(PingForm::Zeros)
}
