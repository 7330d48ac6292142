//! Chromium, and the browsers that are made of it.

use super::super::profile::{About, Browser, Guarantee, Headers, Platform};
use super::super::{EchGrease, H2Spec, HelloSpec, Huffman, PingForm, Priority, Pseudo, Slot, kind};
use super::{REQUIRE, SERVER_NAME, alpn, greased, raw, unserved};

const UNSERVED: &str = unserved!("a cipher suite with CBC or without ECDHE");

const REMEMBERED: &str = "Chromium has the server remember every header of a request, a cookie in its pieces (quiche, hpack_encoder.cc); here h2 decides: never a cookie, an \
                          authorization, a content-length, an if-none-match, an if-modified-since, an etag or an age, but a :method other than GET and POST, which Chromium has it not";

const TABLE: &str = "in a table of fewer than 4,096 octets of fields (SETTINGS_HEADER_TABLE_SIZE) Chromium still has the server remember every field, h2 none of more than three quarters of it; of \
                     a larger one h2 uses the last 4,096 octets: a field that stands behind them, or is itself of more than 3,072, it writes out again; of two sizes in the same frame of \
                     SETTINGS Chromium says the lower, too";

const PINGS: &str = "Chromium sends a PING with the next request on a connection that was idle for a while (captured after 11 s); here one goes out when the pool wants a sign of life";

const HTTP1: &str = "on HTTP/1.1 its own headers are in Chromium's order: none was published";

pub(in crate::fingerprint) static CHROMIUM: About = About {
    browser: Browser::Chromium,
    platform: Platform::Linux,
    source: "captured from Debian's Chromium 156.0.8078.79 on 2026-11-21 and 156.0.8078.108 on 2026-11-26",
    guarantee: Guarantee::Fields,
    limits: &[
        UNSERVED,
        REQUIRE,
        REMEMBERED,
        TABLE,
        PINGS,
        "its own user agent is that of a window: the captures were made without one, and say HeadlessChrome",
    ],
};

pub(in crate::fingerprint) static CHROME: About = About {
    browser: Browser::Chrome,
    platform: Platform::Windows,
    source: "the hello and HTTP/2 of the captured Chromium 156; JA4, Akamai's text, user agent and accept of Chrome 156.0.8078.48 as leyline-http 0.1.6 \
             (crates.io) has them from tls.peet.ws of 2026-10-22, sorted JA3 of Chrome 153 and 155 as koon 1.1.0 (PyPI, 2026-09) has it in its reference chromium-mldsa-trust-anchors",
    guarantee: Guarantee::Prints,
    limits: &[
        UNSERVED,
        REQUIRE,
        REMEMBERED,
        TABLE,
        PINGS,
        "that the bytes of Chrome's extensions are Chromium's is taken from their common source, not from a capture of Chrome",
        HTTP1,
        "the server_padding extension, which Chrome sends for some clients by lot, is not sent",
    ],
};

pub(in crate::fingerprint) static EDGE: About = About {
    browser: Browser::Edge,
    platform: Platform::Windows,
    source: "Chromium's hello without trust_anchors, and its headers, which is what leyline-http 0.1.6 (crates.io, as read on 2026-11-26) says of Edge; JA4 and sorted JA3 of Edge 152 to \
             154 as koon 1.1.0 (PyPI, 2026-09) has them in its reference chromium-mldsa",
    guarantee: Guarantee::HelloPrints,
    limits: &[
        UNSERVED,
        REQUIRE,
        REMEMBERED,
        TABLE,
        PINGS,
        "HTTP/2 is the captured Chromium's: of Edge on Windows no text of Akamai's was at hand",
        "that it resumes as Chromium does is taken from their common source, not from a capture of Edge",
        "Edge 154 is two versions behind the Chromium that its hello was captured from; no hello of Edge was at hand",
        HTTP1,
    ],
};

/// What differs between their headers.
pub(in crate::fingerprint) struct Brand {
    brands: &'static str,
    platform: &'static str,
    agent: &'static str,
    accept: &'static str,
}

pub(in crate::fingerprint) const CHROMIUM_HEADERS: Brand = Brand {
    brands: r#""Not:A-Brand";v="8", "Chromium";v="156""#,
    platform: r#""Linux""#,
    agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    accept: DEBIAN_ACCEPT,
};

