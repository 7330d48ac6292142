//! The tools that users are given: the compiled examples, run as they would run them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

// The probe's own modules, for what cannot be shown from outside.
#[path = "../../examples/probe/failure.rs"]
#[expect(dead_code, reason = "one module's errors, of which a test asks little")]
mod failure;
#[path = "../../examples/probe/h1.rs"]
mod h1;
#[path = "../../examples/probe/percentile.rs"]
mod percentile;
#[path = "../support/mod.rs"]
mod support;

mod dashboard;
mod embedded;
mod exact;
mod framing;
mod graceful;
mod hello;
mod migrating;
mod misuse;
mod nginx;
mod peers;
mod routes;
mod shown;
#[cfg(feature = "full")]
mod stacks;
mod tool;
mod watching;
