//! Where a connection goes: a canonical host and a port.
//!
//! Parsing happens once, at the door. What comes out is canonical: lower case, international names in their ASCII form
//! (UTS 46), one trailing dot stripped, IP literals in the one form that [`std::net::IpAddr`] prints. The same text then serves DNS, SNI,
//! certificate names and the pool's key, so that no two of them can disagree about who is meant.

mod host;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::ops::Deref;
use std::sync::Arc;

use host::{
    Host, canonical_name, canonical_v6, check_characters, check_scheme, interface_index, parse_port, split,
};

/// The port of a target that names none.
const DEFAULT_PORT: u16 = 443;

/// A canonical host and port, borrowed from the text it was parsed from where that was canonical already.
///
/// Made from `"host"`, `"host:port"`, an `https` URL or [`http::Uri`], an [`IpAddr`] or a [`SocketAddr`]:
///
/// ```
/// use hotpool::Target;
///
/// let target = Target::try_from("Bücher.Example.:8443")?;
/// assert_eq!(target.host(), "xn--bcher-kva.example");
/// assert_eq!(target.port(), 8443);
/// assert_eq!(Target::try_from("[2001:DB8::1]")?.to_string(), "[2001:db8::1]");
/// # Ok::<(), hotpool::TargetError>(())
/// ```
#[derive(Clone)]
pub struct Target<'a> {
    /// `host` or `host:port`: brackets around an IPv6 literal, no `:443`. All the rest follows from it.
    text: Text<'a>,
    /// Where the host ends in `text`, brackets aside.
    host_end: usize,
    port: u16,
    literal: Option<IpAddr>,
}

/// The text of a target. One of its own is shared by its clones, and by whoever is to know it for long.
#[derive(Clone)]
enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

/// Why a text names no target. Each variant is one kind of mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Nothing was given, or nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// The text holds a NUL byte.
    #[error("the host holds a NUL byte")]
    Nul,
    /// The text holds white space.
    #[error("the host holds white space")]
    Whitespace,
    /// A character that no host name may hold.
    #[error("the host holds the character {0:?}")]
    Character(char),
    /// Two dots in a row, or one in front.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// A label that begins or ends with a hyphen, which no certificate may name (RFC 1123 section 2.1).
    #[error("a label of the host begins or ends with a hyphen")]
    Hyphen,
    /// A label over 63 octets in its ASCII form.
    #[error("a label of the host has {0} octets, over the limit of 63")]
    LabelTooLong(usize),
    /// A name over 253 octets in its ASCII form.
    #[error("the host has {0} octets, over the limit of 253")]
    NameTooLong(usize),
    /// An international name that UTS 46 does not allow.
    #[error("the host is not a valid international name")]
    Idna,
    /// Ends in a number without being a dotted IPv4 address; some resolvers would read it as one.
    #[error("the host ends in a number but is no IPv4 address in dotted form")]
    Ipv4,
    /// Text in brackets, or with several colons, that is no IPv6 address.
    #[error("the host is no IPv6 address")]
    Ipv6,
    /// A zone on an address that is not link-local, or a zone of no legal form.
    #[error("the zone of the IPv6 address is not usable")]
    Zone,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A plain `http` URL: this pool speaks TLS only.
    #[error("the scheme is http, and only https is served")]
    PlainHttp,
    /// A URL with a scheme other than `https`, or with none.
    #[error("the scheme is not https")]
    Scheme,
    /// A URL with a user name before the host.
    #[error("the URL holds user information")]
    UserInfo,
    /// A URL that cannot be parsed.
    #[error("the URL is malformed")]
    Url,
}

impl<'a> Target<'a> {
    /// The canonical host: an ASCII name, or an IP literal without brackets (with its zone, if it has one).
    pub fn host(&self) -> &str {
        &self.text[usize::from(self.is_v6())..self.host_end]
    }

