//! What moves an HTTP/2 connection, and tells what happened on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::h2::client::Connection;
use ::h2::{Ping, PingPong};
use bytes::Bytes;

use super::Shared;
use super::adapter::Adapter;
use super::book::{Leave, News};
use crate::clock::Sleep;
use crate::conn::Tls;
use crate::error::Error;
use crate::event::CloseReason;
use crate::fault::planted;

/// How long a peer may take to show life once it was asked to.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that the pool has let go of may take to say goodbye: its peer may read no more.
const GOODBYE: Duration = Duration::from_secs(1);

/// What moves an HTTP/2 connection. Ends with the reason why the connection did.
pub(crate) struct Driver {
    /// Some kilobytes. In a box, so that they are not copied into each layer of the task that runs it.
    connection: Pin<Box<Connection<Adapter<Tls>, Bytes>>>,
    shared: Arc<Shared>,
    /// Taken when it is first needed: most never are asked.
    ping: Option<PingPong>,
    proof: Option<Proof>,
    /// When its time to say goodbye is over.
    goodbye: Option<Sleep>,
    /// Why the connection has ended, once it has.
    over: Option<CloseReason>,
}

/// A sign of life that is waited for: any frame.
struct Proof {
    /// How many frames had come when it was asked for.
    frames: u64,
    /// When it is too late.
    timer: Sleep,
}

impl Driver {
    pub(super) fn new(connection: Connection<Adapter<Tls>, Bytes>, shared: Arc<Shared>) -> Self {
        Driver {
            connection: Box::pin(connection),
            shared,
            ping: None,
            proof: None,
            goodbye: None,
            over: None,
        }
    }

    /// Runs the connection until there is news. Cancel safe.
    pub(crate) async fn run(&mut self) -> News {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Moves the connection until it ends. What there is to tell is kept for [`run`](Self::run), the end as well. Cancel safe.
    pub(crate) async fn carry(&mut self) {
        std::future::poll_fn(|cx| {
            self.advance(cx);
            self.shared.book.lock().park(cx);
            match self.over {
                Some(_) => Poll::Ready(()),
                None => Poll::Pending,
            }
        })
        .await;
    }

    /// By what TLS has failed, if it has.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.shared.failure()
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.over.is_none() {
            self.over = match self.connection.as_mut().poll(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok(())) => Some(CloseReason::PeerClosed),
                Poll::Ready(Err(error)) => Some(close_reason(&error)),
            };
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        loop {
            self.advance(cx);
            let mut book = self.shared.book.lock();
            book.park(cx);
            // What was said before the end comes before it.
            if let Some(news) = book.news() {
                return Poll::Ready(news);
            }
            if let Some(reason) = self.over.filter(|_| !planted("the_broken_are_sound")) {
                drop(book);
                return Poll::Ready(News::Ended(self.shared.end(reason)));
            }
            let (question, frames, leave) = (book.take_question(), book.frames(), book.leave());
            drop(book);
            if self.has_left(cx, leave) {
                return Poll::Ready(News::Ended(self.shared.end(CloseReason::PoolClosed)));
            }
            if question && self.proof.is_none() {
                self.ask(cx, frames);
                continue; // what was asked is sent by the connection
            }
            return match self.await_proof(cx, frames) {
                Some(news) => Poll::Ready(news),
                None => Poll::Pending,
            };
        }
    }

    /// Whether the pool has let go of it, and its time to end by itself is over.
    fn has_left(&mut self, cx: &mut Context<'_>, leave: Leave) -> bool {
        match leave {
            Leave::Stay => false,
            Leave::Now => true,
            Leave::Soon => {
                let clock = &self.shared.clock;
                let goodbye = self
                    .goodbye
                    .get_or_insert_with(|| clock.sleep_until(clock.now() + GOODBYE));
                goodbye.as_mut().poll(cx).is_ready()
            }
        }
    }

    /// Asks the peer to show life.
    fn ask(&mut self, cx: &mut Context<'_>, frames: u64) {
        let clock = &self.shared.clock;
        self.proof = Some(Proof {
            frames,
            timer: clock.sleep_until(clock.now() + PING_TIMEOUT),
        });
        if self.ping.is_none() {
            self.ping = self.connection.ping_pong();
        }
        if let Some(ping) = &mut self.ping {
            // The answer to the one before, which nobody waits for any more, makes room for the next. One that is still out will do.
            let _ = ping.poll_pong(cx);
            let _ = ping.send_ping(Ping::opaque());
        }
    }

    fn await_proof(&mut self, cx: &mut Context<'_>, frames: u64) -> Option<News> {
        let proof = self.proof.as_mut()?;
        if frames > proof.frames {
            self.proof = None;
            return Some(News::Healthy);
        }
        let late = proof.timer.as_mut().poll(cx).is_ready() && !planted("pings_are_patient");
        late.then(|| News::Ended(self.shared.end(CloseReason::Unresponsive)))
    }
}

fn close_reason(error: &::h2::Error) -> CloseReason {
    if error.is_go_away() && error.is_remote() {
        CloseReason::GoAway
    } else if let Some(io) = error.get_io() {
        match io.kind() {
            std::io::ErrorKind::TimedOut => CloseReason::Unresponsive,
            _ => CloseReason::PeerClosed,
        }
    } else {
        CloseReason::Failed
    }
}
