//! hotpool
pub mod clock;
mod event;
#[cfg(any(test, feature = "__internals"))]
mod fault;
mod identity;
#[cfg(any(test, feature = "__internals"))]
#[doc(hidden)]
pub mod machine;
mod sync;

// So that the tests of the rules read the same inside the crate and outside.
#[cfg(test)]
extern crate self as hotpool;
