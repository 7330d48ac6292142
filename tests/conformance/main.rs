//! Behaviours that trusted pools test for, asserted anew; `MANIFEST` maps each to its test and its planted fault.
//!
//! The modules here drive the rules alone, so that only time and order decide.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must say so"
)]

#[path = "../rules/mod.rs"]
mod rules;

mod addresses;
mod age;
mod handout;
mod http2;
mod limits;
mod manifest;
mod model;
