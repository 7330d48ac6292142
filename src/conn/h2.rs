//! An HTTP/2 connection on stock h2: a handle that leases clone, and the driver that must run for any of them to move.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};

use super::Tls;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;

/// What h2 is told to allow until the peer's SETTINGS arrive: a number that no SETTINGS can say and that does not stand for "no limit"
/// either, so that their arrival shows, whatever they say. The pool itself leases fewer.
const UNTIL_SETTINGS: usize = usize::MAX - 1;
/// Flow-control window of one stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// Flow-control window of the whole connection: one unread body cannot starve the others.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The largest header list taken from a peer.
const HEADER_LIST: u32 = 64 << 10;
/// How long a stream that was reset here is remembered, so that its late frames are no error.
const RESET_MEMORY: Duration = Duration::from_secs(10);

/// Speaks HTTP/2 over `stream`. The connection moves only while the driver is polled.
pub(crate) async fn handshake(stream: Tls) -> Result<(H2Handle, Driver), Error> {
    let (send, connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(UNTIL_SETTINGS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .reset_stream_duration(RESET_MEMORY)
        .handshake(stream)
        .await
        .map_err(|error| http2_error(Phase::Http2, error))?;
    Ok((
        H2Handle(send),
        Driver {
            connection,
            max_streams: UNTIL_SETTINGS,
        },
    ))
}

/// The pool's end of an HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct H2Handle(SendRequest<Bytes>);

impl H2Handle {
    /// Whether new streams may be opened: no GOAWAY seen, the driver alive.
    pub(crate) fn look(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        match self.0.poll_ready(cx) {
            Poll::Ready(Err(error)) => Err(close_reason(&error)),
            _ => Ok(()),
        }
    }

    pub(crate) fn lease(&mut self) -> H2<'_> {
        H2 { send: &mut self.0 }
    }
}

/// What moves an HTTP/2 connection. Ends with the reason why the connection did.
pub(crate) struct Driver {
    connection: Connection<Tls, Bytes>,
    max_streams: usize,
}

/// News from a [`Driver`].
pub(crate) enum News {
    /// The peer allows this many streams at once, from now on.
    MaxStreams(u32),
    /// The connection is over.
    Ended(CloseReason),
}

impl Driver {
    /// Runs the connection until there is news. Cancel safe.
    pub(crate) async fn run(&mut self) -> News {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        let ended = Pin::new(&mut self.connection).poll(cx);
        if let Poll::Ready(result) = ended {
            return Poll::Ready(News::Ended(match result {
                Ok(()) => CloseReason::PeerClosed,
                Err(error) => close_reason(&error),
            }));
        }
        let allowed = self.connection.max_concurrent_send_streams();
        if allowed == self.max_streams {
            return Poll::Pending;
        }
        self.max_streams = allowed;
        Poll::Ready(News::MaxStreams(u32::try_from(allowed).unwrap_or(u32::MAX)))
    }
}

/// The response to come on a stream: h2's own future.
pub type H2Response = ResponseFuture;

/// The HTTP/2 side of a lease.
pub struct H2<'a> {
    send: &'a mut SendRequest<Bytes>,
}

impl H2<'_> {
    /// Opens a stream: sends the head of `request` and, unless `end_of_stream` says that there is none, gives the sender of its body.
    ///
    /// Both answers are stock h2. A body that is read must release its flow-control capacity as it goes.
    ///
    /// Cancel safe until it has answered: nothing is sent before that.
    ///
    /// # Errors
    /// [`ErrorKind::Http2`] if the connection takes no new streams or the request is malformed.
    pub async fn send_request(
        &mut self,
        request: http::Request<()>,
        end_of_stream: bool,
    ) -> Result<(H2Response, h2::SendStream<Bytes>), Error> {
        let failed = |error| http2_error(Phase::Use, error);
        std::future::poll_fn(|cx| self.send.poll_ready(cx))
            .await
            .map_err(failed)?;
        self.send.send_request(request, end_of_stream).map_err(failed)
    }
}

impl std::fmt::Debug for H2<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2").finish_non_exhaustive()
    }
}

fn http2_error(phase: Phase, error: h2::Error) -> Error {
    if !error.is_io() {
        return Error::new(ErrorKind::Http2, phase).with_source(error);
    }
    match error.into_io() {
        Some(io) => Error::from_io(phase, io),
        None => Error::new(ErrorKind::Http2, phase),
    }
}

fn close_reason(error: &h2::Error) -> CloseReason {
    if error.is_go_away() && error.is_remote() {
        CloseReason::GoAway
    } else if error.is_io() {
        CloseReason::PeerClosed
    } else {
        CloseReason::Failed
    }
}
