//! Which addresses may be connected to: for pools whose names or targets come from strangers.

mod list;
mod rules;
mod scope;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

pub use self::rules::AccessPolicy;
#[cfg(not(feature = "__internals"))]
pub(crate) use self::rules::Rules;
#[cfg(feature = "__internals")]
pub use self::rules::Rules;
pub(crate) use self::rules::{Gate, Way};
pub use self::scope::Scope;
use crate::error::ConfigError;
use crate::fault::planted;

/// Which addresses a pool may connect to. It is asked of every address that a name resolves to, and again just before each connect, of
/// addresses that a target or a call names itself, too. A name none of whose addresses may be reached, and an address that may not, end in
/// [`ErrorKind::AddressDenied`](crate::ErrorKind::AddressDenied); nothing is sent there.
///
/// A crawler, a webhook sender or a proxy should use [`deny_private`](AddressPolicy::deny_private): a name of a stranger's may resolve to an address
/// inside (DNS rebinding).
///
/// An address is judged as what it reaches: an IPv4 address within an IPv6 one (mapped, NAT64, 6to4) as that IPv4 address. A network of such is that
/// of the IPv4 addresses within it: `2002:a00:1::/48` (6to4, RFC 3056) and whatever is longer are 10.0.0.1, `2002:a00::/24` is 10.0.0.0/8.
///
/// ```
/// use hotpool::AddressPolicy;
///
/// let policy = AddressPolicy::deny_private().allow("10.20.0.0/16")?.deny("10.20.30.0/24")?;
/// assert!(policy.allows("192.0.1.1".parse()?));
/// assert!(policy.allows("10.20.1.1".parse()?), "an exception");
/// assert!(!policy.allows("10.20.30.1".parse()?), "what is denied by name is denied");
/// assert!(!policy.allows("::ffff:127.0.0.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    unless_listed: Stance,
    denied: Vec<IpNet>,
    allowed: Vec<IpNet>,
}

/// What is allowed that no list names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stance {
    #[default]
    All,
    /// Only what is reached over the public Internet.
    Public,
    Nothing,
}

impl AddressPolicy {
    /// Every address. The default.
    pub fn allow_all() -> Self {
        AddressPolicy::default()
    }

    /// Only addresses of the public Internet: none that the IANA registries of special-purpose addresses (RFC 6890) reserve for one's own
    /// machine, link, network or provider, for documentation, benchmarks or multicast.
    pub fn deny_private() -> Self {
        AddressPolicy {
            unless_listed: Stance::Public,
            ..AddressPolicy::default()
        }
    }

    /// No address, but for what [`allow`](AddressPolicy::allow) names.
    pub fn deny_all() -> Self {
        AddressPolicy {
            unless_listed: Stance::Nothing,
            ..AddressPolicy::default()
        }
    }

    /// Also this network (`192.0.2.0/24`) or address, which [`deny_private`](AddressPolicy::deny_private) or
    /// [`deny_all`](AddressPolicy::deny_all) would deny. What [`deny`](AddressPolicy::deny) names
    /// stays denied.
    ///
    /// # Errors
    /// [`ConfigError`] if it is neither a network nor an address.
    pub fn allow(mut self, network: &str) -> Result<Self, ConfigError> {
        self.allowed.push(parsed(network)?);
        Ok(self)
    }

    /// Not this network or address, whatever else is said of it.
    ///
    /// # Errors
    /// As [`allow`](AddressPolicy::allow).
    pub fn deny(mut self, network: &str) -> Result<Self, ConfigError> {
        self.denied.push(parsed(network)?);
        Ok(self)
    }

    /// Whether this address may be connected to.
    pub fn allows(&self, ip: IpAddr) -> bool {
        let (written, ip) = (ip.to_canonical(), reached(ip));
        let among = |networks: &[IpNet], ip| networks.iter().any(|network| network.contains(&ip));
        let denied = among(&self.denied, ip)
            || (among(&self.denied, written) && !planted("only_what_is_reached_is_judged"));
        if denied && !planted("allowed_beats_denied") {
            return false;
        }
        let unless_listed = match self.unless_listed {
            Stance::All => true,
            Stance::Public => is_public(ip),
            Stance::Nothing => planted("allowlist_is_advice"),
        };
        unless_listed || among(&self.allowed, ip)
    }
}

/// Networks are compared with what addresses reach: an IPv4 network may come in another dress, too. A way into all of IPv4 (`64:ff9b::/96`) is
/// not IPv4 itself.
fn parsed(network: &str) -> Result<IpNet, ConfigError> {
    let parsed = IpNet::from_str(network).or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
    let parsed =
        parsed.map_err(|_| ConfigError::new("address_policy", "neither a network nor an address"))?;
    let (ip, length) = (parsed.addr(), parsed.prefix_len());
    let mapped = ip.to_canonical().is_ipv4();
    // Where the IPv4 address begins in it.
    let start = match ip {
        IpAddr::V6(v6) if v6.segments()[0] == 0x2002 && !planted("six_to_four_ends_in_its_address") => 16,
        _ => 96,
    };
    let inner = match (ip, reached(ip)) {
        (IpAddr::V6(_), inner @ IpAddr::V4(_)) if length > start || (length == start && mapped) => {
            // Of what is behind that address nothing is told apart.
            IpNet::new(inner, (length - start).min(32)).ok()
        }
        _ => None,
    };
    Ok(inner.unwrap_or(parsed).trunc())
}

