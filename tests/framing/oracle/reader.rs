//! hyper as the server: it reads requests.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};

use super::pipe::{Bell, Pipe};

pub(super) struct Server {
    pipe: Pipe,
    conn: Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
    /// Requests read to their end.
    read: Rc<Cell<u64>>,
    problem: Option<hyper::Error>,
    bell: Arc<Bell>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} read; {:?}", self.read.get(), self.problem)
    }
}

/// Reads the request to its end, and counts it.
async fn serve(request: Request<Incoming>, read: Rc<Cell<u64>>) -> hyper::Result<Response<String>> {
    let mut body = request.into_body();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frame?;
    }
    read.set(read.get() + 1);
    Ok(Response::new(String::new()))
}

impl Server {
    pub(super) fn new() -> Self {
        let (pipe, read) = (Pipe::default(), Rc::new(Cell::new(0)));
        let counter = Rc::clone(&read);
        let service = service_fn(move |request| serve(request, Rc::clone(&counter)));
        let conn = Builder::new().serve_connection(pipe.clone(), service);
        Server {
            pipe,
            conn: Some(Box::pin(conn)),
            read,
            problem: None,
            bell: Arc::default(),
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.pipe.feed(bytes);
        Arc::clone(&self.bell).until_quiet(|cx| {
            let Some(conn) = &mut self.conn else { return };
            if let Poll::Ready(end) = conn.as_mut().poll(cx) {
                self.problem = end.err();
                self.conn = None;
            }
        });
    }

    pub(super) fn has_read(&self, requests: u64) -> bool {
        self.read.get() == requests
    }

    /// Whether it refused the request for a reason that has nothing to do with where it ends.
    pub(super) fn dislikes_the_target(&self) -> bool {
        let text = self.problem.as_ref().map(|problem| format!("{problem:?}"));
        text.is_some_and(|text| text.contains("Parse(Uri"))
    }
}
