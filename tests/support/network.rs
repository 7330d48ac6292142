//! Tests in a network namespace of their own: nothing but a loopback, and root over it.
//!
//! A test runs itself once more in there, in a process of its own; what it changes goes with that process.

use std::process::{Command, Stdio};

use super::{peers_table, process};

/// Set in the process inside.
const INSIDE: &str = "HOTPOOL_TEST_NETWORK";
/// Debian keeps these tools in sbin, which is not in every user's PATH.
const PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// Runs the test of this name in a network of its own, and prints what it says there. Skipped, loudly, where none may be made.
#[expect(clippy::print_stdout, reason = "what a test measures it prints")]
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let Some(way) = ways.into_iter().find(|way| may(way)) else {
        return peers_table::skip("network namespace", "may not be made here");
    };
    let mut command = unshare(way);
    command
        .args(["sh", "-ec", "ip link set lo up; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().expect("this test"))
        .env(INSIDE, "1");
    print!("{}", process::once_more(&mut command, test));
}

/// Runs a command of the shell inside, which must succeed, and gives its output.
pub fn sh(command: &str) -> String {
    assert!(
        std::env::var_os(INSIDE).is_some(),
        "not in this machine's own network"
    );
    let run = Command::new("sh")
        .args(["-ec", command])
        .env("PATH", PATH)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        run.status.success(),
        "{command}: {said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    said
}

fn unshare(way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(way).arg("--").env("PATH", PATH);
    command
}

fn may(way: &[&str]) -> bool {
    let tried = unshare(way)
        .args(["sh", "-ec", "ip link set lo up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}
