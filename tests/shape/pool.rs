//! Profiles of a whole pool: what its connections tell of themselves, and what becomes of those that a server does not take.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hotpool::fingerprint::{Code, HelloSpec, Profile, Slot, kind};
use hotpool::{
    Builder, ErrorKind, GetOptions, HotConnPool, OnShapeRejected, PoolConfig, Require, StaticResolver, Tls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::certs;
use crate::support::outside::tls::{Maker, TlsServer};
use crate::support::outside::{self, Outside};
use crate::support::peer::{Alpn, Peer};
use crate::world::{BROWSERS, Browser};

pub(crate) fn builder(at: SocketAddr) -> (Builder, String) {
    let name = format!("peer.test:{}", at.port());
    let resolver = StaticResolver::new().with(&*name, [at.ip()]).unwrap();
    (HotConnPool::builder().resolver(resolver), name)
}

pub(crate) fn setup(profile: Profile, act: OnShapeRejected) -> Tls {
    Tls::builder()
        .roots(certs::authority().roots())
        .profile(profile)
        .on_shape_rejected(act)
        .build()
        .unwrap()
}

/// Asks for `/` on a fresh connection that closes after.
pub(crate) async fn once(pool: &HotConnPool, name: &str) -> Result<hotpool::ConnInfo, hotpool::Error> {
    let mut conn = pool
        .get_with(name, GetOptions::new().require(Require::Http1))
        .await?;
    let info = conn.info().clone();
    conn.write_all(b"GET / HTTP/1.1\r\nHost: peer.test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    conn.flush().await.unwrap();
    let mut answer = Vec::new();
    let _ = conn.read_to_end(&mut answer).await;
    assert!(
        answer.starts_with(b"HTTP/1."),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(info)
}

#[tokio::test]
async fn connections_tell_what_they_sent() {
    for browser in BROWSERS {
        let peer = Peer::builder().alpn(Alpn::Both).start();
        let (builder, name) = builder(peer.addr(0));
        let pool = builder
            .roots(certs::authority().roots())
            .profile(browser.profile())
            .build()
            .unwrap();
        let conn = pool.get(name.as_str()).await.unwrap();
        let tls = conn.info().tls.clone();
        let prints = tls.prints.unwrap();
        assert!(tls.shaped);
        assert_eq!(tls.group, Some(0x11ec));
        assert_eq!(prints.ja4().to_string(), browser.ja4(false));
        if browser == Browser::Firefox {
            assert_eq!(prints.ja3().to_string(), "6447ab086255d194909d4013b1a89e87");
        }
        // Another identity, and another JA4: one protocol alone is offered.
        let only = pool
            .get_with(name.as_str(), GetOptions::new().require(Require::Http1))
            .await
            .unwrap();
        let ja4 = only.info().tls.prints.clone().unwrap().ja4().to_string();
        assert!(ja4[..10].ends_with("h1"), "{ja4}");
        drop((conn, only));
        pool.close().await;
    }
}

#[tokio::test]
async fn without_a_profile_they_tell_as_well() {
    let peer = Peer::builder().alpn(Alpn::Both).start();
    let (builder, name) = builder(peer.addr(0));
    let pool = builder.roots(certs::authority().roots()).build().unwrap();
    let conn = pool.get(name.as_str()).await.unwrap();
    let tls = &conn.info().tls;
    assert!(!tls.shaped && !tls.application_settings);
    assert!(tls.prints.clone().unwrap().ja4().to_string().starts_with("t13d"));
    drop(conn);
    pool.close().await;
}

#[tokio::test]
async fn idle_connections_of_a_profile_are_reused() {
    for browser in BROWSERS {
        let peer = Peer::builder().alpn(Alpn::Http1).start();
        let (builder, name) = builder(peer.addr(0));
        let pool = builder
            .roots(certs::authority().roots())
            .profile(browser.profile())
            .build()
            .unwrap();
        let mut serials = Vec::new();
        for _ in 0..3 {
            let mut conn = pool.get(name.as_str()).await.unwrap();
            conn.write_all(b"GET /bytes/10 HTTP/1.1\r\nHost: peer.test\r\n\r\n")
                .await
                .unwrap();
            conn.flush().await.unwrap();
            let mut answer = Vec::new();
            while !answer.windows(4).any(|end| end == b"\r\n\r\n") || answer.len() < 40 {
                let mut space = [0; 1024];
                let count = conn.read(&mut space).await.unwrap();
                answer.extend_from_slice(&space[..count]);
            }
            serials.push(conn.info().serial);
            let _ = pool.put(conn);
        }
        assert!(serials.windows(2).all(|pair| pair[0] == pair[1]), "{serials:?}");
        pool.close().await;
    }
}

/// A server that gives so many tickets, remembers none of them, and answers one request of each connection.
async fn giving(tickets: usize) -> SocketAddr {
    let mut config = certs::good().config(certs::provider(), &[&rustls::version::TLS13]);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config.send_tls13_tickets = tickets;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut tls = acceptor.accept(tcp).await?;
                tls.read_u8().await?;
                tls.write_all(b"HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n")
                    .await?;
                tls.flush().await?;
                tls.read_to_end(&mut Vec::new()).await
            });
        }
        #[expect(unreachable_code, reason = "it names the error")]
        io::Result::Ok(())
    });
    at
}

