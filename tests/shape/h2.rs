//! How a profile opens HTTP/2, on bytes that a server of TLS has decrypted, and what its connection then keeps.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use hotpool::fingerprint::{Akamai, H2Spec, Profile, Pseudo};
use hotpool::{HotConnPool, StaticResolver};
use httlib_hpack::Decoder;
use tokio::sync::mpsc;

use crate::support::certs;
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, FramePeer, GOAWAY, HEADERS, OK, SETTINGS,
    WINDOW_UPDATE, Wire, frame,
};
use crate::support::peer::DEADLINE;
use crate::world::BROWSERS;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PRIORITY: u8 = 0x20;

/// Fails the test, naming `what`, if it takes longer than anything here may.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let answer = tokio::time::timeout(DEADLINE, future).await;
    answer.unwrap_or_else(|_| panic!("{what} took longer than {DEADLINE:?}"))
}

pub(crate) fn pool(profile: Profile, peer: &FramePeer) -> (HotConnPool, String) {
    pool_at(profile, peer.port(), [peer.ip()])
}

/// A pool of the profile, and by which name it finds these addresses.
pub(crate) fn pool_at(
    profile: Profile,
    port: u16,
    ips: impl IntoIterator<Item = IpAddr>,
) -> (HotConnPool, String) {
    let name = format!("peer.test:{port}");
    let resolver = StaticResolver::new().with(&*name, ips).unwrap();
    let builder = HotConnPool::builder()
        .roots(certs::authority().roots())
        .profile(profile)
        .resolver(resolver);
    (builder.build().unwrap(), name)
}

/// A request with the profile's own headers.
pub(crate) fn asking_as(profile: &Profile, name: &str) -> http::Request<()> {
    let request = http::Request::get(format!("https://{name}/"));
    let fields = profile.headers().http2();
    let request = fields.fold(request, |request, (field, value)| request.header(field, value));
    request.body(()).unwrap()
}

/// What a client sent, as it was captured: the frames behind the preface.
fn captured(name: &str) -> Vec<Frame> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h2");
    let bytes = std::fs::read(place.join(format!("{name}.h2.bin"))).unwrap();
    let mut rest = bytes.strip_prefix(PREFACE).unwrap();
    let mut frames = Vec::new();
    while let Some((frame, behind)) = split(rest) {
        frames.push(frame);
        rest = behind;
    }
    assert_eq!(rest, b"");
    frames
}

/// The first frame of `bytes`, if it is whole, and what is behind it.
pub(crate) fn split(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (head, rest) = bytes.split_at_checked(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let (payload, rest) = rest.split_at_checked(length)?;
    let frame = Frame {
        kind: head[3],
        flags: head[4],
        stream: word(&head[5..]),
        payload: payload.to_vec(),
    };
    Some((frame, rest))
}

/// A request of these fields, in their order.
pub(crate) fn request(fields: &[(String, String)]) -> http::Request<()> {
    let (mut authority, mut path, mut request) = ("", "", http::Request::get("/"));
    for (name, value) in fields {
        match name.as_str() {
            ":authority" => authority = value,
            ":path" => path = value,
            name if name.starts_with(':') => {}
            _ => request = request.header(name, value),
        }
    }
    request
        .uri(format!("https://{authority}{path}"))
        .body(())
        .unwrap()
}

fn word(bytes: &[u8]) -> u32 {
    bytes[..4]
        .iter()
        .fold(0, |word, &byte| word << 8 | u32::from(byte))
}

/// The part of HEADERS that is the block, and its priority in the captures' words.
pub(crate) fn block(frame: &Frame) -> (&[u8], String) {
    if frame.flags & PRIORITY == 0 {
        return (&frame.payload, String::new());
    }
    let depends = word(&frame.payload);
    let (exclusive, depends) = (depends >> 31, depends & 0x7fff_ffff);
    let weight = u16::from(frame.payload[4]) + 1;
    let text = format!("PRIO excl={exclusive} dep={depends} weight={weight}");
    (&frame.payload[5..], text)
}

/// A decoder of a table as large as h2's.
pub(crate) fn decoder() -> Decoder<'static> {
    Decoder::with_dynamic_size(4096)
}

