//! JA4 of a TLS client: what does not change with the order of its lists.
//!
//! After FoxIO's published description of JA4 TLS Client Fingerprinting (`technical_details/JA4.md`), which is under the BSD 3-Clause license;
//! the other methods of the JA4+ family are not, and are not here. Only TLS over TCP is described, so every value begins with `t`.

use std::fmt;

use sha2::{Digest, Sha256};

use super::HelloPrints;
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
        HelloPrints::of(hello).ja4()
    }

    /// JA4 in the original order (`JA4_o`, and raw `JA4_ro`): everything in the hello's order, server_name and ALPN among the
    /// extensions.
    pub fn original(hello: &ClientHello) -> Self {
        HelloPrints::of(hello).ja4_original()
    }

    pub(super) fn from_prints(prints: &HelloPrints) -> Self {
        let domain = if prints.names_a_server() { 'd' } else { 'i' };
        let [first, last] = prints.alpn();
        let head = format!(
            "t{}{domain}{:02}{:02}{first}{last}",
            version(prints.version()),
            prints.ciphers().len().min(99),
            prints.extensions().len().min(99),
        );
        Ja4 {
            head,
            ciphers: prints.ciphers().to_vec(),
            extensions: prints.extensions().to_vec(),
            signatures: prints.signatures().to_vec(),
        }
    }

    pub(super) fn sorted(mut self) -> Self {
        self.ciphers.sort_unstable();
        self.extensions.sort_unstable();
        // The head has both already.
        self.extensions
            .retain(|extension| ![kind::SERVER_NAME, kind::ALPN].contains(extension));
        self
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

/// A version as JA4 writes it, "00" for one that has no name.
fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
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
