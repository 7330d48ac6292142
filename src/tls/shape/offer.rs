//! What the server was offered, as far as its answers are judged by it.

use std::collections::BTreeSet;

use crate::fingerprint::{ClientHello, Extension, kind};

/// The longest content of a record, in octets, and the length of its header.
const FULL: usize = 1 << 14;
const HEADER: usize = 5;

/// What a shaped hello offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer {
    extensions: BTreeSet<u16>,
    pub(super) suites: Vec<u16>,
    pub(super) versions: Vec<u16>,
    pub(super) groups: Vec<u16>,
    /// The groups of the shares that went out.
    pub(super) shares: Vec<u16>,
    /// Protocols for which settings are exchanged.
    pub(super) settings: Vec<Vec<u8>>,
    /// A ticket of TLS 1.2 was asked for, and not by rustls: it would take one for an error.
    pub(super) hides_ticket: bool,
    /// The longest content of a record that rustls sends, in octets.
    pub(super) longest: usize,
}

impl Offer {
    /// What `hello` offers, which stands for `native`.
    pub(super) fn of(hello: &ClientHello, native: &ClientHello, record_size: Option<usize>) -> Self {
        let asks = |hello: &ClientHello| hello.extension(kind::SESSION_TICKET).is_some();
        Offer {
            extensions: hello.extension_kinds().collect(),
            suites: hello.cipher_suites.clone(),
            versions: hello.supported_versions().unwrap_or_default().to_vec(),
            groups: hello.supported_groups().to_vec(),
            shares: hello.key_shares().iter().map(|share| share.group).collect(),
            settings: match hello.extension(kind::APPLICATION_SETTINGS) {
                Some(Extension::ApplicationSettings(protocols)) => protocols.clone(),
                _ => Vec::new(),
            },
            longest: record_size.map_or(FULL, |size| size.saturating_sub(HEADER)),
            hides_ticket: asks(hello) && !asks(native),
        }
    }

    /// Whether an extension of this type was sent.
    pub(super) fn has(&self, kind: u16) -> bool {
        self.extensions.contains(&kind)
    }
}
