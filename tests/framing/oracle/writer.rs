//! hyper as the client: it writes requests and reads answers.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{Method, Request, Response};

use super::pipe::Pipe;

/// More than any of these conversations takes.
const STEPS: usize = 1000;

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

type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>;

pub(super) struct Client {
    pipe: Pipe,
    conn: Option<Pin<Box<Connection<Pipe, Pieces>>>>,
    sender: SendRequest<Pieces>,
    answer: Option<Answer>,
    body: Option<Incoming>,
    over: bool,
    problem: Option<hyper::Error>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = (self.answer.is_some(), self.body.is_some(), self.over);
        write!(f, "awaits, reads, over: {parts:?}; {:?}", self.problem)
    }
}

impl Client {
    pub(super) fn new() -> Self {
        let pipe = Pipe::default();
        let mut shaking = Box::pin(handshake(pipe.clone()));
        let Poll::Ready(Ok((sender, conn))) = shaking.as_mut().poll(&mut idle()) else {
            panic!("in memory, a handshake takes no time");
        };
        Client {
            pipe,
            conn: Some(Box::pin(conn)),
            sender,
            answer: None,
            body: None,
            over: false,
            problem: None,
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
        let (method, target, body) = match kind {
            Kind::Get => (Method::GET, "/", nothing),
            Kind::Head => (Method::HEAD, "/", nothing),
            Kind::Connect => (Method::CONNECT, "peer.test:443", nothing),
            Kind::Post => (Method::POST, "/", body(true)),
            Kind::Put => (Method::PUT, "/", body(false)),
        };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "peer.test");
        let request = request.body(body).expect("a request");
        self.over = false;
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

    /// Whether the connection may carry another request.
    pub(super) fn keeps(&self) -> bool {
        self.conn.is_some() && !self.sender.is_closed()
    }

    /// Lets hyper go on until it waits for more.
    fn run(&mut self) {
        for _ in 0..STEPS {
            let before = (self.pipe.unread(), self.answer.is_some(), self.body.is_some());
            self.poll_conn();
            self.poll_answer();
            let moved = self.poll_body();
            let after = (self.pipe.unread(), self.answer.is_some(), self.body.is_some());
            if !moved && before == after {
                return;
            }
        }
        panic!("hyper does not come to rest: {self:?}");
    }

    fn poll_conn(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        if let Poll::Ready(end) = conn.as_mut().poll(&mut idle()) {
            self.problem = end.err();
            self.conn = None;
        }
    }

    fn poll_answer(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut idle()) {
            self.answer = None;
            match answer {
                Ok(answer) => self.body = Some(answer.into_body()),
                Err(problem) => self.problem = Some(problem),
            }
        }
    }

    /// Whether something of the body came.
    fn poll_body(&mut self) -> bool {
        let Some(body) = &mut self.body else { return false };
        match Pin::new(body).poll_frame(&mut idle()) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(_))) => return true,
            Poll::Ready(Some(Err(problem))) => self.problem = Some(problem),
            Poll::Ready(None) => self.over = true,
        }
        self.body = None;
        true
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

/// Nobody waits: whoever feeds the pipe polls again.
pub(super) fn idle() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