/// Who comes where connections of many others are alive that were given all the tickets for which there is room, resumes all the same; and so does whoever
/// comes again and again among them.
#[tokio::test]
async fn those_who_come_again_resume_whoever_else_is_alive() {
    const TICKETS: usize = 64;
    const OTHERS: usize = 2048 / TICKETS;
    let (builder, name) = builder(giving(TICKETS).await);
    let most = 2 * OTHERS as u32;
    let mut config = PoolConfig::default();
    (config.max_connections, config.max_per_host, config.max_per_ip) = (most, most, most);
    let builder = builder.roots(certs::authority().roots()).config(config);
    let pool = builder.build().unwrap();
    // The tickets stand before the answer.
    let talk = async |who: &str| {
        let options = GetOptions::new().partition(who).require(Require::Http1);
        let mut conn = pool.get_with(name.as_str(), options).await.unwrap();
        conn.write_all(b"GET / HTTP/1.1\r\nHost: peer.test\r\n\r\n")
            .await
            .unwrap();
        conn.flush().await.unwrap();
        conn.read_u8().await.unwrap();
        conn
    };
    let resumed = |conn: &hotpool::HotConn| conn.info().tls.resumed;
    assert!(!resumed(&talk("busy").await));
    let mut alive = Vec::new();
    for nth in 0..OTHERS + OTHERS / 2 {
        alive.push(talk(&nth.to_string()).await);
        // Each of these is closed half-read, and the next is dialled.
        if nth % (TICKETS / 4) == 0 || nth >= OTHERS - 2 {
            assert!(resumed(&talk("busy").await), "beside {nth}");
        }
    }
    assert!(alive.iter().all(|conn| !resumed(conn)));
    for who in ["one", "another"] {
        for nth in 0..4 {
            assert_eq!(resumed(&talk(who).await), nth > 0, "{who}, {nth}");
        }
    }
    drop(alive);
    pool.close().await;
}

/// A thousand callers in turn, and then the first of them again: each resumes what it was given, though all were given twice what there is room for.
///
/// `HOTPOOL_CALLERS` is how many they are. Where there is no room for one ticket of each, some resume.
#[tokio::test]
async fn those_who_come_in_turn_resume_however_many_they_are() {
    const ROOM: usize = 2048;
    let told = std::env::var("HOTPOOL_CALLERS").ok();
    let callers: usize = told.map_or(1_000, |count| count.parse().unwrap());
    let (builder, name) = builder(giving(4).await);
    let pool = builder.roots(certs::authority().roots()).build().unwrap();
    let resumes = async |nth: usize| {
        let options = GetOptions::new()
            .partition(nth.to_string())
            .require(Require::Http1);
        let mut conn = pool.get_with(name.as_str(), options).await.unwrap();
        conn.write_all(b"GET / HTTP/1.1\r\nHost: peer.test\r\n\r\n")
            .await
            .unwrap();
        conn.flush().await.unwrap();
        // The tickets stand before the answer. It is closed half-read.
        conn.read_u8().await.unwrap();
        conn.info().tls.resumed
    };
    for nth in 0..callers {
        assert!(!resumes(nth).await);
    }
    let again = callers / 10;
    let mut resumed = 0;
    for nth in 0..again {
        resumed += usize::from(resumes(nth).await);
    }
    let least = if callers > ROOM { again / 3 } else { again };
    assert!(resumed >= least, "{resumed} of {again}");
    pool.close().await;
}

pub(crate) fn start(server: &TlsServer) -> Option<Outside> {
    outside::is_installed(server).then(|| outside::start_good(server, 1).unwrap())
}

