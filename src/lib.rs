//! hotpool
pub mod clock;
mod config;
mod conn;
mod dial;
mod dns;
mod error;
mod event;
mod identity;
#[cfg(not(feature = "__internals"))]
#[expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the rules are complete; their driver does not use every one yet"
)]
mod machine;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod machine;
mod manager;
mod pool;
mod rt;
mod sync;
mod target;
mod tls;
pub use crate::config::*;
pub use crate::error::{ConfigError, Error, ErrorKind, Phase};
pub use crate::target::{Target, TargetError};
pub use conn::{ConnInfo, H2, H2Response};
pub use dns::*;
pub use event::*;
pub use identity::Require;
pub use manager::{
    CloseReport, ConnectionManager, Counters, HostStats, HotConn, IpStats, Stats, Warm, WarmReport,
};
pub use pool::{Builder, GetOptions, HotConnPool};
pub use tls::TlsInfo;
