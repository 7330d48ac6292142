//! Whom the pool asks for addresses, and which may be connected to: judged when a name resolves, and again before each connect.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hotpool::{
    AddressPolicy, Answer, ErrorKind, GetOptions, HotConnPool, Phase, Resolve, Resolving, StaticResolver,
};

use super::lease;
use crate::common::{builder, finish, http1_peer, let_run, name, within};
use crate::support::peer::{Alpn, Peer};

/// A name at the peer's port that resolves to these addresses.
fn pool_of(peer: &Peer, policy: AddressPolicy, addresses: &[&str]) -> HotConnPool {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    let resolver = StaticResolver::new().with(name(peer).as_str(), addresses);
    builder(peer, |_| {})
        .resolver(resolver.unwrap())
        .address_policy(policy)
        .build()
        .unwrap()
}

/// A name of a stranger's that resolves to an address inside: nothing is sent there, whatever dress the address comes in.
#[tokio::test]
async fn what_resolves_inside_is_refused_before_any_connect() {
    let peer = http1_peer();
    let local = || AddressPolicy::allow_all().deny("127.0.0.0/8").unwrap();
    let private = AddressPolicy::deny_private;
    let cases = [
        (private(), "10.0.0.1"),
        (private(), "127.0.0.1"),
        (private(), "::ffff:127.0.0.1"),
        (private(), "64:ff9b::7f00:1"),
        (private(), "0.0.0.0"),
        (private(), "169.254.169.254"),
        (local(), "127.0.0.1"),
        (local(), "::ffff:127.0.0.1"),
        (local(), "64:ff9b::7f00:1"),
        (local(), "2002:7f00:1::1"),
    ];
    for (policy, address) in cases {
        let pool = pool_of(&peer, policy, &[address]);
        for _ in 0..2 {
            let error = within("a refusal", pool.get(name(&peer))).await.unwrap_err();
            let seen = (error.kind(), error.phase());
            assert_eq!(
                seen,
                (ErrorKind::AddressDenied, Phase::Resolve),
                "{address}: {error}"
            );
            assert_eq!(error.target(), Some(name(&peer).as_str()));
        }
        assert_eq!(pool.stats().counters.dials, 0, "{address}");
    }
    assert_eq!(peer.seen().accepts, 0);
}

/// What is allowed of an answer is used, and nothing else.
#[tokio::test]
async fn the_rest_of_an_answer_is_used() {
    let peer = Peer::builder().ips(3).alpn(Alpn::Http1).start();
    let policy = AddressPolicy::deny_private().allow("127.0.0.0/30").unwrap();
    let policy = policy.deny("127.0.0.2").unwrap();
    let pool = pool_of(
        &peer,
        policy,
        &["127.0.0.2", "127.0.0.1", "127.0.0.3", "127.0.0.9"],
    );
    let mut leased = Vec::new();
    for _ in 0..4 {
        leased.push(lease(&pool, &name(&peer)).await);
    }
    let mut used: Vec<_> = leased
        .iter()
        .map(|conn| conn.info().remote.ip().to_string())
        .collect();
    used.sort();
    assert_eq!(used, ["127.0.0.1", "127.0.0.1", "127.0.0.3", "127.0.0.3"]);
    drop(leased);
    finish(pool, peer).await;
}

/// An address that a target or a call names never was an answer. Refusing it is nobody's failure.
#[tokio::test]
async fn an_address_that_is_named_is_judged_before_the_connect() {
    let peer = http1_peer();
    let pool = pool_of(&peer, AddressPolicy::deny_private(), &["192.0.1.1"]);
    let literal = format!("127.0.0.1:{}", peer.port());
    let pin = || GetOptions::new().ip([127, 0, 0, 1].into());
    for _ in 0..2 {
        for error in [
            within("a refusal", pool.get(&literal)).await.unwrap_err(),
            within("a refusal", pool.get_with(name(&peer), pin()))
                .await
                .unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::AddressDenied, Phase::Connect),
                "{error}"
            );
            assert_eq!(error.ip(), Some([127, 0, 0, 1].into()));
        }
    }
    assert_eq!(peer.seen().accepts, 0);
}

/// Counts its questions and answers them after a while; the port makes no difference to it.
struct Counting(Arc<AtomicU32>, Vec<IpAddr>);

impl Resolve for Counting {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        self.0.fetch_add(1, Ordering::Relaxed);
        let addresses = self.1.clone();
        Resolving::new(async move {
            let_run().await;
            let ttl = Duration::from_secs(60);
            Ok(Answer { addresses, ttl })
        })
    }

    fn tells_ports_apart(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn many_who_ask_for_a_name_ask_once() {
    let peers = [http1_peer(), http1_peer()];
    let asked = Arc::new(AtomicU32::new(0));
    let resolver = Counting(Arc::clone(&asked), peers[0].ips().to_vec());
    let pool = builder(&peers[0], |_| {}).resolver(resolver).build().unwrap();
    // Two ports are two hosts of the pool, and one name.
    let names = [name(&peers[0]), name(&peers[1])];
    let both = within("both", async {
        tokio::join!(pool.get(&names[0]), pool.get(&names[1]))
    });
    let (first, second) = both.await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    drop((first.unwrap(), second.unwrap()));
    let [first, second] = peers;
    finish(pool, first).await;
    second.shutdown().await;
}
