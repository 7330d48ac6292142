//! HTTP stacks over the public API, each behind a feature.

#[cfg(feature = "client")]
pub(crate) mod client;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tower")]
pub mod tower;
