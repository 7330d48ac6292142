//! Real browsers and our profiles, one after the other at one listener and under one decoder: nothing differs but what a browser draws. tshark says the
//! JA3s. Where a browser is not installed, that is said in the table of peers.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hotpool::fingerprint::{
    Akamai, Code, H2Spec, HelloSpec, Ja3, Ja4, Profile, Slot, UnknownVersion, hellos,
};
use parking_lot::Mutex;
use rustls::DEFAULT_VERSIONS;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::h2::{PREFACE, asking_as, block, decode, decoder, pool_at, request, split, within};
use crate::support::certs;
use crate::support::frames::{ACK, Frame, HEADERS, PING, SETTINGS, frame};
use crate::support::outside::Program;
use crate::support::outside::browser::{self, Browser, Kind};
use crate::support::outside::tshark::Tshark;
use crate::support::peers_table::{self, Row};

/// A browser that does not come within this time is started anew.
const COMES_WITHIN: Duration = Duration::from_secs(25);
const STARTS: usize = 3;

/// What a client sent on one connection.
struct Seen {
    /// As it came over TCP.
    raw: Vec<u8>,
    /// Decrypted, from the preface to the frame behind the request.
    flight: Vec<u8>,
}

/// What there is to be compared.
#[derive(Debug, PartialEq)]
struct Recipes {
    suites: Vec<Code>,
    slots: Vec<Slot>,
    reuses_x25519: bool,
    h2: H2Spec,
    fields: Vec<(String, String)>,
}

impl Seen {
    /// The recipe of the hello, with its extensions sorted where their order is drawn; that of HTTP/2; and the request's fields.
    fn recipes(&self, drawn: bool) -> Recipes {
        let hello = HelloSpec::from_client_hello(&self.raw).unwrap().spec;
        let mut slots = hello.slots().to_vec();
        if drawn {
            let last = slots.len() - 1;
            slots[1..last].sort_by_key(|slot| format!("{slot:?}"));
        }
        Recipes {
            suites: hello.cipher_suites().to_vec(),
            slots,
            reuses_x25519: hello.reuses_x25519(),
            h2: H2Spec::from_preface(&self.flight).unwrap().spec,
            fields: self.fields(),
        }
    }

    /// The frames, in their order.
    fn frames(&self) -> Vec<Frame> {
        let mut rest = &self.flight[PREFACE.len()..];
        let mut frames = Vec::new();
        while let Some((next, behind)) = split(rest) {
            frames.push(next);
            rest = behind;
        }
        frames
    }

    /// What it asks for, as it says it.
    fn asked(&self) -> Vec<(String, String)> {
        let frames = self.frames();
        let headers = frames.iter().find(|frame| frame.kind == HEADERS).unwrap();
        decode(&mut decoder(), block(headers).0).unwrap()
    }

    /// But for the authority's port, the path, and the word that says that there is no window.
    fn fields(&self) -> Vec<(String, String)> {
        let same = |(name, value): (String, String)| match name.as_str() {
            ":authority" => (name, "peer.test".to_owned()),
            ":path" => (name, "/".to_owned()),
            _ => (name, value.replace("Headless", "")),
        };
        self.asked().into_iter().map(same).collect()
    }

    /// What does not depend on when the server's SETTINGS came, up to the request and the update of its stream: all frames but acknowledgements.
    fn octets(&self) -> Vec<u8> {
        let mut frames = self.frames();
        frames.retain(|frame| frame.flags & ACK == 0 || !matches!(frame.kind, SETTINGS | PING));
        let frames = frames
            .iter()
            .map(|read| frame(read.kind, read.flags, read.stream, &read.payload));
        frames.fold(PREFACE.to_vec(), |bytes, frame| [bytes, frame].concat())
    }

