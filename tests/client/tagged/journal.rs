//! What a server that ends connections in the middle knows of them.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::text::Tagged;
use crate::servers::Line;

/// Over which connection each request came, and which connections were cut.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Book>);

#[derive(Default)]
struct Book {
    came: HashMap<u64, usize>,
    /// Requests that came more than once.
    again: Vec<u64>,
    /// Those whose answer is not all handed over, by their connection.
    under_way: HashMap<usize, HashSet<u64>>,
    cut: HashSet<usize>,
    /// Those of which the end was never handed over, since their connection was cut before.
    torn: HashSet<u64>,
}

impl Journal {
    pub(super) fn came(&self, tag: u64, line: &Line) {
        let mut book = self.0.lock().unwrap();
        if book.came.insert(tag, line.number).is_some() {
            book.again.push(tag);
        }
        book.under_way.entry(line.number).or_default().insert(tag);
    }

    /// The end of its answer is handed over, unless its connection was cut meanwhile.
    fn ends(&self, tag: u64, line: &Line) -> bool {
        let mut book = self.0.lock().unwrap();
        if let Some(under_way) = book.under_way.get_mut(&line.number) {
            under_way.remove(&tag);
        }
        !book.cut.contains(&line.number)
    }

    /// Cuts a connection, and with it all that is under way on it.
    fn cut(&self, line: &Line) {
        let mut book = self.0.lock().unwrap();
        book.cut.insert(line.number);
        let torn = book.under_way.remove(&line.number).unwrap_or_default();
        book.torn.extend(torn);
        line.cut();
    }

    /// Whether the connection of this request was cut, if it came.
    pub(crate) fn was_cut(&self, tag: u64) -> Option<bool> {
        let book = self.0.lock().unwrap();
        book.came.get(&tag).map(|line| book.cut.contains(line))
    }

    /// How many connections were cut, whose answers have no end for that, and who came more than once.
    pub(crate) fn read(&self) -> (usize, HashSet<u64>, Vec<u64>) {
        let book = self.0.lock().unwrap();
        (book.cut.len(), book.torn.clone(), book.again.clone())
    }
}

/// The body of an answer, of which the journal is told.
pub(super) struct Served {
    body: Tagged,
    tag: u64,
    line: Line,
    journal: Arc<Journal>,
    /// Whether its connection is cut where it breaks off.
    cuts: bool,
}

impl Served {
    pub(super) fn new(body: Tagged, tag: u64, line: Line, journal: Arc<Journal>, cuts: bool) -> Self {
        if body.is_end_stream() {
            journal.ends(tag, &line); // nobody asks for it
        }
        Served {
            body,
            tag,
            line,
            journal,
            cuts,
        }
    }
}

impl Body for Served {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let ends = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            Poll::Ready(Some(Err(_))) if this.cuts => {
                this.journal.cut(&this.line);
                return Poll::Pending;
            }
            _ => false,
        };
        match ends && !this.journal.ends(this.tag, &this.line) {
            true => Poll::Pending, // there is nobody to hear of it
            false => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
