//! The table of outside peers: who was talked to, in which version, and what was left out and why.
//!
//! Each test against an outside peer appends one line, tab-separated: `peer, version, cases run, cases skipped, why`.
//! The file is `target/peers.table`, or what `HOTPOOL_PEERS_TABLE` names; an append of one line is safe among
//! processes. A case is run only with [`Evidence`]: what the peer's own log or counter showed.
//!
//! With `CI=true` a skip fails the test, unless `tests/SKIPS` has its peer and reason.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::outside::Outside;

/// The only peers whose absence `tests/SKIPS` may excuse: what Debian does not package, and what a machine may forbid.
const EXCUSABLE: [&str; 4] = ["boringssl", "chromium", "firefox", "network namespace"];

/// Proof, from the peer's own log or counter, that a case took place. Only the runners of peers make it.
#[derive(Debug)]
pub struct Evidence {
    peer: &'static str,
    case: String,
}

impl Evidence {
    /// What `peer` logged of a case: `count` things, of which there must be one at least.
    pub(super) fn counted_by(peer: &Outside, case: &str, count: usize) -> Self {
        assert!(count > 0, "{} has seen nothing of \"{case}\"", peer.name());
        Self {
            peer: peer.name(),
            case: case.to_owned(),
        }
    }
}

/// The line of one test. Appended when dropped, unless the test has failed.
pub struct Row {
    peer: &'static str,
    version: String,
    run: Vec<String>,
    skipped: Vec<(String, String)>,
}

impl Row {
    /// A line for a test against `peer`.
    pub fn of(peer: &Outside) -> Self {
        Self::new(peer.name(), peer.version())
    }

    fn new(peer: &'static str, version: &str) -> Self {
        Self {
            peer,
            version: version.to_owned(),
            run: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Counts a case that was run, on the evidence of this row's own peer.
    pub fn case(&mut self, evidence: Evidence) {
        assert_eq!(
            evidence.peer, self.peer,
            "the evidence of one peer does not count for another"
        );
        assert!(
            !self.run.contains(&evidence.case),
            "\"{}\" counts once",
            evidence.case
        );
        self.run.push(evidence.case);
    }

    /// Leaves a case out, if that may be.
    pub fn skip(&mut self, case: &str, why: &str) {
        permit(self.peer, why);
        self.skipped.push((case.to_owned(), why.to_owned()));
    }

    fn line(&self) -> String {
        let reasons: Vec<String> = self
            .skipped
            .iter()
            .map(|(case, why)| format!("{case}: {why}"))
            .collect();
        let why = if reasons.is_empty() {
            "-".to_owned()
        } else {
            reasons.join("; ")
        };
        let (run, skipped) = (self.run.len().to_string(), self.skipped.len().to_string());
        let fields = [self.peer, &self.version, &run, &skipped, &why];
        fields.map(|field| field.replace(['\t', '\n'], " ")).join("\t") + "\n"
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            append(&self.line());
        }
    }
}

/// Leaves out every case of a peer that cannot be had, if that may be.
pub fn skip(peer: &'static str, why: &str) {
    Row::new(peer, "-").skip("every case", why);
}

/// Where the table is.
pub fn path() -> PathBuf {
    if let Some(named) = std::env::var_os("HOTPOOL_PEERS_TABLE") {
        return named.into();
    }
    // Cargo gives tests and benchmarks a directory inside target/; examples get none.
    let given = option_env!("CARGO_TARGET_TMPDIR")
        .map(Path::new)
        .and_then(Path::parent);
    given
        .map_or_else(|| root().join("target"), Path::to_owned)
        .join("peers.table")
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn append(line: &str) {
    let mut table = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path())
        .expect("the table of peers");
    table
        .write_all(line.as_bytes())
        .expect("a line of the table of peers");
}

/// Fails the test unless this skip is allowed here.
fn permit(peer: &str, why: &str) {
    let excuses = excuses(&fs::read_to_string(root().join("tests/SKIPS")).expect("tests/SKIPS"));
    let excused = excuses
        .iter()
        .any(|(who, reason)| (who.as_str(), reason.as_str()) == (peer, why));
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(
        excused || !ci,
        "{peer} may not be skipped in CI: {why}. What may stands in tests/SKIPS"
    );
}

/// The peers and reasons of `tests/SKIPS`: lines `peer | reason`, and comments from `#`. Fails the test on a line that
/// may not stand there.
pub fn excuses(text: &str) -> Vec<(String, String)> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (peer, reason) = line
                .split_once('|')
                .unwrap_or_else(|| panic!("no `peer | reason`: {line}"));
            let (peer, reason) = (peer.trim(), reason.trim());
            assert!(
                EXCUSABLE.contains(&peer),
                "{peer} must be had: only {EXCUSABLE:?} may be skipped in CI"
            );
            assert!(!reason.is_empty(), "{peer} is skipped without a reason");
            (peer.to_owned(), reason.to_owned())
        })
        .collect()
}
