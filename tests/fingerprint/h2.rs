//! How HTTP/2 is opened, as data: what is refused, what others make of it, and its form in a file.

use hotpool::fingerprint::{
    Akamai, Assumption, H2Spec, H2SpecError, Huffman, Priority, PriorityFrame, Profile, Pseudo,
};

const ORDER: [Pseudo; 4] = [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path];

type Made = Result<H2Spec, H2SpecError>;

/// What was learned of a first flight, with what none shows as this spec has it.
pub(crate) fn completed(learned: H2Spec, spec: &H2Spec) -> H2Spec {
    learned
        .with_never_indexed(spec.never_indexed())
        .with_table_limit(spec.table_limit())
        .with_every_table_size(spec.every_table_size())
        .with_goodbye(spec.goodbye())
        .with_ping(spec.ping())
}

fn with(settings: &[(u16, u32)]) -> Made {
    H2Spec::new(settings, ORDER)
}

fn plain() -> H2Spec {
    with(&[(4, 65_536)]).unwrap()
}

fn priority(depends_on: u32, weight: u16) -> Priority {
    Priority {
        exclusive: false,
        depends_on,
        weight,
    }
}

fn frames(frames: &[(u32, u32, u16)]) -> Made {
    let frames = frames.iter().map(|&(stream, depends_on, weight)| PriorityFrame {
        stream,
        priority: priority(depends_on, weight),
    });
    plain().with_priority_frames(frames.collect::<Vec<_>>())
}

#[test]
fn what_cannot_be_kept_is_refused_by_its_field() {
    use Pseudo::{Method, Path, Scheme};
    let entries: Vec<(u16, u32)> = (100..165).map(|id| (id, 0)).collect();
    let order = |order| H2Spec::new([], order);
    let cases: Vec<(&str, &str, Made)> = vec![
        ("settings", "more than 64", with(&entries)),
        ("settings", "twice", with(&[(1, 0), (2, 0), (1, 0)])),
        ("settings", "twice", with(&[(0x0a0a, 0), (0x0a0a, 1)])),
        ("settings", "no setting", with(&[(0, 0)])),
        (
            "settings",
            "1 is 0 to 1048576, not 1048577",
            with(&[(1, (1 << 20) + 1)]),
        ),
        ("settings", "2 is 0 to 1, not 2", with(&[(2, 2)])),
        ("settings", "4 is 0 to 2147483647", with(&[(4, 1 << 31)])),
        ("settings", "5 is 16384 to 16777215", with(&[(5, 16_383)])),
        ("settings", "5 is 16384 to 16777215", with(&[(5, 1 << 24)])),
        ("settings", "6 is 1 to 16777216, not 0", with(&[(6, 0)])),
        ("settings", "6 is 1 to 16777216", with(&[(6, (16 << 20) + 1)])),
        ("settings", "8 is 0 to 1", with(&[(8, 2)])),
        ("settings", "9 is 0 to 1", with(&[(9, 2)])),
        ("window_update", "not 1", plain().with_window_update(1)),
        ("window_update", "not 32766", plain().with_window_update(32_766)),
        (
            "window_update",
            "2147418112",
            plain().with_window_update(2_147_418_113),
        ),
        ("stream_window_update", "no body", with(&[(4, 0)])),
        (
            "stream_window_update",
            "push",
            plain().with_stream_window_update(1),
        ),
        (
            "stream_window_update",
            "more than 2147483647",
            plain().with_stream_window_update((1 << 31) - 65_536),
        ),
        ("pseudo_order", "once", order([Method, Method, Scheme, Path])),
        ("first_stream", "0 is no odd", plain().with_first_stream(0)),
        ("first_stream", "2 is no odd", plain().with_first_stream(2)),
        (
            "first_stream",
            "no odd number up to",
            plain().with_first_stream(1_025),
        ),
        ("priority_frames", "0 is no odd", frames(&[(0, 0, 1)])),
        ("priority_frames", "4 is no odd", frames(&[(4, 0, 1)])),
        (
            "priority_frames",
            "depends on itself",
            frames(&[(3, 0, 1), (5, 5, 1)]),
        ),
        ("priority_frames", "depends on 2", frames(&[(3, 2, 1)])),
        ("priority_frames", "not 0", frames(&[(3, 0, 0)])),
        ("priority_frames", "not 257", frames(&[(3, 0, 257)])),
        ("priority_frames", "more than 64", frames(&[(3, 0, 1); 65])),
        (
            "headers_priority",
            "not 257",
            plain().with_headers_priority(Some(priority(0, 257))),
        ),
        (
            "headers_priority",
            "1 would depend on itself",
            plain().with_headers_priority(Some(priority(1, 1))),
        ),
    ];
    for (field, why, made) in cases {
        let error = made.map(|spec| panic!("{field}, {why}: {spec:?}")).unwrap_err();
        assert_eq!(error.field(), field, "{error}");
        let text = error.to_string();
        assert!(text.starts_with(field) && text.contains(why), "{why}: {text}");
    }
}

