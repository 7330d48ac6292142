//! Networks that lose packets, and machines that run short: in a network of the test's own.
#![expect(clippy::print_stdout, reason = "the figures, for whoever runs one by hand")]

use std::future::Future;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hotpool::{
    AddressPolicy, ErrorKind, GetOptions, HickoryResolver, HotConn, HotConnPool, Phase, PoolConfig,
    StaticResolver, Warm,
};

use crate::common::{at_rest, builder, host, http1_peer, name, pool, round, within};
use crate::support::certs;
use crate::support::dns::{Dns, Say};
use crate::support::network::{alone, sh};
use crate::support::outside::{self, nginx};
use crate::support::peer::{Alpn, Peer};
use crate::support::peers_table;

/// Runs the body of the test of this name in a network of its own, on a runtime of one thread.
fn in_its_own_network<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    alone(&format!("network::{test}"), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(body());
    });
}

/// `peer.test` on the first two addresses of a peer, whose certificate is so long that a handshake has over 5,000 bytes.
fn peer_of_many_names() -> Peer {
    let names: Vec<String> = (0..200).map(|n| format!("name-number-{n}.peer.test")).collect();
    let names: Vec<&str> = ["peer.test"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let leaf = certs::authority().server(&names);
    Peer::builder().ips(2).alpn(Alpn::Http1).certificate(leaf).start()
}

#[test]
fn a_black_hole_is_beaten_by_the_next_address() {
    in_its_own_network("a_black_hole_is_beaten_by_the_next_address", || async {
        let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
        let (hole, good) = (peer.ips()[0], peer.ips()[1]);
        sh(&format!(
            "iptables -A INPUT -p tcp -d {hole} --dport {} --syn -j DROP",
            peer.port()
        ));
        // The least of some: another process may have the processor meanwhile.
        let (mut least, mut second_least) = (Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            let pool = pool(&peer, |_| {});
            let began = Instant::now();
            let conn = within("a connection", pool.get(name(&peer))).await.unwrap();
            let info = conn.info();
            least = least.min(began.elapsed().saturating_sub(info.tls_time));
            assert_eq!(info.remote.ip(), good);
            // It is not blamed, and comes second from now on.
            let second = within("another", pool.get(name(&peer))).await.unwrap();
            second_least = second_least.min(second.info().connect_time);
            assert_eq!(second.info().remote.ip(), good);
            drop((conn, second));
            at_rest(&pool).await;
            within("close", pool.close()).await;
        }
        println!("the second address was connected after {least:?}");
        assert!(least >= Duration::from_millis(250), "{least:?}");
        assert!(least < Duration::from_millis(300), "{least:?}");
        assert!(second_least < Duration::from_millis(200), "{second_least:?}");
        peer.shutdown().await;
    });
}

#[test]
fn a_handshake_that_is_cut_off_ends_in_time_and_blames_its_address() {
    in_its_own_network(
        "a_handshake_that_is_cut_off_ends_in_time_and_blames_its_address",
        || async {
            sh("sysctl -qw net.netfilter.nf_conntrack_acct=1");
            for bytes in [1, 64, 600, 2000, 5000] {
                cut_off_after(bytes).await;
            }
        },
    );
}

async fn cut_off_after(bytes: u32) {
    const ATTEMPT: Duration = Duration::from_millis(1_000);
    let peer = peer_of_many_names();
    let [cut, good] = [peer.ips()[0], peer.ips()[1]];
    for end in [format!("-d {cut} --dport"), format!("-s {cut} --sport")] {
        let port = peer.port();
        sh(&format!(
            "iptables -A INPUT -p tcp {end} {port} -m connbytes --connbytes {bytes}: \
             --connbytes-dir both --connbytes-mode bytes -j DROP"
        ));
    }
    let pool = pool(&peer, |config| config.attempt_timeout = ATTEMPT);
    let began = Instant::now();
    let conn = within("a connection", pool.get(name(&peer))).await.unwrap();
    let took = began.elapsed();
    println!("cut off after {bytes} bytes: served by the other address after {took:?}");
    assert_eq!(conn.info().remote.ip(), good, "{bytes} bytes");
    assert!(took < ATTEMPT + Duration::from_secs(1), "{bytes} bytes: {took:?}");
    // The other address is not blamed: it is dialled again, at once.
    let again = within(
        "the good one",
        pool.get_with(name(&peer), GetOptions::new().ip(good)),
    );
    let again = again.await.unwrap();
    drop((conn, again));
    // Whoever insists on that address hears by the deadline what became of it.
    let fresh = builder(&peer, |config| config.attempt_timeout = ATTEMPT)
        .build()
        .unwrap();
    let began = Instant::now();
    let pinned = within(
        "the cut one",
        fresh.get_with(name(&peer), GetOptions::new().ip(cut)),
    );
    let error = pinned.await.unwrap_err();
    assert!(
        began.elapsed() < ATTEMPT + Duration::from_secs(1),
        "{bytes} bytes"
    );
    let phase = if bytes < 600 { Phase::Connect } else { Phase::Tls };
    assert_eq!(
        (error.kind(), error.phase(), error.ip()),
        (ErrorKind::Timeout, phase, Some(cut)),
        "{bytes} bytes"
    );
    let blocked = within("blocked", fresh.get_with(name(&peer), GetOptions::new().ip(cut))).await;
    assert_eq!(blocked.unwrap_err().kind(), ErrorKind::Blocked);
    round(&fresh, &name(&peer)).await;
    for pool in [pool, fresh] {
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
    sh("iptables -F");
    peer.shutdown().await;
}

const GETS: usize = 200;

fn wide(config: &mut PoolConfig) {
    (config.max_connections, config.max_per_host, config.max_per_ip) = (1_000, 500, 500);
}

/// So many gets at once, all held: who was served, and the errors of the others.
async fn all_at_once(pool: &HotConnPool, name: &str) -> (Vec<HotConn>, Vec<hotpool::Error>) {
    let gets: Vec<_> = (0..GETS)
        .map(|_| {
            let (pool, name) = (pool.clone(), name.to_owned());
            crate::common::spawn(async move { pool.get(name).await })
        })
        .collect();
    let (mut served, mut failed) = (Vec::new(), Vec::new());
    for get in gets {
        match within("an answer", get).await.unwrap() {
            Ok(conn) => served.push(conn),
            Err(error) => failed.push(error),
        }
    }
    (served, failed)
}

/// What must hold while the machine is short of something, and after `relief`.
async fn short_and_relieved(pool: &HotConnPool, name: &str, most: usize, relief: impl FnOnce()) {
    let (served, failed) = all_at_once(pool, name).await;
    println!("{} served, {} not, while it is short", served.len(), failed.len());
    assert!((1..=most).contains(&served.len()), "{} served", served.len());
    for error in &failed {
        assert_eq!(error.kind(), ErrorKind::LocalResource, "{error:?}");
    }
    // Whoever warms waits for better times.
    let warming = {
        let (pool, name) = (pool.clone(), name.to_owned());
        let more = served.len() + 5;
        crate::common::spawn(async move { pool.warm(&*name, Warm::Count(more), GetOptions::new()).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!warming.is_finished(), "held back");
    relief();
    let relieved = Instant::now();
    let report = within("warm", warming).await.unwrap().unwrap();
    println!("warm {:?} after relief", relieved.elapsed());
    assert!(
        relieved.elapsed() < Duration::from_secs(2),
        "{:?}",
        relieved.elapsed()
    );
    assert_eq!((report.opened, report.errors.len()), (5, 0), "{report:?}");
    let first = within("a connection", pool.get(name)).await.unwrap();
    drop(first);
    let (more, failed) = all_at_once(pool, name).await;
    assert_eq!((more.len(), failed.len()), (GETS, 0), "{failed:?}");
    drop((served, more));
    at_rest(pool).await;
    within("close", pool.close()).await;
}

#[test]
fn a_machine_without_ports_blames_nobody_and_recovers() {
    in_its_own_network("a_machine_without_ports_blames_nobody_and_recovers", || async {
        let peer = http1_peer();
        sh("sysctl -qw net.ipv4.ip_local_port_range='20000 20009'");
        let pool = pool(&peer, wide);
        let relief = || drop(sh("sysctl -qw net.ipv4.ip_local_port_range='20000 29999'"));
        short_and_relieved(&pool, &name(&peer), 10, relief).await;
        peer.shutdown().await;
    });
}

#[test]
fn a_process_without_descriptors_blames_nobody_and_recovers() {
    in_its_own_network(
        "a_process_without_descriptors_blames_nobody_and_recovers",
        || async {
            // In a process of its own: its descriptors are not counted. HTTP/1.1 alone, so that each get is one of ours.
            let http1_alone = nginx::Nginx {
                http2: false,
                ..nginx::Nginx::default()
            };
            let Some(server) = outside::start_good(&http1_alone, 1) else {
                return peers_table::skip("nginx", "is not installed");
            };
            let pid = std::process::id();
            // Started before there is a shortage, which it would be part of.
            let mut limiter = Command::new("sh")
                .args([
                    "-ec",
                    "while read -r soft; do prlimit --pid \"$0\" --nofile=\"$soft:\"; echo done; done",
                ])
                .arg(pid.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut tell = limiter.stdin.take().unwrap();
            let mut hear = std::io::BufReader::new(limiter.stdout.take().unwrap());
            let mut limit = |soft: u32| {
                writeln!(tell, "{soft}").unwrap();
                let mut line = String::new();
                std::io::BufRead::read_line(&mut hear, &mut line).unwrap();
                assert_eq!(line, "done\n");
            };
            let target = format!("peer.test:{}", server.addr(0).port());
            let resolver = StaticResolver::new()
                .with(&*target, [server.addr(0).ip()])
                .unwrap();
            let mut config = PoolConfig::default();
            wide(&mut config);
            let pool = HotConnPool::builder()
                .config(config)
                .roots(certs::authority().roots())
                .resolver(resolver)
                .build()
                .unwrap();
            limit(64);
            short_and_relieved(&pool, &target, 64, || limit(1_024)).await;
            drop(tell);
            limiter.wait().unwrap();
            drop(server);
        },
    );
}

/// A name that resolves to an address that is nobody's business is refused before the first packet.
#[test]
fn a_name_that_is_rebound_gets_no_packet() {
    const BOUND: [&str; 6] = [
        "10.0.0.1",
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "0.0.0.0",
        "169.254.169.254",
    ];
    in_its_own_network("a_name_that_is_rebound_gets_no_packet", || async {
        sh("ip address add 10.0.0.1/32 dev lo; ip address add 169.254.169.254/32 dev lo");
        sh("ip -6 address add 64:ff9b::7f00:1/128 dev lo nodad");
        let peer = http1_peer();
        let port = peer.port();
        for tables in ["iptables", "ip6tables"] {
            sh(&format!(
                "{tables} -A INPUT -p tcp --dport {port} --syn -j ACCEPT"
            ));
        }
        let packets = || -> u64 {
            let count = |tables: &str| {
                let listed = sh(&format!("{tables} -L INPUT -v -x -n"));
                let rule = listed.lines().nth(2).expect("the rule").to_owned();
                rule.split_whitespace()
                    .next()
                    .expect("a count")
                    .parse::<u64>()
                    .expect("a number")
            };
            count("iptables") + count("ip6tables")
        };
        let dns = Dns::start().await;
        let asking = |policy| {
            HotConnPool::builder()
                .roots(certs::authority().roots())
                .resolver(HickoryResolver::with_servers([dns.address()]))
                .address_policy(policy)
                .build()
                .unwrap()
        };
        let pool = asking(AddressPolicy::deny_private());
        for bound in BOUND {
            let ip: IpAddr = bound.parse().unwrap();
            dns.say("peer.test", Say::Addresses(vec![ip], 5));
            let pool = asking(AddressPolicy::deny_private());
            let by_name = within("refused", pool.get(name(&peer))).await.unwrap_err();
            assert_eq!(
                (by_name.kind(), by_name.phase()),
                (ErrorKind::AddressDenied, Phase::Resolve),
                "{bound}"
            );
            within("close", pool.close()).await;
        }
        for bound in BOUND {
            let ip: IpAddr = bound.parse().unwrap();
            let literal = std::net::SocketAddr::new(ip, port);
            let error = within("refused", pool.get(literal)).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::AddressDenied, Phase::Connect),
                "{bound}"
            );
            let pinned = GetOptions::new().ip(ip);
            let error = within("refused", pool.get_with(host(&peer, "a.peer.test"), pinned))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddressDenied, "{bound}");
        }
        within("close", pool.close()).await;
        assert_eq!(packets(), 0, "not one SYN");
        // That the count would have shown one.
        let open = asking(AddressPolicy::allow_all());
        let _ = within(
            "an answer",
            open.get(std::net::SocketAddr::new("10.0.0.1".parse().unwrap(), port)),
        )
        .await;
        assert!(packets() > 0);
        within("close", open.close()).await;
        peer.shutdown().await;
    });
}
