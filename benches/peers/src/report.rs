//! What was measured, as text and as JSON, and the limits.

use std::fmt::Write;

use crate::histogram::Histogram;
use crate::latency::Latency;
use crate::ours::ENDPOINT;
use crate::rounds::{Row, median};
use crate::table::{LEGACY, MAP, NAME};

/// The share of two cores that must be free where two threads are measured.
const FREE: f64 = 0.95;

/// A limit, and what was measured against it; nothing if it was not.
struct Gate {
    name: String,
    value: Option<f64>,
    limit: f64,
    unit: &'static str,
}

impl Gate {
    fn holds(&self) -> bool {
        self.value.is_some_and(|value| value <= self.limit)
    }
}

#[derive(Default)]
pub(crate) struct Report {
    text: String,
    rows: Vec<String>,
    gates: Vec<Gate>,
}

impl Report {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether every limit was measured and holds.
    pub(crate) fn holds(&self) -> bool {
        self.gates.iter().all(Gate::holds)
    }

    pub(crate) fn alone(&mut self, rows: &[Row]) {
        let columns = format!("of {LEGACY}");
        self.section(
            "one thread, one host, 9 idle connections on 3 addresses",
            &columns,
            rows,
        );
        let named = find(rows, NAME);
        self.gate(format!("{NAME}: of {LEGACY}"), Some(named.cpu_ratio), 0.20, "");
        let endpoint = find(rows, ENDPOINT);
        let name = format!("hotpool, by Endpoint: of {LEGACY}");
        self.gate(name, Some(endpoint.cpu_ratio), 0.15, "");
        self.gate(format!("{NAME}: allocations"), Some(named.allocations), 0.0, "");
        let allocations = Some(endpoint.allocations);
        self.gate("hotpool, by Endpoint: allocations".into(), allocations, 0.0, "");
    }

    /// `free` is the share of two cores that two threads could have: with less than [`FREE`] the limits are not measured.
    pub(crate) fn paired(&mut self, rows: &[Row], free: f64) {
        let columns = format!("of {LEGACY}");
        self.section("two threads, one host, 9 idle connections", &columns, rows);
        self.cores(free);
        let ours = find(rows, NAME);
        let quiet = |value: f64| (free >= FREE).then_some(value);
        let gate = |what: &str| format!("{NAME}, two threads: {what}");
        self.gate(
            gate(&format!("CPU time of {LEGACY}")),
            quiet(ours.cpu_ratio),
            0.15,
            "",
        );
        self.gate(
            gate(&format!("time of {LEGACY}")),
            quiet(ours.wall_ratio),
            0.15,
            "",
        );
        self.gate(gate("allocations"), Some(ours.allocations), 0.0, "");
    }

    pub(crate) fn many(&mut self, rows: &[Row], hosts: usize, bytes: usize) {
        let title =
            format!("one thread, {hosts} hosts in random order, scripted connections, {bytes} bytes each");
        self.section(&title, &format!("of the {MAP}"), rows);
        let ratio = (hosts >= 10_000).then(|| find(rows, NAME).cpu_ratio);
        self.gate(format!("{NAME}, 10,000 hosts: of a {MAP}"), ratio, 1.5, "");
    }

    pub(crate) fn after_exchanges(&mut self, times: &[(&str, f64)]) {
        let _ = writeln!(self.text, "\nget and put around an exchange (time, median)");
        for (name, nanos) in times {
            let _ = writeln!(self.text, "  {name:<30} {nanos:>8.1} ns");
            let row = format!(
                r#"{{"section":"around an exchange","name":"{name}","wall_ns":{}}}"#,
                number(*nanos)
            );
            self.rows.push(row);
        }
    }

