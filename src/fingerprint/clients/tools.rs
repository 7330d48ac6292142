//! curl and the standard libraries of Node, Python and Go, as captured. The first three are OpenSSL 3.

use super::super::profile::{About, Browser, Guarantee, Headers, Platform};
use super::super::{Code, H2Spec, HelloSpec, Huffman, PingForm, Pseudo, Slot, kind};
use super::{REQUIRE, SERVER_NAME, alpn, plain, raw, unserved};

const OPENSSL_UNSERVED: &str = unserved!(
    "TLS 1.1, a cipher suite with CBC, CCM, ARIA or without ECDHE, X448, P-521, a finite-field group, or a signature of Ed448, DSA, an RSA-PSS key \
     or with SHA-224,"
);

pub(in crate::fingerprint) static CURL: About = About {
    browser: Browser::None,
    platform: Platform::Any,
    source: "captured from Debian's curl 7.88.1 with OpenSSL 3.0.19 and nghttp2 1.52.0, the hello on 2026-11-21, HTTP/2 and headers on 2026-11-26, a resumed hello on 2026-11-27",
    guarantee: Guarantee::Fields,
    limits: &[
        OPENSSL_UNSERVED,
        REQUIRE,
        "curl has the server remember a cookie of 20 octets and more (nghttp2); here h2 does not",
        "curl sends PINGs only where its user calls curl_easy_upkeep, with zeros (nghttp2_submit_ping, not captured); here one goes out when the pool wants a sign of life",
        "curl 7.88 resets most streams once they are answered (RST_STREAM with STREAM_CLOSED); here none is",
        "a client certificate asked for after the handshake is not given, though that is offered",
        "it resumes as one process of curl's does (CURLOPT_SSL_SESSIONID_CACHE is on by default); each call of the tool begins without sessions",
    ],
};

pub(in crate::fingerprint) static NODE: About = About {
    browser: Browser::None,
    platform: Platform::Any,
    source: "captured from Node 20.20.2, module https, the hello on 2026-11-21, headers on 2026-11-26, a resumed hello on 2026-11-27",
    guarantee: Guarantee::Fields,
    limits: &[
        OPENSSL_UNSERVED,
        "it offers no protocol, and so speaks HTTP/1.1; Node's fetch is another client, with another hello",
        "it resumes as an https.Agent does, which keeps the sessions of 100 hosts (maxCachedSessions); one without that resumes nothing",
    ],
};

pub(in crate::fingerprint) static PYTHON: About = About {
    browser: Browser::None,
    platform: Platform::Any,
    source: "captured from Python 3.11.7, a context of ssl.create_default_context(), the hello on 2026-11-21, headers on 2026-11-26",
    guarantee: Guarantee::Fields,
    limits: &[
        OPENSSL_UNSERVED,
        "no connection resumes: urllib makes a socket for each request and gives none a session (http.client's HTTPSConnection.connect)",
        "it offers no protocol, and so speaks HTTP/1.1; urllib without a context of the caller's offers http/1.1",
    ],
};

pub(in crate::fingerprint) static GO: About = About {
    browser: Browser::None,
    platform: Platform::Any,
    source: "captured from Debian's Go 1.19.8, net/http, the hello on 2026-11-21, HTTP/2 and headers on 2026-11-26",
    guarantee: Guarantee::Fields,
    limits: &[
        unserved!("a cipher suite with CBC, 3DES or without ECDHE, P-521 or a signature with SHA-1"),
        REQUIRE,
        "no connection resumes: net/http has no ClientSessionCache by default, and without one its hello asks for no ticket (crypto/tls, loadSession)",
        "Go writes :authority before :method, which h2's compression cannot follow but for GET and POST: of other methods :method comes first, and is named by another place",
        "Go has the server remember a path other than / and whatever header is not sensitive (golang.org/x/net, http2/hpack), here h2 decides: never a path, a cookie, \
         an authorization, a content-length, an age, an etag, if-none-match or if-modified-since",
        "Go sends PINGs only with a ReadIdleTimeout, of eight octets drawn for each (golang.org/x/net, http2, ClientConn.Ping); here one with h2's octets goes out when the pool wants a sign of life",
        "Go 1.19 pays no heed to the size that a server allows for its table of fields (SETTINGS_HEADER_TABLE_SIZE), and goes by 4,096 octets even where the server has fewer; h2 does as it is told",
    ],
};

pub(in crate::fingerprint) fn curl_headers() -> Headers {
    const AGENT: &str = "curl/7.88.1";
    Headers::observed(
        &[("Host", ""), ("User-Agent", AGENT), ("Accept", "*/*")],
        &[("user-agent", AGENT), ("accept", "*/*")],
    )
}

pub(in crate::fingerprint) fn node_headers() -> Headers {
    Headers::observed(&[("Host", ""), ("Connection", "keep-alive")], &[])
}

pub(in crate::fingerprint) fn python_headers() -> Headers {
    Headers::observed(
        &[
            ("Accept-Encoding", "identity"),
            ("Host", ""),
            ("User-Agent", "Python-urllib/3.11"),
            ("Connection", "close"),
        ],
        &[],
    )
}

pub(in crate::fingerprint) fn go_headers() -> Headers {
    Headers::observed(
        &[
            ("Host", ""),
            ("User-Agent", "Go-http-client/1.1"),
            ("Accept-Encoding", "gzip"),
        ],
        &[("accept-encoding", "gzip"), ("user-agent", "Go-http-client/2.0")],
    )
}

const OPENSSL_GROUPS: &[u16] = &[
    0x001d, 0x0017, 0x001e, 0x0019, 0x0018, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104,
];
const OPENSSL_SIGNATURES: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501,
    0x0601, 0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602,
];

