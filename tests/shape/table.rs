//! How a profile answers what a server says of the size of its table of fields (SETTINGS_HEADER_TABLE_SIZE), beside what its client was captured to answer, and as a decoder takes it that
//! goes by the size which it allowed.
//!
//! A capture has a line for each SETTINGS that the client acknowledged, with the size that they had, and one for each block of a request, in their order.

use std::path::Path;

use hotpool::Reshaping;
use hotpool::fingerprint::Profile;
use httlib_hpack::Decoder;
use tokio::sync::mpsc;

use crate::h2::{PREFACE, block, decode, pool, request, within};
use crate::support::frames::{ACK, END_STREAM, FramePeer, HEADERS, SETTINGS, Wire, frame};

/// SETTINGS_HEADER_TABLE_SIZE.
const TABLE_SIZE: u16 = 1;
/// The size of a table of which nothing was said.
const TABLE: u32 = 4_096;

#[derive(Clone, Debug)]
enum Line {
    /// SETTINGS with this size, and their acknowledgement.
    Says(u32),
    /// A request's block.
    Asks(Vec<u8>),
}

fn captured(name: &str) -> Vec<Line> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h2");
    let text = std::fs::read_to_string(place.join(format!("{name}.table.txt"))).unwrap();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let line = |line: &str| match line.split_once(' ').unwrap() {
        ("says", size) => Line::Says(size.parse().unwrap()),
        ("asks", block) => Line::Asks(block.as_bytes().chunks(2).map(octet).collect()),
        _ => panic!("{line}"),
    };
    text.lines().map(line).collect()
}

/// The updates at the beginning of a block (RFC 7541 section 6.3).
fn updates(block: &[u8]) -> &[u8] {
    let mut rest = block;
    while let [0x20..0x40, behind @ ..] = rest {
        let long = rest[0] == 0x3f;
        let more = behind.iter().take_while(|octet| long && **octet >= 0x80).count();
        rest = &behind[more + usize::from(long)..];
    }
    &block[..block.len() - rest.len()]
}

/// The fields of a block. The decoder cannot read the update to 4 GiB: it is given one to more than there is in any of these tables.
fn fields_of(decoder: &mut Decoder<'_>, block: &[u8]) -> Vec<(String, String)> {
    match block.strip_prefix(b"\x3f\xe0\xff\xff\xff\x0f") {
        Some(fields) => decode(decoder, &[b"\x3f\xe1\xff\x03", fields].concat()).unwrap(),
        None => decode(decoder, block).unwrap(),
    }
}

/// A peer that says what stands in the lines, and tells of every block; of none once it has said what stands ahead of the first.
fn sayer(lines: Vec<Line>) -> (FramePeer, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let (tell, lines) = (tell.clone(), lines.clone());
        Box::pin(async move {
            let mut asks = None;
            for line in lines.into_iter().map(Some).chain([None]) {
                if let Some(Line::Says(size)) = line {
                    wire.settings(&[(TABLE_SIZE, size)]).await;
                    while wire
                        .read_until(SETTINGS)
                        .await
                        .is_some_and(|frame| frame.flags & ACK == 0)
                    {
                        let _ = wire.write(SETTINGS, ACK, 0, &[]).await;
                    }
                    continue;
                }
                match asks.take() {
                    Some(stream) => wire.answer(stream).await,
                    None => tell.send(Vec::new()).unwrap(),
                }
                if line.is_some()
                    && let Some(frame) = wire.read_until(HEADERS).await
                {
                    tell.send(block(&frame).0.to_vec()).unwrap();
                    asks = Some(frame.stream);
                }
            }
            wire.serve().await;
        })
    });
    (peer, heard)
}

/// What Firefox names by its oldest place in the table, and h2 by that in the static table.
const FIREFOXS_ACCEPT: &[u8] = b"\x7f\x08\x83\xf9\x63\xe7";
const OUR_ACCEPT: &[u8] = b"\x53\x83\xf9\x63\xe7";

