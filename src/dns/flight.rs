//! One question for many: whoever waits for it drives it, and each hears every part of its answer.

use std::mem::{ManuallyDrop, take};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use super::table::Found;
use super::{Answer, ResolveError, Resolving};
use crate::fault::planted;
use crate::sync::Mutex;

/// What a whole answer came to.
pub(super) type Outcome = Result<Found, ResolveError>;

/// A question under way. It goes on as long as anybody listens, whoever that is.
pub(super) struct Flight {
    seat: Mutex<Seat>,
    crowd: Arc<Crowd>,
    /// What its answer came to, once somebody has written that down.
    outcome: Mutex<Option<Outcome>>,
}

/// Who drives has the question, and no lock: what it polls is a stranger's code.
struct Seat {
    question: Option<Question>,
    driver: Option<ThreadId>,
    /// Whether somebody wanted to drive meanwhile.
    missed: bool,
}

/// A stranger's futures: wherever they are dropped, a panic of theirs ends there.
struct Question(Resolving);

/// Those who wait, and what was heard. The question's waker holds it, and not the question: else that would hold itself.
#[derive(Default)]
struct Crowd(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    parts: Vec<Result<Answer, ResolveError>>,
    over: bool,
    next: u64,
    waiting: Vec<(u64, Waker)>,
}

impl Flight {
    /// The question that `ask` makes.
    pub(super) fn new(ask: impl FnOnce() -> Resolving) -> Arc<Self> {
        let question = guarded(ask).unwrap_or_else(|panicked| Resolving::ready(Err(panicked)));
        Arc::new(Flight {
            seat: Mutex::new(Seat {
                question: Some(Question(question)),
                driver: None,
                missed: false,
            }),
            crowd: Arc::default(),
            outcome: Mutex::default(),
        })
    }

    /// What its answer came to, if that has been written down.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().clone()
    }

    pub(super) fn conclude(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
    }

    /// Nobody is to wait for it any more.
    pub(super) fn overtake(&self) {
        self.crowd.0.lock().over = true;
        self.crowd.wake_all();
    }

    /// The question, to be driven. None while somebody else does: the caller is woken when that one has done with it. If that is the same thread, the
    /// question waits for itself, and waking it would only make it spin until its deadline.
    fn take(&self) -> Option<Question> {
        let (mut seat, here) = (self.seat.lock(), Some(thread::current().id()));
        match seat.question.take() {
            Some(question) => {
                (seat.driver, seat.missed) = (here, false);
                Some(question)
            }
            None => {
                seat.missed |= seat.driver != here;
                None
            }
        }
    }

    /// Puts the question back. Answers whether somebody wanted it meanwhile.
    fn put_back(&self, question: Question) -> bool {
        let mut seat = self.seat.lock();
        seat.question = Some(question);
        seat.missed
    }

    /// Listens from the beginning.
    pub(super) fn listen(self: &Arc<Self>) -> Listener {
        let mut heard = self.crowd.0.lock();
        heard.next += 1;
        Listener {
            flight: Arc::clone(self),
            number: heard.next,
            seen: 0,
        }
    }
}

impl Crowd {
    fn wake_all(&self) {
        let waiting = take(&mut self.0.lock().waiting);
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// Takes the waker of `number` out. Whatever hangs on it is dropped under no lock.
    fn leave(&self, number: u64) -> Option<Waker> {
        let waiting = &mut self.0.lock().waiting;
        let place = waiting.iter().position(|&(other, _)| other == number)?;
        Some(waiting.swap_remove(place).1)
    }
}

/// The question wakes everybody: whoever drove it last may be gone.
impl Wake for Crowd {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

/// One of those who wait.
pub(super) struct Listener {
    flight: Arc<Flight>,
    number: u64,
    /// Parts that it has heard.
    seen: usize,
}

impl Listener {
    /// What it listens to.
    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Whether it listens to this one.
    pub(super) fn hears(&self, flight: &Weak<Flight>) -> bool {
        std::ptr::eq(flight.as_ptr(), Arc::as_ptr(&self.flight))
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, ResolveError>>> {
        loop {
            if let Poll::Ready(part) = self.hear(cx) {
                return Poll::Ready(part);
            }
            // Everybody's waker is in the list before anybody looks: none misses what comes now.
            let Some(mut question) = self.flight.take() else {
                return Poll::Pending;
            };
            let everybody = Waker::from(Arc::clone(&self.flight.crowd));
            let polled = question.poll(&mut Context::from_waker(&everybody));
            let came = polled.is_ready();
            if let Poll::Ready(part) = polled {
                let mut heard = self.flight.crowd.0.lock();
                match part {
                    Some(part) => heard.parts.push(part),
                    None => heard.over = true,
                }
            }
            if self.flight.put_back(question) || came {
                self.flight.crowd.wake_all();
            }
            if !came {
                return Poll::Pending;
            }
        }
    }

    /// What was heard already; else its waker joins the list.
    fn hear(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, ResolveError>>> {
        let crowd = &self.flight.crowd;
        drop(crowd.leave(self.number));
        let mut heard = crowd.0.lock();
        if let Some(part) = heard.parts.get(self.seen) {
            self.seen += 1;
            return Poll::Ready(Some(part.clone()));
        }
        if heard.over {
            return Poll::Ready(None);
        }
        heard.waiting.push((self.number, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.flight.crowd.leave(self.number));
    }
}

impl Question {
    /// One that panics is over, and that is its answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, ResolveError>>> {
        guarded(|| self.0.poll_next(cx)).unwrap_or_else(|panicked| {
            self.end();
            Poll::Ready(Some(Err(panicked)))
        })
    }

    /// Drops what is a stranger's, one by one: of two that panic, none takes the other along.
    fn end(&mut self) {
        for part in take(&mut self.0.parts) {
            _ = guarded(|| drop(part));
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.end();
    }
}

/// Calls a resolver: a panic of its is a failure like any other, for all who wait for it.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, ResolveError> {
    if planted("resolvers_do_not_panic") {
        return Ok(call());
    }
    catch_unwind(AssertUnwindSafe(call)).map_err(|thrown| {
        _ = ManuallyDrop::new(thrown); // which may panic when it is dropped, too
        ResolveError::Failed("the resolver panicked".into())
    })
}