    pub(crate) fn latency(&mut self, latency: &Latency) {
        let &Latency {
            hosts, entries, free, ..
        } = latency;
        let _ = writeln!(
            self.text,
            "\nlatency of get, open-loop, {entries} entries of {hosts} hosts; {} expired, a pass took {:.1?}",
            latency.closed, latency.pass,
        );
        for (name, rounds) in [
            ("without clean-up", &latency.quiet),
            ("while 1 % expires, over and over", &latency.cleaning),
        ] {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| in_the_middle(rounds, share));
            let most = rounds.iter().map(Histogram::most).max().unwrap_or(0);
            let total: u64 = rounds.iter().map(Histogram::total).sum();
            let _ = writeln!(
                self.text,
                "  {name:<34} p50 {p50:>6} ns  p99 {p99:>8} ns  p99.9 {p999:>9} ns (of the round in the middle)  most {most:>9} ns  of {total}"
            );
            self.rows.push(format!(
                r#"{{"section":"latency","name":"{name}","p50_ns":{p50},"p99_ns":{p99},"p999_ns":{p999},"most_ns":{most},"count":{total}}}"#
            ));
        }
        let micros = in_the_middle(&latency.cleaning, 0.99) / 1e3;
        self.cores(free);
        let value = (entries >= 100_000 && free >= FREE).then_some(micros);
        let name = "get while 1 % of 100,000 entries expires: p99".into();
        self.gate(name, value, 10.0, " us");
    }

    fn cores(&mut self, free: f64) {
        let share = 100.0 * free;
        let _ = match free >= FREE {
            true => writeln!(self.text, "  (two threads had {share:.0} % of two cores)"),
            false => writeln!(
                self.text,
                "  (two threads had {share:.0} % of two cores: the machine is busy, and this says nothing about two threads)"
            ),
        };
    }

    fn section(&mut self, title: &str, reference: &str, rows: &[Row]) {
        let head = ["CPU ns", "least", "most", "ns", "allocs", "CPU", "time"];
        let _ = writeln!(self.text, "\n{title}\n{:<75}{reference}", "");
        let _ = write!(self.text, "  {:<26}", "");
        for column in head {
            let _ = write!(self.text, " {column:>8}");
        }
        self.text.push('\n');
        for row in rows {
            let _ = writeln!(
                self.text,
                "  {:<26} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.2} {:>8.3} {:>8.3}",
                row.name,
                row.cpu,
                row.least,
                row.most,
                row.wall,
                row.allocations,
                row.cpu_ratio,
                row.wall_ratio
            );
            self.rows.push(format!(
                r#"{{"section":"{title}","name":"{}","cpu_ns":{},"least_ns":{},"most_ns":{},"wall_ns":{},"allocations":{},"cpu_ratio":{},"wall_ratio":{}}}"#,
                row.name,
                number(row.cpu),
                number(row.least),
                number(row.most),
                number(row.wall),
                number(row.allocations),
                number(row.cpu_ratio),
                number(row.wall_ratio),
            ));
        }
    }

    fn gate(&mut self, name: String, value: Option<f64>, limit: f64, unit: &'static str) {
        self.gates.push(Gate {
            name,
            value,
            limit,
            unit,
        });
    }

    /// The limits, one a line.
    pub(crate) fn verdict(&self) -> String {
        let mut text = String::from("\nlimits\n");
        for gate in &self.gates {
            let Gate {
                name, limit, unit, ..
            } = gate;
            let verdict = match (gate.value, gate.holds()) {
                (None, _) => "not measured".to_owned(),
                (Some(value), true) => format!("{value:.5}{unit}, ok"),
                (Some(value), false) => format!("{value:.5}{unit}, BROKEN"),
            };
            let _ = writeln!(text, "  {name:<62} at most {limit}{unit}: {verdict}");
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let gates = self.gates.iter().map(|gate| {
            let value = gate.value.map_or("null".to_owned(), number);
            let Gate {
                name, limit, unit, ..
            } = gate;
            format!(r#"{{"name":"{name}","value":{value},"limit":{limit},"unit":"{unit}"}}"#)
        });
        let gates: Vec<_> = gates.collect();
        format!(
            "{{\"rows\":[\n{}\n],\n\"limits\":[\n{}\n]}}\n",
            self.rows.join(",\n"),
            gates.join(",\n")
        )
    }
}

fn find<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    let row = rows.iter().find(|row| row.name == name);
    row.expect("it ran")
}

/// JSON has no infinities.
fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        "null".to_owned()
    }
}

/// This quantile of the round in the middle, in nanoseconds.
fn in_the_middle(rounds: &[Histogram], share: f64) -> f64 {
    median(rounds.iter().map(|round| round.quantile(share) as f64).collect())
}
