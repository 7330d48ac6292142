//! A whole prefix to connect from, in a network of its own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hotpool::{
    ErrorKind, GetOptions, HotConn, Phase, Scope, Selection, SourceError, SourcePolicy, StaticResolver,
    StaticSources, Stats, SubnetSources,
};
use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

use crate::common::{builder, finish, host, http1_peer, name, until, use_up, within};
use crate::support::network::{alone, sh};

const PREFIX: &str = "2001:db8:1::/64";
const CONNECTIONS: usize = 20;

/// A door to `peer` at the loopback of IPv6, and who came by it.
async fn door(peer: SocketAddr) -> (u16, Arc<Mutex<Vec<IpAddr>>>) {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    (listener.local_addr().unwrap().port(), lead(listener, peer))
}

/// Leads whoever comes to `peer`, and answers with a list of who came.
pub(crate) fn lead(listener: TcpListener, peer: SocketAddr) -> Arc<Mutex<Vec<IpAddr>>> {
    let seen: Arc<Mutex<Vec<IpAddr>>> = Arc::default();
    let guests = Arc::clone(&seen);
    crate::common::spawn(async move {
        while let Ok((mut guest, from)) = listener.accept().await {
            guests.lock().push(from.ip());
            crate::common::spawn(async move {
                let mut inside = TcpStream::connect(peer).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut guest, &mut inside).await;
            });
        }
    });
    seen
}

/// A source that this machine's routes, rules or ports let nothing go out from is its own trouble: whoever requires it is told so, whoever prefers it goes
/// without, and the target is not avoided.
#[test]
fn a_source_that_leads_nowhere_is_its_own_trouble() {
    alone("sources::a_source_that_leads_nowhere_is_its_own_trouble", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(nowhere());
    });
}

async fn nowhere() {
    // What is said of the sources comes before the routes to this machine's own addresses.
    sh("ip rule add pref 10 lookup local; ip rule del pref 0");
    sh("ip rule add pref 1 from 127.0.1.1 unreachable; ip rule add pref 2 from 127.0.1.2 prohibit");
    sh("ip rule add pref 3 from 127.0.1.3 blackhole; ip rule add pref 4 from 127.0.1.4 lookup 100");
    sh("ip route add unreachable default table 100");
    let peer = http1_peer();
    // Four ports, which one source has used up.
    sh("sysctl -qw net.ipv4.ip_local_port_range='20000 20003'");
    let pool = builder(&peer, |_| {}).build().unwrap();
    let target = name(&peer);
    let from = |source: &str| StaticSources::new([source.parse().unwrap()]).unwrap();
    let by = |policy| GetOptions::new().sources(policy);
    let full = SourcePolicy::require(from("127.0.1.5"));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(
            within("a connection", pool.get_with(&target, by(full.clone())))
                .await
                .unwrap(),
        );
    }
    let unusable = [
        ("127.0.1.1", Errno::NETUNREACH),
        ("127.0.1.2", Errno::ACCESS),
        ("127.0.1.3", Errno::INVAL),
        ("127.0.1.4", Errno::HOSTUNREACH),
        ("127.0.1.5", Errno::ADDRNOTAVAIL),
    ];
    for (source, errno) in unusable {
        let required = SourcePolicy::require(from(source));
        let error = within("a refusal", pool.get_with(&target, by(required)))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Source, Phase::Connect),
            "{error:?}"
        );
        let cause: &SourceError = error.cause().unwrap().downcast_ref().unwrap();
        assert_eq!(cause.ip(), Some(source.parse().unwrap()));
        assert_eq!(
            cause.problem().raw_os_error(),
            Some(errno.raw_os_error()),
            "{source}"
        );
        assert_eq!(pool.manager().blocklist(), [], "{source}");
        let accepts = peer.seen().accepts;
        assert_eq!(accepts, held.len() as u64, "nothing else was dialled");
        if errno == Errno::ADDRNOTAVAIL {
            held.clear();
            sh("sysctl -qw net.ipv4.ip_local_port_range='20000 29999'");
        }
    }
    finish(pool, peer).await;
}

#[test]
fn who_prefers_a_source_that_leads_nowhere_goes_without() {
    alone(
        "sources::who_prefers_a_source_that_leads_nowhere_goes_without",
        || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(preferred());
        },
    );
}

