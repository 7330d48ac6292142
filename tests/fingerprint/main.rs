//! Fingerprints of TLS clients: one module for each promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod assumed;
mod captures;
mod grammar;
mod h2;
mod ja;
mod learn;
mod library;
mod profiles;
mod random;
mod second_opinion;
mod shape;
mod spec;
