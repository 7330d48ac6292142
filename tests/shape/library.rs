//! Every profile of the library: it shakes hands with the servers of every maker, and carries a thousand requests over either protocol.

use std::sync::Arc;

use hotpool::fingerprint::{Ja4, Profile, ProfileLibrary, Rotation};
use hotpool::{GetOptions, HotConnPool, Protocol, Require, StaticResolver, Tls};
use rustls::ProtocolVersion;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::h2::{asking_as, pool_at, within};
use crate::support::certs;
use crate::support::outside::nginx::{self, Nginx};
use crate::support::outside::tls::{Maker, Said, TlsServer};
use crate::support::outside::{self, Outside, Recipe};
use crate::support::peer::{Alpn, Peer};
use crate::support::peers_table::{self, Row};
use crate::world::{Client, Wire, serve, server};

const REQUESTS: usize = 1_000;

/// All that have a shape, and some that are drawn.
fn profiles() -> Vec<Profile> {
    let library = ProfileLibrary::new();
    let shaped = library
        .profiles()
        .iter()
        .filter(|profile| profile.hello().is_some());
    shaped
        .cloned()
        .chain([Profile::randomized(1), Profile::randomized(2)])
        .collect()
}

fn client(profile: &Profile) -> Client {
    Client::new(profile.hello().unwrap())
}

/// A page of a server, and what the server said of the handshake, where it says anything.
async fn visit(profile: &Profile, server: &Outside, what: &str) -> Said {
    let tcp = TcpStream::connect(server.addr(0)).await.unwrap();
    let connected = client(profile).connect(Wire::new(tcp)).await;
    let mut connection = connected.unwrap_or_else(|error| panic!("{what}: {error:?}\n{}", server.output()));
    let sent = connection.transport().hellos();
    // The name is short: whether padding is there depends on the rest.
    let ja4 = Ja4::of(&sent[0].hello).to_string();
    assert_eq!(ja4, profile.hello().unwrap().ja4().to_string(), "{what}");
    let request = b"GET / HTTP/1.1\r\nHost: peer.test\r\nConnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    connection.flush().await.unwrap();
    let mut answer = Vec::new();
    // Some end without a close_notify.
    let ended = connection.read_to_end(&mut answer).await;
    assert!(ended.is_ok() || !answer.is_empty(), "{what}: {ended:?}");
    Said::read(&String::from_utf8_lossy(&answer))
}

async fn every_profile_shakes_hands_with(maker: Maker) {
    let recipe = TlsServer::of(maker);
    let name = Recipe::name(&recipe);
    if !outside::is_installed(&recipe) {
        return peers_table::skip(name, "is not installed");
    }
    let mut row = None;
    for tls12 in [false, true] {
        let mut recipe = recipe.clone();
        recipe.tls12 = tls12;
        let server = outside::start_good(&recipe, 1).unwrap();
        for profile in profiles() {
            let what = format!("{} with {name}, tls12={tls12}", profile.name());
            let said = within(&what, visit(&profile, &server, &what)).await;
            assert_eq!(said.tls13, !tls12, "{what}: {}", said.text);
            let evidence = said.evidence(&server, &what);
            row.get_or_insert_with(|| Row::of(&server)).case(evidence);
        }
    }
}

#[tokio::test]
async fn every_profile_shakes_hands_with_openssl() {
    every_profile_shakes_hands_with(Maker::OpenSsl).await;
}

#[tokio::test]
async fn every_profile_shakes_hands_with_gnutls() {
    every_profile_shakes_hands_with(Maker::GnuTls).await;
}

#[tokio::test]
async fn every_profile_shakes_hands_with_nginx() {
    every_profile_shakes_hands_with(Maker::Nginx).await;
}

#[tokio::test]
async fn every_profile_shakes_hands_with_haproxy() {
    every_profile_shakes_hands_with(Maker::HaProxy).await;
}

#[tokio::test]
async fn every_profile_shakes_hands_with_go() {
    every_profile_shakes_hands_with(Maker::Go).await;
}

#[tokio::test]
async fn every_profile_shakes_hands_with_boringssl() {
    every_profile_shakes_hands_with(Maker::BoringSsl).await;
}

/// Whatever a server of rustls wants: a version, a group that was or was not shared.
#[tokio::test]
async fn every_profile_and_seed_shakes_hands_with_rustls() {
    let servers = [
        server(&[], &[&TLS13]),
        server(&[], &[&TLS12]),
        server(&[kx_group::SECP256R1], &[&TLS13]),
        server(&[kx_group::SECP384R1], &[&TLS13, &TLS12]),
    ];
    let servers = servers.map(Arc::new);
    let drawn = (0..60).map(Profile::randomized);
    for profile in profiles().into_iter().chain(drawn) {
        let client = client(&profile);
        for (nth, server) in servers.iter().enumerate() {
            // The second of them resumes.
            for _ in 0..2 {
                let talked = client.talk(serve(server)).await;
                let talked =
                    talked.unwrap_or_else(|error| panic!("{}, server {nth}: {error:?}", profile.name()));
                let expected = if nth == 1 {
                    ProtocolVersion::TLSv1_2
                } else {
                    ProtocolVersion::TLSv1_3
                };
                assert_eq!(talked.session().protocol_version(), Some(expected));
            }
        }
    }
}

fn pool_of(profile: &Profile, server: &Outside) -> (HotConnPool, String) {
    let place = server.place();
    pool_at(profile.clone(), place.port, place.ips.iter().copied())
}

