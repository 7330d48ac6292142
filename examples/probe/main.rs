//! Drives URLs through a pool and reports what hot connections are worth: `probe --help`.
//!
//! Without a URL it starts its own TLS server on the loopback and probes that over HTTP/1.1 and HTTP/2:
//!
//! ```sh
//! cargo run --release --example probe
//! ```

mod drive;
mod dump;
mod failure;
mod fingerprints;
mod h1;
mod h2;
mod hold;
mod html;
mod opening;
mod options;
mod percentile;
mod progress;
mod report;
mod samples;
#[path = "../support/server.rs"]
mod server;
mod table;
mod tally;
mod watch;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use hotpool::{HickoryResolver, StaticResolver};
use rustls::RootCertStore;

use self::drive::{Drive, Plan};
use self::options::{Command, Options, Site};
use self::report::Row;
use self::tally::Tally;

/// Exit codes: every request was answered, some were not, the command line is wrong.
const FAILED: u8 = 1;
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let command = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => return said(io::stdout().write_all(options::HELP.as_bytes())),
        Ok(command) => command,
        Err(problem) => {
            eprintln!("probe: {problem}\nprobe: --help tells what there is");
            return MISUSED.into();
        }
    };
    // One thread: what is measured is the pool and the peer, not the scheduler.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime
        .map_err(Into::into)
        .and_then(|rt| rt.block_on(run(command)))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => FAILED.into(),
        Err(problem) => {
            eprintln!("probe: {problem}");
            FAILED.into()
        }
    }
}

/// A reader that has gone (`probe | head`) is no failure.
fn said(result: io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => FAILED.into(),
        _ => ExitCode::SUCCESS,
    }
}

async fn run(command: Command) -> Result<bool, Box<dyn Error>> {
    match command {
        Command::Probe(options) => probe(*options).await,
        Command::DumpHello(profile, file) => dump::dump(profile, &file).await.map(|()| true),
        Command::Fingerprints => {
            print(&fingerprints::list().await?)?;
            Ok(true)
        }
        Command::Help => Ok(true),
    }
}

/// Probes each target over each protocol: one after the other, so that none disturbs another's figures, or, watched, all at once. Answers
/// whether every request was answered.
async fn probe(options: Options) -> Result<bool, Box<dyn Error>> {
    let world = World::of(&options)?;
    server::loopback::seed();
    let mut drives = Vec::new();
    for site in &world.sites {
        for &require in options.protocols() {
            let plan = Plan::new(site, require, &options, world.connections)?;
            let (resolver, roots) = (&world.resolver, world.roots.as_ref());
            drives.push(Drive::new(plan, &options, resolver, roots)?);
        }
    }
    let rows = match options.watch {
        true => watch::watch(&drives, options.json).await?,
        false => one_after_the_other(drives, &options).await?,
    };
    if !options.json {
        print(&table::render(&rows))?;
    }
    if let Some(file) = &options.report {
        let page = html::page(&rows);
        std::fs::write(file, page).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(rows.iter().all(Row::is_good))
}

/// Says what went wrong, one of each kind.
fn tell(tally: &Tally) {
    for (what, trouble) in &tally.troubles {
        eprintln!("probe: {what}: {trouble}");
    }
}

async fn one_after_the_other(drives: Vec<Arc<Drive>>, options: &Options) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut interrupted = options.hold.map(|_| hold::interrupts()).transpose()?;
    let mut rows = Vec::new();
    for drive in drives {
        let tally = Arc::clone(&drive).run(interrupted.as_mut()).await;
        tell(&tally);
        let (target, require) = drive.plan();
        let row = Row::new(target.to_string(), require, &tally);
        if options.json {
            print(&(serde_json::to_string(&row)? + "\n"))?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// What is probed, and how its names and certificates are judged.
struct World {
    sites: Vec<Site>,
    connections: Option<u32>,
    resolver: StaticResolver,
    roots: Option<RootCertStore>,
    /// Lives as long as it is probed.
    _server: Option<server::Server>,
}

/// Connections that are opened to the embedded server: one for each of its addresses.
const EMBEDDED_CONNECTIONS: u32 = 3;

impl World {
    fn of(options: &Options) -> Result<Self, Box<dyn Error>> {
        if !options.sites.is_empty() {
            return Ok(World {
                sites: options.sites.clone(),
                connections: options.connections,
                resolver: options.resolver.clone().or(HickoryResolver::new()),
                roots: options.roots.clone(),
                _server: None,
            });
        }
        let server = server::Server::start()?;
        Ok(World {
            sites: vec![Site::parse(&server.target())?],
            connections: options.connections.or(Some(EMBEDDED_CONNECTIONS)),
            resolver: server.resolver()?,
            roots: Some(server.roots()?),
            _server: Some(server),
        })
    }
}

fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
