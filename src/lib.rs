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
mod machine;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod machine;
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
pub use tls::TlsInfo;
