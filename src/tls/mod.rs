//! TLS: which provider, whom to trust, what to offer, and what its errors mean.
//!
//! Stock rustls throughout. The process-wide default provider is neither read nor set.

mod connector;
mod error;
mod parts;
mod provider;
mod revocation;
mod setup;
pub(crate) mod shape;
mod tickets;
mod trust;

pub use connector::TlsInfo;
pub(crate) use connector::{Connector, Dress};
pub(crate) use error::{Panicked, failure_of};
pub use revocation::Revocation;
pub use setup::{Tls, TlsBuilder};
pub use shape::OnShapeRejected;
pub(crate) use shape::Shaped;
#[cfg(feature = "__internals")]
pub(crate) use tickets::{Room, Tickets};

/// An identity in use.
pub(crate) type Interned = crate::identity::Interned<Tls>;
/// The identities of one pool.
pub(crate) type Identities = crate::identity::Identities<Tls>;
