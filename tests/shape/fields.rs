//! Fields of a caller's own, as the clients were captured to write them: curl 7.88.1, Chromium 156, Firefox 153 ESR and Go 1.19.8, on 2026-11-27, each asked for requests with these. What
//! ours writes otherwise is in the profile's limits.

use hotpool::fingerprint::Profile;
use tokio::sync::mpsc;

use crate::h2::{block, pool, within};
use crate::support::frames::{ACK, FramePeer, HEADERS, SETTINGS, Wire};

/// A field of a request.
struct Case {
    name: &'static str,
    value: &'static str,
    /// As the client was captured to write it.
    captured: &'static [u8],
    /// As ours does, if otherwise.
    ours: Option<&'static [u8]>,
}

const fn equal(name: &'static str, value: &'static str, captured: &'static [u8]) -> Case {
    Case {
        name,
        value,
        captured,
        ours: None,
    }
}

const fn other(
    name: &'static str,
    value: &'static str,
    captured: &'static [u8],
    ours: &'static [u8],
) -> Case {
    Case {
        name,
        value,
        captured,
        ours: Some(ours),
    }
}

const LONG: &str = "a=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const LONG_FIELD: &[u8] = b"\x60\x98\x1c\x11\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7";
const LONG_OURS: &[u8] = b"\x0f\x11\x98\x1c\x11\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7\x1c\x71\xc7";
const CRUMB: &str = "c=dddddddddddddddddddddddddddd";
const CRUMB_FIELD: &[u8] =
    b"\x60\x97\x24\x12\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x9f";
const CRUMB_OURS: &[u8] = b"\x0f\x11\x97\x24\x12\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x92\x49\x24\x9f";
/// "Basic dTpw".
const BASIC: &str = "Basic dTpw";

const CURL: [Case; 6] = [
    equal(":method", "PUT", b"\x42\x03PUT"),
    equal(
        "authorization",
        BASIC,
        b"\x1f\x08\x88\xba\x34\x18\x8a\x49\xbe\xbf\x1f",
    ),
    equal("cookie", "a=b", b"\x1f\x11\x03a=b"),
    equal("if-none-match", "1", b"\x0f\x1a\x011"),
    equal("x-a", "1", b"\x40\x03x-a\x011"),
    other("cookie", LONG, LONG_FIELD, LONG_OURS),
];
const CHROMIUM: [Case; 5] = [
    other(":method", "PUT", b"\x02\x03PUT", b"\x42\x03PUT"),
    other(
        "authorization",
        BASIC,
        b"\x57\x88\xba\x34\x18\x8a\x49\xbe\xbf\x1f",
        b"\x0f\x08\x88\xba\x34\x18\x8a\x49\xbe\xbf\x1f",
    ),
    other("cookie", "a=b", b"\x60\x03a=b", b"\x0f\x11\x03a=b"),
    other("cookie", CRUMB, CRUMB_FIELD, CRUMB_OURS),
    other("if-none-match", "1", b"\x69\x011", b"\x0f\x1a\x011"),
];
const FIREFOX: [Case; 5] = [
    equal(":method", "PUT", b"\x43\x83\xd7\xc3\x7f"),
    equal(
        "authorization",
        BASIC,
        b"\x1f\x08\x88\xba\x34\x18\x8a\x49\xbe\xbf\x1f",
    ),
    equal("cookie", "a=b", b"\x1f\x11\x83\x1c\x11\xff"),
    other("cookie", CRUMB, CRUMB_FIELD, CRUMB_OURS),
    other("if-none-match", "1", b"\x69\x81\x0f", b"\x0f\x1a\x81\x0f"),
];

const GO: [Case; 5] = [
    other(":method", "PUT", b"\x43\x03PUT", b"\x42\x03PUT"),
    other(
        "authorization",
        BASIC,
        b"\x57\x88\xba\x34\x18\x8a\x49\xbe\xbf\x1f",
        b"\x0f\x08\x88\xba\x34\x18\x8a\x49\xbe\xbf\x1f",
    ),
    other("cookie", "a=b", b"\x60\x03a=b", b"\x0f\x11\x03a=b"),
    other("if-none-match", "1", b"\x69\x011", b"\x0f\x1a\x011"),
    other("etag", "1", b"\x62\x011", b"\x0f\x13\x011"),
];

fn holds(block: &[u8], field: &[u8]) -> bool {
    block.windows(field.len()).any(|window| window == field)
}

/// The block of this request, to a peer that said its SETTINGS before it was made.
async fn asked(profile: &Profile, request: http::Request<()>) -> Vec<u8> {
    let (tell, mut heard) = mpsc::unbounded_channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let tell = tell.clone();
        Box::pin(async move {
            wire.settings(&[]).await;
            while let Some(frame) = wire.read().await {
                if frame.kind == HEADERS {
                    wire.answer(frame.stream).await;
                }
                let _ = tell.send(frame);
            }
        })
    });
    let (pool, name) = pool(profile.clone(), &peer);
    let mut conn = pool.get(name.as_str()).await.unwrap();
    let mut next = async |kind, flags| {
        loop {
            let frame = within("a frame", heard.recv()).await.unwrap();
            if frame.kind == kind && frame.flags & flags == flags {
                return frame;
            }
        }
    };
    next(SETTINGS, ACK).await;
    let sent = conn.h2().unwrap().send_request(request, true).await;
    within("an answer", sent.unwrap().0).await.unwrap();
    let asked = next(HEADERS, 0).await;
    drop(conn);
    pool.close().await;
    block(&asked).0.to_vec()
}

#[tokio::test]
async fn what_is_written_otherwise_than_the_client_does_is_in_its_limits() {
    for (profile, cases) in [
        (Profile::curl(), &CURL[..]),
        (Profile::chromium(156).expect("known"), &CHROMIUM),
        (Profile::firefox_esr(153).expect("known"), &FIREFOX),
        (Profile::go(), &GO),
    ] {
        let limits = profile.limits().join("\n");
        for case in cases {
            let request = http::Request::builder().uri("https://peer.test/a");
            let request = match case.name {
                ":method" => request.method(case.value),
                name => request.header(name, case.value),
            };
            let block = asked(&profile, request.body(()).unwrap()).await;
            let Case { name, captured, .. } = case;
            let said = format!("{}, {name}: {block:02x?}", profile.name());
            assert!(holds(&block, case.ours.unwrap_or(captured)), "{said}");
            if case.ours.is_some() {
                assert!(!holds(&block, captured), "{said}");
                assert!(limits.contains(name), "{said}");
            }
        }
    }
}
