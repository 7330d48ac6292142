//! Whose handshake is running here.
//!
//! rustls's providers are shared by all connections, and their objects are made without a word about for whom. So the connection's own
//! state stands in a task-local while its handshake is polled, and what is made then picks it up. Without a scope everything is plain.

use std::future::Future;
use std::sync::Arc;

use super::state::Shaping;
use crate::fault::planted;

tokio::task_local! {
    static SHAPING: Option<Arc<Shaping>>;
}

/// Runs `handshake` as that of `shaping`.
///
/// rustls writes its hello as soon as a connection is made, so whatever makes it must happen inside, not while the argument is evaluated: hand
/// over an `async` block.
pub(super) async fn within<F: Future>(shaping: Arc<Shaping>, handshake: F) -> F::Output {
    SHAPING.scope(Some(shaping), handshake).await
}

/// Runs `call` as a part of the handshake of `shaping`.
#[cfg(any(all(test, feature = "aws-lc-rs"), feature = "__internals"))]
pub(super) fn entered<R>(shaping: Arc<Shaping>, call: impl FnOnce() -> R) -> R {
    SHAPING.sync_scope(Some(shaping), call)
}

/// The handshake that is running here.
pub(super) fn current() -> Option<Arc<Shaping>> {
    SHAPING.try_with(Clone::clone).ok().flatten()
}

/// Runs `call` as no handshake: what lies below a connection may be TLS itself.
pub(super) fn masked<R>(call: impl FnOnce() -> R) -> R {
    match SHAPING.try_with(Option::is_some) {
        Ok(true) if !planted("what_lies_below_is_shaped") => SHAPING.sync_scope(None, call),
        _ => call(),
    }
}
