//! The adapters: what stands over the pool, over real sockets and verified TLS. `MANIFEST` maps each rule to the fault that turns its test red.
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

#[path = "../pool/common.rs"]
#[expect(dead_code, reason = "the pool's own tests use the rest")]
mod common;
#[path = "../../examples/own_stack/stack.rs"]
mod own_stack;
#[path = "../client/servers.rs"]
#[expect(dead_code, reason = "the client's own tests use the rest")]
mod servers;
#[path = "../support/mod.rs"]
mod support;
#[path = "../client/tagged/mod.rs"]
#[expect(dead_code, reason = "the client's own tests use the rest")]
mod tagged;

mod hyper;
mod metrics;
mod own;
mod recorder;
mod tags;
mod tower;
