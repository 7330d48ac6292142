//! What a proxy may say, in whatever pieces it comes.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// An answer, and what it comes to: a tunnel, or this.
type Case<'a> = (&'a [u8], Option<(ErrorKind, ProxyProblem)>);

const NAME: End<'static> = End::Name("a.test", 8443);

/// What comes of these answers, each sent after as many octets of the client's as stand before it; and what the client said in all.
async fn told(
    proxy: &str,
    end: End<'_>,
    answers: &[(usize, &[u8])],
    piece: usize,
) -> (Result<(), Error>, Vec<u8>) {
    let mut proxy: Proxy = proxy.parse().expect("a proxy");
    let login = proxy.take_login().expect("a login that fits");
    let (mut near, mut far) = duplex(64 * 1024);
    let speaking = async {
        let mut said = Vec::new();
        for (awaited, answer) in answers {
            let mut part = vec![0; *awaited];
            far.read_exact(&mut part).await.expect("the client's part");
            said.extend(part);
            for piece in answer.chunks(piece) {
                if far.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let _ = far.shutdown().await;
        said
    };
    let opening = async {
        let opened = open(&mut near, &proxy, login.as_ref(), end).await;
        if opened.is_ok() {
            // Nothing of what follows is lost.
            let mut rest = Vec::new();
            near.read_to_end(&mut rest).await.expect("the end");
            assert_eq!(rest, b"");
        }
        drop(near);
        opened
    };
    tokio::join!(opening, speaking)
}

fn problem(error: &Error) -> (ErrorKind, ProxyProblem) {
    assert_eq!(error.phase(), Phase::Proxy);
    let cause: &ProxyError = error.cause_as().expect("a proxy's error");
    assert!(cause.proxy().contains("proxy.test:1080"));
    (error.kind(), cause.problem())
}

#[tokio::test]
async fn what_an_http_proxy_answers_is_told_apart() {
    const ASK: &[u8] = b"CONNECT a.test:8443 HTTP/1.1\r\nHost: a.test:8443\r\n\r\n";
    let long = format!("HTTP/1.1 200 OK\r\nfield: {}\r\n\r\n", "x".repeat(9_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(65));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(400);
    let cases: [Case<'_>; 16] = [
        (
            b"HTTP/1.0 401 Who\r\n\r\n",
            Some((ErrorKind::ProxyLogin, ProxyProblem::Login)),
        ),
        (b"HTTP/1.1 200 Connection established\r\n\r\n", None),
        (b"HTTP/1.0 204 Good\r\nproxy: yes\r\n\r\n", None),
        (
            b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            None,
        ),
        (
            b"HTTP/1.1 407 Who\r\n\r\nbody",
            Some((ErrorKind::ProxyLogin, ProxyProblem::Login)),
        ),
        (
            b"HTTP/1.1 403 No\r\n\r\n",
            Some((ErrorKind::ProxyRefused, ProxyProblem::Status(403))),
        ),
        (
            b"HTTP/1.1 502 Gone\r\n\r\n",
            Some((ErrorKind::ProxyRefused, ProxyProblem::Status(502))),
        ),
        (
            b"HTTP/1.1 302 There\r\nlocation: /\r\n\r\n",
            Some((ErrorKind::ProxyRefused, ProxyProblem::Status(302))),
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            Some((ErrorKind::Proxy, ProxyProblem::Early)),
        ),
        (
            b"SSH-2.0-server\r\n",
            Some((ErrorKind::Proxy, ProxyProblem::Malformed)),
        ),
        (b"\x05\x00", Some((ErrorKind::Proxy, ProxyProblem::Malformed))),
        (
            b"HTTP/1.1 200 OK\r\n",
            Some((ErrorKind::Proxy, ProxyProblem::Closed)),
        ),
        (b"", Some((ErrorKind::Proxy, ProxyProblem::Closed))),
        (long.as_bytes(), Some((ErrorKind::Proxy, ProxyProblem::TooLong))),
        (many.as_bytes(), Some((ErrorKind::Proxy, ProxyProblem::TooLong))),
        (
            interim.as_bytes(),
            Some((ErrorKind::Proxy, ProxyProblem::TooLong)),
        ),
    ];
    for (answer, expected) in cases {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        for piece in [1, 7, answer.len().max(1)] {
            // In pieces, what comes behind the head may come behind the tunnel: TLS has it then.
            if expected == Some((ErrorKind::Proxy, ProxyProblem::Early)) && piece < answer.len() {
                continue;
            }
            let (opened, said) = told("http://proxy.test:1080", NAME, &[(ASK.len(), answer)], piece).await;
            assert_eq!(said, ASK);
            assert_eq!(
                opened.as_ref().err().map(problem),
                expected,
                "{shown:?} by {piece}"
            );
        }
    }
}

#[tokio::test]
async fn what_an_http_proxy_is_asked() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    for (proxy, end, asked) in [
        (
            "http://Aladdin:open%20sesame@proxy.test:1080",
            NAME,
            "CONNECT a.test:8443 HTTP/1.1\r\nHost: a.test:8443\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
        ),
        (
            "http://Aladdin@proxy.test:1080",
            NAME,
            "CONNECT a.test:8443 HTTP/1.1\r\nHost: a.test:8443\r\nProxy-Authorization: Basic QWxhZGRpbjo=\r\n\r\n",
        ),
        (
            "http://proxy.test:1080",
            End::Ip("::1".parse().expect("an address"), 443),
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
        ),
    ] {
        let (opened, said) = told(proxy, end, &[(asked.len(), OK)], 100).await;
        assert!(opened.is_ok());
        assert_eq!(String::from_utf8_lossy(&said), asked);
    }
}

const GREETING: usize = 3;
const LOGIN: usize = 4;
const REQUEST: usize = 4 + 1 + 6 + 2;

#[tokio::test]
async fn what_a_socks_proxy_answers_is_told_apart() {
    let mut named = vec![5, 0, 0, 3, 255];
    named.extend([b'x'; 257]);
    let answers: [Case<'_>; 12] = [
        (&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0], None),
        (
            &[5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            None,
        ),
        (&[5, 0, 0, 3, 0, 0, 0], None),
        (&named, None),
        (
            &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0],
            Some((ErrorKind::ProxyRefused, ProxyProblem::Reply(1))),
        ),
        (
            &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
            Some((ErrorKind::ProxyRefused, ProxyProblem::Reply(5))),
        ),
        (
            &[5, 99, 0, 1],
            Some((ErrorKind::ProxyRefused, ProxyProblem::Reply(99))),
        ),
        (&[4, 0, 0, 1], Some((ErrorKind::Proxy, ProxyProblem::Malformed))),
        (&[5, 0, 0, 2], Some((ErrorKind::Proxy, ProxyProblem::Malformed))),
        (
            &[5, 0, 0, 1, 0, 0],
            Some((ErrorKind::Proxy, ProxyProblem::Closed)),
        ),
        (&[5, 0, 0, 3], Some((ErrorKind::Proxy, ProxyProblem::Closed))),
        (&[], Some((ErrorKind::Proxy, ProxyProblem::Closed))),
    ];
    for (answer, expected) in answers {
        for piece in [1, 300] {
            let script = [(GREETING, &[5, 0][..]), (REQUEST, answer)];
            let (opened, said) = told("socks5h://proxy.test:1080", NAME, &script, piece).await;
            assert_eq!(said, b"\x05\x01\x00\x05\x01\x00\x03\x06a.test\x20\xfb");
            assert_eq!(
                opened.as_ref().err().map(problem),
                expected,
                "{answer:?} by {piece}"
            );
        }
    }
    for (method, expected) in [
        (&b"\x05\xff"[..], (ErrorKind::ProxyLogin, ProxyProblem::Login)),
        (b"\x05\x02", (ErrorKind::Proxy, ProxyProblem::Malformed)),
        (b"HTTP/1.1 400", (ErrorKind::Proxy, ProxyProblem::Malformed)),
        (b"\x05", (ErrorKind::Proxy, ProxyProblem::Closed)),
    ] {
        let (opened, _) = told("socks5h://proxy.test:1080", NAME, &[(GREETING, method)], 1).await;
        assert_eq!(problem(&opened.expect_err("refused")), expected);
    }
}

#[tokio::test]
async fn a_socks_login_is_shown_only_where_it_is_asked_for() {
    const DONE: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const WITH: &str = "socks5h://user:secret@proxy.test:1080";
    let spoken = b"\x01\x04user\x06secret";
    let script = [(LOGIN, &[5, 2][..]), (spoken.len(), &[1, 0]), (REQUEST, DONE)];
    let (opened, said) = told(WITH, NAME, &script, 1).await;
    assert!(opened.is_ok());
    assert_eq!(said[LOGIN..LOGIN + spoken.len()], spoken[..]);
    let (opened, said) = told(WITH, NAME, &[(LOGIN, &[5, 0]), (REQUEST, DONE)], 1).await;
    assert!(opened.is_ok() && !said.windows(6).any(|text| text == b"secret"));
    for (answer, expected) in [
        (&[1, 1][..], (ErrorKind::ProxyLogin, ProxyProblem::Login)),
        (&[5, 0], (ErrorKind::Proxy, ProxyProblem::Malformed)),
        (&[1], (ErrorKind::Proxy, ProxyProblem::Closed)),
    ] {
        let script = [(LOGIN, &[5, 2][..]), (spoken.len(), answer)];
        let error = told(WITH, NAME, &script, 1).await.0.expect_err("refused");
        assert_eq!(problem(&error), expected);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret") && !shown.contains("user"), "{shown}");
    }
}
