//! hotpool
pub mod clock;
mod event;
#[cfg(any(test, feature = "__internals"))]
mod fault;
mod identity;
#[cfg(all(test, not(feature = "__internals")))]
mod machine;
#[cfg(feature = "__internals")]
#[doc(hidden)]
pub mod machine;
mod sync;
