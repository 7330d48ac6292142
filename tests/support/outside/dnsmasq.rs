//! dnsmasq, with a hosts file that a test rewrites, and a log of what it was asked.

use std::io;
use std::net::IpAddr;

use super::super::peers_table::Evidence;
use super::{Outside, Place, Recipe};

/// A dnsmasq to be started. Of names under `.test` that its hosts file does not have, it says that they do not exist.
#[derive(Clone, Debug)]
pub struct Dnsmasq {
    /// The time to live of what stands in the hosts file, in seconds.
    pub ttl: u32,
}

impl Recipe for Dnsmasq {
    fn name(&self) -> &'static str {
        "dnsmasq"
    }

    fn program(&self) -> &'static str {
        "dnsmasq"
    }

    fn version_argument(&self) -> &'static str {
        "--version"
    }

    fn arguments(&self, place: &Place) -> io::Result<Vec<String>> {
        std::fs::write(place.dir.join("hosts"), "")?;
        let file = |name: &str| place.dir.join(name).display().to_string();
        let mut arguments = vec![
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--no-resolv".to_owned(),
            "--no-hosts".to_owned(),
            "--bind-interfaces".to_owned(),
            "--local=/test/".to_owned(),
            "--log-queries".to_owned(),
            // The starting user, where that is root: another could not read the directory.
            "--user=root".to_owned(),
            format!("--pid-file={}", file("pid")),
            format!("--log-facility={}", file("log")),
            format!("--addn-hosts={}", file("hosts")),
            format!("--local-ttl={}", self.ttl),
            format!("--port={}", place.port),
        ];
        arguments.extend(place.ips.iter().map(|ip| format!("--listen-address={ip}")));
        Ok(arguments)
    }
}

/// Has it answer with these addresses from now on, and no others. It has read them when its log says so.
pub fn set_hosts(dnsmasq: &Outside, hosts: &[(&str, IpAddr)]) {
    let lines: String = hosts.iter().map(|(name, ip)| format!("{ip} {name}\n")).collect();
    std::fs::write(dnsmasq.place().dir.join("hosts"), lines).expect("a hosts file");
    let reads = |log: String| log.matches("/hosts - ").count();
    let before = reads(dnsmasq.read("log"));
    dnsmasq.signal("HUP");
    let start = std::time::Instant::now();
    while reads(dnsmasq.read("log")) == before {
        assert!(
            start.elapsed() < super::STARTS_WITHIN,
            "it does not read its hosts file"
        );
        std::thread::sleep(super::LOOK);
    }
}

/// How often it was asked for the IPv4 addresses of `name`.
pub fn asked(dnsmasq: &Outside, name: &str) -> usize {
    dnsmasq.read("log").matches(&format!("query[A] {name} ")).count()
}

/// That it was asked for `name`.
pub fn evidence(dnsmasq: &Outside, case: &str, name: &str) -> Evidence {
    Evidence::counted_by(dnsmasq, case, asked(dnsmasq, name))
}
