//! Limits, of a host and of all.

use std::time::Duration;

use hotpool::{CloseReason, ErrorKind, GetOptions, HotConn, PoolConfig, Returned};

use super::{as_soon_as, lease, poll_once};
use crate::common::{
    at_rest, config, finish, host, http1_peer, let_run, manual_pool, name, poll_times, pool, until, use_up,
    within,
};
use crate::support::peer::{Act, Alpn, Order, Peer, To};

const SECOND: Duration = Duration::from_secs(1);

/// `a.peer.test`, `b.peer.test`, ... at the peer's port.
fn hosts<const N: usize>(peer: &Peer) -> [String; N] {
    let letters = ["a", "b", "c", "d"];
    std::array::from_fn(|index| host(peer, &format!("{}.peer.test", letters[index])))
}

#[tokio::test]
async fn dialling_counts_against_the_host_cap() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 2), name(&peer));
    let leased = lease(&pool, &name).await; // known to speak HTTP/1.1: a dial for each from now on
    peer.always(To::All, Act::StallAfterHello);
    let mut getters: Vec<_> = (0..3).map(|_| Box::pin(pool.get(&name))).collect();
    for getter in &mut getters {
        assert!(poll_once(getter.as_mut()).await.is_none());
    }
    peer.wait_for("a dial hangs", |seen| seen.hellos == 2).await;
    let_run().await;
    assert_eq!((peer.seen().accepts, pool.stats().dialling), (2, 1));
    drop(getters);
    peer.order(To::All, Order::Reset);
    drop(leased);
    finish(pool, peer).await;
}

#[tokio::test]
async fn cancelled_get_frees_its_slot() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_dials = 1);
    let [a, b, c] = hosts(&peer);
    peer.next(To::All, 1, Act::StallAfterHello);
    let mut hangs = Box::pin(pool.get(&a));
    assert!(poll_once(hangs.as_mut()).await.is_none());
    peer.wait_for("it hangs", |seen| seen.hellos == 1).await;
    let mut in_line = Box::pin(pool.get(&b));
    assert!(poll_times(in_line.as_mut(), 50).await.is_none());
    assert_eq!(pool.stats().dialling, 2);
    drop(in_line);
    assert_eq!(
        pool.stats().dialling,
        1,
        "nobody wants the dial that has not begun"
    );
    let mut next = Box::pin(pool.get(&c));
    assert!(poll_times(next.as_mut(), 50).await.is_none());
    peer.order(To::All, Order::Reset);
    drop(within("its turn", next).await.unwrap());
    assert_eq!(peer.seen().accepts, 2);
    drop(hangs);
    finish(pool, peer).await;
}

#[tokio::test]
async fn freed_connection_beats_dial_in_flight() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let first = lease(&pool, &name).await;
    peer.next(To::All, 1, Act::StallAfterHello);
    let mut second = Box::pin(pool.get(&name));
    assert!(poll_once(second.as_mut()).await.is_none());
    peer.wait_for("its dial hangs", |seen| seen.hellos == 2).await;
    assert_eq!(pool.put(first), Returned::Kept);
    let conn = poll_once(second.as_mut()).await.expect("served").unwrap();
    assert_eq!(conn.info().serial, 1);
    peer.order(To::Conn(2), Order::Reset);
    drop((second, conn));
    finish(pool, peer).await;
}

#[tokio::test]
async fn surplus_dial_becomes_idle() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let first = lease(&pool, &name).await;
    let mut second = Box::pin(pool.get(&name));
    assert!(poll_once(second.as_mut()).await.is_none());
    as_soon_as(&pool, "a second dial", |stats| stats.counters.dials == 2).await;
    assert_eq!(pool.put(first), Returned::Kept);
    let conn = poll_once(second.as_mut()).await.expect("served").unwrap();
    // Served meanwhile: what its dial brings is nobody's.
    let stats = until(&pool, "the dial is over", |stats| stats.dialling == 0).await;
    assert_eq!((stats.total, stats.idle), (2, 1), "{stats:?}");
    let surplus = lease(&pool, &name).await;
    assert_eq!((conn.info().serial, surplus.info().serial), (1, 2));
    drop((second, conn, surplus));
    finish(pool, peer).await;
}

