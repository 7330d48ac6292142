//! Addresses that are avoided for different reasons at once: by the owner's word, by what one origin holds against them, by what the whole pool does.

use std::net::IpAddr;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::{Act, Stage};
use hotpool::{AllBlocked, BlockCause, GetOptions, HotConnPool, Outcome, Phase, Scope};

use super::access::refused;
use super::{lease, poll_once};
use crate::common::{at_rest, config, let_run, spawn, within};

const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_secs(600);

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn at(last: u8) -> GetOptions {
    GetOptions::new().ip(ip(last))
}

fn a_test(last: u8) -> Scope {
    Scope::address("a.test", ip(last)).unwrap()
}

fn staged(addresses: u8, all_blocked: AllBlocked) -> (Stage, ManualClock, HotConnPool) {
    let (stage, clock) = (Stage::new(addresses.into()), ManualClock::new());
    let pool = stage.pool(config(|config| config.all_blocked = all_blocked), clock.clone());
    (stage, clock, pool.unwrap())
}

/// Has the whole pool avoid an address for 2^`failures` seconds, less one failure's.
async fn avoid(pool: &HotConnPool, stage: &Stage, clock: &ManualClock, last: u8, failures: u32) {
    for failure in 0..failures {
        if failure > 0 {
            let connect = |block: &hotpool::Block| block.cause == BlockCause::Connect;
            let blocks = pool.manager().blocklist();
            let left = blocks
                .iter()
                .find(|block| connect(block))
                .and_then(|block| block.left);
            clock.advance(left.unwrap());
        }
        stage.next_at(ip(last), Phase::Connect, Act::Unreachable);
        within("an error", pool.get_with("b.test", at(last)))
            .await
            .unwrap_err();
    }
}

async fn done(pool: HotConnPool) {
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// The owner's block that is over first is what is told, and waited for, though the other addresses are held for longer.
#[tokio::test]
async fn the_owner_s_block_ends_by_its_time_whatever_else_is_held() {
    for by_pool in [false, true] {
        for leased in [false, true] {
            let (stage, clock, pool) = staged(if by_pool { 3 } else { 2 }, AllBlocked::Fail);
            if by_pool {
                avoid(&pool, &stage, &clock, 3, 6).await;
            }
            let conn = within("a connection", pool.get_with("a.test", at(1)))
                .await
                .unwrap();
            conn.report(Outcome::TryLater(TEN_MINUTES));
            pool.manager().block(a_test(2), Some(5 * SECOND)).unwrap();
            let dials = stage.dials();
            if !leased {
                conn.discard();
                assert_eq!(refused(&pool, "a.test").await, Some(5 * SECOND), "{by_pool}");
                done(pool).await;
                continue;
            }
            let mut get = Box::pin(pool.get("a.test"));
            assert!(poll_once(get.as_mut()).await.is_none());
            clock.advance(4 * SECOND);
            let_run().await;
            assert!(poll_once(get.as_mut()).await.is_none());
            assert_eq!(stage.dials(), dials);
            clock.advance(2 * SECOND); // whoever waits for it is looked at within a second
            let other = within("the end of the block", get).await.unwrap();
            assert_eq!(other.info().remote.ip(), ip(2));
            drop((conn, other));
            done(pool).await;
        }
    }
}

/// Who waits beside a lease until an address is free is dialled for when any of them is, whoever held it.
#[tokio::test]
async fn whichever_table_lets_go_of_an_address_it_is_dialled() {
    type Lift = fn(&HotConnPool, &hotpool::HotConn, &ManualClock);
    let lifts: [(u8, Lift); 4] = [
        (1, |_, conn, _| conn.report(Outcome::Ok)),
        (1, |pool, _, _| assert!(pool.manager().unblock(&a_test(1)))),
        (2, |pool, _, _| assert!(pool.manager().unblock(&a_test(2)))),
        (2, |_, _, clock| clock.advance(6 * SECOND)),
    ];
    for (freed, lift) in lifts {
        let (stage, clock, pool) = staged(3, AllBlocked::Fail);
        avoid(&pool, &stage, &clock, 3, 6).await;
        let conn = within("a connection", pool.get_with("a.test", at(1)))
            .await
            .unwrap();
        conn.report(Outcome::TryLater(TEN_MINUTES));
        pool.manager().block(a_test(2), Some(5 * SECOND)).unwrap();
        let mut get = Box::pin(pool.get("a.test"));
        assert!(poll_once(get.as_mut()).await.is_none());
        let_run().await;
        assert_eq!(pool.stats().waiting, 1);
        lift(&pool, &conn, &clock);
        let other = within("another", get).await.unwrap();
        assert_eq!(other.info().remote.ip(), ip(freed));
        drop((conn, other));
        done(pool).await;
    }
}

/// The address whose block ends first is probed, be it this origin or the whole pool that avoids it, or both.
#[tokio::test]
async fn the_least_bad_is_probed_whichever_table_it_stands_in() {
    // By what this origin holds its own for a second, and by what for minutes.
    let seconds = [(Phase::Tls, Act::Err), (Phase::Connect, Act::Unreachable)];
    for (own, pools) in [(1, 2), (2, 1)] {
        for fails in [Some(seconds[0]), Some(seconds[1]), None] {
            let (stage, clock, pool) = staged(2, AllBlocked::ProbeLeastBad);
            let own_first = fails.is_some();
            avoid(&pool, &stage, &clock, pools, if own_first { 4 } else { 1 }).await;
            if let Some((phase, act)) = fails {
                stage.next_at(ip(own), phase, act);
                let got = within("an error", pool.get_with("a.test", at(own))).await;
                got.unwrap_err();
            } else {
                let got = within("a connection", pool.get_with("a.test", at(own))).await;
                let conn = got.unwrap();
                conn.report(Outcome::TryLater(TEN_MINUTES));
                conn.discard();
            }
            let conn = lease(&pool, "a.test").await;
            let least = if own_first { own } else { pools };
            assert_eq!(conn.info().remote.ip(), ip(least), "{fails:?}");
            drop(conn);
            done(pool).await;
        }
    }
}

/// One address that another host probes already is none that this one waits for, where it has one of its own to probe.
#[tokio::test]
async fn what_another_host_probes_leaves_the_rest_to_be_probed() {
    let (stage, clock, pool) = staged(2, AllBlocked::ProbeLeastBad);
    avoid(&pool, &stage, &clock, 2, 1).await;
    stage.next_at(ip(1), Phase::Tls, Act::Err);
    within("an error", pool.get_with("a.test", at(1)))
        .await
        .unwrap_err();
    stage.next_at(ip(2), Phase::Connect, Act::After(SECOND));
    let other = pool.clone();
    let probe = spawn(async move { other.get_with("c.test", at(2)).await });
    let_run().await;
    assert_eq!(pool.stats().dialling, 1);
    let conn = lease(&pool, "a.test").await;
    assert_eq!(conn.info().remote.ip(), ip(1));
    clock.advance(SECOND);
    drop(within("the other probe", probe).await.unwrap().unwrap());
    drop(conn);
    done(pool).await;
}
