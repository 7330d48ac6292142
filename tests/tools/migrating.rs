//! The pages on coming from elsewhere name every setting that there is there: of the very sources that are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::peers_table;

const FROM_HYPER_UTIL: &str = include_str!("../../src/guide/from_hyper_util.md");
const FROM_GO: &str = include_str!("../../src/guide/from_go.md");

/// What a command printed.
fn said(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// hyper-util, as it was built for the tests: its version and where its sources are.
fn hyper_util() -> (String, PathBuf) {
    let rustc = said("rustc", &["-vV"]);
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let arguments = [
        "metadata",
        "--format-version=1",
        "--offline",
        "--manifest-path",
        manifest,
    ];
    let metadata = said(
        env!("CARGO"),
        &[&arguments[..], &["--filter-platform", host]].concat(),
    );
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let package = packages.find(|package| package["name"] == "hyper-util").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let version = package["version"].as_str().unwrap().to_owned();
    (version, manifest.parent().unwrap().join("src/client/legacy"))
}

/// The lines of a block: behind the one that begins so, up to the one that ends it.
fn block<'a>(source: &'a str, begins: &'a str) -> impl Iterator<Item = &'a str> {
    let inside = source
        .lines()
        .skip_while(move |line| !line.starts_with(begins))
        .skip(1);
    inside.take_while(|line| *line != "}")
}

/// The word at the beginning of a text.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Those of the names that do not stand in the page as code, for themselves.
fn missing<'a>(page: &str, names: impl Iterator<Item = &'a str>) -> (usize, Vec<&'a str>) {
    let mut words: Vec<&str> = Vec::new();
    for code in page.split('`').skip(1).step_by(2) {
        words.extend(code.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
    }
    let names: Vec<&str> = names.collect();
    let absent = names.iter().filter(|name| !words.contains(name));
    (names.len(), absent.copied().collect())
}

#[test]
fn every_setting_of_hyper_utils_client_is_on_its_page() {
    let (version, sources) = hyper_util();
    assert!(
        FROM_HYPER_UTIL.contains(&format!("hyper-util {version}")),
        "the page is of another version than {version}"
    );
    for (file, begins, least) in [
        ("client.rs", "impl Builder {", 30),
        ("connect/http.rs", "impl<R> HttpConnector<R> {", 15),
        ("connect/http.rs", "impl HttpInfo {", 2),
    ] {
        let source = std::fs::read_to_string(sources.join(file)).unwrap();
        let methods = block(&source, begins)
            .filter_map(|line| line.strip_prefix("    pub fn "))
            .map(word);
        let (count, absent) = missing(FROM_HYPER_UTIL, methods);
        assert!(count >= least, "{count} methods in `{begins}` of {file}");
        assert_eq!(absent, [""; 0], "{begins}");
    }
}

#[test]
fn every_field_and_method_of_gos_transport_is_on_its_page() {
    let Ok(root) = Command::new("go").args(["env", "GOROOT"]).output() else {
        return peers_table::skip("go", "is not installed");
    };
    let root = String::from_utf8(root.stdout).unwrap();
    let read = |file: &str| std::fs::read_to_string(Path::new(root.trim()).join("src").join(file)).unwrap();
    let (transport, dialer) = (read("net/http/transport.go"), read("net/dial.go"));
    for (source, begins, least) in [
        (&transport, "type Transport struct {", 20),
        (&dialer, "type Dialer struct {", 8),
    ] {
        let fields = block(source, begins).filter_map(|line| line.strip_prefix('\t'));
        let fields = fields
            .map(word)
            .filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()));
        let (count, absent) = missing(FROM_GO, fields);
        assert!(count >= least, "{count} fields in `{begins}`");
        assert_eq!(absent, [""; 0], "{begins}");
    }
    let methods = transport
        .lines()
        .filter_map(|line| line.strip_prefix("func (t *Transport) "))
        .map(word)
        .filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()));
    let (count, absent) = missing(FROM_GO, methods);
    assert!(count >= 4, "{count} methods");
    assert_eq!(absent, [""; 0]);
}