/// The fields of a block, in their order.
pub(crate) fn decode(decoder: &mut Decoder<'_>, block: &[u8]) -> Result<Vec<(String, String)>, String> {
    let fields = decode_marked(decoder, block)?;
    Ok(fields.into_iter().map(|(name, value, _)| (name, value)).collect())
}

/// The same, each with whether nobody may index it (RFC 7541 section 6.2.3).
pub(crate) fn decode_marked(
    decoder: &mut Decoder<'_>,
    block: &[u8],
) -> Result<Vec<(String, String, bool)>, String> {
    let mut fields = Vec::new();
    let decoded = decoder.decode(&mut block.to_vec(), &mut fields);
    decoded.map_err(|error| format!("{error:?}"))?;
    let text = |bytes| String::from_utf8(bytes).map_err(|error| error.to_string());
    let fields = fields
        .into_iter()
        .map(|(name, value, marks)| Ok((text(name)?, text(value)?, marks & Decoder::NEVER_INDEXED != 0)));
    fields.collect()
}

/// A frame in the captures' words.
fn told(frame: &Frame) -> Vec<String> {
    let Frame {
        kind,
        flags,
        stream,
        payload,
    } = frame;
    let name = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"].get(usize::from(*kind));
    let name = if *kind == WINDOW_UPDATE {
        "WINDOW_UPDATE"
    } else {
        name.unwrap()
    };
    let mut lines = vec![format!(
        "{name} flags={flags:#04x} stream={stream} len={} ",
        payload.len()
    )];
    match *kind {
        SETTINGS if flags & ACK == 0 => {
            let entries = payload
                .chunks(6)
                .map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), word(&entry[2..])));
            write!(lines[0], "{:?}", entries.collect::<Vec<_>>()).unwrap();
        }
        WINDOW_UPDATE => write!(lines[0], "inc={}", word(payload)).unwrap(),
        HEADERS => {
            let (block, priority) = block(frame);
            write!(lines[0], "{priority}").unwrap();
            let fields = decode(&mut decoder(), block).unwrap();
            lines.extend(
                fields
                    .iter()
                    .map(|(name, value)| format!("      {name}: {value}")),
            );
        }
        _ => {}
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Bytes as they were, of frames as they were read.
fn bytes(frames: &[Frame]) -> Vec<u8> {
    let frames = frames
        .iter()
        .map(|read| frame(read.kind, read.flags, read.stream, &read.payload));
    frames.fold(PREFACE.to_vec(), |bytes, frame| [bytes, frame].concat())
}

/// A peer that tells of all frames that it reads up to the answer. It says its SETTINGS at once, or when the request is there.
fn teller(at_once: bool) -> (FramePeer, mpsc::UnboundedReceiver<Frame>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let tell = tell.clone();
        Box::pin(async move {
            if at_once {
                wire.settings(&[]).await;
            }
            while let Some(frame) = wire.read().await {
                match frame.kind {
                    SETTINGS if frame.flags & ACK == 0 => {
                        let _ = wire.write(SETTINGS, ACK, 0, &[]).await;
                    }
                    HEADERS => {
                        if !at_once {
                            wire.settings(&[]).await;
                        }
                        wire.answer(frame.stream).await;
                    }
                    _ => {}
                }
                let _ = tell.send(frame);
            }
        })
    });
    (peer, heard)
}

