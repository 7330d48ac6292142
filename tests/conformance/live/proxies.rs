//! Pools that go through a proxy: whose addresses count, who rides on whose tunnel, what a proxy may do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{
    AddressPolicy, Builder, Error, ErrorKind, GetOptions, HotConnPool, Phase, PoolConfig, Proxy, ProxyError,
    ProxyLogin, ProxyNames, ProxyProblem, ProxyProtocol, Returned, StaticResolver,
};
use tokio::net::TcpListener;

use crate::common::{at_rest, builder, failure, finish, host, http1_peer, name, use_up, within};
use crate::support::measure;
use crate::support::peer::{Alpn, DEADLINE, Peer};
use crate::support::proxy::{Asked, Manner, Proxy as Fake};

/// None of the peer's own.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));

const BOTH: [(Manner, ProxyProtocol); 2] = [
    (Manner::Http, ProxyProtocol::Http),
    (Manner::Socks5, ProxyProtocol::Socks5),
];

fn proxy(protocol: ProxyProtocol, fake: &Fake) -> Proxy {
    Proxy::new(protocol, &fake.addr().to_string()).unwrap()
}

/// A pool that resolves no name of a target.
fn by(peer: &Peer, proxy: Proxy, change: impl FnOnce(&mut PoolConfig)) -> Builder {
    builder(peer, change).resolver(StaticResolver::new()).proxy(proxy)
}

fn login(user: &str) -> ProxyLogin {
    ProxyLogin::new(user, "secret").unwrap()
}

fn problem(error: &Error) -> (ErrorKind, Phase, ProxyProblem) {
    let cause = error.cause().and_then(|cause| cause.downcast_ref::<ProxyError>());
    let cause = cause.unwrap_or_else(|| panic!("{error:?}"));
    assert!(cause.proxy().contains("127.0.0.77"), "{cause}");
    (error.kind(), error.phase(), cause.problem())
}

#[tokio::test]
async fn another_login_never_rides_on_the_first_s_tunnel() {
    for (manner, protocol) in BOTH {
        for alpn in [Alpn::Http1, Alpn::Http2] {
            let peer = Peer::builder().alpn(alpn).start();
            let fake = Fake::start(HERE, manner, peer.addr(0)).await;
            let alice = proxy(protocol, &fake).login(login("alice"));
            let pool = by(&peer, alice, |_| {}).build().unwrap();
            let calls = [
                GetOptions::new(),
                GetOptions::new().proxy_login(login("bob")),
                GetOptions::new().proxy_login(None),
            ];
            let mut serials = Vec::new();
            for call in calls.iter().chain(&calls) {
                let got = within("a connection", pool.get_with(name(&peer), call.clone())).await;
                let mut conn = got.unwrap();
                use_up(&mut conn, "/").await;
                serials.push(conn.info().serial);
                assert_eq!(pool.put(conn), Returned::Kept);
            }
            assert_eq!(serials, [1, 2, 3, 1, 2, 3], "{protocol:?}");
            let of = |login: Option<&str>| Asked {
                login: login.map(str::to_owned),
                end: name(&peer),
            };
            let expected = [of(Some("alice:secret")), of(Some("bob:secret")), of(None)];
            assert_eq!(fake.asked(), expected, "{protocol:?}");
            finish(pool, peer).await;
        }
    }
}

