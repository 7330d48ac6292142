//! Pools that go through a proxy: whose addresses count, who rides on whose tunnel, what a proxy may do.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{
    AccessPolicy, AddressPolicy, Answer, Builder, Candidate, CloseReason, Dial, DialTo, Dialing, Error,
    ErrorKind, GetOptions, HotConnPool, Phase, PoolConfig, Proxy, ProxyError, ProxyLogin, ProxyNames,
    ProxyProblem, ProxyProtocol, Resolve, ResolveError, Resolving, Returned, Scope, StaticResolver,
    Validating, Validator, Verdict, Warm,
};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::serials;
use crate::common::{at_rest, builder, failure, finish, host, http1_peer, name, spawn, within};
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

/// A proxy that leads to no address but one. Answers where it listens, and what it is asked for.
async fn leads_only(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let (at, asked) = (
        listener.local_addr().unwrap(),
        Arc::<Mutex<Vec<String>>>::default(),
    );
    let heard = Arc::clone(&asked);
    spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let mut near = BufReader::new(near);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && near.read_line(&mut head).await.unwrap() > 0 {}
            let end = head.split(' ').nth(1).unwrap().to_owned();
            let leads = end == to.to_string();
            heard.lock().push(end);
            if !leads {
                near.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.unwrap();
                continue;
            }
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut far = TcpStream::connect(to).await.unwrap();
            spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    (at, asked)
}

/// A proxy that does not reach the first address of a target's name is asked for the next ones, as many as a dial tries.
#[tokio::test]
async fn where_a_proxy_does_not_reach_one_end_it_is_asked_for_the_next() {
    let peer = Peer::builder().ips(4).alpn(Alpn::Http1).start();
    for (leads_to, tries) in [(1, 2), (2, 3), (3, 3)] {
        let (at, asked) = leads_only(peer.addr(leads_to)).await;
        let proxy = Proxy::new(ProxyProtocol::Http, &at.to_string()).unwrap();
        let pool = builder(&peer, |_| {}).proxy(proxy.names(ProxyNames::Local));
        let pool = pool.build().unwrap();
        let got = within("an answer", pool.get(name(&peer))).await;
        let ends: Vec<_> = (0..tries).map(|nth| peer.addr(nth).to_string()).collect();
        assert_eq!(*asked.lock(), ends);
        match got {
            Ok(conn) => assert_eq!(conn.info().tunnel_end, Some(peer.ips()[leads_to])),
            Err(error) => {
                assert_eq!((error.kind(), leads_to), (ErrorKind::ProxyRefused, 3), "{error}");
            }
        }
        within("close", pool.close()).await;
    }
}

