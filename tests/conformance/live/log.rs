//! What may stand in a log: what the documentation names, no secret, and of a peer's own words none that does harm.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotpool::{
    CloseReason, ErrorKind, GetOptions, HotConn, HotConnPool, Protocol, Proxy, ProxyLogin, ProxyProtocol,
    Resting, StaticResolver,
};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::{alone_with_its_log, lease};
use crate::common::{builder, failure, finish, host, let_run, name, pool, round, within};
use crate::support::certs;
use crate::support::frames::{self, FramePeer};
use crate::support::peer::{Act, Alpn, Peer, To};
use crate::support::proxy::{Manner, Proxy as Fake};

const SECOND: Duration = Duration::from_secs(1);

/// A name, its level, and its fields.
type Entry = (String, String, BTreeSet<String>);

/// Something that was logged: an event by its message, a span by its name; with the text of each field.
#[derive(Clone, Debug)]
struct Note {
    target: String,
    name: String,
    level: String,
    fields: BTreeMap<String, String>,
}

impl Note {
    fn entry(&self) -> Entry {
        let fields = self.fields.keys().cloned().collect();
        (self.name.clone(), self.level.clone(), fields)
    }
}

impl Visit for Note {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.name = text,
            name => _ = self.fields.insert(name.to_owned(), text),
        }
    }
}

/// Writes everything down, whoever logs it, at every level.
#[derive(Clone, Default)]
struct Scribe(Arc<Mutex<Vec<Note>>>);

