//! Addresses that are known beforehand.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Resolve, ResolveError, Resolving};
use crate::target::{Target, TargetError};

/// Fixed addresses for some targets, and another resolver, or none, for the rest.
///
/// ```
/// use hotpool::StaticResolver;
///
/// let resolver = StaticResolver::new()
///     .with("example.com", ["192.0.2.1".parse()?, "192.0.2.2".parse()?])?
///     .with("example.com:8443", ["192.0.2.3".parse()?])?;
/// # let _ = resolver;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct StaticResolver {
    known: HashMap<(Box<str>, u16), Vec<IpAddr>>,
    rest: Option<Arc<dyn Resolve>>,
}

impl StaticResolver {
    /// Knows nothing yet.
    pub fn new() -> Self {
        StaticResolver::default()
    }

    /// Gives `target` (one host and one port) these addresses, in place of any it had.
    ///
    /// # Errors
    /// [`TargetError`] if the text is no target.
    pub fn with<'a, T>(
        mut self,
        target: T,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Self, TargetError>
    where
        T: TryInto<Target<'a>, Error = TargetError>,
    {
        let target = target.try_into()?;
        self.known.insert(
            (target.host().into(), target.port()),
            addresses.into_iter().collect(),
        );
        Ok(self)
    }

    /// Asks `resolver` for every other target.
    pub fn or(mut self, resolver: impl Resolve) -> Self {
        self.rest = Some(Arc::new(resolver));
        self
    }
}

impl Resolve for StaticResolver {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        /// Fixed addresses hold for as long as DNS may promise anything (RFC 2181 section 8), and are asked for again then.
        const TTL: Duration = Duration::from_secs(24 * 3600);
        match (self.known.get(&(host.into(), port)), &self.rest) {
            (Some(addresses), _) => Resolving::ready(Ok(Answer {
                addresses: addresses.clone(),
                ttl: TTL,
            })),
            (None, Some(rest)) => rest.resolve(host, port),
            (None, None) => Resolving::ready(Err(ResolveError::NotFound { ttl: TTL })),
        }
    }
}

impl fmt::Debug for StaticResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticResolver")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}
