//! TLS: which provider, whom to trust, what to offer, and what its errors mean.
//!
//! Stock rustls throughout. The process-wide default provider is neither read nor set.

mod connector;
mod error;
mod parts;
mod provider;
mod trust;

pub(crate) use connector::Connector;
pub use connector::TlsInfo;
pub(crate) use parts::TlsParts;