/// All of it, from the preface to the frame behind the request, for the request that was captured.
#[tokio::test]
async fn the_first_flight_is_the_captured_one_octet_for_octet() {
    for (profile, name) in [
        (Profile::chromium(156).expect("known"), "chromium-156"),
        (Profile::firefox_esr(153).expect("known"), "firefox-153esr"),
        (Profile::curl(), "curl-7.88"),
        (Profile::go(), "go-1.19"),
    ] {
        let captured = captured(name);
        let asks = captured.iter().position(|frame| frame.kind == HEADERS).unwrap();
        // Firefox had the server's SETTINGS before it sent its request, the others had not.
        let waits = captured[1..asks].iter().any(|frame| frame.kind == SETTINGS);
        let fields = decode(&mut decoder(), block(&captured[asks]).0).unwrap();
        let (peer, mut heard) = teller(waits);
        let akamai = profile.h2().unwrap().akamai().to_string();
        let (pool, at) = pool(profile.clone(), &peer);
        let mut frames = Vec::new();
        let mut next = async || within("a frame", heard.recv()).await.unwrap();
        let mut conn = pool.get(at.as_str()).await.unwrap();
        while waits && frames.last().is_none_or(|frame: &Frame| frame.flags & ACK == 0) {
            frames.push(next().await);
        }
        let asked = conn.h2().unwrap().send_request(request(&fields), true).await;
        // Behind the request there is always a frame: here the acknowledgement, if nothing else.
        while frames.len() < captured.len() {
            frames.push(next().await);
        }
        for (frame, captured) in frames.iter().zip(&captured) {
            assert_eq!(told(frame), told(captured), "{name}");
        }
        let (sent, captured) = (bytes(&frames), bytes(&captured));
        assert!(sent == captured, "{name}:\n{sent:02x?}\n{captured:02x?}");

        assert_eq!(Akamai::of_bytes(&sent).unwrap().to_string(), akamai);
        let spec = H2Spec::from_preface(&sent).unwrap().spec;
        let h2 = profile.h2().unwrap();
        let spec = spec
            .with_never_indexed(h2.never_indexed())
            .with_table_limit(h2.table_limit())
            .with_every_table_size(h2.every_table_size())
            .with_goodbye(h2.goodbye())
            .with_ping(h2.ping());
        assert_eq!(&spec, h2);
        assert_eq!(within("an answer", asked.unwrap().0).await.unwrap().status(), 200);
        let told = conn.info().h2.clone().unwrap();
        assert_eq!(told.akamai().unwrap().to_string(), akamai);
        assert_eq!(told.unshaped_requests(), 0);
        drop(conn);
        pool.close().await;
    }
}

#[tokio::test]
async fn what_is_told_of_a_connection_without_a_request_has_no_order() {
    let (peer, _heard) = teller(true);
    let (shaped, name) = pool(Profile::firefox_esr(153).expect("known"), &peer);
    let conn = shaped.get(name.as_str()).await.unwrap();
    let akamai = conn.info().h2.as_ref().unwrap().akamai().unwrap().to_string();
    assert_eq!(akamai, "1:65536;2:0;4:131072;5:16384|12517377|0|");
    drop(conn);
    shaped.close().await;
    let (stock, name) = pool(Profile::rustls(), &peer);
    let conn = stock.get(name.as_str()).await.unwrap();
    assert!(conn.info().h2.is_none());
    drop(conn);
    stock.close().await;
}

/// Sends one GET and answers its response.
async fn get(pool: &HotConnPool, name: &str, uri: &str) -> Result<http::Response<h2::RecvStream>, h2::Error> {
    let mut conn = pool.get(name).await.unwrap();
    let request = http::Request::get(uri).body(()).unwrap();
    let sent = conn.h2().unwrap().send_request(request, true).await.unwrap();
    within("an answer", sent.0).await
}