/// The block as ours has it, if that is otherwise said in the limits.
fn as_ours(block: &[u8], limits: &str) -> Vec<u8> {
    let place = block
        .windows(FIREFOXS_ACCEPT.len())
        .position(|octets| octets == FIREFOXS_ACCEPT);
    match place {
        Some(place) if limits.contains("its oldest place") => [
            &block[..place],
            OUR_ACCEPT,
            &block[place + FIREFOXS_ACCEPT.len()..],
        ]
        .concat(),
        _ => block.to_vec(),
    }
}

#[tokio::test]
async fn every_size_is_answered_as_the_client_was_captured_to() {
    for (profile, name) in [
        (Profile::chromium(156).expect("known"), "chromium-156"),
        (Profile::firefox_esr(153).expect("known"), "firefox-153esr"),
        (Profile::curl(), "curl-7.88"),
        (Profile::go(), "go-1.19"),
    ] {
        let mut lines = captured(name);
        let limits = profile.limits().join("\n");
        if name == "go-1.19" {
            // From there on it goes by a table that its server no longer has.
            assert!(limits.contains("SETTINGS_HEADER_TABLE_SIZE"));
            let smaller = lines.iter().position(|line| matches!(line, Line::Says(0)));
            lines.truncate(smaller.unwrap());
        }
        let (peer, mut heard) = sayer(lines.clone());
        let (pool, at) = pool(profile, &peer);
        let mut conn = pool.get(at.as_str()).await.unwrap();
        within("its SETTINGS", heard.recv()).await.unwrap();
        let [mut theirs, mut ours] = [TABLE; 2].map(Decoder::with_dynamic_size);
        let mut allowed = TABLE;
        for line in lines {
            let captured = match line {
                Line::Says(size) => {
                    allowed = size;
                    continue;
                }
                Line::Asks(block) => block,
            };
            theirs.set_max_dynamic_size(allowed);
            ours.set_max_dynamic_size(allowed);
            let fields = fields_of(&mut theirs, &captured);
            let sent = conn.h2().unwrap().send_request(request(&fields), true).await;
            within("an answer", sent.unwrap().0).await.unwrap();
            let sent = heard.recv().await.unwrap();
            assert_eq!(fields_of(&mut ours, &sent), fields, "{name}");
            let said = format!("{name}, {allowed}:\n{sent:02x?}\n{captured:02x?}");
            assert_eq!(updates(&sent), updates(&captured), "{said}");
            match name {
                // It has its path remembered, and ours not.
                "go-1.19" => {}
                "chromium-156" | "firefox-153esr" if allowed < TABLE => {
                    assert!(limits.contains("SETTINGS_HEADER_TABLE_SIZE"), "{name}");
                }
                _ => assert_eq!(sent, as_ours(&captured, &limits), "{said}"),
            }
        }
        drop(conn);
        pool.close().await;
    }
}

