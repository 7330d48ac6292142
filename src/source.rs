//! Where connections come from: addresses of this machine's own.
//!
//! A [`SourcePolicy`] says whose addresses, and what happens without one. It is set for a pool ([`Builder::sources`](crate::Builder::sources)) or a call
//! ([`GetOptions::sources`](crate::GetOptions::sources)), and is part of the identity: who asks for other sources never rides on a connection from these. Which of a
//! policy's addresses a connection came from is not: whoever names several says that each will do.
//!
//! An address is leased when a connection is dialled, and given back when its socket has closed, however that comes about: a dial that fails
//! or is given up, a connection that the pool closes, the last handle of one that was detached or taken raw. So it holds when a pool closes, too:
//! each source comes home behind its socket, before the owner's own steps.
//!
//! One cannot be used that cannot be bound, from which this machine's own routes and rules let nothing go where it is to go, or all of whose ports are in use
//! towards there. The system says so at once, before anything is sent. What the network says later (an ICMP message, a neighbour that does not answer) is
//! no reason to take another source: it may be the target's fault, and nobody here can tell. It is held against the target's address for that origin alone, not for
//! the whole pool, since from another source there may be a way.
//!
//! The socket is bound without a port (`IP_BIND_ADDRESS_NO_PORT` on Linux): one is chosen when it connects, so that one port serves many
//! connections, as long as they go to different peers.

mod sets;

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::mem::ManuallyDrop;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering}; // they count, and order nothing

use crate::fault::planted;

pub use sets::{Rotation, StaticSources, SubnetSources};

/// Gives out addresses to connect from.
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use hotpool::{Error, HotConnPool, SourceAddrs, SourceError, SourcePolicy};
///
/// /// One address, for a hundred connections at the most.
/// struct Few(AtomicU32);
///
/// const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
///
/// impl SourceAddrs for Few {
///     fn lease(&self, _host: &str, remote: IpAddr) -> Option<IpAddr> {
///         if remote.is_ipv6() {
///             return None;
///         }
///         let one_more = |used| (used < 100).then_some(used + 1);
///         let had = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
///         had.ok().map(|_| OURS)
///     }
///
///     fn release(&self, _source: IpAddr) {
///         self.0.fetch_sub(1, Ordering::Relaxed);
///     }
///
///     fn freebind(&self) -> bool {
///         false
///     }
/// }
///
/// fn explain(error: &Error) {
///     if let Some(source) = error.cause().and_then(|cause| cause.downcast_ref::<SourceError>()) {
///         println!("{:?} cannot be used: {}", source.ip(), source.problem());
///     }
/// }
///
/// let pool = HotConnPool::builder().sources(SourcePolicy::prefer(Few(AtomicU32::new(0)))).build()?;
/// assert_eq!(pool.stats().sources.fallbacks, 0);
/// # let _ = explain;
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
pub trait SourceAddrs: Send + Sync + 'static {
    /// An address for a connection to `remote`, which serves `host`; of the same family as `remote`, or it counts as none. A link-local one (`fe80::/10`) is bound in the
    /// zone of the target's own address, or on [`TcpProfile::device`](crate::TcpProfile::device); where neither is given nothing can go there from it. None if there is none to be had now. It is in use until it is given back. Asked in the pool's runtime, once for each attempt: it must not wait. A panic is that there is none, and the
    /// [`SourceError`] says so.
    fn lease(&self, host: &str, remote: IpAddr) -> Option<IpAddr>;

    /// A connection from this address has closed, or did not come about. Once for each that was given out. A panic of it is lost.
    fn release(&self, source: IpAddr);

    /// Whether addresses are bound that no interface has (`IP_FREEBIND`, `IPV6_FREEBIND`; Linux): a whole prefix that is routed here. Default: no.
    fn freebind(&self) -> bool {
        false
    }
}

/// Whose addresses connections come from, and what happens where none can be used. Clones are equal; policies that were made apart are not, whatever they
/// hold.
///
/// What is held against an address is not told apart by source: a 403 that one was told, a refusal, a handshake that failed bars the address to that origin from the others
/// too, and from none, until it is over ([`Outcome`](crate::Outcome)) or lifted by whichever goes there first. Whether it still holds is asked again from the source that heard it, by its policy. Sources
/// that are to know nothing of each other are pools of their own.
#[derive(Clone)]
pub struct SourcePolicy {
    addrs: Arc<dyn SourceAddrs>,
    required: bool,
}

impl SourcePolicy {
    /// From these and no others. Where none is to be had for a family, its addresses are not dialled; where one cannot be bound the dial ends there; where
    /// nothing may go from one to an address, the next address has its turn. Each is [`ErrorKind::Source`](crate::ErrorKind::Source), a [`SourceError`] names the
    /// address, and nobody is blamed. So is a stream of a [`Dial`](crate::Dial) that was made without [`DialTo::connect`](crate::DialTo::connect) or
    /// [`connect_to`](crate::DialTo::connect_to), and so from nobody knows where.
    pub fn require(addrs: impl SourceAddrs) -> Self {
        SourcePolicy {
            addrs: Arc::new(addrs),
            required: true,
        }
    }

    /// From these where it can be, else from what the system chooses: [`SourceStats::fallbacks`] counts that.
    pub fn prefer(addrs: impl SourceAddrs) -> Self {
        SourcePolicy {
            addrs: Arc::new(addrs),
            required: false,
        }
    }

    /// Whether nothing but a source of its own will do.
    pub(crate) fn is_required(&self) -> bool {
        self.required && !planted("required_sources_are_preferred")
    }

