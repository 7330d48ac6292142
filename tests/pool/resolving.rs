//! Names over the wire: name servers that answer, fail, or mean harm.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{CloseReason, ErrorKind, HickoryResolver, HotConnPool, Phase};

use crate::common::{assert_kind, finish, http1_peer, let_run, name, within};
use crate::support::certs;
use crate::support::dns::{Dns, Say};
use crate::support::measure;
use crate::support::outside::{self, dnsmasq};
use crate::support::peer::{Alpn, DEADLINE, Peer};
use crate::support::peers_table::{self, Row};

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A pool that asks one name server.
fn asking(server: std::net::SocketAddr, clock: &ManualClock) -> HotConnPool {
    HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(HickoryResolver::with_servers([server]))
        .clock(clock.clone())
        .build()
        .unwrap()
}

/// The error of a get while the clock goes on: one that asks a name server which says nothing ends with its time.
async fn error(pool: &HotConnPool, clock: &ManualClock, name: &str) -> hotpool::Error {
    let get = async {
        let mut get = std::pin::pin!(pool.get(name));
        loop {
            tokio::select! {
                got = &mut get => break got,
                () = tokio::time::sleep(Duration::from_millis(100)) => clock.advance(secs(1)),
            }
        }
    };
    within("an error", get).await.unwrap_err()
}

/// New addresses are dialled once the old answer's time is over, and the old ones drain: by a name server of another maker.
#[tokio::test]
async fn a_name_that_moves_takes_the_traffic_along() {
    const TTL: u32 = 6;
    let Some(server) = outside::start_good(&dnsmasq::Dnsmasq { ttl: TTL }, 1) else {
        return peers_table::skip("dnsmasq", "is not installed");
    };
    let mut row = Row::of(&server);
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let [old, new] = [peer.ips()[0], peer.ips()[1]];
    let clock = ManualClock::new();
    let (pool, name) = (asking(server.addr(0), &clock), name(&peer));
    dnsmasq::set_hosts(&server, &[("peer.test", old)]);
    let idle = within("the old one", pool.get(&name)).await.unwrap();
    assert_eq!(idle.info().remote.ip(), old);
    drop(idle);
    dnsmasq::set_hosts(&server, &[("peer.test", new)]);
    let asked = dnsmasq::asked(&server, "peer.test");
    for round in 1..=2 {
        clock.advance(secs(TTL.into()));
        // A dial finds the answer too old, and has it asked for again.
        let pinned = hotpool::GetOptions::new().ip(new);
        within("a dial", pool.get_with(&name, pinned))
            .await
            .unwrap()
            .discard();
        let again = || dnsmasq::asked(&server, "peer.test") >= asked + round;
        measure::eventually(DEADLINE, "it is asked again", again).await;
        let_run().await;
    }
    peer.wait_for("the old address is left", |seen| seen.at(old).live == 0)
        .await;
    let conn = within("the new one", pool.get(&name)).await.unwrap();
    assert_eq!(conn.info().remote.ip(), new);
    assert_eq!(pool.stats().counters.closes(CloseReason::AddressGone), 1);
    assert_kind(
        &error(&pool, &clock, "nobody.test").await,
        ErrorKind::NameNotFound,
        Phase::Resolve,
    );
    row.case(dnsmasq::evidence(&server, "a name that moves", "peer.test"));
    row.case(dnsmasq::evidence(
        &server,
        "a name that does not exist",
        "nobody.test",
    ));
    drop(conn);
    finish(pool, peer).await;
}

