//! One exchange over HTTP/1.1, on the bare stream of a lease.
//!
//! | what | where |
//! |---|---|
//! | the exchange, as long as it lasts | here |
//! | the request as it goes out | `writer`, `head` |
//! | the answer as it comes | `reader`; `reading` for tests |

mod head;
mod reader;
#[cfg(feature = "__internals")]
mod reading;
mod writer;

use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, request};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use self::reader::{Malformed, Reader};
#[cfg(feature = "__internals")]
pub use self::reading::Reading;
use self::writer::Writer;
use super::interim::Interims;
use super::request::Length;
use super::upload::Upload;
use crate::HotConn;
use crate::clock::Sleep;
use crate::fault::planted;
use crate::fingerprint::Headers;
use crate::{Error, ErrorKind, Phase};

/// How much is read at once: at first, and of a long body.
const READ: usize = 4 << 10;
const READ_MORE: usize = 32 << 10;

/// An exchange under way, and the lease that it has until the answer is over.
pub(super) struct Exchange {
    // Dropped before it is over, it closes the connection: the pool sees what is left of it.
    conn: HotConn,
    writer: Writer,
    /// Why no more of the request can be sent. An answer may be there all the same.
    unsent: Option<Error>,
    reader: Reader,
    buf: BytesMut,
    /// Whether any byte of an answer came.
    heard: bool,
    interims: Interims,
    status: StatusCode,
    /// Until when the body waits to be asked for.
    patience: Option<Sleep>,
}

impl Exchange {
    pub(super) fn new(
        conn: HotConn,
        head: &request::Parts,
        defaults: Option<&Headers>,
        body: (Upload, Length),
        patience: Option<Sleep>,
    ) -> Self {
        Exchange {
            reader: Reader::new(&head.method),
            writer: Writer::new(head, defaults, body, patience.is_some()),
            conn,
            unsent: None,
            buf: BytesMut::new(),
            heard: false,
            interims: Interims::default(),
            status: StatusCode::OK,
            patience,
        }
    }

    /// Whether any byte of an answer came.
    pub(super) fn is_heard(&self) -> bool {
        self.heard
    }

    pub(super) fn conn(&self) -> &HotConn {
        &self.conn
    }

    /// What is left of the request's body.
    pub(super) fn into_upload(self) -> Upload {
        self.writer.into_upload()
    }

    /// The connection, and what was read behind the head.
    pub(super) fn into_parts(self) -> (HotConn, Bytes) {
        (self.conn, self.buf.freeze())
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.reader.is_upgraded()
    }

