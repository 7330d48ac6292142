//! Names to addresses: the trait that the pool asks, two answers to it, and the memory of what was answered.

mod fixed;
mod flight;
mod hickory;
mod names;
mod snapshot;
mod table;

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub use self::fixed::StaticResolver;
pub use self::hickory::HickoryResolver;
pub(crate) use self::names::{Ask, Names};
pub use self::snapshot::{DnsName, DnsSnapshot};
#[cfg(not(feature = "__internals"))]
pub(crate) use self::table::Found;
#[cfg(feature = "__internals")]
pub use self::table::{Found, Table, Terms};

/// Resolves host names for a pool.
///
/// It is asked in the pool's runtime, for canonical names only: never for an IP literal, never with a trailing dot. The pool remembers what it
/// says, and asks once for a name at a time, however many wait for it. If it panics, that is a [`ResolveError::Failed`] to all of them.
///
/// ```
/// use std::net::IpAddr;
/// use std::time::Duration;
///
/// use hotpool::{Answer, HotConnPool, Resolve, ResolveError, Resolving};
///
/// /// Names of services, as some registry of one's own has them: one address of each family.
/// struct Registry;
///
/// async fn ask(service: String, v6: bool) -> Result<Answer, ResolveError> {
///     let known = service == "billing.internal";
///     let address: IpAddr = if v6 { "2001:db8::7" } else { "192.0.2.7" }.parse().map_err(|_| ResolveError::Timeout)?;
///     let ttl = Duration::from_secs(30);
///     match known {
///         true => Ok(Answer { addresses: vec![address], ttl }),
///         false => Err(ResolveError::NotFound { ttl }),
///     }
/// }
///
/// impl Resolve for Registry {
///     fn resolve(&self, host: &str, _port: u16) -> Resolving {
///         Resolving::families(ask(host.to_owned(), true), ask(host.to_owned(), false))
///     }
///
///     fn tells_ports_apart(&self) -> bool {
///         false
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let mut answers = Registry.resolve("billing.internal", 443);
/// while let Some(answer) = answers.next().await {
///     assert_eq!(answer?.addresses.len(), 1);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// let pool = HotConnPool::builder().resolver(Registry).build()?;
/// # let _ = pool;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// Looks up the addresses of `host`. `port` tells services on one name apart, for resolvers that can.
    fn resolve(&self, host: &str, port: u16) -> Resolving;

    /// Whether the answer depends on the port. Where it does not, one answer is remembered for all of them.
    fn tells_ports_apart(&self) -> bool {
        true
    }
}

/// A part of a resolution: a future that answers.
type Part = Pin<Box<dyn Future<Output = Result<Answer, ResolveError>> + Send>>;

/// A resolution under way: one answer, or one for each family as it arrives. Dropping it gives it up.
///
/// An answer to a part says nothing of the others: where one fails, what the others bring is used.
///
/// ```
/// use std::future::poll_fn;
/// use std::time::Duration;
///
/// use hotpool::{Answer, Resolving};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let answer = Answer { addresses: vec!["192.0.2.7".parse()?], ttl: Duration::from_secs(60) };
/// let mut once = Resolving::new(std::future::ready(Ok(answer.clone())));
/// assert_eq!(poll_fn(|cx| once.poll_next(cx)).await, Some(Ok(answer.clone())));
/// assert_eq!(Resolving::ready(Ok(answer.clone())).next().await, Some(Ok(answer)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Resolving {
    parts: Vec<Part>,
}

/// The addresses of a name, the preferred ones first, and for how long they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The addresses; at most 32 of a name are used. None at all is treated as [`ResolveError::NotFound`].
    pub addresses: Vec<IpAddr>,
    /// The time to live. Whatever it says, an answer is remembered for 5 seconds at least and for a day at the most.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist or has no address: the name server said so.
    NotFound {
        /// For how long it need not be asked again. Whatever it says, that is 1 to 30 seconds.
        ttl: Duration,
    },
    /// No name server answered in time.
    Timeout,
    /// This machine ran out of something: descriptors, ports, memory. In words.
    Local(String),
    /// Anything else, in words.
    Failed(String),
}

impl Resolving {
    /// One answer for everything.
    pub fn new(answer: impl Future<Output = Result<Answer, ResolveError>> + Send + 'static) -> Self {
        Resolving {
            parts: vec![Box::pin(answer)],
        }
    }

    /// An answer that is known already.
    pub fn ready(answer: Result<Answer, ResolveError>) -> Self {
        Resolving::new(std::future::ready(answer))
    }

    /// An answer for IPv6 and one for IPv4, each in its own time.
    pub fn families(
        v6: impl Future<Output = Result<Answer, ResolveError>> + Send + 'static,
        v4: impl Future<Output = Result<Answer, ResolveError>> + Send + 'static,
    ) -> Self {
        Resolving {
            parts: vec![Box::pin(v6), Box::pin(v4)],
        }
    }

    /// The next answer; none once there are no more.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, ResolveError>>> {
        if self.parts.is_empty() {
            return Poll::Ready(None);
        }
        for index in 0..self.parts.len() {
            if let Poll::Ready(answer) = self.parts[index].as_mut().poll(cx) {
                drop(self.parts.remove(index));
                return Poll::Ready(Some(answer));
            }
        }
        Poll::Pending
    }

    /// The next answer; none once there are no more. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Answer, ResolveError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl fmt::Debug for Resolving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolving")
            .field("parts", &self.parts.len())
            .finish()
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::NotFound { .. } => f.write_str("the name does not exist or has no address"),
            ResolveError::Timeout => f.write_str("no name server answered in time"),
            ResolveError::Local(problem) | ResolveError::Failed(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for ResolveError {}
