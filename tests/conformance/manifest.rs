//! The manifest itself.