#[test]
fn what_can_be_kept_is_taken_up_to_its_limits() {
    use Pseudo::{Authority, Method, Path, Scheme};
    let orders = [
        [Method, Authority, Scheme, Path],
        [Method, Path, Authority, Scheme],
        [Method, Scheme, Path, Authority],
        [Method, Scheme, Authority, Path],
        [Scheme, Path, Method, Authority],
        [Authority, Method, Path, Scheme],
    ];
    for order in orders {
        assert_eq!(H2Spec::new([], order).unwrap().pseudo_order(), order);
    }
    let settings = [
        (0x0a0a, u32::MAX),
        (6, 16 << 20),
        (5, (1 << 24) - 1),
        (4, 65_536),
        (3, 0),
        (2, 1),
        (1, 1 << 20),
        (9, 1),
    ];
    with(&settings).unwrap();
    for increment in [0, 32_767, 2_147_418_112] {
        plain().with_window_update(increment).unwrap();
    }
    let unpushed = with(&[(2, 0), (4, 65_536)]).unwrap();
    unpushed.with_stream_window_update((1 << 31) - 65_537).unwrap();
    let late = plain().with_first_stream(1_023).unwrap();
    late.with_headers_priority(Some(priority(13, 256))).unwrap();
}

#[test]
fn the_text_is_as_akamai_has_it() {
    assert_eq!(plain().akamai().to_string(), "4:65536|00|0|m,a,s,p");
    let spec = frames(&[(3, 0, 201), (9, 7, 1)]).unwrap();
    let mut listed = spec.priority_frames().to_vec();
    listed[1].priority.exclusive = true;
    let spec = spec.with_priority_frames(listed).unwrap();
    let spec = spec.with_window_update(12_517_377).unwrap();
    assert_eq!(
        spec.akamai().to_string(),
        "4:65536|12517377|3:0:0:201,9:1:7:1|m,a,s,p"
    );
    for (profile, text) in [
        (
            Profile::chromium(156).expect("known"),
            include_str!("../fixtures/h2/chromium-156-00.h2.txt"),
        ),
        (
            Profile::firefox_esr(153).expect("known"),
            include_str!("../fixtures/h2/firefox-153esr-00.h2.txt"),
        ),
    ] {
        let akamai = profile.h2().unwrap().akamai().to_string();
        assert_eq!(text.lines().last(), Some(&*format!("AKAMAI {akamai}")));
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn bytes_that_are_no_first_flight_are_refused() {
    let after = |bytes: &[u8]| [PREFACE, bytes].concat();
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\x01\0\0";
    // GET, https, /, and an authority.
    let headers = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x41\x01a\x84";
    for (bytes, field) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), "first_flight"),
        (PREFACE.to_vec(), "first_flight"),
        (after(b"\0\0\x05\x04\0\0\0\0\0\0\x04\0\x01\0"), "first_flight"),
        (after(headers), "first_flight"),
        (after(settings), "first_flight"),
        (
            after(&[&settings[..], b"\0\0\x04\x02\0\0\0\0\x03\0\0\0\0"].concat()),
            "first_flight",
        ),
        (
            after(&[&settings[..], b"\0\0\x02\x01\x25\0\0\0\x01\0\0"].concat()),
            "first_flight",
        ),
        (
            after(
                &[
                    &settings[..],
                    b"\0\0\x01\x01\x05\0\0\0\x01\x82\0\0\0\x04\x01\0\0\0\0",
                ]
                .concat(),
            ),
            "pseudo_order",
        ),
    ] {
        assert_eq!(
            H2Spec::from_preface(&bytes).unwrap_err().field(),
            field,
            "{bytes:?}"
        );
    }
    let whole = after(&[&settings[..], headers, b"\0\0\0\x04\x01\0\0\0\0"].concat());
    let learned = H2Spec::from_preface(&whole).unwrap().spec;
    assert_eq!(learned.akamai().to_string(), "4:65536|00|0|m,s,a,p");
    // However much of it has come, nothing panics.
    for cut in 0..whole.len() {
        let _ = Akamai::of_bytes(&whole[..cut]);
    }
    // What could not be kept has a text all the same: a window that is raised by 1.
    let small = after(
        &[
            &settings[..],
            b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
            headers,
            b"\0\0\0\x04\x01\0\0\0\0",
        ]
        .concat(),
    );
    assert_eq!(
        Akamai::of_bytes(&small).unwrap().to_string(),
        "4:65536|01|0|m,s,a,p"
    );
    assert_eq!(H2Spec::from_preface(&small).unwrap_err().field(), "window_update");
}

