//! The command line.

use std::ffi::OsString;

use lexopt::prelude::{Long, Short};

pub(crate) const HELP: &str = "\
Shows a pool at work, on a page in the browser: its hosts, addresses and connections, cold against hot, live.

Usage: dashboard [OPTIONS]

It starts its own TLS servers on four loopback addresses (two names, HTTP/2 and HTTP/1.1), its own load and a
script in which a server goes away and comes back, and an address answers 403 for a while. No network is needed.

Options:
      --port N      where the page is, on 127.0.0.1 [any free port; its URL is printed]
      --manual      no script: the buttons of the page are all that happens
      --once        run the script once, as fast as it goes; print what the pool counted at each step, and end
  -h, --help        this text
";

/// What the command line asks for.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) help: bool,
    pub(crate) port: u16,
    pub(crate) manual: bool,
    pub(crate) once: bool,
}

impl Options {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut options = Options::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => options.help = true,
                Long("manual") => options.manual = true,
                Long("once") => options.once = true,
                Long("port") => {
                    let value = parser.value()?.into_string()?;
                    let port = value.parse();
                    options.port = port.map_err(|_| format!("--port: {value:?} is no port"))?;
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}
