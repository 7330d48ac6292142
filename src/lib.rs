//! hotpool
pub mod clock;
mod event;
mod identity;
mod sync;
