//! The cases, by the section that they come from.

use super::Verdict;
use crate::event::CloseReason::*;

pub(super) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
pub(super) const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
pub(super) const CONNECT: &str = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
pub(super) const GET_1_0: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(super) const CLEAN: Verdict = Ok(());

/// Answers to a request, and what they make of the connection.
#[rustfmt::skip]
pub(super) const ANSWERS: &[(&str, &str, Verdict)] = &[
    // 6.2, 6.3: Content-Length.
    (GET, OK, CLEAN),
    (GET, "HTTP/1.1 200 OK\r\ncontent-LENGTH:\t 2 \r\n\r\nok", CLEAN),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Err(HalfRead)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", Err(StrayBytes)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", CLEAN),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nok", Err(HalfRead)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok", Err(BadFraming)),
    // 6.1, 7: Transfer-Encoding.
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Err(HalfRead)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", Err(HalfRead)),
    (GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    // 6.3 rule 3: both.
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Err(BadFraming)),
    // 6.3 rule 1: no body, whatever is announced.
    (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", CLEAN),
    (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CLEAN),
    (HEAD, "HTTP/1.1 200 OK\r\n\r\n", CLEAN),
    (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Err(StrayBytes)),
    (GET, "HTTP/1.1 204 No Content\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", CLEAN),
    (GET, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", CLEAN),
    // 6.3 rule 8: until close.
    (GET, "HTTP/1.1 200 OK\r\n\r\nwho knows", Err(HalfRead)),
    // 9.3, 9.6: whether the connection persists.
    (GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Err(ConnectionClose)),
    (GET, "HTTP/1.1 200 OK\r\nConnection: x , CLOSE\r\nContent-Length: 2\r\n\r\nok", Err(ConnectionClose)),
    (GET, "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Err(ConnectionClose)),
    (GET, "HTTP/1.1 200 OK\r\nConnection: closed\r\nContent-Length: 2\r\n\r\nok", CLEAN),
    (GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Err(ConnectionClose)),
    (GET, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", CLEAN),
    ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", OK, Err(ConnectionClose)),
    ("GET / HTTP/1.0\r\n\r\n", OK, Err(ConnectionClose)),
    (GET_1_0, OK, Err(ConnectionClose)),
    (GET_1_0, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", CLEAN),
    // 9.2, RFC 9110 15.2: interim answers.
    (GET, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", CLEAN),
    (GET, "HTTP/1.1 103 Early Hints\r\n\r\n", Err(HalfRead)),
    (GET, "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (HEAD, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", CLEAN),
    // RFC 9110 7.8, 9.3.6: what is spoken from here on is not HTTP/1.1.
    (GET, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nanything", Err(Upgraded)),
    ("GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", OK, CLEAN),
    (CONNECT, "HTTP/1.1 200 OK\r\n\r\n", Err(Upgraded)),
    (CONNECT, "HTTP/1.1 204 No Content\r\n\r\n", Err(Upgraded)),
    (CONNECT, "HTTP/1.1 407 Proxy\r\nContent-Length: 2\r\n\r\nno", CLEAN),
    // 2.2, 5: lines that readers end, fold or skip in different ways.
    (GET, "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n\r\n", Err(BadFraming)),
    (GET, "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nA: b\r\n Content-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nA\0: b\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    // 4: the status line.
    (GET, "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", Err(BadFraming)),
    (GET, "hello", Err(BadFraming)),
];

/// Chunked bodies (section 7.1).
#[rustfmt::skip]
pub(super) const CHUNKS: &[(&str, Verdict)] = &[
    ("0\r\n\r\n", CLEAN),
    ("000a\r\n0123456789\r\nB\r\n0\r\n\r\n0\r\n\r\n0\r\n000\r\n\r\n", CLEAN),
    ("10\r\n0123456789abcdef\r\n0\r\n\r\n", CLEAN),
    ("10\r\n01234567\r\n0\r\n\r\n", Err(HalfRead)),
    ("2;x=y;z=\"q\"\r\nok\r\n0;last\r\n\r\n", CLEAN),
    ("2\r\nok\r\n0\r\nTrailer: x\r\nY: z\r\n\r\n", CLEAN),
    ("2\r\nok\r\n0\r\nTrailer: x\r\n", Err(HalfRead)),
    ("2\r\nok\r\n0\r\n", Err(HalfRead)),
    ("2\r\nok\r\n0\r\nno field\r\n\r\n", Err(BadFraming)),
    ("0\r\nContent-Length: 4\r\n\r\n", Err(BadFraming)),
    ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(BadFraming)),
    ("2\r\nok\r\n0\r\n\r\nmore", Err(StrayBytes)),
    ("2\r\nok!\r\n0\r\n\r\n", Err(BadFraming)),
    ("2\r\nok0\r\n\r\n", Err(BadFraming)),
    ("\r\n\r\n", Err(BadFraming)),
    (";x\r\n\r\n", Err(BadFraming)),
    (" 2\r\nok\r\n0\r\n\r\n", Err(BadFraming)),
    ("2 \r\nok\r\n0\r\n\r\n", Err(BadFraming)),
    ("+2\r\nok\r\n0\r\n\r\n", Err(BadFraming)),
    ("0x2\r\nok\r\n0\r\n\r\n", Err(BadFraming)),
    ("2\nok\r\n0\r\n\r\n", Err(BadFraming)),
    ("2;\nok\r\n0\r\n\r\n", Err(BadFraming)),
    ("2;a\rb\r\nok\r\n0\r\n\r\n", Err(BadFraming)),
    ("2\r\nok\n0\r\n\r\n", Err(BadFraming)),
    ("0\r\n\n", Err(HalfRead)),
    ("0\r\na: b\n\r\n\r\n", Err(BadFraming)),
    ("fffffffffffffffff\r\n", Err(BadFraming)),
    ("ffffffffffffffff\r\nok", Err(HalfRead)),
];

/// Requests, answered by [`OK`].
#[rustfmt::skip]
pub(super) const REQUESTS: &[(&str, Verdict)] = &[
    ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", CLEAN),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", CLEAN),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: v\r\n\r\n", CLEAN),
    ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nhi", Err(HalfSent)),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", Err(HalfSent)),
    ("GET / HTTP/1.1\r\nHost: a\r\n", Err(HalfSent)),
    // RFC 9110 10.1.1: nobody knows whether the body is still awaited.
    ("POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", Err(HalfSent)),
    ("POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi", CLEAN),
    // 9.3.2, and a byte too many.
    ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", Err(Pipelined)),
    ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi\r\n", Err(Pipelined)),
    ("CONNECT a:1 HTTP/1.1\r\n\r\nearly", Err(Pipelined)),
    // 6.1, 6.3, 11.2: what another hop may read differently.
    ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nhi", Err(BadFraming)),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err(BadFraming)),
    ("CONNECT a:1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", Err(BadFraming)),
    ("GET / HTTP/1.1\nHost: a\n\r\n\r\n", Err(BadFraming)),
    ("\r\nGET / HTTP/1.1\r\n\r\n", Err(BadFraming)),
    // Something else altogether.
    ("GET /\r\n\r\n", Err(NotFollowed)),
    ("GET / HTTP/1.1\r\nA : b\r\n\r\n", Err(NotFollowed)),
    ("EHLO a\r\n", Err(NotFollowed)),
    ("\x16\x03\x01", Err(NotFollowed)),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(NotFollowed)),
];
