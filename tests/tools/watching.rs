//! The probe where it takes its time: connections that are held, a table that is watched, a report to keep.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::peers::Trust;
use crate::support::outside::browser::{self, Browser, Kind};
use crate::support::outside::devtools::Page;
use crate::support::peer::{Order, Peer, To};
use crate::support::peers_table::{self, Row};
use crate::tool::{binary, run};

/// A probe that runs. Dropping it ends it.
struct Probe(Child);

impl Probe {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary("probe"));
        command.args(arguments).stdin(Stdio::null());
        Probe(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn out(&mut self) -> Lines<BufReader<ChildStdout>> {
        BufReader::new(self.0.stdout.take().unwrap()).lines()
    }

    fn err(&mut self) -> Lines<BufReader<ChildStderr>> {
        BufReader::new(self.0.stderr.take().unwrap()).lines()
    }

    fn interrupt(&self) {
        let sent = Command::new("kill")
            .args(["-INT", &self.0.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until it says that it holds so many connections.
fn holds(err: &mut Lines<BufReader<ChildStderr>>, count: usize) {
    let said = format!("holds {count} connections");
    let line = err.next().expect("a line").unwrap();
    assert!(line.contains(&said), "{line}");
}

#[test]
fn what_a_peer_ends_is_told_with_its_reason() {
    let peer = Peer::builder().ips(3).start();
    let (url, trust) = (format!("https://peer.test:{}/", peer.port()), Trust::file());
    let resolve = format!("peer.test:{}:127.0.0.1,127.0.0.2,127.0.0.3", peer.port());
    for protocol in ["--http1", "--http2"] {
        let mut probe = Probe::start(&[
            &url,
            "--resolve",
            &resolve,
            "--cacert",
            trust.path(),
            protocol,
            "--connections",
            "3",
            "--requests",
            "6",
            "--hold",
            "1h",
            "--json",
        ]);
        let (mut err, out) = (probe.err(), probe.out());
        holds(&mut err, 3);
        peer.order(To::All, Order::Close);
        // With nothing left to hold it goes on.
        let rows: Vec<Value> = out
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        assert_eq!(probe.code(), Some(0));
        let held = &rows[0]["held"];
        let one_each = json!({ "127.0.0.1": 1, "127.0.0.2": 1, "127.0.0.3": 1 });
        assert_eq!(
            (&held["began"], &held["stood"]),
            (&one_each, &json!({})),
            "{held}"
        );
        let ended = held["ended"].as_array().unwrap();
        let mut ips: Vec<_> = ended.iter().map(|ended| ended["ip"].as_str().unwrap()).collect();
        ips.sort_unstable();
        assert_eq!(ips, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let why = if protocol == "--http1" {
            "peer_closed"
        } else {
            "go_away"
        };
        for ended in ended {
            let reason = ended["reason"].as_str().unwrap();
            assert!(reason == why || reason == "peer_closed", "{ended}");
            assert!(ended["after_ms"].as_u64() <= held["for_ms"].as_u64(), "{held}");
        }
        assert_eq!(
            rows[0]["closes"]
                .as_object()
                .unwrap()
                .values()
                .map(|count| count.as_u64().unwrap())
                .sum::<u64>(),
            3
        );
    }
}

#[test]
fn what_nobody_ends_is_held_for_as_long_as_is_said_or_until_an_interrupt() {
    let run = run(
        "probe",
        &["--hold", "300ms", "--json", "--http1", "--requests", "3"],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    let held = &run.rows()[0]["held"];
    assert!(held["for_ms"].as_u64() >= Some(300), "{held}");
    assert_eq!(
        (&held["began"], &held["ended"]),
        (&held["stood"], &json!([])),
        "{held}"
    );
    assert_eq!(
        held["began"],
        json!({ "127.0.0.1": 1, "127.0.0.2": 1, "127.0.0.3": 1 })
    );
    let mut probe = Probe::start(&["--hold", "1h", "--http2", "--requests", "3"]);
    let (mut err, out) = (probe.err(), probe.out());
    holds(&mut err, 3);
    probe.interrupt();
    let said: Vec<String> = out.map(Result::unwrap).collect();
    assert_eq!(probe.code(), Some(0));
    assert!(
        said.iter().any(|line| line.contains("3 of 3 still stood")),
        "{said:?}"
    );
}

#[test]
fn a_watch_goes_on_until_an_interrupt() {
    let mut probe = Probe::start(&["--watch", "--json"]);
    let mut out = probe.out();
    let mut row = || serde_json::from_str::<Value>(&out.next().expect("a row").unwrap()).unwrap();
    // Every second one row for each protocol, in their order; the count goes up.
    let mut counts = [0, 0];
    let mut more = 0;
    while more < 4 {
        for (alpn, count) in ["http/1.1", "h2"].iter().zip(&mut counts) {
            let row = row();
            assert_eq!(
                (row["alpn"].as_str(), &row["errors"]),
                (Some(*alpn), &json!({})),
                "{row}"
            );
            assert!(
                row["connections_opened"].as_u64() <= Some(3),
                "it opens no more: {row}"
            );
            let requests = row["requests"].as_u64().unwrap();
            assert!(requests >= *count, "{row}");
            more += u32::from(requests > *count);
            *count = requests;
        }
    }
    probe.interrupt();
    assert_eq!(probe.code(), Some(0));

    let mut probe = Probe::start(&["--watch", "--http1"]);
    let out = probe.out();
    let mut tables = 0;
    for line in out.map(Result::unwrap) {
        assert!(!line.contains('\x1b'), "no terminal, no escapes: {line:?}");
        let head = line.starts_with("target ") && line.contains("cold/hot");
        tables += usize::from(head);
        if head && tables == 2 {
            probe.interrupt();
        }
    }
    assert_eq!(probe.code(), Some(0));
    assert!(tables > 2, "and one at the end: {tables}");
}

/// A file that is removed when this is dropped.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_report_is_one_page_with_the_figures_of_the_rows() {
    let file = File(std::env::temp_dir().join(format!("hotpool-report-{}.html", std::process::id())));
    let path = file.0.to_str().unwrap();
    let run = run("probe", &["--report", path, "--json", "--hold", "50ms"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let text = std::fs::read_to_string(&file.0).unwrap();
    for elsewhere in ["src=", "http://", "https://", "url(", "@import", "<script"] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
    let time = |us: &Value| match us.as_u64().unwrap() {
        us if us < 1_000 => format!("{us} µs"),
        us => format!("{:.2} ms", us as f64 / 1e3),
    };
    let parts: Vec<&str> = text.split("<h2>").skip(1).collect();
    let rows = run.rows();
    assert_eq!(parts.len(), rows.len());
    for (row, part) in rows.iter().zip(parts) {
        let latency = &row["latency_us"];
        let mut figures = vec![
            row["target"].as_str().unwrap().to_owned(),
            row["alpn"].as_str().unwrap().to_owned(),
            format!("median {}<", time(&latency["cold_p50"])),
            format!("median {}<", time(&latency["hot_p50"])),
            ">200 of 200<".to_owned(),
            ">98.5 %<".to_owned(),
            ">pool closed<".to_owned(),
            "3 of 3 still stood".to_owned(),
        ];
        for ip in row["ips"].as_array().unwrap() {
            let cells = ["dial_us", "tls_us", "cold_us", "hot_us"].map(|name| time(&ip[name]));
            figures.push(format!(
                "<td>{}<td>1<td>{}<td>1 live<",
                ip["ip"].as_str().unwrap(),
                cells.join("<td>")
            ));
        }
        for figure in figures {
            assert!(part.contains(&figure), "{figure}: {part}");
        }
        // Every request is in the drawing.
        let drawn = |kind: &str| -> u64 {
            let column = format!("<rect class=\"{kind}\"");
            let columns = part.split(&column).skip(1);
            columns
                .map(|column| {
                    column
                        .split("<title>")
                        .nth(1)
                        .unwrap()
                        .split('<')
                        .next()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                })
                .sum()
        };
        assert_eq!((drawn("cold"), drawn("hot")), (3, 197));
    }
    let nowhere = crate::tool::run(
        "probe",
        &["--report", "/nowhere/report.html", "--http1", "--requests", "3"],
    );
    assert!(
        nowhere.code == 1 && nowhere.err.contains("/nowhere/report.html: "),
        "{}",
        nowhere.err
    );

    let Some(browser) = Browser::find(Kind::Chromium) else {
        return peers_table::skip(browser::name(Kind::Chromium), "is not installed");
    };
    let mut page = Page::open(&browser, &format!("file://{path}"));
    let shown = page.evaluate("document.querySelectorAll('svg').length");
    assert_eq!((shown, page.complaints()), (json!(2 * rows.len()), &[][..]));
    Row::of(&browser).case(browser.evidence("the probe's report", rows.len()));
}