    /// All of the request is out, or its connection has ended. Nothing else is spoken before: not in the middle of a message (RFC 9110 section 7.8).
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.writer.release();
        if let Some(error) = self.unsent.take() {
            return Poll::Ready(Err(error));
        }
        match self.writer.poll(cx, Pin::new(&mut self.conn)) {
            Poll::Pending => self.poll_ended(cx).map(Err),
            sent => sent,
        }
    }

    /// The end of the connection, while its caller has more to send and the peer has nothing more to say. What comes instead is kept, and behind
    /// so much of it nothing is looked at.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while self.buf.len() < READ && !planted("who_sends_hears_nothing") {
            match ready!(self.poll_read(cx, READ)) {
                Ok(0) => return Poll::Ready(self.ended()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Pending
    }

    /// Whether the answer is over, and nobody waits for the rest of the request.
    pub(super) fn is_over(&self) -> bool {
        self.reader.is_done() && !self.is_still_sending()
    }

    /// Whether the request goes on behind its answer: one that is good news may be about what is still to come.
    fn is_still_sending(&self) -> bool {
        self.unsent.is_none() && !self.writer.is_done() && self.status.is_success()
    }

    /// The head of the answer. Interim ones are passed over.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Error>> {
        loop {
            self.send(cx)?;
            if planted("answers_wait_for_their_requests") && !self.writer.is_done() {
                return Poll::Pending;
            }
            let head = self.reader.head(&mut self.buf).map_err(malformed)?;
            match head {
                Some(head) if is_interim(head.status()) && !self.is_upgraded() => {
                    self.interims.one_more()?;
                    if head.status() == StatusCode::CONTINUE {
                        self.writer.release();
                    }
                }
                Some(head) => {
                    self.status = head.status();
                    self.writer.release(); // nobody asks for the body any more
                    return Poll::Ready(Ok(head));
                }
                None if ready!(self.poll_read(cx, READ))? == 0 => return Poll::Ready(Err(self.ended())),
                None => {}
            }
        }
    }

    /// All of the body, if it came with the head.
    pub(super) fn whole(&mut self) -> Option<Bytes> {
        let whole = self
            .reader
            .left()
            .is_some_and(|left| left <= self.buf.len() as u64);
        if !whole || self.is_still_sending() {
            return None;
        }
        self.reader.frame(&mut self.buf).ok()??.into_data().ok()
    }

    /// The next piece of the answer's body.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.is_still_sending() {
                self.send(cx)?;
            }
            if let Some(frame) = self.reader.frame(&mut self.buf).map_err(malformed)? {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.reader.is_done() {
                // Nobody takes the rest of the request from where nobody is, or from where nobody can know what is said.
                let waits = self.is_still_sending() && self.poll_ended(cx).is_pending();
                let babbles = self.buf.len() >= READ && !planted("nothing_unasked_is_too_much");
                return match waits && !babbles {
                    true => Poll::Pending,
                    false => Poll::Ready(None),
                };
            }
            let most = match self.reader.left() {
                Some(left) => usize::try_from(left).map_or(READ_MORE, |left| left.clamp(READ, READ_MORE)),
                None => READ_MORE,
            };
            if ready!(self.poll_read(cx, most))? == 0 {
                match self.reader.end() {
                    true => return Poll::Ready(None),
                    false => return Poll::Ready(Some(Err(self.ended()))),
                }
            }
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.reader
            .left()
            .map_or_else(SizeHint::new, SizeHint::with_exact)
    }

    /// Sends what can be sent. What goes wrong there is told only if no answer comes: a peer may have said why it stopped to listen.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.unsent.is_some() || self.writer.is_done() {
            return Ok(());
        }
        if let Some(patience) = &mut self.patience
            && self.writer.is_held()
            && patience.as_mut().poll(cx).is_ready()
        {
            self.writer.release();
        }
        match self.writer.poll(cx, Pin::new(&mut self.conn)) {
            Poll::Ready(Err(error)) if is_ours(&error) => Err(error),
            Poll::Ready(Err(error)) => {
                self.unsent = Some(error);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads up to about so much, and answers how much that was. What is little has a place once it has come, not while it is waited for.
    fn poll_read(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<usize, Error>> {
        let room = self.buf.capacity() - self.buf.len();
        let read = if most <= READ && room < READ / 2 {
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut space = ReadBuf::uninit(&mut space);
            let read = Pin::new(&mut self.conn).poll_read(cx, &mut space);
            self.buf.extend_from_slice(space.filled());
            read.map_ok(|()| space.filled().len())
        } else {
            if room < READ / 2 {
                self.buf.reserve(most);
            }
            pin!(self.conn.read_buf(&mut self.buf)).poll(cx)
        };
        let read = ready!(read).map_err(|error| self.broken(error))?;
        self.heard |= read > 0;
        Poll::Ready(Ok(read))
    }

    fn broken(&mut self, error: std::io::Error) -> Error {
        let error = Error::from_io(Phase::Use, error);
        self.unsent.take().unwrap_or(error)
    }

    /// The connection ended before the answer did.
    fn ended(&mut self) -> Error {
        self.broken(std::io::ErrorKind::UnexpectedEof.into())
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && !planted("hints_are_answers")
}

/// Whether the request itself was the trouble.
fn is_ours(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Request | ErrorKind::Body)
}

fn malformed(problem: Malformed) -> Error {
    Error::new(ErrorKind::Answer, Phase::Use).with_source(problem)
}
