//! Closing by hand: one host, one address, or whatever does not pass.

use std::net::{IpAddr, Ipv4Addr};

use hotpool::{CloseReason, GetOptions, HotConn, HotConnPool, Returned};

use super::lease;
use crate::common::{finish, host, http1_peer, name, pool, use_up, within};
use crate::support::peer::{Alpn, Peer};

const REMOVED: Returned = Returned::Closed(CloseReason::Removed);

async fn lease_at(pool: &HotConnPool, name: &str, ip: IpAddr) -> HotConn {
    let got = pool.get_with(name, GetOptions::new().ip(ip));
    within("a connection there", got).await.unwrap()
}

#[tokio::test]
async fn evict_host_closes_its_connections_and_no_other() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let pool = pool(&peer, |config| config.h2_max_streams = 1);
        let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
        let (mut leased, idle) = (lease(&pool, &name).await, lease(&pool, &name).await);
        drop((idle, lease(&pool, &other).await));
        assert_eq!(pool.manager().evict_host(&name).unwrap(), 2);
        assert_eq!(pool.manager().evict_host(&name).unwrap(), 0, "each is told once");
        peer.wait_for("the idle one goes now", |seen| seen.live == 2)
            .await;
        assert_eq!(use_up(&mut leased, "/").await.status, 200);
        assert_eq!(pool.put(leased), REMOVED, "{alpn:?}");
        peer.wait_for("and the other when it comes home", |seen| seen.live == 1)
            .await;
        assert_eq!(lease(&pool, &other).await.info().serial, 3);
        finish(pool, peer).await;
    }
}

/// Over all hosts; an IPv4 address that comes mapped into IPv6 is the same address.
#[tokio::test]
async fn evict_ip_closes_what_goes_there_whatever_the_host() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let pool = pool(&peer, |_| {});
    let names = [name(&peer), host(&peer, "a.peer.test")];
    let [there, elsewhere]: [IpAddr; 2] = peer.ips().try_into().unwrap();
    for ip in [there, elsewhere] {
        drop([
            lease_at(&pool, &names[0], ip).await,
            lease_at(&pool, &names[1], ip).await,
        ]);
    }
    let leased = lease_at(&pool, &names[0], there).await;
    let mapped: Ipv4Addr = there.to_string().parse().unwrap();
    assert_eq!(pool.manager().evict_ip(mapped.to_ipv6_mapped().into()), 2);
    assert_eq!(pool.put(leased), REMOVED);
    let mapping = pool.manager().host_mapping();
    for name in &names {
        let ips: Vec<_> = mapping[name.as_str()].iter().collect();
        assert_eq!(ips, [(&elsewhere, &1)]);
    }
    peer.wait_for("two are left", |seen| (seen.live, seen.at(there).live) == (2, 0))
        .await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn retain_keeps_what_passes() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    let mut leases = Vec::new();
    for name in [&name, &name, &name, &other] {
        leases.push(lease(&pool, name).await);
    }
    let leased = leases.remove(0);
    drop(leases);
    let even = |conn: &hotpool::ConnInfo| conn.serial % 2 == 0;
    assert_eq!(pool.manager().retain(even), 2);
    assert_eq!(pool.put(leased), REMOVED);
    let mut left = Vec::new();
    for name in [&name, &other] {
        left.extend(pool.manager().connections_for_host(name).unwrap());
    }
    assert_eq!(left.iter().map(|conn| conn.serial).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(pool.manager().retain(|_| true), 0);
    peer.wait_for("two are left", |seen| seen.live == 2).await;
    finish(pool, peer).await;
}
