//! What a `get` asks for beside its target.

use std::net::IpAddr;
use std::time::Duration;

use crate::identity::{IdentityId, Require};
use crate::machine::Want;

/// One `get`, in the manager's words.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    pub(crate) require: Require,
    pub(crate) pin: Option<IpAddr>,
    /// None: the pool's own.
    pub(crate) timeout: Option<Duration>,
}

impl Order {
    pub(super) fn want(&self) -> Want {
        Want {
            identity: identity(self.require),
            require: self.require,
            pin: self.pin,
        }
    }
}

/// All connections of a pool share one TLS configuration; what sets them apart is what they offered by ALPN.
const fn identity(require: Require) -> IdentityId {
    IdentityId(require as u32)
}
