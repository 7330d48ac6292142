//! Browsers, without a window, sent to one address of the loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Outside, Place, Program, find, new_dir, version};
use crate::support::certs;
use crate::support::peers_table::Evidence;

/// No path that a table has from the beginning.
const PAGE: &str = "/page?of=its+own";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Chromium,
    Firefox,
}

/// An installed browser.
pub struct Browser {
    kind: Kind,
    pub(super) program: PathBuf,
    version: String,
}

impl Program for Browser {
    fn name(&self) -> &'static str {
        name(self.kind)
    }

    fn version(&self) -> &str {
        &self.version
    }
}

/// As the table of peers names it.
pub fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Chromium => "chromium",
        Kind::Firefox => "firefox",
    }
}

impl Browser {
    /// The installed one, as Debian packages it, with what it takes to make it trust an authority. `None`: say so with
    /// [`crate::support::peers_table::skip`].
    pub fn find(kind: Kind) -> Option<Self> {
        let program = match kind {
            Kind::Chromium => find("chromium")?,
            Kind::Firefox => find("certutil").and_then(|_| find("firefox-esr"))?,
        };
        let version = version(&program, "--version");
        Some(Browser {
            kind,
            program,
            version,
        })
    }

    /// The first number of its version.
    pub fn major(&self) -> Option<u32> {
        let number = self
            .version
            .split_whitespace()
            .find_map(|word| word.split_once('.'));
        number?.0.parse().ok()
    }

    /// Opens a page of `https://peer.test` at this address, with nothing remembered. It runs until that is dropped.
    pub fn open(&self, at: SocketAddr) -> Outside {
        let dir = new_dir(self.name());
        let pem = certs::good().write_pem(&dir, "unused");
        let home = format!("HOME={}", dir.display());
        let mut arguments = vec![home, self.program.display().to_string()];
        arguments.extend(match self.kind {
            Kind::Chromium => chromium(&dir, at),
            Kind::Firefox => firefox(&dir, at),
        });
        let place = Place {
            dir,
            ips: vec![at.ip()],
            port: at.port(),
            pem,
        };
        Outside::spawn(
            self.name(),
            self.version.clone(),
            place,
            Path::new("/usr/bin/env"),
            &arguments,
        )
    }

    /// Whether a request with these fields says that it is of this browser, in this version.
    pub fn is_named_in(&self, fields: &[(String, String)]) -> bool {
        let word = match self.kind {
            Kind::Chromium => "Chrome",
            Kind::Firefox => "Firefox",
        };
        let agent = self.major().map(|major| format!("{word}/{major}."));
        let named = |(name, value): &(String, String)| {
            name == "user-agent" && agent.as_ref().is_some_and(|agent| value.contains(agent))
        };
        fields.iter().any(named)
    }

    /// That so many of its connections were seen.
    pub fn evidence(&self, case: &str, seen: usize) -> Evidence {
        Evidence::counted_by(self, case, seen)
    }
}

/// What Chromium is told whatever it is for: that nobody looks, and that nothing but that is asked of the network.
pub(super) fn chromium_alone(dir: &Path) -> Vec<String> {
    let mut arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--user-data-dir={}", dir.join("profile").display()));
    arguments
}

/// It trusts whatever it is shown: how it verifies is not looked at.
fn chromium(dir: &Path, at: SocketAddr) -> Vec<String> {
    let mut arguments = chromium_alone(dir);
    arguments.push("--ignore-certificate-errors".to_owned());
    arguments.push(format!("--host-resolver-rules=MAP peer.test:443 {at}"));
    arguments.push("--dump-dom".to_owned());
    arguments.push(format!("https://peer.test{PAGE}"));
    arguments
}

fn firefox(dir: &Path, at: SocketAddr) -> Vec<String> {
    let (profile, authority) = (dir.join("profile"), dir.join("authority.crt"));
    std::fs::create_dir(&profile).expect("a profile's directory");
    std::fs::write(&authority, certs::authority().pem()).expect("the authority");
    let database = format!("sql:{}", profile.display());
    let certutil = |arguments: &[&str]| {
        let done = Command::new("certutil")
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        let done = done.expect("certutil starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    certutil(&["-N", "-d", &database, "--empty-password"]);
    let authority = authority.display().to_string();
    certutil(&[
        "-A",
        "-d",
        &database,
        "-n",
        "authority",
        "-t",
        "C,,",
        "-i",
        &authority,
    ]);
    let settings = "user_pref(\"network.dns.localDomains\", \"peer.test\");\nuser_pref(\"app.update.enabled\", false);\n";
    std::fs::write(profile.join("user.js"), settings).expect("its settings");
    let url = format!("https://peer.test:{}{PAGE}", at.port());
    let arguments = ["--headless", "--no-remote", "--profile"].map(str::to_owned);
    [arguments.to_vec(), vec![profile.display().to_string(), url]].concat()
}
