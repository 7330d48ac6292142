//! What the pool and its leases have of an HTTP/2 connection.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Waker};

use ::h2::SendStream;
use ::h2::client::{ResponseFuture, SendRequest};
use bytes::Bytes;

use super::book::Leave;
use super::{Shared, http2_error};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::{CloseReason, RetrySafety};
use crate::fault::planted;

/// The end of an HTTP/2 connection that the pool has, and each of its leases.
pub(crate) struct H2Handle {
    link: Arc<Link>,
    /// What opens its streams, from the first one on.
    send: Option<SendRequest<Bytes>>,
    /// The stream that was opened by it last.
    stream: Option<u32>,
}

/// While anybody has it, the connection is in use as far as h2 is concerned.
struct Link {
    send: SendRequest<Bytes>,
    shared: Arc<Shared>,
}

impl H2Handle {
    pub(super) fn new(send: SendRequest<Bytes>, shared: Arc<Shared>) -> Self {
        H2Handle {
            link: Arc::new(Link { send, shared }),
            send: None,
            stream: None,
        }
    }

    /// One for a lease.
    pub(crate) fn another(&self) -> Self {
        H2Handle {
            link: Arc::clone(&self.link),
            send: None,
            stream: None,
        }
    }

    /// Whether new streams may be opened: no GOAWAY seen, the driver alive.
    pub(crate) fn look(&self) -> Result<(), CloseReason> {
        self.link.shared.look()
    }

    pub(crate) fn lease(&mut self) -> H2<'_> {
        H2 { handle: self }
    }

    /// The lease that had it has come home. Answers how many streams have no lease now.
    pub(crate) fn come_home(&mut self) -> u32 {
        self.link.shared.book.lock().come_home(self.stream.take())
    }

    /// How many streams the book knows.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.link.shared.book.lock().remembered()
    }

    /// How many streams have no lease any more.
    pub(crate) fn loose(&self) -> u32 {
        self.link.shared.book.lock().loose()
    }

    /// Has the driver send a PING, and end the connection if nothing comes from the peer in time.
    pub(crate) fn doubt(&self) {
        let driver = self.link.shared.book.lock().doubt();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The pool has let go of the connection: the driver ends it, soon or now.
    pub(crate) fn let_go(&self, leave: Leave) {
        let driver = self.link.shared.book.lock().let_go(leave);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// What is known of the last request.
    pub(crate) fn retry_safety(&self) -> RetrySafety {
        match self.stream {
            None => RetrySafety::NeverSent,
            Some(stream) => self.link.shared.book.lock().safety(stream),
        }
    }

    /// By what TLS has failed, if it has.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.link.shared.failure()
    }

    /// The stock handle, for somebody who opens streams without a lease for each.
    pub(crate) fn raw(&self) -> H2Sender {
        self.link.shared.book.lock().make_raw();
        self.link.send.clone()
    }
}

/// The stock handle of a connection.
pub type H2Sender = SendRequest<Bytes>;

/// The response to come on a stream: h2's own future.
pub type H2Response = ResponseFuture;

/// The HTTP/2 side of a lease: the right to one stream at a time.
pub struct H2<'a> {
    handle: &'a mut H2Handle,
}

impl H2<'_> {
    /// Opens a stream: sends the head of `request` and, unless `end_of_stream` says that there is none, gives the sender of its body.
    ///
    /// The stream is opened by the call, awaited or not; what it answers is there at once. Both answers are stock h2. A body that is read must release its
    /// flow-control capacity as it goes. Dropping both, or the future that has them, resets the stream of a request that may have been sent. The
    /// lease may go home before the stream has ended; its place is given to another when it has.
    /// [`HotConn::attach`](crate::HotConn::attach) keeps the lease with the body instead.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the stream before it has not ended: its answer is to be read to the end, its body sent to the end, or a reset is
    /// still on its way. [`ErrorKind::Http2`] if the connection takes no new streams or the request is malformed.
    pub fn send_request(
        &mut self,
        request: http::Request<()>,
        end_of_stream: bool,
    ) -> Ready<Result<(H2Response, SendStream<Bytes>), Error>> {
        // Not an async function, which would copy the request twice.
        ready(self.open(request, end_of_stream))
    }

    fn open(
        &mut self,
        request: http::Request<()>,
        end_of_stream: bool,
    ) -> Result<(H2Response, SendStream<Bytes>), Error> {
        let H2Handle { link, send, stream } = &mut *self.handle;
        let shared = &link.shared;
        if let Some(before) = *stream {
            let book = shared.book.lock();
            if book.is_open(before) && !planted("a_lease_opens_two_streams") {
                return Err(Error::new(ErrorKind::Busy, Phase::Use));
            }
        }
        let own = send.get_or_insert_with(|| link.send.clone());
        let opened = own.send_request(request, end_of_stream);
        // One that is kept holds on to a stream which waits to be opened, and whose reset then does not go out.
        let holds = own
            .poll_ready(&mut Context::from_waker(Waker::noop()))
            .is_pending();
        if holds {
            *send = None;
        }
        let (response, body) = opened.map_err(|error| http2_error(Phase::Use, error))?;
        let (now, id) = (shared.clock.now_coarse(), response.stream_id().as_u32());
        let mut book = shared.book.lock();
        if let Some(before) = stream.replace(id) {
            book.forget(before);
        }
        book.open(now, id);
        drop(book);
        Ok((response, body))
    }
}

impl std::fmt::Debug for H2<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2")
            .field("stream", &self.handle.stream)
            .finish_non_exhaustive()
    }
}
