//! Wrong decisions, planted on purpose, so that each test of a rule can be seen to fail when its rule is broken.
//!
//! A rule asks at its own line whether its fault is planted. Without the hidden feature `__faults` the answer is a
//! constant `false` and nothing of it is compiled in. With it, the environment variable `HOTPOOL_FAULT` names the one
//! fault of this process; `.ci/faults` goes through them all.

/// Whether `HOTPOOL_FAULT` names this fault.
#[cfg(feature = "__faults")]
pub(crate) fn planted(name: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN
        .get_or_init(|| std::env::var("HOTPOOL_FAULT").ok())
        .as_deref()
        == Some(name)
}

/// Never, in a crate without faults.
#[cfg(not(feature = "__faults"))]
#[inline(always)]
pub(crate) const fn planted(_name: &str) -> bool {
    false
}

/// Has this, and gives what it had of the same length: what belongs to one goes to another.
#[cfg(all(feature = "client", feature = "__faults"))]
pub(crate) fn exchanged(piece: bytes::Bytes) -> bytes::Bytes {
    static LAST: std::sync::Mutex<bytes::Bytes> = std::sync::Mutex::new(bytes::Bytes::new());
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = std::mem::replace(&mut *last, piece.clone());
    if before.len() == piece.len() {
        before
    } else {
        piece
    }
}

/// The same, in a crate without faults.
#[cfg(all(feature = "client", not(feature = "__faults")))]
pub(crate) fn exchanged(piece: bytes::Bytes) -> bytes::Bytes {
    piece
}
