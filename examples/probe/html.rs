//! The report as one HTML page: everything is in it, drawings too.

use std::fmt::Write;

use crate::report::{Ip, Row};
use crate::samples::BUCKETS;
use crate::table::{gain, holding, time};

const STYLE: &str = include_str!("report.css");

/// Of a drawing, in its own units; the page makes it as wide as there is room.
const WIDTH: f64 = 900.0;
/// Of each half of the distribution.
const REACH: f64 = 110.0;

/// Every row, one below the other.
pub(crate) fn page(rows: &[Row]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>hotpool probe</title>\n<link rel=\"icon\" \
         href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>hotpool probe</h1>\n<p class=\"soft\">Version \
         {version}. Cold: TCP, TLS and the first answer. Hot: every other request.</p>\n"
    );
    for row in rows {
        section(&mut page, row);
    }
    page + "</body>\n</html>\n"
}

fn section(page: &mut String, row: &Row) {
    let latency = &row.latency_us;
    let target = escaped(&row.target);
    let _ = write!(
        page,
        "<h2>{target} <span>{}</span></h2>\n<div class=\"tiles\">",
        row.alpn
    );
    let (cold, hot) = (time(latency.cold_p50), time(latency.hot_p50));
    for (name, kind, value) in [
        ("Cold, median", "cold", cold),
        ("Hot, median", "hot", hot),
        ("Cold to hot", "", gain(row)),
        ("Reuse", "", format!("{:.1} %", row.reuse_rate * 100.0)),
        ("Answered", "", format!("{} of {}", row.ok, row.requests)),
    ] {
        let _ = write!(
            page,
            "<div class=\"card\"><h3>{name}</h3><b class=\"{kind}\">{value}</b></div>"
        );
    }
    page.push_str("</div>\n");
    card(
        page,
        "Time to the whole answer: hot above, cold below",
        &distribution(row),
    );
    card(page, "By address", &addresses(&row.ips));
    let closes: Vec<_> = row
        .closes
        .iter()
        .map(|(&reason, &count)| (reason, count))
        .collect();
    card(page, "Closed, by reason", &bars(&closes));
    if !row.errors.is_empty() {
        let errors: Vec<_> = row
            .errors
            .iter()
            .map(|(kind, &count)| (kind.as_str(), count))
            .collect();
        card(page, "Failed, by kind", &bars(&errors));
    }
    if let Some(held) = &row.held {
        let lines = escaped(&holding(held)).replace('\n', "<br>");
        card(page, "Held", &format!("<p>{lines}</p>"));
    }
}

fn card(page: &mut String, name: &str, inner: &str) {
    let _ = writeln!(page, "<div class=\"card\"><h3>{name}</h3>\n{inner}</div>");
}

/// Two histograms with one axis of time between them, each as high as its highest column.
fn distribution(row: &Row) -> String {
    let x = |bucket: f64| WIDTH * bucket / BUCKETS as f64;
    let height = 2.0 * REACH + 20.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Latencies\">\n");
    for (decade, name) in ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]
        .into_iter()
        .enumerate()
    {
        let here = x(decade as f64 * 8.0);
        let anchor = if decade == 0 {
            "start"
        } else if decade == 4 {
            "end"
        } else {
            "middle"
        };
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{here:.1}\" x2=\"{here:.1}\" y1=\"0\" y2=\"{foot}\"/><text x=\"{here:.1}\" \
             y=\"{height}\" text-anchor=\"{anchor}\">{name}</text>",
            foot = 2.0 * REACH,
        );
    }
    let latency = &row.latency_us;
    for (kind, up, buckets, median) in [
        ("hot", true, &row.hot, latency.hot_p50),
        ("cold", false, &row.cold, latency.cold_p50),
    ] {
        let most = f64::from(buckets.iter().copied().max().unwrap_or(0).max(1));
        for (bucket, &count) in buckets.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let tall = ((REACH - 18.0) * f64::from(count) / most).max(1.0);
            let top = if up { REACH - 1.0 - tall } else { REACH + 1.0 };
            let (left, wide) = (x(bucket as f64) + 1.0, x(1.0) - 2.0);
            let _ = writeln!(
                svg,
                "<rect class=\"{kind}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"><title>{count}</title></rect>"
            );
        }
        let Some(us) = median else { continue };
        let here = x(((us.max(1) as f64 / 10.0).log10() * 8.0).clamp(0.0, BUCKETS as f64));
        let (end, line) = if up {
            (0.0, 11.0)
        } else {
            (2.0 * REACH, 2.0 * REACH - 3.0)
        };
        let (beside, anchor) = if here > WIDTH * 0.7 {
            (-5.0, "end")
        } else {
            (5.0, "start")
        };
        let (said, text) = (time(median), here + beside);
        let _ = writeln!(
            svg,
            "<line class=\"median\" x1=\"{here:.1}\" x2=\"{here:.1}\" y1=\"{REACH}\" y2=\"{end}\"/><text class=\"said\" \
             x=\"{text:.1}\" y=\"{line}\" text-anchor=\"{anchor}\">median {said}</text>"
        );
    }
    let _ = writeln!(
        svg,
        "<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{REACH}\" y2=\"{REACH}\"/>"
    );
    svg + "</svg>\n"
}

fn addresses(ips: &[Ip]) -> String {
    let mut table =
        "<table>\n<tr><th>Address<th>Connections<th>TCP<th>TLS<th>Cold p50<th>Hot p50<th>State</tr>\n"
            .to_owned();
    for ip in ips {
        let state = match ip.blocked_ms {
            Some(left) => format!("avoided for {}", time(Some(left.saturating_mul(1_000)))),
            None => format!("{} live", ip.live),
        };
        let cells = [
            time(ip.dial_us),
            time(ip.tls_us),
            time(ip.cold_us),
            time(ip.hot_us),
            state,
        ];
        let _ = writeln!(
            table,
            "<tr><td>{}<td>{}<td>{}</tr>",
            ip.ip,
            ip.connections,
            cells.join("<td>")
        );
    }
    table + "</table>\n"
}

/// One line for each, as long as there are many.
fn bars(counts: &[(&str, u64)]) -> String {
    const LINE: usize = 24;
    let most = counts.iter().map(|&(_, count)| count).max().unwrap_or(0).max(1);
    let height = LINE * counts.len().max(1);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Counts\">\n");
    for (line, &(name, count)) in counts.iter().enumerate() {
        let (y, top) = (line * LINE + 16, line * LINE + 6);
        let wide = (640.0 * count as f64 / most as f64).max(1.0);
        let _ = writeln!(
            svg,
            "<text class=\"said\" x=\"0\" y=\"{y}\">{}</text><rect class=\"bar\" x=\"180\" y=\"{top}\" width=\"{wide:.1}\" \
             height=\"12\"/><text class=\"said\" x=\"{:.1}\" y=\"{y}\">{count}</text>",
            escaped(&name.replace('_', " ")),
            190.0 + wide,
        );
    }
    if counts.is_empty() {
        svg.push_str("<text x=\"0\" y=\"16\">none</text>\n");
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
