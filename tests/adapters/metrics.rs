//! What is recorded is what the pool counts.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use hotpool::metrics::MetricsOptions;
use hotpool::{CloseReason, ErrorKind, GetOptions, HotConnPool, Phase, StaticResolver, Stats};

use crate::common::{
    Dice, at_rest, builder, config, failure, finish, host, http1_peer, name, poll_times, pool, round, spawn,
    use_up, within,
};
use crate::recorder::Sheet;
use crate::support::peer::{Act, Peer, To};

/// Every count and every gauge is what the pool says itself.
fn agrees(sheet: &Sheet, stats: &Stats) {
    let counters = &stats.counters;
    let plain = [
        ("hotpool.gets", counters.gets),
        ("hotpool.hits", counters.hits),
        ("hotpool.waits", counters.waits),
        ("hotpool.timeouts", counters.timeouts),
        ("hotpool.leaked", counters.leaked),
        ("hotpool.recovered", counters.recovered),
        ("hotpool.dials", counters.dials),
        ("hotpool.opened", counters.opened),
    ];
    for (name, count) in plain {
        assert_eq!(sheet.sum(name, &[]), count as f64, "{name}");
    }
    for &phase in Phase::ALL {
        let recorded = sheet.sum("hotpool.failures", &[("hotpool.phase", phase.name())]);
        assert_eq!(recorded, counters.failures(phase) as f64, "{phase}");
    }
    for &reason in CloseReason::ALL {
        let recorded = sheet.sum("hotpool.closed", &[("hotpool.reason", reason.name())]);
        assert_eq!(recorded, counters.closes(reason) as f64, "{reason}");
    }
    let avoided = stats.hosts.iter().flat_map(|host| &host.ips);
    let avoided = avoided.filter(|ip| ip.blocked.is_some()).count() as u32;
    let state = |state| {
        sheet.sum(
            "http.client.open_connections",
            &[("http.connection.state", state)],
        )
    };
    let gauges = [
        (state("idle"), stats.idle),
        (state("active"), stats.active),
        (sheet.sum("hotpool.leases", &[]), stats.leases),
        (sheet.sum("hotpool.dialling", &[]), stats.dialling),
        (sheet.sum("hotpool.waiting", &[]), stats.waiting),
        (sheet.sum("hotpool.addresses.avoided", &[]), avoided),
        (sheet.sum("hotpool.hosts", &[]), stats.hosts.len() as u32),
    ];
    for (nth, (recorded, known)) in gauges.into_iter().enumerate() {
        assert_eq!(recorded, f64::from(known), "gauge {nth}: {stats:?}");
    }
}

