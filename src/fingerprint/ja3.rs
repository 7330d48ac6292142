//! JA3: a client's hello in one line of decimal numbers, and its MD5.
//!
//! After the description that John Althouse, Jeff Atkinson and Josh Atkins published with it (2017): version, cipher suites, extensions, groups
//! and point formats, GREASE left out.

use std::fmt;

use md5::{Digest, Md5};

use super::grease::plain;
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
        Self::with_extensions(hello, plain(hello.extension_kinds()))
    }

    /// The JA3 with the extensions sorted by number, which stays the same for clients that draw their order anew for each connection.
    pub fn sorted(hello: &ClientHello) -> Self {
        let mut extensions = plain(hello.extension_kinds());
        extensions.sort_unstable();
        Self::with_extensions(hello, extensions)
    }

    /// `version,ciphers,extensions,groups,formats` in decimal numbers, lists joined by hyphens.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn with_extensions(hello: &ClientHello, extensions: Vec<u16>) -> Self {
        let fields = [
            hello.legacy_version.to_string(),
            joined(plain(hello.cipher_suites.iter().copied())),
            joined(extensions),
            joined(plain(hello.supported_groups().iter().copied())),
            joined(hello.ec_point_formats()),
        ];
        Ja3 {
            text: fields.join(","),
        }
    }
}

impl fmt::Display for Ja3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = Md5::digest(&self.text);
        digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn joined<T: ToString>(numbers: impl IntoIterator<Item = T>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    numbers.join("-")
}
