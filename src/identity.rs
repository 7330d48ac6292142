//! What must be equal, beside host and port, before one caller may ride on another's connection.

use crate::event::Protocol;

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
    /// The protocols to offer, the preferred one first.
    pub const fn offers(self) -> &'static [Protocol] {
        match self {
            Require::Any => &[Protocol::Http2, Protocol::Http1],
            Require::Http1 => &[Protocol::Http1],
            Require::Http2 => &[Protocol::Http2],
        }
    }
}

/// An identity's number within one pool: equal numbers, equal identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(feature = "__internals"),
    expect(unreachable_pub, reason = "one of the machine's words")
)]
pub struct IdentityId(pub u32);
