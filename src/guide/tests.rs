//! What the book says of the source is what the source says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("observability.md");

/// The first cells of the rows under a heading, with the level and the names of the fields.
fn told(heading: &str) -> BTreeSet<(String, String, Vec<String>)> {
    let (_, section) = PAGE.split_once(heading).expect("a heading");
    let section = section.split("\n# ").next().expect("a section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let mut fields: Vec<String> = cells[3]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        fields.sort();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned(), fields)
    })
    .collect()
}

/// Every macro of tracing in the source, by whether it makes a span: what is between its parentheses, and its level. Planted faults left out.
fn said(span: bool) -> BTreeSet<(String, String, Vec<String>)> {
    let mut found = BTreeSet::new();
    for file in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for level in ["trace", "debug", "info", "warn", "error"] {
            let name = if span {
                format!("{level}_span!(")
            } else {
                format!("tracing::{level}!(")
            };
            for (at, _) in text.match_indices(&name) {
                let planted = text[..at]
                    .lines()
                    .rev()
                    .take(3)
                    .any(|line| line.contains("if planted("));
                let inner = inner(&text[at + name.len()..]);
                if !planted && inner.contains("target: \"hotpool\"") {
                    found.insert(parsed(inner, level));
                }
            }
        }
    }
    found
}

/// Up to the parenthesis that closes the one before it.
fn inner(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|letter| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    &text[..end.expect("an end")]
}

/// `target: "hotpool", conn = serial, %ip, "opened"`: the text, and the names of the fields.
fn parsed(inner: &str, level: &str) -> (String, String, Vec<String>) {
    let text = inner
        .split('"')
        .skip(1)
        .step_by(2)
        .find(|text| *text != "hotpool");
    let mut fields = Vec::new();
    for part in inner.split(',').map(str::trim) {
        if part.starts_with('"')
            || part.starts_with("target:")
            || part.starts_with("parent:")
            || part.is_empty()
        {
            continue;
        }
        let name = part.split('=').next().expect("a name");
        fields.push(name.trim().trim_start_matches(['%', '?', '&', '*']).to_owned());
    }
    fields.sort();
    (text.expect("a text").to_owned(), level.to_owned(), fields)
}

fn sources(room: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(room).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(sources(&path)),
            false
                if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("guide/tests.rs") =>
            {
                files.push(path);
            }
            false => {}
        }
    }
    files
}

/// Names as they stand between `quote`s in a text, of those that are metrics'.
fn metrics(text: &str, quote: char) -> BTreeSet<&str> {
    let quoted = text.split(quote).skip(1).step_by(2);
    quoted
        .filter(|name| name.starts_with("http.client.") || name.starts_with("hotpool."))
        .collect()
}

#[test]
fn the_page_lists_every_metric_and_no_other() {
    let names = include_str!("../adapters/metrics/names.rs");
    let (_, section) = PAGE.split_once("# Metrics").expect("a heading");
    let section = section.split("\n# ").next().expect("a section");
    assert_eq!(metrics(section, '`'), metrics(names, '"'));
    // And so does the table of the adapter itself.
    let table = include_str!("../adapters/metrics/mod.rs");
    let rows = table.lines().filter(|line| line.starts_with("//! | `"));
    let firsts: BTreeSet<&str> = rows
        .filter_map(|row| metrics(row.split('|').nth(1)?, '`').pop_first())
        .collect();
    assert_eq!(firsts, metrics(names, '"'));
}

#[test]
fn the_page_lists_every_event_and_no_other() {
    assert_eq!(told("# Events"), said(false));
}

#[test]
fn the_page_lists_every_span_and_no_other() {
    assert_eq!(told("# Spans"), said(true));
}
