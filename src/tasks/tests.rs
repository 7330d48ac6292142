//! A job and its supervisor, on a clock that moves when told to.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use super::*;
use crate::clock::ManualClock;

const SECOND: Duration = Duration::from_secs(1);

fn post() -> Post {
    Post {
        name: "test",
        call: Arc::default(),
        counts: Arc::default(),
    }
}

/// A supervisor that is polled by hand, with what its job does each time: the last of them for ever.
struct Stand {
    clock: ManualClock,
    post: Post,
    runs: Arc<AtomicUsize>,
    task: Pin<Box<dyn Future<Output = ()>>>,
}

impl Stand {
    fn new(acts: &'static [fn(&ManualClock) -> Option<Next>]) -> Self {
        let (clock, post, runs) = (ManualClock::new(), post(), Arc::new(AtomicUsize::new(0)));
        let (time, count) = (clock.clone(), Arc::clone(&runs));
        let job = move || {
            let nth = count.fetch_add(1, Ordering::Relaxed);
            let time = time.clone();
            async move { acts[nth.min(acts.len() - 1)](&time) }
        };
        let task = supervise(Arc::new(clock.clone()), post.clone(), job);
        Stand {
            clock,
            post,
            runs,
            task: Box::pin(task),
        }
    }

    /// Polls it. Answers how often the job has run, and whether it is over.
    fn turn(&mut self) -> (usize, bool) {
        let polled = self.task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        (self.runs.load(Ordering::Relaxed), polled.is_ready())
    }

    fn after(&mut self, span: Duration) -> (usize, bool) {
        self.clock.advance(span);
        self.turn()
    }
}

fn in_ten_seconds(clock: &ManualClock) -> Option<Next> {
    Some(Next::At(clock.now() + 10 * SECOND))
}

#[test]
fn a_job_runs_again_when_it_said_or_is_called() {
    let mut stand = Stand::new(&[in_ten_seconds, in_ten_seconds, |_| Some(Next::Called), |_| None]);
    assert_eq!(stand.turn(), (1, false), "at once");
    assert_eq!(stand.after(10 * SECOND - Duration::from_nanos(1)), (1, false));
    assert_eq!(stand.after(Duration::from_nanos(1)), (2, false));
    stand.post.call.notify_one();
    assert_eq!(stand.turn(), (3, false), "called");
    assert_eq!(stand.after(1000 * SECOND), (3, false), "only when it is called");
    stand.post.call.notify_one();
    assert_eq!(stand.turn(), (4, true), "over");
    assert_eq!(stand.post.counts.read(), (3, 0));
}

/// What changes while it runs is not lost: it runs once more.
#[test]
fn a_call_while_it_runs_is_heard() {
    let mut stand = Stand::new(&[in_ten_seconds]);
    stand.post.call.notify_one();
    assert_eq!(stand.turn(), (2, false));
    assert_eq!(stand.turn(), (2, false), "once");
}

#[test]
fn a_job_that_panics_starts_anew_after_a_while_that_doubles() {
    let mut stand = Stand::new(&[
        |_| panic!("first"),
        |_| panic!("{}", "second"),
        in_ten_seconds,
        |_| panic!("third"),
        |_| None,
    ]);
    assert_eq!(stand.turn(), (1, false));
    stand.post.call.notify_one();
    assert_eq!(
        stand.after(SECOND - Duration::from_nanos(1)),
        (1, false),
        "it rests"
    );
    assert_eq!(stand.after(Duration::from_nanos(1)), (2, false));
    assert_eq!(
        stand.after(2 * SECOND - Duration::from_nanos(1)),
        (2, false),
        "longer"
    );
    // The call from when it rested has it run twice: to the panic after that.
    assert_eq!(stand.after(Duration::from_nanos(1)), (4, false));
    assert_eq!(
        stand.after(SECOND),
        (5, true),
        "one that went well is a new beginning"
    );
    assert_eq!(stand.post.counts.read(), (1, 3));
}

/// However often, and however late in its run.
#[test]
fn a_job_that_always_panics_is_tried_once_a_minute() {
    let (clock, post) = (ManualClock::new(), post());
    let job = || async {
        tokio::task::yield_now().await;
        panic!("after an await");
    };
    let mut task = Box::pin(supervise(Arc::new(clock.clone()), post.clone(), job));
    let mut turn = || {
        for _ in 0..3 {
            let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
    };
    for _ in 0..3600 {
        turn();
        clock.advance(SECOND);
    }
    let (runs, panics) = post.counts.read();
    assert_eq!(runs, 0);
    assert!((60..=70).contains(&panics), "{panics} in an hour");
}

#[test]
fn a_panic_says_what_it_was_told() {
    let told: [(Panic, &str); 3] = [
        (Box::new("text"), "text"),
        (Box::new(String::from("owned")), "owned"),
        (Box::new(7), "no message"),
    ];
    for (panic, text) in told {
        assert_eq!(said(&*panic), text);
    }
    let long: Panic = Box::new("ä".repeat(1000));
    assert_eq!(said(&*long), "ä".repeat(100));
}
