//! What is shown: a pool, the servers and the load around it, and the switches that change them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hotpool::{
    H2Growth, HotConnPool, PoolConfig, Require, Scope, Selection, StatusValidator, TargetError, Warm,
};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::AnyError;
use crate::load::{Load, Origin};
use crate::site::{API, SHOP, Site};
use crate::snapshot::Snapshot;

/// The address that goes away, by its place among them.
pub(crate) const LEAVES: usize = 1;
/// The one that answers 403.
pub(crate) const FORBIDS: usize = 2;
/// The one that the owner blocks.
const BLOCKED: usize = 0;

/// What can be switched, on the page and by the script.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    Load,
    Away,
    Forbid,
    Block,
    Script,
}

impl Switch {
    pub(crate) const ALL: [Switch; 5] = [
        Switch::Script,
        Switch::Load,
        Switch::Away,
        Switch::Forbid,
        Switch::Block,
    ];

    /// As the page calls it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Switch::Load => "load",
            Switch::Away => "away",
            Switch::Forbid => "forbid",
            Switch::Block => "block",
            Switch::Script => "script",
        }
    }
}

/// One switch, as it stands.
#[derive(Serialize)]
pub(crate) struct SwitchState {
    id: &'static str,
    label: String,
    on: bool,
}

/// Everything together.
pub(crate) struct Show {
    pub(crate) pool: HotConnPool,
    pub(crate) site: Site,
    pub(crate) load: Arc<Load>,
    pub(crate) origins: Vec<Origin>,
    /// What happens now, in words.
    pub(crate) step: Mutex<String>,
    /// What was done and when, in milliseconds since the beginning.
    pub(crate) marks: Mutex<Vec<(u64, String)>>,
    /// The last snapshot, once there is one.
    pub(crate) snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    pub(crate) script: AtomicBool,
}

impl Show {
    /// # Errors
    /// The settings are wrong, which they are not.
    pub(crate) fn new(site: Site, hurry: bool) -> Result<Self, AnyError> {
        let pool = HotConnPool::builder()
            .config(config(hurry))
            .roots(site.roots()?)
            .resolver(site.resolver()?)
            .validator(StatusValidator::new("/")?)
            .build()?;
        let origin = |name: &str, require| Origin {
            target: site.target(name),
            require,
        };
        Ok(Show {
            load: Arc::new(Load::new(pool.clone())),
            origins: vec![origin(API, Require::Http2), origin(SHOP, Require::Http1)],
            pool,
            step: Mutex::new("Nothing has happened yet".to_owned()),
            marks: Mutex::default(),
            snapshots: watch::Sender::new(None),
            script: AtomicBool::new(false),
            site,
        })
    }

    /// Opens connections on every address before anybody asks. What fails shows in the numbers.
    pub(crate) async fn warm(&self) {
        self.mark("warm-up");
        for origin in &self.origins {
            let warm = self.pool.warm(&origin.target, Warm::EveryIp(1), origin.options());
            let _ = warm.await;
        }
    }

    /// # Errors
    /// The owner's list is full, which it is not.
    pub(crate) fn set(&self, switch: Switch, on: bool) -> Result<(), AnyError> {
        if self.is(switch) == on {
            return Ok(());
        }
        match switch {
            Switch::Load => self.load.set_on(on),
            Switch::Away => self.site.address(LEAVES).set_up(!on),
            Switch::Forbid => self.site.address(FORBIDS).set_forbids(on),
            Switch::Block => self.set_block(on)?,
            Switch::Script => self.script.store(on, Ordering::Relaxed),
        }
        self.mark(&self.deed(switch, on));
        Ok(())
    }

    pub(crate) fn is(&self, switch: Switch) -> bool {
        match switch {
            Switch::Load => self.load.is_on(),
            Switch::Away => !self.site.address(LEAVES).is_up(),
            Switch::Forbid => self.site.address(FORBIDS).forbids(),
            Switch::Block => self.blocks(),
            Switch::Script => self.script.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn switches(&self) -> Vec<SwitchState> {
        let all = Switch::ALL.into_iter();
        all.map(|switch| SwitchState {
            id: switch.id(),
            label: self.label(switch),
            on: self.is(switch),
        })
        .collect()
    }

    /// What it does while it is on.
    fn label(&self, switch: Switch) -> String {
        let ip = |place| self.site.address(place).ip;
        match switch {
            Switch::Script => "Run the script".to_owned(),
            Switch::Load => "Send requests".to_owned(),
            Switch::Away => format!("{} is away", ip(LEAVES)),
            Switch::Forbid => format!("{} answers 403", ip(FORBIDS)),
            Switch::Block => format!("The owner blocks {}", ip(BLOCKED)),
        }
    }

    /// What was done by switching it.
    fn deed(&self, switch: Switch, on: bool) -> String {
        let ip = |place| self.site.address(place).ip;
        match (switch, on) {
            (Switch::Script, true) => "script on".to_owned(),
            (Switch::Script, false) => "script off".to_owned(),
            (Switch::Load, true) => "load on".to_owned(),
            (Switch::Load, false) => "load off".to_owned(),
            (Switch::Away, true) => format!("{} gone", ip(LEAVES)),
            (Switch::Away, false) => format!("{} back", ip(LEAVES)),
            (Switch::Forbid, true) => format!("403 at {}", ip(FORBIDS)),
            (Switch::Forbid, false) => format!("200 at {}", ip(FORBIDS)),
            (Switch::Block, true) => format!("{} blocked", ip(BLOCKED)),
            (Switch::Block, false) => format!("{} unblocked", ip(BLOCKED)),
        }
    }

    /// Says what happens from now on.
    pub(crate) fn say(&self, step: &str) {
        step.clone_into(&mut self.step.lock());
    }

    fn mark(&self, deed: &str) {
        let at = self.snapshots.borrow().as_ref().map_or(0, |last| last.at_ms);
        self.marks.lock().push((at, deed.to_owned()));
    }

    /// For the API alone: other names have the same address.
    fn scope(&self) -> Result<Scope, TargetError> {
        Scope::address(&self.site.target(API), self.site.address(BLOCKED).ip)
    }

    fn set_block(&self, on: bool) -> Result<(), AnyError> {
        let (manager, scope) = (self.pool.manager(), self.scope()?);
        match on {
            true => manager.block(scope, None)?,
            false => drop(manager.unblock(&scope)),
        }
        Ok(())
    }

    fn blocks(&self) -> bool {
        let Ok(scope) = self.scope() else { return false };
        let blocks = self.pool.manager().blocklist();
        blocks
            .iter()
            .any(|block| block.scope == scope && block.cause == hotpool::BlockCause::Owner)
    }
}

/// Short ages and intervals, so that everything happens while somebody looks.
fn config(hurry: bool) -> PoolConfig {
    let mut config = PoolConfig::default();
    config.max_per_host = 8;
    config.selection = Selection::Spread;
    config.h2_growth = H2Growth::PerIp;
    config.idle_timeout = Duration::from_secs(if hurry { 2 } else { 8 });
    config.max_lifetime = Duration::from_secs(45);
    config.lifetime_jitter = 30;
    config.acquire_timeout = Duration::from_secs(5);
    config.health_interval = Duration::from_secs(5);
    config.blacklist_interval = Duration::from_secs(if hurry { 1 } else { 5 });
    config
}
