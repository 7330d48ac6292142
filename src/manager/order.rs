//! What a `get` asks for beside its target.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dial::{Identities, Interned, Tls};
use crate::identity::{Partition, Require};
use crate::machine::Want;

/// One `get`, in the manager's words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) require: Require,
    pub(crate) pin: Option<IpAddr>,
    /// None: the pool's own.
    pub(crate) timeout: Option<Duration>,
    pub(crate) partition: Option<Partition>,
    /// None: the pool's own.
    pub(crate) tls: Option<Tls>,
}

/// For whom a connection is wanted, and which will do.
pub(super) struct Claim {
    /// None for the pool's own identity, which may be another one a moment later.
    brought: Option<Arc<Interned>>,
    require: Require,
    pin: Option<IpAddr>,
}

impl Order {
    /// Taken apart without `..`: an option that is added does not compile until it is part of the identity or said not to be.
    pub(super) fn claim(&self, identities: &Identities) -> Claim {
        let Order {
            require,
            pin,
            partition,
            tls,
            timeout: _, // how long to wait, not for what
        } = self;
        let brought = match (partition, tls) {
            (None, None) => None,
            _ => Some(identities.intern(*require, partition.clone(), tls.clone())),
        };
        Claim {
            brought,
            require: *require,
            pin: *pin,
        }
    }
}

impl Claim {
    /// The same in the machine's words. To be asked under the lock of the host: a new epoch goes through the hosts to retire the old one, and
    /// must not be overtaken by an old number.
    pub(super) fn want(&self, identities: &Identities) -> Want {
        let brought = self.brought.as_ref().map(|identity| identity.id);
        Want {
            identity: brought.unwrap_or_else(|| identities.own(self.require)),
            require: self.require,
            pin: self.pin,
        }
    }
}
