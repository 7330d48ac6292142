//! The one room that reads clocks.
//!
//! Everything inside the pool speaks [`Moment`]: nanoseconds since its clock's own zero, saturating in both
//! directions, so that no configured duration can overflow a deadline. Rules take `now` as an argument; only this
//! file asks what time it is.
//!
//! ```
//! use std::time::Duration;
//!
//! use hotpool::HotConnPool;
//! use hotpool::clock::{Clock, ManualClock, Moment, Sleep, SystemClock};
//!
//! /// The system's time, an hour ahead.
//! struct Ahead(SystemClock);
//!
//! const AHEAD: Duration = Duration::from_secs(3600);
//!
//! impl Clock for Ahead {
//!     fn now(&self) -> Moment {
//!         self.0.now() + AHEAD
//!     }
//!
//!     fn now_coarse(&self) -> Moment {
//!         self.0.now_coarse() + AHEAD
//!     }
//!
//!     fn boot(&self) -> Moment {
//!         self.0.boot() + AHEAD
//!     }
//!
//!     fn sleep_until(&self, deadline: Moment) -> Sleep {
//!         self.0.sleep_until(deadline - AHEAD)
//!     }
//! }
//!
//! let ahead = HotConnPool::builder().clock(Ahead(SystemClock::new())).build()?;
//! assert!(ahead.clock().now().since(Moment::ZERO) >= AHEAD);
//!
//! // In a test nobody waits.
//! let clock = ManualClock::new();
//! let pool = HotConnPool::builder().clock(clock.clone()).build()?;
//! let before = pool.manager().clock().now();
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(pool.clock().now(), Moment::from_nanos(before.as_nanos() + 60_000_000_000));
//! assert_eq!(clock.sleepers(), 0);
//! assert_eq!(pool.clock().now() + Duration::MAX, Moment::FAR); // never overflows
//! # Ok::<(), hotpool::ConfigError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::sync::Mutex;

/// An instant on a [`Clock`]: nanoseconds since that clock's zero.
///
/// Arithmetic saturates: a moment plus [`Duration::MAX`] is [`Moment::FAR`], which is never reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The clock's zero.
    pub const ZERO: Moment = Moment(0);
    /// The end of time (584 years after zero): a deadline that never comes.
    pub const FAR: Moment = Moment(u64::MAX);

    /// The moment `nanos` nanoseconds after zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Moment(nanos)
    }

    /// Nanoseconds since zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, span: Duration) -> Moment {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;

    fn sub(self, span: Duration) -> Moment {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_sub(nanos))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Moment::FAR => f.write_str("+far"),
            Moment(nanos) => write!(f, "+{:?}", Duration::from_nanos(nanos)),
        }
    }
}

/// The time of day, as the time since 1970: for what outlives the process, and for nothing else.
pub(crate) fn wall() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads clocks")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A sleep on a [`Clock`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a pool gets its time from.
///
/// The default is [`SystemClock`]. [`ManualClock`] serves tests of idle and lifetime limits without waiting.
///
/// It is read in the midst of the pool's own work, under its locks: one that asks the pool for anything waits for itself.
pub trait Clock: Send + Sync + 'static {
    /// The time now, exact.
    fn now(&self) -> Moment;

    /// The time now, allowed to lag by a few milliseconds in return for being cheap. The hot path uses this one.
    fn now_coarse(&self) -> Moment {
        self.now()
    }

    /// The time now on a clock that goes on while the machine is suspended.
    fn boot(&self) -> Moment {
        self.now()
    }

    /// Sleeps until `deadline`. Polled inside the pool's runtime.
    fn sleep_until(&self, deadline: Moment) -> Sleep;

    /// The same clock, if it is the system's: that one is read on the hot path without asking which clock it is.
    #[doc(hidden)]
    fn as_system(&self) -> Option<&SystemClock> {
        None
    }
}

