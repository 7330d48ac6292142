//! A connection that was put back is the one that is handed out next.

use hotpool::{HotConnPool, PoolConfig, Protocol, Returned, StaticResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{certs, peer::Peer};

fn pool(peer: &Peer, config: PoolConfig) -> HotConnPool {
    let name = format!("peer.test:{}", peer.port());
    let resolver = StaticResolver::new()
        .with(name.as_str(), peer.ips().iter().copied())
        .unwrap();
    HotConnPool::builder()
        .config(config)
        .roots(certs::authority().roots())
        .resolver(resolver)
        .build()
        .unwrap()
}

#[tokio::test]
async fn put_then_get_returns_same_connection() {
    let peer = Peer::builder().alpn(crate::support::peer::Alpn::Http1).start();
    let pool = pool(&peer, PoolConfig::default());
    let name = format!("peer.test:{}", peer.port());
    let mut conn = pool.get(&name).await.unwrap();
    assert_eq!(conn.protocol(), Protocol::Http1);
    conn.write_all(b"GET / HTTP/1.1\r\nHost: peer.test\r\n\r\n")
        .await
        .unwrap();
    let mut buffer = [0; 1000];
    let read = conn.read(&mut buffer).await.unwrap();
    eprintln!("{}", String::from_utf8_lossy(&buffer[..read]));
    let serial = conn.info().serial;
    conn.assume_clean();
    assert_eq!(pool.put(conn), Returned::Kept);
    let conn = pool.get(&name).await.unwrap();
    assert_eq!(conn.info().serial, serial);
    drop(conn);
    assert_eq!(peer.seen().accepts, 1);
    eprintln!("{:#?}", pool.stats());
    pool.manager().assert_invariants();
    let report = pool.close().await;
    eprintln!("{report:?}");
    peer.wait_for("closed", |seen| seen.live == 0).await;
}

#[tokio::test]
async fn h2_shares() {
    let peer = Peer::builder().ips(3).start();
    let pool = pool(&peer, PoolConfig::default());
    let name = format!("peer.test:{}", peer.port());
    let mut conn = pool.get(&name).await.unwrap();
    assert_eq!(conn.protocol(), Protocol::Http2);
    let request = http::Request::get(format!("https://{name}/")).body(()).unwrap();
    let (response, _) = conn.h2().unwrap().send_request(request, true).await.unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let other = pool.get(&name).await.unwrap();
    assert_eq!(conn.info().serial, other.info().serial);
    drop(other);
    drop(response);
    drop(conn);
    pool.manager().assert_invariants();
    let report = pool.close().await;
    eprintln!("{report:?} {:?}", pool.stats());
    peer.wait_for("closed", |seen| seen.live == 0).await;
}