#[tokio::test]
async fn put_after_close_idle_is_safe() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let (mut leased, idle) = (lease(&pool, &name).await, lease(&pool, &name).await);
    drop(idle);
    assert_eq!(pool.manager().evict_host(&name).unwrap(), 2);
    assert_eq!(pool.size(), 1, "closed in its holder's hands");
    peer.wait_for("the idle one is closed", |seen| seen.live == 1)
        .await;
    assert_eq!(use_up(&mut leased, "/").await.status, 200);
    assert_eq!(pool.put(leased), Returned::Closed(CloseReason::Removed));
    assert_eq!(lease(&pool, &name).await.info().serial, 3);
    finish(pool, peer).await;
}

/// The dial wins by a hair: granted when its owner gives it up.
#[tokio::test]
async fn dial_and_cancel_race() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let peer = Peer::builder().alpn(alpn).start();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let mut getter = Box::pin(pool.get(&name));
        assert!(poll_once(getter.as_mut()).await.is_none());
        as_soon_as(&pool, "a grant", |stats| stats.leases == 1).await;
        drop(getter);
        let stats = pool.stats();
        assert_eq!((stats.total, stats.idle, stats.leases), (1, 1, 0), "{alpn:?}");
        at_rest(&pool).await;
        assert_eq!(lease(&pool, &name).await.info().serial, 1);
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn total_cap_evicts_the_longest_idle_of_another_host() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.max_connections = 3);
    let [a, b, c, d] = hosts(&peer);
    let [of_a, of_b, of_c] = [
        lease(&pool, &a).await,
        lease(&pool, &b).await,
        lease(&pool, &c).await,
    ];
    for mut conn in [of_b, of_c, of_a] {
        clock.advance(SECOND);
        use_up(&mut conn, "/").await;
        drop(conn);
    }
    // Host a was dialled first, but host b has been idle longest.
    drop(lease(&pool, &d).await);
    let mapping = pool.manager().host_mapping();
    assert_eq!(mapping.len(), 3);
    assert!(!mapping.contains_key(b.as_str()), "{mapping:?}");
    assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 1);
    peer.wait_for("three live", |seen| seen.live == 3).await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn idle_elsewhere_frees_a_waiter_at_the_total_or_ip_cap() {
    let total: fn(&mut PoolConfig) = |config| config.max_connections = 1;
    let ip: fn(&mut PoolConfig) = |config| config.max_per_ip = 1;
    for cap in [total, ip] {
        let peer = http1_peer();
        let pool = pool(&peer, cap);
        let [a, b] = hosts(&peer);
        let leased = lease(&pool, &a).await;
        let mut waits = Box::pin(pool.get(&b));
        assert!(poll_times(waits.as_mut(), 100).await.is_none());
        assert_eq!(peer.seen().accepts, 1);
        assert_eq!(pool.put(leased), Returned::Kept);
        drop(within("a's place", waits).await.unwrap());
        assert_eq!(pool.stats().counters.closes(CloseReason::Evicted), 1);
        assert_eq!(pool.size(), 1);
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn acquire_timeout_leaks_no_permit() {
    let peer = http1_peer();
    let (pool, clock) = manual_pool(&peer, |config| config.max_connections = 1);
    let [a, b] = hosts(&peer);
    let leased = lease(&pool, &a).await;
    let mut late = Box::pin(pool.get_with(&b, GetOptions::new().timeout(SECOND)));
    assert!(poll_times(late.as_mut(), 100).await.is_none());
    assert_eq!(pool.stats().dialling, 1);
    clock.advance(SECOND);
    let error = within("the timeout", late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!((pool.stats().dialling, pool.stats().waiting), (0, 0));
    pool.manager().assert_invariants();
    leased.discard();
    assert_eq!(lease(&pool, &b).await.info().serial, 2);
    finish(pool, peer).await;
}

#[tokio::test]
async fn close_cancels_waiters_and_drains() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 2), name(&peer));
    let elsewhere = host(&peer, "a.peer.test");
    drop(lease(&pool, &elsewhere).await);
    let leased = [lease(&pool, &name).await, lease(&pool, &name).await];
    let mut waiter = Box::pin(pool.get(&name));
    assert!(poll_once(waiter.as_mut()).await.is_none());
    let mut closing = Box::pin(pool.close());
    assert!(poll_once(closing.as_mut()).await.is_none(), "two leases are out");
    let refused = poll_once(waiter.as_mut()).await.expect("refused at once");
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
    peer.wait_for("the idle one is closed", |seen| seen.live == 2)
        .await;
    assert!(poll_times(closing.as_mut(), 50).await.is_none());
    let closed = Returned::Closed(CloseReason::PoolClosed);
    assert_eq!(leased.map(|conn: HotConn| pool.put(conn)), [closed; 2]);
    let report = within("close", closing).await;
    assert_eq!((report.closed, report.leases_left), (3, 0));
    drop(waiter);
    finish(pool, peer).await;
}

