//! The locks and atomics that the whole crate uses, so that a model checker's can take their place in one line.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use parking_lot::Mutex;