impl Scribe {
    fn note(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Note)) {
        let mut note = Note {
            target: metadata.target().to_owned(),
            name: metadata.name().to_owned(),
            level: metadata.level().to_string().to_lowercase(),
            fields: BTreeMap::new(),
        };
        record(&mut note);
        self.0.lock().push(note);
    }

    /// What the pool itself said.
    fn ours(&self) -> Vec<Note> {
        let all = self.0.lock();
        all.iter()
            .filter(|note| note.target == "hotpool")
            .cloned()
            .collect()
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.note(attributes.metadata(), |note| attributes.record(note));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.note(event.metadata(), |note| event.record(note));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The words that stand between backticks and are no link.
fn quoted(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('`').collect();
    let pairs = parts.windows(2).enumerate().filter(|(nth, _)| nth % 2 == 0);
    pairs
        .filter(|(_, pair)| !pair[0].ends_with('['))
        .map(|(_, pair)| pair[1].to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// What the crate's documentation lists: events and spans.
fn documented() -> BTreeSet<Entry> {
    let text = include_str!("../../../src/guide/observability.md");
    let from = text.split_once("\n# Events\n").expect("its section").1;
    let section = from.split_once("\n# What is never shown\n").expect("its end").0;
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut entries = BTreeSet::new();
    for row in rows {
        let row = format!("`{row}");
        let columns: Vec<&str> = row.split('|').collect();
        let (names, levels) = (quoted(columns[0]), columns[1].split(',').map(str::trim));
        let fields: BTreeSet<_> = quoted(columns[2]).into_iter().collect();
        entries.extend(
            names
                .into_iter()
                .zip(levels)
                .map(|(name, level)| (name, level.to_owned(), fields.clone())),
        );
    }
    entries
}

/// The text up to the parenthesis that ends it.
fn arguments(text: &str) -> &str {
    let (mut depth, mut quoted) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return &text[..at],
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    panic!("no end of {text}");
}

/// One call of a macro: its name, if it has one, and its fields.
fn logged(arguments: &str, level: &str) -> Entry {
    let (mut name, mut fields) = (String::new(), BTreeSet::new());
    for part in arguments
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part.split_once(':') {
            Some(("target", target)) => assert_eq!(target.trim(), "\"hotpool\""),
            Some(("parent", _)) => {}
            _ if part.starts_with('"') => name = part.trim_matches('"').to_owned(),
            _ => {
                let field = part.split('=').next().unwrap();
                _ = fields.insert(field.trim().trim_start_matches(['?', '%']).to_owned());
            }
        }
    }
    (name, level.to_owned(), fields)
}

/// What the source can say, but for what is planted in it.
fn in_the_source(folder: &Path, found: &mut BTreeSet<Entry>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            in_the_source(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for level in ["error", "warn", "info", "debug", "trace"] {
            for call in [format!("{level}!(target:"), format!("{level}_span!(target:")] {
                let mut rest = text.as_str();
                while let Some(at) = rest.find(&call) {
                    let before = rest[..at].trim_end().trim_end_matches("tracing::").trim_end();
                    rest = &rest[at + call.len() - "target:".len()..];
                    if !before
                        .lines()
                        .next_back()
                        .is_some_and(|line| line.contains("if planted("))
                    {
                        found.insert(logged(arguments(rest), level));
                    }
                }
            }
        }
    }
}

/// The list in the documentation, what the source says, and what is heard when everything happens: all the same.
#[test]
fn the_log_is_what_the_documentation_says() {
    alone_with_its_log("live::log::the_log_is_what_the_documentation_says", async {
        let documented = documented();
        let mut written = BTreeSet::new();
        in_the_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut written);
        assert_eq!(written, documented);

        let scribe = Scribe::default();
        let _writing = tracing::subscriber::set_default(scribe.clone());
        let clock = hotpool::clock::ManualClock::new();
        let policy = |_: Resting<'_>| -> bool { panic!("the policy's own trouble") };
        let peer = Peer::builder().alpn(Alpn::Http2).start();
        let pool = builder(&peer, |config| {
            (config.cleanup_interval, config.leak_timeout) = (10 * SECOND, 20 * SECOND);
        });
        let pool = pool.clock(clock.clone()).cleanup_policy(policy).build().unwrap();
        let held = lease(&pool, &name(&peer)).await;
        round(&pool, &host(&peer, "a.peer.test")).await;
        peer.next(To::All, 1, Act::ResetAfterHello);
        _ = failure(&pool, &host(&peer, "b.peer.test")).await;
        let fake = Fake::start(peer.ips()[0], Manner::Http, peer.addr(0)).await;
        let proxied = by_proxy(&peer, &fake, None);
        drop(lease(&proxied, &name(&peer)).await);
        for _ in 0..30 {
            clock.advance(SECOND);
            let_run().await;
        }
        within("close", proxied.close()).await;
        drop(pool);
        drop(held);
        let_run().await;
        let heard: BTreeSet<Entry> = scribe.ours().iter().map(Note::entry).collect();
        // Descriptors get short in a process of their own: `life::descriptors_that_get_short_are_told`.
        let expected = documented
            .into_iter()
            .filter(|(name, ..)| !name.starts_with("descriptors"));
        assert_eq!(heard, expected.collect());
        peer.shutdown().await;
    });
}

/// Bytes in the ways in which they might come to stand in a text.
fn spellings(bytes: &[u8]) -> [String; 3] {
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let list = format!("{bytes:?}");
    [hex.to_uppercase(), hex, list.trim_matches(['[', ']']).to_owned()]
}

/// Whether a field's text is of its kind, and so nothing else.
fn is_of_its_kind(field: &str, text: &str, names: &[String]) -> bool {
    let host = |text: &str| {
        names
            .iter()
            .any(|name| name == text || name.split(':').next() == Some(text))
    };
    let text = text.trim_matches('"');
    match field {
        "host" => host(text),
        "conn" | "connections" | "open" | "limit" => text.parse::<u64>().is_ok(),
        "ip" => text.parse::<IpAddr>().is_ok(),
        "protocol" => [Protocol::Http1, Protocol::Http2]
            .iter()
            .any(|known| known.to_string() == text),
        "reason" => CloseReason::ALL.iter().any(|known| known.name() == text),
        "error" => text.split(": ").next().is_some_and(host) && text.len() < 120,
        _ => false,
    }
}

async fn with_secrets(conn: &mut HotConn, secret: &str) {
    match conn.protocol() {
        Protocol::Http2 => {
            let request = http::Request::get(format!("https://peer.test/?token={secret}"))
                .header("authorization", format!("Bearer {secret}"))
                .header("cookie", format!("session={secret}"))
                .body(())
                .unwrap();
            let (response, _) = conn.h2().unwrap().send_request(request, true).await.unwrap();
            assert_eq!(within("an answer", response).await.unwrap().status(), 200);
        }
        _ => {
            let head = format!(
                "GET /?token={secret} HTTP/1.1\r\nhost: peer.test\r\nauthorization: Bearer {secret}\r\ncookie: a={secret}\r\n\r\n"
            );
            conn.write_all(head.as_bytes()).await.unwrap();
            conn.flush().await.unwrap();
            use tokio::io::AsyncReadExt;
            assert!(within("an answer", conn.read(&mut [0; 1000])).await.unwrap() > 0);
        }
    }
}

/// Keys, certificates, tickets, what is asked for and with which credentials: it passes through the pool, over both protocols, resumed and not, and
/// none of it stands in a log of any level, nor in what shows itself for one.
#[test]
fn no_secret_is_logged() {
    alone_with_its_log("live::log::no_secret_is_logged", async {
        const SECRET: &str = "5f1e8a-hush-hush-0c77";
        let scribe = Scribe::default();
        let _writing = tracing::subscriber::set_default(scribe.clone());
        let client = certs::authority().client("a client");
        let leaf = certs::good();
        let (mut shown, mut names) = (Vec::new(), Vec::new());
        for alpn in [Alpn::Http1, Alpn::Http2] {
            let peer = Peer::builder().alpn(alpn).tickets(2);
            let peer = peer
                .client_auth(certs::authority().roots())
                .certificate(certs::good())
                .start();
            peer.switch_certificate(To::All, &leaf);
            let building = builder(&peer, |_| {}).client_identity(client.chain.clone(), client.key());
            shown.push(format!("{building:?}"));
            let pool = building.build().unwrap();
            let name = name(&peer);
            names.push(name.clone());
            for _ in 0..3 {
                let options = GetOptions::new().partition(format!("account {SECRET}"));
                shown.push(format!("{options:?}").replace("account ", "")); // whose beginning is shown
                let mut conn = within("a connection", pool.get_with(&name, options))
                    .await
                    .unwrap();
                with_secrets(&mut conn, SECRET).await;
                shown.push(format!("{conn:?} {:?}", conn.info()));
                conn.discard();
            }
            peer.next(To::All, 1, Act::ResetAfterHello);
            let error = failure(&pool, &name).await;
            shown.push(format!("{error} {error:?}"));
            shown.push(format!("{pool:?} {:?} {:?}", pool.stats(), pool.manager()));
            finish(pool, peer).await;
        }
        let ours = scribe.ours();
        assert!(ours.len() > 20, "{ours:?}");
        for note in &ours {
            for (field, text) in &note.fields {
                assert!(is_of_its_kind(field, text, &names), "{note:?}");
            }
        }
        // The others' log, too: h2's, say.
        shown.extend(scribe.0.lock().iter().map(|note| format!("{note:?}")));
        let key = client.key();
        let bytes: [&[u8]; 3] = [key.secret_der(), &client.chain[0], &leaf.chain[0]];
        // Some bytes from within: the first ones say only of what kind it is.
        let mut secrets: Vec<String> = bytes.iter().flat_map(|bytes| spellings(&bytes[60..68])).collect();
        secrets.push(SECRET.to_owned());
        for (text, secret) in shown
            .iter()
            .flat_map(|text| secrets.iter().map(move |secret| (text, secret)))
        {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    });
}

/// A pool that goes through this proxy, by this password.
fn by_proxy(peer: &Peer, fake: &Fake, password: Option<&str>) -> HotConnPool {
    let proxy = Proxy::new(ProxyProtocol::Http, &fake.addr().to_string()).unwrap();
    let proxy = match password {
        Some(password) => proxy.login(ProxyLogin::new("somebody", password).unwrap()),
        None => proxy,
    };
    let building = builder(peer, |_| {}).proxy(proxy);
    let shown = format!("{building:?}");
    assert!(password.is_none_or(|password| !shown.contains(password)));
    building.build().unwrap()
}

/// Who somebody is to a proxy is nobody else's business, whether the proxy takes it or not.
#[test]
fn no_login_is_logged() {
    alone_with_its_log("live::log::no_login_is_logged", async {
        const SECRET: &str = "5f1e8a-hush-hush-0c77";
        let scribe = Scribe::default();
        let _writing = tracing::subscriber::set_default(scribe.clone());
        let peer = Peer::builder().alpn(Alpn::Http1).start();
        let fake = Fake::start(peer.ips()[0], Manner::Http, peer.addr(0)).await;
        let pool = by_proxy(&peer, &fake, Some(SECRET));
        let mut shown = Vec::new();
        let conn = lease(&pool, &name(&peer)).await;
        shown.push(format!("{conn:?} {:?} {pool:?} {:?}", conn.info(), pool.stats()));
        drop(conn);
        fake.take("somebody:else");
        let error = failure(&pool, &host(&peer, "a.peer.test")).await;
        assert_eq!(error.kind(), ErrorKind::ProxyLogin);
        shown.push(in_full(&error));
        let own = GetOptions::new().proxy_login(ProxyLogin::new("somebody", SECRET).unwrap());
        shown.push(format!("{own:?}"));
        shown.extend(scribe.0.lock().iter().map(|note| format!("{note:?}")));
        let spoken = data_encoding::BASE64.encode(format!("somebody:{SECRET}").as_bytes());
        for text in &shown {
            for secret in ["somebody", SECRET, &spoken] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
        assert_eq!(
            fake.asked()[0].login.as_deref(),
            Some(&*format!("somebody:{SECRET}"))
        );
        finish(pool, peer).await;
    });
}

/// An error as it is logged: its own line, with its sources, and for those who look closely.
fn in_full(error: &hotpool::Error) -> String {
    let mut text = format!("{error:?} {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").unwrap();
        source = cause.source();
    }
    text
}

#[track_caller]
fn is_harmless(text: &str) {
    let harmful = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!text.contains(harmful), "{text:?}");
    assert!(text.chars().count() < 1000, "{} characters", text.chars().count());
}

/// Names in a certificate and the words of a GOAWAY, of any length and with anything in them.
#[test]
fn what_a_peer_says_is_escaped_and_cut() {
    alone_with_its_log("live::log::what_a_peer_says_is_escaped_and_cut", async {
        let scribe = Scribe::default();
        let _writing = tracing::subscriber::set_default(scribe.clone());
        let mut ugly = vec!["ugly\u{1b}[2J\r\nERROR all is lost.test".to_owned()];
        ugly.extend((0..100).map(|nth| format!("a-long-name-number-{nth}.peer.test.example")));
        let ugly: Vec<&str> = ugly.iter().map(String::as_str).collect();
        let peer = Peer::builder()
            .certificate(certs::authority().server(&ugly))
            .start();
        let pool = pool(&peer, |_| {});
        let error = failure(&pool, &name(&peer)).await;
        let cause = error.cause().unwrap().to_string();
        assert!(
            cause.contains('\u{1b}') && cause.len() > 2000,
            "it does say it: {cause:?}"
        );
        let text = in_full(&error);
        assert!(text.contains("\\u{1b}[2J\\r\\nERROR"), "{text}");
        is_harmless(&text);
        finish(pool, peer).await;

        let peer = FramePeer::start(|mut wire| {
            Box::pin(async move {
                wire.settings(&[]).await;
                if wire.request().await.is_some() {
                    let mut payload = vec![0, 0, 0, 0, 0, 0, 0, 11];
                    payload.extend(b"\x1b[2J\r\n".repeat(500));
                    _ = wire.write(frames::GOAWAY, 0, 0, &payload).await;
                }
                wire.serve().await;
            })
        });
        let target = format!("peer.test:{}", peer.port());
        let pool = HotConnPool::builder()
            .roots(certs::authority().roots())
            .resolver(StaticResolver::new().with(&*target, [peer.ip()]).unwrap())
            .build()
            .unwrap();
        let mut conn = lease(&pool, &target).await;
        let request = || http::Request::get("https://peer.test/").body(()).unwrap();
        let (response, _) = conn.h2().unwrap().send_request(request(), true).await.unwrap();
        let theirs = within("an answer", response).await.unwrap_err();
        assert!(theirs.to_string().len() > 2000, "it does say it: {theirs}");
        let ours = conn
            .h2()
            .unwrap()
            .send_request(request(), true)
            .await
            .map(drop)
            .unwrap_err();
        assert!(
            in_full(&ours).contains("ENHANCE_YOUR_CALM") || ours.kind() == ErrorKind::Http2,
            "{ours:?}"
        );
        is_harmless(&in_full(&ours));
        drop(conn);
        within("close", pool.close()).await;
        for note in scribe.ours() {
            is_harmless(&format!("{note:?}"));
        }
    });
}
