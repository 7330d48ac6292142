use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::task::{Wake, Waker};

use super::*;
use crate::clock::ManualClock;
use crate::dns::Resolving;

fn ask<'a>(target: &'a Target<'a>, deadline: Moment) -> Ask<'a> {
    Ask {
        target,
        deadline,
        refresh: Duration::from_secs(1800),
        stale: Duration::from_secs(3600),
    }
}

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
    let ask = ask(&target, began + Duration::from_secs(5));
    let list = |found: &Found| found.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>();
    let told = Mutex::new(Vec::new());
    let mut early = |found: &Found| {
        let passed = clock.now().since(began).as_millis();
        told.lock().push((passed, Ok(list(found))));
    };
    let mut find = std::pin::pin!(names.find(ask, &mut early));
    let outcome = loop {
        let polled = poll_fn(|cx| Poll::Ready(find.as_mut().poll(cx))).await;
        match polled {
            Poll::Ready(outcome) => break outcome,
            Poll::Pending => clock.advance(Duration::from_millis(10)),
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
    let ask = ask(&target, Moment::FAR);
    let mut finds: Vec<_> = (0..10)
        .map(|_| {
            let names = Arc::clone(&names);
            Box::pin(async move { names.find(ask, &mut |_| {}).await })
        })
        .collect();
    let mut cx = Context::from_waker(Waker::noop());
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
    let ask = ask(&target, Moment::FAR);
    let mut early = |_: &Found| {};
    {
        let mut find = std::pin::pin!(names.find(ask, &mut early));
        let mut cx = Context::from_waker(Waker::noop());
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
        let mut cx = Context::from_waker(Waker::noop());
        assert!(find.as_mut().poll(&mut cx).is_pending());
        assert_eq!(names.book.lock().asked.len(), 1);
    }
}

const TARGET: &str = "a.test";

/// What each question is answered: the first one first.
struct Answers(Mutex<Vec<Resolving>>);

impl Resolve for Answers {
    fn resolve(&self, _: &str, _: u16) -> Resolving {
        self.0.lock().remove(0)
    }
}

fn answers(answers: impl IntoIterator<Item = Resolving>) -> (Names, ManualClock) {
    let clock = ManualClock::new();
    let answers = Answers(Mutex::new(answers.into_iter().collect()));
    (Names::new(Arc::new(answers), Arc::new(clock.clone())), clock)
}

/// An answer that comes when it is sent.
fn later() -> (
    tokio::sync::oneshot::Sender<Result<Answer, ResolveError>>,
    Resolving,
) {
    let (sender, answer) = tokio::sync::oneshot::channel();
    let answer = Resolving::new(async { answer.await.unwrap_or(Err(ResolveError::Timeout)) });
    (sender, answer)
}

async fn find(names: &Names, deadline: Moment) -> Outcome {
    let target = Target::try_from(TARGET).expect("a target");
    names.find(ask(&target, deadline), &mut |_| {}).await
}

fn list(outcome: Outcome) -> Result<Vec<String>, ResolveError> {
    outcome.map(|found| found.addresses.iter().map(IpAddr::to_string).collect())
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_resolver_that_panics_has_failed_for_all_who_wait() {
    struct Panics;
    impl Resolve for Panics {
        fn resolve(&self, _: &str, _: u16) -> Resolving {
            panic!("as the test wants it")
        }
    }
    let failed = Err(ResolveError::Failed("the resolver panicked".into()));
    let names = Names::new(Arc::new(Panics), Arc::new(ManualClock::new()));
    assert_eq!(find(&names, Moment::FAR).await, failed);

    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let (names, _) = answers([Resolving::new(async {
        _ = told.await;
        panic!("as the test wants it")
    })]);
    let mut finds = [(); 3].map(|()| Box::pin(find(&names, Moment::FAR)));
    let mut cx = Context::from_waker(Waker::noop());
    for find in &mut finds {
        assert!(find.as_mut().poll(&mut cx).is_pending());
    }
    drop(tell);
    for find in finds {
        assert_eq!(find.await, failed);
    }
    assert!(names.book.lock().asked.is_empty());
}

/// Answers nothing, and panics when it is dropped, and so does what it throws.
struct LastWords;

impl Future for LastWords {
    type Output = Result<Answer, ResolveError>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        std::panic::panic_any(LastWords);
    }
}

/// Wherever a question goes: given up, out of time, thrown away because somebody else asked it, ended by another panic, left behind in another network.
#[tokio::test]
async fn a_resolver_that_panics_when_it_is_dropped_harms_nobody() {
    let words = || Resolving::families(LastWords, LastWords);
    let panics = Resolving::families(LastWords, async { panic!("as the test wants it") });
    let (names, clock) = answers([words(), words(), words(), panics, Resolving::ready(some(FOUR))]);
    let mut cx = Context::from_waker(Waker::noop());
    let mut gives_up = Box::pin(find(&names, Moment::FAR));
    assert!(gives_up.as_mut().poll(&mut cx).is_pending());
    drop(gives_up);
    assert_eq!(find(&names, clock.now()).await, Err(ResolveError::Timeout));
    clock.advance(Duration::from_secs(60)); // it is remembered for a while
    drop(Flight::new(words));
    let mut waits = Box::pin(find(&names, Moment::FAR));
    assert!(waits.as_mut().poll(&mut cx).is_pending());
    names.doubt();
    let failed = Err(ResolveError::Failed("the resolver panicked".into()));
    assert_eq!(waits.await, failed, "the next question's answer");
    clock.advance(Duration::from_secs(60));
    assert_eq!(list(find(&names, Moment::FAR).await), Ok(vec![FOUR.to_owned()]));
}

#[tokio::test]
async fn of_one_answer_is_learned_once() {
    let (send_old, old) = later();
    let (send_new, new) = later();
    let (names, clock) = answers([old, new]);
    let mut cx = Context::from_waker(Waker::noop());
    let mut finds = [(); 2].map(|()| Box::pin(find(&names, Moment::FAR)));
    for find in &mut finds {
        assert!(find.as_mut().poll(&mut cx).is_pending());
    }
    send_old.send(some(FOUR)).expect("somebody waits");
    let [first, slow] = finds;
    let found = first.await;
    // The other one has not looked yet, and the name is asked for again.
    clock.advance(Duration::from_secs(60));
    let mut again = Box::pin(find(&names, Moment::FAR));
    assert!(again.as_mut().poll(&mut cx).is_pending());
    send_new.send(some(SIX)).expect("somebody waits");
    assert_eq!(list(again.await), Ok(vec![SIX.to_owned()]));
    assert_eq!(slow.await, found, "what it waited for");
    assert_eq!(list(find(&names, Moment::FAR).await), Ok(vec![SIX.to_owned()]));
}

/// Whoever is out of time first says nothing of the name while others wait.
#[tokio::test]
async fn one_who_runs_out_of_time_teaches_nobody() {
    let (send, answer) = later();
    let (names, clock) = answers([answer]);
    let mut cx = Context::from_waker(Waker::noop());
    let mut patient = Box::pin(find(&names, Moment::FAR));
    assert!(patient.as_mut().poll(&mut cx).is_pending());
    let soon = clock.now() + Duration::from_secs(1);
    let mut hasty = Box::pin(find(&names, soon));
    assert!(hasty.as_mut().poll(&mut cx).is_pending());
    clock.advance(Duration::from_secs(1));
    assert_eq!(hasty.await, Err(ResolveError::Timeout));
    let mut third = Box::pin(find(&names, Moment::FAR));
    assert!(
        third.as_mut().poll(&mut cx).is_pending(),
        "it waits for the answer, too"
    );
    send.send(some(FOUR)).expect("somebody waits");
    assert_eq!(list(patient.await), Ok(vec![FOUR.to_owned()]));
    assert_eq!(list(third.await), Ok(vec![FOUR.to_owned()]));
}

#[tokio::test]
async fn whoever_waits_in_another_network_asks_again() {
    let (send_old, old) = later();
    let (names, clock) = answers([old, Resolving::ready(some(FOUR))]);
    let mut waits = Box::pin(find(&names, Moment::FAR));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut cx).is_pending());
    names.doubt();
    assert_eq!(list(waits.await), Ok(vec![FOUR.to_owned()]));
    assert!(send_old.send(some(SIX)).is_err(), "nobody waits for that");
    assert_eq!(list(find(&names, Moment::FAR).await), Ok(vec![FOUR.to_owned()]));
    assert_eq!(clock.sleepers(), 0);
}

