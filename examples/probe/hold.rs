//! Keeping connections that nobody uses, to see for how long a peer bears it.
#![expect(
    clippy::disallowed_methods,
    reason = "who holds reads the clock, waits, and hears of signals"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hotpool::{Counters, HotConnPool, Target};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::report::millis;

/// What a shell makes of a process that an interrupt ended.
const INTERRUPTED: i32 = 130;

/// How often the connections are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What became of the connections that were held.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Held {
    /// For how long they were, in milliseconds.
    pub(crate) for_ms: u64,
    /// How many stood at the beginning, by address.
    pub(crate) began: BTreeMap<IpAddr, usize>,
    /// How many stood at the end, the same.
    pub(crate) stood: BTreeMap<IpAddr, usize>,
    /// Those that ended meanwhile.
    pub(crate) ended: Vec<Ended>,
}

/// A connection that ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ended {
    pub(crate) ip: IpAddr,
    /// So long after the holding began, in milliseconds.
    pub(crate) after_ms: u64,
    /// Why. Where several ended at once for different reasons, all of these.
    pub(crate) reason: String,
}

/// Hears of interrupts from now on: the first one is told, the second ends the process.
///
/// # Errors
/// A signal cannot be had.
pub(crate) fn interrupts() -> std::io::Result<watch::Receiver<bool>> {
    let mut signals = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        signals.recv().await;
        sender.send_replace(true);
        signals.recv().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(receiver)
}

/// Keeps what `pool` has of `target` for so long, or until `interrupted`.
pub(crate) async fn hold(
    pool: &HotConnPool,
    target: &Target<'_>,
    span: Duration,
    interrupted: &mut watch::Receiver<bool>,
) -> Held {
    let began = Instant::now();
    let mut standing = live(pool, target);
    let mut counters = pool.stats().counters;
    let mut held = Held {
        for_ms: 0,
        began: by_ip(&standing),
        stood: BTreeMap::new(),
        ended: Vec::new(),
    };
    let count = standing.len();
    eprintln!("probe: {target}: holds {count} connections for {span:?}; an interrupt ends it");
    while began.elapsed() < span && !standing.is_empty() {
        tokio::select! {
            () = tokio::time::sleep(LOOK.min(span - began.elapsed().min(span))) => {}
            _ = interrupted.wait_for(|&interrupted| interrupted) => break,
        }
        let (now, counted) = (live(pool, target), pool.stats().counters);
        let after_ms = millis(began.elapsed());
        let gone = standing.iter().filter(|(serial, _)| !now.contains_key(serial));
        held.ended.extend(gone.map(|(_, &ip)| Ended {
            ip,
            after_ms,
            reason: reasons(&counters, &counted),
        }));
        (standing, counters) = (now, counted);
    }
    held.for_ms = millis(began.elapsed());
    held.stood = by_ip(&standing);
    held
}

/// The live connections, by serial number.
fn live(pool: &HotConnPool, target: &Target<'_>) -> BTreeMap<u64, IpAddr> {
    let infos = pool.manager().connections_for_host(target).unwrap_or_default();
    infos.iter().map(|info| (info.serial, info.remote.ip())).collect()
}

fn by_ip(standing: &BTreeMap<u64, IpAddr>) -> BTreeMap<IpAddr, usize> {
    let mut counts = BTreeMap::new();
    for &ip in standing.values() {
        *counts.entry(ip).or_default() += 1;
    }
    counts
}

/// Why connections closed between two looks.
fn reasons(before: &Counters, after: &Counters) -> String {
    let more = after
        .closes_by_reason()
        .filter(|&(reason, count)| count > before.closes(reason));
    more.map(|(reason, _)| reason.name())
        .collect::<Vec<_>>()
        .join(" or ")
}
