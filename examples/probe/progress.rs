//! A bar on standard error while a row takes long, where that is a terminal.
#![expect(clippy::disallowed_methods, reason = "a bar that waits reads the clock")]

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A row shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);
const REDRAW: Duration = Duration::from_millis(100);
const WIDTH: u32 = 40;

/// How far a row has come.
pub(crate) struct Progress {
    total: u32,
    done: AtomicU32,
    terminal: bool,
    shown: AtomicBool,
    next: Mutex<Instant>,
}

impl Progress {
    pub(crate) fn new(total: u32) -> Self {
        Progress {
            total,
            done: AtomicU32::new(0),
            terminal: std::io::stderr().is_terminal(),
            shown: AtomicBool::new(false),
            next: Mutex::new(Instant::now() + PATIENCE),
        }
    }

    /// One more is done; draws the bar when it is time to.
    pub(crate) fn advance(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.terminal {
            return;
        }
        let now = Instant::now();
        let mut next = self.next.lock();
        if now < *next {
            return;
        }
        *next = now + REDRAW;
        self.shown.store(true, Ordering::Relaxed);
        self.draw(&bar(done, self.total));
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        if self.shown.swap(false, Ordering::Relaxed) {
            self.draw("");
        }
    }

    /// Over the line as it stands; a terminal that fails is nobody's trouble.
    fn draw(&self, text: &str) {
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
    }
}

fn bar(done: u32, total: u32) -> String {
    let filled = u64::from(done.min(total)) * u64::from(WIDTH) / u64::from(total.max(1));
    let filled = usize::try_from(filled).unwrap_or(0);
    let empty = WIDTH as usize - filled;
    format!("[{}{}] {done}/{total}", "#".repeat(filled), ".".repeat(empty))
}
