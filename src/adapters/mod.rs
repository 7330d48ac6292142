//! HTTP stacks over the public API, each behind a feature.

#[cfg(feature = "client")]
pub(crate) mod client;