/// What a client sent from its preface on.
pub(crate) fn captured(name: &str) -> Vec<u8> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h2");
    std::fs::read(directory.join(format!("{name}.h2.bin"))).expect("a fixture")
}

/// The fields of the first request in it, as another decoder than h2's reads them, without the word that says that there is no window.
pub(crate) fn fields(flight: &[u8]) -> Vec<(String, String)> {
    let mut rest = flight.strip_prefix(PREFACE).unwrap();
    loop {
        let (head, behind) = rest.split_at(9);
        let (payload, behind) = behind.split_at(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize);
        rest = behind;
        if head[3] == 1 {
            let block = if head[4] & 0x20 == 0 {
                payload
            } else {
                &payload[5..]
            };
            let mut fields = Vec::new();
            let mut decoder = httlib_hpack::Decoder::with_dynamic_size(4096);
            decoder.decode(&mut block.to_vec(), &mut fields).unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let fields = fields.into_iter();
            return fields
                .map(|(name, value, _)| (text(name), text(value).replace("Headless", "")))
                .collect();
        }
    }
}

#[test]
fn what_is_learned_from_a_browser_is_what_is_written() {
    for (profile, name) in [
        (Profile::chromium(156).expect("known"), "chromium-156"),
        (Profile::firefox_esr(153).expect("known"), "firefox-153esr"),
    ] {
        let (learned, h2) = (
            H2Spec::from_preface(&captured(name)).unwrap(),
            profile.h2().unwrap(),
        );
        assert!(learned.assumptions.contains(&Assumption::NeverIndexed), "{name}");
        let spec = completed(learned.spec, h2);
        assert_eq!(&spec, h2, "{name}");
    }
}

