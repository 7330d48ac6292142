//! Asking for a name: what is known is not asked, and what is asked already is waited for.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::flight::{Flight, Listener, Outcome};
use super::snapshot::DnsSnapshot;
use super::table::{Found, Key, Table, Terms, conclude};
use super::{Answer, Resolve, ResolveError};
use crate::clock::{Clock, Moment, before};
use crate::fault::planted;
use crate::sync::Mutex;
use crate::target::Target;

/// How long an answer with IPv4 addresses alone waits for those of IPv6 (RFC 8305 section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// How long name servers may take before what they said before serves (RFC 8767 section 5).
const PATIENCE: Duration = Duration::from_millis(1800);

/// The names that a pool knows, and who else knows them.
pub(crate) struct Names {
    resolver: Arc<dyn Resolve>,
    clock: Arc<dyn Clock>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    table: Table,
    asked: HashMap<Key, Weak<Flight>>,
}

/// A question.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) target: &'a Target<'a>,
    pub(crate) deadline: Moment,
    pub(crate) refresh: Duration,
    pub(crate) stale: Duration,
}

/// The way to an answer.
enum Way<'a> {
    Known(Outcome),
    Asking(Asking<'a>),
}

/// Somebody who waits for a question. Whoever leaves last takes it out of the book.
struct Asking<'a> {
    names: &'a Names,
    key: &'a Key,
    /// Some until it leaves.
    listener: Option<Listener>,
}

impl Asking<'_> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, ResolveError>>> {
        match &mut self.listener {
            Some(listener) => listener.poll_next(cx),
            None => Poll::Ready(None),
        }
    }

    /// The whole answer has been heard. Whoever says so first writes down what it comes to, for all who waited for it; none if the question was
    /// asked in another network.
    fn conclude(&self, now: Moment, outcome: Outcome) -> Option<Outcome> {
        let listener = self.listener.as_ref()?;
        let mut book = self.names.book.lock();
        let stands = book
            .asked
            .get(self.key)
            .is_some_and(|asked| listener.hears(asked));
        if !stands {
            return listener.flight().outcome();
        }
        book.asked.remove(self.key);
        let outcome = book.table.learn(now, self.key, outcome);
        listener.flight().conclude(outcome.clone());
        Some(outcome)
    }

    /// Its time is over. That says something of the name only if nobody waits on: then the question is given up. If it stands no more, somebody has
    /// written down what it came to, or it was asked in another network, whose answers are none here: what counts is what is known now.
    fn give_up(&mut self, now: Moment, outcome: Outcome) -> Outcome {
        let Some(listener) = self.listener.take() else {
            return outcome;
        };
        let own = Arc::downgrade(listener.flight());
        drop(listener); // under no lock
        let mut book = self.names.book.lock();
        let stands = book.asked.get(self.key).is_some_and(|asked| asked.ptr_eq(&own));
        if !stands {
            let known = book.table.known(now, self.key);
            let stale = || book.table.stale(now, self.key).ok_or(ResolveError::Timeout);
            return known.unwrap_or_else(stale);
        }
        match book.forget_given_up(self.key) {
            true => book.table.learn(now, self.key, outcome),
            false => outcome.or_else(|failure| book.table.stale(now, self.key).ok_or(failure)),
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            drop(listener); // under no lock: with the last one goes a stranger's future
            self.names.book.lock().forget_given_up(self.key);
        }
    }
}

impl Book {
    /// Whether the question for `key` is one that nobody waits for. Then it is not in the book any more.
    fn forget_given_up(&mut self, key: &Key) -> bool {
        let given_up = self.asked.get(key).is_some_and(|asked| asked.strong_count() == 0);
        if given_up {
            self.asked.remove(key);
        }
        given_up
    }
}

/// When to tell of a part of an answer.
fn tell(part: &Result<Answer, ResolveError>, now: Moment, before: Option<Moment>) -> Option<Moment> {
    match part
        .as_ref()
        .map(|answer| &answer.addresses[..])
        .unwrap_or_default()
    {
        [] => before,
        some if some.iter().any(IpAddr::is_ipv6) => Some(now),
        _ => Some(before.map_or(now + RESOLUTION_DELAY, |at| at.min(now + RESOLUTION_DELAY))),
    }
}

impl Names {
    pub(crate) fn new(resolver: Arc<dyn Resolve>, clock: Arc<dyn Clock>) -> Self {
        Names {
            resolver,
            clock,
            book: Mutex::default(),
        }
    }

