//! The script: what a pool lives through, one step after the other. Each step is over when the pool's numbers show that it has come to pass.
#![expect(clippy::disallowed_methods, reason = "a script waits")]

use std::sync::Arc;
use std::time::Duration;

use crate::AnyError;
use crate::show::{FORBIDS, LEAVES, Show, Switch};
use crate::snapshot::Snapshot;

/// Within this, what a step is about must show.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done at the beginning of a step.
enum Deed {
    Warm,
    Set(Switch, bool),
}

struct Step {
    says: String,
    deed: Deed,
    /// When it has come to pass.
    until: Box<dyn Fn(&Snapshot) -> bool + Send + Sync>,
    /// How long it is looked at then, in tenths of a second.
    look: u64,
}

fn steps(show: &Show) -> Vec<Step> {
    let (leaves, forbids) = (show.site.address(LEAVES).ip, show.site.address(FORBIDS).ip);
    let step = |says: String, deed, look, until: Box<dyn Fn(&Snapshot) -> bool + Send + Sync>| Step {
        says,
        deed,
        until,
        look,
    };
    vec![
        step(
            "Warm-up: a connection to each address, before anybody asks".to_owned(),
            Deed::Warm,
            40,
            Box::new(|now| now.hosts.iter().flat_map(|host| &host.ips).all(|ip| ip.live > 0)),
        ),
        step(
            "Load: callers share what stands".to_owned(),
            Deed::Set(Switch::Load, true),
            120,
            Box::new(|now| now.totals.rate > 0),
        ),
        step(
            format!("The server at {leaves} has gone away: the others take over"),
            Deed::Set(Switch::Away, true),
            100,
            Box::new(move |now| now.live_at(leaves) == 0 && now.avoided(leaves) > 0),
        ),
        step(
            format!("The server at {leaves} is back"),
            Deed::Set(Switch::Away, false),
            100,
            Box::new(move |now| now.live_at(leaves) > 0 && now.avoided(leaves) == 0),
        ),
        step(
            format!("{forbids} answers 403 to the shop: the pool stays away"),
            Deed::Set(Switch::Forbid, true),
            100,
            Box::new(|now| now.blocked.iter().any(|block| block.cause == "status")),
        ),
        step(
            format!("{forbids} would answer 200 again: the pool finds out by itself"),
            Deed::Set(Switch::Forbid, false),
            60,
            Box::new(move |now| now.avoided(forbids) == 0 && now.live_at(forbids) > 0),
        ),
        step(
            "A pause: what nobody uses ends by its age".to_owned(),
            Deed::Set(Switch::Load, false),
            20,
            Box::new(|now| now.totals.live == 0),
        ),
    ]
}

/// One round of it. `looks`: whether each step is looked at for a while; `told` hears of each step that has come to pass.
///
/// # Errors
/// A step did not come to pass in time.
pub(crate) async fn run(show: &Show, looks: bool, mut told: impl FnMut(&Snapshot)) -> Result<(), AnyError> {
    // Whoever had a hand in it may have left something.
    for switch in [Switch::Away, Switch::Forbid, Switch::Block] {
        show.set(switch, false)?;
    }
    for step in steps(show) {
        show.say(&step.says);
        match step.deed {
            Deed::Warm => show.warm().await,
            Deed::Set(switch, on) => show.set(switch, on)?,
        }
        let passed = tokio::time::timeout(PATIENCE, shows(show, &step)).await;
        let passed = passed.map_err(|_| format!("has not come to pass: {}", step.says))??;
        told(&passed);
        if looks {
            tokio::time::sleep(Duration::from_millis(step.look * 100)).await;
        }
    }
    Ok(())
}

/// The first snapshot taken after the deed that shows what the step is about.
async fn shows(show: &Show, step: &Step) -> Result<Arc<Snapshot>, AnyError> {
    let mut snapshots = show.snapshots.subscribe();
    snapshots.mark_unchanged();
    loop {
        snapshots.changed().await?;
        let now = snapshots.borrow_and_update().clone();
        if let Some(now) = now.filter(|now| (step.until)(now)) {
            return Ok(now);
        }
    }
}
