//! The probe from addresses of one's own, and through proxies: the far end says where it was reached from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::json;

use crate::peers::probe;
use crate::support::outside::proxies::{PASSWORD, ProxyServer, USER};
use crate::support::peer::Peer;
use crate::support::{outside, peers_table};

fn sources(peer: &Peer) -> BTreeSet<IpAddr> {
    peer.connections().iter().map(|conn| conn.from.ip()).collect()
}

#[test]
fn the_probe_connects_from_where_it_is_told_to_and_from_nowhere_else() {
    let peer = Peer::start();
    let run = probe(&peer, "/", &["--source", "127.0.0.9", "--connections", "2"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(sources(&peer), BTreeSet::from(["127.0.0.9".parse().unwrap()]));
    let peer = Peer::start();
    let run = probe(
        &peer,
        "/",
        &["--source", "127.0.8.0/24", "--connections", "8", "--http1"],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    let seen = sources(&peer);
    let network: ipnet::IpNet = "127.0.8.0/24".parse().unwrap();
    assert!(
        seen.len() > 1 && seen.iter().all(|ip| network.contains(ip)),
        "{seen:?}"
    );
    let peer = Peer::start();
    // An address that no interface has (RFC 5737), and one of the other family.
    for source in ["192.0.2.1", "::1"] {
        let run = probe(&peer, "/", &["--source", source, "--http1", "--requests", "2"]);
        assert_eq!(run.code, 1, "{}", run.err);
        assert_eq!(run.rows()[0]["errors"], json!({ "source": 2 }), "{}", run.err);
    }
    assert_eq!(peer.seen().accepts, 0);
}

#[test]
fn the_probe_goes_through_proxies() {
    for (recipe, scheme) in [
        (ProxyServer::TinyProxy, "http"),
        (ProxyServer::MicroSocks, "socks5"),
        (ProxyServer::MicroSocks, "socks5h"),
    ] {
        let Some(server) = outside::start_good(&recipe, 1) else {
            peers_table::skip(outside::Recipe::name(&recipe), "not installed");
            continue;
        };
        let mut row = peers_table::Row::of(&server);
        let peer = Peer::start();
        let url = |password: &str| format!("{scheme}://{USER}:{password}@{}", server.addr(0));
        // The address of the peer: no proxy here could resolve its name.
        let local = format!("https://127.0.0.1:{}/", peer.port());
        let reported = |password: &str, more: &[&str]| {
            let proxy = url(password);
            let mut arguments = vec!["--proxy", &proxy, "--connections", "2"];
            arguments.extend(more);
            crate::peers::probe_url(&local, &arguments)
        };
        let run = reported(PASSWORD, &[]);
        assert_eq!(run.code, 0, "{}", run.err);
        for row in run.rows() {
            assert_eq!(row["connections_opened"], 2, "{row}");
            assert_eq!(row["ips"][0]["ip"], server.addr(0).ip().to_string(), "{row}");
        }
        let run = reported("wrong", &["--http1", "--requests", "2"]);
        assert_eq!(run.code, 1, "{}", run.err);
        assert_eq!(
            run.rows()[0]["errors"],
            json!({ "proxy_login": 2 }),
            "{}",
            run.err
        );
        assert!(
            run.err.contains(&format!("proxy {scheme}://{}", server.addr(0))),
            "{}",
            run.err
        );
        assert!(
            !run.err.contains("wrong") && !run.err.contains(USER),
            "{}",
            run.err
        );
        row.case(recipe.evidence(
            &server,
            "the probe, by a login that is right and one that is wrong",
        ));
    }
}
