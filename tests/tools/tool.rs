//! Running a compiled example.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;

/// What a tool said and how it ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the example `name`. It ends by itself: every wait in it is bounded.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Run {
    let mut command = Command::new(binary(name));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("tools speak UTF-8");
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    Run {
        code: status.code().expect("an exit, not a signal"),
        out: text(&stdout),
        err: text(&stderr),
    }
}

impl Run {
    /// The lines that `--json` printed.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

/// The compiled example, beside this test's own binary: `target/PROFILE/examples/NAME`. Fails the test if it is absent, or older than what
/// cargo noted beside it that it was built from.
pub(crate) fn binary(name: &str) -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let examples = me.parent().and_then(Path::parent).unwrap().join("examples");
    let file = examples.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let Some(built) = written(&file) else {
        panic!(
            "{} is missing: build it with `cargo build --examples`",
            file.display()
        );
    };
    let notes = std::fs::read_to_string(examples.join(format!("{name}.d"))).expect("cargo's list of sources");
    let (_, sources) = notes.split_once(": ").expect("`FILE: SOURCE...`");
    for source in sources.split_whitespace() {
        assert!(
            written(Path::new(source)).is_some_and(|source| source <= built),
            "{} is older than {source}: build it with `cargo build --examples`",
            file.display()
        );
    }
    file
}

fn written(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}