/// A frame on the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn what_no_spec_could_send_is_not_learned() {
    const RESERVED: u32 = 1 << 31;
    let settings = frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let block = [0x82, 0x87, 0x41, 1, b'a', 0x84];
    let headers = frame(1, 5, 1, &block);
    let update = |stream, increment: u32| frame(8, 0, stream, &increment.to_be_bytes());
    let priority = frame(2, 0, 3, &[0, 0, 0, 0, 200]);
    let (half, rest) = block.split_at(2);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        (
            "a second WINDOW_UPDATE",
            vec![
                settings.clone(),
                update(0, 65_536),
                update(0, 65_536),
                headers.clone(),
            ],
        ),
        (
            "behind PRIORITY",
            vec![
                settings.clone(),
                priority.clone(),
                update(0, 65_536),
                headers.clone(),
            ],
        ),
        (
            "by nothing",
            vec![settings.clone(), update(0, 0), headers.clone()],
        ),
        (
            "by nothing",
            vec![settings.clone(), frame(8, 0, 0, &[0, 1, 0]), headers.clone()],
        ),
        (
            "by nothing",
            vec![settings.clone(), headers.clone(), update(1, 0)],
        ),
        (
            "a second WINDOW_UPDATE of the stream",
            vec![settings.clone(), headers.clone(), update(1, 9), update(1, 9)],
        ),
        (
            "reserved bit",
            vec![settings.clone(), headers.clone(), update(RESERVED | 1, 9)],
        ),
        ("ends with the request", vec![settings.clone(), headers.clone()]),
        (
            "does not stand right behind it",
            vec![settings.clone(), headers.clone(), update(0, 65_536), update(1, 9)],
        ),
        (
            "does not stand right behind it",
            vec![
                settings.clone(),
                headers.clone(),
                frame(4, 1, 0, &[]),
                frame(6, 1, 0, &[0; 8]),
                update(1, 9),
            ],
        ),
        (
            // Neither "aa" nor "bb" is any shorter in code.
            "in no one way",
            vec![
                settings.clone(),
                frame(1, 5, 1, b"\x82\x87\x41\x02aa\x84\x10\x82\x8e\x3f\x01x"),
                frame(4, 1, 0, &[]),
            ],
        ),
        (
            "in no one way",
            vec![
                settings.clone(),
                frame(1, 5, 1, b"\x82\x87\x41\x81\x00\x84"),
                frame(4, 1, 0, &[]),
            ],
        ),
        (
            "kind 8 on stream 1",
            vec![settings.clone(), update(1, 9), headers.clone()],
        ),
        (
            "kind 6 on stream 0",
            vec![settings.clone(), frame(6, 0, 0, &[0; 8]), headers.clone()],
        ),
        (
            "kind 77 on stream 0",
            vec![settings.clone(), frame(77, 0, 0, &[]), headers.clone()],
        ),
        (
            "kind 4 on stream 0",
            vec![settings.clone(), settings.clone(), headers.clone()],
        ),
        ("are of a stream", vec![frame(4, 0, 1, &[]), headers.clone()]),
        ("flags 0x02", vec![frame(4, 2, 0, &[]), headers.clone()]),
        (
            "flags 0x01",
            vec![
                settings.clone(),
                frame(2, 1, 3, &[0, 0, 0, 0, 1]),
                headers.clone(),
            ],
        ),
        (
            "reserved bit",
            vec![settings.clone(), update(RESERVED, 65_536), headers.clone()],
        ),
        (
            "reserved bit",
            vec![settings.clone(), frame(1, 5, RESERVED | 1, &block)],
        ),
        (
            "PRIORITY frame is malformed",
            vec![settings.clone(), frame(2, 0, 3, &[0; 6]), headers.clone()],
        ),
        (
            "are padded",
            vec![
                settings.clone(),
                frame(1, 13, 1, &[&[1][..], &block, &[0]].concat()),
            ],
        ),
        ("flags 0x45", vec![settings.clone(), frame(1, 0x45, 1, &block)]),
        (
            "had room",
            vec![settings.clone(), frame(1, 1, 1, half), frame(9, 4, 1, rest)],
        ),
        (
            "malformed",
            vec![settings.clone(), frame(1, 1, 1, half), frame(9, 4, 3, rest)],
        ),
        (
            "cut within",
            vec![settings.clone(), headers.clone(), update(1, 9)[..12].to_vec()],
        ),
    ];
    for (why, frames) in cases {
        let bytes = [PREFACE, &frames.concat()].concat();
        let error = H2Spec::from_preface(&bytes).expect_err(why);
        assert_eq!(error.field(), "first_flight", "{why}: {error}");
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
    // What may stand between all the same: an acknowledgement, and anything behind the request.
    let fine = [
        PREFACE,
        &settings,
        &update(0, 65_536),
        &priority,
        &frame(4, 1, 0, &[]),
        &headers,
        &frame(4, 1, 0, &[]),
        &update(0, 9),
    ];
    let spec = H2Spec::from_preface(&fine.concat()).unwrap().spec;
    assert_eq!(spec.akamai().to_string(), "4:65536|65536|3:0:0:201|m,s,a,p");
}

#[test]
fn what_a_capture_leaves_open_is_said() {
    let settings = frame(4, 0, 0, &[0x1a, 0x1a, 0, 0, 0, 7, 0, 2, 0, 0, 0, 0]);
    let headers = frame(1, 5, 1, &[0x82, 0x87, 0x41, 1, b'a', 0x84]);
    let (ack, ping, update) = (
        frame(4, 1, 0, &[]),
        frame(6, 1, 0, &[0; 8]),
        frame(8, 0, 1, &[0, 0, 0, 9]),
    );
    let acked = |frame, before_request| Assumption::SettingsAck {
        frame,
        before_request,
    };
    let grease = Assumption::GreaseSetting { id: 0x1a1a, value: 7 };
    let behind = Assumption::FrameBehind { kind: 6, stream: 0 };
    let window = frame(8, 0, 0, &[0, 1, 0, 0]);
    let raised = Assumption::FrameBehind { kind: 8, stream: 0 };
    let cases: [(&[&[u8]], Vec<Assumption>); 7] = [
        (&[&ack, &headers, &update], vec![acked(1, true)]),
        (&[&window, &ack, &headers, &update], vec![acked(2, true)]),
        (&[&window, &headers, &ack], vec![acked(3, false)]),
        (&[&headers, &ping], vec![behind]),
        (&[&headers, &window], vec![raised.clone()]),
        (&[&headers, &ack, &update], vec![acked(2, false)]),
        (&[&headers, &ack, &window], vec![acked(2, false), raised]),
    ];
    for (frames, open) in cases {
        let bytes = [PREFACE, &settings, &frames.concat()].concat();
        let learned = H2Spec::from_preface(&bytes).unwrap();
        let rule = Huffman::WhenShorter;
        let always = [
            grease.clone(),
            Assumption::EveryRequest,
            Assumption::LaterFrames,
            Assumption::Huffman { rule },
            Assumption::NeverIndexed,
        ];
        let lines = 2 + open.len() + always.len();
        assert_eq!(learned.assumptions, [open, always.to_vec()].concat());
        assert_eq!(
            learned.spec.stream_window_update() > 0,
            frames.contains(&&update[..])
        );
        let text = learned.to_string();
        assert_eq!(text.lines().count() + 1, lines, "{text}");
        assert!(text.contains("0x1a1a is 7"), "{text}");
    }
    // As the browsers were captured: Firefox had the server's SETTINGS before it asked.
    for (name, frame, before_request) in [("chromium-156", 3, false), ("firefox-153esr", 2, true)] {
        let learned = H2Spec::from_preface(&captured(name)).unwrap();
        let expected = [
            acked(frame, before_request),
            Assumption::EveryRequest,
            Assumption::LaterFrames,
            Assumption::NeverIndexed,
        ];
        assert_eq!(learned.assumptions, expected, "{name}: {learned}");
    }
}