/// A body that a stream's window has room for comes without any update more, and nobody has read any of it yet.
#[tokio::test]
async fn a_window_full_of_body_comes_unread() {
    const PIECE: usize = 16_384;
    for browser in BROWSERS {
        let spec = browser.profile().h2().unwrap().clone();
        let initial = spec.settings().iter().find(|(id, _)| *id == 4).unwrap().1;
        let window = (initial + spec.stream_window_update()) as usize;
        let size = window.min(10 << 20);
        let peer = FramePeer::start(move |mut wire: Wire| {
            Box::pin(async move {
                wire.settings(&[]).await;
                let stream = wire.request().await.unwrap();
                wire.begin_answer(stream).await;
                for _ in 0..size / PIECE {
                    let _ = wire.write(DATA, 0, stream, &[7; PIECE]).await;
                }
                let _ = wire.write(DATA, END_STREAM, stream, &vec![7; size % PIECE]).await;
                while wire.next().await.is_some() {}
            })
        });
        let (pool, name) = pool(browser.profile(), &peer);
        let mut body = get(&pool, &name, "https://peer.test/").await.unwrap().into_body();
        let mut read = 0;
        // What is read is not given back: all of it fits the window.
        while let Some(piece) = within("a piece", body.data()).await {
            read += piece.unwrap().len();
        }
        assert_eq!(read, size, "{browser:?}");
        drop(body);
        pool.close().await;
    }
}

/// An answer whose list of headers is about this long, as HEADERS and CONTINUATION.
fn long_answer(stream: u32, length: usize) -> Vec<u8> {
    let mut block = OK.to_vec();
    for _ in 0..length / 1_000 {
        // A literal that nobody remembers: "x", and 967 octets of value. The list counts 32 more for each.
        block.extend(b"\x00\x01x\x7f\xc8\x06");
        block.extend([b'v'; 967]);
    }
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    let mut bytes = Vec::new();
    for (nth, piece) in pieces.iter().enumerate() {
        let end = if nth + 1 == pieces.len() { END_HEADERS } else { 0 };
        let (kind, ends) = if nth == 0 {
            (HEADERS, END_STREAM)
        } else {
            (CONTINUATION, 0)
        };
        bytes.extend(frame(kind, end | ends, stream, piece));
    }
    bytes
}

#[tokio::test]
async fn header_lists_are_taken_as_far_as_the_profile_advertises() {
    for browser in BROWSERS {
        for (length, taken) in [(200_000, true), (300_000, false)] {
            let peer = FramePeer::start(move |mut wire: Wire| {
                Box::pin(async move {
                    wire.settings(&[]).await;
                    let stream = wire.request().await.unwrap();
                    let _ = wire.send(&long_answer(stream, length)).await;
                    while wire.next().await.is_some() {}
                })
            });
            let (pool, name) = pool(browser.profile(), &peer);
            let answer = get(&pool, &name, "https://peer.test/").await;
            assert_eq!(answer.is_ok(), taken, "{browser:?}, {length}: {answer:?}");
            pool.close().await;
        }
    }
}

/// A request's flags and fields.
type Told = (u8, Vec<(String, String)>);

/// A peer that tells of each request its flags and its fields, as a decoder of one table for all of them reads them.
fn reader() -> (FramePeer, mpsc::UnboundedReceiver<Told>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let tell = tell.clone();
        Box::pin(async move {
            wire.settings(&[]).await;
            let mut decoder = decoder();
            while let Some(frame) = wire.next().await {
                if frame.kind == HEADERS {
                    let fields = decode(&mut decoder, block(&frame).0).unwrap();
                    let _ = tell.send((frame.flags, fields));
                    wire.answer(frame.stream).await;
                }
            }
        })
    });
    (peer, heard)
}

