//! A connection that is looked over before anybody has it: small requests over it, and what is known of it.

use std::pin::pin;
use std::task::Poll;

use http::uri::Authority;
use http::{Request, Response, StatusCode};

use super::exchange::{Ask, exchange, exchange_h2, explained};
use super::{ConnInfo, Driver, Wire};
use crate::clock::{Clock, Moment};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::sync::{AtomicBool, Ordering};

/// A connection fresh from its handshakes that a [`Validator`](crate::Validator) judges. If it is taken, this very connection goes into the pool.
pub struct Candidate<'a> {
    wire: &'a mut Wire,
    info: &'a ConnInfo,
    authority: &'a Authority,
    clock: &'a dyn Clock,
    deadline: Moment,
    answered: Option<StatusCode>,
    asking: &'a Asking,
}

/// Whether a question is out over a candidate, for those who wait for its judgement.
#[derive(Default)]
pub(crate) struct Asking {
    /// One that was dropped stays so.
    out: AtomicBool,
    given_up: AtomicBool,
}

impl Asking {
    /// Whether the peer has yet to answer, and somebody waits for that.
    pub(crate) fn is_under_way(&self) -> bool {
        self.out.load(Ordering::Relaxed) && !self.given_up.load(Ordering::Relaxed)
    }

    /// The next one; none if the one before has not been answered.
    fn begin(&self) -> Option<Question<'_>> {
        let out =
            self.out.swap(true, Ordering::Relaxed) && !planted("given_up_questions_are_followed_by_others");
        (!out).then_some(Question(self))
    }

    /// Whether one was begun and is not over.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.out.load(Ordering::Relaxed) && !planted("given_up_questions_are_forgotten")
    }
}

/// A question that is out.
struct Question<'a>(&'a Asking);

impl Question<'_> {
    fn end(self) {
        self.0.out.store(false, Ordering::Relaxed);
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if self.0.out.load(Ordering::Relaxed) {
            self.0.given_up.store(true, Ordering::Relaxed);
        }
    }
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(
        wire: &'a mut Wire,
        info: &'a ConnInfo,
        (authority, asking): (&'a Authority, &'a Asking),
        (clock, deadline): (&'a dyn Clock, Moment),
    ) -> Self {
        Candidate {
            wire,
            info,
            authority,
            clock,
            deadline,
            answered: None,
            asking,
        }
    }

    /// What is known of it: address, protocol, TLS.
    pub fn info(&self) -> &ConnInfo {
        self.info
    }

    /// Sends a request without a body over it, and reads the answer to its end: 1 MiB at the most, heads included. Over either protocol; of the URI the
    /// path and the query count. `Host` is the target's unless the request names one, `Accept` is `*/*`.
    ///
    /// Dropped before it has answered it leaves a connection that is not pooled, on which nothing else is asked, whatever the verdict, and blames nobody; one of
    /// HTTP/2 that others use stays with them, and this call fails.
    ///
    /// # Errors
    /// In [`Phase::Validate`]: time ran out, the connection failed or ended, what came is no answer or is too long. [`ErrorKind::Unsupported`] for CONNECT,
    /// [`ErrorKind::Busy`] after a question that was given up.
    pub async fn ask(&mut self, request: &Request<()>) -> Result<Response<()>, Error> {
        let ask = Ask {
            phase: Phase::Validate,
            authority: self.authority,
            request,
        };
        if request.method() == http::Method::CONNECT {
            return Err(Error::new(ErrorKind::Unsupported, Phase::Validate));
        }
        let Some(question) = self.asking.begin() else {
            return Err(Error::new(ErrorKind::Busy, Phase::Validate));
        };
        let answer = match &mut *self.wire {
            Wire::H1(h1) => exchange(h1, ask, self.clock, self.deadline).await,
            Wire::H2(h2) => exchange_h2(h2, ask, self.clock, self.deadline).await,
            #[cfg(feature = "__internals")]
            Wire::Scripted(_) => Err(Error::new(ErrorKind::Unsupported, Phase::Validate)),
        };
        question.end();
        let answer = answer.map_err(|error| error.with_phase(Phase::Validate));
        self.answered = answer.as_ref().ok().map(Response::status);
        answer
    }

    /// The status of the last answer.
    pub(crate) fn answered(&self) -> Option<StatusCode> {
        self.answered
    }

    /// Whether it may be used after what was asked.
    pub(crate) fn verdict(&mut self) -> Result<(), CloseReason> {
        if self.asking.is_unanswered() {
            return Err(CloseReason::HalfRead);
        }
        match &mut *self.wire {
            Wire::H2(h2) => h2.look(),
            wire => wire.come_home(),
        }
    }
}

impl std::fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate")
            .field("info", self.info)
            .finish_non_exhaustive()
    }
}

/// Runs `judging` while the connection moves. The end of the connection is the end of that.
pub(crate) async fn carried<T>(
    driver: Option<&mut Driver>,
    judging: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(driver) = driver else {
        return judging.await;
    };
    let judged = {
        let mut judging = pin!(judging);
        let mut ended = pin!(driver.carry());
        std::future::poll_fn(|cx| {
            // The connection first: what it has read the other finds.
            let over = ended.as_mut().poll(cx);
            match (judging.as_mut().poll(cx), over) {
                (Poll::Ready(answer), _) => Poll::Ready(Some(answer)),
                (_, Poll::Ready(_)) => Poll::Ready(None),
                _ => Poll::Pending,
            }
        })
        .await
    };
    let reset = Error::new(ErrorKind::ConnectionReset, Phase::Validate);
    judged.unwrap_or_else(|| Err(explained(reset, driver.failure())))
}
