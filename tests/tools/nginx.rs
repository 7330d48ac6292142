//! The probe against nginx: its report agrees with nginx's own log, line by line.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::peers::Trust;
use crate::support::outside::nginx::{self, Nginx, Served};
use crate::support::{outside, peers_table};
use crate::tool::run;

const REQUESTS: usize = 120;

#[tokio::test]
async fn the_report_agrees_with_the_log_of_nginx() {
    let Some(nginx) = outside::start_good(&Nginx::default(), 3) else {
        return peers_table::skip("nginx", "not installed");
    };
    let mut row = peers_table::Row::of(&nginx);
    let port = nginx.place().port;
    let url = format!("https://peer.test:{port}/bytes");
    let resolve = format!("peer.test:{port}:127.0.0.1,127.0.0.2,127.0.0.3");
    let trust = Trust::file();
    let requests = REQUESTS.to_string();
    let run = run(
        "probe",
        &[
            "--json",
            &url,
            "--resolve",
            &resolve,
            "--cacert",
            trust.path(),
            "--requests",
            &requests,
            "--concurrency",
            "6",
            "--connections",
            "6",
        ],
    );
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let rows = run.rows();
    assert_eq!(rows.len(), 2);
    for (report, protocol, case) in [
        (&rows[0], "HTTP/1.1", "the probe over HTTP/1.1"),
        (&rows[1], "HTTP/2.0", "the probe over HTTP/2"),
    ] {
        let (log, evidence) = nginx::evidence(&nginx, case, |log| log.len() == 2 * REQUESTS).await;
        let log: Vec<&Served> = log.iter().filter(|served| served.protocol == protocol).collect();
        agrees(report, &log);
        row.case(evidence);
    }
}

/// Every figure of the report that the log has too.
fn agrees(report: &Value, log: &[&Served]) {
    assert_eq!(
        (log.len(), report["ok"].as_u64()),
        (REQUESTS, Some(REQUESTS as u64)),
        "{report}"
    );
    assert!(
        log.iter()
            .all(|served| served.status == 200 && served.path == "/bytes")
    );
    let mut connections: BTreeMap<u64, IpAddr> = BTreeMap::new();
    for served in log {
        connections.insert(served.connection, served.ip);
    }
    assert_eq!(
        report["connections_opened"].as_u64(),
        Some(connections.len() as u64),
        "{report}"
    );
    let reused = log.iter().filter(|served| served.nth > 1).count();
    assert_eq!(
        report["reuse_rate"].as_f64(),
        Some(reused as f64 / REQUESTS as f64),
        "{report}"
    );
    let mut by_ip: BTreeMap<String, u64> = BTreeMap::new();
    for ip in connections.values() {
        *by_ip.entry(ip.to_string()).or_default() += 1;
    }
    let ips = report["ips"].as_array().unwrap().iter();
    let reported = ips.map(|ip| {
        (
            ip["ip"].as_str().unwrap().to_owned(),
            ip["connections"].as_u64().unwrap(),
        )
    });
    assert_eq!(reported.collect::<BTreeMap<_, _>>(), by_ip);
    assert!(
        by_ip.len() == 3 && by_ip.values().all(|&count| count == 2),
        "{by_ip:?}"
    );
    let resumed = log
        .iter()
        .filter(|served| served.nth == 1 && served.resumed)
        .count();
    assert_eq!(
        report["tls"]["resumed"].as_u64(),
        Some(resumed as u64),
        "{report}"
    );
}
