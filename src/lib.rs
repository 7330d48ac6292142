//! hotpool
pub mod clock;
mod event;
mod identity;
#[cfg(all(test, not(feature = "__internals")))]
mod machine;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod machine;
mod sync;
