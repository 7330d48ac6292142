use std::time::Duration;

use super::super::frames::Frames;
use super::super::frames::tests::frame;
use super::*;

fn at(millis: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(millis)
}

/// Something passes to the peer.
fn send(book: &mut Book, now: Moment, kind: u8, flags: u8, stream: u32) {
    // As if the preface had gone.
    Frames::inbound().follow(&frame(kind, flags, stream, &[0, 0, 0, 8]), |found| {
        book.outbound(now, found);
    });
}

/// Something passes from it.
fn receive(book: &mut Book, now: Moment, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    Frames::inbound().follow(&frame(kind, flags, stream, payload), |found| {
        book.inbound(now, found);
    });
}

fn goaway(last: u32, code: u8) -> [u8; 8] {
    let [a, b, c, d] = last.to_be_bytes();
    [a, b, c, d, 0, 0, 0, code]
}

/// A book with stream 1 opened, its whole request out.
fn asked() -> Book {
    let mut book = Book::new();
    book.open(at(0), 1);
    send(&mut book, at(0), kind::HEADERS, 5, 1);
    book
}

#[test]
fn a_stream_holds_its_place_until_both_sides_have_ended_it() {
    let mut book = asked();
    assert_eq!((book.is_open(1), book.come_home(Some(1))), (true, 1));
    receive(&mut book, at(1), kind::HEADERS, 4, 1, &[0x88]);
    receive(&mut book, at(1), kind::DATA, 0, 1, b"more");
    assert_eq!((book.loose(), book.news()), (1, None));
    receive(&mut book, at(1), kind::DATA, 1, 1, b"");
    assert_eq!(book.news(), Some(News::Freed));
    assert_eq!((book.news(), book.streams.len()), (None, 0));
}

#[test]
fn either_side_s_reset_ends_it() {
    for ours in [true, false] {
        let mut book = asked();
        assert_eq!(book.come_home(Some(1)), 1);
        match ours {
            true => send(&mut book, at(1), kind::RST_STREAM, 0, 1),
            false => receive(&mut book, at(1), kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        }
        assert_eq!((book.news(), book.loose()), (Some(News::Freed), 0));
    }
}

#[test]
fn a_stream_counts_before_its_head_is_out_and_whoever_is_faster() {
    let mut book = Book::new();
    book.open(at(0), 1);
    assert_eq!(book.safety(1), RetrySafety::NeverSent);
    assert_eq!(book.come_home(Some(1)), 1);
    // The driver on another thread has sent it, and its answer has come, before the lease enters it.
    send(&mut book, at(0), kind::HEADERS, 5, 3);
    receive(&mut book, at(0), kind::HEADERS, 5, 3, &[0x88]);
    book.open(at(0), 3);
    assert!(!book.is_open(3));
    assert_eq!(book.come_home(Some(3)), 1);
    // Trailers behind a reset open nothing.
    send(&mut book, at(0), kind::HEADERS, 5, 3);
    assert_eq!(book.streams.len(), 1);
}

#[test]
fn what_is_known_of_a_request() {
    let mut book = Book::new();
    book.open(at(0), 1);
    send(&mut book, at(0), kind::HEADERS, 4, 1);
    assert_eq!(book.safety(1), RetrySafety::PartlySent);
    send(&mut book, at(0), kind::DATA, 1, 1);
    assert_eq!(book.safety(1), RetrySafety::Sent);
    for id in [3, 5, 7] {
        book.open(at(0), id);
        send(&mut book, at(0), kind::HEADERS, 5, id);
    }
    receive(&mut book, at(1), kind::RST_STREAM, 0, 3, &[0, 0, 0, 7]);
    assert_eq!(book.safety(3), RetrySafety::Unprocessed);
    assert_eq!(book.news(), Some(News::Overloaded));
    receive(&mut book, at(1), kind::GOAWAY, 0, 0, &goaway(0x7fff_ffff, 0));
    assert_eq!(
        (book.safety(5), book.safety(7)),
        (RetrySafety::Sent, RetrySafety::Sent)
    );
    receive(&mut book, at(1), kind::GOAWAY, 0, 0, &goaway(5, 0));
    assert_eq!(
        (book.safety(5), book.safety(7)),
        (RetrySafety::Sent, RetrySafety::Unprocessed)
    );
    // A later one may not take back what an earlier one said.
    receive(&mut book, at(1), kind::GOAWAY, 0, 0, &goaway(9, 0));
    assert_eq!(book.safety(7), RetrySafety::Unprocessed);
    assert_eq!((book.news(), book.news()), (Some(News::GoAway), None));
    assert_eq!(book.look(), Err(CloseReason::GoAway));
    assert!(book.is_open(5) && !book.is_open(7));
}

#[test]
fn the_first_settings_say_what_is_allowed_whatever_they_say() {
    let mut book = Book::new();
    receive(&mut book, at(0), kind::SETTINGS, 1, 0, &[]);
    assert_eq!(book.news(), None, "an acknowledgement says nothing");
    receive(&mut book, at(0), kind::SETTINGS, 0, 0, &[]);
    assert_eq!(book.news(), Some(News::MaxStreams(u32::MAX)));
    receive(&mut book, at(0), kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9]);
    assert_eq!(book.news(), None, "as it was");
    receive(&mut book, at(0), kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]);
    assert_eq!(book.news(), Some(News::MaxStreams(0)));
}

