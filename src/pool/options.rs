//! What one `get` may ask for beside its target.

use std::net::IpAddr;
use std::time::Duration;

use crate::identity::Require;
use crate::manager::Order;

/// Options of one call.
///
/// ```
/// use std::time::Duration;
/// use hotpool::{GetOptions, Require};
///
/// let options = GetOptions::new().require(Require::Http1).timeout(Duration::from_secs(2));
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct GetOptions {
    pub(super) order: Order,
}

impl GetOptions {
    /// The pool's defaults.
    pub fn new() -> Self {
        GetOptions::default()
    }

    /// Which protocols will do. Requiring one offers that one alone, so such connections are kept apart from the others.
    pub fn require(mut self, require: Require) -> Self {
        self.order.require = require;
        self
    }

    /// Only a connection to this address will do. It need not be one that the target's name resolves to.
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.order.pin = Some(ip);
        self
    }

    /// How long the call may take in all, in place of `acquire_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.order.timeout = Some(timeout);
        self
    }
}