/// Each wrong answer is its error, which names the target; it is not asked again at once, and a right answer later is served.
#[tokio::test]
async fn each_hostile_answer_has_its_error_and_an_end() {
    let peer = http1_peer();
    let dns = Dns::start().await;
    for (number, (say, kind, remembered)) in [
        (Say::ServFail, ErrorKind::Resolve, 1),
        (Say::NoSuchName(9), ErrorKind::NameNotFound, 9),
        (Say::NoSuchName(9_999), ErrorKind::NameNotFound, 30),
        (Say::Nothing, ErrorKind::NameNotFound, 1),
        (Say::AliasLoop, ErrorKind::NameNotFound, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let clock = ManualClock::new();
        let pool = asking(dns.address(), &clock);
        let host = format!("n{number}.other.test");
        let target = format!("{host}:{}", peer.port());
        dns.say(&host, say.clone());
        let failed = within("the error", pool.get(&target)).await.unwrap_err();
        let right =
            failed.kind() == kind || matches!(say, Say::AliasLoop) && failed.kind() == ErrorKind::Resolve;
        assert!(right && failed.phase() == Phase::Resolve, "{say:?}: {failed:?}");
        assert_eq!(failed.target(), Some(target.as_str()));
        dns.say(&host, Say::Addresses(peer.ips().to_vec(), 60));
        let asked = dns.asked(&host);
        clock.advance(secs(remembered) - Duration::from_nanos(1));
        assert!(within("the same", pool.get(&target)).await.is_err(), "{say:?}");
        assert_eq!(dns.asked(&host), asked, "{say:?}: not asked again");
        clock.advance(Duration::from_nanos(1));
        // The certificate is for other names: that it is looked at says that the address was found.
        let found = within("an answer", pool.get(&target)).await;
        assert!(dns.asked(&host) > asked, "{say:?}: asked again");
        assert!(found.is_err_and(|error| error.phase() == Phase::Tls), "{say:?}");
        within("close", pool.close()).await;
    }
    peer.shutdown().await;
}

/// A name server that says nothing, or nothing that is DNS, costs the get its time and no more.
#[tokio::test]
async fn silence_and_garbage_end_with_their_time() {
    let dns = Dns::start().await;
    for (host, say) in [("silent.test", Say::Silence), ("garbage.test", Say::Garbage)] {
        dns.say(host, say);
        let clock = ManualClock::new();
        let pool = asking(dns.address(), &clock);
        let failed = error(&pool, &clock, host).await;
        assert_eq!(failed.phase(), Phase::Resolve, "{failed:?}");
        assert!(
            matches!(failed.kind(), ErrorKind::Timeout | ErrorKind::Resolve),
            "{failed:?}"
        );
        within("close", pool.close()).await;
    }
}

/// A family that gets no answer does not hold up the other.
#[tokio::test]
async fn one_silent_family_does_not_hold_up_the_other() {
    let peer = http1_peer();
    let dns = Dns::start().await;
    dns.say("peer.test", Say::SilentForV6(peer.ips().to_vec(), 60));
    let clock = ManualClock::new();
    let (pool, name) = (asking(dns.address(), &clock), name(&peer));
    let get = async {
        let mut get = std::pin::pin!(pool.get(&name));
        loop {
            tokio::select! {
                got = &mut get => break got,
                () = tokio::time::sleep(Duration::from_millis(10)) => clock.advance(Duration::from_millis(10)),
            }
        }
    };
    let conn = within("a connection", get).await.unwrap();
    assert!(
        clock_of(&clock) < Duration::from_millis(1_800),
        "the delay for IPv6, not its timeout"
    );
    drop(conn);
    clock.advance(secs(30)); // the question has its time
    finish(pool, peer).await;
}

fn clock_of(clock: &ManualClock) -> Duration {
    use hotpool::clock::{Clock, Moment};
    clock.now().since(Moment::ZERO)
}

/// Of a thousand addresses 32 are known; and times to live have bounds.
#[tokio::test]
async fn a_thousand_records_and_absurd_times_are_cut() {
    let peer = http1_peer();
    let dns = Dns::start().await;
    let many: Vec<IpAddr> = (0..1000_u32)
        .map(|n| Ipv4Addr::from(0x7f00_0001 + n).into())
        .collect();
    for (addresses, ttl, fresh) in [
        (many, 60, 60),
        (peer.ips().to_vec(), 0, 5),
        (peer.ips().to_vec(), i32::MAX as u32, 1800),
    ] {
        dns.say("peer.test", Say::Addresses(addresses.clone(), ttl));
        let clock = ManualClock::new();
        let (pool, name) = (asking(dns.address(), &clock), name(&peer));
        drop(within("a connection", pool.get(&name)).await.unwrap());
        let snapshot = pool.dns_snapshot();
        let [known] = &snapshot.names[..] else {
            panic!("{snapshot:?}")
        };
        assert_eq!(known.addresses, addresses[..addresses.len().min(32)]);
        assert_eq!(
            (known.host.as_str(), known.port, known.fresh),
            ("peer.test", None, fresh)
        );
        let asked = dns.asked("peer.test");
        for (wait, again) in [(fresh - 1, 0), (1, 1)] {
            clock.advance(secs(wait));
            within("a dial", pool.get(&name)).await.unwrap().discard();
            let heard = || dns.asked("peer.test") == asked + again;
            measure::eventually(DEADLINE, "asked as often as is due", heard).await;
            let_run().await;
        }
        within("close", pool.close()).await;
    }
    peer.shutdown().await;
}

/// The trust that name servers over TLS are judged by.
#[cfg(any(
    feature = "dot-ring",
    feature = "dot-aws-lc-rs",
    feature = "doh-ring",
    feature = "doh-aws-lc-rs"
))]
fn trust(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A name server over TLS is asked, if its certificate is right; if it is not, the name is not resolved.
#[cfg(any(
    feature = "dot-ring",
    feature = "dot-aws-lc-rs",
    feature = "doh-ring",
    feature = "doh-aws-lc-rs"
))]
async fn over_a_secure_road(resolver: impl Fn(std::net::SocketAddr) -> HickoryResolver) {
    let peer = http1_peer();
    let dns = Dns::start_secure(&certs::good()).await;
    dns.say("peer.test", Say::Addresses(peer.ips().to_vec(), 60));
    for (roots, served) in [
        (certs::authority().roots(), true),
        (certs::unknown_authority().roots(), false),
    ] {
        let pool = HotConnPool::builder()
            .roots(certs::authority().roots())
            .resolver(resolver(dns.address()).tls_config(trust(roots)))
            .clock(ManualClock::new())
            .build()
            .unwrap();
        let asked = dns.asked("peer.test");
        let got = within("an answer", pool.get(name(&peer))).await;
        assert_eq!(
            (got.is_ok(), dns.asked("peer.test") > asked),
            (served, served),
            "{got:?}"
        );
        let failed = got.map(drop).err(); // the lease goes home: close waits for it
        assert!(failed.is_none_or(|error| error.phase() == Phase::Resolve));
        within("close", pool.close()).await;
    }
    peer.shutdown().await;
}

#[cfg(any(feature = "dot-ring", feature = "dot-aws-lc-rs"))]
#[tokio::test]
async fn names_over_tls() {
    over_a_secure_road(|server| HickoryResolver::over_tls([server], "peer.test")).await;
}

#[cfg(any(feature = "doh-ring", feature = "doh-aws-lc-rs"))]
#[tokio::test]
async fn names_over_https() {
    over_a_secure_road(|server| HickoryResolver::over_https([server], "peer.test", "/dns-query")).await;
}
