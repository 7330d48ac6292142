//! What those in line are told, and by whom they are served, when what they wait for goes wrong.

use std::net::IpAddr;
use std::time::Duration;

use hotpool::clock::ManualClock;
use hotpool::scripted::{Act, Stage};
use hotpool::{GetOptions, HotConnPool, Phase, PoolConfig};

use super::{lease, poll_once};
use crate::common::{at_rest, config, let_run, within};

const SECOND: Duration = Duration::from_secs(1);

fn staged(addresses: u32, change: impl FnOnce(&mut PoolConfig)) -> (Stage, HotConnPool, ManualClock) {
    let (stage, clock) = (Stage::new(addresses), ManualClock::new());
    let pool = stage.pool(config(change), clock.clone()).unwrap();
    (stage, pool, clock)
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// Who runs out of time hears how far that had come which could have served: not what is dialled for another, or elsewhere.
#[tokio::test]
async fn a_timeout_names_the_phase_of_what_could_have_served() {
    let (stage, pool, clock) = staged(2, |config| config.max_dials = 1);
    drop(lease(&pool, "a.test").await); // its addresses are known
    pool.manager().evict_host("a.test").unwrap();
    stage.next(Phase::Tls, Act::Never);
    let own = || GetOptions::new().timeout(SECOND);
    // It takes the one permit to dial, and comes as far as TLS.
    let (at, elsewhere) = (ip(1), ip(2));
    let mut far = Box::pin(pool.get_with("a.test", own().ip(at)));
    assert!(poll_once(far.as_mut()).await.is_none());
    let_run().await;
    let cases = [
        (own().ip(elsewhere), Phase::Acquire),
        (own().partition("another"), Phase::Acquire),
        (own().partition("another").ip(at), Phase::Acquire),
        (own(), Phase::Tls), // it would have had that one
    ];
    let mut gets: Vec<_> = cases
        .iter()
        .map(|(options, _)| Box::pin(pool.get_with("a.test", options.clone())))
        .collect();
    for get in &mut gets {
        assert!(poll_once(get.as_mut()).await.is_none());
    }
    let_run().await;
    clock.advance(SECOND);
    for (get, (options, phase)) in gets.into_iter().zip(&cases) {
        let error = within("its time", get).await.unwrap_err();
        assert_eq!((error.is_timeout(), error.phase()), (true, *phase), "{options:?}");
    }
    assert_eq!(within("its time", far).await.unwrap_err().phase(), Phase::Tls);
    clock.advance(60 * SECOND);
    at_rest(&pool).await;
}
