//! hyper as the client: it writes requests and reads answers.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::pipe::{Bell, Pipe};

/// What hyper asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Get,
    Head,
    Connect,
    /// With a body by length.
    Post,
    /// With a body in chunks.
    Put,
}

/// What hyper has read of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) status: Option<StatusCode>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>;

pub(super) struct Client {
    pipe: Pipe,
    conn: Option<Pin<Box<Connection<Pipe, Pieces>>>>,
    sender: SendRequest<Pieces>,
    answer: Option<Answer>,
    body: Option<Incoming>,
    over: bool,
    heard: Heard,
    problem: Option<hyper::Error>,
    bell: Arc<Bell>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = (self.answer.is_some(), self.body.is_some(), self.over);
        write!(f, "awaits, reads, over: {parts:?}; {:?}", self.problem)
    }
}

impl Kind {
    pub(super) fn method(self) -> Method {
        match self {
            Kind::Get => Method::GET,
            Kind::Head => Method::HEAD,
            Kind::Connect => Method::CONNECT,
            Kind::Post => Method::POST,
            Kind::Put => Method::PUT,
        }
    }
}

impl Client {
    pub(super) fn new() -> Self {
        let pipe = Pipe::default();
        let mut shaking = Box::pin(handshake(pipe.clone()));
        let Poll::Ready(Ok((sender, conn))) = shaking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("in memory, a handshake takes no time");
        };
        Client {
            pipe,
            conn: Some(Box::pin(conn)),
            sender,
            answer: None,
            body: None,
            over: false,
            heard: Heard::default(),
            problem: None,
            bell: Arc::default(),
        }
    }

    /// Asks, and says what was written; none if hyper takes no more requests.
    pub(super) fn ask(&mut self, kind: Kind) -> Option<Vec<u8>> {
        self.run();
        if !self.sender.is_ready() {
            return None;
        }
        let body = |known| Pieces {
            left: [Bytes::from_static(b"abc"), Bytes::from_static(b"defgh")].into(),
            known,
        };
        let nothing = Pieces {
            left: VecDeque::new(),
            known: true,
        };
        let (target, body) = match kind {
            Kind::Get | Kind::Head => ("/", nothing),
            Kind::Connect => ("peer.test:443", nothing),
            Kind::Post => ("/", body(true)),
            Kind::Put => ("/", body(false)),
        };
        let request = Request::builder()
            .method(kind.method())
            .uri(target)
            .header("host", "peer.test");
        let request = request.body(body).expect("a request");
        (self.over, self.heard) = (false, Heard::default());
        self.answer = Some(Box::pin(self.sender.send_request(request)));
        self.run();
        Some(self.pipe.written())
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.pipe.feed(bytes);
        self.run();
    }

    /// Whether the answer was read to its end.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// What was read of the answer.
    #[cfg(feature = "client")]
    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Whether it has given up on the answer.
    #[cfg(feature = "client")]
    pub(super) fn has_failed(&self) -> bool {
        self.problem.is_some()
    }

    /// Whether the connection may carry another request.
    pub(super) fn keeps(&self) -> bool {
        self.conn.is_some() && !self.sender.is_closed()
    }

    /// Lets hyper go on until it waits for more.
    fn run(&mut self) {
        Arc::clone(&self.bell).until_quiet(|cx| {
            self.poll_conn(cx);
            self.poll_answer(cx);
            self.poll_body(cx);
        });
    }

    fn poll_conn(&mut self, cx: &mut Context<'_>) {
        let Some(conn) = &mut self.conn else { return };
        if let Poll::Ready(end) = conn.as_mut().poll(cx) {
            self.problem = end.err();
            self.conn = None;
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) {
        let Some(answer) = &mut self.answer else { return };
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            self.answer = None;
            match answer {
                Ok(answer) => {
                    self.heard.status = Some(answer.status());
                    self.body = Some(answer.into_body());
                }
                Err(problem) => self.problem = Some(problem),
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) {
        while let Some(body) = &mut self.body {
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(frame))) => {
                    match frame.into_data() {
                        Ok(data) => self.heard.body.extend_from_slice(&data),
                        Err(frame) => self.heard.trailers = frame.into_trailers().ok(),
                    }
                    continue;
                }
                Poll::Ready(Some(Err(problem))) => self.problem = Some(problem),
                Poll::Ready(None) => self.over = true,
            }
            self.body = None;
        }
    }
}

/// A request's body, of known length or not.
pub(super) struct Pieces {
    left: VecDeque<Bytes>,
    known: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.known && self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.known {
            true => SizeHint::with_exact(self.left.iter().map(|piece| piece.len() as u64).sum()),
            false => SizeHint::default(),
        }
    }
}