/// In a URL the percent sign of a zone is escaped (RFC 6874), and elsewhere it is not.
#[test]
fn the_zone_of_a_proxy_is_read_from_a_url() {
    let written = Proxy::new(ProxyProtocol::Http, "[fe80::1%lo]:1").unwrap();
    let url: Proxy = "http://[fe80::1%25lo]:1".parse().unwrap();
    assert_eq!(url.to_string(), written.to_string());
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
            let twice = calls.iter().chain(&calls);
            let serials = serials(&pool, &name(&peer), twice).await;
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
        (
            http,
            Manner::Says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            Some(malformed),
        ),
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

/// SOCKS5 has one octet for the length of each; HTTP has room.
#[tokio::test]
async fn a_login_that_has_no_room_in_the_protocol_is_not_sent() {
    let long = "a".repeat(256);
    for (manner, protocol) in BOTH {
        for (user, password) in [("alice", ""), ("alice", &*long), (&*long, "secret")] {
            let peer = http1_peer();
            let fake = Fake::start(HERE, manner, peer.addr(0)).await;
            let login = ProxyLogin::new(user, password).unwrap();
            let own = by(&peer, proxy(protocol, &fake).login(login.clone()), |_| {}).build();
            let pool = by(&peer, proxy(protocol, &fake), |_| {}).build().unwrap();
            let call = GetOptions::new().proxy_login(login);
            let got = within("an answer", pool.get_with(name(&peer), call)).await;
            let shown: Vec<_> = fake.asked().into_iter().filter_map(|asked| asked.login).collect();
            if protocol == ProxyProtocol::Http {
                drop(got.unwrap());
                assert!(own.is_ok());
                assert_eq!(shown, [format!("{user}:{password}")]);
            } else {
                assert_eq!(own.unwrap_err().field(), "proxy_login");
                let refused = (ErrorKind::ProxyLogin, Phase::Proxy, ProxyProblem::Login);
                assert_eq!(problem(&got.unwrap_err()), refused);
                assert!(shown.is_empty(), "{shown:?}");
                assert!(pool.manager().blocklist().is_empty(), "it blames nobody");
            }
            finish(pool, peer).await;
        }
    }
}

fn network(text: &str) -> Scope {
    Scope::network(text).unwrap()
}

/// What is blocked and allowed by network is what lies behind the proxy, never the proxy itself: at once, for what stands and what is dialled.
#[tokio::test]
async fn the_owner_s_networks_are_those_behind_the_proxy() {
    for (manner, protocol) in BOTH {
        let peer = http1_peer();
        let fake = Fake::start(HERE, manner, peer.addr(0)).await;
        let elsewhere: IpAddr = "198.51.100.7".parse().unwrap();
        let resolver = StaticResolver::new()
            .with(&*host(&peer, "peer.test"), [peer.ips()[0]])
            .and_then(|resolver| resolver.with(&*host(&peer, "a.peer.test"), [peer.ips()[0], elsewhere]));
        let pool = by(&peer, proxy(protocol, &fake).names(ProxyNames::Local), |_| {});
        let pool = pool.resolver(resolver.unwrap()).build().unwrap();
        let (named, literal) = (name(&peer), peer.addr(0).to_string());
        let held = within("a connection", pool.get(&*named)).await.unwrap();
        assert_eq!(held.info().tunnel_end, Some(peer.ips()[0]));
        drop(within("a connection", pool.get(&*literal)).await.unwrap());
        let asked = fake.asked().len();

        let manager = pool.manager();
        manager.block(HERE.into(), None).unwrap();
        drop(within("a connection", pool.get(&*literal)).await.unwrap());
        manager.block(peer.ips()[0].into(), None).unwrap();
        assert_eq!(pool.size(), 1, "what rested there is closed");
        assert_eq!(pool.put(held), Returned::Closed(CloseReason::Blocked));
        for (barred, phase) in [(&*named, Phase::Resolve), (&*literal, Phase::Acquire)] {
            let error = failure(&pool, barred).await;
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Blocked, phase),
                "{barred}"
            );
        }
        assert_eq!(fake.asked().len(), asked, "no proxy is asked to go there");
        // Of a name's addresses the next one.
        let conn = within("a connection", pool.get(host(&peer, "a.peer.test")))
            .await
            .unwrap();
        assert_eq!(conn.info().tunnel_end, Some(elsewhere));
        drop(conn);

        assert!(manager.unblock(&peer.ips()[0].into()));
        manager.set_access(AccessPolicy::AllowlistOnly);
        for unlisted in [&*named, &*literal] {
            assert_eq!(
                failure(&pool, unlisted).await.kind(),
                ErrorKind::Blocked,
                "{unlisted}"
            );
        }
        manager.allow(HERE.into()).unwrap();
        assert_eq!(
            failure(&pool, &literal).await.kind(),
            ErrorKind::Blocked,
            "the proxy's own is none of them"
        );
        manager.allow(network("127.0.0.0/30")).unwrap();
        for listed in [&*named, &*literal] {
            drop(within("a connection", pool.get(listed)).await.unwrap());
        }
        let blamed = manager
            .blocklist()
            .into_iter()
            .filter(|block| block.scope != HERE.into());
        assert_eq!(blamed.count(), 0, "a refusal is nobody's fault");
        finish(pool, peer).await;
    }
}

/// Where the proxy resolves names nobody here sees their addresses: then no network is blocked, and a list has to name hosts.
#[tokio::test]
async fn no_network_is_blocked_that_nobody_can_see() {
    let peer = http1_peer();
    let fake = Fake::start(HERE, Manner::Http, peer.addr(0)).await;
    let pool = by(&peer, proxy(ProxyProtocol::Http, &fake), |_| {})
        .build()
        .unwrap();
    let (named, literal) = (name(&peer), peer.addr(0).to_string());
    let manager = pool.manager();
    let error = manager.block(network("10.0.0.0/8"), None).unwrap_err();
    assert_eq!(error.field(), "block");
    manager.block(Scope::host("peer.test").unwrap(), None).unwrap();
    assert_eq!(failure(&pool, &named).await.kind(), ErrorKind::Blocked);
    assert!(manager.unblock(&Scope::host("peer.test").unwrap()));

    manager.set_access(AccessPolicy::AllowlistOnly);
    manager.allow(network("127.0.0.0/8")).unwrap(); // it has the proxy in it
    assert_eq!(failure(&pool, &named).await.kind(), ErrorKind::Blocked);
    drop(within("a connection", pool.get(&*literal)).await.unwrap());
    manager.allow(Scope::host("peer.test").unwrap()).unwrap();
    drop(within("a connection", pool.get(&*named)).await.unwrap());
    finish(pool, peer).await;
}