/// How strings and a path were written shows what the client would do with others, or not.
#[test]
fn how_headers_are_written_is_learned() {
    use Huffman::{Always, Never, WhenShorter};
    let rule = |rule| Assumption::Huffman { rule };
    let path = |indexed| Assumption::PathForm { indexed };
    let no = Vec::new;
    // An authority of "a" takes one octet in code or not; of "aaaaaaaa" it takes five. The path is / or "a".
    for (block, huffman, literal, open) in [
        (&b"\x82\x87\x41\x81\x1f\x84"[..], Always, false, no()),
        (
            b"\x82\x87\x41\x01a\x84",
            WhenShorter,
            false,
            vec![rule(WhenShorter)],
        ),
        (
            b"\x82\x87\x41\x85\x18\xc6\x31\x8c\x63\x84",
            WhenShorter,
            false,
            vec![rule(WhenShorter)],
        ),
        (
            b"\x82\x87\x41\x85\x18\xc6\x31\x8c\x63\x84\x50\x01a",
            WhenShorter,
            false,
            no(),
        ),
        (
            b"\x82\x87\x41\x85\x18\xc6\x31\x8c\x63\x04\x81\x63",
            Always,
            true,
            no(),
        ),
        (b"\x82\x87\x41\x08aaaaaaaa\x84", Never, false, no()),
        (b"\x82\x87\x41\x08aaaaaaaa\x04\x01/", Never, true, no()),
        (b"\x82\x87\x41\x08aaaaaaaa\x05\x0b/index.html", Never, true, no()),
        (
            b"\x82\x87\x41\x81\x1f\x04\x81\x1f",
            Always,
            false,
            vec![path(false)],
        ),
        (
            b"\x82\x87\x41\x81\x1f\x44\x81\x1f",
            Always,
            false,
            vec![path(true)],
        ),
        (b"\x82\x87\x41\x81\x1f\x05\x81\x1f", Always, true, no()),
        (
            b"\x82\x87\x41\x81\x1f\x44\x81\x63",
            Always,
            false,
            vec![path(true)],
        ),
    ] {
        let flight = [
            frame(4, 0, 0, &[]),
            frame(1, 5, 1, block),
            frame(6, 1, 0, &[0; 8]),
        ];
        let learned = H2Spec::from_preface(&[PREFACE, &flight.concat()].concat()).unwrap();
        let spec = &learned.spec;
        assert_eq!(
            (spec.huffman(), spec.literal_path()),
            (huffman, literal),
            "{block:x?}"
        );
        let open = [open, vec![Assumption::NeverIndexed]].concat();
        assert_eq!(learned.assumptions[3..], open, "{block:x?}");
    }
    // An authorization; a cookie of 19 octets, and of 20.
    let long = b"\x0f\x11\x14aaaaaaaaaaaaaaaaaaaa";
    for (field, never) in [
        (&b"\x1f\x08\x01a"[..], Some(true)),
        (b"\x0f\x08\x01a", Some(false)),
        (b"\x57\x01a", Some(false)),
        (b"\x1f\x11\x13aaaaaaaaaaaaaaaaaaa", Some(true)),
        (long, None),
    ] {
        let block = [b"\x82\x87\x41\x01a\x84", field].concat();
        let flight = [
            frame(4, 0, 0, &[]),
            frame(1, 5, 1, &block),
            frame(6, 1, 0, &[0; 8]),
        ];
        let learned = H2Spec::from_preface(&[PREFACE, &flight.concat()].concat()).unwrap();
        assert_eq!(learned.spec.never_indexed(), never.unwrap_or(false), "{field:x?}");
        let open = learned.assumptions.contains(&Assumption::NeverIndexed);
        assert_eq!(open, never.is_none(), "{field:x?}");
    }
}

