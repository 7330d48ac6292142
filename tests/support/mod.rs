//! What the integration tests stand on: certificates, scripted TLS peers, outside servers, evidence tables, measures.
//!
//! A test binary takes all of it with `mod support;`; an example or a benchmark with
//! `#[path = "../tests/support/mod.rs"] mod support;`. Nothing here uses the crate under test, and nothing here uses
//! rustls's process-wide provider.
//!
//! ```ignore
//! let peer = Peer::builder().ips(3).alpn(Alpn::Http1).start();
//! let address = peer.addr(1);                                  // 127.0.0.2:port
//! let trust = certs::authority().roots();                      // the client's RootCertStore
//! // ... the client connects with server name "peer.test" and asks for "/bytes/10" ...
//! peer.wait_for("one request", |seen| seen.requests() == 1).await;
//! peer.next(To::All, 1, Act::ResetAfterHello);                 // what the next connection meets
//! peer.order(To::All, Order::Close);                           // what live connections meet now
//! let last = peer.shutdown().await;                            // every socket of the peer is closed
//! ```
//!
//! What a peer counts stands in [`peer::Counts`], what it can be told in [`peer::Act`] and [`peer::Order`], what it
//! answers in `peer/routes.rs`.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each binary uses a part of what stands here"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's support fails the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a peer lives outside the pool: its own clock, threads and tasks"
)]

pub mod black_hole;
pub mod certs;
pub mod dns;
pub mod frames;
pub mod measure;
pub mod network;
pub mod outside;
pub mod peer;
pub mod peers_table;
pub mod process;
pub mod proxy;
pub mod verifier;
