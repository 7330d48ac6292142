//! The lock that the whole crate uses, so that a model checker's can take its place in one line.

pub(crate) use parking_lot::Mutex;
