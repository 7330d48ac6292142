//! The probe against peers that refuse, hang up or speak one protocol alone: every failure is counted by its kind.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::certs;
use crate::support::peer::{Act, Alpn, Peer, To};
use crate::tool::{Run, run};

/// Probes the peer, trusting the tests' authority.
pub(crate) fn probe(peer: &Peer, path: &str, more: &[&str]) -> Run {
    let url = format!("https://peer.test:{}{path}", peer.port());
    let ips: Vec<String> = peer.ips().iter().map(ToString::to_string).collect();
    let resolve = format!("peer.test:{}:{}", peer.port(), ips.join(","));
    let mut arguments = vec!["--resolve", &resolve];
    arguments.extend(more);
    probe_url(&url, &arguments)
}

/// Probes this URL, trusting the tests' authority.
pub(crate) fn probe_url(url: &str, more: &[&str]) -> Run {
    let trust = Trust::file();
    let mut arguments = vec!["--json", url, "--cacert", trust.path()];
    arguments.extend(more);
    run("probe", &arguments)
}

/// The authority's certificate in a file; removed when dropped.
pub(crate) struct Trust(PathBuf);

impl Trust {
    pub(crate) fn file() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("authority-{}-{serial}.pem", std::process::id());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, certs::authority().pem()).unwrap();
        Trust(file)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn several_connections_to_one_address_are_all_used() {
    let peer = Peer::start();
    for concurrency in ["1", "8"] {
        let run = probe(
            &peer,
            "/chunked/3000",
            &["--connections", "3", "--concurrency", concurrency],
        );
        assert_eq!(run.code, 0, "{}", run.err);
        for row in run.rows() {
            assert_eq!(row["connections_opened"], 3, "{row}");
            assert_eq!(row["ips"][0]["connections"], 3, "{row}");
        }
    }
    let seen = peer.seen();
    assert_eq!(
        (seen.accepts, seen.http1_requests, seen.http2_requests),
        (12, 400, 400)
    );
    for conn in peer.connections() {
        assert!(conn.requests > 0, "a connection without a request: {conn:?}");
    }
}

#[test]
fn the_protocol_that_a_host_does_not_speak_shows_its_errors() {
    let peer = Peer::builder().alpn(Alpn::Http1).start();
    let run = probe(&peer, "/", &["--requests", "50"]);
    assert_eq!(run.code, 1, "{}", run.err);
    let rows = run.rows();
    assert_eq!((&rows[0]["ok"], &rows[0]["errors"]), (&json!(50), &json!({})));
    assert_eq!((&rows[1]["alpn"], &rows[1]["ok"]), (&json!("h2"), &json!(0)));
    let errors = rows[1]["errors"].as_object().unwrap();
    assert!(
        !errors.is_empty() && errors.keys().all(|kind| kind == "tls" || kind == "protocol"),
        "{errors:?}"
    );
    assert_eq!(sum(&rows[1]["errors"]), rows[1]["requests"].as_u64().unwrap());
}

#[test]
fn an_untrusted_certificate_is_told_with_and_without_warming() {
    let peer = Peer::builder().certificate(certs::unknown_ca()).start();
    for more in [&[][..], &["--connections", "2"]] {
        let run = probe(&peer, "/", more);
        assert_eq!(run.code, 1);
        for row in run.rows() {
            let errors = row["errors"].as_object().unwrap();
            assert!(errors.keys().eq(["certificate_issuer"]), "{row}");
            assert_eq!(
                (&row["connections_opened"], &row["closes"]),
                (&json!(0), &json!({}))
            );
        }
        assert!(run.err.contains("issuer is not trusted"), "{}", run.err);
    }
    assert_eq!(peer.seen().requests(), 0);
}

#[test]
fn connections_that_a_peer_ends_are_opened_again_and_counted() {
    let peer = Peer::start();
    let run = probe(
        &peer,
        "/close",
        &["--http1", "--requests", "10", "--concurrency", "1"],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    let row = run.rows().remove(0);
    assert_eq!(
        (&row["ok"], &row["connections_opened"], &row["reuse_rate"]),
        (&json!(10), &json!(10), &json!(0.0))
    );
    assert_eq!(sum(&row["closes"]), 10, "{row}");
    assert_eq!((peer.seen().accepts, peer.seen().http1_requests), (10, 10));
}

#[test]
fn a_status_that_says_no_is_a_failure_on_a_sound_connection() {
    let peer = Peer::start();
    let run = probe(&peer, "/status/503", &["--http2"]);
    assert_eq!(run.code, 1);
    let row = run.rows().remove(0);
    assert!(row["errors"]["status_503"].as_u64() >= Some(5), "{row}");
    assert_eq!(
        (&row["connections_opened"], &row["closes"]),
        (&json!(1), &json!({ "pool_closed": 1 }))
    );
}

#[test]
fn a_peer_that_never_answers_times_out() {
    let peer = Peer::start();
    peer.always(To::All, Act::StallAfterHandshake);
    let run = probe(&peer, "/", &["--requests", "2", "--timeout", "0.3"]);
    assert_eq!(run.code, 1);
    for row in run.rows() {
        assert_eq!(row["errors"], json!({ "timeout": 2 }), "{row}");
    }
}

fn sum(counts: &Value) -> u64 {
    counts
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum()
}