    /// The addresses of a name, before the deadline. `early` hears of those that a dial may begin with while the rest is still to come: IPv6 as soon as
    /// it is there, IPv4 a moment later, what was known before if the name servers take their time. Cancel safe.
    ///
    /// # Errors
    /// As the resolver says; a deadline that passes is a timeout.
    pub(crate) async fn find(
        &self,
        ask: Ask<'_>,
        early: &mut (dyn FnMut(&Found) + Send),
    ) -> Result<Found, ResolveError> {
        let key = self.key(&ask);
        let began = self.clock.now();
        loop {
            let asking = match self.way(&key, &ask) {
                Way::Known(known) => return known,
                Way::Asking(asking) => asking,
            };
            if let Some(outcome) = self.hear_out(asking, ask, began, early).await {
                return outcome;
            }
            // The network is another one since. There is an end to it: the deadline stays.
        }
    }

    /// Waits for a whole answer. None if it is one of another network.
    async fn hear_out(
        &self,
        mut asking: Asking<'_>,
        ask: Ask<'_>,
        began: Moment,
        early: &mut (dyn FnMut(&Found) + Send),
    ) -> Option<Outcome> {
        let terms = Terms {
            refresh: ask.refresh,
            stale: ask.stale,
        };
        let mut parts: Vec<Result<Answer, ResolveError>> = Vec::new();
        // When to tell what there is, though more is to come.
        let mut tell_at = Some(began + PATIENCE);
        loop {
            let wake = tell_at.map_or(ask.deadline, |at| at.min(ask.deadline));
            let next = poll_fn(|cx| asking.poll_next(cx));
            match before(&*self.clock, wake, next).await {
                Some(Some(part)) => {
                    tell_at = tell(&part, self.clock.now(), tell_at);
                    parts.push(part);
                    continue;
                }
                Some(None) => {
                    let now = self.clock.now();
                    return asking.conclude(now, conclude(now, terms, &parts));
                }
                None => {}
            }
            let now = self.clock.now();
            if now >= ask.deadline {
                parts.push(Err(ResolveError::Timeout));
                return Some(asking.give_up(now, conclude(now, terms, &parts)));
            }
            tell_at = None;
            let partly = conclude(now, terms, &parts).ok();
            let partly = partly.map(|found| Found {
                whole: false,
                ..found
            });
            if let Some(found) = partly.or_else(|| self.book.lock().table.stale(now, asking.key)) {
                early(&found);
            }
        }
    }

    fn key(&self, ask: &Ask<'_>) -> Key {
        let port = self.resolver.tells_ports_apart().then_some(ask.target.port());
        (ask.target.host().into(), port)
    }

    fn way<'a>(&'a self, key: &'a Key, ask: &Ask<'_>) -> Way<'a> {
        let now = self.clock.now();
        let asking = |flight: &Arc<Flight>| {
            Way::Asking(Asking {
                names: self,
                key,
                listener: Some(flight.listen()),
            })
        };
        {
            let book = self.book.lock();
            if let Some(known) = book.table.known(now, key) {
                return Way::Known(known);
            }
            if let Some(flight) = book.asked.get(key).and_then(Weak::upgrade)
                && !planted("each_asks_for_itself")
            {
                return asking(&flight);
            }
        }
        // A stranger's code, under no lock. Of two who come here at once, one throws its question away unasked.
        let question = Flight::new(|| self.resolver.resolve(ask.target.host(), ask.target.port()));
        let mut book = self.book.lock();
        let other = book.asked.get(key).and_then(Weak::upgrade);
        match other {
            Some(other) if !planted("each_asks_for_itself") => asking(&other),
            _ => {
                book.asked.insert(key.clone(), Arc::downgrade(&question));
                asking(&question)
            }
        }
    }

    /// The network is another one: whoever waits for a question asks it again, and whoever comes from now on does.
    pub(crate) fn doubt(&self) {
        let now = self.clock.now();
        let asked = {
            let mut book = self.book.lock();
            book.table.doubt(now);
            match planted("late_answers_are_believed") {
                true => HashMap::new(),
                false => std::mem::take(&mut book.asked),
            }
        };
        for flight in asked.values().filter_map(Weak::upgrade) {
            flight.overtake();
        }
    }

    /// What is known now, to be known again after a restart.
    pub(crate) fn snapshot(&self) -> DnsSnapshot {
        let now = self.clock.now();
        DnsSnapshot::of(now, self.book.lock().table.found(now))
    }

    /// Knows what a snapshot knew, as far as that still holds.
    pub(crate) fn restore(&self, snapshot: &DnsSnapshot) {
        let now = self.clock.now();
        let mut book = self.book.lock();
        for (key, found) in snapshot.read(now) {
            book.table.restore(now, key, found);
        }
    }
}

#[cfg(test)]
mod tests;
