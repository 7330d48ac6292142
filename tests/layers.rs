//! The rooms import only what stands below them, and only the libraries that are theirs.
//!
//! The table is the plan of the crate. A room that is not in it, an import that points up, an import past the rooms (of what `lib.rs`
//! re-exports, or of the whole root) and a library in the wrong room fail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room: its name, the rooms it may import, the libraries it may name.
struct Room(&'static str, &'static [&'static str], &'static [&'static str]);

const GROUND: &[&str] = &[
    "access",
    "clock",
    "config",
    "dialer",
    "error",
    "event",
    "identity",
    "os",
    "rng",
    "rt",
    "source",
    "sync",
    "target",
    "told",
    "transport",
    "fault",
];

/// Libraries that some room must not name. Any other (`bytes`, `http`, `thiserror` …) is free to all.
const GUARDED: &[&str] = &[
    "tokio",
    "tokio_util",
    "tokio_rustls",
    "rustls",
    "webpki",
    "webpki_roots",
    "h2",
    "hickory_resolver",
    "socket2",
    "tracing",
    "parking_lot",
    "rustix",
    "nix",
    "idna",
    "md5",
    "sha2",
    "shuttle",
];

const ROOMS: &[Room] = &[
    Room("access", &["clock", "error", "fault", "target"], &[]),
    Room("clock", &["sync"], &["tokio", "rustix"]),
    Room("config", &["error"], &[]),
    Room("dialer", &["error", "fault", "target", "transport"], &[]),
    Room("error", &["target", "told"], &["rustix"]),
    Room("event", &[], &[]),
    Room(
        "identity",
        &["dialer", "event", "fault", "proxy", "source", "sync"],
        &[],
    ),
    Room("proxy", &["error", "fault", "target"], &[]),
    Room("fault", &[], &[]),
    Room("told", &["fault"], &[]),
    Room("os", &[], &["rustix"]),
    Room("rng", &[], &[]),
    Room("rt", &["fault", "sync"], &["tokio", "tokio_util", "shuttle"]),
    Room("source", &["error", "fault"], &[]),
    Room("sync", &[], &["parking_lot", "shuttle", "spin"]),
    Room("target", &["fault"], &["idna", "rustix"]),
    // tokio, for its streams and their traits.
    Room("transport", &["fault", "source"], &["tokio"]),
    Room("machine", GROUND, &[]),
    Room("fingerprint", GROUND, &["md5", "sha2"]),
    Room(
        "tls",
        &[
            "clock",
            "config",
            "error",
            "event",
            "identity",
            "rt",
            "sync",
            "target",
            "fault",
            "fingerprint",
        ],
        &["tokio", "tokio_rustls", "rustls", "webpki", "webpki_roots"],
    ),
    // rustls and the roots for name servers that are asked over TLS.
    Room("dns", GROUND, &["hickory_resolver", "rustls", "webpki_roots"]),
    Room(
        "conn",
        &[
            "clock",
            "config",
            "error",
            "event",
            "fault",
            "fingerprint",
            "identity",
            "rt",
            "source",
            "sync",
            "target",
            "tls",
            "transport",
        ],
        // socket2, to look at a socket past the reactor.
        &["tokio", "tokio_rustls", "h2", "socket2"],
    ),
    Room(
        "dial",
        &[
            "access",
            "clock",
            "config",
            "dialer",
            "fault",
            "error",
            "event",
            "identity",
            "proxy",
            "source",
            "sync",
            "target",
            "tls",
            "transport",
            "dns",
            "conn",
        ],
        // socket2, rustix and nix, for what a socket is to be before it connects.
        &["tokio", "socket2", "rustix", "nix", "tracing"],
    ),
    Room("tasks", GROUND, &["tokio", "tracing"]),
    Room(
        "manager",
        &[
            "access",
            "clock",
            "config",
            "dialer",
            "error",
            "event",
            "fault",
            "identity",
            "os",
            "proxy",
            "rt",
            "source",
            "sync",
            "target",
            "transport",
            "machine",
            "conn",
            "dial",
        ],
        &["tokio", "tokio_util", "tracing"],
    ),
    // Behind a hidden feature, for tests and benches.
    Room(
        "scripted",
        &[
            "access", "clock", "config", "error", "event", "identity", "source", "sync", "target", "manager",
            "dial", "conn", "tls", "pool",
        ],
        &[],
    ),
    // Likewise.
    Room(
        "shaped",
        &["error", "fingerprint", "tls"],
        &["tokio", "tokio_rustls", "rustls"],
    ),
    Room(
        "pool",
        &[
            "access",
            "clock",
            "config",
            "dialer",
            "error",
            "event",
            "fault",
            "identity",
            "proxy",
            "source",
            "target",
            "manager",
            "dial",
            "dns",
            "conn",
            "tls",
            "fingerprint",
            "tasks",
            "rt",
        ],
        // rustls alone, for the types that its builder takes.
        &["rustls"],
    ),
    // Words alone.
    Room("guide", &[], &[]),
    // What `lib.rs` offers to everybody, and nothing else: see `offered`.
    Room("adapters", &["fault"], &["tokio", "h2"]),
];

/// The room that stands above the front door.
const ABOVE: &str = "adapters";

/// Modules of the standard library and of the ground that are no part of a pure room.
const IMPURE: &[&str] = &[
    "std::thread",
    "std::net::Tcp",
    "std::time::Instant",
    "std::time::SystemTime",
    "crate::rt",
    "crate::sync",
];

/// Rooms that neither wait, nor do I/O, nor read a clock.
const PURE: &[(&str, &[&str])] = &[("machine", IMPURE), ("fingerprint", IMPURE)];

#[test]
fn rooms_import_only_what_stands_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let wrong = violations(&source);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A room without a source is a stale line of the plan; no source at all would pass every check.
#[test]
fn every_room_of_the_plan_stands() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let standing: BTreeSet<String> = rust_files(&source)
        .iter()
        .map(|file| parts(file.strip_prefix(&source).unwrap()).remove(0))
        .collect();
    for Room(room, ..) in ROOMS {
        assert!(standing.contains(*room), "{room} has no source");
    }
}

/// The check itself is checked: each kind of violation, planted in a copy of a source tree, is found.
#[test]
fn a_planted_violation_is_found() {
    let dir = std::env::temp_dir().join(format!("hotpool-layers-{}", std::process::id()));
    for (file, text, expected) in [
        (
            "machine/mod.rs",
            "use crate::manager::Inner;",
            "machine imports manager",
        ),
        (
            "machine/mod.rs",
            "fn f() { tokio::spawn(async {}); }",
            "machine names tokio",
        ),
        (
            "machine/mod.rs",
            "use crate::{clock::Moment, conn::Wire};",
            "machine imports conn",
        ),
        (
            "machine/deep/x.rs",
            "use super::super::super::pool::Builder;",
            "machine imports pool",
        ),
        (
            "machine/mod.rs",
            "use std::time::{Duration, Instant};",
            "machine names std::time::Instant",
        ),
        ("machine/mod.rs", "use crate::rt::Rt;", "machine names crate::rt"),
        (
            "fingerprint/ja3.rs",
            "use std::time::SystemTime;",
            "fingerprint names std::time::SystemTime",
        ),
        (
            "fingerprint/mod.rs",
            "use rustls::CipherSuite;",
            "fingerprint names rustls",
        ),
        (
            "fingerprint/hello/mod.rs",
            "use crate::tls::Trust;",
            "fingerprint imports tls",
        ),
        ("conn/mod.rs", "use sha2::Sha256;", "conn names sha2"),
        (
            "dns/mod.rs",
            "use {crate::{tls::TlsInfo}, std::fmt};",
            "dns imports tls",
        ),
        (
            "conn/mod.rs",
            "type X = crate::dial::Dialler;",
            "conn imports dial",
        ),
        (
            "manager/mod.rs",
            "use hickory_resolver::TokioResolver;",
            "manager names hickory_resolver",
        ),
        ("event.rs", "use tracing::debug;", "event names tracing"),
        ("helpers.rs", "", "helpers is no room of the plan"),
        (
            "conn/mod.rs",
            "use crate::HotConnPool;",
            "conn imports HotConnPool, which is no room",
        ),
        (
            "manager/host.rs",
            "use crate::{clock::Moment, Builder as B};",
            "manager imports Builder, which",
        ),
        (
            "dial/tcp.rs",
            "fn f() -> crate::HotConnPool { todo!() }",
            "dial imports HotConnPool, which",
        ),
        (
            "dial/tcp.rs",
            "fn f() { crate::HotConnPool::builder::<u8>(); }",
            "dial imports HotConnPool, which",
        ),
        (
            "tls/mod.rs",
            "fn f() { crate::debug!(1); }",
            "tls imports debug, which",
        ),
        ("event.rs", "use super::HotConn;", "event imports HotConn, which"),
        (
            "dns/mod.rs",
            "use self::super::HotConn;",
            "dns imports HotConn, which",
        ),
        ("rt.rs", "use crate::*;", "rt imports *, which"),
        ("rt.rs", "use crate as root;", "rt imports the root"),
        ("rt.rs", "use crate::{self as root};", "rt imports self, which"),
        (
            "machine/ledger/mod.rs",
            "#[cfg(test)]\nmod tests;\nuse crate::manager::Inner;",
            "machine imports manager",
        ),
        (
            "adapters/client/mod.rs",
            "use crate::manager::Inner;",
            "adapters imports manager",
        ),
        (
            "adapters/client/mod.rs",
            "use crate::{HotConn, conn::Wire};",
            "adapters imports conn",
        ),
        (
            "adapters/client/mod.rs",
            "use crate::scripted::Stage;",
            "adapters imports scripted",
        ),
        (
            "pool/mod.rs",
            "use crate::adapters::client::Body;",
            "pool imports adapters",
        ),
        (
            "sync.rs",
            "#[cfg(test)]\nmod tests {\n    use super::*;\n}\nuse crate::rt::Rt;",
            "sync imports rt",
        ),
    ] {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let found = violations(&dir);
        fs::remove_dir_all(&dir).unwrap();
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{text:?}: {expected:?} not in {found:?}"
        );
    }
}

fn violations(source: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in rust_files(source) {
        let relative = file.strip_prefix(source).unwrap();
        let parts = parts(relative);
        let room = parts[0].as_str();
        // Tests may use what they need.
        if room == "lib"
            || parts
                .iter()
                .any(|part| part == "tests" || part.ends_with("_tests"))
        {
            continue;
        }
        let Some(rules) = ROOMS.iter().find(|rules| rules.0 == room) else {
            wrong.push(format!("{}: {room} is no room of the plan", relative.display()));
            continue;
        };
        let code = strip(&fs::read_to_string(&file).unwrap());
        for path in paths(&code) {
            wrong.extend(
                judge(rules, &module(&parts), &path)
                    .map(|problem| format!("{}: {problem}", relative.display())),
            );
        }
    }
    wrong
}

/// The names on the way to a file, its own without the extension.
fn parts(relative: &Path) -> Vec<String> {
    let names = relative.with_extension("");
    names
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect()
}

/// The module path of a file: `manager/mod.rs` is `[manager]`, `manager/host.rs` is `[manager, host]`.
fn module(parts: &[String]) -> Vec<String> {
    parts.iter().filter(|part| *part != "mod").cloned().collect()
}

fn judge(Room(room, rooms, libraries): &Room, module: &[String], path: &str) -> Option<String> {
    for (pure, banned) in PURE {
        if let Some(name) = banned
            .iter()
            .find(|name| pure == room && path.starts_with(**name))
        {
            return Some(format!("{room} names {name}"));
        }
    }
    let path = path.trim_start_matches("self::");
    let mut segments = path.split("::");
    let first = segments.next()?;
    let target = match first {
        "crate" => segments.next(),
        "super" => {
            let ups = 1 + segments.clone().take_while(|segment| *segment == "super").count();
            if ups < module.len() {
                return None; // still inside the room
            }
            path.split("::").nth(ups)
        }
        library => {
            let stranger = GUARDED.contains(&library) && !libraries.contains(&library);
            return stranger.then(|| format!("{room} names {library}"));
        }
    };
    let Some(target) = target else {
        return Some(format!("{room} imports the root"));
    };
    if *room == ABOVE && offered().contains(target) {
        return None;
    }
    if !ROOMS.iter().any(|rules| rules.0 == target) {
        return Some(format!("{room} imports {target}, which is no room"));
    }
    (target != *room && !rooms.contains(&target)).then(|| format!("{room} imports {target}"))
}

/// What `lib.rs` offers: the names that it re-exports, and its public modules.
fn offered() -> BTreeSet<String> {
    let door = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let code = strip(&fs::read_to_string(door).unwrap());
    // What is hidden is not offered.
    let items = code.split(';').filter(|item| !item.contains("doc(hidden)"));
    let mut names = BTreeSet::new();
    for item in items {
        if let Some((_, tree)) = item.split_once("pub use ") {
            let mut found = Vec::new();
            expand("", tree, &mut found);
            let last = |path: &String| path.rsplit("::").next().map(str::to_owned);
            names.extend(found.iter().filter_map(last));
        } else if let Some((_, module)) = item.split_once("pub mod ") {
            names.insert(module.to_owned());
        }
    }
    names
}

/// What stands above the front door calls nothing that is shut to everybody else: no function by which the pool's types
/// serve the crate alone.
#[test]
fn adapters_call_what_everybody_may_call() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut shut, mut open) = (BTreeSet::new(), BTreeSet::new());
    let mut above = String::new();
    for file in rust_files(&source) {
        let code = strip(&fs::read_to_string(&file).unwrap());
        let relative = file.strip_prefix(&source).unwrap();
        if relative.starts_with(ABOVE) || relative.starts_with("fault.rs") {
            open.extend(functions(&code, "fn "));
            above += &code;
        } else {
            open.extend(functions(&code, "pub fn "));
            for private in ["pub(crate) fn ", "pub(super) fn ", "pub(crate) async fn "] {
                shut.extend(functions(&code, private));
            }
        }
    }
    for own in ["give_back", "on_a_detour"] {
        assert!(shut.contains(own) && !open.contains(own), "{own}");
    }
    let called =
        |name: &String| above.contains(&format!(".{name}(")) || above.contains(&format!("::{name}("));
    let wrong: Vec<_> = shut.difference(&open).filter(|name| called(name)).collect();
    // What other types have, too: those of the standard library, of `http` and `bytes`, and the clock.
    let common = [
        "any",
        "append",
        "bytes",
        "get_mut",
        "insert",
        "is_pending",
        "iter",
        "now",
        "now_coarse",
        "parse",
        "scheme",
        "set",
        "split",
    ];
    let wrong: Vec<_> = wrong
        .iter()
        .filter(|name| !common.contains(&name.as_str()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The names of the functions that are declared so.
fn functions(code: &str, declared: &str) -> Vec<String> {
    let word = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .map(str::to_owned)
    };
    code.split(declared).skip(1).filter_map(word).collect()
}

fn rust_files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path);
        }
    }
    files
}

