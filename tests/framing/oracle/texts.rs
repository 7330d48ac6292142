//! Messages put together from what real ones have, and from what they should not have.

use super::writer::Kind;

/// Where choices come from.
pub(crate) trait Choose {
    /// A number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize;
}

const STATUS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 404 No\r\n",
    "HTTP/1.1 101 Switching\r\n",
    "HTTP/1.1 204 None\r\n",
    "HTTP/1.1 205 Reset\r\n",
    "HTTP/1.1 304 Same\r\n",
    "HTTP/1.1 404\r\n",
    "HTTP/1.1 407 No\r\n",
    "HTTP/1.1 999 Odd\r\n",
    "HTTP/1.1 099 Odd\r\n",
    "HTTP/1.1 200 OK\n",
    "\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.2 200 OK\r\n",
];

const REQUEST: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "HEAD / HTTP/1.1\r\n",
    "PUT http://a/ HTTP/1.1\r\n",
    "CONNECT a:1 HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "POST / HTTP/1.0\r\n",
    "GET  / HTTP/1.1\r\n",
    "GET / HTTP/2.0\r\n",
    "\r\nGET / HTTP/1.1\r\n",
    "GET / HTTP/1.1\n",
];

const FIELDS: &[&str] = &[
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 5\r\n",
    "content-length:5\r\n",
    "Content-Length: 05\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 5 \t\r\n",
    "Content-Length: 6\r\n",
    "Content-Length : 5\r\n",
    "Content-Length: 5\n",
    "Content-Length:\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: CHUNKED\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;a\r\n",
    "Transfer-Encoding:\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: a, Close ,b\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: x\r\n",
    "Expect: 100-continue\r\n",
    "Host: a\r\n",
    "A: b\r\n",
    "A: b\r\n c\r\n",
    " A: b\r\n",
    "A: \x01\r\n",
    "A\x00: b\r\n",
    "A: b\rc\r\n",
    "A\r\n",
    ": b\r\n",
    "\r\n",
];

const BODY: &[&str] = &[
    "hello",
    "hello",
    "5\r\nhello\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\n\r\n",
    "00\r\n",
    "0\r\n",
    "A: b\r\n\r\n",
    "A: b\r\n",
    "Content-Length: 5\r\n",
    "\r\n",
    "\n",
    "\r",
    "5;a=b\r\nhello\r\n",
    "5;a\n",
    "5 \r\nhello\r\n",
    "05\r\nhello\r\n",
    "a\r\n0123456789\r\n",
    "10\r\n01234567\r\n0\r\n\r\n",
    "+5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "5\nhello\n",
    "6\r\nhello\r\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "5\r\nhelloX\r\n",
    "hel",
    "lo",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
];

fn pick<'a>(choose: &mut dyn Choose, from: &[&'a str]) -> &'a str {
    from[choose.below(from.len())]
}

pub(super) fn request_kind(choose: &mut dyn Choose) -> Kind {
    match choose.below(8) {
        0 => Kind::Head,
        1 => Kind::Connect,
        2 => Kind::Post,
        3 => Kind::Put,
        _ => Kind::Get,
    }
}

pub(super) fn answer(choose: &mut dyn Choose) -> Vec<u8> {
    let line = pick(choose, STATUS);
    message(choose, line)
}

pub(super) fn request(choose: &mut dyn Choose) -> Vec<u8> {
    let line = pick(choose, REQUEST);
    message(choose, line)
}

/// Fields and a body that go together.
const PAIRS: &[(&str, &str)] = &[
    ("Content-Length: 5\r\n", "hello"),
    ("Content-Length: 0\r\n", ""),
    ("content-length:\t5 \r\nContent-Length: 5\r\n", "hello"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    (
        "Transfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n",
        "0A;x\r\n0123456789\r\n00\r\n\r\n",
    ),
    (
        "A: b\r\nTransfer-Encoding: chunked\r\nC: d\r\n",
        "1\r\nx\r\n0\r\nT: v\r\nU: w\r\n\r\n",
    ),
    ("Connection: keep-alive\r\nContent-Length: 5\r\n", "hello"),
    ("A: b\r\n", ""),
];

fn message(choose: &mut dyn Choose, line: &str) -> Vec<u8> {
    let mut bytes = match choose.below(3) {
        0 => wild(choose, line).into_bytes(),
        _ => {
            let (fields, body) = PAIRS[choose.below(PAIRS.len())];
            format!("{line}{fields}\r\n{body}").into_bytes()
        }
    };
    for _ in 0..choose.below(12).saturating_sub(8) {
        spoil(choose, &mut bytes);
    }
    bytes
}

/// What may not go together at all.
fn wild(choose: &mut dyn Choose, line: &str) -> String {
    let mut text = line.to_owned();
    for _ in 0..choose.below(4) {
        text += pick(choose, FIELDS);
    }
    if choose.below(40) == 0 {
        text += &"A: b\r\n".repeat(90 + choose.below(20));
    }
    text += "\r\n";
    for _ in 0..choose.below(5) {
        text += pick(choose, BODY);
    }
    if choose.below(60) == 0 {
        text += &format!("0\r\n{}\r\n", "A: b\r\n".repeat(90 + choose.below(20)));
    }
    text
}

/// Changes, adds or takes away one octet.
fn spoil(choose: &mut dyn Choose, bytes: &mut Vec<u8>) {
    let (at, octet) = (choose.below(bytes.len()), choose.below(256) as u8);
    match choose.below(3) {
        0 => bytes[at] = octet,
        1 => bytes.insert(at, octet),
        _ if bytes.len() > 1 => _ = bytes.remove(at),
        _ => {}
    }
}

/// The same bytes, cut somewhere.
pub(super) fn pieces(choose: &mut dyn Choose, bytes: &[u8]) -> Vec<Vec<u8>> {
    let longest = match choose.below(3) {
        0 => bytes.len(),
        1 => 1,
        _ => 1 + choose.below(30),
    };
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while !rest.is_empty() {
        let length = match longest {
            1 => 1,
            most if most == bytes.len() => most,
            most => 1 + choose.below(most),
        };
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}
