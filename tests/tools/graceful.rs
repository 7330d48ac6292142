//! The service that stops on SIGTERM.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::tool::binary;

/// Starts it, waits for a line, stops it, and answers every line after that one, with how long it took.
#[expect(clippy::disallowed_methods, reason = "how long it took is what is asked")]
fn stopped(arguments: &[&str], after: &str) -> (Vec<String>, Duration) {
    let mut service = Command::new(binary("graceful"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(
        lines.any(|line| line.contains(after)),
        "it ended without {after:?}"
    );
    let began = Instant::now();
    let stop = Command::new("kill")
        .args(["-TERM", &service.id().to_string()])
        .status();
    assert!(stop.unwrap().success());
    let rest: Vec<_> = lines.collect();
    assert!(service.wait().unwrap().success(), "{rest:?}");
    (rest, began.elapsed())
}

#[test]
fn it_stops_in_order() {
    let (said, took) = stopped(&[], "200 OK");
    let last: Vec<_> = said.iter().rev().take(3).rev().map(String::as_str).collect();
    assert_eq!(
        last,
        ["nothing is left to close", "clean: true, leases left: 0", "gone"]
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn what_hangs_is_cut_short() {
    let (said, took) = stopped(&["--hang"], "200 OK");
    for line in [
        "clean: false, leases left: 1",
        "cut short: 1",
        "told: Err(ConnectionAborted)",
        "gone",
    ] {
        assert!(said.iter().any(|said| said == line), "{line:?} in {said:?}");
    }
    assert!(took < Duration::from_secs(4), "{took:?}");
}
