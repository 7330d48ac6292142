//! What can be blocked or allowed.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{parsed, reached};
use crate::error::ConfigError;
use crate::fault::planted;
use crate::target::{Target, TargetError};

/// What a block or an allowance concerns.
///
/// ```
/// use hotpool::Scope;
///
/// assert_eq!(Scope::network("192.0.2.0/24")?.to_string(), "192.0.2.0/24");
/// assert_eq!(Scope::host("Example.com.")?.to_string(), "host example.com");
/// assert_eq!(Scope::origin("example.com:8443")?.to_string(), "example.com:8443");
/// assert_eq!(Scope::address("example.com", [192, 0, 2, 1].into())?.to_string(), "example.com at 192.0.2.1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub(super) Of);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Of {
    Network(IpNet),
    Host(Arc<str>),
    Origin(Arc<str>),
    Address(Arc<str>, IpAddr),
}

impl Scope {
    /// A network (`192.0.2.0/24`) or an address, for every host. An IPv4 address within an IPv6 one (mapped, NAT64, 6to4) is meant, too. Where the
    /// pool has a proxy, the addresses that are meant are those behind it: see [`ConnectionManager::block`](crate::ConnectionManager::block).
    ///
    /// # Errors
    /// [`ConfigError`] if it is neither.
    pub fn network(network: &str) -> Result<Self, ConfigError> {
        parsed(network).map(|network| Scope(Of::Network(network)))
    }

    /// A host, at whatever port and address.
    ///
    /// # Errors
    /// The text names no target. Its port, if it has one, is not looked at.
    pub fn host(host: &str) -> Result<Self, TargetError> {
        Ok(Scope(Of::Host(Target::try_from(host)?.host().into())))
    }

    /// A host at one port, at whatever address.
    ///
    /// # Errors
    /// The text names no target.
    pub fn origin(target: &str) -> Result<Self, TargetError> {
        Ok(Scope(Of::Origin(Target::try_from(target)?.shared_text())))
    }

    /// An origin at one address: what a 403 blocks. Where the pool has a proxy, that is one of the proxy's; one behind it may be meant as well.
    /// It is the address as it is dialled that is meant: not the IPv6 addresses (NAT64, 6to4) that lead to an IPv4 one, as with [`network`](Scope::network).
    ///
    /// # Errors
    /// The text names no target.
    pub fn address(target: &str, ip: IpAddr) -> Result<Self, TargetError> {
        let origin = Target::try_from(target)?.shared_text();
        Ok(Scope(Of::Address(origin, ip.to_canonical())))
    }

    /// The same of what is canonical already.
    pub(crate) fn of_address(target: &Target<'_>, ip: IpAddr) -> Self {
        Scope(Of::Address(target.shared_text(), ip))
    }

    /// This address as it is dialled, for every host.
    pub(crate) fn exactly(ip: IpAddr) -> Self {
        match planted("failed_addresses_are_listed_as_what_they_reach") {
            true => ip.into(),
            false => Scope(Of::Network(IpNet::from(ip))),
        }
    }

    /// A network, whichever of its addresses it is named by.
    pub(super) fn of_network(network: IpNet) -> Self {
        Scope(Of::Network(network.trunc()))
    }

    /// If it is a network: whether it is one of IPv6, and how long its prefix is.
    pub(super) fn length(&self) -> Option<(bool, u8)> {
        match &self.0 {
            Of::Network(network) => Some((network.addr().is_ipv6(), network.prefix_len())),
            _ => None,
        }
    }

    /// Whether it is about addresses alone, whoever has them.
    pub(crate) fn is_network(&self) -> bool {
        matches!(self.0, Of::Network(_))
    }

    /// One address, for every host: none if it is anything else.
    pub(crate) fn everywhere(&self) -> Option<IpAddr> {
        match &self.0 {
            Of::Network(network) if network.prefix_len() == network.max_prefix_len() => Some(network.addr()),
            _ => None,
        }
    }

    /// Whether it is one address for every host, and `ip` is that, or leads to it.
    pub(crate) fn means(&self, ip: IpAddr) -> bool {
        let leads_there = |meant| reached(ip) == meant && !planted("ways_to_an_address_stay_blocked");
        self.everywhere()
            .is_some_and(|meant| meant == ip || leads_there(meant))
    }

    /// An origin and its address, if it is that.
    pub(crate) fn of_origin(&self) -> Option<(&str, IpAddr)> {
        match &self.0 {
            Of::Address(origin, ip) => Some((origin, *ip)),
            _ => None,
        }
    }
}

/// One address, for every host.
impl From<IpAddr> for Scope {
    fn from(ip: IpAddr) -> Self {
        Scope(Of::Network(IpNet::from(reached(ip))))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Of::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Of::Network(network) => write!(f, "{network}"),
            Of::Host(host) => write!(f, "host {host}"),
            Of::Origin(origin) => f.write_str(origin),
            Of::Address(origin, ip) => write!(f, "{origin} at {ip}"),
        }
    }
}
