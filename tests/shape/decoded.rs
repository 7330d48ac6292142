//! What goes out in a profile's shape is what was asked for, as decoders see it that share no code with h2's: one that checks every field, and the servers of
//! three makers.
//!
//! `HOTPOOL_DECODED` is how many requests each case has.
#![expect(clippy::print_stdout, reason = "its figures are read as text")]

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hotpool::{HotConnPool, StaticResolver};
use httlib_hpack::Decoder;
use http::Method;
use parking_lot::Mutex;

use crate::h2::{block, decode_marked, decoder, pool, within};
use crate::support::certs;
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, FramePeer, HEADERS, PING, SETTINGS, Wire,
};
use crate::support::outside::h2::{self as servers, H2Server};
use crate::support::outside::nginx::{self, Nginx};
use crate::support::outside::{self, Outside, Recipe};
use crate::support::peer::DEADLINE;
use crate::support::{measure, peers_table};
use crate::world::{BROWSERS, Browser};

const METHODS: [Method; 5] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
];

/// SETTINGS_HEADER_TABLE_SIZE.
const TABLE_SIZE: u16 = 1;
const SIZES: [u32; 4] = [0, 128, 4096, 65_536];
/// What a peer says of it later: up and down, across the 4,096 octets that h2 has.
const LATER: [u32; 11] = [0, 65_536, 128, 4096, 4097, 4095, 1 << 27, 50, 300, 200, 8192];
/// After so many requests it takes other sizes, so many at once.
const REQUESTS_A_SIZE: usize = 17;
const SIZES_AT_ONCE: usize = 3;

fn requests(few: usize) -> usize {
    let told = std::env::var("HOTPOOL_DECODED").ok();
    told.map_or(few, |count| count.parse().expect("a number of requests"))
}

/// The request of this number: each differs from those around it in what a table would remember.
struct Asked {
    method: Method,
    authority: String,
    path: String,
    fields: Vec<(String, String)>,
    /// Which of them the caller marks as sensitive, by name.
    sensitive: &'static str,
}

impl Asked {
    fn nth(nth: usize) -> Self {
        let mut fields = vec![
            (
                "user-agent".to_owned(),
                "Mozilla/5.0 (X11; Linux x86_64)".to_owned(),
            ),
            ("x-nth".to_owned(), nth.to_string()),
            ("accept".to_owned(), ["*/*", "text/html"][nth % 2].to_owned()),
            ("cookie".to_owned(), format!("session={}", nth % 11)),
            (format!("x-name-{}", nth % 40), "some-value.".repeat(nth % 30)),
        ];

        // One that h2 would have remembered, and those that it never has. What the table has already it takes from there, whatever the caller says.
        let sensitive = ["", "x-secret", "authorization", "cookie"][nth % 4];
        fields.push(("authorization".to_owned(), format!("Basic {nth}")));
        fields.push(("x-secret".to_owned(), format!("secret {nth}")));
        if nth % 97 == 5 {
            // With this, the block takes two frames.
            fields.push(("x-long".to_owned(), "~".repeat(24 << 10)));
        }
        Asked {
            method: METHODS[nth % METHODS.len()].clone(),
            authority: format!("host-{}.peer.test", nth % 7 + nth % 3),
            path: format!("/asked/{}?q={nth}", "deep/".repeat(nth % 5)),
            fields,
            sensitive,
        }
    }

    fn request(&self) -> http::Request<()> {
        let uri = format!("https://{}{}", self.authority, self.path);
        let mut request = http::Request::builder().method(self.method.clone()).uri(uri);
        for (name, value) in &self.fields {
            let mut value = http::HeaderValue::try_from(value).expect("a value");
            value.set_sensitive(*name == self.sensitive);
            request = request.header(name, value);
        }
        request.body(()).expect("a request")
    }

