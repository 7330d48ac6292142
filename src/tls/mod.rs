//! TLS: which provider, whom to trust, what to offer, and what its errors mean.
//!
//! Stock rustls throughout. The process-wide default provider is neither read nor set.

mod connector;
mod error;
mod parts;
mod provider;
mod revocation;
mod setup;
#[cfg_attr(
    not(feature = "__internals"),
    expect(dead_code, unused_imports, reason = "complete, and not on offer yet")
)]
pub(crate) mod shape;
mod tickets;
mod trust;

pub(crate) use connector::Connector;
pub use connector::TlsInfo;
pub use revocation::Revocation;
pub use setup::{Tls, TlsBuilder};

/// An identity in use.
pub(crate) type Interned = crate::identity::Interned<Tls>;
/// The identities of one pool.
pub(crate) type Identities = crate::identity::Identities<Tls>;
