//! Whatever passes on an HTTP/2 connection, in either direction: it is read as a plain reader of the whole reads it, and what the pool is told of it is the
//! same however the bytes come in pieces. What is remembered grows with the streams that were opened, and with nothing that a peer says.
#![no_main]

use std::mem::size_of;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use hotpool::{CloseReason, Passed, Passing, RetrySafety};
use libfuzzer_sys::fuzz_target;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// What happens to a connection.
enum Event {
    Opened(u32),
    CameHome(u32),
    Sent(Vec<u8>),
    Received(Vec<u8>),
    /// The driver asks what there is to tell.
    Told,
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let events = any_events(bytes)?;
    let whole = replay(&events, |part| Ok(vec![part]))?;
    let pieces = replay(&events, |part| pieces(bytes, part))?;
    let octets = replay(&events, |part| Ok(part.chunks(1).collect()))?;
    assert_eq!(whole, pieces);
    assert_eq!(whole, octets);
    let all =
        |wanted: fn(&Event) -> Option<&[u8]>| events.iter().filter_map(wanted).collect::<Vec<_>>().concat();
    let received = all(|event| match event {
        Event::Received(part) => Some(part),
        _ => None,
    });
    assert_eq!(whole.received, read(&received));
    let sent = all(|event| match event {
        Event::Sent(part) => Some(part),
        _ => None,
    });
    assert_eq!(whole.sent, read(sent.get(PREFACE.len()..).unwrap_or_default()));
    check_goaway(&whole);
    Ok(())
}

/// All that is known of a connection.
#[derive(Debug, PartialEq)]
struct Known {
    sent: Vec<Passed>,
    received: Vec<Passed>,
    told: Vec<String>,
    loose: Vec<u32>,
    look: std::result::Result<(), CloseReason>,
    streams: Vec<(u32, RetrySafety, bool)>,
}