    /// The canonical text: `host` or `host:port`, with brackets around an IPv6 literal and without `:443`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, if the host is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        self.literal
    }

    /// The zone of a link-local IPv6 literal (RFC 4007 section 11), such as `eth0` or `2`.
    ///
    /// ```
    /// let target = hotpool::Target::try_from("[fe80::1%eth0]:8443")?;
    /// assert_eq!(target.zone(), Some("eth0"));
    /// # Ok::<(), hotpool::TargetError>(())
    /// ```
    pub fn zone(&self) -> Option<&str> {
        self.literal
            .and_then(|_| self.host().split_once('%'))
            .map(|(_, zone)| zone)
    }

    /// The same target with a text of its own.
    pub fn into_owned(self) -> Target<'static> {
        Target {
            text: Text::Shared(self.shared_text()),
            ..self
        }
    }

    /// Its text, for whoever is to know it for long: no copy of one that is its own.
    pub(crate) fn shared_text(&self) -> Arc<str> {
        match &self.text {
            Text::Borrowed(text) => Arc::from(*text),
            Text::Shared(text) => Arc::clone(text),
        }
    }

    fn is_v6(&self) -> bool {
        matches!(self.literal, Some(IpAddr::V6(_)))
    }

    /// Where to connect for this target at `ip`, with the index of the target's zone.
    ///
    /// # Errors
    /// [`std::io::Error`] if the zone names no interface of this machine.
    pub(crate) fn socket_addr(&self, ip: IpAddr) -> std::io::Result<SocketAddr> {
        match (ip, self.zone()) {
            (IpAddr::V6(v6), Some(zone)) => {
                Ok(SocketAddrV6::new(v6, self.port, 0, interface_index(zone)?).into())
            }
            _ => Ok(SocketAddr::new(ip, self.port)),
        }
    }

    fn parse(text: &'a str) -> Result<Self, TargetError> {
        check_characters(text)?;
        if let Some((scheme, _)) = text.split_once("://") {
            check_scheme(Some(scheme))?;
            let uri = text.parse::<http::Uri>().map_err(|_| TargetError::Url)?;
            return Target::from_uri(&uri).map(Target::into_owned);
        }
        Target::from_authority(text, false)
    }

    fn from_uri(uri: &'a http::Uri) -> Result<Self, TargetError> {
        check_scheme(uri.scheme_str())?;
        let authority = uri.authority().ok_or(TargetError::Empty)?.as_str();
        if authority.contains('@') {
            return Err(TargetError::UserInfo);
        }
        Target::from_authority(authority, true)
    }

    fn from_authority(text: &'a str, url: bool) -> Result<Self, TargetError> {
        let (host, port) = split(text)?;
        let port = port.map_or(Ok(DEFAULT_PORT), parse_port)?;
        let (host, literal) = match host {
            Host::V6(text) => canonical_v6(text, url)?,
            Host::Name(text) => canonical_name(text)?,
        };
        match host {
            // Canonical as it stands, as most are: nothing to write anew.
            Cow::Borrowed(host) if port == DEFAULT_PORT => Ok(Target {
                text: Text::Borrowed(host),
                host_end: host.len(),
                port,
                literal,
            }),
            host => {
                let mut target = Target::new(&host, port, literal);
                if *target.text == *text {
                    target.text = Text::Borrowed(text);
                }
                Ok(target)
            }
        }
    }

    fn new(host: &str, port: u16, literal: Option<IpAddr>) -> Self {
        let (open, close) = match literal {
            Some(IpAddr::V6(_)) => ("[", "]"),
            _ => ("", ""),
        };
        let text = match port {
            DEFAULT_PORT => format!("{open}{host}{close}"),
            port => format!("{open}{host}{close}:{port}"),
        };
        Target {
            text: Text::Shared(text.into()),
            host_end: open.len() + host.len(),
            port,
            literal,
        }
    }

    fn from_ip(ip: IpAddr, port: u16) -> Target<'static> {
        let ip = ip.to_canonical();
        Target::new(&ip.to_string(), port, Some(ip))
    }
}

/// By the canonical text, which says it all.
impl PartialEq for Target<'_> {
    fn eq(&self, other: &Self) -> bool {
        *self.text == *other.text
    }
}