async fn preferred() {
    sh("ip rule add pref 10 lookup local; ip rule del pref 0");
    sh("ip rule add pref 1 from 127.0.1.1 unreachable; ip rule add pref 2 from 127.0.1.2 prohibit");
    let peer = http1_peer();
    let target = name(&peer);
    sh("sysctl -qw net.ipv4.ip_local_port_range='20000 20003'");
    let preferred =
        |source: &str| SourcePolicy::prefer(StaticSources::new([source.parse().unwrap()]).unwrap());
    let pool = builder(&peer, |_| {}).build().unwrap();
    let full = GetOptions::new().sources(preferred("127.0.1.5"));
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(
            within("a connection", pool.get_with(&target, full.clone()))
                .await
                .unwrap(),
        );
    }
    for source in ["127.0.1.1", "127.0.1.2"] {
        let call = GetOptions::new().sources(preferred(source));
        held.push(
            within("a connection", pool.get_with(&target, call))
                .await
                .unwrap(),
        );
    }
    let locals: Vec<_> = held
        .iter()
        .map(|conn| conn.info().local.unwrap().ip().to_string())
        .collect();
    assert_eq!(locals[..4], ["127.0.1.5"; 4]);
    assert_eq!(locals[4..], ["127.0.0.1"; 3]);
    let sources = pool.stats().sources;
    assert_eq!((sources.leased, sources.fallbacks), (4, 3));
    assert_eq!(pool.manager().blocklist(), []);
    drop(held);
    finish(pool, peer).await;
}

/// What the network says when a connection is on its way may be the target's fault: no other source is tried, and the target is avoided, by this origin.
#[test]
fn what_the_network_says_on_the_way_is_not_the_source_s_fault() {
    alone(
        "sources::what_the_network_says_on_the_way_is_not_the_source_s_fault",
        || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(on_the_way());
        },
    );
}

async fn on_the_way() {
    let peer = http1_peer();
    let (target, other) = (name(&peer), host(&peer, "a.peer.test"));
    sh("iptables -A OUTPUT -p tcp --syn -s 127.0.1.6 -j REJECT --reject-with icmp-host-unreachable");
    let pool = builder(&peer, |_| {}).build().unwrap();
    let source = || StaticSources::new(["127.0.1.6".parse().unwrap()]).unwrap();
    for policy in [SourcePolicy::require(source()), SourcePolicy::prefer(source())] {
        let call = GetOptions::new().sources(policy);
        let error = within("an error", pool.get_with(&target, call))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Unreachable, Phase::Connect),
            "{error:?}"
        );
        assert_eq!(pool.stats().sources.fallbacks, 0);
        let blocks: Vec<_> = pool
            .manager()
            .blocklist()
            .into_iter()
            .map(|block| block.scope)
            .collect();
        let scope = Scope::address(&target, peer.ips()[0]).unwrap();
        assert_eq!(blocks, std::slice::from_ref(&scope));
        drop(within("another host's", pool.get(&other)).await.unwrap());
        assert!(pool.manager().unblock(&scope));
    }
    assert_eq!(peer.seen().accepts, 1);
    finish(pool, peer).await;
}

/// A family that no route leads to from its source leaves the other one its turn, and an attempt that is under way its end.
#[test]
fn a_required_source_without_a_way_stops_no_other_address() {
    alone(
        "sources::a_required_source_without_a_way_stops_no_other_address",
        || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(half_routed());
        },
    );
}

