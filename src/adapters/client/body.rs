//! The body of an answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::upgrade::Upgraded;
use super::{h1, h2};
use crate::Error;
use crate::fault::{exchanged, planted};

/// The body of an answer, over either protocol; and a body for a request, made of bytes that are at hand.
///
/// It has the connection's lease until it is over. Read to its end, and be that by [`is_end_stream`](HttpBody::is_end_stream), it gives the lease back at once; dropped
/// before, it closes the connection (HTTP/1.1) or resets its stream (HTTP/2). An [upgrade](Body::into_upgraded) has nothing to be read, and keeps it. What is left of the request's body is sent while this one is polled: an
/// answer of success that was there before ends when its request has gone out, or when there is nobody to take it. Behind any other answer nothing more is sent.
/// Its [`size_hint`](HttpBody::size_hint) is what is left of the length that the head told.
#[must_use = "dropped before its end, it closes its connection"]
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    H1(Box<h1::Exchange>),
    H2(h2::Exchange),
    Upgraded(Box<Upgraded>),
}

impl Body {
    /// None.
    pub fn empty() -> Self {
        Body::default()
    }

    pub(super) fn of_h1(exchange: Box<h1::Exchange>) -> Self {
        Body(Kind::H1(exchange))
    }

    pub(super) fn of_h2(exchange: h2::Exchange) -> Self {
        Body(Kind::H2(exchange))
    }

    pub(super) fn of_upgrade(upgraded: Upgraded) -> Self {
        Body(Kind::Upgraded(Box::new(upgraded)))
    }

    /// All of it, if it is at hand.
    pub(super) fn whole(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::Whole(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// The connection, once the answer said that something else is spoken from here on: 101 (Switching Protocols), or success after CONNECT.
    ///
    /// # Errors
    /// The body itself, of any other answer.
    ///
    /// ```no_run
    /// # async fn example(pool: hotpool::HotConnPool) -> Result<(), Box<dyn std::error::Error>> {
    /// use hotpool::{Body, SendOptions, Upgraded};
    /// use tokio::io::AsyncWriteExt;
    ///
    /// let request = http::Request::get("https://example.com/socket")
    ///     .header("connection", "upgrade")
    ///     .header("upgrade", "echo")
    ///     .body(Body::empty())?;
    /// let options = SendOptions::new().resend_idempotent().no_profile_headers();
    /// let answer = pool.send_with(request, options).await?;
    /// if let Ok(upgraded) = answer.into_body().into_upgraded() {
    ///     let mut upgraded: Upgraded = upgraded;
    ///     upgraded.write_all(b"hello").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_upgraded(self) -> Result<Upgraded, Body> {
        match self.0 {
            Kind::Upgraded(upgraded) => Ok(*upgraded),
            other => Err(Body(other)),
        }
    }
}

impl Kind {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Kind::Empty | Kind::Upgraded(_) => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::H1(exchange) => exchange.poll_frame(cx),
            Kind::H2(exchange) => exchange.poll_frame(cx),
        }
    }

    /// Whether nothing comes any more: of what is at hand, all of it has been taken.
    fn is_over(&self) -> bool {
        match self {
            Kind::Empty => true,
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::H1(exchange) => exchange.is_over(),
            Kind::H2(exchange) => exchange.is_over(),
            Kind::Upgraded(_) => false,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        match bytes.is_empty() {
            true => Body(Kind::Empty),
            false => Body(Kind::Whole(bytes)),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from(text).into()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut polled = self.0.poll(cx);
        if planted("pieces_go_to_others") {
            polled = polled.map_ok(|frame| frame.map_data(exchanged));
        }
        let over = self.0.is_over() && !planted("bodies_need_a_last_poll");
        let over = over || matches!(polled, Poll::Ready(None | Some(Err(_))));
        if over && (!matches!(self.0, Kind::Upgraded(_)) || planted("upgrades_are_over_when_read")) {
            self.0 = Kind::Empty; // the lease goes home
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Empty | Kind::Upgraded(_))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty | Kind::Upgraded(_) => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::H1(exchange) => exchange.size_hint(),
            Kind::H2(exchange) => exchange.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Body");
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Whole(_) => "whole",
            Kind::H1(_) => "http/1.1",
            Kind::H2(_) => "h2",
            Kind::Upgraded(_) => "upgraded",
        };
        out.field("kind", &kind).finish_non_exhaustive()
    }
}