/// The code without comments, and without the body of a test module: tests may use what they need. A `mod tests;` has no body here.
fn strip(text: &str) -> String {
    let code = match text.split_once("#[cfg(test)]\nmod tests {") {
        Some((code, module)) => {
            let after = module.split_once("\n}\n").map_or("", |(_, after)| after);
            format!("{code}\n{after}")
        }
        None => text.to_owned(),
    };
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that the code names, with the braces of `use` trees multiplied out.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let alone = rest[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let tree = &rest[at + 4..];
        let Some(end) = tree.find(';') else { break };
        if alone {
            expand("", &tree[..end], &mut found);
        }
        rest = &tree[if alone { end } else { 0 }..];
    }
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    found.extend(
        code.split(|c| !word(c))
            .filter(|path| path.contains("::"))
            .map(|path| path.trim_matches(':').to_owned())
            // The stem of a `use` tree, which is multiplied out above.
            .filter(|path| {
                path.split("::")
                    .any(|segment| !matches!(segment, "crate" | "super" | "self"))
            }),
    );
    found
}

fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree
            .split(" as ")
            .next()
            .unwrap_or(tree)
            .trim()
            .trim_start_matches("::");
        if !name.is_empty() {
            found.push(format!("{prefix}{name}"));
        }
        return;
    };
    let close = tree
        .rfind('}')
        .unwrap_or_else(|| panic!("unbalanced use tree: {tree}"));
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let mut depth = 0;
    let branches = tree[open + 1..close].split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let branches: Vec<_> = branches.collect();
    for branch in branches {
        expand(&prefix, branch, found);
    }
}
