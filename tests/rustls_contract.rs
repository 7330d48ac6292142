//! What shaping relies on inside rustls, stated one by one: an upgrade that changes any of it fails here first.
//!
//! rustls is not asked for a ClientHello of the caller's making, which it does not offer, but is fed a transcript that holds another one
//! than it wrote. That works because of *when* it calls its cryptography provider, and with what. Nothing of that is promised by its
//! documentation, so its minor version is pinned in `Cargo.toml`, and the order of calls stands here as it was observed in 0.23.46. Nothing here uses
//! the crate under test.
#![cfg(feature = "aws-lc-rs")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "contract/log.rs"]
mod log;
#[path = "contract/order.rs"]
mod order;
#[path = "contract/parts.rs"]
mod parts;
#[path = "contract/run.rs"]
mod run;
#[path = "support/mod.rs"]
mod support;
