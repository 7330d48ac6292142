//! The body of a request, whatever its type was.

use std::any::Any;
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame};

use super::Body;
use crate::fault::planted;
use crate::{Error, ErrorKind, Phase};

type Cause = Box<dyn StdError + Send + Sync>;
pub(super) type Stream = Pin<Box<dyn Frames + Send>>;

/// What is left of the body of a request.
pub(super) enum Upload {
    Empty,
    /// All of it is at hand. What is left, and what it was.
    Whole(Bytes, Bytes),
    /// It is still to be made, and whether some of it was.
    Stream(Stream, bool),
}

impl Upload {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Cause>,
    {
        if body.is_end_stream() {
            return Upload::Empty;
        }
        let mut body = Some(body);
        let own = (&mut body as &mut dyn Any).downcast_mut::<Option<Body>>();
        if let Some(whole) = own.and_then(|body| body.as_mut()?.whole()) {
            return Upload::Whole(whole.clone(), whole);
        }
        match body {
            Some(body) => Upload::Stream(Box::pin(body), false),
            None => Upload::Empty,
        }
    }

    /// How long it is, if it knows.
    pub(super) fn exact(&self) -> Option<u64> {
        match self {
            Upload::Empty => Some(0),
            Upload::Whole(left, _) => Some(left.len() as u64),
            Upload::Stream(stream, _) => stream.exact(),
        }
    }

    /// Begins anew, if that is possible.
    pub(super) fn rewind(&mut self) -> bool {
        match self {
            Upload::Empty => true,
            Upload::Whole(left, all) => {
                *left = all.clone();
                true
            }
            Upload::Stream(_, begun) => !*begun || planted("begun_bodies_begin_anew"),
        }
    }

    /// What comes next; none at its end.
    ///
    /// # Errors
    /// [`ErrorKind::Body`]: the caller's body failed.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match self {
            Upload::Empty => None,
            Upload::Whole(left, _) if left.is_empty() => None,
            Upload::Whole(left, _) => Some(Ok(Frame::data(std::mem::take(left)))),
            Upload::Stream(stream, begun) => {
                *begun = true;
                match stream.as_mut().next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(frame) => frame.map(|frame| frame.map_err(failed)),
                }
            }
        };
        Poll::Ready(frame)
    }

    /// Whether nothing is left, as far as it knows.
    pub(super) fn is_at_end(&self) -> bool {
        match self {
            Upload::Empty => true,
            Upload::Whole(left, _) => left.is_empty(),
            Upload::Stream(stream, _) => stream.is_at_end(),
        }
    }
}

fn failed(cause: Cause) -> Error {
    Error::new(ErrorKind::Body, Phase::Use).with_source(std::io::Error::other(cause))
}

/// A body whose type is forgotten.
pub(super) trait Frames {
    fn next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>>;
    fn exact(&self) -> Option<u64>;
    fn is_at_end(&self) -> bool;
}

impl<B> Frames for B
where
    B: HttpBody,
    B::Error: Into<Cause>,
{
    fn next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let in_bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        self.poll_frame(cx)
            .map_ok(|frame| frame.map_data(in_bytes))
            .map_err(Into::into)
    }

    fn exact(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    fn is_at_end(&self) -> bool {
        self.is_end_stream()
    }
}
