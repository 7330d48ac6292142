//! The pool over real sockets and real TLS: one module for each promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod common;

mod age;
mod cancel;
mod close;
mod failures;
mod http2;
mod idle;
mod limits;
mod names;
mod reuse;
mod runtime;
mod stress;
mod tls;
