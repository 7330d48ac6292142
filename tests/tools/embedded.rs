//! The tools without a network: against the server that they start themselves.

use hotpool::fingerprint::ProfileLibrary;
use serde_json::{Value, json};

use crate::tool::run;

#[test]
fn the_probe_reuses_one_connection_per_address_over_both_protocols() {
    let run = run("probe", &["--json"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    let rows = run.rows();
    assert_eq!(
        rows.iter().map(|row| &row["alpn"]).collect::<Vec<_>>(),
        ["http/1.1", "h2"]
    );
    for row in &rows {
        let (requests, ok) = (row["requests"].as_u64(), row["ok"].as_u64());
        assert!(requests == ok && ok >= Some(100), "{row}");
        assert_eq!(row["errors"], json!({}), "{row}");
        assert_eq!(row["connections_opened"], 3, "{row}");
        assert!(row["reuse_rate"].as_f64() > Some(0.95), "{row}");
        let ips: Vec<_> = row["ips"].as_array().unwrap().iter().map(ip_and_count).collect();
        assert_eq!(
            ips,
            [("127.0.0.1", 1), ("127.0.0.2", 1), ("127.0.0.3", 1)],
            "{row}"
        );
        assert_eq!(row["closes"], json!({ "pool_closed": 3 }), "{row}");
        assert_eq!(row["tls"]["version"], "TLSv1_3", "{row}");
        let latency = &row["latency_us"];
        let us = |name: &str| latency[name].as_u64().filter(|&us| us > 0).expect("a figure");
        assert!(us("hot_p50") <= us("hot_p99"), "{row}");
        // A handshake costs far more than an exchange on a connection that stands.
        assert!(us("cold_p50") > us("hot_p50"), "{row}");
    }
}

#[test]
fn a_row_has_these_fields_and_no_others() {
    let row = run("probe", &["--json", "--http1", "--requests", "3"])
        .rows()
        .remove(0);
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut expected = [
        "target",
        "alpn",
        "requests",
        "ok",
        "errors",
        "connections_opened",
        "reuse_rate",
        "latency_us",
        "ips",
        "tls",
        "closes",
        "held",
    ];
    expected.sort_unstable();
    assert_eq!(fields(&row), expected);
    assert_eq!(fields(&row["latency_us"]), ["cold_p50", "hot_p50", "hot_p99"]);
    assert_eq!(
        fields(&row["ips"][0]),
        [
            "blocked_ms",
            "cold_us",
            "connections",
            "dial_us",
            "hot_us",
            "ip",
            "live",
            "tls_us"
        ]
    );
    assert_eq!(fields(&row["tls"]), ["resumed", "suite", "version"]);
    assert_eq!(row["held"], Value::Null);
    assert_eq!(
        (row["ips"][0]["cold_us"].is_u64(), &row["ips"][0]["hot_us"]),
        (true, &Value::Null)
    );
    // Three requests, each the first on its connection: nothing was reused, and the report does not say otherwise.
    assert_eq!(
        (&row["reuse_rate"], &row["latency_us"]["hot_p50"]),
        (&json!(0.0), &Value::Null)
    );
}

#[test]
fn without_json_it_is_a_table() {
    let run = run("probe", &["--requests", "20", "--connections", "6"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let lines: Vec<&str> = run.out.lines().collect();
    assert!(
        lines[0].starts_with("target") && lines[0].contains("cold p50"),
        "{}",
        run.out
    );
    for (line, protocol) in lines[1..3].iter().zip(["http/1.1", "h2"]) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        // target, protocol, requests, ok, failed, opened, reuse: 14 of 20 requests were not the first.
        assert_eq!(
            cells[1..7],
            [protocol, "20", "20", "0", "6", "70.0"],
            "{}",
            run.out
        );
    }
    let twos = lines
        .iter()
        .filter(|line| line.contains("127.0.0.") && line.contains(" 2 "));
    assert_eq!(
        twos.count(),
        6,
        "two connections to each address, over each protocol: {}",
        run.out
    );
}

#[test]
fn the_quickstart_runs() {
    let run = run("quickstart", &[]);
    assert_eq!(run.code, 0, "{}", run.err);
    let says = "connection 1: hello from 127.0.0.1 over HTTP/2.0\n";
    assert!(run.out.starts_with(&says.repeat(2)), "{}", run.out);
    assert!(
        run.out.ends_with("2 connections opened for 3 leases\n"),
        "{}",
        run.out
    );
}

fn ip_and_count(ip: &Value) -> (&str, u64) {
    (ip["ip"].as_str().unwrap(), ip["connections"].as_u64().unwrap())
}

#[test]
fn the_example_of_fingerprints_runs_with_each_profile() {
    for profile in ["chrome", "firefox-esr", "safari", "curl", "python"] {
        let run = run("fingerprint", &[profile]);
        assert_eq!(run.code, 0, "{profile}: {}{}", run.out, run.err);
        let wire: Vec<&str> = run
            .out
            .lines()
            .filter_map(|line| line.split_once("JA4 on the wire "))
            .map(|(_, ja4)| ja4)
            .collect();
        assert_eq!(wire.len(), 2, "{}", run.out);
        assert_eq!(wire[0], wire[1], "what was learned is what was sent: {}", run.out);
        let told = ProfileLibrary::new().by_name(profile).unwrap().h2().cloned();
        let told = told.map(|h2| format!(": Akamai's text {}\n", h2.akamai()));
        let count = |text: &str| run.out.matches(text).count();
        assert_eq!(
            (count(": Akamai's text "), told.map_or(0, |told| count(&told))),
            if profile == "python" { (0, 0) } else { (2, 2) },
            "{}",
            run.out
        );
        assert!(
            run.out.contains("learned of 1 capture\n  - the extensions"),
            "{}",
            run.out
        );
    }
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hello/go-1.19-00.bin");
    let learned = run("fingerprint", &["go", capture]);
    assert!(
        learned.code == 0
            && learned
                .out
                .contains("learned: JA4 on the wire t13d1910h2_9dc949149365_97f8aa674fd9"),
        "{}",
        learned.out
    );
    // Node's hello offers no HTTP/2, and Go's way to open it is to be seen.
    let silent = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hello/node-20-00.bin");
    for (arguments, why) in [
        (&["netscape"][..], "no profile"),
        (&["go", silent], "no text of Akamai's"),
        (&["go", file!()], "type of a record"),
    ] {
        let refused = run("fingerprint", arguments);
        assert!(refused.code == 1 && refused.err.contains(why), "{}", refused.err);
    }
}