impl Eq for Target<'_> {}

impl Hash for Target<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// `host` or `host:port`, with brackets around an IPv6 literal and without `:443`.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl<'a> TryFrom<&'a str> for Target<'a> {
    type Error = TargetError;

    fn try_from(text: &'a str) -> Result<Self, TargetError> {
        Target::parse(text)
    }
}

impl<'a> TryFrom<&'a String> for Target<'a> {
    type Error = TargetError;

    fn try_from(text: &'a String) -> Result<Self, TargetError> {
        Target::parse(text)
    }
}

impl TryFrom<String> for Target<'static> {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        Target::parse(&text).map(Target::into_owned)
    }
}

impl<'a> TryFrom<&'a http::Uri> for Target<'a> {
    type Error = TargetError;

    fn try_from(uri: &'a http::Uri) -> Result<Self, TargetError> {
        Target::from_uri(uri)
    }
}

impl<'a> From<&'a Target<'_>> for Target<'a> {
    fn from(target: &'a Target<'_>) -> Self {
        Target {
            text: Text::Borrowed(&target.text),
            ..*target
        }
    }
}

impl From<SocketAddr> for Target<'static> {
    /// The address and port; the scope id of a link-local address becomes its zone.
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V6(v6) if v6.scope_id() != 0 && v6.ip().is_unicast_link_local() => {
                let host = format!("{}%{}", v6.ip(), v6.scope_id());
                Target::new(&host, addr.port(), Some(addr.ip()))
            }
            _ => Target::from_ip(addr.ip(), addr.port()),
        }
    }
}

