//! What the server was offered, as far as its answers are judged by it.

use std::collections::BTreeSet;

use crate::fingerprint::{ClientHello, Extension, kind};

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
}

impl Offer {
    pub(super) fn of(hello: &ClientHello) -> Self {
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
        }
    }

    /// Whether an extension of this type was sent.
    pub(super) fn has(&self, kind: u16) -> bool {
        self.extensions.contains(&kind)
    }
}
