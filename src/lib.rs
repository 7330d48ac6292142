#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! Start at [`HotConnPool::builder`]. A [`Target`] says where to, [`GetOptions`] how; a [`HotConn`] is what you get, [`Returned`] what
//! became of it; [`Error`] names the phase and the trouble. [`PoolConfig`] has every limit, [`Stats`] every count, and
//! [`ConnectionManager`] the view inside. A [`Validator`] judges what is dialled, and a [`Scope`] says what is blocked or allowed. [`Tls`] says
//! whom to trust and whom to be. [`Resolve`], [`Dial`], [`SourceAddrs`] and [`clock::Clock`] are the seams. [`source`] says where
//! connections come from, [`proxy`] through whom they go, [`dialer`] how else their streams come to be, [`TcpProfile`] what their sockets are like. [`fingerprint`] reads TLS
//! hellos and what they tell of their client.
//!
//! The book is [`guide`]: what happens to a connection, which limits to set, what can be seen, how to come from another pool.
//!
//! # Log
//!
//! Events and spans of [`tracing`](https://docs.rs/tracing) with the target `hotpool`: [`guide::observability`] lists them all.
//!
//! [`h2`], [`http`] and [`rustls`] are re-exported because their types stand in this API.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
#[cfg(any(feature = "client", feature = "hyper", feature = "metrics"))]
mod adapters;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod answers {
    //! The rules for what name servers answer.
    pub use crate::dns::{Found, Table, Terms};
}
pub mod clock;
mod config;
mod conn;
mod dial;
pub mod dialer;
mod dns;
mod error;
mod event;
mod fault;
pub mod fingerprint;
pub mod guide;
mod identity;
#[cfg(not(any(test, feature = "__internals")))]
#[expect(
    dead_code,
    unused_imports,
    reason = "the rules are complete; their driver does not use every one yet"
)]
mod machine;
#[cfg(any(test, feature = "__internals"))]
#[doc(hidden)]
pub mod machine;
mod manager;
mod os;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod owner {
    //! The rules for what a pool's owner says.
    pub use crate::access::Rules;
}
mod pool;
pub mod proxy;
mod rng;
mod rt;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod scripted;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod shaped;
pub mod source;
mod sync;
mod target;
mod tasks;
mod tls;
mod told;
mod transport;

pub use crate::access::{AccessPolicy, AddressPolicy, Scope};
#[cfg(all(feature = "client", feature = "__internals"))]
#[doc(hidden)]
pub use crate::adapters::client::Reading;
#[cfg(feature = "client")]
pub use crate::adapters::client::{Body, SendOptions, Upgraded};
#[cfg(feature = "hyper")]
pub use crate::adapters::hyper;
#[cfg(feature = "metrics")]
pub use crate::adapters::metrics;
#[cfg(feature = "tower")]
pub use crate::adapters::tower;
pub use crate::config::{
    AllBlocked, H2Growth, PoolConfig, ReuseCheck, Selection, SocketOptionError, TcpProfile,
};
pub use crate::conn::{Candidate, ConnInfo, H2, H2Response, H2Sender, H2Sent};
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub use crate::conn::{Framing, Passed, Passing, Reshaping};
pub use crate::dialer::{Dial, DialError, DialTo, Dialing};
pub use crate::dns::{
    Answer, DnsName, DnsSnapshot, HickoryResolver, Resolve, ResolveError, Resolving, StaticResolver,
};
pub use crate::error::{ConfigError, Error, ErrorKind, Phase};
pub use crate::event::{CloseReason, Outcome, Protocol, RetrySafety, Returned};
pub use crate::identity::Require;
pub use crate::manager::{
    Attached, Block, BlockCause, CleanupPolicy, CloseReport, ConnectionManager, Counters, Detached, Endpoint,
    Event, Get, Health, HostStats, HotConn, IntoTarget, IpStats, Observer, RawH2, Resting, Stats,
    StatusValidator, StepOutcome, StepReport, TaskStats, Trouble, Validating, Validator, Verdict, Warm,
    WarmReport,
};
pub use crate::pool::{Builder, GetOptions, HotConnPool};
pub use crate::proxy::{Proxy, ProxyError, ProxyLogin, ProxyNames, ProxyProblem, ProxyProtocol};
pub use crate::source::{
    Rotation, SourceAddrs, SourceError, SourcePolicy, SourceStats, StaticSources, SubnetSources,
};
pub use crate::target::{Target, TargetError};
pub use crate::tls::{OnShapeRejected, Revocation, Tls, TlsBuilder, TlsInfo};
pub use crate::transport::Transport;
pub use {h2, http, rustls};

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

// So that the tests of the rules read the same inside the crate and outside.
#[cfg(test)]
extern crate self as hotpool;