/// Says when it judges, and lets pass what it is told to.
#[derive(Clone, Default)]
struct Gatekeeper(Arc<(Notify, Notify)>);

impl Validator for Gatekeeper {
    fn validate<'a>(&'a self, _: &'a mut Candidate<'_>) -> Validating<'a> {
        Box::pin(async move {
            self.0.0.notify_one();
            self.0.1.notified().await;
            Ok(Verdict::Allow)
        })
    }
}

/// A pool that resolves names itself, whose connections a gatekeeper judges; what `act` on it comes to, where the end of the tunnel is blocked while it judges.
async fn blocked_meanwhile<T>(
    peer: &Peer,
    act: impl AsyncFnOnce(&HotConnPool, &str) -> T,
) -> (HotConnPool, T) {
    let fake = Fake::start(HERE, Manner::Http, peer.addr(0)).await;
    let (target, end) = (name(peer), peer.ips()[0]);
    let local = proxy(ProxyProtocol::Http, &fake).names(ProxyNames::Local);
    let gatekeeper = Gatekeeper::default();
    let pool = by(peer, local, |_| {})
        .resolver(StaticResolver::new().with(&*target, [end]).unwrap())
        .validator(gatekeeper.clone())
        .build()
        .unwrap();
    let meanwhile = async {
        within("it is judged", gatekeeper.0.0.notified()).await;
        pool.manager().block(end.into(), None).unwrap();
        gatekeeper.0.1.notify_one();
    };
    let (answer, ()) = tokio::join!(act(&pool, &target), meanwhile);
    (pool, answer)
}

/// A connection that is being dialled when the end of its tunnel is blocked reaches nobody, however far it has come.
#[tokio::test]
async fn a_tunnel_to_what_was_blocked_meanwhile_reaches_nobody() {
    let peer = http1_peer();
    let (pool, error) = blocked_meanwhile(&peer, async |pool, target| failure(pool, target).await).await;
    assert_eq!(error.kind(), ErrorKind::Blocked, "{error:?}");
    finish(pool, peer).await;
}

/// Nor has one been opened for whoever warms.
#[tokio::test]
async fn a_tunnel_that_closes_at_its_birth_was_not_opened() {
    let peer = http1_peer();
    let (pool, report) = blocked_meanwhile(&peer, async |pool, target| {
        let warming = pool.warm(target, Warm::Count(1), GetOptions::new());
        within("a report", warming).await.unwrap()
    })
    .await;
    assert_eq!((report.opened, report.errors.len()), (0, 1), "{report:?}");
    assert_eq!(report.errors[0].kind(), ErrorKind::Blocked, "{report:?}");
    assert_eq!(pool.stats().counters.closes(CloseReason::Blocked), 1);
    finish(pool, peer).await;
}

/// It need not have been asked for by anybody before.
#[tokio::test]
async fn a_call_may_name_the_proxy_s_address_before_any_other() {
    let peer = http1_peer();
    let fake = Fake::start(HERE, Manner::Http, peer.addr(0)).await;
    let named = format!("proxy.test:{}", fake.addr().port());
    for place in [named.clone(), fake.addr().to_string()] {
        let resolver = StaticResolver::new().with(&*named, [HERE]).unwrap();
        let proxy = Proxy::new(ProxyProtocol::Http, &place).unwrap();
        let pool = by(&peer, proxy, |_| {}).resolver(resolver).build().unwrap();
        let stranger = GetOptions::new().ip("127.0.0.78".parse().unwrap());
        let refused = within("a refusal", pool.get_with(name(&peer), stranger))
            .await
            .unwrap_err();
        let cause = refused
            .cause()
            .and_then(|cause| cause.downcast_ref::<ProxyError>());
        assert_eq!(
            cause.map(ProxyError::problem),
            Some(ProxyProblem::NotItsAddress),
            "{place}"
        );
        let own = GetOptions::new().ip(HERE);
        let conn = within("a connection", pool.get_with(name(&peer), own))
            .await
            .unwrap();
        assert_eq!(conn.info().remote, fake.addr());
        drop(conn);
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
    peer.shutdown().await;
}

/// Has another address each time it is asked; the second stays.
struct Rotating([IpAddr; 2], AtomicUsize);

impl Resolve for Rotating {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        let nth = self.1.fetch_add(1, Ordering::Relaxed);
        Resolving::ready(Ok(Answer {
            addresses: vec![self.0[nth.min(1)]],
            ttl: Duration::from_secs(10),
        }))
    }
}

