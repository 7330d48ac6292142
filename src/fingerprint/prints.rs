//! What fingerprints are made of, and no more: what a connection keeps of its hello.

use super::grease::is_grease;
use super::hello::{ClientHello, Outline, kind};
use super::{Ja3, Ja4};

/// What others make of a hello: its fingerprints, computed when they are asked for.
///
/// Some 150 bytes, whatever the hello: the numbers that a fingerprint counts, GREASE left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HelloPrints {
    legacy_version: u16,
    /// The highest version offered.
    version: u16,
    /// The first and the last character of the first ALPN protocol, as JA4 writes them.
    alpn: [u8; 2],
    /// One list after the other, in the order of the hello.
    numbers: Box<[u16]>,
    /// Where each list ends.
    ends: [u32; LISTS],
}

/// Cipher suites, extensions, groups, point formats, signature schemes.
const LISTS: usize = 5;

impl HelloPrints {
    /// Those of a hello.
    pub fn of(hello: &ClientHello) -> Self {
        HelloPrints::from_lists(
            hello.legacy_version,
            [
                &mut hello.cipher_suites.iter().copied(),
                &mut hello.extension_kinds(),
                &mut hello.supported_groups().iter().copied(),
                &mut hello.ec_point_formats().iter().copied().map(u16::from),
                &mut hello.signature_algorithms().iter().copied(),
            ],
            hello
                .supported_versions()
                .map(|versions| versions.iter().copied()),
            hello.alpn_protocols().first().map_or(&[], Vec::as_slice),
        )
    }

    /// Those of a hello that stands there as a handshake message.
    pub(crate) fn of_outline(hello: Outline<'_>) -> Self {
        HelloPrints::from_lists(
            hello.legacy_version(),
            [
                &mut hello.cipher_suites(),
                &mut hello.extensions().map(|(kind, _)| kind),
                &mut hello.codes16(kind::SUPPORTED_GROUPS),
                &mut hello.point_formats().iter().copied().map(u16::from),
                &mut hello.codes16(kind::SIGNATURE_ALGORITHMS),
            ],
            hello.versions(),
            hello.protocols(kind::ALPN).next().unwrap_or_default(),
        )
    }

    fn from_lists(
        legacy_version: u16,
        lists: [&mut dyn Iterator<Item = u16>; LISTS],
        versions: Option<impl Iterator<Item = u16>>,
        protocol: &[u8],
    ) -> Self {
        let mut numbers = Vec::with_capacity(64);
        let mut ends = [0; LISTS];
        for (codes, end) in lists.into_iter().zip(&mut ends) {
            numbers.extend(codes.filter(|code| !is_grease(*code)));
            *end = numbers.len() as u32;
        }
        let version = match versions {
            Some(versions) => versions.filter(|code| !is_grease(*code)).max().unwrap_or(0),
            None => legacy_version,
        };
        HelloPrints {
            legacy_version,
            version,
            alpn: ends_of(protocol),
            numbers: numbers.into_boxed_slice(),
            ends,
        }
    }

    /// JA3, with the extensions as they stood.
    pub fn ja3(&self) -> Ja3 {
        Ja3::from_prints(self, self.extensions())
    }

    /// JA3 with the extensions sorted by number, which stays the same for clients that draw their order anew for each connection.
    pub fn ja3_sorted(&self) -> Ja3 {
        let mut extensions = self.extensions().to_vec();
        extensions.sort_unstable();
        Ja3::from_prints(self, &extensions)
    }

    /// JA4; its [`raw`](Ja4::raw) form is JA4_r.
    pub fn ja4(&self) -> Ja4 {
        Ja4::from_prints(self).sorted()
    }

    /// JA4 in the original order (JA4_o, and raw JA4_ro).
    pub fn ja4_original(&self) -> Ja4 {
        Ja4::from_prints(self)
    }

    pub(super) fn legacy_version(&self) -> u16 {
        self.legacy_version
    }

    pub(super) fn version(&self) -> u16 {
        self.version
    }

    pub(super) fn alpn(&self) -> [char; 2] {
        self.alpn.map(char::from)
    }

    pub(super) fn ciphers(&self) -> &[u16] {
        self.list(0)
    }

    pub(super) fn extensions(&self) -> &[u16] {
        self.list(1)
    }

    pub(super) fn groups(&self) -> &[u16] {
        self.list(2)
    }

    pub(super) fn formats(&self) -> &[u16] {
        self.list(3)
    }

    pub(super) fn signatures(&self) -> &[u16] {
        self.list(4)
    }

    pub(super) fn names_a_server(&self) -> bool {
        self.extensions().contains(&kind::SERVER_NAME)
    }

    fn list(&self, which: usize) -> &[u16] {
        let end = |list: usize| self.ends.get(list).map_or(0, |&end| end as usize);
        let start = which.checked_sub(1).map_or(0, end);
        self.numbers.get(start..end(which)).unwrap_or_default()
    }
}

/// The first and the last character of a protocol's name, or of its hexadecimal form if either is no ASCII letter or digit.
fn ends_of(protocol: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else {
        return *b"00";
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last];
    }
    [digit(first >> 4), digit(last & 0x0f)]
}

/// The hexadecimal digit of a number below 16.
fn digit(nibble: u8) -> u8 {
    char::from_digit(nibble.into(), 16).map_or(b'0', |digit| digit as u8)
}
