//! Framing cases of RFC 9112 sections 6 to 9, and of those that servers and proxies have disagreed on. However a message is cut into pieces, the
//! verdict is the same, and it is never "clean" before the last piece.

mod cases;

use self::cases::{ANSWERS, CHUNKS, CLEAN, GET, HEAD, OK, REQUESTS};
use super::{Observer, Rest};
use crate::event::CloseReason::{self, *};
use crate::event::RetrySafety;

type Verdict = Result<(), CloseReason>;

/// What an idle connection costs beyond its TLS.
#[test]
fn what_follows_an_exchange_is_small() {
    assert!(size_of::<Observer>() <= 64, "{}", size_of::<Observer>());
}

fn feed(observer: &mut Observer, bytes: &str, size: usize, pass: impl Fn(&mut Observer, &[u8])) {
    let (mut left, mut stray) = (bytes.len(), false);
    for piece in bytes.as_bytes().chunks(size) {
        pass(observer, piece);
        left -= piece.len();
        match observer.verdict() {
            Ok(()) => stray |= left > 0,
            // Clean before the last piece: then what followed must have been beyond the end.
            Err(reason) if stray => assert_eq!(reason, StrayBytes, "clean inside {bytes:?}"),
            Err(_) => {}
        }
    }
    assert!(!stray || observer.verdict().is_err(), "clean inside {bytes:?}");
}

/// An exchange, cut into pieces of so many bytes.
fn observe(request: &str, answer: &str, size: usize) -> Observer {
    let mut observer = Observer::new();
    feed(&mut observer, request, size, Observer::sent);
    assert_ne!(observer.verdict(), CLEAN, "unanswered: {request:?}");
    feed(&mut observer, answer, size, Observer::received);
    observer
}

fn sizes(request: &str, answer: &str) -> impl Iterator<Item = usize> {
    1..=request.len().max(answer.len())
}

#[test]
fn answers_are_framed_as_the_rfc_says() {
    for (request, answer, expected) in ANSWERS {
        for size in sizes(request, answer) {
            let verdict = observe(request, answer, size).verdict();
            assert_eq!(verdict, *expected, "{answer:?} by {size}");
        }
    }
}

#[test]
fn chunks_are_framed_as_the_rfc_says() {
    for (body, expected) in CHUNKS {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        for size in sizes(GET, &answer) {
            let verdict = observe(GET, &answer, size).verdict();
            assert_eq!(verdict, *expected, "{body:?} by {size}");
        }
    }
}

#[test]
fn requests_are_framed_as_the_rfc_says() {
    for (request, expected) in REQUESTS {
        for size in sizes(request, OK) {
            let verdict = observe(request, OK, size).verdict();
            assert_eq!(verdict, *expected, "{request:?} by {size}");
        }
    }
}

#[test]
fn one_exchange_follows_the_other() {
    let mut observer = Observer::new();
    for _ in 0..3 {
        for (request, answer) in [(HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), (GET, OK)] {
            assert!(observer.is_idle());
            observer.sent(request.as_bytes());
            assert_eq!(observer.answered(), None);
            observer.received(answer.as_bytes());
            assert_eq!(observer.answered(), Some((200, Rest::Nothing)));
            assert_eq!(observer.verdict(), CLEAN);
        }
    }
}

#[test]
fn an_answer_before_anything_was_asked_is_stray() {
    let mut observer = Observer::new();
    observer.received(OK.as_bytes());
    assert_eq!(observer.verdict(), Err(StrayBytes));
    observer.vouch();
    assert_eq!(observer.verdict(), Err(StrayBytes), "vouching does not help");
}

/// Whether the rest is read as this request's body or as the next request is up to the peer.
#[test]
fn an_answer_that_ends_before_its_request_is_over_for_good() {
    let post = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nh";
    let mut observer = observe(post, OK, 99);
    observer.sent(b"i");
    assert_eq!(observer.verdict(), Err(HalfSent));
}

#[test]
fn an_answer_may_begin_before_its_request_ends() {
    let mut observer = observe(
        "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nh",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no",
        99,
    );
    observer.sent(b"i");
    observer.received(b"k");
    assert_eq!(observer.verdict(), CLEAN);
}

#[test]
fn a_body_after_100_is_a_body() {
    let mut observer = observe(
        "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        99,
    );
    assert_eq!(observer.verdict(), Err(HalfSent));
    observer.sent(b"hi");
    assert_eq!(observer.verdict(), Err(HalfRead));
    observer.received(OK.as_bytes());
    assert_eq!(observer.verdict(), CLEAN);
}

/// Told "no" before the body, and sending it all the same, while the answer is still under way.
#[test]
fn a_body_that_was_not_asked_for_is_over_for_good() {
    let mut observer = observe(
        "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n",
        99,
    );
    observer.sent(b"hi");
    observer.received(b"no");
    assert_eq!(observer.verdict(), Err(HalfSent));
}