    fn has_body(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT)
    }

    /// Whether nobody may index this field: the caller's word, and in Firefox's shape that of the profile.
    fn is_marked(&self, browser: Browser, name: &str, value: &str) -> bool {
        let guarded = name == "authorization" || name == "cookie" && value.len() < 20;
        name == self.sensitive || guarded && matches!(browser, Browser::Firefox)
    }

    /// All of it, in the order in which this browser has it.
    fn expected(&self, browser: Browser) -> Vec<(String, String)> {
        let pseudo = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let method = pseudo(":method", self.method.as_str());
        let authority = pseudo(":authority", &self.authority);
        let (scheme, path) = (pseudo(":scheme", "https"), pseudo(":path", &self.path));
        let mut all = match browser {
            Browser::Chromium => vec![method, authority, scheme, path],
            Browser::Firefox => vec![method, path, authority, scheme],
        };
        all.extend(self.fields.iter().cloned());
        all
    }
}

/// Asks for the request of this number and reads the answer to its end. Answers its head.
async fn ask(pool: &HotConnPool, name: &str, nth: usize) -> http::response::Parts {
    let asked = Asked::nth(nth);
    let mut conn = within("a connection", pool.get(name))
        .await
        .expect("a connection");
    let sent = conn
        .h2()
        .expect("HTTP/2")
        .send_request(asked.request(), !asked.has_body())
        .await;
    let (response, mut body) = sent.expect("a stream");
    if asked.has_body() {
        body.send_data(Bytes::from_static(b"body"), true).expect("a body");
    }
    let (head, mut body) = within("an answer", response)
        .await
        .expect("an answer")
        .into_parts();
    // nghttpd has a body for HEAD, too.
    let reads = asked.method != Method::HEAD;
    while reads && let Some(piece) = within("a body", body.data()).await {
        let _ = body
            .flow_control()
            .release_capacity(piece.expect("a piece").len());
    }
    let sent = conn.info().h2.clone().expect("a shape");
    assert_eq!(sent.unshaped_requests(), 0, "request {nth}");
    head
}

/// What a decoder saw, and where that was wrong.
#[derive(Default)]
struct Seen {
    requests: usize,
    continued: usize,
    wrong: Vec<String>,
}

impl Seen {
    fn check(&mut self, decoder: &mut Decoder<'_>, browser: Browser, block: &[u8]) {
        self.requests += 1;
        let fields = match decode_marked(decoder, block) {
            Ok(fields) => fields,
            Err(error) => return self.wrong.push(format!("request {}: {error}", self.requests)),
        };
        let nth = fields.iter().find(|(name, ..)| name == "x-nth");
        let nth = nth.and_then(|(_, nth, _)| nth.parse().ok());
        let expected = nth.map(|nth| {
            let asked = Asked::nth(nth);
            let marked = asked.expected(browser).into_iter().map(|(name, value)| {
                let marked = asked.is_marked(browser, &name, &value);
                (name, value, marked)
            });
            marked.collect::<Vec<_>>()
        });
        if expected.as_ref() != Some(&fields) {
            self.wrong.push(format!("{fields:?}"));
        }
    }
}

/// A peer with a table of this size, and now and then of another, that decodes whatever comes. A size binds the client once it has acknowledged it.
fn decoding(browser: Browser, size: u32, seen: Arc<Mutex<Seen>>) -> FramePeer {
    FramePeer::start(move |mut wire: Wire| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            let mut decoder = decoder();
            let mut said = VecDeque::from([size]);
            wire.settings(&[(TABLE_SIZE, size)]).await;
            let mut others = LATER.iter().cycle();
            while let Some(frame) = wire.read().await {
                match frame.kind {
                    SETTINGS if frame.flags & ACK != 0 => {
                        decoder.set_max_dynamic_size(said.pop_front().expect("what is acknowledged"));
                        continue;
                    }
                    SETTINGS => drop(wire.write(SETTINGS, ACK, 0, &[]).await),
                    PING => drop(wire.write(PING, ACK, 0, &frame.payload).await),
                    HEADERS => {
                        if (seen.lock().requests + 1).is_multiple_of(REQUESTS_A_SIZE) {
                            for &size in others.by_ref().take(SIZES_AT_ONCE) {
                                said.push_back(size);
                                wire.settings(&[(TABLE_SIZE, size)]).await;
                            }
                        }
                        let mut whole = block(&frame).0.to_vec();
                        let mut flags = frame.flags;
                        while flags & END_HEADERS == 0 {
                            let Some(Frame {
                                kind: CONTINUATION,
                                flags: more,
                                payload,
                                ..
                            }) = wire.read().await
                            else {
                                return seen.lock().wrong.push("a block without its end".to_owned());
                            };
                            whole.extend(payload);
                            flags = more;
                            seen.lock().continued += 1;
                        }
                        seen.lock().check(&mut decoder, browser, &whole);
                    }
                    DATA => {}
                    _ => continue,
                }
                if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                    wire.answer(frame.stream).await;
                }
            }
        })
    })
}