/// Runs `future` until it answers or `deadline` comes; none if the deadline came first. A deadline that is none never comes.
///
/// As cancel safe as `future`. At the deadline itself an answer that is ready still counts; one that is ready at once needs no timer.
///
/// Takes it pinned: an `async fn` would keep room for it twice, as its argument and where it pins it.
///
/// ```
/// use std::time::Duration;
///
/// use hotpool::HotConnPool;
/// use hotpool::clock::before;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let pool = HotConnPool::builder().build()?;
/// let clock = pool.clock();
/// let deadline = clock.now() + Duration::from_millis(5);
/// assert_eq!(before(clock, deadline, std::future::ready("at once")).await, Some("at once"));
/// assert_eq!(before(clock, deadline, std::future::pending::<()>()).await, None);
/// assert_eq!(before(clock, None, std::future::ready("at last")).await, Some("at last"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn before<F>(
    clock: &dyn Clock,
    deadline: impl Into<Option<Moment>>,
    mut future: F,
) -> Option<F::Output>
where
    F: Future + Unpin,
{
    let (deadline, mut sleep) = (deadline.into(), None);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(cx) {
            return Poll::Ready(Some(output));
        }
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let sleep: &mut Sleep = sleep.get_or_insert_with(|| clock.sleep_until(deadline));
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// The operating system's monotonic clock; its zero is the moment it was made.
#[derive(Debug, Clone)]
pub struct SystemClock {
    zero: std::time::Instant,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    coarse_zero: u64,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    boot_zero: u64,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read(id: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(id);
    // Counted from the start of the machine: neither negative nor beyond 584 years.
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

impl SystemClock {
    /// A clock whose zero is now.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads clocks")]
    pub fn new() -> Self {
        SystemClock {
            zero: std::time::Instant::now(),
            // Zero of the coarse reading is the *exact* clock's: both count the same time, one ticks less often.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            coarse_zero: read(rustix::time::ClockId::Monotonic),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            boot_zero: read(rustix::time::ClockId::Boottime),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn as_system(&self) -> Option<&SystemClock> {
        Some(self)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the room that reads clocks")]
    fn now(&self) -> Moment {
        Moment::ZERO + self.zero.elapsed()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[inline]
    fn now_coarse(&self) -> Moment {
        Moment(read(rustix::time::ClockId::MonotonicCoarse).saturating_sub(self.coarse_zero))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn boot(&self) -> Moment {
        Moment(read(rustix::time::ClockId::Boottime).saturating_sub(self.boot_zero))
    }

    fn sleep_until(&self, deadline: Moment) -> Sleep {
        // An `Instant` cannot hold every moment; a year is as good as for ever here, since sleepers look again.
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
        let ahead = deadline.since(self.now()).min(LONGEST);
        Box::pin(
            #[expect(clippy::disallowed_methods, reason = "this is the room that reads clocks")]
            tokio::time::sleep(ahead),
        )
    }
}

/// A clock that moves only when told to.
///
/// Clones share one time. Sleepers wake inside [`advance`](ManualClock::advance).
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Mutex<Manual>>);

#[derive(Default)]
struct Manual {
    now: Moment,
    next_id: u64,
    sleepers: BTreeMap<(Moment, u64), Waker>,
}

impl ManualClock {
    /// A clock that stands at [`Moment::ZERO`].
    pub fn new() -> Self {
        ManualClock::default()
    }

    /// Moves the time on by `span` and wakes every sleeper whose deadline has come.
    pub fn advance(&self, span: Duration) {
        let due = {
            let mut manual = self.0.lock();
            let now = manual.now + span;
            manual.now = now;
            let later = manual.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut manual.sleepers, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// How many sleeps are under way: lets a test wait until a task has gone to sleep.
    pub fn sleepers(&self) -> usize {
        self.0.lock().sleepers.len()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        self.0.lock().now
    }

    fn sleep_until(&self, deadline: Moment) -> Sleep {
        let mut manual = self.0.lock();
        let id = manual.next_id;
        manual.next_id += 1;
        drop(manual);
        Box::pin(ManualSleep {
            clock: self.clone(),
            key: (deadline, id),
        })
    }
}

struct ManualSleep {
    clock: ManualClock,
    key: (Moment, u64),
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut manual = self.clock.0.lock();
        if manual.now >= self.key.0 {
            return Poll::Ready(());
        }
        manual.sleepers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        self.clock.0.lock().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_saturate_at_both_ends() {
        let moment = Moment::from_nanos(5);
        assert_eq!(moment + Duration::MAX, Moment::FAR);
        assert_eq!(moment - Duration::from_nanos(6), Moment::ZERO);
        assert_eq!(Moment::ZERO.since(moment), Duration::ZERO);
        assert_eq!(
            (moment + Duration::from_nanos(7)).since(moment),
            Duration::from_nanos(7)
        );
    }

    #[test]
    fn the_coarse_clock_never_runs_ahead_and_lags_little() {
        let clock = SystemClock::new();
        for _ in 0..1000 {
            let coarse = clock.now_coarse();
            let exact = clock.now();
            assert!(coarse <= exact, "{coarse:?} is ahead of {exact:?}");
            assert!(
                exact.since(coarse) < Duration::from_millis(500),
                "{coarse:?} lags behind {exact:?}"
            );
        }
        assert!(clock.boot() + Duration::from_millis(500) >= clock.now());
    }

    #[test]
    fn a_manual_sleep_ends_at_its_deadline_and_not_before() {
        let clock = ManualClock::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut sleep = clock.sleep_until(Moment::from_nanos(100));
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        clock.advance(Duration::from_nanos(99));
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        assert_eq!(clock.sleepers(), 1);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(clock.sleepers(), 0);
        assert!(sleep.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn a_dropped_manual_sleep_leaves_nothing() {
        let clock = ManualClock::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut sleep = clock.sleep_until(Moment::FAR);
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        drop(sleep);
        assert_eq!(clock.sleepers(), 0);
    }
}
