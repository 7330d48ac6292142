//! Two opinions on where a message ends: this crate's observer, which watches, and hyper, which reads. Whenever hyper says that a message is not
//! over, the observer must not call the connection clean.
//!
//! hyper runs in memory, by hand: no runtime, no time, the same for the same choices. The choices come from whoever asks: random numbers in a
//! test, a fuzzer's bytes.

mod pipe;
mod reader;
mod texts;
mod writer;

use hotpool::{CloseReason, Framing};

pub(crate) use self::texts::Choose;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Exchanges after which both called the connection clean.
    pub(crate) clean: u64,
    /// Messages that hyper read to their end, and the observer does not trust.
    pub(crate) distrusted: u64,
}

/// Any answers to hyper's own requests, in any pieces.
///
/// # Panics
/// The observer called something clean that hyper does not take for a whole answer, or would not keep the connection after.
pub(crate) fn answers(choose: &mut dyn Choose) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut hyper, mut observer) = (writer::Client::new(), Framing::new());
    for _ in 0..3 {
        let Some(request) = hyper.ask(texts::request_kind(choose)) else {
            break;
        };
        observer.sent(&request);
        assert!(observer.verdict().is_err(), "clean before an answer");
        let answer = texts::answer(choose);
        for piece in texts::pieces(choose, &answer) {
            hyper.feed(&piece);
            observer.received(&piece);
            if observer.verdict().is_ok() {
                assert!(hyper.is_over(), "clean, and hyper reads on: {hyper:?}");
                assert!(hyper.keeps(), "clean, and hyper closes: {hyper:?}");
            }
        }
        if observer.verdict().is_err() {
            outcome.distrusted += u64::from(hyper.is_over());
            break;
        }
        outcome.clean += 1;
    }
    outcome
}

/// Any answers to hyper's own requests, in any pieces, read by the client's reader and by hyper's.
///
/// # Panics
/// The client read something else than hyper, or took it for whole where hyper does not; or the observer calls a connection clean whose answer the client has not
/// read to its end.
#[cfg(feature = "client")]
pub(crate) fn readings(choose: &mut dyn Choose) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut hyper, mut observer) = (writer::Client::new(), Framing::new());
    for _ in 0..3 {
        let kind = texts::request_kind(choose);
        let Some(request) = hyper.ask(kind) else {
            break;
        };
        observer.sent(&request);
        let mut client = hotpool::Reading::new(&kind.method());
        let answer = texts::answer(choose);
        // Where the end is open to doubt, each may read what it likes: the connection is closed.
        let doubts = |observer: &Framing| {
            let doubtful = [CloseReason::BadFraming, CloseReason::NotFollowed];
            observer.verdict().is_err_and(|reason| doubtful.contains(&reason))
        };
        // With a bare LF in its head that is seen late, where the head comes in pieces: others have its end before.
        let bare = answer.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        let mut whole = observer.clone();
        whole.received(&answer);
        let will_be = bare && doubts(&whole);
        for piece in texts::pieces(choose, &answer) {
            hyper.feed(&piece);
            observer.received(&piece);
            client.feed(&piece);
            let heard = hyper.heard();
            let in_doubt = will_be || doubts(&observer);
            let fit = !client.is_malformed() && !client.is_upgraded() && !hyper.has_failed() && !in_doubt;
            if fit {
                assert_eq!(
                    (client.status, &client.body, client.is_over()),
                    (heard.status, &heard.body, hyper.is_over()),
                    "{:?} {client:?} {hyper:?}",
                    String::from_utf8_lossy(&answer)
                );
                assert_eq!(client.trailers, heard.trailers, "{client:?} {hyper:?}");
            }
            let refused = client.is_malformed() && !in_doubt && hyper.is_over();
            assert!(!refused, "{:?} {client:?}", String::from_utf8_lossy(&answer));
            if client.is_over() && !client.is_upgraded() && hyper.has_failed() {
                assert!(
                    observer.verdict().is_err(),
                    "whole and clean, and hyper failed: {client:?} {hyper:?}"
                );
            }
            if observer.verdict().is_ok() {
                assert!(client.is_over(), "clean, and the client reads on: {client:?}");
            }
        }
        if observer.verdict().is_err() {
            outcome.distrusted += u64::from(hyper.is_over());
            break;
        }
        outcome.clean += 1;
    }
    outcome
}

/// Any request, in any pieces, read by hyper's server.
///
/// # Panics
/// The observer took a request for whole that hyper does not.
pub(crate) fn requests(choose: &mut dyn Choose) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut hyper, mut observer) = (reader::Server::new(), Framing::new());
    let request = texts::request(choose);
    for piece in texts::pieces(choose, &request) {
        hyper.feed(&piece);
        observer.sent(&piece);
        assert!(observer.verdict().is_err(), "clean before an answer");
    }
    // An answer that ends before its request makes the connection unfit, so this asks whether the request was over.
    let mut answered = observer.clone();
    answered.received(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
    match answered.verdict().is_ok() || answered.verdict() == Err(CloseReason::ConnectionClose) {
        true if hyper.dislikes_the_target() => {} // which says nothing of the end
        true => {
            assert!(hyper.has_read(1), "whole, and hyper reads on: {hyper:?}");
            outcome.clean = 1;
        }
        false => outcome.distrusted = u64::from(hyper.has_read(1)),
    }
    outcome
}