#[tokio::test]
async fn the_addresses_of_such_a_pool_are_the_proxy_s() {
    let peer = http1_peer();
    let fake = Fake::start(HERE, Manner::Http, peer.addr(0)).await;
    let named = format!("proxy.test:{}", fake.addr().port());
    let resolver = StaticResolver::new().with(&*named, [HERE]).unwrap();
    let pool = by(
        &peer,
        Proxy::new(ProxyProtocol::Http, &named).unwrap(),
        |config| config.max_per_ip = 1,
    );
    let pool = pool.resolver(resolver).build().unwrap();
    let conn = within("a connection", pool.get(name(&peer))).await.unwrap();
    let info = conn.info();
    assert_eq!(info.remote, fake.addr());
    assert!(info.tunnel_time.is_some());
    let stats = pool.stats();
    let ips: Vec<_> = stats.hosts.iter().flat_map(|host| &host.ips).collect();
    assert_eq!(
        ips.iter().map(|ip| (ip.ip, ip.total)).collect::<Vec<_>>(),
        [(HERE, 1)]
    );
    // So is the limit: another host has no room there, and neither has a literal address, which is the proxy's to reach.
    for other in [host(&peer, "a.peer.test"), peer.addr(0).to_string()] {
        let soon = GetOptions::new().timeout(Duration::from_millis(50));
        let error = within("a refusal", pool.get_with(&other, soon))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Timeout, Phase::Acquire),
            "{error:?}"
        );
    }
    drop(conn);
    let conn = within("a connection", pool.get(peer.addr(0))).await.unwrap();
    assert_eq!(fake.asked().last().unwrap().end, peer.addr(0).to_string());
    drop(conn);
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_hostile_proxy_is_told_in_time_and_blames_no_address_of_the_target_s() {
    let malformed = (ErrorKind::Proxy, Phase::Proxy, ProxyProblem::Malformed);
    let closed = (ErrorKind::Proxy, Phase::Proxy, ProxyProblem::Closed);
    let long = (ErrorKind::Proxy, Phase::Proxy, ProxyProblem::TooLong);
    let early = (ErrorKind::Proxy, Phase::Proxy, ProxyProblem::Early);
    let (http, socks) = (ProxyProtocol::Http, ProxyProtocol::Socks5);
    let cases = [
        (http, Manner::Says(b"SSH-2.0-OpenSSH\r\n"), Some(malformed)),
        (http, Manner::Says(b"HTTP/1.1 200 O"), None),
        (http, Manner::Says(b""), None),
        (
            http,
            Manner::SaysAndCloses(b"HTTP/1.1 200 OK\r\nserv"),
            Some(closed),
        ),
        (
            http,
            Manner::SaysWithoutEnd(b"HTTP/1.1 200 OK\r\n", b"field: value\r\n"),
            Some(long),
        ),
        (http, Manner::SaysWithoutEnd(b"HTTP/1.1 200 ", b"O"), Some(long)),
        (
            http,
            Manner::SaysWithoutEnd(b"", b"HTTP/1.1 100 Wait\r\n\r\n"),
            Some(long),
        ),
        (http, Manner::SpeaksEarly, Some(early)),
        (
            socks,
            Manner::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Some(malformed),
        ),
        (socks, Manner::Says(b"\x05"), None),
        (socks, Manner::Says(b"\x05\x00\x05"), None),
        (
            socks,
            Manner::SaysAndCloses(b"\x05\x00\x05\x00\x00"),
            Some(closed),
        ),
        (socks, Manner::SaysWithoutEnd(b"", b"\x00"), Some(malformed)),
    ];
    let peer = http1_peer();
    for (protocol, manner, expected) in cases {
        let fake = Fake::start(HERE, manner, peer.addr(0)).await;
        let clock = ManualClock::new();
        let pool = by(&peer, proxy(protocol, &fake), |_| {}).clock(clock.clone());
        let pool = pool.build().unwrap();
        let silence = async {
            if expected.is_none() {
                measure::eventually(DEADLINE, "it is spoken to", || fake.was_spoken_to()).await;
                clock.advance(PoolConfig::default().attempt_timeout);
            }
        };
        let target = name(&peer);
        let (error, ()) = tokio::join!(failure(&pool, &target), silence);
        match expected {
            Some(expected) => assert_eq!(problem(&error), expected, "{manner:?}"),
            None => assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Timeout, Phase::Proxy),
                "{manner:?}"
            ),
        }
        assert_eq!(error.ip(), Some(HERE), "{manner:?}");
        let stats = pool.stats();
        let blamed = stats.hosts.iter().flat_map(|host| &host.ips).map(|ip| ip.ip);
        assert!(blamed.into_iter().all(|ip| ip == HERE), "{manner:?}");
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
    assert_eq!(peer.seen().hellos, 0);
    peer.shutdown().await;
}

