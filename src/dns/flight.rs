//! One question for many: whoever waits for it drives it, and each hears every part of its answer.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::{Answer, ResolveError, Resolving};
use crate::sync::Mutex;

/// A question under way. It goes on as long as anybody listens, whoever that is.
pub(super) struct Flight {
    question: Mutex<Resolving>,
    crowd: Arc<Crowd>,
}

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
    pub(super) fn new(question: Resolving) -> Arc<Self> {
        Arc::new(Flight {
            question: Mutex::new(question),
            crowd: Arc::default(),
        })
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
        let waiting = std::mem::take(&mut self.0.lock().waiting);
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
    pub(super) fn flight(&self) -> Weak<Flight> {
        Arc::downgrade(&self.flight)
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, ResolveError>>> {
        loop {
            if let Poll::Ready(part) = self.hear(cx) {
                return Poll::Ready(part);
            }
            // Everybody's waker is in the list before anybody looks: none misses what comes now.
            let everybody = Waker::from(Arc::clone(&self.flight.crowd));
            let polled = self
                .flight
                .question
                .lock()
                .poll_next(&mut Context::from_waker(&everybody));
            let Poll::Ready(part) = polled else {
                return Poll::Pending;
            };
            {
                let mut heard = self.flight.crowd.0.lock();
                match part {
                    Some(part) => heard.parts.push(part),
                    None => heard.over = true,
                }
            }
            self.flight.crowd.wake_all();
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
