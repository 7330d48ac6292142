//! Servers of HTTP/2 beside nginx: nghttpd, h2o and HAProxy. Each answers `/` with `hello` and logs every request: nghttpd with all its fields, h2o
//! with its method, authority, path and the header `x-nth`. nghttpd and HAProxy allow a table of 65,536 octets of fields.

use std::io;
use std::time::Duration;

use super::super::measure;
use super::super::peer::DEADLINE;
use super::super::peers_table::Evidence;
use super::{Outside, Place, Recipe};

/// A server of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H2Server {
    /// nghttp2's own. Listens on one address, as the next.
    Nghttpd,
    H2o,
    /// With a master process: it reloads at SIGUSR2.
    HaProxy,
}

/// Streams at once on one connection, as each server is configured.
pub const STREAMS: u32 = 100;

impl Recipe for H2Server {
    fn name(&self) -> &'static str {
        match self {
            H2Server::Nghttpd => "nghttpd",
            H2Server::H2o => "h2o",
            H2Server::HaProxy => "haproxy",
        }
    }

    fn program(&self) -> &'static str {
        self.name()
    }

    fn version_argument(&self) -> &'static str {
        match self {
            H2Server::HaProxy => "-v",
            _ => "--version",
        }
    }

    fn arguments(&self, place: &Place) -> io::Result<Vec<String>> {
        let text = match self {
            H2Server::Nghttpd => return nghttpd(place),
            H2Server::H2o => h2o(place)?,
            H2Server::HaProxy => haproxy(place)?,
        };
        std::fs::write(place.dir.join("server.conf"), text)?;
        let words: &[&str] = match self {
            H2Server::HaProxy => &["-W", "-db", "-f", "server.conf"],
            _ => &["-m", "worker", "-c", "server.conf"],
        };
        Ok(words.iter().map(|&word| word.to_owned()).collect())
    }
}

fn root(place: &Place) -> io::Result<String> {
    let root = place.dir.join("root");
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("index.html"), "hello")?;
    Ok(root.display().to_string())
}

fn nghttpd(place: &Place) -> io::Result<Vec<String>> {
    let mut words = ["-v", "--header-table-size=65536", "-m"]
        .map(str::to_owned)
        .to_vec();
    words.extend([
        STREAMS.to_string(),
        "-d".to_owned(),
        root(place)?,
        "-a".to_owned(),
    ]);
    words.extend([place.ips[0].to_string(), place.port.to_string()]);
    words.extend([
        place.pem.key.display().to_string(),
        place.pem.chain.display().to_string(),
    ]);
    Ok(words)
}

fn h2o(place: &Place) -> io::Result<String> {
    let (ip, port, dir) = (place.ips[0], place.port, place.dir.display());
    let (key, chain) = (place.pem.key.display(), place.pem.chain.display());
    let root = root(place)?;
    Ok(format!(
        "listen:
  host: {ip}
  port: {port}
  ssl:
    key-file: {key}
    certificate-file: {chain}
user: root
access-log:
  path: {dir}/access.log
  format: \"%m %V %U%q %{{x-nth}}i\"
http2-max-concurrent-requests-per-connection: {STREAMS}
hosts:
  default:
    paths:
      /:
        file.dir: {root}
"
    ))
}

/// The certificate and its key in one file; the log goes to its standard output.
fn haproxy(place: &Place) -> io::Result<String> {
    let both = [&place.pem.chain, &place.pem.key].map(std::fs::read_to_string);
    let [chain, key] = both;
    let both = place.dir.join("both.pem");
    std::fs::write(&both, chain? + &key?)?;
    let mut binds = String::new();
    for ip in &place.ips {
        let bind = format!("  bind {ip}:{} ssl crt {} alpn h2\n", place.port, both.display());
        binds += &bind;
    }
    Ok(format!(
        "global
  log stdout format raw local0
  tune.h2.max-concurrent-streams {STREAMS}
  tune.h2.header-table-size 65536
  tune.bufsize 65536
defaults
  mode http
  log global
  option httplog
  timeout client 30s
  timeout http-keep-alive 30s
frontend all
{binds}  http-request return status 200 content-type text/plain string hello
"
    ))
}

/// How many requests the server has logged.
pub fn served(server: &Outside) -> usize {
    match super::Program::name(server) {
        "nghttpd" => server.output().matches("recv HEADERS frame").count(),
        "h2o" => server.read("access.log").lines().count(),
        _ => server.output().matches("\"GET https://").count(),
    }
}

/// Waits until the server has logged `count` requests at least, and makes that evidence.
pub async fn evidence(server: &Outside, what: &str, count: usize) -> Evidence {
    let deadline: Duration = DEADLINE;
    measure::eventually(deadline, what, || served(server) >= count).await;
    Evidence::counted_by(server, what, served(server))
}
