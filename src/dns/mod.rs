//! Names to addresses: the trait that the pool asks, and two answers to it.

mod fixed;
mod hickory;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

pub use fixed::StaticResolver;
pub use hickory::HickoryResolver;

/// A resolution under way. Dropping it gives it up.
pub type Resolving = Pin<Box<dyn Future<Output = Result<Answer, ResolveError>> + Send>>;

/// Resolves host names for a pool.
///
/// It is asked in the pool's runtime, for canonical names only: never for an IP literal, never with a trailing dot.
pub trait Resolve: Send + Sync + 'static {
    /// Looks up the addresses of `host`. `port` tells services on one name apart, for resolvers that can.
    fn resolve(&self, host: &str, port: u16) -> Resolving;
}

/// The addresses of a name, the preferred ones first, and for how long they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The addresses. None at all is treated as [`ResolveError::NotFound`].
    pub addresses: Vec<IpAddr>,
    /// The time to live.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist or has no address: the name server said so.
    NotFound,
    /// No name server answered in time.
    Timeout,
    /// Anything else, in words.
    Failed(String),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::NotFound => f.write_str("the name does not exist or has no address"),
            ResolveError::Timeout => f.write_str("no name server answered in time"),
            ResolveError::Failed(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for ResolveError {}
