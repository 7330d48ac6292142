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

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::mem::ManuallyDrop;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering}; // they count, and order nothing

use ipnet::IpNet;

use crate::error::ConfigError;
use crate::fault::planted;

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

/// Which address comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rotation {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Any, evenly.
    Random,
    /// One host has the same at all its connections, as long as the set lives.
    PerHost,
}

/// Draws numbers by a rotation.
#[derive(Debug, Default)]
struct Draw {
    rotation: Rotation,
    turn: AtomicU64,
    key: RandomState,
}

impl Draw {
    /// The next number; of all sizes alike, unless each comes in its turn.
    fn next(&self, host: &str) -> u128 {
        let turn = || self.turn.fetch_add(1, Ordering::Relaxed);
        match self.rotation {
            Rotation::RoundRobin => turn().into(),
            Rotation::Random => self.mix(turn()),
            Rotation::PerHost => self.mix(host),
        }
    }

    /// By a keyed hash (SipHash), once for each half.
    fn mix(&self, of: impl Hash + Copy) -> u128 {
        let [high, low] = [0_u8, 1].map(|half| u128::from(self.key.hash_one((half, of))));
        high << 64 | low
    }
}

/// Some addresses of this machine's. The default way to go through them is [`Rotation::RoundRobin`], in each family by itself.
///
/// ```
/// use hotpool::{HotConnPool, SourcePolicy, StaticSources};
///
/// let sources = StaticSources::new(["192.0.2.10".parse()?, "192.0.2.11".parse()?])?;
/// let pool = HotConnPool::builder().sources(SourcePolicy::require(sources)).build()?;
///
/// // One that is routed here, but that no interface has.
/// let routed = StaticSources::new(["2001:db8:7::1".parse()?])?.freebind(true);
/// # let _ = (pool, routed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StaticSources {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    draws: [Draw; 2],
    freebind: bool,
}

impl StaticSources {
    /// These.
    ///
    /// # Errors
    /// [`ConfigError`] if there is none, or one that nothing can come from: the unspecified address, a multicast one.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Result<Self, ConfigError> {
        let addresses = addresses.into_iter().map(|ip| ip.to_canonical());
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.partition(IpAddr::is_ipv4);
        let mut all = v4.iter().chain(&v6).peekable();
        if all.peek().is_none() {
            return Err(ConfigError::new("sources", "must be one address at the least"));
        }
        if let Some(ip) = all.find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(ConfigError::new("sources", format!("{ip} is nobody's address")));
        }
        Ok(StaticSources {
            v4,
            v6,
            draws: Default::default(),
            freebind: false,
        })
    }

    /// How to go through them.
    #[must_use]
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        for draw in &mut self.draws {
            draw.rotation = rotation;
        }
        self
    }

    /// Also those that no interface has: see [`SourceAddrs::freebind`].
    #[must_use]
    pub fn freebind(mut self, freebind: bool) -> Self {
        self.freebind = freebind;
        self
    }
}

impl SourceAddrs for StaticSources {
    fn lease(&self, host: &str, remote: IpAddr) -> Option<IpAddr> {
        let (family, draw) = match remote.is_ipv4() {
            true => (&self.v4, &self.draws[0]),
            false => (&self.v6, &self.draws[1]),
        };
        let number = draw.next(host).checked_rem(family.len() as u128)?;
        family.get(number as usize).copied()
    }

    fn release(&self, _: IpAddr) {}

    fn freebind(&self) -> bool {
        self.freebind
    }
}

/// A whole network of addresses: an IPv6 prefix that is routed here, say. The default is any address of it ([`Rotation::Random`]). Those that stand for
/// the network itself are left out: the first (RFC 4291, section 2.6.1), and in IPv4 the last.
///
/// Addresses that no interface has are bound only with [`freebind`](SubnetSources::freebind), or where the system allows it
/// (`net.ipv4.ip_nonlocal_bind`, `net.ipv6.ip_nonlocal_bind`); and answers find their way back only where the prefix is routed to this machine and taken for local:
/// `ip -6 route add local 2001:db8::/64 dev lo`.
///
/// ```
/// use hotpool::{HotConnPool, Rotation, SourcePolicy, SubnetSources};
///
/// let prefix = SubnetSources::new("2001:db8:7::/64")?.freebind(true).rotation(Rotation::RoundRobin);
/// let pool = HotConnPool::builder().sources(SourcePolicy::require(prefix)).build()?;
/// # let _ = pool;
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct SubnetSources {
    network: IpNet,
    draw: Draw,
    freebind: bool,
}

