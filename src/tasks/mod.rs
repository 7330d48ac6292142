//! Named jobs that run again and again. Knows nothing of pools.
//!
//! A job runs once and says when it wants to run again; until then it can be called. One that panics is counted, named in the log and started
//! anew after a while, longer each time. The task that runs it is the caller's to start, through [`rt`](crate::rt), which ends and joins it.
//!
//! ```text
//!          said when, or called
//!   ┌────────────────────────────────┐
//!   v                                │
//! Runs ── says when it runs again ─> Waits
//!   │ ^                  its time
//!   │ └─────────────────────────── Recovers
//!   │ ── panics ──────────────────────^
//!   └ ── has nothing more to do ──> (over)
//! ```

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::{Clock, Moment, before};
use crate::event::TaskCounts;
use crate::fault::planted;
use tokio::sync::Notify;

/// After its first panic a job rests this long, twice as long after the next in a row, and so on.
const FIRST_REST: Duration = Duration::from_secs(1);
/// At most.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// When a job wants to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At that moment, or when it is called before.
    At(Moment),
    /// When it is called.
    Called,
}

/// A job that can be called, and what is counted of it. Clones share it.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) name: &'static str,
    /// Wakes it.
    pub(crate) call: Arc<Notify>,
    pub(crate) counts: Arc<TaskCounts>,
}

/// Runs `job` until it has nothing more to do. Cancel safe where `job` is.
///
/// A call that comes while it runs has it run once more. A job that has panicked hears no call while it rests: what made it panic
/// may call it.
pub(crate) async fn supervise<F>(clock: Arc<dyn Clock>, post: Post, mut job: impl FnMut() -> F)
where
    F: Future<Output = Option<Next>>,
{
    let mut rest = FIRST_REST;
    loop {
        // Runs => Waits, Recovers, over
        match caught(&mut job).await {
            Ok(None) => return,
            Ok(Some(next)) => {
                post.counts.ran();
                rest = FIRST_REST;
                wait(&*clock, next, &post.call).await; // Waits => Runs
            }
            Err(_) if planted("a_panic_is_the_end") => return,
            Err(panic) => {
                post.counts.panicked();
                let problem = said(&*panic);
                tracing::error!(target: "hotpool", job = post.name, ?problem, ?rest, "a job panicked");
                clock.sleep_until(clock.now() + rest).await; // Recovers => Runs
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

async fn wait(clock: &dyn Clock, next: Next, call: &Notify) {
    match next {
        Next::Called => call.notified().await,
        Next::At(at) if planted("calls_are_not_heard") => clock.sleep_until(at).await,
        Next::At(at) => {
            before(clock, at, pin!(call.notified())).await;
        }
    }
}

type Panic = Box<dyn Any + Send>;

/// Runs a job once.
///
/// # Errors
/// What it panicked with.
async fn caught<F: Future>(job: &mut impl FnMut() -> F) -> Result<F::Output, Panic> {
    // What a job shares with others is behind locks that no panic poisons; what is its own begins anew.
    let mut run = Box::pin(catch_unwind(AssertUnwindSafe(job))?);
    std::future::poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}

/// How much of a panic's message is told, in octets: it may hold a peer's text.
const MOST_SAID: usize = 200;

/// The message of a panic, cut.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    let end = text.char_indices().map(|(at, _)| at).find(|&at| at >= MOST_SAID);
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests;