    /// A source for a connection to `remote`.
    ///
    /// # Errors
    /// There is none of its family to be had, or whoever gives them out has panicked.
    pub(crate) fn lease(
        &self,
        books: &Arc<SourceBooks>,
        host: &str,
        remote: IpAddr,
    ) -> Result<SourceLease, SourceError> {
        let ip = self.asked(|addrs| addrs.lease(host, remote))?;
        let ip = ip.ok_or_else(|| SourceError::none_for(remote))?;
        books.leased.fetch_add(1, Ordering::Relaxed);
        let mut lease = SourceLease {
            ip,
            freebind: false,
            addrs: Arc::clone(&self.addrs),
            books: Arc::clone(books),
        };
        // One that does not come to anything goes back.
        lease.freebind = self.asked(|addrs| addrs.freebind())?;
        match ip.is_ipv4() == remote.is_ipv4() {
            true => Ok(lease),
            false => Err(SourceError::none_for(remote)),
        }
    }

    /// Asks whoever gives them out, which is the owner's own code.
    fn asked<T>(&self, ask: impl FnOnce(&dyn SourceAddrs) -> T) -> Result<T, SourceError> {
        match planted("a_source_s_panic_is_everybody_s") {
            true => Ok(ask(&*self.addrs)),
            false => catch_unwind(AssertUnwindSafe(|| ask(&*self.addrs))).map_err(SourceError::panicked),
        }
    }
}

/// By whose they are.
impl PartialEq for SourcePolicy {
    fn eq(&self, other: &Self) -> bool {
        let SourcePolicy { addrs, required } = self;
        std::ptr::addr_eq(Arc::as_ptr(addrs), Arc::as_ptr(&other.addrs)) && *required == other.required
    }
}

impl Eq for SourcePolicy {}

impl Hash for SourcePolicy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.addrs).cast::<()>().hash(state);
        self.required.hash(state);
    }
}

impl fmt::Debug for SourcePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.required { "Require" } else { "Prefer" };
        f.debug_tuple(name).finish()
    }
}

/// An address in use: dropped, it goes back to whoever gave it.
pub(crate) struct SourceLease {
    ip: IpAddr,
    freebind: bool,
    addrs: Arc<dyn SourceAddrs>,
    books: Arc<SourceBooks>,
}

impl SourceLease {
    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(crate) fn freebind(&self) -> bool {
        self.freebind
    }
}

impl Drop for SourceLease {
    fn drop(&mut self) {
        if planted("sources_do_not_come_home") {
            return;
        }
        self.books.leased.fetch_sub(1, Ordering::Relaxed);
        // The owner's own code, at the end of a connection: no reason for anything else to be left undone.
        if let Err(thrown) = catch_unwind(AssertUnwindSafe(|| self.addrs.release(self.ip)))
            && !planted("what_a_release_throws_is_dropped")
        {
            _ = ManuallyDrop::new(thrown); // which may panic when it is dropped, too
        }
    }
}

impl fmt::Debug for SourceLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceLease").field(&self.ip).finish()
    }
}

/// What a pool counts of its sources.
#[derive(Debug, Default)]
pub(crate) struct SourceBooks {
    leased: AtomicU64,
    fallbacks: AtomicU64,
}

impl SourceBooks {
    pub(crate) fn fell_back(&self) {
        if !planted("fallbacks_are_not_counted") {
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> SourceStats {
        SourceStats {
            leased: self.leased.load(Ordering::Relaxed),
            fallbacks: self.fallbacks.load(Ordering::Relaxed),
        }
    }
}

/// A snapshot of a pool's sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStats {
    /// Addresses in use, counted once for each connection or attempt, detached ones included.
    pub leased: u64,
    /// Attempts that went without an address of a policy that prefers one, because none was to be had or it could not be used.
    pub fallbacks: u64,
}

/// A source that could not be used: the [`cause`](crate::Error::cause) of an [`ErrorKind::Source`](crate::ErrorKind::Source).
#[derive(Debug)]
pub struct SourceError {
    ip: Option<IpAddr>,
    /// Whether it was not even bound: wherever it was to go.
    unbound: bool,
    problem: io::Error,
}

impl SourceError {
    pub(crate) fn none_for(remote: IpAddr) -> Self {
        let family = if remote.is_ipv4() { "IPv4" } else { "IPv6" };
        SourceError {
            ip: None,
            unbound: false,
            problem: io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("no {family} address is to be had"),
            ),
        }
    }

    /// A dialer connected otherwise than from one of them.
    pub(crate) fn not_asked() -> Self {
        SourceError {
            ip: None,
            unbound: true,
            problem: io::Error::other("the dialer does not connect from the required addresses"),
        }
    }

    /// Whoever gives them out has panicked.
    fn panicked(thrown: Box<dyn Any + Send>) -> Self {
        _ = ManuallyDrop::new(thrown); // which may panic when it is dropped, too
        SourceError {
            ip: None,
            unbound: false,
            problem: io::Error::other("whoever gives out the addresses panicked"),
        }
    }

    /// It could not be bound.
    pub(crate) fn unbound(ip: IpAddr, problem: io::Error) -> Self {
        SourceError {
            ip: Some(ip),
            unbound: true,
            problem,
        }
    }

    /// Nothing may go from it to where it was to go.
    pub(crate) fn no_way(ip: IpAddr, problem: io::Error) -> Self {
        SourceError {
            ip: Some(ip),
            unbound: false,
            problem,
        }
    }

    /// Whether it is of no use to any address.
    pub(crate) fn is_unbound(&self) -> bool {
        self.unbound || self.ip.is_some() && planted("dials_end_where_their_source_has_no_way")
    }

    /// The address that could not be used; none if there was none to be had.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// What the system said, or what else was the matter.
    pub fn problem(&self) -> &io::Error {
        &self.problem
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) => write!(f, "source {ip}: {}", self.problem),
            None => write!(f, "source: {}", self.problem),
        }
    }
}

impl std::error::Error for SourceError {}
