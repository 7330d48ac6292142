//! The examples of the adapters: each runs by itself, and what it says is what it did.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::tool::{binary, run};

#[test]
fn hyper_s_client_is_served_by_one_connection() {
    let told = run("hyper", &[]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    let lines: Vec<_> = told.out.lines().collect();
    let (last, answers) = lines.split_last().unwrap();
    assert_eq!(
        (*last, answers.len()),
        ("1 dialled for 5 requests", 5),
        "{}",
        told.out
    );
    assert!(
        answers
            .iter()
            .all(|line| line.starts_with("connection 1: hello from 127.0.0."))
    );
}

#[test]
fn a_service_is_served_by_one_connection() {
    let told = run("tower", &[]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    let last = told.out.lines().last();
    assert_eq!(
        (last, told.out.lines().count()),
        (Some("1 dialled for 5 requests"), 6),
        "{}",
        told.out
    );
}

/// Who writes a stack has less than 150 lines to read. `tests/adapters/tags.rs` has some thousands of requests through it.
#[test]
fn a_stack_of_one_s_own_is_short_and_keeps_its_answers_apart() {
    let told = run("own_stack", &[]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    assert_eq!(told.out, "100 answers, 1 connections\n");
    let lines = [
        include_str!("../../examples/own_stack/main.rs"),
        include_str!("../../examples/own_stack/stack.rs"),
    ];
    let count: usize = lines.iter().map(|text| text.lines().count()).sum();
    assert!(count < 150, "{count}");
}

/// Ends it, whatever happens to the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of an answer over a connection that ends with it.
fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// The sum of each metric over its series, in Prometheus' text.
fn sums(text: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        assert!(
            name.starts_with("hotpool_") || name.starts_with("http_client_"),
            "{line}"
        );
        assert!(series.contains("hotpool_pool=\"example\""), "{line}");
        *sums.entry(name.to_owned()).or_default() += value.parse::<f64>().unwrap();
    }
    sums
}

#[test]
fn prometheus_reads_what_the_pool_counts() {
    let mut service = Command::new(binary("metrics"))
        .arg("0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines();
    let _running = Running(service);
    let counted = lines.next().unwrap().unwrap();
    let url = lines.next().unwrap().unwrap();
    assert!(counted.contains("gets: 40, hits: 38"), "{counted}");
    let address = url
        .strip_prefix("http://")
        .and_then(|url| url.strip_suffix("/metrics"))
        .unwrap();
    // Twice: what was counted is not counted again.
    for _ in 0..2 {
        let text = scrape(address);
        let sums = sums(&text);
        let expected = [
            ("hotpool_gets", 40.0),
            ("hotpool_hits", 38.0),
            ("hotpool_opened", 2.0),
            ("hotpool_dials", 2.0),
            ("hotpool_leases", 0.0),
            ("http_client_open_connections", 2.0),
            ("http_client_request_time_in_queue_count", 2.0),
            ("hotpool_connection_setup_duration_count", 4.0),
        ];
        for (name, value) in expected {
            assert_eq!(sums.get(name), Some(&value), "{name}: {text}");
        }
        assert!(
            text.contains("# TYPE http_client_open_connections gauge"),
            "{text}"
        );
        assert!(text.contains("network_peer_address=\"127.0.0."), "{text}");
        assert!(text.contains("server_address=\"hotpool.test\""), "{text}");
    }
}