/// h2 has its peer remember a scheme that it does not know, so that it cannot be moved.
#[tokio::test]
async fn a_request_that_cannot_be_moved_goes_as_it_is_and_is_counted() {
    let (peer, mut heard) = reader();
    let (pool, name) = pool(Profile::firefox_esr(153).expect("known"), &peer);
    for (uri, order, unshaped) in [
        ("https://a.test/", ":method :path :authority :scheme", 0),
        ("odd://a.test/", ":method :scheme :authority :path", 1),
        ("odd://a.test/", ":method :scheme :authority :path", 2),
        ("odd://a.test/b", ":method :scheme :authority :path", 3),
        ("https://b.test/", ":method :path :authority :scheme", 3),
    ] {
        let mut conn = pool.get(name.as_str()).await.unwrap();
        let request = http::Request::get(uri).body(()).unwrap();
        let sent = conn.h2().unwrap().send_request(request, true).await.unwrap();
        within("an answer", sent.0).await.unwrap();
        let (flags, fields) = within("a request", heard.recv()).await.unwrap();
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(" "), order, "{uri}");
        assert_eq!(flags, 0x25, "{uri}: its priority is there all the same");
        assert_eq!(
            conn.info().h2.as_ref().unwrap().unshaped_requests(),
            unshaped,
            "{uri}"
        );
    }
    pool.close().await;
}

/// Go has `:authority` first. Methods that the table does not have from the beginning are remembered, and come first: another decoder, which keeps a table of its
/// own, reads every request as it was meant.
#[tokio::test]
async fn gos_authority_comes_first_as_far_as_the_table_lets_it() {
    let (peer, mut heard) = reader();
    let (pool, name) = pool(Profile::go(), &peer);
    let methods = ["GET", "PUT", "POST", "DELETE", "PUT", "GET", "PATCH", "POST"];
    let mut unshaped = 0;
    for nth in 0..120 {
        // Their periods differ, so that each meets the other remembered and not.
        let (method, host) = (methods[nth % methods.len()], format!("host-{}.test", nth % 11));
        let mut conn = pool.get(name.as_str()).await.unwrap();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://{host}/{nth}"))
            .header("x-nth", nth.to_string())
            .body(());
        let sent = conn
            .h2()
            .unwrap()
            .send_request(request.unwrap(), true)
            .await
            .unwrap();
        within("an answer", sent.0).await.unwrap();
        let (_, seen) = within("a request", heard.recv()).await.unwrap();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut expected = vec![
            field(":authority", &host),
            field(":method", method),
            field(":path", &format!("/{nth}")),
            field(":scheme", "https"),
            field("x-nth", &nth.to_string()),
        ];
        if !["GET", "POST"].contains(&method) {
            expected.swap(0, 1);
            unshaped += 1;
        }
        assert_eq!(seen, expected, "request {nth}");
        let told = conn.info().h2.clone().unwrap();
        assert_eq!(told.unshaped_requests(), unshaped);
        assert!(told.akamai().unwrap().to_string().ends_with("|a,m,p,s"));
    }
    pool.close().await;
}

/// Trailers are no request: they have no priority, and no window.
#[tokio::test]
async fn trailers_and_a_long_body_pass_as_they_are() {
    const BODY: usize = 300_000;
    let (tell, mut heard) = mpsc::unbounded_channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let tell = tell.clone();
        Box::pin(async move {
            wire.settings(&[(4, 1 << 20)]).await;
            let _ = wire
                .write(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes())
                .await;
            while let Some(frame) = wire.read().await {
                let over = frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS);
                let stream = frame.stream;
                let _ = tell.send(frame);
                if over {
                    wire.answer(stream).await;
                }
            }
        })
    });
    let (pool, name) = pool(Profile::firefox_esr(153).expect("known"), &peer);
    let mut conn = pool.get(name.as_str()).await.unwrap();
    let request = http::Request::post("https://a.test/").body(()).unwrap();
    let (response, mut body) = conn.h2().unwrap().send_request(request, false).await.unwrap();
    let content: Vec<u8> = (0..BODY).map(|nth| nth as u8).collect();
    body.send_data(content.clone().into(), false).unwrap();
    let trailer = [(
        http::HeaderName::from_static("x-end"),
        http::HeaderValue::from_static("1"),
    )];
    body.send_trailers(trailer.into_iter().collect()).unwrap();
    within("an answer", response).await.unwrap();
    let (mut seen, mut received) = (Vec::new(), Vec::new());
    loop {
        let frame = within("a frame", heard.recv()).await.unwrap();
        let over = frame.flags & END_STREAM != 0 && frame.kind == HEADERS;
        match frame.kind {
            DATA => received.extend(frame.payload),
            HEADERS | WINDOW_UPDATE if frame.stream > 0 => seen.push((frame.kind, frame.flags)),
            _ => {}
        }
        if over {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            (HEADERS, 0x24),
            (WINDOW_UPDATE, 0),
            (HEADERS, END_HEADERS | END_STREAM)
        ]
    );
    assert!(received == content, "the body is another one");
    drop((conn, body));
    pool.close().await;
}

