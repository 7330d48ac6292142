//! Nobody rides on another's connection, and no ticket of one is shown under the name of another: over real TLS.

mod calls;
pub(crate) mod exchange;
mod gate;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hotpool::fingerprint::{hellos, kind};
use hotpool::rustls::{SupportedProtocolVersion, version};
use hotpool::{CloseReason, GetOptions, HotConnPool, PoolConfig, Returned, StaticResolver};

use self::calls::{Makings, Pair};
use self::exchange::{exchange, run, within};
use self::gate::Gate;
use crate::support::measure;
use crate::support::peer::{Alpn, DEADLINE, Peer};

/// Room for every identity: nothing is closed to make room for another.
const MOST: u32 = 64;

/// A pool whose own setup is the one that all pairs start from, and that knows the peers at these ports.
fn pool(makings: &Makings, ports: &[u16]) -> HotConnPool {
    let mut resolver = StaticResolver::new();
    for port in ports {
        for host in ["a.peer.test", "b.peer.test"] {
            let target = format!("{host}:{port}");
            resolver = resolver
                .with(target.as_str(), [Ipv4Addr::LOCALHOST.into()])
                .expect("a target");
        }
    }
    let mut config = PoolConfig::default();
    (config.max_per_host, config.max_per_ip, config.max_idle_per_host) = (MOST, MOST, MOST);
    let builder = HotConnPool::builder().config(config).tls(makings.setup());
    builder.resolver(resolver).build().expect("a pool")
}

fn name(peer: &Peer) -> String {
    format!("a.peer.test:{}", peer.port())
}

/// The number of a connection that has served one exchange and gone home clean.
async fn visit(pool: &HotConnPool, target: &str, call: &GetOptions) -> u64 {
    let got = within("a connection", pool.get_with(target, call.clone())).await;
    let mut conn = got.expect("a connection");
    exchange(&mut conn, "/").await;
    let serial = conn.info().serial;
    assert_eq!(pool.put(conn), Returned::Kept);
    serial
}

/// Both orders of a pair.
fn orders(pair: &Pair) -> [[&GetOptions; 2]; 2] {
    let [one, other] = &pair.calls;
    [[one, other], [other, one]]
}

#[test]
fn changing_one_key_field_never_reuses() {
    run(async {
        let makings = Makings::new();
        for alpn in [Alpn::Http1, Alpn::Both] {
            let (peer, elsewhere) = (Peer::builder().alpn(alpn).start(), Peer::start());
            for pair in makings.pairs() {
                for [first, second] in orders(&pair) {
                    let pool = pool(&makings, &[peer.port()]);
                    let serial = visit(&pool, &name(&peer), first).await;
                    // Idle, and in use: an HTTP/2 connection has room for both.
                    assert_ne!(visit(&pool, &name(&peer), second).await, serial, "{}", pair.part);
                    let held = pool
                        .get_with(name(&peer), first.clone())
                        .await
                        .expect("a connection");
                    assert_eq!(held.info().serial, serial, "{}: equal calls share", pair.part);
                    assert_ne!(visit(&pool, &name(&peer), second).await, serial, "{}", pair.part);
                    assert_eq!(pool.size(), 2, "{}", pair.part);
                    drop(held);
                    pool.manager().assert_invariants();
                    within("close", pool.close()).await;
                }
            }
            let pool = pool(&makings, &[peer.port(), elsewhere.port()]);
            let targets = [
                name(&peer),
                format!("b.peer.test:{}", peer.port()),
                name(&elsewhere),
            ];
            let mut serials = Vec::new();
            for _ in 0..2 {
                for target in &targets {
                    serials.push(visit(&pool, target, &GetOptions::new()).await);
                }
            }
            assert_eq!(serials, [1, 2, 3, 1, 2, 3], "host and port");
            within("close", pool.close()).await;
        }
    });
}

const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&version::TLS13], &[&version::TLS12]];

/// Dials anew, uses the connection so that its tickets are read, and ends it. Whether it resumed, as the client says.
async fn dial_anew(pool: &HotConnPool, target: &str, call: &GetOptions) -> bool {
    let got = within("a connection", pool.get_with(target, call.clone())).await;
    let mut conn = got.expect("a connection");
    exchange(&mut conn, "/").await;
    let resumed = conn.info().tls.resumed;
    conn.discard();
    resumed
}

