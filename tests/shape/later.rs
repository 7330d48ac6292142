//! What a connection of a profile sends behind its requests: how it ends, and what stands in its PINGs.

use std::io;

use hotpool::Reshaping;
use hotpool::fingerprint::{PingForm, Profile};
use tokio::sync::mpsc;

use crate::h2::{PREFACE, pool, request, split, within};
use crate::support::frames::{ACK, DATA, FramePeer, GOAWAY, PING, SETTINGS, Wire, frame};

/// What h2 has in its PINGs.
const H2S: [u8; 8] = [0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4];

/// Each profile, whether it says goodbye, and the first three of its PINGs.
fn profiles() -> [(Profile, bool, [[u8; 8]; 3]); 5] {
    let counted = [1_u64, 2, 3].map(u64::to_be_bytes);
    let zeros = [[0; 8]; 3];
    [
        (Profile::chromium(156).expect("known"), false, counted),
        (Profile::firefox_esr(153).expect("known"), true, zeros),
        (Profile::curl(), false, zeros),
        (Profile::go(), false, [H2S; 3]),
        (Profile::rustls(), true, [H2S; 3]),
    ]
}

/// How the peer takes part in the end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Not at all: the pool closes.
    Pool,
    /// It says GOAWAY.
    GoAway,
    /// It breaks the rules.
    Wrong,
}

/// A peer that answers one request, does its part, and tells of all that comes then, up to TLS's close_notify.
fn last_words(end: End) -> (FramePeer, mpsc::UnboundedReceiver<io::Result<Vec<u8>>>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let tell = tell.clone();
        Box::pin(async move {
            wire.settings(&[]).await;
            let Some(stream) = wire.request().await else {
                return;
            };
            wire.answer(stream).await;
            match end {
                End::Pool => {}
                End::GoAway => wire.go_away(stream, 0).await,
                End::Wrong => drop(wire.write(DATA, 0, 0, b"of no stream").await),
            }
            let _ = tell.send(wire.rest().await);
        })
    });
    (peer, heard)
}

fn goaways(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((frame, rest)) = split(bytes) {
        bytes = rest;
        if frame.kind == GOAWAY {
            found.push(frame.payload);
        }
    }
    assert_eq!(bytes, b"", "whole frames");
    found
}

async fn ask(conn: &mut hotpool::HotConn) {
    let fields = [(":authority".to_owned(), "peer.test".to_owned())];
    let fields = [&fields[..], &[(":path".to_owned(), "/".to_owned())]].concat();
    let sent = conn.h2().unwrap().send_request(request(&fields), true).await;
    within("an answer", sent.unwrap().0).await.unwrap();
}

#[tokio::test]
async fn each_says_goodbye_as_its_client_does_and_all_tell_of_an_error() {
    for (profile, says_goodbye, _) in profiles() {
        for end in [End::Pool, End::GoAway, End::Wrong] {
            let what = format!("{}, {end:?}", profile.name());
            let (peer, mut heard) = last_words(end);
            let (pool, at) = pool(profile.clone(), &peer);
            let mut conn = pool.get(at.as_str()).await.unwrap();
            ask(&mut conn).await;
            drop(conn);
            if let End::Pool = end {
                pool.close().await;
            }
            let rest = within("the end", heard.recv()).await.unwrap();
            let rest = rest.unwrap_or_else(|error| panic!("{what}: no close_notify: {error}"));
            let expected = match end {
                End::Wrong => vec![vec![0, 0, 0, 0, 0, 0, 0, 1]],
                _ if says_goodbye => vec![vec![0; 8]],
                _ => vec![],
            };
            assert_eq!(goaways(&rest), expected, "{what}");
            pool.close().await;
        }
    }
}

/// With h2 itself: it sends the next PING once it has taken the answer to the last for its own.
#[tokio::test]
async fn pings_have_the_clients_octets_and_h2_knows_their_answers() {
    for (profile, _, payloads) in profiles() {
        let (tell, mut heard) = mpsc::unbounded_channel();
        let peer = FramePeer::start(move |mut wire: Wire| {
            let tell = tell.clone();
            Box::pin(async move {
                wire.settings(&[]).await;
                while let Some(ping) = wire.read_until(PING).await {
                    tell.send(ping.payload.clone()).unwrap();
                    let _ = wire.write(PING, ACK, 0, &ping.payload).await;
                    let Some(stream) = wire.request().await else {
                        return;
                    };
                    wire.answer(stream).await;
                }
            })
        });
        let (pool, at) = pool(profile.clone(), &peer);
        let mut conn = pool.get(at.as_str()).await.unwrap();
        for payload in payloads {
            conn.doubt();
            let sent = within("a PING", heard.recv()).await.unwrap();
            assert_eq!(sent, payload, "{}", profile.name());
            // Its answer is in when the one to this is.
            ask(&mut conn).await;
        }
        drop(conn);
        pool.close().await;
    }
}

