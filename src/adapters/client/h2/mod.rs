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
use h2::{RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Frame, SizeHint};

use self::sender::Sender;
pub(super) use self::sender::poll_room;
use super::interim::Interims;
use super::request::Length;
use super::upload::Upload;
use crate::clock::Sleep;
use crate::fault::planted;
use crate::{Error, ErrorKind, H2Response, HotConn, Phase};

/// A request on its way.
pub(super) struct Call {
    // In this order: the lease comes home when nothing of the stream is left.
    response: H2Response,
    sender: Sender,
    interims: Interims,
    /// Until when the body waits to be asked for.
    patience: Option<Sleep>,
}

/// An answer, and the lease that it has until it is over.
pub(super) struct Exchange {
    // In this order, likewise.
    answer: RecvStream,
    sender: Sender,
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
        (response, stream): (H2Response, SendStream<Bytes>),
        upload: &mut Upload,
        length: Length,
        patience: Option<Sleep>,
    ) -> Self {
        let sender = match length {
            Length::None => Sender::idle(stream),
            _ => {
                let upload = std::mem::replace(upload, Upload::Empty);
                Sender::new(stream, upload, length, patience.is_some())
            }
        };
        Call {
            response,
            sender,
            interims: Interims::default(),
            patience,
        }
    }

    /// The head of the answer. Interim ones are passed over.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, Error>> {
        loop {
            if let Poll::Ready(Err(error)) = self.sender.poll(cx) {
                return Poll::Ready(Err(error));
            }
            if !self.sender.is_held() {
                return Pin::new(&mut self.response).poll(cx).map_err(failed);
            }
            // One by one: h2 drops those that stand before an answer that is asked for, and with them what asks for the body.
            match self.response.poll_informational(cx) {
                Poll::Ready(Some(Ok(interim))) => {
                    self.interims.one_more()?;
                    if interim.status() == StatusCode::CONTINUE {
                        self.sender.release();
                    } else if planted("bodies_are_asked_for_at_first_or_never") {
                        return Pin::new(&mut self.response).poll(cx).map_err(failed);
                    }
                }
                Poll::Ready(_) => return Pin::new(&mut self.response).poll(cx).map_err(failed),
                Poll::Pending if self.is_patient(cx) => return Poll::Pending,
                Poll::Pending => self.sender.release(),
            }
        }
    }

    fn is_patient(&mut self, cx: &mut Context<'_>) -> bool {
        let patience = self.patience.as_mut();
        patience.is_some_and(|patience| patience.as_mut().poll(cx).is_pending())
    }

    /// What is left of the request's body.
    pub(super) fn into_upload(self) -> Upload {
        self.sender.into_upload()
    }

    pub(super) fn answered(
        mut self,
        answer: RecvStream,
        conn: HotConn,
        status: StatusCode,
        length: Option<u64>,
    ) -> Box<Exchange> {
        let early = planted("leases_go_home_before_their_bodies");
        let ended = answer.is_end_stream();
        if !planted("answers_leave_bodies_waiting") {
            self.sender.release(); // nobody asks for it any more
        }
        Box::new(Exchange {
            answer,
            sender: self.sender,
            conn: Some(conn).filter(|_| !early),
            status,
            left: length,
            ended,
        })
    }
}

impl Exchange {
    /// Whether the answer is over, and nobody waits for the rest of the request.
    pub(super) fn is_over(&self) -> bool {
        self.ended && !self.is_still_sending()
    }

    fn is_still_sending(&self) -> bool {
        !self.sender.is_done() && self.status.is_success()
    }

    /// Both ways of the stream, and the lease.
    pub(super) fn into_parts(self) -> (RecvStream, SendStream<Bytes>, Option<HotConn>) {
        (self.answer, self.sender.into_stream(), self.conn)
    }

    /// The next piece of the answer's body.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_still_sending()
            && let Poll::Ready(Err(error)) = self.sender.poll(cx)
        {
            return Poll::Ready(Some(Err(error)));
        }
        while let Some(data) = ready!(self.answer.poll_data(cx)) {
            let data = data.map_err(failed)?;
            self.ended = self.answer.is_end_stream();
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
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
        if self.is_still_sending() {
            self.sender.finish()?;
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
pub(super) fn said_length(headers: &HeaderMap) -> Option<u64> {
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
