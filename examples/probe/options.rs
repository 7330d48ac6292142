//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hotpool::fingerprint::{Profile, ProfileLibrary};
use hotpool::{AddressPolicy, Proxy, Require, SourcePolicy, StaticResolver, SubnetSources, Target};
use lexopt::prelude::{Long, Short, Value};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub(crate) const HELP: &str = "\
Drives URLs through a pool of hot TLS connections and reports what they are worth.

Usage: probe [URL...] [OPTIONS]

A URL is https://host[:port][/path]; the scheme may be left out. Without one, the probe starts its own
TLS server on the loopback (three addresses, HTTP/1.1 and HTTP/2) and probes that.

Options:
      --requests N       requests per target and protocol [200]
      --concurrency N    requests under way at once [4]
      --connections N    open N connections first, one after the other and one per address before a second
                         to any, and keep no more; each carries one of the first N requests, then the
                         addresses take turns [3 with the server of its own, else what the requests need]
      --http1, --http2   only this protocol [both, one after the other]
      --resolve HOST:PORT:ADDR[,ADDR...]
                         connect to these addresses for this host and port; may be repeated
      --deny-private     connect to addresses of the public Internet only
      --ip ADDR          connect to this address and no other
      --source ADDR|CIDR connect from this address, or from any of this network, and from nowhere else; those of a
                         network need not be an interface's, but must be routed here
      --proxy URL        go through this proxy: http://[USER:PASSWORD@]HOST:PORT (CONNECT), socks5://... (names are
                         resolved here) or socks5h://... (by the proxy); addresses in the report are the proxy's
      --cacert FILE      trust the authorities in this PEM file [Mozilla's]
      --profile NAME     look like this: rustls (nobody else), chrome, firefox, safari, curl ... [rustls]
      --fingerprints     list the profiles with the fingerprints that a peer will see; nothing is probed
      --dump-hello FILE  write the first bytes that a connection of the profile sends, as they went over the
                         wire, and say their fingerprints; nothing is probed
      --timeout SPAN     for one request, connecting included [10s]
      --hold SPAN        after the requests keep the connections for so long, use them for nothing, and say which
                         of them ended, when and why; an interrupt ends it sooner, a second one the probe
      --watch            show the table anew every second, all targets and protocols at once, until interrupted;
                         callers rest for 100 ms after each request, and nothing is given up
      --report FILE      write the figures to this file as well, as one HTML page with drawings
      --json             one line of JSON per target and protocol
  -h, --help             this text

A SPAN is a number of seconds, or one with a unit: 500ms, 30s, 5m, 1h.

Figures:
  cold       from the first byte of TCP to the last of the first answer: what a connection took to connect
             and to shake hands, and its first exchange. Neither DNS nor waiting for a free place counts.
  hot        every other request, from asking the pool for a connection to the last byte of the answer;
             waiting in line counts.
  reuse      the share of answered requests that rode on a connection which had carried one before.
  p50, p99   exact: the nearest rank among all samples, or the last 100,000.

A request fails that gets no whole answer in time, or one of status 400 and above. After 5 failures in a row, or
when the pool refuses to dial what has just failed, the rest of that target and protocol is given up.

Exit status: 0 every request was answered, 1 some failed, 2 the command line is wrong.
";

/// What the command line asks for.
pub(crate) enum Command {
    Help,
    /// List the profiles.
    Fingerprints,
    /// Write the profile's first bytes to this file.
    DumpHello(Profile, PathBuf),
    Probe(Box<Options>),
}

pub(crate) struct Options {
    pub(crate) sites: Vec<Site>,
    pub(crate) requests: u32,
    pub(crate) concurrency: u32,
    pub(crate) connections: Option<u32>,
    only: Option<Require>,
    pub(crate) resolver: StaticResolver,
    pub(crate) roots: Option<RootCertStore>,
    pub(crate) timeout: Duration,
    pub(crate) json: bool,
    pub(crate) policy: AddressPolicy,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) sources: Option<SourcePolicy>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) profile: Profile,
    pub(crate) hold: Option<Duration>,
    pub(crate) watch: bool,
    pub(crate) report: Option<PathBuf>,
    dump_hello: Option<PathBuf>,
}