async fn half_routed() {
    sh("ip -6 addr add 2001:db8:1::7/128 dev lo nodad");
    let peer = http1_peer();
    let target = name(&peer);
    let v4 = peer.ips()[0];
    let v6: IpAddr = "2001:db8:2::1".parse().unwrap(); // nothing leads there
    let sources = ["127.0.1.6", "2001:db8:1::7"].map(|source| source.parse().unwrap());
    let hot_first = |config: &mut hotpool::PoolConfig| config.selection = Selection::PreferHot;
    let pool = builder(&peer, hot_first)
        .resolver(StaticResolver::new().with(&*target, [v6, v4]).unwrap())
        .sources(SourcePolicy::require(StaticSources::new(sources).unwrap()))
        .build()
        .unwrap();
    let served = |conn: &HotConn| (conn.info().remote.ip(), conn.info().local.unwrap().ip());
    // IPv6 leads, until IPv4 is the hot one.
    let first = within("a connection", pool.get(&*target)).await.unwrap();
    assert_eq!(served(&first), (v4, sources[0]));
    assert_eq!(pool.stats().counters.failures(Phase::Connect), 1, "IPv6 led");
    sh("iptables -A INPUT -p tcp --syn -d 127.0.0.1 -j DROP");
    let (asking, wanted) = (pool.clone(), target.clone());
    let asked = crate::common::spawn(async move { asking.get(&*wanted).await });
    let failed = |stats: &Stats| stats.counters.failures(Phase::Connect) == 2;
    let stats = until(&pool, "IPv6 has no way", failed).await;
    assert_eq!(
        (stats.dialling, stats.sources.leased),
        (1, 2),
        "IPv4 is under way"
    );
    sh("iptables -F INPUT");
    let second = within("a connection", asked).await.unwrap().unwrap();
    assert_eq!(served(&second), (v4, sources[0]));
    assert_eq!(
        pool.stats().counters.failures(Phase::Connect),
        2,
        "it had gone on"
    );
    drop((first, second));
    // Where nothing else serves, that is the answer.
    let error = within("a refusal", pool.get_with(&*target, GetOptions::new().ip(v6)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");
    assert_eq!(pool.manager().blocklist(), []);
    assert_eq!(pool.stats().sources.fallbacks, 0);
    finish(pool, peer).await;
}

#[test]
fn a_whole_prefix_is_connected_from() {
    alone("sources::a_whole_prefix_is_connected_from", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(prefix());
    });
}

async fn prefix() {
    // What is sent to it comes here; no interface has any address of it.
    sh(&format!("ip -6 route add local {PREFIX} dev lo"));
    let peer = http1_peer();
    let (port, seen) = door(peer.addr(0)).await;
    let other = http1_peer();
    let (other_port, _) = door(other.addr(0)).await;
    let [name, other_name] = [port, other_port].map(|port| format!("peer.test:{port}"));
    let resolver = [&name, &other_name]
        .into_iter()
        .fold(StaticResolver::new(), |resolver, name| {
            resolver.with(&**name, [Ipv6Addr::LOCALHOST.into()]).unwrap()
        });
    let sources = || SubnetSources::new(PREFIX).unwrap();
    let wide = |config: &mut hotpool::PoolConfig| {
        (config.max_per_host, config.max_per_ip) = (100, 100);
    };
    let pool = builder(&peer, wide)
        .resolver(resolver)
        .sources(SourcePolicy::require(sources().freebind(true)))
        .build()
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut conn = within("a connection", pool.get(&*name)).await.unwrap();
        use_up(&mut conn, "/").await;
        held.push(conn);
    }
    let local: Vec<_> = held.iter().map(|conn| conn.info().local.unwrap().ip()).collect();
    assert_eq!(*seen.lock(), local);
    let network: ipnet::IpNet = PREFIX.parse().unwrap();
    assert!(local.iter().all(|ip| network.contains(ip)), "{local:?}");
    assert_eq!(local.iter().collect::<BTreeSet<_>>().len(), CONNECTIONS);
    assert_eq!(pool.stats().sources.leased, CONNECTIONS as u64);
    drop(held);

    // Without leave to bind what no interface has, nothing of it can be used.
    let bound = GetOptions::new().sources(SourcePolicy::require(sources()));
    let error = within("a refusal", pool.get_with(&*name, bound))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");

    // A port serves many, as long as they go to different places: there are fewer ports than connections.
    sh("sysctl -qw net.ipv4.ip_local_port_range='20000 20003'");
    let one = SubnetSources::new("2001:db8:1::7").unwrap().freebind(true);
    let one = GetOptions::new().sources(SourcePolicy::require(one));
    let mut held = Vec::new();
    for name in [&name, &other_name] {
        for _ in 0..3 {
            held.push(
                within("a connection", pool.get_with(&**name, one.clone()))
                    .await
                    .unwrap(),
            );
        }
    }
    let ports: BTreeSet<_> = held
        .iter()
        .map(|conn| conn.info().local.unwrap().port())
        .collect();
    assert!(ports.len() <= 4, "{ports:?}");
    drop(held);
    within("close", pool.close()).await;
    assert_eq!(pool.stats().sources.leased, 0);
    peer.shutdown().await;
    other.shutdown().await;
}
