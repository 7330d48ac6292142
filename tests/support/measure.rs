//! What a process holds: descriptors, tasks, memory; what a thread took; and waiting for it to come right.
//!
//! Descriptors and memory are the whole process's. A test that compares them needs a process of its own, which nextest
//! gives each test and `cargo test` does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How often a wait looks again.
const LOOK: Duration = Duration::from_millis(2);

/// The CPU time of this thread.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The descriptors of this process at one instant, and what each points at.
#[derive(Clone, PartialEq, Eq)]
pub struct Descriptors(BTreeMap<u32, String>);

impl Descriptors {
    /// Reads /proc/self/fd. The descriptor that reads it is left out.
    pub fn now() -> Self {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/fd").expect("/proc/self/fd").flatten() {
            let number = entry.file_name().to_string_lossy().parse();
            // One that has closed since is not there to be read.
            if let (Ok(number), Ok(target)) = (number, fs::read_link(entry.path())) {
                all.insert(number, target.to_string_lossy().into_owned());
            }
        }
        let own = format!("/proc/{}/fd", std::process::id());
        all.retain(|_, target| *target != own);
        Self(all)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that `before` had not; sockets with their addresses and state.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let known: BTreeSet<&String> = before.0.values().collect();
        let sockets = tcp_sockets();
        let new = self.0.iter().filter(|(_, target)| !known.contains(target));
        new.map(|(number, target)| {
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'));
            let socket = inode.and_then(|inode| sockets.iter().find(|socket| socket.inode == inode));
            socket.map_or_else(
                || format!("{number}: {target}"),
                |socket| format!("{number}: {socket:?}"),
            )
        })
        .collect()
    }
}

impl Debug for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} descriptors", self.count())?;
        let nothing = Self(BTreeMap::new());
        f.debug_list().entries(self.beyond(&nothing)).finish()
    }
}

/// A TCP socket of this machine, as /proc/net/tcp has it.
#[derive(Clone, Debug)]
pub struct TcpSocket {
    /// Its own end.
    pub local: SocketAddr,
    /// The other end; port 0 if it has none.
    pub remote: SocketAddr,
    /// Its state's name.
    pub state: &'static str,
    inode: String,
}

/// The IPv4 TCP sockets of this machine.
pub fn tcp_sockets() -> Vec<TcpSocket> {
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    table.lines().skip(1).filter_map(TcpSocket::parse).collect()
}

/// Whether somebody listens at exactly this address, or at all of them. Asking connects to nobody.
pub fn is_listening(address: SocketAddr) -> bool {
    let every = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
    let here = |socket: &TcpSocket| [address, every].contains(&socket.local);
    tcp_sockets()
        .iter()
        .any(|socket| here(socket) && socket.state == "LISTEN")
}

impl TcpSocket {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let state = u8::from_str_radix(fields.get(3)?, 16).ok()?;
        Some(Self {
            local: parse_address(fields.get(1)?)?,
            remote: parse_address(fields.get(2)?)?,
            state: state_name(state),
            inode: (*fields.get(9)?).to_owned(),
        })
    }
}

/// `0100007F:1F90`: the address as the machine's own word, the port as a number, both in hexadecimal.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = u32::from_str_radix(ip, 16).ok()?;
    let ip = IpAddr::V4(Ipv4Addr::from(word.to_ne_bytes()));
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The states' numbers: `include/net/tcp_states.h` of Linux.
fn state_name(state: u8) -> &'static str {
    const NAMES: [&str; 12] = [
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    NAMES
        .get(usize::from(state).wrapping_sub(1))
        .copied()
        .unwrap_or("unknown")
}

/// The tasks that the current runtime has and that have not ended. Those of a scripted peer are on another runtime.
pub fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The memory of this process that is resident, in bytes.
pub fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a VmRSS line");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("VmRSS in kB");
    kibibytes * 1024
}

/// Waits until `holds` is true; fails the test, naming `what`, when `deadline` passes first.
///
/// For what has no event to wait for. Needs real time: under tokio's paused clock the deadline passes at once.
pub async fn eventually(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    settles(deadline, what, true, &mut holds).await;
}

/// Waits until `look` gives `expected`; fails the test, showing what it gives instead, when `deadline` passes first.
pub async fn settles<T: PartialEq + Debug>(
    deadline: Duration,
    what: &str,
    expected: T,
    mut look: impl FnMut() -> T,
) {
    let start = Instant::now();
    loop {
        let found = look();
        if found == expected {
            return;
        }
        assert!(
            start.elapsed() < deadline,
            "not within {deadline:?}: {what}: {found:?} instead of {expected:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until this process has no descriptor beyond those of `before`; fails the test with a list of them.
pub async fn no_descriptor_beyond(deadline: Duration, before: &Descriptors) {
    settles(deadline, "every new descriptor is closed", Vec::new(), || {
        Descriptors::now().beyond(before)
    })
    .await;
}
