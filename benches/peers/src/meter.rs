//! What a thread has used: CPU time, time and allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks of it.
pub(crate) struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(allocations: u64, bytes: i64) {
    // A thread that is ending has no counters any more, and nobody who reads them.
    let _ = ALLOCATIONS.try_with(|all| all.set(all.get() + allocations));
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to write; this one adds two counters to the system's"
)]
// SAFETY: every call goes to the system's allocator as it came. The counters are plain cells without a destructor: counting neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Bytes that this thread has allocated and not freed; below zero where it frees what others allocated.
pub(crate) fn live_bytes() -> i64 {
    LIVE.get()
}

/// What this thread has used up to an instant.
#[derive(Clone, Copy)]
pub(crate) struct Meter {
    wall: Instant,
    cpu: Duration,
    allocations: u64,
}

/// What was used between two instants, for each cycle.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Nanoseconds of the thread's CPU time. Of two threads, the mean.
    pub(crate) cpu: f64,
    /// Nanoseconds. Of two threads, of the one that took longer.
    pub(crate) wall: f64,
    /// Allocations. Of two threads, the mean.
    pub(crate) allocations: f64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        let allocations = ALLOCATIONS.get();
        let cpu = thread_time();
        Meter {
            wall: Instant::now(),
            cpu,
            allocations,
        }
    }

    /// What was used since, over `cycles` cycles.
    pub(crate) fn per(self, cycles: u64) -> Sample {
        let wall = self.wall.elapsed();
        let cpu = thread_time() - self.cpu;
        let each = |total: Duration| total.as_secs_f64() * 1e9 / cycles as f64;
        Sample {
            cpu: each(cpu),
            wall: each(wall),
            allocations: (ALLOCATIONS.get() - self.allocations) as f64 / cycles as f64,
        }
    }
}

/// What share of a core each of two threads gets that do nothing but count, for a tenth of a second. Close to 1 where two cores are free;
/// where they are not, what two threads cost each other cannot be seen.
pub(crate) fn share_of_two_cores() -> f64 {
    const LONG: Duration = Duration::from_millis(100);
    let start = Barrier::new(2);
    let thread = || {
        start.wait();
        let (began, before) = (Instant::now(), thread_time());
        while began.elapsed() < LONG {
            std::hint::spin_loop();
        }
        (thread_time() - before).as_secs_f64() / began.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(thread), scope.spawn(thread)];
        let shares = threads.map(|thread| thread.join().expect("a thread that counts"));
        shares[0].min(shares[1])
    })
}

/// Keeps this thread on one core, where there are several: two threads that share one measure the scheduler's slices.
pub(crate) fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = sched_setaffinity(None, &cores); // there may be no such core
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