impl SubnetSources {
    /// This one, as it is written: `2001:db8::/64`. An address by itself is a network of one.
    ///
    /// # Errors
    /// [`ConfigError`] if it is no network, or has addresses that nothing can come from: unspecified or multicast ones, of IPv4 those that are reserved
    /// (240.0.0.0/4), of IPv6 those that stand for IPv4 (`::ffff:0:0/96`).
    pub fn new(network: &str) -> Result<Self, ConfigError> {
        let parsed = IpNet::from_str(network).or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
        let parsed = parsed.map_err(|_| ConfigError::new("sources", "neither a network nor an address"))?;
        let network = parsed.trunc();
        let mut nobodys = nobodys().into_iter();
        if let Some(nobodys) = nobodys.find(|nobodys| overlap(nobodys, &network)) {
            let problem = format!("{parsed} has addresses that nothing can come from: {nobodys}");
            return Err(ConfigError::new("sources", problem));
        }
        Ok(SubnetSources {
            network,
            draw: Draw {
                rotation: Rotation::Random,
                ..Draw::default()
            },
            freebind: false,
        })
    }

    /// How to go through it.
    #[must_use]
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.draw.rotation = rotation;
        self
    }

    /// Also addresses that no interface has: see [`SourceAddrs::freebind`].
    #[must_use]
    pub fn freebind(mut self, freebind: bool) -> Self {
        self.freebind = freebind;
        self
    }

    /// The address that this number stands for.
    fn at(&self, number: u128) -> IpAddr {
        let host_bits = u32::from(self.network.max_prefix_len() - self.network.prefix_len());
        let last = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0); // no host bits: the one address
        let ends = match self.network {
            _ if host_bits < 2 => 0,
            IpNet::V4(_) => 2,
            IpNet::V6(_) => 1,
        };
        let host = match ends {
            0 => number & last,
            // From 1 to the last but `ends - 1`.
            ends => 1 + number % (last - (ends - 1)),
        };
        match self.network.addr() {
            IpAddr::V4(base) => Ipv4Addr::from(u32::from(base) | host as u32).into(),
            IpAddr::V6(base) => Ipv6Addr::from(u128::from(base) | host).into(),
        }
    }
}

impl SourceAddrs for SubnetSources {
    fn lease(&self, host: &str, remote: IpAddr) -> Option<IpAddr> {
        let fits = remote.is_ipv4() == self.network.addr().is_ipv4();
        fits.then(|| self.at(self.draw.next(host)))
    }

    fn release(&self, _: IpAddr) {}

    fn freebind(&self) -> bool {
        self.freebind
    }
}

