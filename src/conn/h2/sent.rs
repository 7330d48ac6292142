//! What a connection sent that others make a fingerprint of.

use std::sync::{Arc, OnceLock};

use crate::fingerprint::{Akamai, Pseudo};
use crate::sync::{AtomicU64, Ordering};

/// How a connection with an [`H2Spec`](crate::fingerprint::H2Spec) has opened HTTP/2, by the bytes that were to go out ahead of its first request, and by the
/// first request as it was written. A clone is the same connection's.
#[derive(Clone, Debug)]
pub struct H2Sent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// All that goes out before the first request.
    flight: Box<[u8]>,
    /// The pseudo-headers of the first request.
    pseudo: OnceLock<Vec<Pseudo>>,
    unknown: AtomicU64,
}

impl H2Sent {
    pub(super) fn new(flight: &[u8]) -> Self {
        H2Sent(Arc::new(Inner {
            flight: flight.into(),
            pseudo: OnceLock::new(),
            unknown: AtomicU64::new(0),
        }))
    }

    /// Its fingerprint, made when it is asked for. The pseudo-headers are missing as long as no request is out. None if it cannot be read.
    pub fn akamai(&self) -> Option<Akamai> {
        let akamai = Akamai::of_bytes(&self.0.flight).ok()?;
        Some(match self.0.pseudo.get() {
            Some(pseudo) => akamai.with_pseudo(pseudo),
            None => akamai,
        })
    }

    /// How many requests went out with their pseudo-headers in another order than the spec's, since what h2 wrote could not be moved safely: those
    /// of a scheme other than http and https, and where `:authority` comes before `:method`, those of a method other than GET and POST. And the first, if it went out on another stream than the spec's.
    pub fn unshaped_requests(&self) -> u64 {
        self.0.unknown.load(Ordering::Relaxed)
    }

    pub(super) fn request(&self, pseudo: Vec<Pseudo>) {
        let _ = self.0.pseudo.set(pseudo); // there is one first request
    }

    pub(super) fn unknown(&self) {
        self.0.unknown.fetch_add(1, Ordering::Relaxed);
    }
}
