//! What has come over a connection and was not read, past the reactor and its wakers.

use std::io::{self, Read};

use super::{Below, Tls};
use crate::error::Error;
use crate::fault::planted;
use crate::tls::{Shaped, failure_of};

/// How often the socket is read at once. Tickets and key updates are no reason to refuse a connection before a request; a peer that has more of them than fit into
/// so many reads is.
pub(super) const READS: usize = 8;

/// What has come: first what is held above the socket, which may be the rest of a first flight, then what the socket has.
pub(super) struct Now<'a>(pub(super) &'a mut Shaped<Below>);

impl Read for Now<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.held(buf) {
            0 => self.0.get_mut().now().read(buf),
            count => Ok(count),
        }
    }
}

/// By what TLS has failed on a connection that is broken. Where a write failed, because its peer takes no more, the peer may have said why before; nobody else reads that.
pub(super) fn last_words(stream: &mut Tls) -> Option<Error> {
    let (transport, session) = stream.get_mut();
    for _ in 0..READS {
        if let Some(failure) = failure_of(session) {
            return Some(failure);
        }
        match session.read_tls(&mut Now(transport)) {
            Ok(1..) if !planted("why_a_write_failed_is_not_read") => {}
            _ => return None,
        }
    }
    None
}