/// The request that the profile's own client would make, but for what it says of compression and of the connection.
async fn ask_h1(pool: &HotConnPool, name: &str, profile: &Profile) {
    let options = GetOptions::new().require(Require::Http1);
    let mut conn = pool.get_with(name, options).await.unwrap();
    assert_eq!(conn.protocol(), Protocol::Http1);
    let mut request = "GET / HTTP/1.1\r\n".to_owned();
    for (field, value) in profile.headers().http1() {
        match field.to_ascii_lowercase().as_str() {
            "host" => request += "Host: peer.test\r\n",
            "connection" | "accept-encoding" => {}
            _ => request += &format!("{field}: {value}\r\n"),
        }
    }
    if !request.contains("Host:") {
        request += "Host: peer.test\r\n";
    }
    request += "\r\n";
    conn.write_all(request.as_bytes()).await.unwrap();
    conn.flush().await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nhello") {
        assert!(conn.read_buf(&mut answer).await.unwrap() > 0, "{answer:?}");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

async fn ask_h2(pool: &HotConnPool, name: &str, profile: &Profile) {
    let mut conn = pool
        .get_with(name, GetOptions::new().require(Require::Http2))
        .await
        .unwrap();
    let sent = conn
        .h2()
        .unwrap()
        .send_request(asking_as(profile, name), true)
        .await;
    let (head, mut body) = sent.unwrap().0.await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    while let Some(piece) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.unwrap().len());
    }
    let told = conn.info().h2.clone().unwrap();
    assert_eq!(told.unshaped_requests(), 0);
    assert_eq!(told.akamai(), Some(profile.h2().unwrap().akamai()));
}

#[tokio::test]
async fn every_profile_carries_a_thousand_requests_over_either_protocol() {
    let recipe = Nginx {
        more: "keepalive_requests 100000;".to_owned(),
        ..Nginx::default()
    };
    if !outside::is_installed(&recipe) {
        return peers_table::skip(Recipe::name(&recipe), "is not installed");
    }
    let server = outside::start_good(&recipe, 1).unwrap();
    let mut asked = 0;
    for profile in profiles() {
        let (pool, name) = pool_of(&profile, &server);
        within(profile.name(), async {
            for _ in 0..REQUESTS {
                ask_h1(&pool, &name, &profile).await;
            }
        })
        .await;
        asked += REQUESTS;
        // Two of them offer no protocol, and have no other.
        assert_eq!(
            profile.h2().is_none(),
            ["node", "python"].contains(&profile.name())
        );
        if profile.h2().is_some() {
            within(profile.name(), async {
                for _ in 0..REQUESTS {
                    ask_h2(&pool, &name, &profile).await;
                }
            })
            .await;
            asked += REQUESTS;
        }
        assert_eq!(
            pool.stats().counters.opened,
            1 + u64::from(profile.h2().is_some())
        );
        pool.close().await;
    }
    let told = |served: &[nginx::Served]| served.len() >= asked;
    let (served, evidence) = nginx::evidence(&server, "every profile over both protocols", told).await;
    assert!(served.iter().all(|one| one.status == 200));
    Row::of(&server).case(evidence);
}

/// A choice of each kind that is offered and not served is an error that names it.
#[tokio::test]
async fn what_safari_offers_and_nobody_serves_is_named() {
    let mut recipe = TlsServer::of(Maker::OpenSsl);
    recipe.tls12 = true;
    recipe.more = ["-cipher", "ECDHE-ECDSA-AES256-SHA", "-serverpref"]
        .map(str::to_owned)
        .to_vec();
    let server = outside::start_good(&recipe, 1).unwrap();
    for profile in [Profile::safari(), Profile::curl()] {
        let tcp = TcpStream::connect(server.addr(0)).await.unwrap();
        let error = client(&profile).connect(tcp).await.err().unwrap();
        let why = hotpool::shaped::reason(&error).unwrap();
        assert!(why.contains("cipher suite 0xc00a"), "{why}");
    }
}

/// A rotation fits the rules of identity: each profile has connections of its own, which are found again and never lent to another.
#[tokio::test]
async fn a_rotation_keeps_each_profiles_connections_apart() {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let name = format!("peer.test:{}", peer.addr(0).port());
    let resolver = StaticResolver::new().with(&*name, [peer.addr(0).ip()]).unwrap();
    let pool = HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(resolver)
        .build()
        .unwrap();
    let browsers: Vec<Profile> = ProfileLibrary::new().browsers().cloned().collect();
    let mut serials = std::collections::BTreeMap::new();
    let rotations = [
        Rotation::per_host(browsers.clone(), 3),
        Rotation::per_connection(browsers, 3),
    ];
    for rotation in rotations.map(Option::unwrap) {
        for _ in 0..30 {
            let profile = rotation.next("peer.test");
            let tls = Tls::builder()
                .roots(certs::authority().roots())
                .profile(profile.clone())
                .build()
                .unwrap();
            let conn = pool
                .get_with(name.as_str(), GetOptions::new().tls(tls))
                .await
                .unwrap();
            let prints = conn.info().tls.prints.clone().unwrap();
            assert_eq!(
                &prints.ja4().to_string()[..8],
                &profile.hello().unwrap().ja4().to_string()[..8]
            );
            let serial = *serials
                .entry(profile.name().to_owned())
                .or_insert(conn.info().serial);
            assert_eq!(conn.info().serial, serial, "{}", profile.name());
            let _ = pool.put(conn);
        }
    }
    assert_eq!(serials.len(), 7, "{serials:?}");
    let apart: std::collections::BTreeSet<_> = serials.values().collect();
    assert_eq!(apart.len(), 7, "{serials:?}");
    pool.close().await;
}