#[tokio::test]
async fn a_login_that_is_refused_blames_nobody() {
    for (manner, protocol) in BOTH {
        let peer = http1_peer();
        let fake = Fake::start(HERE, manner, peer.addr(0)).await;
        fake.take("alice:secret");
        let alice = proxy(protocol, &fake).login(login("alice"));
        let pool = by(&peer, alice, |_| {}).build().unwrap();
        let bob = GetOptions::new().proxy_login(login("bob"));
        for _ in 0..2 {
            let refused = within("a refusal", pool.get_with(name(&peer), bob.clone())).await;
            let error = refused.unwrap_err();
            assert_eq!(
                problem(&error),
                (ErrorKind::ProxyLogin, Phase::Proxy, ProxyProblem::Login)
            );
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("bob") && !shown.contains("secret"), "{shown}");
        }
        drop(within("a connection", pool.get(name(&peer))).await.unwrap());
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn what_a_policy_must_see_is_resolved_here() {
    let peer = http1_peer();
    let fake = Fake::start(HERE, Manner::Socks5, peer.addr(0)).await;
    let private = || AddressPolicy::deny_private().allow("127.0.0.1").unwrap();
    let unseen = proxy(ProxyProtocol::Socks5, &fake);
    let refused = by(&peer, unseen.clone(), |_| {})
        .address_policy(private())
        .build();
    assert_eq!(refused.unwrap_err().field(), "proxy");
    let target = |name: &str| format!("{name}:{}", peer.port());
    let resolver = StaticResolver::new()
        .with(
            &*target("peer.test"),
            ["127.0.0.9".parse().unwrap(), peer.ips()[0]],
        )
        .and_then(|resolver| resolver.with(&*target("a.peer.test"), ["10.0.0.1".parse().unwrap()]));
    let pool = by(&peer, unseen.names(ProxyNames::Local), |_| {})
        .resolver(resolver.unwrap())
        .address_policy(private())
        .build()
        .unwrap();
    // Nor does a policy for what strangers name concern the proxy, which its owner has named.
    for denied in [target("a.peer.test"), target("10.0.0.1")] {
        let error = failure(&pool, &denied).await;
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::AddressDenied, Phase::Resolve)
        );
    }
    assert_eq!(fake.accepts(), 0);
    drop(within("a connection", pool.get(name(&peer))).await.unwrap());
    assert_eq!(fake.asked()[0].end, peer.addr(0).to_string());
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_login_is_shown_to_no_stranger() {
    let peer = http1_peer();
    let fake = Fake::start(HERE, Manner::Http, peer.addr(0)).await;
    let stranger = SocketAddr::new("127.0.0.78".parse().unwrap(), fake.addr().port());
    let listener = TcpListener::bind(stranger).await.unwrap();
    let alice = proxy(ProxyProtocol::Http, &fake).login(login("alice"));
    let pool = by(&peer, alice, |_| {}).build().unwrap();
    drop(within("a connection", pool.get(name(&peer))).await.unwrap());
    let pinned = GetOptions::new().ip(stranger.ip());
    let refused = tokio::select! {
        refused = within("a refusal", pool.get_with(name(&peer), pinned)) => refused,
        _ = listener.accept() => panic!("a stranger was connected to"),
    };
    assert_eq!(
        problem(&refused.unwrap_err()),
        (
            ErrorKind::AddressDenied,
            Phase::Connect,
            ProxyProblem::NotItsAddress
        )
    );
    // And where there is no proxy, nothing goes out that was to go through one.
    let direct: HotConnPool = builder(&peer, |_| {}).build().unwrap();
    let call = GetOptions::new().proxy_login(login("alice"));
    let error = within("a refusal", direct.get_with(name(&peer), call))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::ProxyLogin, Phase::Connect)
    );
    assert_eq!(direct.stats().counters.opened, 0);
    assert_eq!(
        direct.manager().blocklist(),
        [],
        "nothing was sent: nobody is to blame"
    );
    drop(within("a connection", direct.get(name(&peer))).await.unwrap());
    at_rest(&direct).await;
    within("close", direct.close()).await;
    finish(pool, peer).await;
}
