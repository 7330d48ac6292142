//! Requests, and answers read to their end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotpool::{Body, Error, HotConnPool};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::common::within;

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Read {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A request without a body.
pub(crate) fn get(name: &str, path: &str) -> Request<Body> {
    Request::get(format!("https://{name}{path}"))
        .body(Body::empty())
        .unwrap()
}

/// A request with this body.
pub(crate) fn post(name: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("https://{name}{path}"))
        .body(body.into())
        .unwrap()
}

/// One exchange, read to its end.
pub(crate) async fn send<B>(pool: &HotConnPool, request: Request<B>) -> Result<Read, Error>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answer = within("the head of an answer", pool.send(request)).await?;
    read(answer).await
}

pub(crate) async fn read(answer: Response<Body>) -> Result<Read, Error> {
    let (head, body) = answer.into_parts();
    let body = within("the body of an answer", body.collect()).await?;
    let trailers = body.trailers().cloned();
    Ok(Read {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
        trailers,
    })
}

/// A body of which each piece comes when it is handed over, and whose end when the other side has gone.
pub(crate) struct Pieces(UnboundedReceiver<io::Result<Frame<Bytes>>>);

/// Its other side.
pub(crate) type Hand = UnboundedSender<io::Result<Frame<Bytes>>>;

impl Pieces {
    pub(crate) fn new() -> (Hand, Self) {
        let (hand, pieces) = unbounded_channel();
        (hand, Pieces(pieces))
    }

    /// All of these, and the end.
    pub(crate) fn of(pieces: impl IntoIterator<Item = Frame<Bytes>>) -> Self {
        let (hand, body) = Pieces::new();
        pieces.into_iter().for_each(|piece| hand.send(Ok(piece)).unwrap());
        body
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }
}

/// A body that says of itself that it has no bytes, and has trailers.
pub(crate) struct Trailers(pub(crate) Option<HeaderMap>);

impl http_body::Body for Trailers {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.take().map(|fields| Ok(Frame::trailers(fields))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(0)
    }
}

/// The fields of a trailer section.
pub(crate) fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
}
