//! An HTTP/2 connection on stock h2: handles that leases have, the driver that must run for any of them to move, and a reader of frames below h2
//! that knows what h2 keeps to itself.
//!
//! | part | what it is |
//! |---|---|
//! | [`handle`] | what the pool and its leases have of it |
//! | [`driver`] | what moves it, and tells what happened |
//! | [`adapter`] | what runs between h2 and TLS |
//! | [`shape`] | what h2 writes, in the shape of a spec; pure |
//! | [`permute`] | a request's pseudo-headers in another order; pure |
//! | [`write`] | its fields in other octets of the same meaning; pure |
//! | [`table`] | the size of the server's table of fields; pure |
//! | [`ping`] | what stands in PINGs; pure |
//! | [`frames`] | where a frame ends; pure |
//! | [`book`] | streams, limits, GOAWAY, signs of life; pure |
//! | [`budget`] | how many resets are too many; pure |

mod adapter;
mod book;
mod budget;
mod driver;
mod frames;
mod handle;
#[cfg(feature = "__internals")]
mod passing;
mod permute;
mod ping;
mod sent;
mod shape;
mod table;
mod write;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::h2::client::{Builder, SendRequest};
use bytes::Bytes;

pub(crate) use self::book::{Leave, News};
pub(crate) use self::driver::Driver;
pub(crate) use self::handle::H2Handle;
pub use self::handle::{H2, H2Response, H2Sender};
#[cfg(feature = "__internals")]
pub use self::passing::{Passed, Passing, Reshaping};
pub use self::sent::H2Sent;
use super::{Tls, last_words, written};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::fingerprint::H2Spec;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// What h2 takes to be allowed until the peer's SETTINGS arrive; its own default is "any number". The pool leases no more either.
const UNTIL_SETTINGS: usize = 100;
/// Flow-control window of one stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// Flow-control window of the whole connection: one unread body cannot starve the others.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The largest header list taken from a peer; where a spec advertises none, more.
const HEADER_LIST: u32 = 64 << 10;
const SPEC_HEADER_LIST: u32 = 256 << 10;
/// How long a stream that was reset here is remembered, so that its late frames are no error.
const RESET_MEMORY: Duration = Duration::from_secs(10);
/// How many of them: as many as the budget of resets and the streams that are left then.
const RESETS_REMEMBERED: usize = 512;

/// What all who have to do with one connection share. Those who use it and the one who moves it: it keeps neither alive.
pub(crate) struct Shared {
    book: Mutex<book::Book>,
    /// Whether new streams may be opened, as the book had it last: most who look need no lock for that.
    open: AtomicBool,
    clock: Arc<dyn Clock>,
    /// By what TLS has failed: h2 keeps no more than its text.
    failure: OnceLock<Error>,
}

impl Shared {
    fn new(clock: &Arc<dyn Clock>) -> Self {
        Shared {
            book: Mutex::new(book::Book::new()),
            open: AtomicBool::new(true),
            clock: Arc::clone(clock),
            failure: OnceLock::new(),
        }
    }

    fn failure(&self) -> Option<Error> {
        let failure = self.failure.get().cloned();
        failure.filter(|_| !planted("what_h2_forgets_is_lost"))
    }

    /// To be called under the book's lock, after whatever may have closed it to new streams.
    fn note(&self, book: &book::Book) {
        if book.look().is_err() {
            self.open.store(false, Ordering::Release);
        }
    }

    /// Why no new stream may be opened.
    fn look(&self) -> Result<(), CloseReason> {
        match self.open.load(Ordering::Acquire) {
            true => Ok(()),
            false => self.book.lock().look(),
        }
    }

    /// It is over. Answers why.
    fn end(&self, reason: CloseReason) -> CloseReason {
        let mut book = self.book.lock();
        let reason = book.end(reason);
        self.note(&book);
        reason
    }
}

/// Speaks HTTP/2 over `stream`, as `spec` has it if there is one. The connection moves only while the driver is polled.
pub(crate) async fn handshake(
    stream: Tls,
    clock: &Arc<dyn Clock>,
    spec: Option<&H2Spec>,
) -> Result<(H2Handle, Driver, Option<H2Sent>), Error> {
    let shared = Arc::new(Shared::new(clock));
    let tls = adapter::Asked {
        failure: last_words,
        written,
    };
    let adapter = adapter::Adapter::new(stream, tls, Arc::clone(&shared), spec);
    let sent = adapter.sent().cloned();
    let (mut send, connection) = builder(spec)
        .initial_max_send_streams(UNTIL_SETTINGS)
        .max_concurrent_reset_streams(RESETS_REMEMBERED)
        .reset_stream_duration(RESET_MEMORY)
        .handshake(adapter)
        .await
        .map_err(|error| http2_error(Phase::Http2, error))?;
    if let Some(spec) = spec {
        pass_over(&mut send, spec.first_stream());
    }
    let handle = H2Handle::new(send, Arc::clone(&shared));
    Ok((handle, Driver::new(connection, shared), sent))
}

/// What h2 is to keep: what the spec promises, or the pool's own.
fn builder(spec: Option<&H2Spec>) -> Builder {
    let mut builder = Builder::new();
    let Some(spec) = spec else {
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST);
        return builder;
    };
    let terms = spec.terms();
    let stream_window = match planted("stream_windows_are_sent_alone") {
        true => terms.stream_window - spec.stream_window_update(),
        false => terms.stream_window,
    };
    let list = terms.max_header_list_size.unwrap_or(SPEC_HEADER_LIST);
    builder
        // Whatever it advertises: nobody would take a promised stream, and h2 keeps any number of them.
        .enable_push(planted("pushes_are_kept"))
        .initial_window_size(stream_window)
        .initial_connection_window_size(terms.connection_window)
        .max_header_list_size(if planted("advertised_lists_are_not_taken") {
            HEADER_LIST
        } else {
            list
        });
    if let Some(size) = terms.header_table_size {
        builder.header_table_size(size);
    }
    if let Some(most) = terms.max_concurrent_streams {
        builder.max_concurrent_streams(most);
    }
    if let Some(size) = terms.max_frame_size {
        builder.max_frame_size(size);
    }
    builder
}

/// Has the first request go on stream `first`. h2 counts a stream before it looks at its request, and sends nothing of one that it refuses. It has an
/// option for it, too, in a feature that brings an assertion along which fails in debug builds where all is well.
fn pass_over(send: &mut SendRequest<Bytes>, first: u32) {
    for _ in (1..first).step_by(2) {
        let mut nowhere = http::Request::new(());
        *nowhere.version_mut() = http::Version::HTTP_2;
        if !planted("streams_begin_at_1") {
            let _ = send.send_request(nowhere, true); // refused: it has no authority
        }
    }
}

pub(super) fn http2_error(phase: Phase, error: ::h2::Error) -> Error {
    if !error.is_io() {
        return Error::new(ErrorKind::Http2, phase).with_source(error);
    }
    match error.into_io() {
        Some(io) => Error::from_io(phase, io),
        None => Error::new(ErrorKind::Http2, phase),
    }
}