    /// JA3 as tshark has it, with the extensions sorted where their order is drawn.
    fn ja3(&self, tshark: &Tshark, case: &str, drawn: bool) -> (String, peers_table::Evidence) {
        let (seen, evidence) = tshark.ja3(case, &[&self.raw]);
        let hello = hellos(&self.raw).next().unwrap().unwrap().hello;
        assert_eq!(seen[0][0].text, Ja3::of(&hello).text());
        let mut lists: Vec<String> = seen[0][0].text.split(',').map(str::to_owned).collect();
        if drawn {
            let mut extensions: Vec<u16> = lists[2].split('-').map(|one| one.parse().unwrap()).collect();
            extensions.sort_unstable();
            lists[2] = extensions
                .iter()
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join("-");
        }
        (lists.join(","), evidence)
    }
}

/// A socket that writes down what it reads.
struct Ear {
    tcp: TcpStream,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Ear {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.heard.lock().extend_from_slice(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for Ear {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A listener that tells of every connection on which there was a request, and answers each with an empty page.
async fn listen() -> (SocketAddr, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut config = certs::good().config(certs::provider(), DEFAULT_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            // A browser opens some that it does not use, and gives up others.
            tokio::spawn(async move {
                if let Ok(seen) = hear(tcp, acceptor).await {
                    let _ = tell.send(seen);
                }
            });
        }
    });
    (at, seen)
}

async fn hear(tcp: TcpStream, acceptor: TlsAcceptor) -> io::Result<Seen> {
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let ear = Ear {
        tcp,
        heard: Arc::clone(&heard),
    };
    let mut tls = acceptor.accept(ear).await?;
    tls.write_all(&frame(4, 0, 0, &[])).await?;
    tls.flush().await?;
    let (mut flight, mut pinged) = (Vec::new(), false);
    loop {
        let mut rest = flight.get(PREFACE.len()..).unwrap_or_default();
        let mut behind = None;
        while let Some((next, after)) = split(rest) {
            rest = after;
            match (next.kind, behind) {
                (HEADERS, None) => behind = Some(next.stream),
                (_, Some(stream)) => {
                    // One whole frame more: it is all there. An empty page, and the end.
                    let end = flight.len() - rest.len();
                    flight.truncate(end);
                    tls.write_all(&frame(HEADERS, 5, stream, &[0x88])).await?;
                    tls.shutdown().await?;
                    let raw = heard.lock().clone();
                    return Ok(Seen { raw, flight });
                }
                _ => {}
            }
        }
        if behind.is_some() && !pinged {
            // Whoever says nothing more by itself answers this.
            tls.write_all(&frame(PING, 0, 0, &[0; 8])).await?;
            tls.flush().await?;
            pinged = true;
        }
        if tls.read_buf(&mut flight).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// What the browser sends. It is started anew if it does not come.
async fn visit(browser: &Browser, at: SocketAddr, seen: &mut mpsc::UnboundedReceiver<Seen>) -> Seen {
    let mut output = String::new();
    for _ in 0..STARTS {
        let running = browser.open(at);
        if let Ok(Some(seen)) = tokio::time::timeout(COMES_WITHIN, seen.recv()).await {
            return seen;
        }
        output = running.output();
    }
    panic!("{} does not come to {at}: {output}", browser.version());
}

/// What a pool of the profile sends, with the profile's own headers or for this request.
async fn imitate(
    profile: &Profile,
    at: SocketAddr,
    seen: &mut mpsc::UnboundedReceiver<Seen>,
    asked: Option<http::Request<()>>,
) -> Seen {
    let (pool, name) = pool_at(profile.clone(), at.port(), [at.ip()]);
    let mut conn = pool.get(name.as_str()).await.unwrap();
    let asked = asked.unwrap_or_else(|| asking_as(profile, &name));
    let sent = conn.h2().unwrap().send_request(asked, true).await;
    let (response, _) = sent.unwrap();
    let answered = tokio::join!(response, within("the listener", seen.recv())).1;
    drop(conn);
    pool.close().await;
    answered.unwrap()
}

async fn compare(kind: Kind, known: fn(u32) -> Result<Profile, UnknownVersion>) {
    let name = browser::name(kind);
    let Some(browser) = Browser::find(kind) else {
        return peers_table::skip(name, "is not installed");
    };
    let Ok(profile) = known(browser.major().expect("a version")) else {
        // With its version, for `.ci/unheld`.
        return Row::of(&browser).skip("every case", "is of a version of which there is no profile");
    };
    let (at, mut seen) = listen().await;
    let theirs = visit(&browser, at, &mut seen).await;
    // Another listener: a browser that was not wanted any more may come late.
    let (at, mut seen) = listen().await;
    let ours = imitate(&profile, at, &mut seen, None).await;
    // The very same request, to the octet.
    let same = imitate(&profile, at, &mut seen, Some(request(&theirs.asked()))).await;
    let (sent, captured) = (same.octets(), theirs.octets());
    assert!(
        sent == captured,
        "{}:\n{sent:02x?}\n{captured:02x?}",
        browser.version()
    );
    let drawn = kind == Kind::Chromium;
    assert_eq!(
        ours.recipes(drawn),
        theirs.recipes(drawn),
        "{}",
        browser.version()
    );
    let akamai = |seen: &Seen| Akamai::of_bytes(&seen.flight).unwrap().to_string();
    assert_eq!(akamai(&ours), akamai(&theirs));
    assert_eq!(akamai(&ours), profile.h2().unwrap().akamai().to_string());
    let hello = |seen: &Seen| hellos(&seen.raw).next().unwrap().unwrap();
    let ja4 = |seen: &Seen| Ja4::of(&hello(seen).hello).to_string();
    assert_eq!(ja4(&ours), ja4(&theirs));
    if !drawn {
        // Nothing of its length is drawn.
        assert_eq!(hello(&ours).message.len(), hello(&theirs).message.len());
    }
    let mut row = Row::of(&browser);
    let came = [&theirs]
        .iter()
        .filter(|seen| browser.is_named_in(&seen.fields()))
        .count();
    row.case(browser.evidence("the first flight, as our profile's", came));
    let Some(tshark) = Tshark::find() else {
        return peers_table::skip("tshark", "not installed");
    };
    let mut row = Row::of(&tshark);
    let (our_ja3, evidence) = ours.ja3(&tshark, &format!("JA3 of the profile of {name}"), drawn);
    row.case(evidence);
    let (their_ja3, evidence) = theirs.ja3(&tshark, &format!("JA3 of a live {name}"), drawn);
    row.case(evidence);
    assert_eq!(our_ja3, their_ja3);
}

/// A table with nothing but the version and the reason, of which `.ci/unheld` makes its banner.
#[test]
fn a_browser_without_a_profile_of_its_version_stands_in_the_table() {
    let Some(browser) = Browser::find(Kind::Chromium) else {
        return peers_table::skip("chromium", "is not installed");
    };
    let table = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("unheld-{}", std::process::id()));
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "live::meets_a_version_of_which_there_is_no_profile",
        ])
        .env("HOTPOOL_PEERS_TABLE", &table)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let version = browser.version();
    assert_eq!(
        std::fs::read_to_string(&table).unwrap(),
        format!("chromium\t{version}\t0\t1\tevery case: is of a version of which there is no profile\n")
    );
    let root = env!("CARGO_MANIFEST_DIR");
    let said = Command::new("bash")
        .arg(format!("{root}/.ci/unheld"))
        .arg(&table)
        .output()
        .unwrap();
    std::fs::remove_file(table).unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains(&format!("chromium: {version}: every case: is of a version")),
        "{said}"
    );
}

/// Run by the test above only.
#[tokio::test]
#[ignore = "the child of another test"]
async fn meets_a_version_of_which_there_is_no_profile() {
    compare(Kind::Chromium, |_| Profile::chromium(0)).await;
}

#[tokio::test]
async fn chromium_sends_what_its_profile_sends() {
    compare(Kind::Chromium, Profile::chromium).await;
}

#[tokio::test]
async fn firefox_sends_what_its_profile_sends() {
    compare(Kind::Firefox, Profile::firefox_esr).await;
}