#[tokio::test]
async fn a_profile_may_shape_http2_alone() {
    let order = [Pseudo::Method, Pseudo::Scheme, Pseudo::Path, Pseudo::Authority];
    // Whatever is left out is as the protocol has it without being told.
    let spec = H2Spec::new([(0x1a2a, 7), (2, 0)], order).unwrap();
    let (peer, mut heard) = teller(true);
    let (pool, name) = pool(Profile::rustls().with_h2(spec), &peer);
    let answer = get(&pool, &name, "https://peer.test/").await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut lines = Vec::new();
    while lines.iter().all(|line: &String| !line.starts_with("HEADERS")) {
        let frame = within("a frame", heard.recv()).await.unwrap();
        if frame.flags & ACK == 0 || frame.kind == HEADERS {
            lines.extend(told(&frame));
        }
    }
    assert_eq!(
        lines[0],
        "SETTINGS flags=0x00 stream=0 len=12 [(6698, 7), (2, 0)]"
    );
    assert!(lines[1].starts_with("HEADERS flags=0x05 stream=1 "), "{lines:?}");
    let fields = [
        "      :method: GET",
        "      :scheme: https",
        "      :path: /",
        "      :authority: peer.test",
    ];
    assert_eq!(lines[2..], fields);
    pool.close().await;
}

/// h2 would keep promised streams without end, and nobody takes any: so none is taken, whatever the spec advertises.
#[tokio::test]
async fn a_push_ends_the_connection_even_if_the_settings_allow_it() {
    const PUSH_PROMISE: u8 = 5;
    const PROTOCOL_ERROR: u32 = 1;
    let order = [Pseudo::Method, Pseudo::Scheme, Pseudo::Authority, Pseudo::Path];
    for settings in [vec![(4, 65_535)], vec![(2, 1), (4, 65_535)]] {
        let (tell, mut heard) = mpsc::unbounded_channel();
        let peer = FramePeer::start(move |mut wire: Wire| {
            let tell = tell.clone();
            Box::pin(async move {
                wire.settings(&[]).await;
                while let Some(frame) = wire.read().await {
                    if frame.kind == HEADERS {
                        let promise = b"\0\0\0\x02\x82\x87\x41\x09peer.test\x84";
                        let _ = wire.write(PUSH_PROMISE, END_HEADERS, frame.stream, promise).await;
                        wire.answer(frame.stream).await;
                    }
                    let _ = tell.send(frame);
                }
            })
        });
        let spec = H2Spec::new(settings.clone(), order).unwrap();
        let (pool, name) = pool(Profile::curl().with_h2(spec), &peer);
        let answer = get(&pool, &name, "https://peer.test/").await;
        assert!(answer.is_err(), "{settings:?}: {answer:?}");
        let first = within("SETTINGS", heard.recv()).await.unwrap();
        assert_eq!(
            told(&first)[0].split('[').nth(1),
            format!("{settings:?}").split('[').nth(1)
        );
        // The peer is told why.
        let goaway = loop {
            let frame = within("a GOAWAY", heard.recv()).await.unwrap();
            if frame.kind == GOAWAY {
                break frame;
            }
        };
        assert_eq!(word(&goaway.payload[4..]), PROTOCOL_ERROR);
        pool.close().await;
    }
}
