//! Where connections come from: whose addresses, and that each goes back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::sync::Arc;

use hotpool::{
    Error, ErrorKind, GetOptions, HotConnPool, Outcome, Phase, Scope, SourceAddrs, SourceError, SourcePolicy,
    StaticResolver, StaticSources,
};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::lease;
use crate::common::{builder, failure, finish, host, http1_peer, name, spawn, until, within};
use crate::support::peer::{Act, Alpn, Peer, To};
use crate::support::{certs, network};

/// One that no interface has (RFC 5737).
const NOWHERE: &str = "192.0.2.1";

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|ip| ip.parse().unwrap()).collect()
}

fn from(texts: &[&str]) -> StaticSources {
    StaticSources::new(ips(texts)).unwrap()
}

fn pool_from(peer: &Peer, policy: SourcePolicy) -> HotConnPool {
    builder(peer, |_| {}).sources(policy).build().unwrap()
}

/// The source that an error names.
fn named(error: &Error) -> Option<IpAddr> {
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Source, Phase::Connect),
        "{error:?}"
    );
    error.cause().unwrap().downcast_ref::<SourceError>().unwrap().ip()
}

#[tokio::test]
async fn source_address_required_never_falls_back() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let pool = pool_from(&peer, SourcePolicy::require(from(&[NOWHERE])));
    let error = failure(&pool, &name(&peer)).await;
    assert_eq!(named(&error), Some(NOWHERE.parse().unwrap()));
    assert!(format!("{error:?}").contains(NOWHERE), "{error:?}");
    let stats = pool.stats();
    assert_eq!(
        stats.counters.failures(Phase::Connect),
        1,
        "nothing else was tried"
    );
    assert_eq!((stats.sources.leased, stats.sources.fallbacks), (0, 0));
    // Of the other family: none is to be had.
    let other = GetOptions::new().sources(SourcePolicy::require(from(&["::1"])));
    let error = within("a refusal", pool.get_with(name(&peer), other)).await;
    assert_eq!(named(&error.unwrap_err()), None);
    assert_eq!(peer.seen().accepts, 0);
    // And nobody is blamed.
    let any = GetOptions::new().sources(None);
    drop(
        within("a connection", pool.get_with(name(&peer), any))
            .await
            .unwrap(),
    );
    finish(pool, peer).await;
}

/// What nothing can go to from the source that is required is no end of the dial: the next address has its turn, from a source as well.
#[tokio::test]
async fn where_a_source_has_no_way_the_next_address_has_its_turn() {
    let broadcast: IpAddr = "127.255.255.255".parse().unwrap(); // TCP cannot go there
    let peer = http1_peer();
    let target = name(&peer);
    let addresses = [broadcast, peer.ips()[0]];
    let resolver = StaticResolver::new().with(&*target, addresses).unwrap();
    let pool = builder(&peer, |_| {})
        .resolver(resolver)
        .sources(SourcePolicy::require(from(&["127.0.0.7"])))
        .build()
        .unwrap();
    let conn = within("a connection", pool.get(&target)).await.unwrap();
    assert_eq!(conn.info().remote.ip(), addresses[1]);
    assert_eq!(conn.info().local.unwrap().ip(), ips(&["127.0.0.7"])[0]);
    drop(conn);
    let stats = pool.stats();
    assert_eq!(
        (stats.counters.failures(Phase::Connect), stats.sources.fallbacks),
        (1, 0)
    );
    assert_eq!(pool.manager().blocklist(), []);
    finish(pool, peer).await;
}