impl From<IpAddr> for Target<'static> {
    fn from(ip: IpAddr) -> Self {
        Target::from_ip(ip, DEFAULT_PORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Target::try_from(text)
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
            .to_string()
    }

    fn refused(text: &str) -> TargetError {
        Target::try_from(text).expect_err(text)
    }

    #[test]
    fn one_canonical_form() {
        for (text, canonical) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com", "example.com"),
            ("example.com.", "example.com"),
            ("example.com:443", "example.com"),
            ("example.com.:8443", "example.com:8443"),
            ("my_host.internal", "my_host.internal"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("XN--bcher-KVA.example", "xn--bcher-kva.example"),
            ("faß.de", "xn--fa-hia.de"),
            ("example\u{3002}com", "example.com"),
            ("example.com\u{3002}", "example.com"),
            ("１２７.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("::1", "[::1]"),
            ("[::1]:443", "[::1]"),
            ("[::1]:8443", "[::1]:8443"),
            ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
            ("fe80::1%eth0", "[fe80::1%eth0]"),
            ("[fe80::1%251]:8443", "[fe80::1%251]:8443"),
            ("[fe80::1%25]", "[fe80::1%25]"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:7f00:1]:8443", "127.0.0.1:8443"),
            ("https://example.com/path?query", "example.com"),
            ("HTTPS://EXAMPLE.com:8443", "example.com:8443"),
            ("https://[::1]:8443/", "[::1]:8443"),
        ] {
            assert_eq!(parsed(text), canonical, "{text:?}");
            assert_eq!(
                parsed(&parsed(text)),
                canonical,
                "canonical text must parse to itself"
            );
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let long_label = "a".repeat(64);
        let long_name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(62));
        for (text, error) in [
            ("", TargetError::Empty),
            (":443", TargetError::Empty),
            (".", TargetError::Empty),
            ("a\0b", TargetError::Nul),
            ("a b", TargetError::Whitespace),
            ("a\u{3000}b", TargetError::Whitespace),
            ("a/b", TargetError::Character('/')),
            ("user@host", TargetError::Character('@')),
            ("a%41", TargetError::Character('%')),
            ("a..b", TargetError::EmptyLabel),
            (".a", TargetError::EmptyLabel),
            ("a..", TargetError::EmptyLabel),
            ("a\u{3002}.", TargetError::EmptyLabel),
            ("a.\u{3002}", TargetError::EmptyLabel),
            ("-a.test", TargetError::Hyphen),
            ("a-.test", TargetError::Hyphen),
            (long_label.as_str(), TargetError::LabelTooLong(64)),
            (long_name.as_str(), TargetError::NameTooLong(254)),
            ("xn--a", TargetError::Idna),
            ("127.1", TargetError::Ipv4),
            ("2130706433", TargetError::Ipv4),
            ("0x7f.0.0.0x1", TargetError::Ipv4),
            ("127.0.0.01", TargetError::Ipv4),
            ("256.0.0.1", TargetError::Ipv4),
            ("[::1", TargetError::Ipv6),
            ("[::1]x", TargetError::Ipv6),
            ("[127.0.0.1]", TargetError::Ipv6),
            ("::g", TargetError::Ipv6),
            ("::1%lo", TargetError::Zone),
            ("fe80::1%", TargetError::Zone),
            ("fe80::1%a/b", TargetError::Zone),
            ("host:", TargetError::Port),
            ("host:0", TargetError::Port),
            ("host:65536", TargetError::Port),
            ("host:+443", TargetError::Port),
            ("host:https", TargetError::Port),
            ("http://example.com", TargetError::PlainHttp),
            ("ftp://example.com", TargetError::Scheme),
            ("https://user@example.com", TargetError::UserInfo),
            ("https://", TargetError::Url),
        ] {
            assert_eq!(refused(text), error, "{text:?}");
        }
    }

    #[test]
    fn a_uri_without_scheme_or_host_is_refused() {
        assert_eq!(
            Target::try_from(&http::Uri::from_static("/path")),
            Err(TargetError::Scheme)
        );
        assert_eq!(
            Target::try_from(&http::Uri::from_static("example.com")),
            Err(TargetError::Scheme)
        );
        assert_eq!(
            Target::try_from(&http::Uri::from_static("http://a.test/")),
            Err(TargetError::PlainHttp)
        );
    }

    #[test]
    fn canonical_text_is_borrowed() {
        let target = Target::try_from("example.com:8443").expect("canonical");
        assert!(matches!(target.text, Text::Borrowed("example.com:8443")));
        assert_eq!(target.host(), "example.com");
        let target = Target::try_from("example.com:443").expect("canonical but for the port");
        assert!(matches!(target.text, Text::Borrowed("example.com")));
        let target = Target::try_from("[::1]:8443").expect("canonical");
        assert!(matches!(target.text, Text::Borrowed("[::1]:8443")));
        assert_eq!(target.host(), "::1");
    }

    #[test]
    fn a_zone_becomes_a_scope_id() {
        let target = Target::try_from("[fe80::1%7]:443").expect("numeric zone");
        let ip = target.ip().expect("literal");
        assert!(matches!(target.socket_addr(ip), Ok(SocketAddr::V6(addr)) if addr.scope_id() == 7));
        let target = Target::try_from("fe80::1%lo").expect("named zone");
        assert!(matches!(target.socket_addr(ip), Ok(SocketAddr::V6(addr)) if addr.scope_id() == 1));
        let target = Target::try_from("fe80::1%no-such-link").expect("well formed");
        assert!(target.socket_addr(ip).is_err());
        let wide = Target::from(SocketAddr::V6(SocketAddrV6::new(
            "fd00::1".parse().expect("ip"),
            443,
            0,
            7,
        )));
        assert_eq!(
            wide.to_string(),
            "[fd00::1]",
            "only a link-local address has a zone"
        );
        let long = Target::from(SocketAddr::V6(SocketAddrV6::new(
            "fe80::1".parse().expect("ip"),
            443,
            0,
            251,
        )));
        assert_eq!(Target::try_from(long.to_string().as_str()), Ok(long.clone()));
        let back = Target::from(SocketAddr::V6(SocketAddrV6::new(
            "fe80::1".parse().expect("ip"),
            443,
            0,
            7,
        )));
        assert_eq!(back.to_string(), "[fe80::1%7]");
    }
}
