//! The profiles as a table: what a peer will make of them.

use std::error::Error;

use hotpool::fingerprint::{HelloPrints, Ja4, Profile, ProfileLibrary, hellos};

use crate::dump::flight_of;
use crate::opening::opening_of;

const HEAD: [&str; 6] = ["profile", "promises", "JA3", "JA4", "HTTP/2 (Akamai)", "source"];

pub(crate) async fn list() -> Result<String, Box<dyn Error>> {
    let library = ProfileLibrary::new();
    let mut rows = vec![HEAD.map(str::to_owned)];
    for profile in library.profiles() {
        rows.push(row(profile).await?);
    }
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        line.join("  ").trim_end().to_owned() + "\n"
    });
    Ok(lines.collect())
}

async fn row(profile: &Profile) -> Result<[String; 6], Box<dyn Error>> {
    let (ja3, ja4) = match profile.hello() {
        // Where the order is drawn for each connection, there is no one JA3.
        Some(hello) if hello.permuted().is_empty() => (hello.ja3().to_string(), hello.ja4()),
        Some(hello) => (format!("{} sorted", hello.ja3_sorted()), hello.ja4()),
        None => native(profile).await?,
    };
    Ok([
        profile.name().to_owned(),
        profile.guarantee().to_string(),
        ja3,
        ja4.to_string(),
        match profile.h2() {
            Some(h2) => h2.akamai().to_string(),
            None => opening_of(profile)
                .await?
                .map_or("HTTP/1.1 alone".to_owned(), |akamai| akamai.to_string()),
        },
        profile.source().to_owned(),
    ])
}

/// The same of the hello that TLS itself sends, whose order it draws, too: there is no recipe of it, so one is sent. As with HTTP/2 above.
async fn native(profile: &Profile) -> Result<(String, Ja4), Box<dyn Error>> {
    let flight = flight_of(profile).await?;
    let found = hellos(&flight).next().ok_or("no hello was sent")??;
    let prints = HelloPrints::of(&found.hello);
    Ok((format!("{} sorted", prints.ja3_sorted()), prints.ja4()))
}
