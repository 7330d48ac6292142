//! What the server was offered, as far as its answers are judged by it.

use crate::fingerprint::{Outline, kind};

/// The longest content of a record, in octets, and the length of its header.
const FULL: usize = 1 << 14;
const HEADER: usize = 5;

/// What a shaped hello offers.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    hello: Outline<'a>,
    /// A ticket of TLS 1.2 was asked for, and not by rustls: it would take one for an error.
    pub(super) hides_ticket: bool,
    /// The longest content of a record that rustls sends, in octets.
    pub(super) longest: usize,
}

impl<'a> Offer<'a> {
    /// What `hello` offers, where rustls asked for a ticket of TLS 1.2 or did not, and its records are at most this long, with their headers.
    pub(super) fn of(hello: Outline<'a>, asks_ticket: bool, record_size: Option<usize>) -> Self {
        Offer {
            hello,
            hides_ticket: !asks_ticket && asks_ticket_of(hello),
            longest: record_size.map_or(FULL, |size| size.saturating_sub(HEADER)),
        }
    }

    /// Whether an extension of this type was sent.
    pub(super) fn has(self, kind: u16) -> bool {
        self.hello.extension(kind).is_some()
    }

    pub(super) fn suite(self, code: u16) -> bool {
        self.hello.cipher_suites().any(|one| one == code)
    }

    pub(super) fn version(self, code: u16) -> bool {
        self.hello
            .versions()
            .is_some_and(|mut versions| versions.any(|one| one == code))
    }

    pub(super) fn group(self, code: u16) -> bool {
        self.hello.codes16(kind::SUPPORTED_GROUPS).any(|one| one == code)
    }

    pub(super) fn scheme(self, code: u16) -> bool {
        self.hello
            .codes16(kind::SIGNATURE_ALGORITHMS)
            .any(|one| one == code)
    }

    /// Whether a share of this group went out.
    pub(super) fn share(self, group: u16) -> bool {
        self.hello.key_shares().any(|(one, _)| one == group)
    }

    /// Whether this protocol was offered.
    pub(super) fn protocol(self, protocol: &[u8]) -> bool {
        self.hello.protocols(kind::ALPN).any(|one| one == protocol)
    }

    /// Whether settings are exchanged for this protocol.
    pub(super) fn settings(self, protocol: &[u8]) -> bool {
        self.hello
            .protocols(kind::APPLICATION_SETTINGS)
            .any(|one| one == protocol)
    }
}

/// Whether a hello asks for a ticket of TLS 1.2.
pub(super) fn asks_ticket_of(hello: Outline<'_>) -> bool {
    hello.extension(kind::SESSION_TICKET).is_some()
}
