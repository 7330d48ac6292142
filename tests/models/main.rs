//! The pool's own code under a model checker: every lock, every atomic and every await is a point at which another thread may go on, and the
//! checker decides, schedule after schedule, which one does.
//!
//! One file for each promise. What is checked is what runs: the `manager` itself, compiled with the checker's locks and atomics, over
//! connections and dials that are played (`hotpool::scripted`). Nothing of it is built anew in a model, which is nothing but a few threads that
//! use a pool, and what must hold when they have done so.
//!
//! Each test explores as many schedules as `HOTPOOL_SCHEDULES` says, from the seed in `HOTPOOL_SEED`; `HOTPOOL_REPLAY` has it go through one
//! schedule again, as printed by one that failed. `.ci/models` runs them all, and again with each of the faults that the `manager` can plant.
//!
//! Not modelled: orders of memory weaker than sequential consistency, and HTTP/2, whose streams are handed out under the same locks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says where"
)]

mod alarm;
mod close;
mod conservation;
mod elsewhere;
mod epochs;
mod explore;
mod gone;
mod handout;
mod hosts;
mod owned;
mod reap;
mod stand;
mod wakeups;
mod warming;