/// Its time is over in the moment in which the network becomes another one: what it had heard of the old one's answer is none.
#[test]
fn who_is_out_of_time_in_another_network_has_heard_nothing() {
    let half = || Resolving::families(std::future::pending(), async { some(FOUR) });
    let (names, clock) = answers([half(), half()]);
    let target = Target::try_from(TARGET).expect("a target");
    let ask = ask(&target, Moment::FAR);
    let key = names.key(&ask);
    let heard = |names: &Names| {
        let Way::Asking(mut asking) = names.way(&key, &ask) else {
            panic!("nothing is known")
        };
        let mut cx = Context::from_waker(Waker::noop());
        let part = asking.poll_next(&mut cx);
        assert_eq!(part, Poll::Ready(Some(some(FOUR))));
        let terms = Terms {
            refresh: ask.refresh,
            stale: ask.stale,
        };
        let partly = conclude(clock.now(), terms, &[some(FOUR), Err(ResolveError::Timeout)]);
        names.doubt();
        asking.give_up(clock.now(), partly)
    };
    assert_eq!(heard(&names), Err(ResolveError::Timeout));
    assert_eq!(
        heard(&names),
        Err(ResolveError::Timeout),
        "nor did it teach anybody"
    );
}

/// A resolver at work holds up nobody else, and whoever came meanwhile is woken, though nobody else goes on.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may have two threads")]
fn nobody_waits_for_a_lock_while_a_resolver_is_at_work() {
    let (came, has_come) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let mut at_work = Some((came, may_go));
    let (names, _) = answers([Resolving::new(poll_fn(move |_| match at_work.take() {
        Some((came, may_go)) => {
            came.send(()).expect("the test waits");
            may_go
                .recv_timeout(Duration::from_secs(10))
                .expect("the other did not wait for this");
            Poll::Pending
        }
        None => Poll::Ready(some(FOUR)),
    }))]);
    let names = &names;
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut other = Box::pin(find(names, Moment::FAR));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = Box::pin(find(names, Moment::FAR));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(first.as_mut().poll(&mut cx).is_pending());
        });
        has_come.recv().expect("it is at work");
        assert!(other.as_mut().poll(&mut cx).is_pending());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        go.send(()).expect("it is at work");
    });
    assert!(woken.0.load(Ordering::Relaxed) > 0, "it is its turn");
    let Poll::Ready(found) = other.as_mut().poll(&mut cx) else {
        panic!("the answer is there");
    };
    assert_eq!(list(found), Ok(vec![FOUR.to_owned()]));
}
