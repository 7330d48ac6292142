//! Servers of other makers: every case of the table, with every profile, verification on.

use std::sync::Arc;

use hotpool::fingerprint::{Ja4, kind};
use hotpool::shaped::Connection;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::matrix;
use crate::support::certs;
use crate::support::outside::tls::{Maker, Said, TlsServer};
use crate::support::outside::{self, Outside};
use crate::support::peers_table::{self, Row};
use crate::world::{BROWSERS, Browser, Client, Wire};

/// Asks for `/` and reads the answer to its end.
async fn ask(client: &Client, server: &Outside) -> std::io::Result<(Connection<Wire<TcpStream>>, Said)> {
    let tcp = TcpStream::connect(server.addr(0)).await?;
    let mut connection = client.connect(Wire::new(tcp)).await?;
    connection
        .write_all(b"GET / HTTP/1.1\r\nHost: peer.test\r\nConnection: close\r\n\r\n")
        .await?;
    connection.flush().await?;
    let mut answer = Vec::new();
    // Some end without a close_notify.
    let ended = connection.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(ended.is_ok() || !answer.is_empty(), "{ended:?}");
    Ok((connection, Said::read(&text)))
}

/// The cases that every maker can run: how the server is set up, and what each connection to it must be like.
struct Case {
    server: TlsServer,
    own: bool,
    only: Option<Browser>,
    /// The extensions with which the server must answer, if they were offered.
    answers: &'static [u16],
    expected: Vec<Expected>,
}

struct Expected {
    tls13: bool,
    resumed: bool,
    /// Whether a ticket of TLS 1.3 is offered, though nothing is resumed.
    offers: bool,
    hellos: usize,
    group: Option<u16>,
}

const NORMAL: Expected = Expected {
    tls13: true,
    resumed: false,
    offers: false,
    hellos: 1,
    group: None,
};

fn case(maker: Maker, name: &str) -> Case {
    let mut case = Case {
        server: TlsServer::of(maker),
        own: false,
        only: None,
        answers: &[],
        expected: vec![NORMAL],
    };
    let again = |first: Expected| Expected {
        resumed: true,
        ..first
    };
    match name {
        "full 1.3" => {}
        "resumed 1.3" => case.expected.push(again(NORMAL)),
        "full 1.2" | "resumed 1.2" | "client certificate 1.2" | "timestamps 1.2" => {
            case.server.tls12 = true;
            case.expected[0].tls13 = false;
            case.own = name.starts_with("client");
            if name == "resumed 1.2" {
                case.expected.push(Expected {
                    tls13: false,
                    ..again(NORMAL)
                });
            }
        }
        "client certificate 1.3" => case.own = true,
        "retry to P-256" => {
            case.only = Some(Browser::Chromium);
            case.server.group = "P-256";
            case.expected = vec![Expected {
                hellos: 2,
                group: Some(0x17),
                ..NORMAL
            }];
        }
        "retry to P-384" => {
            case.server.group = "P-384";
            case.expected = vec![Expected {
                hellos: 2,
                group: Some(0x18),
                ..NORMAL
            }];
        }
        "third share" => {
            case.only = Some(Browser::Firefox);
            case.server.group = "P-256";
            case.expected = vec![Expected {
                group: Some(0x17),
                ..NORMAL
            }];
        }
        "X25519MLKEM768" => case.expected[0].group = Some(0x11ec),
        "record_size_limit" => {
            case.answers = &[kind::RECORD_SIZE_LIMIT];
            case.server.more.push("--recordsize=16384".to_owned());
        }
        "timestamps 1.3" => {}
        "ECH retry configs" => {
            case.answers = &[kind::ENCRYPTED_CLIENT_HELLO];
            case.server.more.push("--ech".to_owned());
        }
        "1.2 after a 1.3 ticket" => {
            case.server.more.push("--older-again".to_owned());
            case.expected.push(Expected {
                tls13: false,
                offers: true,
                ..NORMAL
            });
        }
        "zlib certificate" | "brotli certificate" | "zstd certificate" => {
            let algorithm = name.split(' ').next().unwrap();
            case.server.more.push(format!("--compress-cert={algorithm}"));
        }
        other => panic!("{other} is not everybody's"),
    }
    if name.starts_with("timestamps") {
        case.server.stamps = true;
        case.answers = &[kind::SIGNED_CERTIFICATE_TIMESTAMP];
    }
    case.server.clients = case.own;
    case
}

fn client(browser: Browser, own: bool) -> Client {
    let own = own.then(|| certs::authority().client("client"));
    Client::with(&browser.spec(), certs::authority().roots(), own)
}

/// Runs a case against a server, and says what it said.
async fn run(maker: Maker, name: &str, row: &mut Option<Row>) {
    let case = case(maker, name);
    let server = outside::start_good(&case.server, 1).unwrap();
    let row = row.get_or_insert_with(|| Row::of(&server));
    for browser in BROWSERS {
        if case.only.is_some_and(|only| only != browser) {
            continue;
        }
        let client = client(browser, case.own);
        for (nth, expected) in case.expected.iter().enumerate() {
            let what = format!("{maker:?} {name} {browser:?}");
            let (connection, said) = match ask(&client, &server).await {
                Ok(both) => both,
                Err(error) => panic!("{what}: {error:?}\n{}", server.output()),
            };
            check(&what, browser, expected, &connection, &said);
            for answer in case.answers {
                let offered = connection.hellos()[0].extension(*answer).is_some();
                let answered = offered && !expected.resumed;
                assert_eq!(connection.answers.contains(answer), answered, "{what}: {answer}");
            }
            let evidence = format!("{name} {browser:?} {nth}");
            row.case(said.evidence(&server, &evidence));
        }
        matrix::filled(outside::Recipe::name(&case.server), name, &format!("{browser:?}"));
    }
}