/// A host that asked earlier still dials what it was told then, as long as that may be used; and nobody does for longer.
#[tokio::test]
async fn a_proxy_that_changes_its_records_keeps_those_that_hosts_have() {
    let peer = http1_peer();
    let fake = Fake::start(Ipv4Addr::UNSPECIFIED.into(), Manner::Http, peer.addr(0)).await;
    let named = format!("proxy.test:{}", fake.addr().port());
    let ips = ["127.0.0.77", "127.0.0.78"].map(|ip| ip.parse().unwrap());
    let clock = ManualClock::new();
    let proxy = Proxy::new(ProxyProtocol::Http, &named).unwrap();
    let pool = by(&peer, proxy, |config| config.max_idle_per_host = 0)
        .resolver(Rotating(ips, AtomicUsize::new(0)))
        .clock(clock.clone())
        .build()
        .unwrap();
    let round = async |target: &str| {
        let conn = within("a connection", pool.get(target)).await.unwrap();
        conn.info().remote.ip()
    };
    let (first, second) = (name(&peer), host(&peer, "a.peer.test"));
    assert_eq!(round(&first).await, ips[0]);
    clock.advance(Duration::from_secs(11));
    assert_eq!(round(&second).await, ips[1]);
    assert_eq!(round(&first).await, ips[0], "its own record has not ended");
    clock.advance(2 * PoolConfig::default().dns_stale);
    let pinned = GetOptions::new().ip(ips[0]);
    let error = within("a refusal", pool.get_with(&*second, pinned))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddressDenied, "{error:?}");
    finish(pool, peer).await;
}

/// What a name server says of the proxy's name, each time it is asked.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<VecDeque<Result<IpAddr, ()>>>>);

impl Told {
    fn then(&self, answer: Result<IpAddr, ()>) {
        self.0.lock().push_back(answer);
    }
}

impl Resolve for Told {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        let answer = self.0.lock().pop_front().expect("a question that is expected");
        Resolving::ready(match answer {
            Ok(ip) => Ok(Answer {
                addresses: vec![ip],
                ttl: Duration::from_secs(3600),
            }),
            Err(()) => Err(ResolveError::Failed("SERVFAIL".into())),
        })
    }
}

/// A proxy that listens at every address of the loopback, known by name, and a pool that has gone through it at the first of two.
async fn by_name(peer: &Peer) -> (Fake, HotConnPool, ManualClock, Told, [IpAddr; 2]) {
    let fake = Fake::start(Ipv4Addr::UNSPECIFIED.into(), Manner::Http, peer.addr(0)).await;
    let named = format!("proxy.test:{}", fake.addr().port());
    let alice = Proxy::new(ProxyProtocol::Http, &named)
        .unwrap()
        .login(login("alice"));
    let (clock, told) = (ManualClock::new(), Told::default());
    let ips = ["127.0.0.77", "127.0.0.78"].map(|ip| ip.parse().unwrap());
    let pool = by(peer, alice, |_| {})
        .resolver(told.clone())
        .clock(clock.clone())
        .build()
        .unwrap();
    told.then(Ok(ips[0]));
    let conn = within("a connection", pool.get(name(peer))).await.unwrap();
    assert_eq!(conn.info().remote.ip(), ips[0]);
    drop(conn);
    (fake, pool, clock, told, ips)
}

/// Where it was in another network a stranger may be: nothing is sent there, and whoever asks is led to where it is now, unless that was named.
#[tokio::test]
async fn in_another_network_a_proxy_is_where_its_name_is_there() {
    for pinned in [None, Some(0), Some(1)] {
        let peer = http1_peer();
        let (fake, pool, _clock, told, ips) = by_name(&peer).await;
        told.then(Ok(ips[1]));
        pool.network_changed();
        let call = match pinned {
            None => GetOptions::new(),
            Some(nth) => GetOptions::new().ip(ips[nth]),
        };
        let got = within("an answer", pool.get_with(name(&peer), call)).await;
        if pinned == Some(0) {
            let error = got.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddressDenied, "{error:?}");
            assert_eq!(fake.accepts(), 1, "nobody is connected to");
        } else {
            assert_eq!(got.unwrap().info().remote.ip(), ips[1]);
            assert_eq!(fake.accepts(), 2);
        }
        assert!(told.0.lock().is_empty(), "it was asked once");
        finish(pool, peer).await;
    }
}

