//! Which remote addresses may be connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::fault::planted;

/// Which remote addresses a pool may connect to.
///
/// It is asked about every address that a name resolves to, and again about the address that is about to be connected to, before the first
/// packet: a name that resolves elsewhere a moment later, an IP literal and an address named by [`GetOptions::ip`](crate::GetOptions::ip) pass
/// no other door.
///
/// A block wins over an allowance. As soon as one network is allowed, only those that are allowed may be connected to.
///
/// An IPv6 address that stands for an IPv4 one (mapped, IPv4-compatible, NAT64 of RFC 6052, 6to4) is blocked if either of the two is.
///
/// ```
/// use hotpool::AddressPolicy;
///
/// let policy = AddressPolicy::deny_private().block("198.51.100.0/24".parse()?);
/// assert!(!policy.permits("169.254.169.254".parse()?));
/// assert!(policy.permits("1.1.1.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct AddressPolicy {
    special: bool,
    blocked: Vec<Network>,
    allowed: Vec<Network>,
}

/// A network by its address and the length of its prefix: `"192.0.2.0/24"`, `"2001:db8::/32"`, or one address alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// The text names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address, and not one with the length of a prefix behind a slash")]
pub struct NetworkError;

impl AddressPolicy {
    /// Every address may be connected to.
    pub fn allow_all() -> Self {
        AddressPolicy::default()
    }

    /// No address that is not of the public internet: this machine, private and shared networks, link-local and unique-local ones, what is
    /// reserved, for documentation, for benchmarks or for many receivers (the IANA special-purpose registries of RFC 6890, as far as they are
    /// not globally reachable; multicast; 0.0.0.0/8; 240.0.0.0/4).
    pub fn deny_private() -> Self {
        AddressPolicy {
            special: true,
            ..AddressPolicy::default()
        }
    }

    /// Blocks one network more.
    pub fn block(mut self, network: Network) -> Self {
        self.blocked.push(network);
        self
    }

    /// Allows one network more, and no network that is not named so.
    pub fn allow(mut self, network: Network) -> Self {
        self.allowed.push(network);
        self
    }

    /// Whether `ip` may be connected to.
    pub fn permits(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let forms = [Some(ip), inner(ip).map(IpAddr::V4)];
        let any = |list: &[Network]| {
            forms
                .iter()
                .flatten()
                .any(|&form| list.iter().any(|network| network.contains(form)))
        };
        let blocked = any(&self.blocked) || (self.special && any(SPECIAL));
        let allowed = self.allowed.is_empty() || self.allowed.iter().any(|network| network.contains(ip));
        match planted("allowed_wins_over_blocked") && !self.allowed.is_empty() {
            true => allowed,
            false => !blocked && (allowed || planted("allowlist_is_advice")),
        }
    }
}

/// The IPv4 address that an IPv6 address stands for, where traffic to the one may end up at the other.
fn inner(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else { return None };
    if planted("only_mapped_addresses_are_unwrapped") {
        return None;
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let low = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        // NAT64's well-known prefix; IPv4-compatible, long deprecated and still parsed.
        [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0] => Some(low(g, h)),
        [0x2002, high, rest, ..] => Some(low(high, rest)),
        _ => None,
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Network {
    Network(IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), prefix))
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Network {
    Network(IpNet::new_assert(
        IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)),
        prefix,
    ))
}

/// What is not of the public internet.
static SPECIAL: &[Network] = &[
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
    // ::/96 (this machine, and IPv4-compatible addresses), and IPv4 as a socket has it.
    v6(0, 0, 0, 96),
    v6(0x64, 0xff9b, 1, 48),
    v6(0x100, 0, 0, 64),
    v6(0x2001, 0, 0, 23),
    v6(0x2001, 0xdb8, 0, 32),
    v6(0x3fff, 0, 0, 20),
    v6(0x5f00, 0, 0, 16),
    v6(0xfc00, 0, 0, 7),
    v6(0xfe80, 0, 0, 10),
    v6(0xfec0, 0, 0, 10),
    v6(0xff00, 0, 0, 8),
];

impl Network {
    /// The network of `ip` with a prefix of this length; none if an address of its family has fewer bits.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(ip, prefix).ok().map(Network::canonical)
    }

    /// Without bits behind the prefix; a network of IPv4 addresses mapped into IPv6 is one of IPv4.
    fn canonical(network: IpNet) -> Self {
        match (network.addr().to_canonical(), network.prefix_len()) {
            (ip @ IpAddr::V4(_), length @ 96..) if matches!(network, IpNet::V6(_)) => {
                IpNet::new(ip, length - 96).map_or(Network(network), |network| Network(network.trunc()))
            }
            _ => Network(network.trunc()),
        }
    }

    /// Whether `ip` belongs to it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip)
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        Network(IpNet::from(ip.to_canonical()))
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(ip.into());
        }
        let network = text.parse::<IpNet>().map_err(|_| NetworkError)?;
        Ok(Network::canonical(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_private_is_denied_in_every_form() {
        let policy = AddressPolicy::deny_private();
        for denied in [
            "10.0.0.1",
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "100.64.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:0a00:0001::1",
            "2001::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!policy.permits(ip(denied)), "{denied}");
            assert!(AddressPolicy::allow_all().permits(ip(denied)), "{denied}");
        }
        for public in [
            "1.1.1.1",
            "11.0.0.1",
            "172.32.0.1",
            "172.15.255.255",
            "100.63.255.255",
            "100.128.0.1",
            "169.253.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "::ffff:1.1.1.1",
            "2002:101:101::",
        ] {
            assert!(policy.permits(ip(public)), "{public}");
        }
    }

    #[test]
    fn each_network_ends_where_it_ends() {
        let policy = AddressPolicy::allow_all().block("192.0.2.128/25".parse().expect("a network"));
        assert!(policy.permits(ip("192.0.2.127")));
        assert!(!policy.permits(ip("192.0.2.128")));
        assert!(!policy.permits(ip("64:ff9b::c000:280")), "the same by NAT64");
        assert!(policy.permits(ip("64:ff9b::c000:27f")));
        assert!(policy.permits(ip("192.0.3.128")));
    }

    #[test]
    fn a_network_is_an_address_and_a_prefix_or_an_address() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
        ] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), shown);
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a/8",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad:?}");
        }
        assert_eq!(Network::new(ip("10.0.0.0"), 33), None);
    }
}
