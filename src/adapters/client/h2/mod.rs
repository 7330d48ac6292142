//! One exchange over HTTP/2, on the one stream of a lease.
//!
//! | what | where |
//! |---|---|
//! | the exchange, as long as it lasts | here |
//! | the head of the request | `head` |
//! | its body | `sender` |

pub(super) mod head;
mod sender;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Frame, SizeHint};

pub(super) use self::sender::{Sender, poll_room};
use super::interim::Interims;
use super::upload::Upload;
use super::{Body, Upgraded};
use crate::clock::Sleep;
use crate::fault::planted;
use crate::{Error, ErrorKind, H2Response, HotConn, Phase};

/// A request on its way.
pub(super) struct Call {
    // In this order: the lease comes home when nothing of the stream is left.
    response: H2Response,
    sender: Sending,
    interims: Interims,
    /// Until when the body waits to be asked for.
    patience: Option<Sleep>,
    asked: Asked,
    /// None once it is with what is behind its answer.
    conn: Option<HotConn>,
}

/// What a request asks for, where that decides what its answer has behind its head.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Whether its method is HEAD.
    pub(super) by_head: bool,
    pub(super) for_tunnel: bool,
}

/// The request's body, or its side of a tunnel. Most requests have neither, and are over with their head.
type Sending = Option<Box<Sender>>;

/// An answer, and the lease that it has until it is over.
pub(super) struct Exchange {
    // In this order, likewise.
    answer: RecvStream,
    sender: Sending,
    conn: Option<HotConn>,
    status: StatusCode,
    /// What is left of the body, if its head said how long it is. That it is so long h2 sees to.
    left: Option<u64>,
    /// Whether nothing of the answer is left.
    ended: bool,
}

impl Call {
    /// A request whose head is on its way.
    pub(super) fn new(
        response: H2Response,
        sender: Option<Sender>,
        patience: Option<Sleep>,
        asked: Asked,
        conn: HotConn,
    ) -> Self {
        Call {
            response,
            sender: sender.map(Box::new),
            interims: Interims::default(),
            patience,
            asked,
            conn: Some(conn),
        }
    }

    /// The answer, once its head is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, Error>> {
        let answer = ready!(self.poll_head(cx))?;
        let (status, length) = (answer.status(), said_length(answer.headers()));
        Poll::Ready(Ok(answer.map(|stream| self.answered(stream, status, length))))
    }

    /// The head of the answer. Interim ones are passed over.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, Error>> {
        while let Some(sender) = &mut self.sender {
            if let Poll::Ready(Err(error)) = sender.poll(cx) {
                return Poll::Ready(Err(error));
            }
            if !sender.is_held() {
                break;
            }
            // One by one: h2 drops those that stand before an answer that is asked for, and with them what asks for the body.
            match self.response.poll_informational(cx) {
                Poll::Ready(Some(Ok(interim))) => {
                    self.interims.one_more()?;
                    if interim.status() == StatusCode::CONTINUE {
                        sender.release();
                    } else if planted("bodies_are_asked_for_at_first_or_never") {
                        break;
                    }
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    let patience = self.patience.as_mut();
                    if patience.is_some_and(|patience| patience.as_mut().poll(cx).is_pending()) {
                        return Poll::Pending;
                    }
                    sender.release();
                }
            }
        }
        Pin::new(&mut self.response).poll(cx).map_err(failed)
    }

    /// What is left of the request's body, and the lease.
    pub(super) fn into_parts(self) -> (Upload, Option<HotConn>) {
        let upload = self.sender.map_or(Upload::Empty, |sender| sender.into_upload());
        (upload, self.conn)
    }

    /// What is behind the head of the answer. Nobody waits to be asked for the request's body any more.
    fn answered(&mut self, answer: RecvStream, status: StatusCode, length: Option<u64>) -> Body {
        let mut sender = self.sender.take();
        if let Some(sender) = &mut sender
            && !planted("answers_leave_bodies_waiting")
        {
            sender.release();
        }
        let sender = match sender {
            Some(sender) if self.asked.for_tunnel && status.is_success() => {
                return Body::of_upgrade(Upgraded::of_h2((answer, sender.into_stream(), self.conn.take())));
            }
            sender => sender,
        };
        // What certainly has a body takes no look at its stream: h2 lets no answer end before the length that it says. One that is told and not sent
        // has none (RFC 9110 section 8.6).
        let bodiless =
            self.asked.by_head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        let bodiless = bodiless && !planted("told_lengths_are_sent");
        let has_body = length.is_some_and(|length| length > 0) && !bodiless;
        let mut exchange = Exchange {
            ended: !has_body && answer.is_end_stream(),
            answer,
            sender,
            conn: None,
            status,
            left: length,
        };
        if exchange.is_over() {
            return Body::empty(); // the lease goes home with what is left of the call
        }
        let conn = self.conn.take();
        exchange.conn = conn.filter(|_| !planted("leases_go_home_before_their_bodies"));
        Body::of_h2(exchange)
    }
}

impl Exchange {
    /// Whether the answer is over, and nobody waits for the rest of the request.
    pub(super) fn is_over(&self) -> bool {
        self.ended && !self.is_still_sending()
    }

    fn is_still_sending(&self) -> bool {
        let sender = self.sender.as_ref();
        sender.is_some_and(|sender| !sender.is_done()) && self.status.is_success()
    }

    /// The next piece of the answer's body.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_still_sending()
            && let Some(sender) = &mut self.sender
            && let Poll::Ready(Err(error)) = sender.poll(cx)
        {
            return Poll::Ready(Some(Err(error)));
        }
        while let Some(data) = ready!(self.answer.poll_data(cx)) {
            let data = data.map_err(failed)?;
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            self.ended = self.left.is_none_or(|left| left == 0) && self.answer.is_end_stream();
            if data.is_empty() {
                match self.ended {
                    true => break,
                    false => continue,
                }
            }
            if !self.ended {
                let released = self.answer.flow_control().release_capacity(data.len());
                released.map_err(failed)?; // what is left of its window at the end goes back with the stream
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.ended {
            let trailers = ready!(self.answer.poll_trailers(cx)).map_err(failed)?;
            self.ended = true;
            if let Some(trailers) = trailers {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        if self.is_still_sending()
            && let Some(sender) = &mut self.sender
        {
            sender.finish()?;
        }
        match self.is_still_sending() {
            true => Poll::Pending,
            false => Poll::Ready(None),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.ended || self.answer.is_end_stream() {
            true => SizeHint::with_exact(0),
            false => self.left.map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

/// How long the body is, as its head says.
fn said_length(headers: &HeaderMap) -> Option<u64> {
    let said = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    said.filter(|_| !planted("lengths_are_unknown_on_http2"))
}

pub(super) fn failed(error: h2::Error) -> Error {
    if !error.is_io() {
        return Error::new(ErrorKind::Http2, Phase::Use).with_source(error);
    }
    match error.into_io() {
        Some(io) => Error::from_io(Phase::Use, io),
        None => Error::new(ErrorKind::Http2, Phase::Use),
    }
}
