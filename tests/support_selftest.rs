//! Proves the tests' own support: every command and counter of the scripted peer, by plain clients that know nothing
//! of the crate.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a client here is part of a test"
)]

#[path = "support_selftest/clients.rs"]
mod clients;
#[path = "support_selftest/counters.rs"]
mod counters;
mod support;