#[test]
fn a_word_helps_where_it_could_not_follow_and_nowhere_else() {
    let vouched = |mut observer: Observer| {
        observer.vouch();
        observer.verdict()
    };
    for (request, answer) in [
        ("EHLO a\r\n", "250 ok\r\n"),
        ("half a line", ""),
        ("half a line", "and an answer"),
        ("\x00\x01\x02", "\x03"),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", OK),
    ] {
        assert_eq!(vouched(observe(request, answer, 99)), CLEAN, "{request:?}");
    }
    for (request, answer, reason) in [
        ("GET / HTTP/1.", "", HalfSent),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", "", HalfSent),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: ",
            "HTTP/1.1 408 Late\r\n\r\n",
            HalfSent,
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", "", HalfSent),
        (GET, "", HalfRead),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", HalfRead),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", StrayBytes),
        (
            GET,
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ConnectionClose,
        ),
        (GET, "HTTP/1.1 101 Up\r\n\r\n", Upgraded),
        (GET, "hello", BadFraming),
    ] {
        assert_eq!(vouched(observe(request, answer, 99)), Err(reason), "{answer:?}");
    }
}

#[test]
fn after_a_word_the_next_exchange_is_followed() {
    let mut observer = observe("EHLO a\r\n", "250 ok\r\n", 3);
    observer.vouch();
    observer.sent(GET.as_bytes());
    assert_eq!(observer.verdict(), Err(HalfRead));
    observer.received(OK.as_bytes());
    assert_eq!(observer.verdict(), CLEAN);
}

/// `text` with each of its line ends without its CR in turn.
fn with_a_lone_lf(text: &str) -> impl Iterator<Item = String> {
    text.match_indices("\r\n")
        .map(|(at, _)| [&text[..at], &text[at + 1..]].concat())
}

#[test]
fn every_line_ends_with_both_octets() {
    let bare = "GET / HTTP/1.1\r\n\r\n";
    let fields = "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nAccept: */* \r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 0\r\nX:\r\n\r\n";
    let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\nY:\r\n\r\n";
    for (request, answer) in [(bare, answer), (fields, trailers)] {
        assert_eq!(observe(request, answer, usize::MAX).verdict(), CLEAN);
        let requests = with_a_lone_lf(request).map(|broken| (broken, answer.to_owned()));
        let answers = with_a_lone_lf(answer).map(|broken| (request.to_owned(), broken));
        for (request, answer) in requests.chain(answers) {
            for size in sizes(&request, &answer) {
                let mut observer = Observer::new();
                feed(&mut observer, &request, size, Observer::sent);
                feed(&mut observer, &answer, size, Observer::received);
                assert_ne!(observer.verdict(), CLEAN, "{request:?} {answer:?} by {size}");
            }
        }
    }
}

/// A head without end is given up, and nothing of it is kept.
#[test]
fn a_head_over_the_limit_is_not_followed() {
    let field = format!("A: {}\r\n", "b".repeat(1000));
    for size in [1, 1000, 1 << 20] {
        for (count, expected) in [(60, CLEAN), (66, Err(NotFollowed))] {
            let answer = format!(
                "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
                field.repeat(count)
            );
            let observer = observe(GET, &answer, size);
            assert_eq!(observer.verdict(), expected, "an answer of {count} by {size}");
            let request = format!("GET / HTTP/1.1\r\n{}\r\n", field.repeat(count));
            let observer = observe(&request, OK, size);
            assert_eq!(observer.verdict(), expected, "a request of {count} by {size}");
        }
    }
    let many = "A: b\r\n".repeat(101);
    let observer = observe(
        GET,
        &format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"),
        99,
    );
    assert_eq!(observer.verdict(), Err(BadFraming), "more fields than are read");
}

#[test]
fn extensions_and_trailers_have_limits() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (count, expected) in [(100, CLEAN), (600, Err(BadFraming))] {
        let chunks = "1;sevenxx\r\nx\r\n".repeat(count);
        let answer = format!("{chunked}{chunks}0\r\n\r\n");
        assert_eq!(
            observe(GET, &answer, 1000).verdict(),
            expected,
            "{count} extensions"
        );
    }
    for (count, expected) in [(64, CLEAN), (65, Err(BadFraming))] {
        let answer = format!("{chunked}0\r\n{}\r\n", "T: x\r\n".repeat(count));
        assert_eq!(observe(GET, &answer, 999).verdict(), expected, "{count} trailers");
    }
    for (length, expected) in [(10_000, CLEAN), (20_000, Err(NotFollowed))] {
        let answer = format!("{chunked}0\r\nT: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(
            observe(GET, &answer, 999).verdict(),
            expected,
            "{length} of trailers"
        );
    }
}

#[test]
fn what_is_known_of_a_request_follows_what_passed() {
    let mut observer = Observer::new();
    let mut known = vec![observer.retry_safety()];
    for piece in ["POST / HTTP/1.1\r\n", "Content-Length: 2\r\n\r\n", "h", "i"] {
        observer.sent(piece.as_bytes());
        known.push(observer.retry_safety());
    }
    observer.received(OK.as_bytes());
    known.push(observer.retry_safety());
    observer.vouch();
    known.push(observer.retry_safety());
    observer.come_home();
    known.push(observer.retry_safety());
    use RetrySafety::{NeverSent, PartlySent, Sent};
    assert_eq!(
        known,
        [
            NeverSent, PartlySent, PartlySent, PartlySent, Sent, Sent, Sent, NeverSent
        ]
    );
    observer.sent(b"HELO a\r\n\r\n");
    observer.vouch();
    assert_eq!((observer.verdict(), observer.retry_safety()), (CLEAN, Sent));
}
