//! DNS by hickory, with the system's name servers and hosts file.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};

use super::{Answer, Resolve, ResolveError, Resolving};
use crate::sync::Mutex;

/// Resolves through the name servers that the system is configured with, and reads its hosts file.
///
/// Names are absolute: no search domain is ever appended, so that the name which is resolved is the name the certificate must carry.
/// hickory's own cache is off; a pool remembers addresses by its own clock.
#[derive(Clone, Default)]
pub struct HickoryResolver {
    /// Read on the first question, so that a pool can be built where there is no runtime and no configuration yet.
    system: Arc<Mutex<Option<TokioResolver>>>,
}

impl HickoryResolver {
    /// A resolver that reads the system's configuration when it is first asked.
    pub fn new() -> Self {
        HickoryResolver::default()
    }

    fn system(&self) -> Result<TokioResolver, NetError> {
        let mut system = self.system.lock();
        if let Some(resolver) = &*system {
            return Ok(resolver.clone());
        }
        let mut builder = TokioResolver::builder_tokio()?;
        builder.options_mut().cache_size = 0;
        let resolver = builder.build()?;
        *system = Some(resolver.clone());
        Ok(resolver)
    }
}

impl Resolve for HickoryResolver {
    fn resolve(&self, host: &str, _port: u16) -> Resolving {
        let name = format!("{host}.");
        let resolver = self.system();
        Box::pin(async move {
            let lookup = resolver
                .map_err(failure)?
                .lookup_ip(name)
                .await
                .map_err(failure)?;
            let ttl = lookup
                .as_lookup()
                .answers()
                .iter()
                .map(|record| record.ttl)
                .min()
                .unwrap_or(0);
            Ok(Answer {
                addresses: lookup.iter().collect(),
                ttl: Duration::from_secs(ttl.into()),
            })
        })
    }
}

fn failure(error: NetError) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::Timeout,
        NetError::Dns(DnsError::NoRecordsFound(_)) => ResolveError::NotFound,
        other => ResolveError::Failed(other.to_string()),
    }
}

impl std::fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HickoryResolver").finish_non_exhaustive()
    }
}
