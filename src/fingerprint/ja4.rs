//! JA4 of a TLS client: what does not change with the order of its lists.
//!
//! After FoxIO's published description of JA4 TLS Client Fingerprinting (`technical_details/JA4.md`), which is under the BSD 3-Clause license;
//! the other methods of the JA4+ family are not, and are not here. Only TLS over TCP is described, so every value begins with `t`.

use std::fmt;

use sha2::{Digest, Sha256};

use super::grease::plain;
use super::hello::{ClientHello, kind};

/// The JA4 of a hello.
///
/// `Display` gives the usual form with hashes, [`raw`](Self::raw) the lists themselves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ja4 {
    head: String,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    signatures: Vec<u16>,
}

impl Ja4 {
    /// JA4: cipher suites and extensions sorted, server_name and ALPN not among the extensions.
    pub fn of(hello: &ClientHello) -> Self {
        let mut ja4 = Self::original(hello);
        ja4.ciphers.sort_unstable();
        ja4.extensions.sort_unstable();
        // The head has both already.
        ja4.extensions
            .retain(|extension| ![kind::SERVER_NAME, kind::ALPN].contains(extension));
        ja4
    }

    /// JA4 in the original order (`JA4_o`, and raw `JA4_ro`): everything in the hello's order, server_name and ALPN among the
    /// extensions.
    pub fn original(hello: &ClientHello) -> Self {
        let ciphers = plain(hello.cipher_suites.iter().copied());
        let extensions = plain(hello.extension_kinds());
        let domain = if extensions.contains(&kind::SERVER_NAME) {
            'd'
        } else {
            'i'
        };
        let (first, last) = ends(hello.alpn_protocols().first().map_or(&[], Vec::as_slice));
        let head = format!(
            "t{}{domain}{:02}{:02}{first}{last}",
            version(hello),
            ciphers.len().min(99),
            extensions.len().min(99),
        );
        Ja4 {
            head,
            ciphers,
            extensions,
            signatures: plain(hello.signature_algorithms().iter().copied()),
        }
    }

    /// The lists instead of their hashes: `JA4_r`, or `JA4_ro` of an [`original`](Self::original).
    pub fn raw(&self) -> String {
        format!("{}_{}_{}", self.head, hex(&self.ciphers), self.extension_text())
    }

    fn extension_text(&self) -> String {
        let mut text = hex(&self.extensions);
        if !self.signatures.is_empty() {
            text.push('_');
            text.push_str(&hex(&self.signatures));
        }
        text
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_", self.head)?;
        write_hash(f, self.ciphers.is_empty(), &hex(&self.ciphers))?;
        f.write_str("_")?;
        write_hash(f, self.extensions.is_empty(), &self.extension_text())
    }
}

/// The highest version offered, or "00" for one that has no name.
fn version(hello: &ClientHello) -> &'static str {
    let highest = match hello.supported_versions() {
        Some(versions) => plain(versions.iter().copied()).into_iter().max(),
        None => Some(hello.legacy_version),
    };
    match highest {
        Some(0x0304) => "13",
        Some(0x0303) => "12",
        Some(0x0302) => "11",
        Some(0x0301) => "10",
        Some(0x0300) => "s3",
        Some(0x0002) => "s2",
        _ => "00",
    }
}

/// The first and the last character of a protocol's name, or of its hexadecimal form if either is no ASCII letter or digit.
fn ends(protocol: &[u8]) -> (char, char) {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else {
        return ('0', '0');
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(*first), char::from(*last));
    }
    (digit(first >> 4), digit(last & 0x0f))
}

/// The hexadecimal digit of a number below 16.
fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0')
}

/// The first twelve digits of the list's SHA-256, zeros for an empty list.
fn write_hash(f: &mut fmt::Formatter<'_>, is_empty: bool, text: &str) -> fmt::Result {
    if is_empty {
        return f.write_str("000000000000");
    }
    let digest = Sha256::digest(text);
    digest.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn hex(codes: &[u16]) -> String {
    let codes: Vec<String> = codes.iter().map(|code| format!("{code:04x}")).collect();
    codes.join(",")
}
