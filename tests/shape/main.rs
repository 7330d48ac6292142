//! Browsers' hellos on stock rustls: one module for each promise.
#![cfg(feature = "aws-lc-rs")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "peers live outside the pool: their own clock and tasks"
)]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod answers;
mod captured;
mod closed;
mod decoded;
mod fields;
mod fresh;
mod h2;
mod later;
mod library;
mod live;
mod makers;
mod many;
mod matrix;
mod pool;
mod signed;
mod stock;
mod table;
mod tickets;
mod world;