/// From where nothing can go there nobody knows of the target what the whole pool should: who requires the source blames nobody, and who preferred it holds for
/// this origin alone what became of the dial without.
#[tokio::test]
async fn what_cannot_be_reached_from_a_source_is_avoided_by_no_other_host() {
    let broadcast: IpAddr = "127.255.255.255".parse().unwrap(); // TCP cannot go there
    let peer = http1_peer();
    let target = name(&peer);
    let resolver = StaticResolver::new().with(&*target, [broadcast]).unwrap();
    let pool = builder(&peer, |_| {}).resolver(resolver).build().unwrap();
    let required = GetOptions::new().sources(SourcePolicy::require(from(&["127.0.0.7"])));
    let error = within("a refusal", pool.get_with(&target, required))
        .await
        .unwrap_err();
    assert_eq!(named(&error), Some("127.0.0.7".parse().unwrap()));
    assert_eq!(pool.manager().blocklist(), []);
    let preferred = GetOptions::new().sources(SourcePolicy::prefer(from(&["127.0.0.7"])));
    let error = within("a failure", pool.get_with(&target, preferred))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Unreachable, Phase::Connect)
    );
    assert_eq!(pool.stats().sources.fallbacks, 1);
    let blocks: Vec<_> = pool
        .manager()
        .blocklist()
        .into_iter()
        .map(|block| block.scope)
        .collect();
    assert_eq!(blocks, [Scope::address(&target, broadcast).unwrap()]);
    finish(pool, peer).await;
}

/// As it says: what is held against an address knows no sources.
#[tokio::test]
async fn what_one_source_is_told_bars_the_others() {
    let peer = http1_peer();
    let pool = pool_from(&peer, SourcePolicy::require(from(&["127.0.0.7"])));
    let name = name(&peer);
    let other = SourcePolicy::require(from(&["127.0.0.8"]));
    let told = within(
        "a connection",
        pool.get_with(&name, GetOptions::new().sources(other)),
    )
    .await;
    told.unwrap().report(Outcome::Status(403));
    for options in [GetOptions::new(), GetOptions::new().sources(None)] {
        let barred = within("a refusal", pool.get_with(&name, options)).await;
        assert_eq!(barred.unwrap_err().kind(), ErrorKind::Blocked);
    }
    finish(pool, peer).await;
}

/// One of a link is bound on the link that the target is on, or on the device of every socket; without either it cannot be.
#[test]
fn a_source_of_a_link_is_bound_on_that_link() {
    let test = "live::sources::a_source_of_a_link_is_bound_on_that_link";
    network::alone(test, || super::one_thread().block_on(linked()));
}

async fn linked() {
    network::sh("ip -6 addr add fe80::7/64 dev lo nodad; ip -6 addr add fe80::8/64 dev lo nodad");
    let (there, source): (Ipv6Addr, IpAddr) = ("fe80::8".parse().unwrap(), "fe80::7".parse().unwrap());
    let peer = Peer::builder()
        .alpn(Alpn::Http1)
        .certificate(certs::authority().server(&["fe80::8", "peer.test"]))
        .start();
    let lo = 1; // the first interface of any network
    let door = TcpListener::bind(SocketAddrV6::new(there, 0, 0, lo))
        .await
        .unwrap();
    let (port, inside) = (door.local_addr().unwrap().port(), peer.addr(0));
    let _door = spawn(async move {
        while let Ok((mut guest, _)) = door.accept().await {
            spawn(async move {
                let mut peer = TcpStream::connect(inside).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut guest, &mut peer).await;
            });
        }
    });
    let by_name = format!("peer.test:{port}");
    for (device, target, serves) in [
        (None, format!("[fe80::8%lo]:{port}"), true),
        (Some("lo"), format!("[fe80::8%lo]:{port}"), true),
        (Some("lo"), by_name.clone(), true),
        (None, by_name.clone(), false),
    ] {
        let pool = builder(&peer, |config| config.tcp.device = device.map(str::to_owned))
            .resolver(StaticResolver::new().with(&*by_name, [there.into()]).unwrap())
            .sources(SourcePolicy::require(StaticSources::new([source]).unwrap()))
            .build()
            .unwrap();
        let got = within("an answer", pool.get(&target)).await;
        match serves {
            true => assert_eq!(got.unwrap().info().local.unwrap().ip(), source, "{target}"),
            false => assert_eq!(named(&got.unwrap_err()), Some(source), "{target}"),
        }
        assert_eq!(pool.manager().blocklist(), []);
        within("close", pool.close()).await;
        assert_eq!(pool.stats().sources.leased, 0);
    }
    // Where nothing names its link another address has its turn, from another source.
    let target = name(&peer);
    let resolver = StaticResolver::new().with(&*target, [there.into(), peer.ips()[0]]);
    let sources = StaticSources::new([source, "127.0.0.7".parse().unwrap()]).unwrap();
    let pool = builder(&peer, |_| {})
        .resolver(resolver.unwrap())
        .sources(SourcePolicy::require(sources))
        .build()
        .unwrap();
    drop(lease(&pool, &target).await);
    assert_eq!(pool.stats().counters.failures(Phase::Connect), 1, "IPv6 led");
    finish(pool, peer).await;
}

