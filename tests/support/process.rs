//! Tests in a process of their own: descriptors and memory are counted for a whole process.

use std::process::Command;

/// Set in the process that runs the one test.
const ALONE: &str = "HOTPOOL_TEST_ALONE";

/// Runs the test of this name in a process of its own, and prints what it says there.
#[expect(clippy::print_stdout, reason = "what a test measures it prints")]
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let me = std::env::current_exe().expect("this test");
    print!("{}", once_more(Command::new(me).env(ALONE, "1"), test));
}

/// Runs the test of this name by a command that runs this binary. It must pass there; answers what it says.
pub(super) fn once_more(command: &mut Command, test: &str) -> String {
    let run = command
        .args(["--exact", test, "--nocapture"])
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    said.into_owned()
}
