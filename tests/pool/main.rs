//! The pool over real sockets and real TLS: one module for each promise.
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

mod common;

mod age;
mod boundaries;
mod cancel;
mod certificates;
mod close;
mod failures;
mod hostile;
mod http2;
mod idle;
mod life;
mod limits;
mod names;
mod neighbours;
mod network;
mod penalties;
mod resolving;
mod reuse;
mod runtime;
mod servers;
mod setups;
mod sources;
mod staged;
mod stress;
#[cfg(feature = "__internals")]
mod threads;
mod tls;