#[tokio::test]
async fn preferred_falls_back_and_counts() {
    let peer = http1_peer();
    let pool = pool_from(&peer, SourcePolicy::prefer(from(&[NOWHERE, "127.0.0.7"])));
    let (first, second) = (lease(&pool, &name(&peer)).await, lease(&pool, &name(&peer)).await);
    let mut locals = [
        first.info().local.unwrap().ip(),
        second.info().local.unwrap().ip(),
    ];
    locals.sort();
    assert_eq!(locals[..], ips(&["127.0.0.1", "127.0.0.7"]));
    let sources = pool.stats().sources;
    assert_eq!((sources.leased, sources.fallbacks), (1, 1));
    drop((first, second));
    finish(pool, peer).await;
}

/// How often an address was leased, and how often it came back.
type Uses = BTreeMap<IpAddr, (u32, u32)>;

/// Sources that know which of them are out.
#[derive(Clone)]
struct Watched(Arc<(StaticSources, Mutex<Uses>)>);

impl Watched {
    fn new(texts: &[&str]) -> Self {
        Watched(Arc::new((from(texts), Mutex::default())))
    }

    /// Leases that are out, and all that ever were.
    fn count(&self) -> (u32, u32) {
        let uses = self.0.1.lock();
        uses.values().fold((0, 0), |(out, all), (leased, back)| {
            (out + leased - back, all + leased)
        })
    }
}

impl SourceAddrs for Watched {
    fn lease(&self, host: &str, remote: IpAddr) -> Option<IpAddr> {
        let ip = self.0.0.lease(host, remote)?;
        self.0.1.lock().entry(ip).or_default().0 += 1;
        Some(ip)
    }

    fn release(&self, source: IpAddr) {
        self.0.1.lock().get_mut(&source).unwrap().1 += 1;
    }
}

#[tokio::test]
async fn source_leases_return_to_zero() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let watched = Watched::new(&["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]);
        let pool = pool_from(&peer, SourcePolicy::require(watched.clone()));
        let mut leases = Vec::new();
        for at_once in 1..=4 {
            // Each a connection of its own, of HTTP/2, too.
            let own = GetOptions::new().partition(at_once.to_string());
            leases.push(
                within("a connection", pool.get_with(name(&peer), own))
                    .await
                    .unwrap(),
            );
            assert_eq!(
                (watched.count().0, pool.stats().sources.leased),
                (at_once, u64::from(at_once))
            );
        }
        let seen: Vec<_> = peer.connections().iter().map(|conn| conn.from).collect();
        let locals: Vec<_> = leases.iter().map(|conn| conn.info().local.unwrap()).collect();
        assert_eq!(seen, locals);
        let sources: Vec<_> = seen.iter().map(|from| from.ip()).collect();
        assert_eq!(
            sources,
            ips(&["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"])
        );
        // At rest it is still in use; one that was taken out is its holder's.
        drop(leases.pop());
        assert_eq!(watched.count().0, 4);
        leases.pop().unwrap().discard();
        until(&pool, "it went", |stats| stats.sources.leased == 3).await;
        let taken: Box<dyn Send> = match alpn {
            Alpn::Http1 => Box::new(leases.pop().unwrap().detach().unwrap()),
            _ => Box::new(leases.pop().unwrap().into_h2_raw().unwrap()),
        };
        pool.force_cleanup();
        drop(leases);
        if alpn == Alpn::Http1 {
            until(&pool, "the others went", |stats| stats.sources.leased == 1).await;
        }
        drop(taken);
        until(&pool, "and that one", |stats| stats.sources.leased == 0).await;
        finish(pool, peer).await;
        assert_eq!(watched.count(), (0, 4));
    }
}