/// A URL, taken apart.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) target: Target<'static>,
    /// Path and query.
    pub(crate) path: String,
}

/// What is wrong with the command line: the option or the URL, and why.
#[derive(Debug)]
pub(crate) struct Misuse {
    what: String,
    why: String,
}

impl Misuse {
    fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Misuse {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Misuse {}

impl Options {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    /// Names the option or the URL, and what is wrong with it.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Misuse> {
        let mut options = Options {
            sites: Vec::new(),
            requests: 200,
            concurrency: 4,
            connections: None,
            only: None,
            resolver: StaticResolver::new(),
            roots: None,
            timeout: Duration::from_secs(10),
            json: false,
            policy: AddressPolicy::allow_all(),
            ip: None,
            sources: None,
            proxy: None,
            profile: Profile::default(),
            hold: None,
            watch: false,
            report: None,
            dump_hello: None,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        loop {
            let name = match parser.next().map_err(|error| Misuse::new("arguments", error))? {
                None => return options.command(),
                Some(Value(url)) => {
                    options.sites.push(Site::parse(&url.to_string_lossy())?);
                    continue;
                }
                Some(Short('h') | Long("help")) => return Ok(Command::Help),
                Some(Long("fingerprints")) => return Ok(Command::Fingerprints),
                Some(Long(name)) => format!("--{name}"),
                Some(Short(letter)) => format!("-{letter}"),
            };
            options.set(&name, &mut parser)?;
        }
    }

    fn command(mut self) -> Result<Command, Misuse> {
        if self.watch && self.hold.is_some() {
            return Err(Misuse::new(
                "--hold",
                "contradicts --watch, which has no end to hold after",
            ));
        }
        Ok(match self.dump_hello.take() {
            Some(file) => Command::DumpHello(self.profile, file),
            None => Command::Probe(Box::new(self)),
        })
    }

    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), Misuse> {
        match name {
            "--json" => self.json = true,
            "--ip" => self.ip = Some(address(name, &value(name, parser)?)?),
            "--source" => self.sources = Some(sources(name, &value(name, parser)?)?),
            "--proxy" => self.proxy = Some(proxy(name, &value(name, parser)?)?),
            "--deny-private" => self.policy = AddressPolicy::deny_private(),
            "--http1" | "--http2" => self.set_protocol(name)?,
            "--requests" => self.requests = number(name, parser)?,
            "--concurrency" => self.concurrency = number(name, parser)?,
            "--connections" => self.connections = Some(number(name, parser)?),
            "--timeout" => self.timeout = span(name, &value(name, parser)?)?,
            "--hold" => self.hold = Some(span(name, &value(name, parser)?)?),
            "--watch" => self.watch = true,
            "--report" => self.report = Some(value(name, parser)?.into()),
            "--profile" => self.profile = profile(name, &value(name, parser)?)?,
            "--dump-hello" => self.dump_hello = Some(value(name, parser)?.into()),
            "--cacert" => self.roots = Some(roots(name, &value(name, parser)?)?),
            "--resolve" => {
                let known = std::mem::take(&mut self.resolver);
                self.resolver = resolve(name, known, &value(name, parser)?)?;
            }
            _ => return Err(Misuse::new(name, "no such option")),
        }
        Ok(())
    }

    fn set_protocol(&mut self, name: &str) -> Result<(), Misuse> {
        let require = match name {
            "--http1" => Require::Http1,
            _ => Require::Http2,
        };
        match self.only.replace(require) {
            Some(other) if other != require => Err(Misuse::new(
                name,
                "contradicts the other; leave both out for both",
            )),
            _ => Ok(()),
        }
    }

    /// The protocols to probe, in order.
    pub(crate) fn protocols(&self) -> &'static [Require] {
        match self.only {
            Some(Require::Http1) => &[Require::Http1],
            Some(_) => &[Require::Http2],
            None => &[Require::Http1, Require::Http2],
        }
    }
}

