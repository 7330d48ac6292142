//! Where the cryptography comes from when the caller does not say.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// aws-lc-rs where it is compiled in, else ring, else none.
pub(super) fn default_provider() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "aws-lc-rs")]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    None
}
