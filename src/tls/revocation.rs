//! Which certificates have been called back by those who issued them.

use rustls::client::ServerCertVerifierBuilder;
use rustls::pki_types::CertificateRevocationListDer;

use crate::fault::planted;

/// Revocation lists, and what to make of them.
///
/// By default every certificate of the chain below its root is looked up, one that no list covers is refused, and the lists' own time is not
/// looked at: as [`rustls::client::WebPkiServerVerifier`] has it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Revocation {
    /// In one order, each once.
    lists: Vec<CertificateRevocationListDer<'static>>,
    end_entity_only: bool,
    allow_unknown: bool,
    enforce_expiry: bool,
}

impl Revocation {
    /// By these lists, in DER. Their order does not matter.
    pub fn new(lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>) -> Self {
        let mut lists: Vec<_> = lists.into_iter().collect();
        lists.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        lists.dedup();
        Revocation {
            lists,
            end_entity_only: false,
            allow_unknown: false,
            enforce_expiry: false,
        }
    }

    /// Looks up the server's own certificate alone, and none that stands between it and the root.
    pub fn end_entity_only(mut self) -> Self {
        self.end_entity_only = true;
        self
    }

    /// Accepts a certificate that no list covers.
    pub fn allow_unknown(mut self) -> Self {
        self.allow_unknown = true;
        self
    }

    /// Refuses where a list is past its own time (its `nextUpdate`).
    pub fn enforce_expiry(mut self) -> Self {
        self.enforce_expiry = true;
        self
    }

    /// Without lists nothing would be looked up, whatever else was said.
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    pub(super) fn apply(&self, mut builder: ServerCertVerifierBuilder) -> ServerCertVerifierBuilder {
        let Revocation {
            lists,
            end_entity_only,
            allow_unknown,
            enforce_expiry,
        } = self;
        builder = builder.with_crls(lists.iter().cloned());
        if *end_entity_only {
            builder = builder.only_check_end_entity_revocation();
        }
        if *allow_unknown {
            builder = builder.allow_unknown_revocation_status();
        }
        if *enforce_expiry {
            builder = builder.enforce_revocation_expiration();
        }
        builder
    }
}

/// Taken apart without `..`: what is added does not compile until it is compared, too.
impl PartialEq for Revocation {
    fn eq(&self, other: &Self) -> bool {
        let Revocation {
            lists,
            end_entity_only,
            allow_unknown,
            enforce_expiry,
        } = self;
        (*end_entity_only == other.end_entity_only || planted("revocation_depth_is_not_compared"))
            && (*allow_unknown == other.allow_unknown || planted("unknown_status_is_not_compared"))
            && (*enforce_expiry == other.enforce_expiry || planted("list_expiry_is_not_compared"))
            && (*lists == other.lists || planted("revocation_lists_are_not_compared"))
    }
}

impl Eq for Revocation {}