fn check(
    what: &str,
    browser: Browser,
    expected: &Expected,
    connection: &Connection<Wire<TcpStream>>,
    said: &Said,
) {
    assert_eq!(
        (said.tls13, said.resumed),
        (expected.tls13, expected.resumed),
        "{what}: {}",
        said.text
    );
    let session = connection.session();
    let version = if expected.tls13 {
        ProtocolVersion::TLSv1_3
    } else {
        ProtocolVersion::TLSv1_2
    };
    assert_eq!(session.protocol_version(), Some(version), "{what}");
    assert_eq!(
        session.handshake_kind() == Some(HandshakeKind::Resumed),
        expected.resumed,
        "{what}"
    );
    let hellos = connection.transport().hellos();
    assert_eq!(hellos.len(), expected.hellos, "{what}");
    for found in &hellos {
        let resumes_13 = expected.offers || expected.resumed && expected.tls13;
        assert_eq!(
            Ja4::of(&found.hello).to_string(),
            browser.ja4(resumes_13),
            "{what}"
        );
    }
    if let Some(group) = expected.group {
        let told = session.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(
            connection.group.map(NamedGroup::from).or(told),
            Some(NamedGroup::from(group)),
            "{what}"
        );
    }
}

/// Wrong certificates.
async fn refuse(maker: Maker) {
    let server = TlsServer::of(maker);
    let leaves = [
        (certs::wrong_name(), "NotValidForName"),
        (certs::unknown_ca(), "UnknownIssuer"),
        (certs::expired(), "Expired"),
    ];
    for (leaf, why) in &leaves {
        let server = outside::start(&server, 1, leaf).unwrap();
        for browser in BROWSERS {
            let error = ask(&client(browser, false), &server).await.err().unwrap();
            assert!(format!("{error:?}").contains(*why), "{maker:?}: {error:?}");
        }
    }
    matrix::filled(
        outside::Recipe::name(&server),
        "refused certificates",
        "every profile",
    );
}

/// Chromium offers application settings with HTTP/2 and exchanges them: on a first connection and a resumed one, after a HelloRetryRequest, and
/// with a client certificate between them and the Finished.
async fn settings(maker: Maker, row: &mut Option<Row>) {
    for (group, own) in [("", false), ("P-384", false), ("", true), ("P-384", true)] {
        let setup = TlsServer {
            group,
            clients: own,
            more: vec!["--settings".to_owned()],
            ..TlsServer::of(maker)
        };
        let server = outside::start_good(&setup, 1).unwrap();
        let row = row.get_or_insert_with(|| Row::of(&server));
        for browser in BROWSERS {
            let client = client(browser, own);
            for resumed in [false, true] {
                let what = format!("settings {browser:?} {group} own={own} resumed={resumed}");
                let (connection, said) = match ask(&client, &server).await {
                    Ok(both) => both,
                    Err(error) => panic!("{what}: {error:?}\n{}", server.output()),
                };
                let expected = browser == Browser::Chromium;
                assert_eq!(
                    connection.answers.contains(&kind::APPLICATION_SETTINGS),
                    expected,
                    "{what}"
                );
                assert!(
                    said.text.contains(&format!("settings={expected}")),
                    "{what}: {}",
                    said.text
                );
                assert_eq!((said.tls13, said.resumed), (true, resumed), "{what}");
                assert_eq!(connection.session().alpn_protocol(), Some(&b"h2"[..]));
                row.case(said.evidence(&server, &what));
            }
            matrix::filled(
                outside::Recipe::name(&setup),
                "application settings",
                &format!("{browser:?}"),
            );
        }
    }
}

async fn all(maker: Maker) {
    let (recipe, mut row) = (TlsServer::of(maker), None);
    let name = outside::Recipe::name(&recipe);
    if !outside::is_installed(&recipe) {
        return peers_table::skip(name, "is not installed");
    }
    for (case, run_it) in matrix::column(name) {
        match case.as_str() {
            _ if !run_it => {}
            "refused certificates" => refuse(maker).await,
            "application settings" => settings(maker, &mut row).await,
            _ => run(maker, &case, &mut row).await,
        }
    }
}

#[tokio::test]
async fn openssl() {
    all(Maker::OpenSsl).await;
}

#[tokio::test]
async fn gnutls() {
    all(Maker::GnuTls).await;
}

#[tokio::test]
async fn nginx() {
    all(Maker::Nginx).await;
}

#[tokio::test]
async fn haproxy() {
    all(Maker::HaProxy).await;
}

#[tokio::test]
async fn boringssl() {
    all(Maker::BoringSsl).await;
}

#[tokio::test]
async fn go() {
    all(Maker::Go).await;
}

/// A profile that a provider cannot serve is refused when the shape is made.
#[test]
fn profiles_with_ml_kem_need_it() {
    let without = rustls::crypto::CryptoProvider {
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::X25519],
        ..rustls::crypto::CryptoProvider::clone(&Arc::clone(&certs::provider()))
    };
    for browser in BROWSERS {
        let error = hotpool::shaped::Shape::new(&browser.spec(), &without).unwrap_err();
        assert!(error.to_string().contains("profile"), "{error}");
    }
}