/// What h2 writes and reads, of a connection that is open.
fn opened(profile: &Profile) -> Reshaping {
    let mut shaping = Reshaping::new(profile.h2().unwrap());
    write(&mut shaping, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    shaping
}

fn write(shaping: &mut Reshaping, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    shaping.write(&[bytes], &mut out);
    out
}

#[test]
fn a_goodbye_is_left_out_and_no_other_goaway() {
    for (profile, says_goodbye, _) in profiles().into_iter().take(4) {
        for (payload, is_goodbye) in [
            (&b"\0\0\0\0\0\0\0\0"[..], true),
            (b"\0\0\0\x02\0\0\0\0", true),
            (b"\0\0\0\0\0\0\0\x01", false),
            (b"\0\0\0\0\0\0\0\x0b", false),
            (b"\0\0\0\0\x01\0\0\0", false),
            (b"\0\0\0\0\0\0\0\0why", false),
        ] {
            let bytes = [frame(GOAWAY, 0, 0, payload), frame(PING, ACK, 0, &[7; 8])].concat();
            let left_out = is_goodbye && !says_goodbye;
            let expected = &bytes[if left_out { 9 + payload.len() } else { 0 }..];
            let mut shaping = opened(&profile);
            assert_eq!(write(&mut shaping, &bytes), expected, "{payload:x?}");
            let mut shaping = opened(&profile);
            let cut: Vec<u8> = bytes
                .chunks(1)
                .flat_map(|octet| write(&mut shaping, octet))
                .collect();
            assert_eq!(cut, expected, "{payload:x?}");
        }
    }
}

#[test]
fn what_answers_a_ping_is_h2s_to_h2_however_it_is_cut_and_nothing_else_is() {
    let h2s = frame(PING, 0, 0, &H2S);
    let taken = frame(PING, ACK, 0, &H2S);
    for (profile, _, payloads) in profiles().into_iter().take(3) {
        let mut shaping = opened(&profile);
        // Nothing was asked for: it is an answer to nothing, and h2 has asked for nothing.
        assert_eq!(shaping.read(&taken), taken);
        for payload in payloads {
            // A PING of the server's, its answer, and one that h2 itself would not send, are nobody's but theirs.
            for flags in [0, ACK] {
                let theirs = frame(PING, flags, 0, &H2S);
                if flags == ACK {
                    assert_eq!(write(&mut shaping, &theirs), theirs);
                } else {
                    assert_eq!(shaping.read(&theirs), theirs);
                }
            }
            assert_eq!(
                write(&mut shaping, &frame(PING, 0, 0, &[9; 8])),
                frame(PING, 0, 0, &[9; 8])
            );
            assert_eq!(write(&mut shaping, &h2s), frame(PING, 0, 0, &payload));
            let answer = frame(PING, ACK, 0, &payload);
            // With what stands around it; and all of it twice.
            let around = frame(DATA, 0, 1, &payload);
            let all = [&around[..], &answer, &around, &answer].concat();
            let expected = [&around[..], &taken, &around, &taken].concat();
            for cut in 0..=all.len() {
                let (first, rest) = all.split_at(cut);
                let read = [shaping.read(first), shaping.read(rest)].concat();
                assert_eq!(read, expected, "{}, cut at {cut}", profile.name());
            }
            // Wrong ones: h2's own, that of a later one, others that differ in one bit.
            let mut wrong = vec![H2S, 9_u64.to_be_bytes(), [0xff; 8]];
            wrong.extend((0..8).map(|place| {
                let mut other = payload;
                other[place] ^= 0x10;
                other
            }));
            for wrong in wrong {
                let read = shaping.read(&frame(PING, ACK, 0, &wrong));
                assert_ne!(read, taken, "{wrong:x?}");
                assert_eq!(read.len(), taken.len());
            }
            // One of another length than there is: no octet behind it is touched.
            for length in [0, 7, 12] {
                let odd = [frame(PING, ACK, 0, &vec![0; length]), around.clone()].concat();
                assert!(shaping.read(&odd).ends_with(&around));
            }
        }
    }
    let plain = Profile::curl().h2().unwrap().clone().with_ping(PingForm::H2);
    let mut shaping = opened(&Profile::curl().with_h2(plain));
    assert_eq!(write(&mut shaping, &h2s), h2s);
    assert_eq!(shaping.read(&taken), taken);
}
