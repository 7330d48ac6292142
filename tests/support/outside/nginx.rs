//! nginx, with an access log that tells which connection served each request.
//!
//! Paths: `/` answers `hello`, `/bytes` 100,000 bytes of [`super::super::peer::filler`], `/close` closes (HTTP/1.1).

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::super::measure;
use super::super::peer::{DEADLINE, filler};
use super::super::peers_table::Evidence;
use super::{Outside, Place, Recipe};

/// The fields of a line of the log, in order; see <https://nginx.org/en/docs/http/ngx_http_core_module.html#variables>.
const LOG: &str = "$connection $connection_requests $server_protocol $ssl_protocol $ssl_session_reused $status \
                   $server_addr $request_uri";

/// How many bytes `/bytes` has.
pub const BYTES: usize = 100_000;

/// An nginx to be started.
#[derive(Clone, Debug)]
pub struct Nginx {
    /// Whether it agrees to HTTP/2; it always agrees to HTTP/1.1.
    pub http2: bool,
    /// More directives for its server block, such as `keepalive_requests 3;`.
    pub more: String,
}

impl Default for Nginx {
    fn default() -> Self {
        Self {
            http2: true,
            more: String::new(),
        }
    }
}

impl Recipe for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn program(&self) -> &'static str {
        "nginx"
    }

    fn version_argument(&self) -> &'static str {
        "-v"
    }

    fn arguments(&self, place: &Place) -> io::Result<Vec<String>> {
        std::fs::write(place.dir.join("bytes"), filler(BYTES))?;
        std::fs::write(
            place.dir.join("nginx.conf"),
            self.config(place).map_err(io::Error::other)?,
        )?;
        let dir = place.dir.display().to_string();
        // -e: until it has read its configuration, nginx logs to a place of the whole machine.
        Ok(["-p", &dir, "-c", "nginx.conf", "-e", "error.log"]
            .map(str::to_owned)
            .to_vec())
    }
}

impl Nginx {
    fn config(&self, place: &Place) -> Result<String, std::fmt::Error> {
        let mut listen = String::new();
        for ip in &place.ips {
            // `http2 on;` came with 1.25; this form works before and after.
            let http2 = if self.http2 { " http2" } else { "" };
            writeln!(listen, "    listen {ip}:{} ssl{http2};", place.port)?;
        }
        let (chain, key) = (place.pem.chain.display(), place.pem.key.display());
        let (dir, more) = (place.dir.display(), &self.more);
        // The worker keeps the starting user, who can read the directory; without root the line has no effect.
        Ok(format!(
            "daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 1024; }}
http {{
  log_format served '{LOG}';
  access_log access.log served;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
{listen}    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:sessions:1m;
    default_type text/plain;
    {more}
    location = / {{ return 200 hello; }}
    location = /bytes {{ root {dir}; }}
    location = /close {{ keepalive_timeout 0; return 200 hello; }}
  }}
}}
"
        ))
    }
}

/// A request, as nginx's own log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// nginx's serial number of the connection.
    pub connection: u64,
    /// Which request of that connection it was, from 1.
    pub nth: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// `TLSv1.3` or `TLSv1.2`.
    pub tls: String,
    /// Whether the connection's handshake resumed a session.
    pub resumed: bool,
    /// The answer's status.
    pub status: u16,
    /// The address that it came to.
    pub ip: IpAddr,
    /// The path that it asked for.
    pub path: String,
}

impl Served {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        Some(Self {
            connection: fields.next()?.parse().ok()?,
            nth: fields.next()?.parse().ok()?,
            protocol: fields.next()?.to_owned(),
            tls: fields.next()?.to_owned(),
            resumed: fields.next()? == "r",
            status: fields.next()?.parse().ok()?,
            ip: fields.next()?.parse().ok()?,
            path: fields.next()?.to_owned(),
        })
    }
}

/// Every request that nginx has logged. It logs one when its answer is sent, so the last may come a little later.
pub fn served(nginx: &Outside) -> Vec<Served> {
    let log = nginx.read("access.log");
    // A line without its end is still being written.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    whole
        .lines()
        .map(|line| Served::parse(line).unwrap_or_else(|| panic!("nginx logged {line:?}")))
        .collect()
}

/// Waits until nginx's log satisfies `proves`, and makes it evidence of as many requests as it has. Fails the test,
/// naming `what` and showing the log, if that does not come.
pub async fn evidence(
    nginx: &Outside,
    what: &str,
    mut proves: impl FnMut(&[Served]) -> bool,
) -> (Vec<Served>, Evidence) {
    let deadline: Duration = DEADLINE;
    measure::settles(deadline, what, None, || {
        let log = served(nginx);
        if proves(&log) { None } else { Some(log) }
    })
    .await;
    let log = served(nginx);
    let evidence = Evidence::counted_by(nginx, what, log.len());
    (log, evidence)
}
