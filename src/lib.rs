//! hotpool
pub mod clock;
mod config;
mod error;
mod event;
mod identity;
mod rt;
mod sync;
mod target;
pub use crate::config::*;
pub use crate::error::{ConfigError, Error, ErrorKind, Phase};
pub use crate::target::{Target, TargetError};