/// Trailers are a block like any other.
#[tokio::test]
async fn trailers_say_the_size_where_they_come_first() {
    let (tell, mut heard) = mpsc::unbounded_channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let tell = tell.clone();
        Box::pin(async move {
            let mut acknowledged = 0;
            while let Some(frame) = wire.read().await {
                match frame.kind {
                    SETTINGS if frame.flags & ACK != 0 => acknowledged += 1,
                    SETTINGS => drop(wire.write(SETTINGS, ACK, 0, &[]).await),
                    HEADERS => {
                        if frame.flags & END_STREAM == 0 {
                            wire.settings(&[(TABLE_SIZE, 0)]).await;
                            wire.settings(&[(TABLE_SIZE, 65_536)]).await;
                        } else {
                            wire.answer(frame.stream).await;
                        }
                        tell.send(Some(block(&frame).0.to_vec())).unwrap();
                    }
                    _ => {}
                }
                if acknowledged == 2 {
                    acknowledged = 0;
                    tell.send(None).unwrap();
                }
            }
        })
    });
    let chromium = Profile::chromium(156).expect("known");
    let (pool, at) = pool(chromium, &peer);
    let mut conn = pool.get(at.as_str()).await.unwrap();
    let mut decoder = Decoder::with_dynamic_size(TABLE);
    let asks = |fields: &[(&str, &str)]| {
        let fields: Vec<(String, String)> = [(":authority", "peer.test"), (":path", "/")]
            .iter()
            .chain(fields)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        request(&fields)
    };
    let mut next = async || within("a block", heard.recv()).await.unwrap();

    let (answer, mut body) = conn.h2().unwrap().send_request(asks(&[]), false).await.unwrap();
    decode(&mut decoder, &next().await.unwrap()).unwrap();
    assert_eq!(next().await, None, "two acknowledgements");
    let trailer = ("x-trailer", "of some length");
    let mut trailers = http::HeaderMap::new();
    trailers.insert(trailer.0, trailer.1.parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let sent = next().await.unwrap();
    assert_eq!(updates(&sent), b"\x20\x3f\xe1\xff\x03", "{sent:02x?}");
    decoder.set_max_dynamic_size(65_536);
    let both = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    assert_eq!(decode(&mut decoder, &sent).unwrap(), [both(trailer)]);
    within("an answer", answer).await.unwrap();

    let sent = conn.h2().unwrap().send_request(asks(&[trailer]), true).await;
    within("an answer", sent.unwrap().0).await.unwrap();
    let sent = next().await.unwrap();
    assert_eq!(updates(&sent), b"", "{sent:02x?}");
    let fields = decode(&mut decoder, &sent).unwrap();
    assert_eq!(fields.last(), Some(&both(trailer)));
    assert!(
        sent.ends_with(b"\xbf"),
        "the trailer is at its place behind the authority: {sent:02x?}"
    );
    drop(conn);
    pool.close().await;
}

/// Whatever was read before: what h2 writes ahead of its acknowledgement goes by the size before that.
#[test]
fn a_size_holds_once_it_is_acknowledged_and_of_two_the_last() {
    let chromium = Profile::chromium(156).expect("known");
    let mut shaping = Reshaping::new(chromium.h2().unwrap());
    let write = |shaping: &mut Reshaping, bytes: &[u8]| {
        let mut out = Vec::new();
        shaping.write(&[bytes], &mut out);
        out
    };
    write(&mut shaping, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    let settings = |sizes: &[u32]| {
        let entries = sizes
            .iter()
            .map(|size| [&[0, 1][..], &size.to_be_bytes()].concat());
        frame(SETTINGS, 0, 0, &entries.collect::<Vec<_>>().concat())
    };
    let asks = |stream, update: &[u8]| {
        let block = [update, b"\x82\x41\x01a\x87\x84"].concat();
        let priority = [0x80, 0, 0, 0, 255];
        frame(HEADERS, 0x25, stream, &[&priority[..], &block].concat())
    };
    let h2s = |stream| frame(HEADERS, 5, stream, b"\x82\x87\x41\x01a\x84");
    let acknowledges = frame(SETTINGS, ACK, 0, &[]);

    shaping.read(
        &[
            frame(SETTINGS, 0, 0, &[]),
            settings(&[65_536]),
            settings(&[0, 8_192]),
        ]
        .concat(),
    );
    assert_eq!(write(&mut shaping, &h2s(1)), asks(1, b""));
    assert_eq!(write(&mut shaping, &acknowledges), acknowledges);
    assert_eq!(write(&mut shaping, &h2s(3)), asks(3, b""));
    let both = [&acknowledges[..], &h2s(5)].concat();
    assert_eq!(
        write(&mut shaping, &both),
        [&acknowledges[..], &asks(5, b"\x3f\xe1\xff\x03")].concat()
    );
    assert_eq!(write(&mut shaping, &both[..9]), acknowledges);
    assert_eq!(write(&mut shaping, &h2s(7)), asks(7, b"\x3f\xe1\x3f"));
    assert_eq!(write(&mut shaping, &h2s(9)), asks(9, b""));
}