/// Dials that fail, and one that is given up while it is under way.
#[tokio::test]
async fn a_dial_that_comes_to_nothing_gives_its_source_back() {
    let peer = http1_peer();
    let watched = Watched::new(&["127.0.0.2"]);
    let pool = pool_from(&peer, SourcePolicy::require(watched.clone()));
    peer.next(To::All, 1, Act::ResetAfterHello);
    failure(&pool, &name(&peer)).await;
    assert_eq!(watched.count(), (0, 1));
    peer.next(To::All, 1, Act::StallAfterHello);
    let elsewhere = host(&peer, "a.peer.test");
    let waiting = spawn({
        let (pool, name) = (pool.clone(), elsewhere.clone());
        async move { pool.get(name).await.map(drop) }
    });
    until(&pool, "a dial is under way", |stats| stats.sources.leased == 1).await;
    assert!(!waiting.is_finished());
    let (_, answer) = tokio::join!(within("close", pool.close()), within("an answer", waiting));
    assert!(answer.unwrap().is_err());
    assert_eq!(watched.count(), (0, 2));
    assert_eq!(pool.stats().sources.leased, 0);
    peer.shutdown().await;
}

/// What a panic throws, and that panics when it is dropped.
struct Thrown;

impl Drop for Thrown {
    fn drop(&mut self) {
        panic!("a panic that is wanted");
    }
}

/// Panics as it is asked for an address, or for how it is to be bound, and as one comes back.
struct Panics {
    at_once: bool,
    back: Arc<Mutex<Vec<IpAddr>>>,
}

impl SourceAddrs for Panics {
    fn lease(&self, _: &str, _: IpAddr) -> Option<IpAddr> {
        assert!(!self.at_once, "a panic that is wanted");
        Some(IpAddr::from([127, 0, 0, 5]))
    }

    fn release(&self, source: IpAddr) {
        self.back.lock().push(source);
        std::panic::panic_any(Thrown);
    }

    fn freebind(&self) -> bool {
        panic!("a panic that is wanted");
    }
}

/// It counts as one that has none; its caller is told so, nobody is blamed, and what it gave goes back.
#[tokio::test]
async fn a_source_that_panics_harms_nobody() {
    for at_once in [true, false] {
        let peer = http1_peer();
        let back: Arc<Mutex<Vec<IpAddr>>> = Arc::default();
        let panics = || Panics {
            at_once,
            back: Arc::clone(&back),
        };
        let pool = pool_from(&peer, SourcePolicy::require(panics()));
        let error = failure(&pool, &name(&peer)).await;
        assert_eq!(named(&error), None);
        assert!(format!("{error:?}").contains("panicked"), "{error:?}");
        let prefers = GetOptions::new().sources(SourcePolicy::prefer(panics()));
        let conn = within("a connection", pool.get_with(name(&peer), prefers)).await;
        drop(conn.unwrap());
        let stats = pool.stats();
        assert_eq!((stats.sources.leased, stats.sources.fallbacks), (0, 1));
        assert_eq!(back.lock().len(), if at_once { 0 } else { 2 });
        assert!(pool.manager().blocklist().is_empty());
        finish(pool, peer).await;
    }
}
