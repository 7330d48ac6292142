//! A whole prefix to connect from, in a network of its own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hotpool::{ErrorKind, GetOptions, SourcePolicy, StaticResolver, SubnetSources};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use crate::common::{builder, http1_peer, use_up, within};
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