/// Traffic of many kinds: what is recorded agrees with the pool at each moment at which it rests, and after its end.
#[tokio::test]
async fn what_is_recorded_is_what_the_pool_counts() {
    let peer = Peer::builder().ips(2).start();
    let pool = pool(&peer, |config| config.max_per_host = 2);
    let (metrics, sheet) = Sheet::watch(MetricsOptions::new().max_hosts(2), &pool);
    let hosts = ["peer.test", "a.peer.test", "b.peer.test"].map(|known| host(&peer, known));
    for turn in 0..4_u64 {
        let tasks: Vec<_> = (0..6_u64)
            .map(|task| {
                let (pool, hosts) = (pool.clone(), hosts.clone());
                spawn(async move {
                    let mut dice = Dice(1 + turn * 100 + task);
                    for _ in 0..12 {
                        let target = &hosts[dice.below(3) as usize];
                        let http1 = dice.below(2) == 0;
                        let options = match http1 {
                            true => GetOptions::new().require(hotpool::Require::Http1),
                            false => GetOptions::new(),
                        };
                        let mut conn = within("a lease", pool.get_with(target, options)).await.unwrap();
                        use_up(&mut conn, "/bytes/300").await;
                        match dice.below(4) {
                            0 => conn.discard(),
                            _ => drop(conn),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            within("the traffic", task).await.unwrap();
        }
        failure(&pool, "nowhere.peer.test").await;
        if turn == 2 {
            pool.manager().evict_host(&*hosts[0]).unwrap();
        }
        at_rest(&pool).await;
        metrics.sample();
        agrees(&sheet, &pool.stats());
    }
    // Something leased, something waiting, something refused.
    let held = [within("a lease", pool.get(&*hosts[2])).await.unwrap()];
    peer.next(To::All, 2, Act::ResetAfterHello);
    let refused = GetOptions::new()
        .require(hotpool::Require::Http2)
        .partition("refused");
    within("an error", pool.get_with(&*hosts[2], refused))
        .await
        .unwrap_err();
    metrics.sample();
    agrees(&sheet, &pool.stats());
    assert_eq!(
        sheet.sum("hotpool.leases", &[]),
        1.0,
        "it was asked while one was out"
    );
    assert!(sheet.sum("hotpool.penalties", &[]) >= 1.0, "{sheet:?}");
    drop(held);
    at_rest(&pool).await;
    within("close", pool.close()).await;
    metrics.sample();
    let stats = pool.stats();
    agrees(&sheet, &stats);

    // What was told as it happened.
    let ages = sheet.values("http.client.connection.duration", &[]);
    assert_eq!(ages.len() as u64, stats.counters.closed());
    assert!(ages.iter().all(|age| (0.0..60.0).contains(age)), "{ages:?}");
    for version in ["1.1", "2"] {
        let of = [("network.protocol.version", version)];
        assert!(
            !sheet.values("http.client.connection.duration", &of).is_empty(),
            "{version}"
        );
    }
    for phase in ["connect", "tls"] {
        let took = sheet.values("hotpool.connection.setup.duration", &[("hotpool.phase", phase)]);
        assert_eq!(took.len() as u64, stats.counters.opened, "{phase}");
        assert!(took.iter().all(|took| *took > 0.0), "{took:?}");
    }
    let waited = sheet.values("http.client.request.time_in_queue", &[]);
    assert_eq!(waited.len() as u64, stats.counters.waits);
    let sum: f64 = waited.iter().sum();
    assert!(
        (sum - stats.counters.wait_time.as_secs_f64()).abs() < 1e-6,
        "{sum}"
    );
    let refused = sheet.values(
        "http.client.request.time_in_queue",
        &[("error.type", "name_not_found")],
    );
    assert!(!refused.is_empty());
    peer.shutdown().await;
}

/// What a caller waits for is told with how it ended, and what waits is shown while it does.
#[tokio::test]
async fn who_waits_is_shown_and_how_it_ended() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_per_host = 1);
    let (metrics, sheet) = Sheet::watch(MetricsOptions::new(), &pool);
    let name = name(&peer);
    let held = within("a lease", pool.get(&*name)).await.unwrap();
    let mut waiting = pin!(pool.get(&*name));
    assert!(poll_times(waiting.as_mut(), 1).await.is_none());
    let late = GetOptions::new().timeout(Duration::from_millis(1));
    let late = within("its end", pool.get_with(&*name, late)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    metrics.sample();
    let here = [("server.address", "peer.test")];
    assert_eq!(sheet.sum("hotpool.waiting", &here), 1.0);
    assert_eq!(sheet.sum("hotpool.timeouts", &here), 1.0);
    agrees(&sheet, &pool.stats());
    let queue = "http.client.request.time_in_queue";
    assert_eq!(sheet.values(queue, &[("error.type", "timeout")]).len(), 1);
    drop(held);
    within("a lease", waiting).await.unwrap().discard();
    at_rest(&pool).await;
    // What has gone is shown as nothing, not as it was.
    within("close", pool.close()).await;
    pool.force_cleanup();
    metrics.sample();
    agrees(&sheet, &pool.stats());
    assert_eq!(sheet.sum("hotpool.waiting", &here), 0.0);
    peer.shutdown().await;
}

/// A gauge that nobody sets any more would show for ever what was there last.
#[tokio::test]
async fn a_host_that_is_forgotten_is_shown_as_nothing() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_hosts = 1);
    let (metrics, sheet) = Sheet::watch(MetricsOptions::new(), &pool);
    for (known, gone) in [("a.peer.test", "b.peer.test"), ("b.peer.test", "a.peer.test")] {
        round(&pool, &host(&peer, known)).await;
        at_rest(&pool).await;
        metrics.sample();
        agrees(&sheet, &pool.stats());
        let open = |host| sheet.sum("http.client.open_connections", &[("server.address", host)]);
        assert_eq!((open(known), open(gone)), (1.0, 0.0), "{sheet:?}");
    }
    finish(pool, peer).await;
}

/// Ten thousand hosts: as many series as were said, and no count lost, though the pool itself forgets most of them.
#[tokio::test]
async fn ten_thousand_hosts_have_bounded_series_and_every_count() {
    const NAMES: u64 = 10_000;
    let settings = config(|config| config.max_hosts = 500);
    let pool = HotConnPool::builder()
        .config(settings)
        .resolver(StaticResolver::new())
        .build()
        .unwrap();
    let options = MetricsOptions::new()
        .name("crawler")
        .max_hosts(20)
        .max_addresses(5);
    let (metrics, sheet) = Sheet::watch(options, &pool);
    for nth in 0..NAMES {
        let error = within("an error", pool.get(format!("host-{nth}.test")))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameNotFound);
        if nth % 1_000 == 7 {
            metrics.sample();
        }
    }
    at_rest(&pool).await;
    // The first are met again, after the pool has forgotten them.
    for nth in 0..10 {
        within("an error", pool.get(format!("host-{nth}.test")))
            .await
            .unwrap_err();
    }
    at_rest(&pool).await;
    metrics.sample();
    let stats = pool.stats();
    agrees(&sheet, &stats);
    let all = (NAMES + 10) as f64;
    let failures = [("hotpool.phase", "resolve"), ("hotpool.pool", "crawler")];
    assert_eq!(sheet.sum("hotpool.failures", &failures), all);
    let other = [("server.address", "other"), ("server.port", "")];
    assert!(sheet.sum("hotpool.failures", &other) >= all - 40.0, "{sheet:?}");
    assert_eq!(
        sheet.values("http.client.request.time_in_queue", &[]).len(),
        10_010
    );
    for name in sheet.names() {
        let hosts = sheet.attributes(&name, "server.address");
        assert!(hosts.len() <= 21, "{name}: {hosts:?}");
    }
    assert!(
        sheet
            .attributes("hotpool.failures", "server.address")
            .contains("host-0.test")
    );
    within("close", pool.close()).await;
}

/// Addresses are shown where that is asked for, as many as were said, and nowhere else.
#[tokio::test]
async fn addresses_are_shown_if_asked_for_and_so_many() {
    let peer = Peer::builder().ips(3).start();
    let pool = builder(&peer, |_| {}).build().unwrap();
    let (silent, silent_sheet) = Sheet::watch(MetricsOptions::new(), &pool);
    let (metrics, sheet) = Sheet::watch(MetricsOptions::new().max_addresses(2), &pool);
    let report = pool
        .warm(&*name(&peer), hotpool::Warm::EveryIp(1), GetOptions::new())
        .await
        .unwrap();
    assert_eq!(report.opened, 3, "{report:?}");
    for sample in [&silent, &metrics] {
        sample.sample();
    }
    agrees(&silent_sheet, &pool.stats());
    agrees(&sheet, &pool.stats());
    let shown = |sheet: &Sheet| sheet.attributes("http.client.open_connections", "network.peer.address");
    let expected = ["127.0.0.1", "127.0.0.2", "other"].map(str::to_owned);
    assert_eq!(shown(&sheet), BTreeSet::from(expected));
    assert!(shown(&silent_sheet).is_empty());
    finish(pool, peer).await;
}

/// The table in the documentation has what is recorded, and nothing else.
#[tokio::test]
async fn the_documentation_names_what_is_recorded() {
    let text = include_str!("../../src/adapters/metrics/mod.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let documented: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_per_host = 1);
    let (metrics, sheet) = Sheet::watch(MetricsOptions::new(), &pool);
    round(&pool, &name(&peer)).await;
    failure(&pool, "nowhere.peer.test").await;
    within("close", pool.close()).await;
    metrics.sample();
    let recorded = sheet.names();
    assert_eq!(
        recorded.iter().map(|name| &**name).collect::<BTreeSet<_>>(),
        documented
    );
    peer.shutdown().await;
}

/// Each tells everything: as documented, what goes to one recorder under one name adds up.
#[tokio::test]
async fn one_pool_that_is_recorded_twice_is_told_apart_by_names() {
    for names in [None, Some(["first", "second"])] {
        let peer = http1_peer();
        let (pool, name) = (pool(&peer, |_| {}), name(&peer));
        let sheet = Sheet::default();
        let both = [0, 1].map(|which| {
            let options = MetricsOptions::new();
            let options = match names {
                Some(names) => options.name(names[which]),
                None => options,
            };
            options.watch_with(&pool, sheet.clone())
        });
        round(&pool, &name).await;
        at_rest(&pool).await;
        both.iter().for_each(|metrics| metrics.sample());
        let (gets, setups) = ("hotpool.gets", "hotpool.connection.setup.duration");
        let tls = ("hotpool.phase", "tls");
        match names {
            None => {
                assert_eq!(
                    (sheet.sum(gets, &[]), sheet.values(setups, &[tls]).len()),
                    (2.0, 2)
                );
                assert_eq!(sheet.sum("hotpool.hosts", &[]), 1.0, "a gauge is what it is");
            }
            Some(names) => {
                for own in names.map(|name| ("hotpool.pool", name)) {
                    let told = (sheet.sum(gets, &[own]), sheet.values(setups, &[own, tls]).len());
                    assert_eq!(told, (1.0, 1), "{own:?}");
                }
            }
        }
        finish(pool, peer).await;
    }
}
