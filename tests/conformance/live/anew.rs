//! Names that are asked for again where all that is known of them is blocked: what is blocked is an address, and the name may have another by now.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::{
    AccessPolicy, AllBlocked, Answer, ErrorKind, GetOptions, HotConnPool, Outcome, Resolve, ResolveError,
    Resolving, Scope,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::access::{network, refusal, refused};
use super::{as_soon_as, lease, poll_once};
use crate::common::{builder, finish, host, http1_peer, let_run, name, within};
use crate::support::black_hole::BlackHole;
use crate::support::peer::{Alpn, Peer};

const SECOND: Duration = Duration::from_secs(1);

/// Every name, with addresses that may be others later, how often any was asked for, and how many of the answers may come.
#[derive(Clone)]
struct Moves(Arc<Mutex<Vec<IpAddr>>>, Arc<AtomicU64>, Arc<Semaphore>);

impl Moves {
    fn to(addresses: &[IpAddr]) -> Self {
        let free = Semaphore::new(Semaphore::MAX_PERMITS);
        Moves(
            Arc::new(Mutex::new(addresses.to_vec())),
            Arc::default(),
            Arc::new(free),
        )
    }

    fn move_to(&self, addresses: &[IpAddr]) {
        *self.0.lock() = addresses.to_vec();
    }