/// What a spec would write otherwise is said, field by field.
#[test]
fn fields_of_another_form_are_said() {
    for (block, others, resizes) in [
        // A method written out, an authority that is not remembered, a user agent that never is to be, a field that is not.
        (
            &b"\x02\x03GET\x87\x01\x02aa\x84\x1f\x2b\x02aa\x00\x02xx\x02aa"[..],
            &[0_usize, 2, 4, 5][..],
            false,
        ),
        (
            b"\x82\x87\x41\x02aa\x84\x7a\x02aa\x40\x02xx\x02aa\x0f\x0d\x012\x1f\x08\x01a",
            &[],
            false,
        ),
        // A path that is never to be indexed, remembered credentials, a name that has its place.
        (
            b"\x82\x87\x41\x02aa\x14\x02/a\x57\x01a\x40\x06accept\x01a",
            &[3, 4, 5],
            false,
        ),
        (b"\x3f\xe1\xff\x03\x82\x87\x41\x02aa\x84", &[], true),
        // Some credentials are marked, and some not.
        (b"\x82\x87\x41\x02aa\x84\x1f\x08\x01a\x0f\x11\x01a", &[5], false),
        // The last place of a method where a path is a literal, and the first where it is not.
        (b"\x43\x03PUT\x87\x41\x02aa\x04\x01/", &[], false),
        (b"\x43\x03PUT\x87\x41\x02aa\x84", &[0], false),
        (b"\x42\x03PUT\x87\x41\x02aa\x04\x01/", &[0], false),
        (b"\x42\x03PUT\x87\x41\x02aa\x84", &[], false),
    ] {
        let flight = [
            frame(4, 0, 0, &[]),
            frame(1, 5, 1, block),
            frame(6, 1, 0, &[0; 8]),
        ];
        let learned = H2Spec::from_preface(&[PREFACE, &flight.concat()].concat()).unwrap();
        let said = learned
            .assumptions
            .iter()
            .filter_map(|assumption| match assumption {
                Assumption::FieldForm { field } => Some(*field),
                _ => None,
            });
        assert_eq!(said.collect::<Vec<_>>(), others, "{block:x?}");
        let table = learned.assumptions.contains(&Assumption::TableSize);
        assert_eq!(table, resizes, "{block:x?}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_file_says_the_same() {
    for profile in [
        Profile::chromium(156).expect("known"),
        Profile::firefox_esr(153).expect("known"),
    ] {
        let spec = profile.h2().unwrap();
        let text = toml::to_string(spec).unwrap();
        assert_eq!(&toml::from_str::<H2Spec>(&text).unwrap(), spec, "{text}");
    }
    let spec: H2Spec = toml::from_str("settings = [[2, 0]]\npseudo_order = \"m,s,p,a\"").unwrap();
    let written = (spec.huffman(), spec.literal_path(), spec.never_indexed());
    assert_eq!(written, (Huffman::Always, false, false));
    let table = (spec.table_limit(), spec.every_table_size());
    assert_eq!(table, (4_096, false));
    assert_eq!(
        (spec.goodbye(), spec.ping()),
        (true, hotpool::fingerprint::PingForm::H2)
    );
    // There is no less.
    assert_eq!(spec.clone().with_table_limit(0), spec);
    assert_eq!(
        (spec.first_stream(), spec.akamai().to_string()),
        (1, "2:0|00|0|m,s,p,a".to_owned())
    );
    for (text, why) in [
        ("settings = []", "pseudo_order"),
        ("settings = []\npseudo_order = \"m,s,p\"", "pseudo_order"),
        ("settings = []\npseudo_order = \"a,m,s,a\"", "stands there once"),
        (
            "settings = [[2, 3]]\npseudo_order = \"m,a,s,p\"",
            "settings: 2 is 0 to 1",
        ),
        ("settings = []\npseudo_order = \"m,a,s,p\"\nwindow = 1", "window"),
    ] {
        let error = toml::from_str::<H2Spec>(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