pub(in crate::fingerprint) fn curl() -> HelloSpec {
    let suites = &[
        0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0x009f, 0xcca9, 0xcca8, 0xccaa, 0xc02b, 0xc02f, 0x009e,
        0xc024, 0xc028, 0x006b, 0xc023, 0xc027, 0x0067, 0xc00a, 0xc014, 0x0039, 0xc009, 0xc013, 0x0033,
        0x009d, 0x009c, 0x003d, 0x003c, 0x0035, 0x002f, 0x00ff,
    ];
    let more = vec![
        alpn(),
        raw(kind::ENCRYPT_THEN_MAC, &[]),
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
        raw(kind::POST_HANDSHAKE_AUTH, &[]),
    ];
    openssl(suites, more, &[0x0304, 0x0303, 0x0302, 0x0301], true)
}

pub(in crate::fingerprint) fn node() -> HelloSpec {
    let suites = &[
        0x1302, 0x1303, 0x1301, 0xc02f, 0xc02b, 0xc030, 0xc02c, 0x009e, 0xc027, 0x0067, 0xc028, 0x006b,
        0x00a3, 0x009f, 0xcca9, 0xcca8, 0xccaa, 0xc0af, 0xc0ad, 0xc0a3, 0xc09f, 0xc05d, 0xc061, 0xc057,
        0xc053, 0x00a2, 0xc0ae, 0xc0ac, 0xc0a2, 0xc09e, 0xc05c, 0xc060, 0xc056, 0xc052, 0xc024, 0x006a,
        0xc023, 0x0040, 0xc00a, 0xc014, 0x0039, 0x0038, 0xc009, 0xc013, 0x0033, 0x0032, 0x009d, 0xc0a1,
        0xc09d, 0xc051, 0x009c, 0xc0a0, 0xc09c, 0xc050, 0x003d, 0x003c, 0x0035, 0x002f, 0x00ff,
    ];
    openssl(suites, ticketed(), &[0x0304, 0x0303], false)
}

pub(in crate::fingerprint) fn python() -> HelloSpec {
    let suites = &[
        0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc024, 0xc028, 0xc023,
        0xc027, 0x009f, 0x009e, 0x006b, 0x0067, 0x00ff,
    ];
    openssl(suites, ticketed(), &[0x0304, 0x0303], true).without_resumption()
}

fn ticketed() -> Vec<Slot> {
    vec![
        Slot::NativeOrEmpty(kind::SESSION_TICKET),
        raw(kind::ENCRYPT_THEN_MAC, &[]),
        raw(kind::EXTENDED_MASTER_SECRET, &[]),
    ]
}

/// What OpenSSL 3 sends, with `more` between the groups and the signatures.
fn openssl(suites: &[u16], more: Vec<Slot>, versions: &[u16], padded: bool) -> HelloSpec {
    let mut slots = vec![
        SERVER_NAME,
        raw(kind::EC_POINT_FORMATS, &[3, 0, 1, 2]),
        Slot::Groups(plain(OPENSSL_GROUPS)),
    ];
    slots.extend(more);
    slots.extend([
        Slot::Signatures(plain(OPENSSL_SIGNATURES)),
        Slot::Versions(plain(versions)),
        raw(kind::PSK_KEY_EXCHANGE_MODES, &[1, 1]),
        Slot::KeyShares(vec![Code::Plain(0x001d)]),
    ]);
    slots.extend(padded.then_some(Slot::Padding));
    HelloSpec::observed(plain(suites), slots, 0..0, false)
}

pub(in crate::fingerprint) fn go() -> HelloSpec {
    let suites = &[
        0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0x009c, 0x009d,
        0x002f, 0x0035, 0xc012, 0x000a, 0x1301, 0x1302, 0x1303,
    ];
    let signatures = &[
        0x0804, 0x0403, 0x0807, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0503, 0x0603, 0x0201, 0x0203,
    ];
    let slots = vec![
        SERVER_NAME,
        raw(kind::STATUS_REQUEST, &[1, 0, 0, 0, 0]),
        Slot::Groups(plain(&[0x001d, 0x0017, 0x0018, 0x0019])),
        raw(kind::EC_POINT_FORMATS, &[1, 0]),
        Slot::Signatures(plain(signatures)),
        raw(kind::RENEGOTIATION_INFO, &[0]),
        alpn(),
        raw(kind::SIGNED_CERTIFICATE_TIMESTAMP, &[]),
        Slot::Versions(plain(&[0x0304, 0x0303])),
        Slot::KeyShares(vec![Code::Plain(0x001d)]),
    ];
    HelloSpec::observed(plain(suites), slots, 0..0, false).without_resumption()
}

pub(in crate::fingerprint) fn curl_h2() -> H2Spec {
    H2Spec::observed(
        &[(3, 100), (4, 33_554_432), (2, 0)],
        33_488_897,
        [Pseudo::Method, Pseudo::Path, Pseudo::Scheme, Pseudo::Authority],
        None,
        1,
        0,
    )
    .with_huffman(Huffman::WhenShorter)
    .with_never_indexed(true)
    .with_every_table_size(true)
    .with_goodbye(false)
    .with_ping(PingForm::Zeros)
}

pub(in crate::fingerprint) fn go_h2() -> H2Spec {
    H2Spec::observed(
        &[(2, 0), (4, 4_194_304), (6, 10_485_760)],
        1_073_741_824,
        [Pseudo::Authority, Pseudo::Method, Pseudo::Path, Pseudo::Scheme],
        None,
        1,
        0,
    )
    .with_huffman(Huffman::WhenShorter)
    .with_goodbye(false)
}
