//! Asking for a name: what is known is not asked, and what is asked already is waited for.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::flight::{Flight, Listener};
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
enum Way {
    Known(Result<Found, ResolveError>),
    Asking(Listener),
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
        let mut listener = match self.way(&key, &ask) {
            Way::Known(known) => return known,
            Way::Asking(listener) => listener,
        };
        let terms = Terms {
            refresh: ask.refresh,
            stale: ask.stale,
        };
        let began = self.clock.now();
        let mut parts: Vec<Result<Answer, ResolveError>> = Vec::new();
        // When to tell what there is, though more is to come.
        let mut tell_at = Some(began + PATIENCE);
        let ended = loop {
            let wake = tell_at.map_or(ask.deadline, |at| at.min(ask.deadline));
            let next = poll_fn(|cx| listener.poll_next(cx));
            match before(&*self.clock, wake, next).await {
                Some(Some(part)) => {
                    tell_at = tell(&part, self.clock.now(), tell_at);
                    parts.push(part);
                    continue;
                }
                Some(None) => break true,
                None => {}
            }
            let now = self.clock.now();
            if now >= ask.deadline {
                parts.push(Err(ResolveError::Timeout));
                break false; // it goes on, if somebody else waits for it
            }
            tell_at = None;
            let partly = conclude(now, terms, &parts).ok();
            let partly = partly.map(|found| Found {
                whole: false,
                ..found
            });
            if let Some(found) = partly.or_else(|| self.book.lock().table.stale(now, &key)) {
                early(&found);
            }
        };
        let flight = listener.flight();
        drop(listener);
        let now = self.clock.now();
        let mut book = self.book.lock();
        let over = |asked: &Weak<Flight>| asked.strong_count() == 0 || (ended && asked.ptr_eq(&flight));
        book.asked.retain(|_, asked| !over(asked));
        book.table.learn(now, &key, conclude(now, terms, &parts))
    }

    fn key(&self, ask: &Ask<'_>) -> Key {
        let port = self.resolver.tells_ports_apart().then_some(ask.target.port());
        (ask.target.host().into(), port)
    }

    fn way(&self, key: &Key, ask: &Ask<'_>) -> Way {
        let now = self.clock.now();
        {
            let book = self.book.lock();
            if let Some(known) = book.table.known(now, key) {
                return Way::Known(known);
            }
            if let Some(flight) = book.asked.get(key).and_then(Weak::upgrade)
                && !planted("each_asks_for_itself")
            {
                return Way::Asking(flight.listen());
            }
        }
        // A stranger's code, under no lock. Of two who come here at once, one throws its question away unasked.
        let question = Flight::new(self.resolver.resolve(ask.target.host(), ask.target.port()));
        let mut book = self.book.lock();
        let other = book.asked.get(key).and_then(Weak::upgrade);
        let flight = match other {
            Some(other) if !planted("each_asks_for_itself") => other,
            _ => {
                book.asked.retain(|_, asked| asked.strong_count() > 0); // given up by all who waited
                book.asked.insert(key.clone(), Arc::downgrade(&question));
                question
            }
        };
        Way::Asking(flight.listen())
    }

    /// The network is another one: whoever comes from now on asks again, also where a question is under way.
    pub(crate) fn doubt(&self) {
        let now = self.clock.now();
        let mut book = self.book.lock();
        book.asked.clear();
        book.table.doubt(now);
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
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::clock::ManualClock;
    use crate::dns::Resolving;

    type Say = Option<(u64, Result<Answer, ResolveError>)>;

    /// Answers for IPv6 and for IPv4 after so many milliseconds each; nothing: never.
    struct Staged {
        v6: Say,
        v4: Say,
        clock: ManualClock,
        asked: AtomicU32,
    }

    impl Resolve for Staged {
        fn resolve(&self, _: &str, _: u16) -> Resolving {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let part = |say: &Say| {
                let (say, clock) = (say.clone(), self.clock.clone());
                async move {
                    let Some((after, answer)) = say else {
                        return std::future::pending().await;
                    };
                    clock
                        .sleep_until(clock.now() + Duration::from_millis(after))
                        .await;
                    answer
                }
            };
            Resolving::families(part(&self.v6), part(&self.v4))
        }

        fn tells_ports_apart(&self) -> bool {
            false
        }
    }

    fn some(ip: &str) -> Result<Answer, ResolveError> {
        Ok(Answer {
            addresses: vec![ip.parse().expect("an address")],
            ttl: Duration::from_secs(60),
        })
    }

    fn names(v6: Say, v4: Say) -> (Arc<Names>, Arc<Staged>, ManualClock) {
        struct Shared(Arc<Staged>);
        impl Resolve for Shared {
            fn resolve(&self, host: &str, port: u16) -> Resolving {
                self.0.resolve(host, port)
            }
            fn tells_ports_apart(&self) -> bool {
                false
            }
        }
        let clock = ManualClock::new();
        let staged = Arc::new(Staged {
            v6,
            v4,
            clock: clock.clone(),
            asked: AtomicU32::new(0),
        });
        let names = Names::new(Arc::new(Shared(Arc::clone(&staged))), Arc::new(clock.clone()));
        (Arc::new(names), staged, clock)
    }

    /// What is told early and in the end, each with the milliseconds that had passed.
    async fn told(names: &Names, clock: &ManualClock) -> Vec<(u128, Result<Vec<String>, ResolveError>)> {
        let target = Target::try_from("a.test").expect("a target");
        let began = clock.now();
        let ask = Ask {
            target: &target,
            deadline: began + Duration::from_secs(5),
            refresh: Duration::from_secs(1800),
            stale: Duration::from_secs(3600),
        };
        let list = |found: &Found| found.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>();
        let told = Mutex::new(Vec::new());
        let mut early = |found: &Found| {
            let passed = clock.now().since(began).as_millis();
            told.lock().push((passed, Ok(list(found))));
        };
        let mut find = std::pin::pin!(names.find(ask, &mut early));
        let outcome = loop {
            let polled = poll_fn(|cx| std::task::Poll::Ready(find.as_mut().poll(cx))).await;
            match polled {
                std::task::Poll::Ready(outcome) => break outcome,
                std::task::Poll::Pending => clock.advance(Duration::from_millis(10)),
            }
        };
        let passed = clock.now().since(began).as_millis();
        told.lock()
            .push((passed, outcome.as_ref().map(list).map_err(Clone::clone)));
        let told = told.lock();
        told.clone()
    }

    const SIX: &str = "2001:db8::1";
    const FOUR: &str = "192.0.2.1";

    #[tokio::test]
    async fn ipv6_is_told_at_once_and_ipv4_waits_a_moment_for_it() {
        let all = || Ok(vec![SIX.to_owned(), FOUR.to_owned()]);
        for (v6, v4, early) in [
            (10, 200, Some((10, Ok(vec![SIX.to_owned()])))),
            (200, 10, Some((60, Ok(vec![FOUR.to_owned()])))),
            (50, 10, Some((50, all()))),
        ] {
            let (names, _, clock) = names(Some((v6, some(SIX))), Some((v4, some(FOUR))));
            let told = told(&names, &clock).await;
            let whole = told.last().expect("an outcome");
            let addresses = whole.1.as_ref().expect("found");
            assert_eq!((whole.0, addresses.len()), (u128::from(v6.max(v4)), 2));
            match early.filter(|_| told.len() > 1) {
                Some(early) => assert_eq!(told[0], early),
                None => assert_eq!((v6, told.len()), (50, 1), "both came before it was told"),
            }
        }
    }

    #[tokio::test]
    async fn a_family_that_never_answers_is_waited_for_until_the_deadline_and_not_missed() {
        let (names, staged, clock) = names(None, Some((10, some(FOUR))));
        let four = || Ok(vec![FOUR.to_owned()]);
        assert_eq!(told(&names, &clock).await, [(60, four()), (5_000, four())]);
        // Known now, in part, and for a short time.
        assert_eq!(told(&names, &clock).await, [(0, four())]);
        clock.advance(Duration::from_secs(30));
        assert_eq!(told(&names, &clock).await.len(), 2);
        assert_eq!(staged.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_was_known_before_serves_where_name_servers_take_their_time() {
        let (first, _, clock) = names(Some((0, some(SIX))), Some((0, some(FOUR))));
        told(&first, &clock).await;
        let known = {
            let book = first.book.lock();
            let found = book.table.found(clock.now());
            found
                .map(|(key, found)| (key.clone(), found.clone()))
                .collect::<Vec<_>>()
        };
        let (names, _, clock) = names(None, None);
        for (key, found) in known {
            names.book.lock().table.restore(clock.now(), key, found);
        }
        clock.advance(Duration::from_secs(100));
        let told = told(&names, &clock).await;
        let both = || Ok(vec![SIX.to_owned(), FOUR.to_owned()]);
        assert_eq!(told, [(1_800, both()), (5_000, both())]);
    }

    #[tokio::test]
    async fn many_who_ask_at_once_ask_one_question() {
        let (names, staged, clock) = names(Some((10, some(SIX))), Some((20, some(FOUR))));
        let target = Target::try_from("a.test").expect("a target");
        let ask = Ask {
            target: &target,
            deadline: Moment::FAR,
            refresh: Duration::from_secs(1800),
            stale: Duration::from_secs(3600),
        };
        let mut finds: Vec<_> = (0..10)
            .map(|_| {
                let names = Arc::clone(&names);
                Box::pin(async move { names.find(ask, &mut |_| {}).await })
            })
            .collect();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        for find in &mut finds {
            assert!(find.as_mut().poll(&mut cx).is_pending());
        }
        // Whoever drove it last is gone: the others drive it.
        drop(finds.pop());
        clock.advance(Duration::from_millis(20));
        for find in finds {
            assert_eq!(find.await.expect("found").addresses.len(), 2);
        }
        assert_eq!(staged.asked.load(Ordering::Relaxed), 1);
        assert!(names.book.lock().asked.is_empty());
    }

    /// Whatever woke it last holds no question.
    #[tokio::test]
    async fn a_question_that_nobody_waits_for_is_given_up() {
        struct Held(Arc<()>, ManualClock);
        impl Resolve for Held {
            fn resolve(&self, _: &str, _: u16) -> Resolving {
                let (held, clock) = (Arc::clone(&self.0), self.1.clone());
                Resolving::new(async move {
                    clock.sleep_until(Moment::FAR).await;
                    drop(held);
                    Err(ResolveError::Timeout)
                })
            }
        }
        let (held, clock) = (Arc::new(()), ManualClock::new());
        let resolver = Held(Arc::clone(&held), clock.clone());
        let names = Names::new(Arc::new(resolver), Arc::new(clock.clone()));
        let target = Target::try_from("a.test").expect("a target");
        let ask = Ask {
            target: &target,
            deadline: Moment::FAR,
            refresh: Duration::from_secs(1800),
            stale: Duration::from_secs(3600),
        };
        let mut early = |_: &Found| {};
        {
            let mut find = std::pin::pin!(names.find(ask, &mut early));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(find.as_mut().poll(&mut cx).is_pending());
            assert_eq!(Arc::strong_count(&held), 3);
        }
        assert_eq!(Arc::strong_count(&held), 2);
        assert_eq!(clock.sleepers(), 0);
        // What was given up leaves no more than itself behind, however many names that are.
        for name in ["b.test", "c.test", "d.test"] {
            let target = Target::try_from(name).expect("a target");
            let mut early = |_: &Found| {};
            let mut find = std::pin::pin!(names.find(
                Ask {
                    target: &target,
                    ..ask
                },
                &mut early
            ));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(find.as_mut().poll(&mut cx).is_pending());
            assert_eq!(names.book.lock().asked.len(), 1);
        }
    }
}