impl Site {
    pub(crate) fn parse(url: &str) -> Result<Self, Misuse> {
        let whole = match url.contains("://") {
            true => url.to_owned(),
            false => format!("https://{url}"),
        };
        let uri: http::Uri = whole.parse().map_err(|error| Misuse::new(url, error))?;
        let target = Target::try_from(&uri).map_err(|error| Misuse::new(url, error))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Site {
            target: target.into_owned(),
            path: path.to_owned(),
        })
    }
}

fn value(name: &str, parser: &mut lexopt::Parser) -> Result<String, Misuse> {
    let value = parser.value().map_err(|_| Misuse::new(name, "needs a value"))?;
    value
        .into_string()
        .map_err(|_| Misuse::new(name, "the value is no text"))
}

fn profile(name: &str, text: &str) -> Result<Profile, Misuse> {
    ProfileLibrary::new().by_name(text).cloned().ok_or_else(|| {
        let why = format!("{text:?} is no profile; --fingerprints lists them");
        Misuse::new(name, why)
    })
}

fn number(name: &str, parser: &mut lexopt::Parser) -> Result<u32, Misuse> {
    let text = value(name, parser)?;
    match u32::from_str(&text) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Misuse::new(name, format!("{text:?} is no whole number from 1"))),
    }
}

/// A number of seconds, or one with a unit.
fn span(name: &str, text: &str) -> Result<Duration, Misuse> {
    // `ms` before `s`, which it ends in.
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let (number, unit) = units
        .iter()
        .find_map(|&(unit, worth)| Some((text.strip_suffix(unit)?, worth)))
        .unwrap_or((text, 1.0));
    let seconds = f64::from_str(number).map(|number| number * unit);
    let span = seconds.ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    // A day is more than anything here may take, and far from what a clock overflows at.
    match span {
        Some(span) if !span.is_zero() && span <= Duration::from_secs(86_400) => Ok(span),
        _ => Err(Misuse::new(
            name,
            format!("{text:?} is no span of up to a day, as 500ms, 30s or 5m"),
        )),
    }
}

fn address(name: &str, text: &str) -> Result<IpAddr, Misuse> {
    IpAddr::from_str(text).map_err(|_| Misuse::new(name, format!("{text:?} is no IP address")))
}

fn sources(name: &str, text: &str) -> Result<SourcePolicy, Misuse> {
    let sources = SubnetSources::new(text);
    let sources = sources.map_err(|_| Misuse::new(name, format!("{text:?} is no address and no network")))?;
    // Whoever names a network has it routed here.
    Ok(SourcePolicy::require(sources.freebind(text.contains('/'))))
}

/// What is wrong is said without the URL: it may hold a password.
fn proxy(name: &str, url: &str) -> Result<Proxy, Misuse> {
    url.parse().map_err(|error| Misuse::new(name, error))
}

fn roots(name: &str, file: &str) -> Result<RootCertStore, Misuse> {
    let wrong = |why: &dyn fmt::Display| Misuse::new(name, format!("{file}: {why}"));
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    match roots.is_empty() {
        true => Err(wrong(&"no certificate in it")),
        false => Ok(roots),
    }
}

/// `HOST:PORT:ADDR[,ADDR...]`; IPv6 addresses may stand in brackets.
fn resolve(name: &str, known: StaticResolver, text: &str) -> Result<StaticResolver, Misuse> {
    let wrong = |why: &dyn fmt::Display| Misuse::new(name, format!("{text:?}: {why}"));
    let mut parts = text.splitn(3, ':');
    let (Some(host), Some(port), Some(addresses)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong(&"not of the form HOST:PORT:ADDR[,ADDR...]"));
    };
    let address = |text: &str| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        IpAddr::from_str(bare.unwrap_or(text)).map_err(|_| wrong(&format!("{text:?} is no IP address")))
    };
    let addresses: Vec<IpAddr> = addresses.split(',').map(address).collect::<Result<_, _>>()?;
    known
        .with(format!("{host}:{port}"), addresses)
        .map_err(|error| wrong(&error))
}
