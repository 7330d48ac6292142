//! Proves the tests' own support: every command and counter of the scripted peer, by plain clients that know nothing
//! of the crate.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a client here is part of a test, and has its own clock and tasks"
)]

#[path = "support_selftest/clients.rs"]
mod clients;
#[path = "support_selftest/commands.rs"]
mod commands;
#[path = "support_selftest/counters.rs"]
mod counters;
#[path = "support_selftest/measures.rs"]
mod measures;
#[path = "support_selftest/outside.rs"]
mod outside;
#[path = "support_selftest/routes.rs"]
mod routes;
mod support;

/// Fails the test if `what` takes longer than anything on a loopback may.
async fn within<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(support::peer::DEADLINE, what)
        .await
        .expect("an end before the deadline")
}
