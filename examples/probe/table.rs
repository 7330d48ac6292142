//! The report for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use crate::hold::{Ended, Held};
use crate::report::Row;

const REQUESTS: [&str; 11] = [
    "target", "protocol", "requests", "ok", "failed", "opened", "reuse", "cold p50", "hot p50", "hot p99",
    "cold/hot",
];
const ADDRESSES: [&str; 9] = [
    "target",
    "protocol",
    "address",
    "connections",
    "dial",
    "tls",
    "cold p50",
    "hot p50",
    "state",
];

/// All rows: the requests, cold against hot; then the addresses; then what TLS agreed on, what failed and what closed.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut text = align(&REQUESTS, &rows.iter().map(requests).collect::<Vec<_>>());
    let addresses: Vec<_> = rows.iter().flat_map(addresses).collect();
    if !addresses.is_empty() {
        text += "\n";
        text += &align(&ADDRESSES, &addresses);
    }
    text += "\n";
    for row in rows {
        text += &notes(row);
    }
    text
}

fn requests(row: &Row) -> Vec<String> {
    let latency = &row.latency_us;
    vec![
        row.target.clone(),
        row.alpn.to_owned(),
        row.requests.to_string(),
        row.ok.to_string(),
        row.errors.values().sum::<u64>().to_string(),
        row.connections_opened.to_string(),
        format!("{:.1} %", row.reuse_rate * 100.0),
        time(latency.cold_p50),
        time(latency.hot_p50),
        time(latency.hot_p99),
        gain(row),
    ]
}

/// How much longer cold takes than hot.
pub(crate) fn gain(row: &Row) -> String {
    match (row.latency_us.cold_p50, row.latency_us.hot_p50) {
        (Some(cold), Some(hot)) if hot > 0 => format!("{:.1}x", cold as f64 / hot as f64),
        _ => "-".to_owned(),
    }
}

fn addresses(row: &Row) -> Vec<Vec<String>> {
    let cells = row.ips.iter().map(|ip| {
        vec![
            row.target.clone(),
            row.alpn.to_owned(),
            ip.ip.to_string(),
            ip.connections.to_string(),
            time(ip.dial_us),
            time(ip.tls_us),
            time(ip.cold_us),
            time(ip.hot_us),
            match ip.blocked_ms {
                Some(left) => format!("blocked for {}", time(Some(left.saturating_mul(1000)))),
                None => format!("{} live", ip.live),
            },
        ]
    });
    cells.collect()
}

fn notes(row: &Row) -> String {
    let mut text = format!("{} {}:", row.target, row.alpn);
    if let (Some(version), Some(suite)) = (row.tls.version, row.tls.suite) {
        let _ = write!(text, " {version} {suite}, {} resumed;", row.tls.resumed);
    }
    let list = |counts: &mut dyn Iterator<Item = (&str, u64)>| {
        let all: Vec<_> = counts.map(|(name, count)| format!("{name} {count}")).collect();
        if all.is_empty() {
            "none".to_owned()
        } else {
            all.join(", ")
        }
    };
    let closes = list(&mut row.closes.iter().map(|(&name, &count)| (name, count)));
    let errors = list(&mut row.errors.iter().map(|(name, &count)| (name.as_str(), count)));
    let _ = writeln!(text, " closed: {closes}; failed: {errors}");
    if let Some(held) = &row.held {
        text += &holding(held);
    }
    text
}

/// What became of the connections that were held: how many still stood, and each that ended.
pub(crate) fn holding(held: &Held) -> String {
    let count = |by_ip: &BTreeMap<IpAddr, usize>| by_ip.values().sum::<usize>();
    let (began, stood, span) = (count(&held.began), count(&held.stood), held.for_ms);
    let mut text = format!(
        "  held for {}: {stood} of {began} still stood\n",
        time(Some(span * 1_000))
    );
    for Ended { ip, after_ms, reason } in &held.ended {
        let _ = writeln!(
            text,
            "  {ip} ended after {}: {reason}",
            time(Some(after_ms * 1_000))
        );
    }
    text
}

/// Microseconds as people read them.
pub(crate) fn time(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(us) if us < 1_000 => format!("{us} µs"),
        Some(us) if us < 1_000_000 => format!("{:.2} ms", us as f64 / 1e3),
        Some(us) => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// Columns as wide as their widest cell: names to the left, figures to the right.
fn align(head: &[&str], rows: &[Vec<String>]) -> String {
    let is_name = |column: usize| matches!(head[column], "target" | "protocol" | "address");
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([head[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if is_name(column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}
