//! Watching: every target over every protocol at once, shown anew every second until somebody interrupts it.
#![expect(clippy::disallowed_methods, reason = "whoever watches looks at the clock")]

use std::io::{IsTerminal, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::drive::Drive;
use crate::report::Row;
use crate::tally::Tally;
use crate::{print, table, tell};

const EVERY: Duration = Duration::from_secs(1);

/// Home, and everything behind it cleared.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Runs the drives until an interrupt, and shows how they stand. Answers how they stood at the end.
///
/// # Errors
/// Standard output fails, or a signal cannot be had.
pub(crate) async fn watch(drives: &[Arc<Drive>], json: bool) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut end = signal(SignalKind::terminate())?;
    let began = Instant::now();
    let mut running: JoinSet<()> = drives.iter().map(|drive| Arc::clone(drive).watch()).collect();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.tick().await; // the first one is at once
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let rows: Vec<_> = drives.iter().map(|drive| row(drive, &drive.tally())).collect();
                show(&rows, began.elapsed(), json)?;
            }
            _ = interrupt.recv() => break,
            _ = end.recv() => break,
        }
    }
    running.shutdown().await;
    let mut rows = Vec::new();
    for drive in drives {
        let tally = drive.end().await;
        tell(&tally);
        rows.push(row(drive, &tally));
    }
    Ok(rows)
}

fn row(drive: &Drive, tally: &Tally) -> Row {
    let (target, require) = drive.plan();
    Row::new(target.to_string(), require, tally)
}

fn show(rows: &[Row], after: Duration, json: bool) -> Result<(), Box<dyn std::error::Error>> {
    if json {
        for row in rows {
            print(&(serde_json::to_string(row)? + "\n"))?;
        }
        return Ok(());
    }
    let clear = if stdout().is_terminal() { CLEAR } else { "" };
    let seconds = after.as_secs();
    let table = table::render(rows);
    Ok(print(&format!(
        "{clear}{table}\nafter {seconds} s; an interrupt ends it\n\n"
    ))?)
}