fn replay<'a>(events: &'a [Event], mut cut: impl FnMut(&'a [u8]) -> Result<Vec<&'a [u8]>>) -> Result<Known> {
    let mut passing = Passing::new();
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    let (mut told, mut loose, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (second, event) in (0..).zip(events) {
        let at = Duration::from_secs(second);
        match event {
            Event::Opened(id) => {
                passing.open(at, *id);
                ids.push(*id);
            }
            Event::CameHome(id) => loose.push(passing.come_home(*id)),
            Event::Sent(part) => {
                for piece in cut(part)? {
                    passing.sent(at, piece, |passed| sent.push(passed));
                }
            }
            Event::Received(part) => {
                let before = passing.remembered();
                for piece in cut(part)? {
                    passing.received(at, piece, |passed| received.push(passed));
                }
                assert!(passing.remembered() <= before, "a peer's bytes make streams");
            }
            Event::Told => told.extend(passing.news()),
        }
    }
    let opened = |passed: &&Passed| matches!(passed, Passed::Frame { kind: HEADERS, .. });
    assert!(passing.remembered() <= ids.len() + sent.iter().filter(opened).count());
    assert!(size_of::<Passing>() <= 512, "the readers keep no payload");
    told.extend(passing.news());
    ids.sort_unstable();
    let stream = |id| {
        let (safety, open) = passing.stream(id);
        (id, safety, open)
    };
    Ok(Known {
        look: passing.look(),
        streams: ids.into_iter().map(stream).collect(),
        sent,
        received,
        told,
        loose,
    })
}

/// A peer that goes away is believed: nothing new is opened, and nothing above the lowest stream that it named is waited for.
fn check_goaway(known: &Known) {
    let last = known.received.iter().filter_map(|passed| match passed {
        Passed::Frame { goaway, .. } => goaway.map(|(last, _)| last),
        Passed::Setting(..) => None,
    });
    let Some(last) = last.min() else {
        assert_eq!(known.look, Ok(()));
        return;
    };
    assert_eq!(known.look, Err(CloseReason::GoAway));
    assert_eq!(known.told.iter().filter(|told| *told == "GoAway").count(), 1);
    for (id, _, open) in &known.streams {
        assert!(*id <= last || !open, "stream {id} is open above {last}");
    }
}

/// The plainest reader, of everything at once.
fn read(mut bytes: &[u8]) -> Vec<Passed> {
    let mut all = Vec::new();
    while let [l2, l1, l0, kind, flags, i3, i2, i1, i0, rest @ ..] = bytes {
        let len = usize::from(*l2) << 16 | usize::from(*l1) << 8 | usize::from(*l0);
        let payload = &rest[..len.min(rest.len())];
        if *kind == SETTINGS && flags & 1 == 0 {
            all.extend(payload.chunks_exact(6).map(|entry| {
                let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
                Passed::Setting(u16::from_be_bytes([entry[0], entry[1]]), value)
            }));
        }
        if payload.len() < len {
            break;
        }
        let word = |at: usize| {
            let octet = |at| payload.get(at).copied().unwrap_or(0);
            u32::from_be_bytes([octet(at), octet(at + 1), octet(at + 2), octet(at + 3)])
        };
        let id = |word: u32| word & 0x7fff_ffff;
        all.push(Passed::Frame {
            kind: *kind,
            flags: *flags,
            stream: id(u32::from_be_bytes([*i3, *i2, *i1, *i0])),
            goaway: (*kind == GOAWAY).then(|| (id(word(0)), word(4))),
            reset: (*kind == RST_STREAM).then(|| word(0)),
            ends: *kind <= HEADERS && flags & 1 != 0,
        });
        bytes = &rest[len..];
    }
    all
}

fn any_events(bytes: &mut Unstructured<'_>) -> Result<Vec<Event>> {
    let mut events = vec![Event::Sent(match bytes.ratio(7u8, 8u8)? {
        true => PREFACE.to_vec(),
        false => bytes.bytes(bytes.len().min(30))?.to_vec(),
    })];
    for _ in 0..bytes.int_in_range(0..=24)? {
        let id = u32::from(bytes.int_in_range(0..=9u8)?) * 2 + 1;
        events.push(match bytes.int_in_range(0..=7u8)? {
            0 => Event::Opened(id),
            1 => Event::CameHome(id),
            2 => Event::Told,
            3 | 4 => Event::Sent(any_frames(bytes)?),
            _ => Event::Received(any_frames(bytes)?),
        });
    }
    Ok(events)
}

/// Frames, most of them whole.
fn any_frames(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut frames = Vec::new();
    for _ in 0..bytes.int_in_range(1..=5)? {
        let kind = *bytes.choose(&[
            0, HEADERS, HEADERS, RST_STREAM, SETTINGS, SETTINGS, 6, GOAWAY, 8, 9, 0xfa,
        ])?;
        let flags: u8 = *bytes.choose(&[0, 0, 1, 4, 5, 0xff])?;
        let stream = match bytes.ratio(7u8, 8u8)? {
            true => u32::from(bytes.int_in_range(0..=20u8)?),
            false => bytes.arbitrary()?,
        };
        let count = bytes.int_in_range(0..=bytes.len().min(30))?;
        let payload = bytes.bytes(count)?;
        // Now and then a length that is not the payload's: everything behind it is read as something else.
        let len = match bytes.ratio(15u8, 16u8)? {
            true => payload.len() as u32,
            false => bytes.int_in_range(0..=400)?,
        };
        frames.extend(&len.to_be_bytes()[1..]);
        frames.extend([kind, flags]);
        frames.extend(stream.to_be_bytes());
        frames.extend(payload);
    }
    Ok(frames)
}

/// Cuts `whole` where the bytes say.
fn pieces<'a>(bytes: &mut Unstructured<'_>, whole: &'a [u8]) -> Result<Vec<&'a [u8]>> {
    let mut pieces = Vec::new();
    let mut rest = whole;
    while !rest.is_empty() && pieces.len() < 12 {
        let (piece, after) = rest.split_at(bytes.int_in_range(0..=rest.len().min(40))?);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    Ok(pieces)
}