#[test]
fn a_request_that_is_given_up_in_silence_casts_doubt() {
    for (heard, given_up, doubtful) in [
        (0, 999, false),
        (0, 1_000, true),
        (500, 1_499, false),
        (500, 1_500, true),
    ] {
        let mut book = asked();
        if heard > 0 {
            receive(&mut book, at(heard), 6, 0, 0, &[0; 8]);
        }
        send(&mut book, at(given_up), kind::RST_STREAM, 0, 1);
        let news = doubtful.then_some(News::Doubtful);
        assert_eq!(
            (book.news(), book.take_question()),
            (news, doubtful),
            "{heard}, {given_up}"
        );
        assert!(!book.take_question());
    }
}

#[test]
fn too_many_resets_are_told_once() {
    let mut book = Book::new();
    for nth in 0..1_000 {
        let id = 2 * nth + 1;
        book.open(at(0), id);
        send(&mut book, at(0), kind::HEADERS, 5, id);
        send(&mut book, at(0), kind::RST_STREAM, 0, id);
        book.come_home(Some(id));
    }
    assert_eq!((book.news(), book.news()), (Some(News::ResetsSpent), None));
    assert_eq!(book.streams.len(), 0);
}

#[test]
fn whoever_has_it_all_has_no_lease_for_each() {
    let mut book = Book::new();
    book.make_raw();
    for id in [1, 3] {
        send(&mut book, at(0), kind::HEADERS, 5, id);
    }
    assert_eq!(book.loose(), 2);
    receive(&mut book, at(0), kind::HEADERS, 5, 1, &[0x88]);
    assert_eq!((book.loose(), book.streams.len()), (1, 1));
}

#[test]
fn an_end_has_one_reason() {
    let mut book = Book::new();
    receive(&mut book, at(0), kind::GOAWAY, 0, 0, &goaway(0, 0));
    assert_eq!(book.end(CloseReason::PeerClosed), CloseReason::GoAway);
    assert_eq!(book.end(CloseReason::Failed), CloseReason::GoAway);
    let mut book = Book::new();
    assert_eq!(book.end(CloseReason::PeerClosed), CloseReason::PeerClosed);
    assert_eq!(book.look(), Err(CloseReason::PeerClosed));
}

proptest::proptest! {
    /// Whatever a peer sends, in whatever order: no more is remembered than was opened here.
    #[test]
    fn a_peer_cannot_make_it_grow(
        frames in proptest::collection::vec((0..12_u8, 0..6_u8, 0..20_u32, proptest::array::uniform8(0..=255_u8)), 0..200)
    ) {
        let mut book = Book::new();
        for id in [1, 3, 5] {
            book.open(at(0), id);
            send(&mut book, at(0), kind::HEADERS, 5, id);
        }
        book.come_home(Some(3));
        for (kind, flags, stream, payload) in frames {
            receive(&mut book, at(1), kind, flags, stream, &payload);
        }
        proptest::prop_assert!(book.streams.len() <= 3 && book.loose <= 1);
        book.come_home(Some(1));
        book.come_home(Some(5));
        let open = [1, 3, 5].iter().filter(|&&id| book.is_open(id)).count();
        proptest::prop_assert_eq!((book.loose as usize, book.streams.len()), (open, open));
    }
}

/// A peer that says both has been asked all the same.
#[test]
fn what_was_answered_was_looked_at_whatever_else_is_said() {
    for refusal in [kind::RST_STREAM, kind::GOAWAY] {
        for (flags, head) in [(4, 0x88), (5, 0x88), (4, 0x08)] {
            let mut book = asked();
            receive(&mut book, at(1), kind::HEADERS, flags, 1, &[head]);
            match refusal {
                kind::RST_STREAM => receive(&mut book, at(1), refusal, 0, 1, &[0, 0, 0, 7]),
                _ => receive(&mut book, at(1), refusal, 0, 0, &goaway(0, 0)),
            }
            assert_eq!(book.safety(1), RetrySafety::Sent);
            assert!(!book.is_open(1));
        }
    }
}
