//! How long a failed address is avoided, by whom, and what that does not touch.

use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{ErrorKind, Phase, StaticResolver};

use crate::common::{
    assert_kind, builder, failure, finish, host, http1_peer, manual_pool, name, round, use_up, within,
};
use crate::support::peer::{Act, To};

const SECOND: Duration = Duration::from_secs(1);

/// A second failure after the penalty doubles it; a success forgets all.
#[tokio::test]
async fn penalties_double_and_a_success_forgets_them() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |_| {});
    let name = name(&peer);
    peer.refuse(To::All).await;
    for seconds in [1, 2, 4] {
        assert_kind(
            &failure(&pool, &name).await,
            ErrorKind::ConnectionRefused,
            Phase::Connect,
        );
        let blocked = failure(&pool, &name).await;
        assert_eq!(blocked.retry_after(), Some(seconds * SECOND));
        clock.advance(seconds * SECOND);
    }
    peer.listen(To::All).await;
    let mut conn = within("a connection", pool.get(&name)).await.unwrap();
    use_up(&mut conn, "/").await;
    conn.discard();
    peer.refuse(To::All).await;
    assert_kind(
        &failure(&pool, &name).await,
        ErrorKind::ConnectionRefused,
        Phase::Connect,
    );
    assert_eq!(failure(&pool, &name).await.retry_after(), Some(SECOND));
    finish(pool, peer).await;
}

/// An address that cannot be reached is held against by every host; what one of its ports does, by the host that met it.
#[tokio::test]
async fn who_holds_what_against_an_address() {
    let unreachable: std::net::IpAddr = "127.255.255.255".parse().unwrap(); // a broadcast address: TCP cannot go there
    for (kind, then) in [
        (ErrorKind::Unreachable, ErrorKind::Blocked),
        (ErrorKind::ConnectionRefused, ErrorKind::ConnectionRefused),
        (ErrorKind::ConnectionReset, ErrorKind::ConnectionReset),
    ] {
        let peer = http1_peer();
        let hosts = ["a.peer.test", "b.peer.test"].map(|label| host(&peer, label));
        let address = if kind == ErrorKind::Unreachable {
            unreachable
        } else {
            peer.ips()[0]
        };
        let resolver = hosts.iter().fold(StaticResolver::new(), |resolver, host| {
            resolver.with(host.as_str(), [address]).unwrap()
        });
        let clock = ManualClock::new();
        let pool = builder(&peer, |_| {})
            .resolver(resolver)
            .clock(clock)
            .build()
            .unwrap();
        peer.always(To::All, Act::ResetAfterHello);
        if kind == ErrorKind::ConnectionRefused {
            peer.refuse(To::All).await;
        }
        assert_eq!(failure(&pool, &hosts[0]).await.kind(), kind);
        assert_eq!(failure(&pool, &hosts[1]).await.kind(), then);
        finish(pool, peer).await;
    }
}

/// A live connection is handed out whatever its address is blamed for.
#[tokio::test]
async fn a_penalty_does_not_take_what_lives() {
    let peer = http1_peer();
    let (pool, _clock) = manual_pool(&peer, |_| {});
    let name = name(&peer);
    round(&pool, &name).await;
    let leased = within("the idle one", pool.get(&name)).await.unwrap();
    peer.refuse(To::All).await;
    assert_kind(
        &failure(&pool, &name).await,
        ErrorKind::ConnectionRefused,
        Phase::Connect,
    );
    drop(leased);
    assert_eq!(round(&pool, &name).await.nth, 2);
    finish(pool, peer).await;
}
