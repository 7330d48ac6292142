//! The observer without a stream, for this crate's own tests, benches and fuzz targets.

use super::observer::Observer;
use crate::event::CloseReason;

/// Follows what passes on an HTTP/1.1 connection.
#[derive(Clone, Debug)]
pub struct Framing(Observer);

impl Framing {
    /// Of a new connection.
    #[expect(clippy::new_without_default, reason = "no part of the API")]
    pub fn new() -> Self {
        Framing(Observer::new())
    }

    /// These bytes were written.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.0.sent(bytes);
    }

    /// These bytes were read.
    pub fn received(&mut self, bytes: &[u8]) {
        self.0.received(bytes);
    }

    /// Whether the connection may carry another exchange.
    ///
    /// # Errors
    /// Why not.
    pub fn verdict(&self) -> Result<(), CloseReason> {
        self.0.verdict()
    }
}