/// Whether the last hello that the peer saw shows a ticket. In TLS 1.2 sessions may go by their ids as well, of which each hello has one: there only what the
/// peer resumes tells.
fn shows_a_ticket(peer: &Peer) -> bool {
    let last = peer.connections().pop().expect("a connection");
    let found = hellos(&last.hello).next().expect("a hello");
    let hello = found.expect("a whole hello").hello;
    let ticket = hello.extension(kind::SESSION_TICKET);
    let ticket = ticket.is_some_and(|ticket| !ticket.body().expect("its body").is_empty());
    ticket || hello.extension(kind::PRE_SHARED_KEY).is_some()
}

#[test]
fn ticket_is_never_offered_across_identities() {
    run(async {
        let makings = Makings::new();
        for versions in VERSIONS {
            for pair in makings.pairs() {
                for [first, second] in orders(&pair) {
                    let peer = Peer::builder().versions(versions).record_bytes().start();
                    let (pool, target) = (pool(&makings, &[peer.port()]), name(&peer));
                    assert!(!dial_anew(&pool, &target, first).await);
                    assert!(!dial_anew(&pool, &target, second).await, "{}", pair.part);
                    assert!(!shows_a_ticket(&peer), "{}", pair.part);
                    assert_eq!(peer.seen().resumed, 0, "{}", pair.part);
                    // The tickets were there to be offered: each to its own.
                    let resumed = dial_anew(&pool, &target, first).await;
                    if versions == VERSIONS[0] {
                        assert_eq!(shows_a_ticket(&peer), resumed, "{}", pair.part);
                    }
                    let both = u64::from(resumed) + u64::from(dial_anew(&pool, &target, second).await);
                    let expected = if pair.part == "resumption" { 1 } else { 2 };
                    assert_eq!((both, peer.seen().resumed), (expected, expected), "{}", pair.part);
                    within("close", pool.close()).await;
                }
            }
        }
    });
}

/// How many gets: 20,000 unless `HOTPOOL_GETS` says otherwise.
fn gets() -> u64 {
    let said = std::env::var("HOTPOOL_GETS").ok();
    said.map_or(20_000, |text| text.parse().expect("a number"))
}

const TASKS: u64 = 8;

