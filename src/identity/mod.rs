//! What must be equal, beside host and port, before one caller may ride on another's connection.
//!
//! | part of the key | where it stands |
//! |---|---|
//! | host, port | the origin ([`Target`](crate::Target)), which has connections of its own |
//! | ALPN | [`Identity::require`] |
//! | roots, extra verifier, client certificate (chain and key), revocation policy, provider, resumption, profile (the hello and HTTP/2), or a whole configuration | [`Identity::tls`] |
//! | epoch of the pool's own TLS setup | [`Identity::epoch`] |
//! | the caller's partition | [`Identity::partition`] |
//! | source policy: whose addresses, and whether they are required | [`Identity::sources`] |
//! | login at the proxy | [`Identity::login`] |
//! | dialer: whose byte streams | [`Identity::dial`] |
//! | proxy | a pool has one at the most, for its whole life |
//!
//! Keys are compared whole. An [`IdentityId`] stands for one of them only because [`Identities`] compared them whole before it
//! gave the number.

mod registry;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub(crate) use self::registry::{Identities, Interned};
use crate::dialer::DialedBy;
use crate::event::Protocol;
use crate::fault::planted;
use crate::proxy::ProxyLogin;
use crate::source::SourcePolicy;

/// Which protocols a connection offers by ALPN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Require {
    /// Offer both and take what the peer chooses.
    #[default]
    Any,
    /// Offer `http/1.1` alone.
    Http1,
    /// Offer `h2` alone; a peer that does not choose it is an error.
    Http2,
}

impl Require {
    /// All of them, in the order of their declaration.
    const ALL: [Require; 3] = [Require::Any, Require::Http1, Require::Http2];

    /// The protocols to offer, the preferred one first.
    pub const fn offers(self) -> &'static [Protocol] {
        match self {
            Require::Any => &[Protocol::Http2, Protocol::Http1],
            Require::Http1 => &[Protocol::Http1],
            Require::Http2 => &[Protocol::Http2],
        }
    }
}

/// An identity's number within one pool: equal numbers, equal identities. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(any(test, feature = "__internals")),
    expect(unreachable_pub, reason = "one of the machine's words")
)]
pub struct IdentityId(pub u64);

/// Who hears what an address says of us, or fails there: whoever asks it again has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hearer {
    pub(crate) identity: IdentityId,
    /// Whether the pool itself goes out so: see [`Interned::own`].
    pub(crate) own: bool,
}

/// A text that keeps one user's connections from another's. Its meaning is the caller's alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Partition(Arc<str>);

/// How many characters of a partition a log shows: it may name a person, or be a token.
const SHOWN: usize = 8;

impl Partition {
    pub(crate) fn new(text: Arc<str>) -> Self {
        Partition(text)
    }
}

/// Its beginning, escaped.
impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.chars();
        let head: String = shown.by_ref().take(SHOWN).collect();
        let more = if shown.next().is_some() { "…" } else { "" };
        write!(f, "{head:?}{more}")
    }
}

/// What a call brings of its own; what is none is the pool's.
#[derive(Clone, Debug)]
pub(crate) struct Brought<T> {
    pub(crate) partition: Option<Partition>,
    pub(crate) tls: Option<T>,
    /// Some without any: what the system chooses.
    pub(crate) sources: Option<Option<SourcePolicy>>,
    /// Some without any: nobody in particular.
    pub(crate) login: Option<Option<ProxyLogin>>,
    /// Some without any: the pool's own TCP.
    pub(crate) dial: Option<Option<DialedBy>>,
}

/// What a pool has of its own beside its TLS setup, for calls that bring nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) sources: Option<SourcePolicy>,
    pub(crate) login: Option<ProxyLogin>,
    pub(crate) dial: Option<DialedBy>,
}

impl<T> Default for Brought<T> {
    fn default() -> Self {
        Brought {
            partition: None,
            tls: None,
            sources: None,
            login: None,
            dial: None,
        }
    }
}

/// The whole key. `T` is the TLS setup, of which the ground knows only that it can be compared.
#[derive(Debug)]
pub(crate) struct Identity<T> {
    pub(crate) require: Require,
    pub(crate) partition: Option<Partition>,
    pub(crate) tls: T,
    /// Which of the setups that the pool has had in turn `tls` is; none if the caller brought it. So a setup that was replaced is never
    /// mistaken for its successor, even an equal one.
    pub(crate) epoch: Option<u64>,
    /// None: the system chooses where a connection comes from.
    pub(crate) sources: Option<SourcePolicy>,
    /// Who it is at the proxy.
    pub(crate) login: Option<ProxyLogin>,
    /// Whose byte streams its connections go over; none: the pool's own TCP.
    pub(crate) dial: Option<DialedBy>,
}

/// Taken apart without `..`: a part that is added does not compile until it is compared, too.
impl<T: PartialEq> PartialEq for Identity<T> {
    fn eq(&self, other: &Self) -> bool {
        let Identity {
            require,
            partition,
            tls,
            epoch,
            sources,
            login,
            dial,
        } = self;
        (*require == other.require || planted("alpn_is_not_compared"))
            && (*partition == other.partition || planted("partition_is_not_compared"))
            && (*epoch == other.epoch || planted("epoch_is_not_compared"))
            && (*sources == other.sources || planted("sources_are_not_compared"))
            && (*login == other.login || planted("logins_are_not_compared"))
            && (*dial == other.dial || planted("dialers_are_not_compared"))
            && *tls == other.tls
    }
}

impl<T: Eq> Eq for Identity<T> {}

/// Only what callers have many of: the rest is told apart by comparing.
impl<T: Hash> Hash for Identity<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if !planted("partition_is_not_compared") {
            self.partition.hash(state);
        }
        if !planted("logins_are_not_compared") {
            self.login.hash(state);
        }
        if !planted("dialers_are_not_compared") {
            self.dial.hash(state);
        }
        self.tls.hash(state);
    }
}

#[cfg(test)]
mod tests;
