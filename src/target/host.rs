//! What a text says of a host and a port, in canonical form.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::TargetError;
use crate::fault::planted;

/// The longest name DNS can carry, without its trailing dot (RFC 1035 section 3.1 allows 255 octets on the wire).
const MAX_NAME: usize = 253;
/// The longest label DNS can carry (RFC 1035 section 3.1).
const MAX_LABEL: usize = 63;

pub(super) enum Host<'a> {
    Name(&'a str),
    V6(&'a str),
}

pub(super) fn check_characters(text: &str) -> Result<(), TargetError> {
    if text.is_empty() {
        return Err(TargetError::Empty);
    }
    for character in text.chars() {
        match character {
            '\0' => return Err(TargetError::Nul),
            _ if character.is_whitespace() => return Err(TargetError::Whitespace),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn check_scheme(scheme: Option<&str>) -> Result<(), TargetError> {
    match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Ok(()),
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => Err(TargetError::PlainHttp),
        _ => Err(TargetError::Scheme),
    }
}

/// Splits host from port; the port is what follows the one colon, or the colon behind the closing bracket.
pub(super) fn split(text: &str) -> Result<(Host<'_>, Option<&str>), TargetError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (literal, rest) = rest.split_once(']').ok_or(TargetError::Ipv6)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((Host::V6(literal), Some(port))),
            None if rest.is_empty() => Ok((Host::V6(literal), None)),
            None => Err(TargetError::Ipv6),
        };
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok((Host::V6(text), None)),
        Some((host, port)) => Ok((Host::Name(host), Some(port))),
        None => Ok((Host::Name(text), None)),
    }
}

pub(super) fn parse_port(text: &str) -> Result<u16, TargetError> {
    // `u16::from_str` takes a leading plus sign, which no authority may have (RFC 3986 section 3.2.3).
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TargetError::Port);
    }
    text.parse()
        .ok()
        .filter(|&port| port != 0)
        .ok_or(TargetError::Port)
}

pub(super) type Canonical<'a> = (Cow<'a, str>, Option<IpAddr>);

pub(super) fn canonical_v6(text: &str, url: bool) -> Result<Canonical<'_>, TargetError> {
    let (address, zone) = match text.split_once('%') {
        // In a URL the percent sign is itself escaped (RFC 6874).
        Some((address, zone)) if url => (address, Some(zone.strip_prefix("25").ok_or(TargetError::Zone)?)),
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let ip: Ipv6Addr = address.parse().map_err(|_| TargetError::Ipv6)?;
    let Some(zone) = zone else {
        // An IPv4 address that is mapped into IPv6 is that IPv4 address: one peer, one name.
        let ip = IpAddr::V6(ip).to_canonical();
        return Ok((Cow::Owned(ip.to_string()), Some(ip)));
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@');
    if zone.is_empty() || !zone.bytes().all(legal) || !ip.is_unicast_link_local() {
        return Err(TargetError::Zone);
    }
    Ok((Cow::Owned(format!("{ip}%{zone}")), Some(IpAddr::V6(ip))))
}

pub(super) fn canonical_name(text: &str) -> Result<Canonical<'_>, TargetError> {
    // Mapping knows four full stops; whichever it is, one may stand at the end.
    let text = text
        .strip_suffix(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'])
        .filter(|_| !planted("a_last_dot_makes_another_host"))
        .unwrap_or(text);
    if text.is_empty() {
        return Err(TargetError::Empty);
    }
    let name = if is_plain(text) {
        Cow::Borrowed(text)
    } else {
        to_ascii(text)?
    };
    check_name(&name)?;
    match ends_in_number(&name) {
        false => Ok((name, None)),
        true => {
            let ip: Ipv4Addr = name.parse().map_err(|_| TargetError::Ipv4)?;
            Ok((name, Some(IpAddr::V4(ip))))
        }
    }
}

/// Whether the text is in canonical form already: lower-case letters, digits, dots, dashes and underscores, no punycode.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    text.bytes().all(plain) && !text.split('.').any(|label| label.starts_with("xn--"))
}

fn to_ascii(text: &str) -> Result<Cow<'_, str>, TargetError> {
    let legal = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(wrong) = text.chars().find(|&c| !legal(c)) {
        return Err(TargetError::Character(wrong));
    }
    let name = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL)
        .map_err(|_| TargetError::Idna)?;
    // Mapping may turn a character into something else than a name's: an ideographic space, say.
    match name.chars().find(|&c| !legal(c)) {
        Some(wrong) => Err(TargetError::Character(wrong)),
        None => Ok(name),
    }
}

fn check_name(name: &str) -> Result<(), TargetError> {
    for label in name.split('.') {
        match label.len() {
            0 => return Err(TargetError::EmptyLabel),
            _ if label.starts_with('-') || label.ends_with('-') => return Err(TargetError::Hyphen),
            1..=MAX_LABEL => {}
            length => return Err(TargetError::LabelTooLong(length)),
        }
    }
    match name.len() {
        0..=MAX_NAME => Ok(()),
        length => Err(TargetError::NameTooLong(length)),
    }
}

/// Whether the last label is a number, decimal or hexadecimal: the "ends in a number" rule of the WHATWG URL Standard. What passes
/// it must be a dotted IPv4 address, lest another parser read `127.1` as one.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn interface_index(zone: &str) -> std::io::Result<u32> {
    if let Ok(index) = zone.parse() {
        return Ok(index);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )?;
        Ok(rustix::net::netdevice::name_to_index(&socket, zone)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    Err(std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "only a numeric zone is supported on this platform",
    ))
}
