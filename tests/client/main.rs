//! The client over real sockets and real TLS: one module for each promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test has tasks and deadlines of its own, beside the pool's"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../pool/common.rs"]
#[expect(dead_code, reason = "this binary uses a part of what stands there")]
mod common;

mod ask;
mod exchanges;
mod heads;
mod retries;
mod servers;
mod soak;
mod tagged;
mod upgrades;