/// Networks that no connection comes from: this network and nobody (RFC 1122, section 3.2.1.3), multicast (RFC 1112, RFC 4291), what is reserved with the
/// broadcast address in it (RFC 1112, section 4), and IPv4 in the dress of IPv6 (RFC 4291, section 2.5.5.2), which is leased for IPv4 or not at all.
fn nobodys() -> [IpNet; 6] {
    let v4 = |octets: [u8; 4], length| IpNet::new_assert(octets.into(), length);
    let v6 = |segments: [u16; 8], length| IpNet::new_assert(segments.into(), length);
    [
        v4([0, 0, 0, 0], 8),
        v4([224, 0, 0, 0], 4),
        v4([240, 0, 0, 0], 4),
        v6([0; 8], 128),
        v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
        v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    ]
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn drawn(sources: &impl SourceAddrs, remote: &str, count: usize) -> Vec<IpAddr> {
        (0..count)
            .map(|_| sources.lease("a.test", ip(remote)).expect("an address"))
            .collect()
    }

    #[test]
    fn each_comes_in_its_turn_in_its_family() {
        let all = ["192.0.2.1", "2001:db8::1", "192.0.2.2"].map(ip);
        let sources = StaticSources::new(all).expect("addresses");
        let turns = drawn(&sources, "192.0.2.9", 3);
        assert_eq!(turns, ["192.0.2.1", "192.0.2.2", "192.0.2.1"].map(ip));
        assert_eq!(drawn(&sources, "2001:db8::9", 2), ["2001:db8::1"; 2].map(ip));
        let v4 = StaticSources::new([ip("192.0.2.1")]).expect("an address");
        assert_eq!(v4.lease("a.test", ip("::1")), None);
    }

    #[test]
    fn a_host_keeps_its_address_and_chance_takes_all() {
        let all = || (1..=8).map(|last| IpAddr::from([192, 0, 2, last]));
        let sources = StaticSources::new(all()).expect("addresses");
        let sources = sources.rotation(Rotation::PerHost);
        let of = |host: usize| sources.lease(&format!("{host}.test"), ip("192.0.2.9"));
        let first: Vec<_> = (0..100).map(of).collect();
        assert_eq!(first, (0..100).map(of).collect::<Vec<_>>());
        assert!(
            first.iter().collect::<BTreeSet<_>>().len() > 4,
            "not all the same"
        );
        let sources = StaticSources::new(all()).expect("addresses");
        let drawn = drawn(&sources.rotation(Rotation::Random), "192.0.2.9", 400);
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 8);
        assert_ne!(drawn[..8], drawn[8..16], "not in turn");
    }

    #[test]
    fn a_prefix_gives_addresses_of_its_own_and_not_its_ends() {
        for (network, first, last) in [
            ("2001:db8::/126", "2001:db8::1", "2001:db8::3"),
            ("2001:db8::/127", "2001:db8::", "2001:db8::1"),
            ("2001:db8::7/128", "2001:db8::7", "2001:db8::7"),
            ("192.0.2.0/29", "192.0.2.1", "192.0.2.6"),
            ("192.0.2.0/31", "192.0.2.0", "192.0.2.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ] {
            let sources = SubnetSources::new(network).expect("a network");
            let drawn: BTreeSet<_> = drawn(&sources, first, 200).into_iter().collect();
            assert_eq!(drawn.first(), Some(&ip(first)), "{network}");
            assert_eq!(drawn.last(), Some(&ip(last)), "{network}");
        }
        for network in ["2001:db8::/64", "2000::/3", "10.0.0.0/8"] {
            let sources = SubnetSources::new(network).expect("a network");
            let remote = if network.contains(':') { "::1" } else { "127.0.0.1" };
            let drawn: BTreeSet<_> = drawn(&sources, remote, 200).into_iter().collect();
            assert!(drawn.len() > 190, "{network}");
            assert!(drawn.iter().all(|ip| sources.network.contains(ip)), "{network}");
        }
        let turns = SubnetSources::new("2001:db8::/64").expect("a network");
        let turns = drawn(&turns.rotation(Rotation::RoundRobin), "::1", 2);
        assert_eq!(turns, ["2001:db8::1", "2001:db8::2"].map(ip));
    }

    #[test]
    fn what_nothing_can_come_from_is_refused() {
        for addresses in [&[][..], &["0.0.0.0"], &["::"], &["192.0.2.1", "224.0.0.1"]] {
            assert!(StaticSources::new(addresses.iter().map(|text| ip(text))).is_err());
        }
        for network in ["", "example.com", "10.0.0.0/33"] {
            assert!(SubnetSources::new(network).is_err(), "{network}");
        }
    }

    #[test]
    fn a_network_with_addresses_of_nobody_s_is_refused_by_name() {
        for network in [
            "0.0.0.0",
            "0.0.0.0/0",
            "0.1.2.0/24",
            "192.0.0.0/2",
            "224.0.0.0/4",
            "239.1.2.3",
            "255.255.255.255",
            "::",
            "::/0",
            "::/80",
            "::ffff:0:0/96",
            "::ffff:192.0.2.0/120",
            "::ffff:192.0.2.1",
            "ff02::/16",
            "fe00::/7",
        ] {
            let error = SubnetSources::new(network).expect_err(network);
            assert_eq!(error.field(), "sources", "{network}");
            let named: IpNet = network.parse().unwrap_or_else(|_| IpNet::from(ip(network)));
            assert!(error.to_string().contains(&named.to_string()), "{error}");
        }
        for network in ["::1", "::fffe:0:0/96", "127.0.0.0/8", "128.0.0.0/2", "fe80::/10"] {
            assert!(SubnetSources::new(network).is_ok(), "{network}");
        }
    }
}