    fn asked(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    /// Answers wait until they are let go, one by one.
    fn hold(&self) {
        self.2.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn let_go(&self) {
        self.2.add_permits(1);
    }
}

impl Resolve for Moves {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        self.1.fetch_add(1, Ordering::Relaxed);
        let (addresses, free) = (Arc::clone(&self.0), Arc::clone(&self.2));
        Resolving::new(async move {
            free.acquire_owned().await.unwrap().forget();
            let (addresses, ttl) = (addresses.lock().clone(), 10 * SECOND);
            match addresses.is_empty() {
                true => Err(ResolveError::Timeout),
                false => Ok(Answer { addresses, ttl }),
            }
        })
    }
}

/// Where all addresses of a name are blocked and the name is past its time, it is asked for again: it may have moved.
#[tokio::test]
async fn a_block_does_not_outlive_the_address_that_it_is_of() {
    for (all_blocked, own) in [
        (AllBlocked::Fail, true),
        (AllBlocked::Fail, false),
        (AllBlocked::ProbeLeastBad, false),
    ] {
        let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
        let (ips, name) = (peer.ips(), name(&peer));
        let (names, clock) = (Moves::to(&ips[..1]), ManualClock::new());
        let pool = builder(&peer, |config| config.all_blocked = all_blocked);
        let pool = pool.resolver(names.clone()).clock(clock.clone()).build().unwrap();
        let conn = lease(&pool, &name).await;
        match own {
            true => pool.manager().block(Scope::from(ips[0]), None).unwrap(),
            false => conn.report(Outcome::Status(403)),
        }
        conn.discard();
        refused(&pool, &name).await;
        assert_eq!(names.asked(), 1, "it is not past its time");
        // It stays where it was: who asked is refused as soon as that is known, and the next one at once.
        clock.advance(11 * SECOND);
        refused(&pool, &name).await;
        refused(&pool, &name).await;
        assert_eq!(names.asked(), 2);
        // Nor does a call that names the address ask for it; and name servers that fail change nothing.
        clock.advance(11 * SECOND);
        refusal(&pool, &name, GetOptions::new().ip(ips[0])).await;
        assert_eq!(names.asked(), 2);
        names.move_to(&[]);
        refused(&pool, &name).await;
        assert_eq!(names.asked(), 3);
        names.move_to(&ips[1..]);
        clock.advance(60 * SECOND); // name servers are given some rest
        let conn = lease(&pool, &name).await;
        assert_eq!(conn.info().remote.ip(), ips[1]);
        drop(conn);
        finish(pool, peer).await;
    }
}

/// What the whole pool holds against an address on another host's word is no last word on a name that is past its time either.
#[tokio::test]
async fn what_another_host_found_out_does_not_outlive_the_address_that_it_is_of() {
    let peer = http1_peer();
    let broadcast = IpAddr::from([127, 255, 255, 255]); // TCP cannot go there
    let (name, other) = (name(&peer), host(&peer, "a.peer.test"));
    let (names, clock) = (Moves::to(&[broadcast]), ManualClock::new());
    let pool = builder(&peer, |_| {}).resolver(names.clone());
    let pool = pool.clock(clock.clone()).build().unwrap();
    for block in [1, 2, 4, 8, 16, 32] {
        let error = within("an error", pool.get(&other)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        if block < 32 {
            clock.advance(block * SECOND);
        }
    }
    let asked = names.asked();
    let left = |seconds: u32| Some(seconds * SECOND);
    for _ in 0..2 {
        assert_eq!(refused(&pool, &name).await, left(32));
        assert_eq!(names.asked(), asked + 1, "it is not past its time");
    }
    // It stays where it was: all who ask are refused as soon as that is known, by one question, and who comes then at once.
    clock.advance(11 * SECOND);
    let at_once = || refused(&pool, &name);
    assert_eq!(
        tokio::join!(at_once(), at_once(), at_once()),
        (left(21), left(21), left(21))
    );
    assert_eq!(at_once().await, left(21));
    assert_eq!(names.asked(), asked + 2);
    // Nor does a call that names the address ask for it.
    clock.advance(11 * SECOND);
    let pinned = GetOptions::new().ip(broadcast);
    assert_eq!(refusal(&pool, &name, pinned).await, left(10));
    assert_eq!(names.asked(), asked + 2);
    names.move_to(peer.ips());
    drop(lease(&pool, &name).await);
    assert_eq!((names.asked(), pool.manager().blocklist().len()), (asked + 3, 1));
    finish(pool, peer).await;
}

/// Whoever waits for a name's answer goes by that, whatever the owner says of other addresses meanwhile; by the answer it is told at once, though the dial that
/// it waited for before still hangs.
#[tokio::test]
async fn who_waits_for_an_answer_goes_by_that() {
    for hangs in [false, true] {
        for moves in [false, true] {
            let peer = http1_peer();
            let name = name(&peer);
            let hole = BlackHole::open_at(SocketAddr::from(([127, 0, 0, 9], peer.port()))).await;
            let blocked = hole.address().ip();
            let (names, clock) = (Moves::to(&[blocked]), ManualClock::new());
            let pool = builder(&peer, |config| config.connect_timeout = 60 * SECOND);
            let pool = pool.resolver(names.clone()).clock(clock.clone()).build().unwrap();
            let manager = pool.manager();
            if !hangs {
                manager.block(blocked.into(), None).unwrap();
                assert_eq!(refused(&pool, &name).await, None);
                clock.advance(11 * SECOND);
                names.hold();
            }
            let mut get = Box::pin(pool.get(&name));
            assert!(poll_once(get.as_mut()).await.is_none());
            let_run().await;
            if hangs {
                as_soon_as(&pool, "its dial", |stats| stats.counters.dials == 1).await;
                clock.advance(11 * SECOND);
                names.hold();
                manager.block(blocked.into(), None).unwrap();
            }
            manager.block(network("192.0.2.0/24"), None).unwrap();
            assert!(manager.unblock(&network("192.0.2.0/24")));
            assert!(
                poll_once(get.as_mut()).await.is_none(),
                "{hangs}: an answer is on its way"
            );
            if moves {
                names.move_to(peer.ips());
            }
            names.let_go();
            let got = within("an answer", get).await;
            match moves {
                true => assert_eq!(got.unwrap().info().remote.ip(), peer.ips()[0], "{hangs}"),
                false => assert_eq!(got.unwrap_err().kind(), ErrorKind::Blocked, "{hangs}"),
            }
            assert_eq!(names.asked(), 2, "{hangs}");
            // A block of the host whole is no matter of its addresses.
            clock.advance(11 * SECOND);
            let mut get = Box::pin(pool.get_with(&name, GetOptions::new().partition("another")));
            if !moves {
                assert!(poll_once(get.as_mut()).await.is_none());
            }
            manager.block(Scope::host("peer.test").unwrap(), None).unwrap();
            let error = within("a refusal", get).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Blocked, "{hangs}");
            names.let_go();
            drop(hole);
            finish(pool, peer).await;
        }
    }
}

/// Where only what is listed by its network may be reached, a name that has none of it is asked for again when its time is over, and may have one by then.
#[tokio::test]
async fn a_name_outside_of_the_list_may_come_into_it() {
    let peer = Peer::builder().ips(2).alpn(Alpn::Http1).start();
    let (ips, name) = (peer.ips(), name(&peer));
    let (names, clock) = (Moves::to(&ips[..1]), ManualClock::new());
    let pool = builder(&peer, |_| {}).access(AccessPolicy::AllowlistOnly);
    let pool = pool.resolver(names.clone()).clock(clock.clone()).build().unwrap();
    pool.manager().allow(ips[1].into()).unwrap();
    for asked in [1, 1, 2, 2] {
        assert_eq!(refused(&pool, &name).await, None);
        assert_eq!(names.asked(), asked);
        if asked == 1 {
            names.move_to(&ips[..1]);
        }
        clock.advance(6 * SECOND);
    }
    names.move_to(ips);
    for _ in 0..2 {
        let conn = lease(&pool, &name).await;
        assert_eq!(conn.info().remote.ip(), ips[1]);
        conn.discard();
    }
    assert_eq!(names.asked(), 3);
    // And out of it again: what is left out twice is gone.
    for _ in 0..2 {
        names.move_to(&ips[..1]);
        clock.advance(11 * SECOND);
        _ = within("an answer", pool.get(&name)).await;
        let_run().await;
    }
    assert_eq!(refused(&pool, &name).await, None);
    assert_eq!(peer.seen().at(ips[0]).accepts, 0);
    finish(pool, peer).await;
}

/// A peer whose one address is held for so long from eleven seconds ago on, past its time, and name servers that do not answer.
async fn told_to_wait(time: Duration) -> (Peer, Moves, ManualClock, HotConnPool) {
    let (peer, names, clock) = (
        http1_peer(),
        Moves::to(&[IpAddr::from([127, 0, 0, 1])]),
        ManualClock::new(),
    );
    let pool = builder(&peer, |_| {}).resolver(names.clone());
    let pool = pool.clock(clock.clone()).build().unwrap();
    let conn = lease(&pool, &name(&peer)).await;
    conn.report(Outcome::TryLater(time));
    conn.discard();
    clock.advance(11 * SECOND);
    names.hold();
    (peer, names, clock, pool)
}

/// Who waits for a name's answer on account of a block does not need it once the block is over.
#[tokio::test]
async fn who_waits_for_an_answer_is_dialled_for_when_a_block_ends() {
    let (peer, names, clock, pool) = told_to_wait(12 * SECOND).await;
    let name = name(&peer);
    let mut get = Box::pin(pool.get(&name));
    assert!(poll_once(get.as_mut()).await.is_none());
    let_run().await;
    assert_eq!(names.asked(), 2);
    clock.advance(SECOND);
    drop(within("the end of the block", get).await.unwrap());
    names.let_go();
    finish(pool, peer).await;
}

/// An answer that takes its time is none to wait for where what was known before would serve: whoever is refused by that is refused.
#[tokio::test]
async fn who_is_refused_waits_for_no_answer_that_is_late() {
    let (peer, names, clock, pool) = told_to_wait(60 * SECOND).await;
    let name = name(&peer);
    let mut get = Box::pin(pool.get(&name));
    assert!(poll_once(get.as_mut()).await.is_none());
    let_run().await;
    clock.advance(Duration::from_millis(1799));
    let_run().await;
    assert!(poll_once(get.as_mut()).await.is_none());
    clock.advance(Duration::from_millis(1));
    let error = within("a refusal", get).await.unwrap_err();
    let left = Some(Duration::from_millis(47_200));
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Blocked, left));
    assert_eq!(refused(&pool, &name).await, left, "at once");
    assert_eq!(names.asked(), 2);
    // One that was asked as an address was dialled tells the same.
    names.let_go();
    let_run().await;
    assert!(
        pool.manager()
            .unblock(&Scope::address(name.as_str(), peer.ips()[0]).unwrap())
    );
    clock.advance(11 * SECOND);
    let conn = lease(&pool, &name).await;
    let_run().await;
    clock.advance(2 * SECOND);
    let_run().await;
    conn.report(Outcome::TryLater(60 * SECOND));
    conn.discard();
    assert_eq!(refused(&pool, &name).await, Some(60 * SECOND), "at once");
    assert_eq!(names.asked(), 3);
    // The next question is waited for as the first was.
    names.let_go();
    let_run().await;
    clock.advance(11 * SECOND);
    let mut get = Box::pin(pool.get(&name));
    assert!(poll_once(get.as_mut()).await.is_none());
    let_run().await;
    assert_eq!(names.asked(), 4);
    names.let_go();
    assert_eq!(
        within("a refusal", get).await.unwrap_err().kind(),
        ErrorKind::Blocked
    );
    finish(pool, peer).await;
}