/// Nor does whoever warms there go where it was.
#[tokio::test]
async fn warming_in_another_network_goes_where_the_proxy_is() {
    let peer = http1_peer();
    let (fake, pool, _clock, told, ips) = by_name(&peer).await;
    told.then(Ok(ips[1]));
    pool.network_changed();
    let warming = pool.warm(name(&peer), Warm::Count(1), GetOptions::new());
    let report = within("a report", warming).await.unwrap();
    assert_eq!((report.opened, report.errors.len()), (1, 0), "{report:?}");
    assert_eq!(report.ips, [(ips[1], 1)]);
    assert_eq!(fake.accepts(), 2);
    // Where name servers fail that is what is told.
    told.then(Err(()));
    pool.network_changed();
    let warming = pool.warm(name(&peer), Warm::Count(1), GetOptions::new());
    let report = within("a report", warming).await.unwrap();
    let kinds: Vec<_> = report.errors.iter().map(Error::kind).collect();
    assert_eq!(
        (report.opened, kinds),
        (0, vec![ErrorKind::Resolve]),
        "{report:?}"
    );
    finish(pool, peer).await;
}

/// Connects as the pool would; once, while it does, the network changes, and the proxy is elsewhere.
struct Moves(Arc<Mutex<Option<(HotConnPool, Told, IpAddr)>>>);

impl Dial for Moves {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let stream = to.connect().await?;
            let moves = self.0.lock().take();
            if let Some((pool, told, ip)) = moves {
                told.then(Ok(ip));
                pool.network_changed();
            }
            Ok(stream)
        })
    }
}

/// Whoever is connected to it then shows it no login, and goes where it is now.
#[tokio::test]
async fn a_proxy_that_is_elsewhere_by_the_time_it_is_connected_to_is_told_nothing() {
    let peer = http1_peer();
    let (fake, pool, _clock, told, ips) = by_name(&peer).await;
    let moves = Arc::new(Mutex::new(Some((pool.clone(), told.clone(), ips[1]))));
    let call = GetOptions::new().dial(Some(Arc::new(Moves(Arc::clone(&moves)))));
    let conn = within("a connection", pool.get_with(name(&peer), call)).await;
    assert_eq!(conn.unwrap().info().remote.ip(), ips[1]);
    assert_eq!((fake.accepts(), fake.asked().len()), (3, 2));
    assert!(told.0.lock().is_empty(), "it was asked once");
    finish(pool, peer).await;
}

/// What its name servers said in another network serves nobody where they fail: it is not refused for that, but asked for again, and soon.
#[tokio::test]
async fn a_proxy_in_doubt_is_asked_for_and_not_refused() {
    for pinned in [false, true] {
        let peer = http1_peer();
        let (fake, pool, clock, told, ips) = by_name(&peer).await;
        told.then(Err(()));
        pool.network_changed();
        let call = || match pinned {
            true => GetOptions::new().ip(ips[0]),
            false => GetOptions::new(),
        };
        for _ in 0..2 {
            let got = within("an error", pool.get_with(name(&peer), call())).await;
            let error = got.unwrap_err();
            let cause = error.cause().and_then(|cause| cause.downcast_ref::<ProxyError>());
            assert_eq!(
                (error.kind(), error.phase(), cause.map(ProxyError::problem)),
                (ErrorKind::Resolve, Phase::Resolve, Some(ProxyProblem::Name)),
                "{error:?}"
            );
        }
        assert_eq!(fake.accepts(), 1, "nobody is connected to");
        told.then(Ok(ips[0]));
        clock.advance(Duration::from_secs(1));
        let conn = within("a connection", pool.get_with(name(&peer), call())).await;
        assert_eq!(conn.unwrap().info().remote.ip(), ips[0], "pinned: {pinned}");
        assert!(pool.manager().blocklist().is_empty());
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn a_zone_of_this_machine_s_goes_to_no_proxy() {
    for (manner, protocol) in BOTH {
        let peer = http1_peer();
        let fake = Fake::start(HERE, manner, peer.addr(0)).await;
        for names in [ProxyNames::Remote, ProxyNames::Local] {
            let pool = by(&peer, proxy(protocol, &fake).names(names), |_| {})
                .build()
                .unwrap();
            let error = failure(&pool, "[fe80::1%lo]:8443").await;
            let refused = (ErrorKind::AddressDenied, Phase::Resolve, ProxyProblem::Zone);
            assert_eq!(problem(&error), refused);
            assert_eq!(fake.accepts(), 0);
            assert!(pool.manager().blocklist().is_empty());
            at_rest(&pool).await;
            within("close", pool.close()).await;
        }
        peer.shutdown().await;
    }
}