#[tokio::test]
async fn every_request_is_decoded_as_it_was_meant() {
    let count = requests(120);
    for browser in BROWSERS {
        for size in SIZES {
            let seen = Arc::new(Mutex::new(Seen::default()));
            let peer = decoding(browser, size, Arc::clone(&seen));
            let (pool, name) = pool(browser.profile(), &peer);
            for nth in 0..count {
                ask(&pool, &name, nth).await;
            }
            pool.close().await;
            let seen = seen.lock();
            assert!(
                seen.wrong.is_empty(),
                "{browser:?}, {size}: {:?}",
                seen.wrong.first()
            );
            assert_eq!(seen.requests, count);
            assert!(seen.continued >= count / 97);
        }
    }
    println!("measured: {} requests decoded, 0 wrong", count * 8);
}

/// An nginx that answers with what it understood.
fn nginx() -> Nginx {
    let more = "large_client_header_buffers 8 64k; keepalive_requests 1000000;
    location /asked { add_header x-seen \"$request_method $host $request_uri $http_x_nth\" always; return 200 hello; }";
    Nginx {
        more: more.to_owned(),
        ..Nginx::default()
    }
}

fn start(recipe: &impl Recipe) -> Option<Outside> {
    let server = outside::start_good(recipe, 1);
    if server.is_none() {
        peers_table::skip(recipe.name(), "is not installed");
    }
    server
}

fn pool_of(browser: Browser, server: &Outside) -> (HotConnPool, String) {
    let at = server.addr(0);
    let name = format!("peer.test:{}", at.port());
    let resolver = StaticResolver::new().with(&*name, [at.ip()]).expect("a name");
    let builder = HotConnPool::builder()
        .roots(certs::authority().roots())
        .profile(browser.profile())
        .resolver(resolver);
    (builder.build().expect("a pool"), name)
}

#[tokio::test]
async fn nginx_understands_every_request() {
    let Some(server) = start(&nginx()) else { return };
    let mut row = peers_table::Row::of(&server);
    let count = requests(150);
    for browser in BROWSERS {
        let (pool, name) = pool_of(browser, &server);
        for nth in 0..count {
            let Asked {
                method,
                authority,
                path,
                ..
            } = Asked::nth(nth);
            let head = ask(&pool, &name, nth).await;
            assert_eq!(
                head.headers["x-seen"],
                format!("{method} {authority} {path} {nth}"),
                "{browser:?}"
            );
        }
        pool.close().await;
    }
    let all = 2 * count;
    let (_, evidence) = nginx::evidence(&server, "shaped requests", |served| served.len() >= all).await;
    row.case(evidence);
    println!("measured: {all} requests understood by nginx, 0 wrong");
}

#[tokio::test]
async fn h2o_understands_every_request() {
    let Some(server) = start(&H2Server::H2o) else {
        return;
    };
    let mut row = peers_table::Row::of(&server);
    let count = requests(150);
    let mut expected = Vec::new();
    for browser in BROWSERS {
        let (pool, name) = pool_of(browser, &server);
        for nth in 0..count {
            ask(&pool, &name, nth).await;
            let Asked {
                method,
                authority,
                path,
                ..
            } = Asked::nth(nth);
            expected.push(format!("{method} {authority} {path} {nth}"));
        }
        pool.close().await;
    }
    row.case(servers::evidence(&server, "shaped requests", expected.len()).await);
    let log = server.read("access.log");
    let mut seen: Vec<&str> = log.lines().collect();
    // What came later may be logged first.
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    println!("measured: {} requests understood by h2o, 0 wrong", seen.len());
}

#[tokio::test]
async fn haproxy_understands_every_request() {
    let Some(server) = start(&H2Server::HaProxy) else {
        return;
    };
    let mut row = peers_table::Row::of(&server);
    let count = requests(150);
    let mut expected = Vec::new();
    for browser in BROWSERS {
        let (pool, name) = pool_of(browser, &server);
        for nth in 0..count {
            ask(&pool, &name, nth).await;
            let Asked {
                method,
                authority,
                path,
                ..
            } = Asked::nth(nth);
            expected.push(format!("{method} https://{authority}{path} HTTP/2.0"));
        }
        pool.close().await;
    }
    let seen = || {
        let output = server.output();
        let lines = output
            .lines()
            .filter_map(|line| line.split('"').nth(1).map(str::to_owned));
        lines.collect::<Vec<String>>()
    };
    measure::eventually(DEADLINE, "the log", || seen().len() >= expected.len()).await;
    let mut seen = seen();
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    row.case(servers::evidence(&server, "shaped requests", 1).await);
    println!("measured: {} requests understood by haproxy, 0 wrong", seen.len());
}

#[tokio::test]
async fn nghttpd_understands_every_request() {
    let Some(server) = start(&H2Server::Nghttpd) else {
        return;
    };
    let mut row = peers_table::Row::of(&server);
    let (count, mut wrong, mut all) = (requests(150), Vec::new(), 0);
    for browser in BROWSERS {
        let (pool, name) = pool_of(browser, &server);
        for nth in 0..count {
            ask(&pool, &name, nth).await;
        }
        pool.close().await;
        all += count;
        measure::eventually(DEADLINE, "the log", || servers::served(&server) >= all).await;
        let output = server.output();
        assert!(output.contains("SETTINGS_HEADER_TABLE_SIZE(0x01):65536"));
        let requests = nghttpds(&output);
        assert_eq!(requests.len(), all);
        for fields in requests.into_iter().skip(all - count) {
            let nth = fields.iter().find(|(name, _)| name == "x-nth");
            let nth = nth.and_then(|(_, nth)| nth.parse().ok());
            if nth.is_none_or(|nth| Asked::nth(nth).expected(browser) != fields) {
                wrong.push(fields);
            }
        }
    }
    row.case(servers::evidence(&server, "shaped requests", all).await);
    assert!(wrong.is_empty(), "{:?}", wrong.first());
    println!("measured: {all} requests understood by nghttpd, 0 wrong");
}

/// The fields of each request, as nghttpd's log has them, one line each.
fn nghttpds(output: &str) -> Vec<Vec<(String, String)>> {
    let mut requests: Vec<Vec<(String, String)>> = Vec::new();
    for line in output.lines() {
        let Some((_, field)) = line.split_once("recv (stream_id=") else {
            continue;
        };
        let Some((_, field)) = field.split_once(") ") else {
            continue;
        };
        if field.starts_with(":method: ") {
            requests.push(Vec::new());
        }
        let pseudo = usize::from(field.starts_with(':'));
        let (name, value) = field[pseudo..].split_once(": ").expect("a field");
        let name = field[..pseudo + name.len()].to_owned();
        requests
            .last_mut()
            .expect("a request")
            .push((name, value.to_owned()));
    }
    requests
}

/// A file of nginx's in whole, over as many windows as it needs.
#[tokio::test]
async fn ten_mebibytes_come_under_each_profile() {
    let Some(server) = start(&Nginx::default()) else {
        return;
    };
    let content: Vec<u8> = (0..10_u32 << 20)
        .map(|nth| (nth.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(server.place().dir.join("bytes"), &content).expect("a file");
    for browser in BROWSERS {
        let (pool, name) = pool_of(browser, &server);
        let mut conn = pool.get(name.as_str()).await.expect("a connection");
        let request = http::Request::get("https://peer.test/bytes")
            .body(())
            .expect("a request");
        let sent = conn
            .h2()
            .expect("HTTP/2")
            .send_request(request, true)
            .await
            .expect("a stream");
        let mut body = within("an answer", sent.0).await.expect("an answer").into_body();
        let mut received = Vec::with_capacity(content.len());
        while let Some(piece) = within("a piece", body.data()).await {
            let piece = piece.expect("a piece");
            received.extend_from_slice(&piece);
            body.flow_control()
                .release_capacity(piece.len())
                .expect("a window");
        }
        assert!(received == content, "{browser:?}: {} octets", received.len());
        drop((conn, body));
        pool.close().await;
    }
}
