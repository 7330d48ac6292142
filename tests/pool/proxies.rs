//! Through proxies of other makers, with the right login and with others.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use hotpool::{
    ErrorKind, GetOptions, HotConnPool, Phase, Proxy, ProxyError, ProxyLogin, ProxyNames, ProxyProblem,
    ProxyProtocol,
};
use tokio::net::{TcpListener, TcpSocket};

use crate::common::{at_rest, builder, failure, http1_peer, name, use_up, within};
use crate::sources::lead;
use crate::support::outside::proxies::{PASSWORD, ProxyServer, USER};
use crate::support::outside::{self, Outside};
use crate::support::peer::{Alpn, Peer};
use crate::support::peers_table;
use crate::support::proxy::{Manner, Proxy as Fake};

fn pool(peer: &Peer, proxy: Proxy) -> HotConnPool {
    builder(peer, |_| {}).proxy(proxy).build().unwrap()
}

/// Where a proxy's own resolver prefers IPv6, `localhost` leads here first.
async fn door_of_ipv6(peer: SocketAddr) {
    let at = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), peer.port());
    if let Ok(listener) = TcpListener::bind(at).await {
        lead(listener, peer);
    }
}

async fn through(recipe: ProxyServer, protocol: ProxyProtocol) {
    let Some(server) = outside::start_good(&recipe, 1) else {
        return peers_table::skip(outside::Recipe::name(&recipe), "not installed");
    };
    let mut row = peers_table::Row::of(&server);
    let proxy = Proxy::new(protocol, &server.addr(0).to_string()).unwrap();
    let right = ProxyLogin::new(USER, PASSWORD).unwrap();
    let known = proxy.clone().login(right.clone());
    for alpn in [Alpn::Http1, Alpn::Http2] {
        led(alpn, &known, &server).await;
    }
    let led_before = recipe.led(&server);
    assert!(led_before >= 6, "{}", server.output());

    // Nobody, and somebody else: neither is let through, and whoever is goes on.
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let wrong = ProxyLogin::new(USER, "another").unwrap();
    let names = known.clone().names(ProxyNames::Local);
    let pool = pool(&peer, names);
    let mut conn = within("a connection", pool.get(name(&peer))).await.unwrap();
    use_up(&mut conn, "/").await;
    drop(conn); // it rests, for whoever has the same login
    for login in [Some(wrong), None] {
        let call = GetOptions::new().proxy_login(login);
        let error = within("a refusal", pool.get_with(name(&peer), call))
            .await
            .unwrap_err();
        let cause = error.cause().unwrap().downcast_ref::<ProxyError>().unwrap();
        assert_eq!(
            (error.kind(), error.phase(), cause.problem()),
            (ErrorKind::ProxyLogin, Phase::Proxy, ProxyProblem::Login)
        );
        assert_eq!(error.ip(), Some(server.addr(0).ip()));
        assert!(!format!("{error} {error:?}").contains(PASSWORD));
    }
    assert_eq!(
        pool.stats().counters.opened,
        1,
        "nobody rode on the first's tunnel"
    );
    let mut again = within("a connection", pool.get(name(&peer))).await.unwrap();
    assert_eq!(use_up(&mut again, "/").await.nth, 2);
    drop(again);

    // A target that is not there is the proxy's to say.
    let deaf = TcpSocket::new_v4().unwrap(); // holds a port, and does not listen
    deaf.bind(SocketAddr::new(peer.ips()[0], 0)).unwrap();
    let nowhere = deaf.local_addr().unwrap().to_string();
    let error = failure(&pool, &nowhere).await;
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::ProxyRefused, Phase::Proxy),
        "{error:?}"
    );
    assert_eq!(error.ip(), Some(server.addr(0).ip()));
    at_rest(&pool).await;
    within("close", pool.close()).await;
    peer.shutdown().await;
    row.case(recipe.evidence(&server, "a login that is right, one that is wrong, and none"));
}

/// Exchanges with a peer by its name, which the proxy resolves, by a name that is resolved here, and by its address.
async fn led(alpn: Alpn, proxy: &Proxy, server: &Outside) {
    let peer = Peer::builder().alpn(alpn).start();
    door_of_ipv6(peer.addr(0)).await;
    for (names, target) in [
        (ProxyNames::Remote, format!("localhost:{}", peer.port())),
        (ProxyNames::Local, name(&peer)),
        (ProxyNames::Remote, peer.addr(0).to_string()),
    ] {
        let pool = pool(&peer, proxy.clone().names(names));
        for nth in 1..=3 {
            let mut conn = within("a connection", pool.get(&*target)).await.unwrap();
            assert_eq!(use_up(&mut conn, "/").await.nth, nth, "{target}");
            assert_eq!(conn.info().remote, server.addr(0), "{target}");
        }
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
    peer.shutdown().await;
}

#[tokio::test]
async fn tinyproxy_by_connect() {
    through(ProxyServer::TinyProxy, ProxyProtocol::Http).await;
}

#[tokio::test]
async fn microsocks_by_socks5() {
    through(ProxyServer::MicroSocks, ProxyProtocol::Socks5).await;
}

/// However a dial through a proxy ends, it leaves nothing.
#[tokio::test]
async fn a_silent_proxy_holds_nobody_who_closes() {
    let peer = http1_peer();
    let fake = Fake::start(peer.ips()[0], Manner::Says(b""), peer.addr(0)).await;
    let proxy = Proxy::new(ProxyProtocol::Http, &fake.addr().to_string()).unwrap();
    let pool = pool(&peer, proxy);
    let soon = GetOptions::new().timeout(Duration::from_millis(50));
    let error = within("a timeout", pool.get_with(name(&peer), soon))
        .await
        .unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let report = within("close", pool.close()).await;
    assert_eq!((report.leases_left, report.tasks_left), (0, 0));
    pool.manager().assert_invariants();
    peer.shutdown().await;
}
