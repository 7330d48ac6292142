//! The book: what a pool does, page by page, for those who will run one.
//!
//! | page | answers |
//! |---|---|
//! | [`lifecycle`] | How does a connection come to be, what happens to it, how does it end? |
//! | [`limits`] | What bounds a pool, in which order do limits bite, and which numbers are mine? |
//! | [`fingerprints`] | Whom can connections look like, how far does that go, and where does it end? |
//! | [`identities`] | Who may ride on whose connection, and when is one safe to be used again? |
//! | [`shutdown`] | How does a pool end, and what becomes of what is under way? |
//! | [`cancel_safety`] | What happens if I drop this future? |
//! | [`observability`] | What can I see: counters, spans, events? |
//! | [`from_hyper_util`] | Where is each setting of hyper-util's client? |
//! | [`from_go`] | Where is each call of a pool of uTLS connections in Go, and each field of its `net/http.Transport`? |
//!
//! All code in it is run with the tests.

#[doc = include_str!("lifecycle.md")]
pub mod lifecycle {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("fingerprints.md")]
pub mod fingerprints {}

#[doc = include_str!("identities.md")]
pub mod identities {}

#[doc = include_str!("shutdown.md")]
pub mod shutdown {}

#[doc = include_str!("cancel_safety.md")]
pub mod cancel_safety {}

#[doc = include_str!("observability.md")]
pub mod observability {}

#[doc = include_str!("from_hyper_util.md")]
pub mod from_hyper_util {}

#[doc = include_str!("from_go.md")]
pub mod from_go {}

#[cfg(test)]
mod tests;