pub(in crate::fingerprint) const CHROME_HEADERS: Brand = Brand {
    brands: r#""Not:A-Brand";v="8", "Chromium";v="156", "Google Chrome";v="156""#,
    platform: r#""Windows""#,
    agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    accept: ACCEPT,
};

pub(in crate::fingerprint) const EDGE_HEADERS: Brand = Brand {
    brands: r#""Chromium";v="154", "Microsoft Edge";v="154", "Not A(Brand";v="99""#,
    platform: r#""Windows""#,
    agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36 Edg/154.0.0.0",
    accept: ACCEPT,
};

const ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
                      application/signed-exchange;v=b3;q=0.7";
/// Debian's build decodes JPEG XL as well.
const DEBIAN_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,image/webp,image/apng,*/*;q=0.8,\
                             application/signed-exchange;v=b3;q=0.7";
const ENCODINGS: &str = "gzip, deflate, br, zstd";
const LANGUAGES: &str = "en-US,en;q=0.9";

impl Brand {
    pub(in crate::fingerprint) fn headers(&self) -> Headers {
        let Brand {
            brands,
            platform,
            agent,
            accept,
        } = *self;
        Headers::observed(
            &[
                ("Host", ""),
                ("Connection", "keep-alive"),
                ("sec-ch-ua", brands),
                ("sec-ch-ua-mobile", "?0"),
                ("sec-ch-ua-platform", platform),
                ("Upgrade-Insecure-Requests", "1"),
                ("User-Agent", agent),
                ("Accept", accept),
                ("Sec-Fetch-Site", "none"),
                ("Sec-Fetch-Mode", "navigate"),
                ("Sec-Fetch-User", "?1"),
                ("Sec-Fetch-Dest", "document"),
                ("Accept-Encoding", ENCODINGS),
                ("Accept-Language", LANGUAGES),
            ],
            &[
                ("sec-ch-ua", brands),
                ("sec-ch-ua-mobile", "?0"),
                ("sec-ch-ua-platform", platform),
                ("upgrade-insecure-requests", "1"),
                ("user-agent", agent),
                ("accept", accept),
                ("sec-fetch-site", "none"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-user", "?1"),
                ("sec-fetch-dest", "document"),
                ("accept-encoding", ENCODINGS),
                ("accept-language", LANGUAGES),
                ("priority", "u=0, i"),
            ],
        )
    }
}

/// Trust anchors of Chromium's root program: relative object identifiers, each behind its length.
const ANCHORS: &[&[u8]] = &[
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

/// Chromium 156, with its trust anchors or without. All between its first extension and its last stands in an order of its own on each connection, and
/// each share has a key of its own.
pub(in crate::fingerprint) fn hello(anchors: bool) -> HelloSpec {
    let suites = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
        0x009d, 0x002f, 0x0035,
    ];
    let signatures = [
        0x0904, 0x0905, 0x0906, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
    ];
    let mut slots = vec![
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
        raw(kind::TRUST_ANCHORS, &names(ANCHORS)),
        Slot::EchGrease(EchGrease::Chromium),
        Slot::Grease(vec![0]),
    ];
    if !anchors {
        slots.retain(|slot| slot.kind() != Some(kind::TRUST_ANCHORS));
    }
    let between = 1..slots.len() - 1;
    HelloSpec::observed(greased(&suites), slots, between, false)
}

/// On HTTP/2.
pub(in crate::fingerprint) fn h2() -> H2Spec {
    H2Spec::observed(
        &[(1, 65_536), (2, 0), (4, 6_291_456), (6, 262_144)],
        15_663_105,
        [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path],
        Some(Priority {
            exclusive: true,
            depends_on: 0,
            weight: 256,
        }),
        1,
        0,
    )
    .with_huffman(Huffman::WhenShorter)
    .with_table_limit(u32::MAX)
    .with_goodbye(false)
    .with_ping(PingForm::Counter)
}

/// Names behind their lengths, and the whole behind its own. All of it is a few hundred bytes.
fn names(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[name.len() as u8], *name].concat())
        .collect();
    [&(list.len() as u16).to_be_bytes()[..], &list].concat()
}