/// The address that is reached by this one: an IPv4 address that an IPv6 one carries.
fn reached(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match [a, b, c, d, e, f] {
        // Mapped (RFC 4291, 2.5.5.2), and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] => v4(g, h),
        // Compatible, which is deprecated (RFC 4291, 2.5.5.1); not the unspecified address and the loopback one.
        [0, 0, 0, 0, 0, 0] if (g, h) != (0, 0) && (g, h) != (0, 1) => v4(g, h),
        // NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0] if !planted("nat64_is_taken_as_written") => v4(g, h),
        // 6to4 (RFC 3056).
        [0x2002, ..] => v4(b, c),
        _ => ip,
    }
}

/// Whether it belongs to the public Internet, by the registries of special-purpose addresses.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        [0 | 10 | 127 | 224.., ..]
            | [100, 64..128, ..]
            | [169, 254, ..]
            | [172, 16..32, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// Of IPv6 only 2000::/3 is given out; within it some blocks are nobody's, or lead elsewhere (Teredo).
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_private_is_denied_in_every_dress() {
        let policy = AddressPolicy::deny_private();
        let private = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ];
        let public = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.0",
            "192.0.1.1",
            "223.255.255.255",
        ];
        for (texts, allowed) in [(&private[..], false), (&public[..], true)] {
            for text in texts {
                assert_eq!(policy.allows(ip(text)), allowed, "{text}");
                let IpAddr::V4(v4) = ip(text) else {
                    panic!("an IPv4 address")
                };
                let [a, b, c, d] = v4.octets();
                let six_to_four = format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1");
                for dressed in [
                    format!("::ffff:{text}"),
                    format!("::ffff:0:{text}"),
                    format!("64:ff9b::{text}"),
                    six_to_four,
                ] {
                    assert_eq!(policy.allows(ip(&dressed)), allowed, "{dressed}");
                }
                assert!(AddressPolicy::allow_all().allows(ip(text)));
            }
        }
    }

    #[test]
    fn of_ipv6_only_what_is_given_out_is_public() {
        let policy = AddressPolicy::deny_private();
        for text in [
            "::",
            "::1",
            "::7f00:1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "ff02::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "3fff::1",
            "64:ff9b:1::1",
            "64:ff9b::7f00:1",
            "4000::1",
        ] {
            assert!(!policy.allows(ip(text)), "{text}");
        }
        for text in [
            "2606:4700::1111",
            "2a00:1450:4001:80b::200e",
            "2001:200::1",
            "3fff:1000::1",
        ] {
            assert!(policy.allows(ip(text)), "{text}");
        }
    }

    #[test]
    fn what_is_denied_by_name_stays_denied() {
        let list = |policy: AddressPolicy| {
            policy
                .deny("192.0.1.0/24")
                .and_then(|policy| policy.allow("192.0.1.9"))
        };
        for policy in [AddressPolicy::allow_all(), AddressPolicy::deny_private()] {
            let policy = list(policy).expect("networks");
            assert!(!policy.allows(ip("192.0.1.9")));
            assert!(!policy.allows(ip("::ffff:192.0.1.1")), "in another dress");
            assert!(policy.allows(ip("192.0.3.1")));
        }
        let mapped = AddressPolicy::allow_all()
            .deny("::ffff:192.0.1.0/120")
            .expect("a network");
        assert!(!mapped.allows(ip("192.0.1.77")), "a network in another dress");
        assert!(mapped.allows(ip("192.0.2.77")));
        let exception = AddressPolicy::deny_private()
            .allow("fd00:1::/32")
            .expect("a network");
        assert!(exception.allows(ip("fd00:1:2::3")));
        assert!(!exception.allows(ip("fd00:2::1")));
    }

    #[test]
    fn where_all_is_denied_only_the_list_is_allowed() {
        let policy = AddressPolicy::deny_all()
            .allow("192.0.2.0/24")
            .and_then(|policy| policy.allow("2001:db8::/32"))
            .expect("networks");
        for (address, allowed) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("2001:db8::1", true),
            ("192.0.3.1", false),
            ("2001:db9::1", false),
        ] {
            assert_eq!(policy.allows(ip(address)), allowed, "{address}");
        }
    }

    /// Whoever names NAT64 or 6to4 means that way, not all that it leads to.
    #[test]
    fn a_way_into_ipv4_is_not_ipv4() {
        let network = |text| AddressPolicy::allow_all().deny(text).expect("a network");
        for (text, address) in [
            ("64:ff9b::/96", "64:ff9b::101:101"),
            ("2002::/16", "2002:101:101::1"),
        ] {
            assert!(!network(text).allows(ip(address)), "{text}");
            assert!(network(text).allows(ip("1.1.1.1")), "{text}");
        }
        let exception = AddressPolicy::deny_private()
            .allow("64:ff9b::/96")
            .expect("a network");
        assert!(!exception.allows(ip("127.0.0.1")));
        assert!(!exception.allows(ip("64:ff9b::7f00:1")));
    }

    #[test]
    fn what_is_no_network_is_an_error() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "example.com",
            "::/129",
            "10.0.0.0/8/8",
        ] {
            assert!(AddressPolicy::allow_all().deny(text).is_err(), "{text}");
        }
    }
}