#[test]
fn random_gets_never_ride_on_another_identity_s_connection() {
    run(async {
        let makings = Makings::new();
        // One peer that has both protocols, so that some connections are shared and some are not.
        let peer = Peer::builder().alpn(Alpn::Both).start();
        let pool = pool(&makings, &[peer.port()]);
        let calls = Arc::new(makings.sixteen());
        let rides = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|seed| {
                let (pool, calls, rides, target) = (pool.clone(), calls.clone(), rides.clone(), name(&peer));
                tokio::spawn(async move {
                    let mut dice = Dice(seed);
                    while rides.fetch_add(1, Ordering::Relaxed) < gets() {
                        ride(&pool, &target, &calls, &mut dice).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("every ride on its own");
        }
        let stats = pool.stats();
        assert!(
            stats.counters.opened > gets() / 100,
            "connections churn: {stats:?}"
        );
        assert!(stats.counters.hits > gets() / 2, "and are reused: {stats:?}");
        pool.manager().assert_invariants();
        within("close", pool.close()).await;
    });
}

/// One get for one of the identities; whose connection it is, the peer says: that of its first request.
async fn ride(pool: &HotConnPool, target: &str, calls: &[GetOptions], dice: &mut Dice) {
    let who = dice.below(calls.len());
    let got = within("a connection", pool.get_with(target, calls[who].clone())).await;
    let mut conn = got.expect("a connection");
    let tag = format!("/echo/{who}");
    assert_eq!(exchange(&mut conn, &tag).await, tag);
    if dice.below(20) == 0 {
        conn.discard();
    }
}

/// A linear congruential generator (Knuth's MMIX constants): the same wishes every time, if not in the same order.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// How many connections closed for this reason.
fn closed(pool: &HotConnPool, reason: CloseReason) -> u64 {
    pool.stats().counters.closes(reason)
}

#[test]
fn a_new_epoch_closes_what_rests_on_the_setup_before() {
    run(async {
        let makings = Makings::new();
        for alpn in [Alpn::Http1, Alpn::Http2] {
            let peer = Peer::builder().alpn(alpn).start();
            let (pool, target) = (pool(&makings, &[peer.port()]), name(&peer));
            let calls = BTreeMap::from([
                ("own", GetOptions::new()),
                ("user", GetOptions::new().partition("user")),
                ("brought", GetOptions::new().tls(makings.setup())),
            ]);
            let mut serials = BTreeMap::new();
            for (who, call) in &calls {
                serials.insert(*who, visit(&pool, &target, call).await);
            }
            let mut leased = pool.get(target.as_str()).await.expect("the pool's own");
            pool.update_tls(makings.setup());
            assert_eq!(
                closed(&pool, CloseReason::IdentityRetired),
                1,
                "the user's was idle"
            );
            exchange(&mut leased, "/").await;
            assert_ne!(visit(&pool, &target, &calls["own"]).await, serials["own"]);
            assert_eq!(pool.put(leased), Returned::Closed(CloseReason::IdentityRetired));
            assert_ne!(visit(&pool, &target, &calls["user"]).await, serials["user"]);
            assert_eq!(visit(&pool, &target, &calls["brought"]).await, serials["brought"]);
            assert_eq!(closed(&pool, CloseReason::IdentityRetired), 2);
            pool.manager().assert_invariants();
            within("close", pool.close()).await;
        }
    });
}

/// A dial that the reload overtakes serves whoever waited for it, nobody else, and only once.
#[test]
fn a_dial_under_way_is_not_lent_to_who_comes_after_a_new_epoch() {
    run(async {
        let makings = Makings::new();
        let peer = Peer::builder().alpn(Alpn::Http1).start();
        for call in [GetOptions::new(), GetOptions::new().partition("user")] {
            let mut gate = Gate::before(peer.addr(0)).await;
            let pool = pool(&makings, &[gate.port]);
            let target = format!("a.peer.test:{}", gate.port);
            let ask = || {
                let (pool, target, call) = (pool.clone(), target.clone(), call.clone());
                tokio::spawn(async move { pool.get_with(target, call).await })
            };
            let waiter = ask();
            gate.arrived(1).await;
            pool.update_tls(makings.setup());
            let newcomer = ask();
            gate.arrived(2).await;
            gate.open();
            let old = within("the waiter", waiter)
                .await
                .expect("a task")
                .expect("a connection");
            let new = within("the newcomer", newcomer)
                .await
                .expect("a task")
                .expect("a connection");
            assert_eq!(pool.put(old), Returned::Closed(CloseReason::IdentityRetired));
            assert_eq!(pool.put(new), Returned::Kept);
            assert_eq!(pool.size(), 1);
            pool.manager().assert_invariants();
            within("close", pool.close()).await;
        }
    });
}

/// Whose turn comes only after the reload: its dial finds the setup that it asked for, which nobody else has any more.
#[test]
fn who_waits_over_a_new_epoch_is_served_by_what_it_asked_for() {
    run(async {
        let makings = Makings::new();
        let peer = Peer::builder().alpn(Alpn::Http1).start();
        for call in [GetOptions::new(), GetOptions::new().partition("user")] {
            let (pool, target) = (pool(&makings, &[peer.port()]), name(&peer));
            let mut leased = Vec::new();
            for _ in 0..MOST {
                let other = GetOptions::new().partition("others");
                leased.push(pool.get_with(target.as_str(), other).await.expect("a connection"));
            }
            let waiter = tokio::spawn({
                let (pool, target) = (pool.clone(), target.clone());
                async move { pool.get_with(target, call).await }
            });
            measure::eventually(DEADLINE, "it waits", || pool.stats().waiting == 1).await;
            pool.update_tls(makings.setup());
            drop(leased.pop());
            let served = within("the waiter", waiter).await.expect("a task");
            assert_eq!(
                pool.put(served.expect("a connection")),
                Returned::Closed(CloseReason::IdentityRetired)
            );
            drop(leased);
            assert_eq!(
                (pool.size(), closed(&pool, CloseReason::IdentityRetired)),
                (0, u64::from(MOST) + 1)
            );
            pool.manager().assert_invariants();
            within("close", pool.close()).await;
        }
    });
}
