//! Servers of other makers, started for one test in a directory of their own, on a free port of several addresses.
//!
//! A server is a [`Recipe`]: its program, how to ask for its version, and how to lay out its directory and command
//! line. [`start`] does the rest for all of them: it waits until the server listens, and a watchdog ends the server's
//! whole process group when the [`Outside`] is dropped and even when the test is killed.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::certs::{self, Leaf, PemFiles};
use super::measure;
use super::peer::sockets;

pub mod browser;
pub mod devtools;
pub mod dnsmasq;
pub mod h2;
pub mod nginx;
pub mod proxies;
pub mod tls;
pub mod tshark;

const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// Longer than the watchdog takes when all goes well.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How often a wait looks again.
const LOOK: Duration = Duration::from_millis(2);

/// A port that was free may be taken before the server binds it.
const ATTEMPTS: usize = 5;

/// Ends a server when its standard input ends: asks the leader first, which reaps its workers, and then kills what is
/// left of its group. The directory goes last.
const WATCHDOG: &str = r#"
read -r _
kill -s TERM "$1"
tries=0
while kill -s 0 -- "-$1" && [ $tries -lt 50 ]; do sleep 0.02; tries=$((tries + 1)); done
kill -s KILL -- "-$1"
rm -rf -- "$2"
"#;

/// How a kind of server is started.
pub trait Recipe {
    /// The peer's name in the table of peers.
    fn name(&self) -> &'static str;
    /// The program, as looked up in PATH, /usr/sbin and /usr/local/sbin.
    fn program(&self) -> &'static str;
    /// The argument that makes it say its version, on either output.
    fn version_argument(&self) -> &'static str;
    /// Writes what the server reads into `place`, and gives its arguments. It must stay in the foreground.
    fn arguments(&self, place: &Place) -> io::Result<Vec<String>>;
}

/// Where a server lives.
pub struct Place {
    /// Its directory; logs and configuration go here.
    pub dir: PathBuf,
    /// The addresses to listen on.
    pub ips: Vec<IpAddr>,
    /// The port on each of them.
    pub port: u16,
    /// The certificate to show.
    pub pem: PemFiles,
}

/// A program of another maker, as the table of peers names it.
pub trait Program {
    /// The peer's name in the table of peers.
    fn name(&self) -> &'static str;
    /// The version that it gave itself.
    fn version(&self) -> &str;
}

/// A running server. Dropping it ends it and removes its directory.
pub struct Outside {
    name: &'static str,
    version: String,
    place: Place,
    child: Child,
    watchdog: Child,
}

/// Starts `recipe` on the first `ips` loopback addresses, showing `leaf`. `None` if its program is not installed: then
/// say so with [`super::peers_table::skip`].
pub fn start(recipe: &impl Recipe, ips: usize, leaf: &Leaf) -> Option<Outside> {
    let program = find(recipe.program())?;
    let version = version(&program, recipe.version_argument());
    let ips: Vec<IpAddr> = (0..ips).map(super::peer::ip).collect();
    let mut complaint = String::new();
    for _ in 0..ATTEMPTS {
        let dir = new_dir(recipe.name());
        let pem = leaf.write_pem(&dir, "server");
        let port = sockets::local(&sockets::listen_all(&ips)[0]).port();
        let place = Place {
            dir,
            ips: ips.clone(),
            port,
            pem,
        };
        let arguments = recipe.arguments(&place).expect("the server's files");
        let mut outside = Outside::spawn(recipe.name(), version.clone(), place, &program, &arguments);
        match outside.wait_until_it_listens() {
            Ok(()) => return Some(outside),
            Err(why) => complaint = why,
        }
    }
    panic!("{} does not start: {complaint}", recipe.name())
}

/// Whether the program of `recipe` can be had.
pub fn is_installed(recipe: &impl Recipe) -> bool {
    find(recipe.program()).is_some()
}

/// [`start`] with [`certs::good`].
pub fn start_good(recipe: &impl Recipe, ips: usize) -> Option<Outside> {
    start(recipe, ips, &certs::good())
}

impl Program for Outside {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> &str {
        &self.version
    }
}

impl Outside {
    fn spawn(
        name: &'static str,
        version: String,
        place: Place,
        program: &Path,
        arguments: &[String],
    ) -> Self {
        let output = fs::File::create(place.dir.join("output")).expect("the server's output file");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&place.dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .expect("an installed program starts");
        // Its standard input ends when this process drops it, and when this process is killed.
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(&place.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        Self {
            name,
            version,
            place,
            child,
            watchdog,
        }
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while !(0..self.place.ips.len()).all(|index| measure::is_listening(self.addr(index))) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}: {}", self.output()));
            }
            if start.elapsed() > STARTS_WITHIN {
                return Err(format!(
                    "it does not listen within {STARTS_WITHIN:?}: {}",
                    self.output()
                ));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Where it lives.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The socket address of the address with the given index.
    pub fn addr(&self, index: usize) -> SocketAddr {
        SocketAddr::new(self.place.ips[index], self.place.port)
    }

    /// What it wrote to its standard outputs.
    pub fn output(&self) -> String {
        self.read("output")
    }

    /// The text of a file in its directory; empty if there is none yet.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.place.dir.join(file)).unwrap_or_default()
    }

    /// Sends its first process a signal, by name without `SIG`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("/bin/kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "{} got no SIG{name}",
            self.name
        );
    }

    /// Its first process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let start = Instant::now();
        // The leader is reaped here, or its group would never be empty to the watchdog.
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > ENDS_WITHIN {
                let _ = self.child.kill();
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.watchdog.wait();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers in sbin, which is not in every user's PATH.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The first line of what the program says of its version.
fn version(program: &Path, argument: &str) -> String {
    let said = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .expect("a version");
    let mut text = String::new();
    let _ = said
        .stdout
        .as_slice()
        .chain(said.stderr.as_slice())
        .read_to_string(&mut text);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

fn new_dir(name: &str) -> PathBuf {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("hotpool-{name}-{}-{serial}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory for the server");
    dir
}
