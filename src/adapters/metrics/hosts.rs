//! Which host is shown by its name. As many as were said, the first that are met; the others are one.

use std::collections::HashMap;
use std::sync::Arc;

use ::metrics::{Label, SharedString};

use crate::Target;
use crate::fault::planted;

/// What stands for all that have no name of their own.
pub(super) const OTHER: &str = "other";

/// How a host is shown: its name and its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostLabels {
    address: Arc<str>,
    port: Arc<str>,
}

impl HostLabels {
    fn of(target: &str) -> Self {
        match Target::try_from(target) {
            Ok(parsed) => HostLabels {
                address: parsed.host().into(),
                port: parsed.port().to_string().into(),
            },
            Err(_) => HostLabels::other(), // the pool's own targets are all canonical
        }
    }

    fn other() -> Self {
        HostLabels {
            address: OTHER.into(),
            port: "".into(),
        }
    }

    pub(super) fn labels(&self) -> [Label; 2] {
        let HostLabels { address, port } = self.clone();
        [
            Label::new("server.address", SharedString::from(address)),
            Label::new("server.port", SharedString::from(port)),
        ]
    }
}

/// The hosts that have a name of their own.
pub(super) struct Hosts {
    most: usize,
    known: HashMap<Box<str>, HostLabels>,
    pub(super) other: HostLabels,
}

impl Hosts {
    pub(super) fn new(most: usize) -> Self {
        Hosts {
            most,
            known: HashMap::new(),
            other: HostLabels::other(),
        }
    }

    /// How `target` is shown: by its own name, if it has one or is among the first.
    pub(super) fn named(&mut self, target: &str) -> Option<HostLabels> {
        if let Some(known) = self.known.get(target) {
            return Some(known.clone());
        }
        if self.known.len() >= self.most && !planted("every_host_is_shown") {
            return None;
        }
        let labels = HostLabels::of(target);
        self.known.insert(target.into(), labels.clone());
        Some(labels)
    }

    pub(super) fn shown(&mut self, target: &str) -> HostLabels {
        self.named(target).unwrap_or_else(|| self.other.clone())
    }
}
