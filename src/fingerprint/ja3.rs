//! JA3: a client's hello in one line of decimal numbers, and its MD5.
//!
//! After the description that John Althouse, Jeff Atkinson and Josh Atkins published with it (2017): version, cipher suites, extensions, groups
//! and point formats, GREASE left out.

use std::fmt;

use md5::{Digest, Md5};

use super::HelloPrints;
use super::hello::ClientHello;

/// The JA3 of a hello.
///
/// [`text`](Self::text) is the line, `Display` its MD5 in 32 hexadecimal digits, which is what is commonly called a JA3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ja3 {
    text: String,
}

impl Ja3 {
    /// The JA3, with the extensions in the order of the hello.
    pub fn of(hello: &ClientHello) -> Self {
        HelloPrints::of(hello).ja3()
    }

    /// The JA3 with the extensions sorted by number, which stays the same for clients that draw their order anew for each connection.
    pub fn sorted(hello: &ClientHello) -> Self {
        HelloPrints::of(hello).ja3_sorted()
    }

    /// `version,ciphers,extensions,groups,formats` in decimal numbers, lists joined by hyphens.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn from_prints(prints: &HelloPrints, extensions: &[u16]) -> Self {
        let version = [prints.legacy_version()];
        let lists = [
            &version,
            prints.ciphers(),
            extensions,
            prints.groups(),
            prints.formats(),
        ];
        Ja3 {
            text: lists.map(joined).join(","),
        }
    }
}

impl fmt::Display for Ja3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = Md5::digest(&self.text);
        digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn joined(numbers: &[u16]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
    numbers.join("-")
}