fn openssl_with(ciphers: &str) -> TlsServer {
    let mut server = TlsServer::of(Maker::OpenSsl);
    server.tls12 = true;
    server.more = ["-cipher", ciphers, "-serverpref"].map(str::to_owned).to_vec();
    server
}

#[tokio::test]
async fn a_choice_that_cannot_be_served_is_named() {
    let server = start(&openssl_with("ECDHE-ECDSA-AES256-SHA")).unwrap();
    let (builder, name) = builder(server.addr(0));
    let pool = builder
        .tls(setup(
            Profile::firefox_esr(153).expect("known"),
            OnShapeRejected::Fail,
        ))
        .build()
        .unwrap();
    let error = once(&pool, &name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        text.contains("cipher suite 0xc00a") && text.contains("profile offers"),
        "{text}"
    );
    pool.close().await;
}

#[tokio::test]
async fn a_retry_for_a_group_that_cannot_be_served_is_named() {
    let mut server = TlsServer::of(Maker::OpenSsl);
    server.group = "P-521";
    let server = start(&server).unwrap();
    let (builder, name) = builder(server.addr(0));
    let pool = builder
        .tls(setup(
            Profile::firefox_esr(153).expect("known"),
            OnShapeRejected::Fail,
        ))
        .build()
        .unwrap();
    let error = once(&pool, &name).await.unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains("group 0x0019"), "{text}");
    pool.close().await;
}

#[tokio::test]
async fn a_connection_falls_back_only_where_that_was_asked_for() {
    // The first is Firefox's and not rustls's, the second is both's.
    let server = start(&openssl_with(
        "ECDHE-ECDSA-AES256-SHA:ECDHE-ECDSA-AES128-GCM-SHA256",
    ))
    .unwrap();
    for (act, shaped) in [
        (OnShapeRejected::Fail, None),
        (OnShapeRejected::RetryUnshaped, Some(false)),
    ] {
        let (builder, name) = builder(server.addr(0));
        let pool = builder
            .tls(setup(Profile::firefox_esr(153).expect("known"), act))
            .build()
            .unwrap();
        let got = once(&pool, &name).await;
        assert_eq!(got.ok().map(|info| info.tls.shaped), shaped);
        pool.close().await;
    }
}

#[tokio::test]
async fn a_limit_for_records_that_was_invited_is_kept() {
    let mut server = TlsServer::of(Maker::GnuTls);
    server.more.push("--recordsize=512".to_owned());
    let server = start(&server).unwrap();
    let tcp = tokio::net::TcpStream::connect(server.addr(0)).await.unwrap();
    let first = Browser::Firefox.client().connect(tcp).await.err().unwrap();
    let why = hotpool::shaped::reason(&first).unwrap();
    assert!(why.contains("at most 51"), "{why}");
    let (builder, name) = builder(server.addr(0));
    let pool = builder
        .tls(setup(
            Profile::firefox_esr(153).expect("known"),
            OnShapeRejected::Fail,
        ))
        .build()
        .unwrap();
    let info = once(&pool, &name).await.unwrap();
    assert!(info.tls.shaped);
    assert_eq!(&info.tls.prints.unwrap().ja4().to_string()[..8], "t13d1617");
    pool.close().await;
}

#[test]
fn what_a_profile_cannot_have_is_told_when_the_pool_is_built() {
    let plain = |codes: &[u16]| codes.iter().copied().map(Code::Plain).collect::<Vec<Code>>();
    let without = rustls::crypto::CryptoProvider {
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::SECP256R1],
        ..rustls::crypto::CryptoProvider::clone(&certs::provider())
    };
    let error = HotConnPool::builder()
        .provider(Arc::new(without))
        .profile(Profile::firefox_esr(153).expect("known"))
        .build();
    assert!(error.unwrap_err().to_string().contains("profile"));
    let whole = rustls::ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(certs::authority().roots())
        .with_no_client_auth();
    let error = HotConnPool::builder()
        .tls_config(whole)
        .profile(Profile::firefox_esr(153).expect("known"))
        .build();
    assert!(error.unwrap_err().to_string().contains("profile"));
    // Suites that nobody here implements do not make a profile.
    let slots = vec![
        Slot::Native(kind::SERVER_NAME),
        Slot::Groups(plain(&[0x001d])),
        Slot::Signatures(plain(&[0x0403])),
        Slot::Versions(plain(&[0x0304])),
        Slot::KeyShares(plain(&[0x001d])),
    ];
    assert!(HelloSpec::new(plain(&[0x1304]), slots).is_err());
}
