//! Behaviours that trusted pools test for, asserted anew; `MANIFEST` maps each to its test and its planted fault.
//!
//! The modules here drive the rules alone, so that only time and order decide; but for `live`, which has a whole pool over real TLS, for
//! `identity`, where TLS itself must be asked whom it takes for whom, and for `clean`, where the bytes on a connection decide.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must say so"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test has tasks and deadlines of its own, beside the pool's"
)]

#[path = "../pool/common.rs"]
#[expect(dead_code, reason = "the pool's own tests use the rest")]
mod common;
#[path = "../rules/mod.rs"]
mod rules;
#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod age;
mod clean;
mod handout;
mod http2;
mod identity;
mod limits;
mod live;
mod manifest;
mod model;
