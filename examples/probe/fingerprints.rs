//! The profiles as a table: what a peer will make of them.

use hotpool::fingerprint::{HelloSpec, Profile, ProfileLibrary};

const HEAD: [&str; 6] = ["profile", "promises", "JA3", "JA4", "HTTP/2 (Akamai)", "source"];

pub(crate) fn list() -> String {
    let library = ProfileLibrary::new();
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(library.profiles().iter().map(row));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        line.join("  ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn row(profile: &Profile) -> [String; 6] {
    let hello = |text: fn(&HelloSpec) -> String| profile.hello().map_or("rustls's own".to_owned(), text);
    [
        profile.name().to_owned(),
        profile.guarantee().to_string(),
        // Where the order is drawn for each connection, there is no one JA3.
        hello(|hello| match hello.permuted().is_empty() {
            true => hello.ja3().to_string(),
            false => format!("{} sorted", hello.ja3_sorted()),
        }),
        hello(|hello| hello.ja4().to_string()),
        profile
            .h2()
            .map_or("h2's own".to_owned(), |h2| h2.akamai().to_string()),
        profile.source().to_owned(),
    ]
}
