//! Whom the pool asks for addresses, and which it connects to: over real sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hotpool::{AddressPolicy, Answer, Error, ErrorKind, GetOptions, Phase, Resolve, Resolving};

use crate::common::{assert_kind, builder, finish, http1_peer, let_run, name, within};

#[tokio::test]
async fn no_packet_goes_where_the_policy_forbids() {
    let peer = http1_peer();
    let ip: IpAddr = peer.ips()[0];
    let block = AddressPolicy::allow_all().block(ip.into());
    for policy in [AddressPolicy::deny_private(), block] {
        let pool = builder(&peer, |_| {}).address_policy(policy).build().unwrap();
        let literal = format!("{ip}:{}", peer.port());
        let mapped = format!("[::ffff:{ip}]:{}", peer.port());
        let error = |got: Result<_, Error>| got.map(drop).unwrap_err();
        let by_name = error(within("by name", pool.get(name(&peer))).await);
        assert_kind(&by_name, ErrorKind::AddressDenied, Phase::Resolve);
        for literal in [literal, mapped] {
            let error = error(within("a literal", pool.get(literal)).await);
            assert_kind(&error, ErrorKind::AddressDenied, Phase::Connect);
            assert_eq!(error.ip(), Some(ip));
        }
        let pinned = GetOptions::new().ip(ip);
        let pinned = error(within("pinned", pool.get_with(name(&peer), pinned)).await);
        assert_kind(&pinned, ErrorKind::AddressDenied, Phase::Connect);
        // Nobody is blamed: the next one hears the same, not that it is blocked.
        let again = error(within("again", pool.get(format!("{ip}:{}", peer.port()))).await);
        assert_kind(&again, ErrorKind::AddressDenied, Phase::Connect);
        within("close", pool.close()).await;
    }
    let seen = peer.seen();
    assert_eq!((seen.accepts, seen.live), (0, 0));
    let pool = builder(&peer, |_| {}).build().unwrap();
    finish(pool, peer).await;
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
