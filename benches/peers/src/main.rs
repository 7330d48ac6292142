//! What `get` and `put` cost, beside other pools: the same connections, in one process, by turns.
//!
//! ```text
//! peers [table] [--rounds N] [--cycles N] [--hosts N] [--entries N] [--json FILE] [--assert]
//! peers cycle N [--by name|endpoint] [--hosts N]
//! ```
//!
//! `figures`, beside this project's manifest, runs all of it and what counts instructions and system calls.

mod after;
mod contender;
mod cycle;
mod field;
mod histogram;
mod latency;
mod many;
mod meter;
mod ours;
mod report;
mod rivals;
mod rounds;
mod server;
mod table;

use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

use crate::ours::By;
use crate::report::Report;
use crate::table::Effort;

/// What the command line asks for.
struct Asked {
    effort: Effort,
    hosts: Option<usize>,
    entries: usize,
    by: By,
    /// Cycles and nothing else.
    cycle: Option<u64>,
    json: Option<std::path::PathBuf>,
    assert: bool,
}

fn main() -> ExitCode {
    let asked = match parse() {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("{error}; see the head of src/main.rs");
            return ExitCode::from(2);
        }
    };
    match asked.cycle {
        Some(cycles) => {
            cycle::run(cycles, asked.by, asked.hosts);
            ExitCode::SUCCESS
        }
        None => measure(&asked),
    }
}

fn measure(asked: &Asked) -> ExitCode {
    let mut report = Report::default();
    report.alone(&table::alone(asked.effort));
    let (rows, free) = table::paired(asked.effort);
    report.paired(&rows, free);
    report.after_exchanges(&table::after_exchanges(asked.effort.rounds));
    let hosts = asked.hosts.unwrap_or(table::HOSTS);
    let (rows, bytes) = table::many(asked.effort, hosts);
    report.many(&rows, hosts, bytes);
    let latency = latency::measure(asked.entries / 1_000, asked.entries);
    report.latency(&latency);
    print!("{}{}", report.text(), report.verdict());
    if let Some(path) = &asked.json
        && let Err(error) = std::fs::write(path, report.json())
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(asked.assert && !report.holds()))
}

fn parse() -> Result<Asked, lexopt::Error> {
    let mut asked = Asked {
        effort: Effort {
            rounds: 9,
            cycles: 100_000,
        },
        hosts: None,
        entries: 100_000,
        by: By::Name,
        cycle: None,
        json: None,
        assert: false,
    };
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) if word == "table" => {}
            Arg::Value(word) if word == "cycle" => asked.cycle = Some(parser.value()?.parse()?),
            Arg::Long("rounds") => asked.effort.rounds = parser.value()?.parse()?,
            Arg::Long("cycles") => asked.effort.cycles = parser.value()?.parse()?,
            Arg::Long("hosts") => asked.hosts = Some(parser.value()?.parse()?),
            Arg::Long("entries") => asked.entries = parser.value()?.parse()?,
            Arg::Long("by") => {
                asked.by = parser.value()?.parse_with(|by| match by {
                    "name" => Ok(By::Name),
                    "endpoint" => Ok(By::Endpoint),
                    _ => Err("name or endpoint"),
                })?;
            }
            Arg::Long("json") => asked.json = Some(parser.value()?.into()),
            Arg::Long("assert") => asked.assert = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(asked)
}