#[tokio::test]
async fn resize_grows_and_shrinks_live() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |config| config.max_per_host = 1), name(&peer));
    let resize = |most| {
        let changed = config(|config| config.max_per_host = most);
        pool.manager().update_config(changed).unwrap();
    };
    let first = lease(&pool, &name).await;
    let mut getter = Box::pin(pool.get(&name));
    assert!(poll_times(getter.as_mut(), 100).await.is_none());
    assert_eq!(pool.stats().dialling, 0);
    resize(2);
    assert_eq!(pool.stats().dialling, 1, "room that grew is used at once");
    let second = within("its own", getter).await.unwrap();
    drop(first);
    resize(1);
    assert_eq!(pool.size(), 1, "idle and too many");
    assert_eq!(pool.put(second), Returned::Kept);
    resize(2);
    let both = [lease(&pool, &name).await, lease(&pool, &name).await];
    resize(1);
    assert_eq!(pool.size(), 2, "leased ones are let be");
    let over = Returned::Closed(CloseReason::OverLimit);
    assert_eq!(both.map(|conn| pool.put(conn)), [over, Returned::Kept]);
    finish(pool, peer).await;
}

/// Whatever peers and callers do, in any order: at the end every permit is home.
#[tokio::test]
async fn permits_are_conserved_under_random_operations() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let (pool, clock) = manual_pool(&peer, |config| {
        config.max_connections = 4;
        config.max_per_host = 3;
        config.max_per_ip = 2;
        config.max_dials = 2;
    });
    let names: [String; 3] = hosts(&peer);
    let acts = [
        Act::ResetOnAccept,
        Act::ResetAfterHello,
        Act::CloseAfterHandshake,
        Act::StallAfterHello,
    ];
    let (mut leases, mut getters) = (Vec::<HotConn>::new(), Vec::new());
    let mut state = 7_u64;
    for _ in 0..600 {
        // A linear congruential generator (Knuth's MMIX constants): the same steps every time.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dice = (state >> 33) as usize;
        match dice % 8 {
            0..=2 => getters.push(Box::pin(pool.get(&names[dice / 8 % 3]))),
            3 => drop(
                (dice / 8)
                    .checked_rem(getters.len())
                    .map(|index| getters.swap_remove(index)),
            ),
            4 => drop(
                (dice / 8)
                    .checked_rem(leases.len())
                    .map(|index| leases.swap_remove(index)),
            ),
            5 => (dice / 8)
                .checked_rem(leases.len())
                .into_iter()
                .for_each(|index| leases.swap_remove(index).discard()),
            6 => peer.next(To::Ip(peer.ips()[dice / 8 % 2]), 1, acts[dice / 16 % 4].clone()),
            _ => clock.advance(SECOND * 11),
        }
        let mut waiting = Vec::new();
        for mut getter in getters {
            match poll_once(getter.as_mut()).await {
                Some(served) => leases.extend(served),
                None => waiting.push(getter),
            }
        }
        getters = waiting;
        tokio::task::yield_now().await;
        pool.manager().assert_invariants();
        let stats = pool.stats();
        assert!(
            stats.total <= 4 && stats.hosts.iter().all(|host| host.total <= 3),
            "{stats:?}"
        );
    }
    drop((getters, leases));
    peer.order(To::All, Order::Reset);
    clock.advance(SECOND * 60);
    at_rest(&pool).await;
    finish(pool, peer).await;
}
