//! Outside servers start, log what they saw, and end; the table of peers takes nothing without evidence.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::clients::{self, http1, http2};
use crate::support::outside::nginx::{self, Nginx};
use crate::support::outside::{self, Place, Program, Recipe};
use crate::support::{certs, measure, peers_table};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn nginx_logs_which_connection_served_what() {
    let Some(nginx) = outside::start_good(&Nginx::default(), 2) else {
        return peers_table::skip("nginx", "not installed");
    };
    let mut row = peers_table::Row::of(&nginx);
    assert!(
        nginx.version().starts_with("nginx version: nginx/"),
        "{}",
        nginx.version()
    );
    let mut stream = http1(nginx.addr(1)).await;
    for _ in 0..2 {
        clients::assert_filler(
            &clients::get(&mut stream, "/bytes").await.unwrap().body,
            nginx::BYTES,
        );
    }
    let (log, evidence) = nginx::evidence(&nginx, "keep-alive over HTTP/1.1", |log| log.len() == 2).await;
    row.case(evidence);
    assert_eq!(
        (log[0].nth, log[1].nth, log[0].connection),
        (1, 2, log[1].connection)
    );
    let facts = (
        log[1].protocol.as_str(),
        log[1].tls.as_str(),
        log[1].resumed,
        log[1].status,
        log[1].path.as_str(),
    );
    assert_eq!(facts, ("HTTP/1.1", "TLSv1.3", false, 200, "/bytes"));
    assert_eq!(log[1].ip, nginx.place().ips[1]);

    let client = http2(nginx.addr(0)).await;
    for _ in 0..3 {
        client.get("/").await.unwrap();
    }
    let (log, evidence) =
        nginx::evidence(&nginx, "streams of one HTTP/2 connection", |log| log.len() == 5).await;
    row.case(evidence);
    assert!(
        log[2..]
            .iter()
            .all(|served| served.protocol == "HTTP/2.0" && served.connection == log[2].connection)
    );
}

#[tokio::test]
async fn nginx_says_what_was_resumed_and_what_it_closes() {
    let recipe = Nginx {
        http2: false,
        more: "keepalive_requests 2;".to_owned(),
    };
    let Some(nginx) = outside::start(&recipe, 1, &certs::good()) else {
        return peers_table::skip("nginx", "not installed");
    };
    let config = clients::trusting(&["h2", "http/1.1"]);
    for resumed in [false, true] {
        let mut stream = clients::dial(nginx.addr(0), &config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        clients::get(&mut stream, "/").await.unwrap();
        let second = clients::get(&mut stream, "/").await.unwrap();
        assert_eq!(second.header("Connection"), Some("close"));
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed);
    }
    let (log, evidence) = nginx::evidence(&nginx, "resumption", |log| log.len() == 4).await;
    peers_table::Row::of(&nginx).case(evidence);
    assert_eq!(
        log.iter().map(|served| served.resumed).collect::<Vec<_>>(),
        [false, false, true, true]
    );
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_children_and_files() {
    let Some(nginx) = outside::start_good(&Nginx::default(), 1) else {
        return peers_table::skip("nginx", "not installed");
    };
    let (address, dir, id) = (nginx.addr(0), nginx.place().dir.clone(), nginx.id());
    // The master listens before it has its worker.
    measure::settles(SOON, "a master and a worker", 2, || members(id)).await;
    drop(nginx);
    assert_eq!(members(id), 0);
    assert!(!measure::is_listening(address) && !dir.exists());
    TcpStream::connect(address).await.expect_err("nobody listens");
}

/// How many processes the group has that still run.
fn members(group: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    // `pid (name) state parent group ...`; a name may hold spaces.
    let alive = stats.filter(|stat| {
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields.first().is_some_and(|state| *state != "Z")
            && fields.get(2) == Some(&group.to_string().as_str())
    });
    alive.count()
}

#[tokio::test]
async fn a_server_ends_even_when_its_test_is_killed() {
    if outside::start_good(&Nginx::default(), 1).is_none() {
        return peers_table::skip("nginx", "not installed");
    }
    let told = scratch("killed");
    let mut command = child("nginx_for_a_test_to_be_killed");
    let test = Killed(command.env("TOLD", &told).spawn().unwrap());
    let mut group = None;
    measure::eventually(SOON, "the child's nginx runs", || {
        group = std::fs::read_to_string(&told)
            .ok()
            .and_then(|text| text.strip_suffix('\n')?.parse().ok());
        group.is_some()
    })
    .await;
    let group = group.unwrap();
    measure::settles(SOON, "a master and a worker", 2, || members(group)).await;
    drop(test);
    measure::settles(SOON, "nginx has ended", 0, || members(group)).await;
    std::fs::remove_file(told).unwrap();
}

/// A process that is killed when dropped, however the test goes.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Run by the test above only: starts a server, tells its group, and waits to be killed.
#[test]
#[ignore = "the child of another test"]
fn nginx_for_a_test_to_be_killed() {
    let told = std::env::var_os("TOLD").expect("run by its parent alone");
    let nginx = outside::start_good(&Nginx::default(), 1).unwrap();
    std::fs::write(told, format!("{}\n", nginx.id())).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

struct Broken;

impl Recipe for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn program(&self) -> &'static str {
        "sh"
    }

    fn version_argument(&self) -> &'static str {
        "-c"
    }

    fn arguments(&self, _: &Place) -> std::io::Result<Vec<String>> {
        Ok(vec!["-c".to_owned(), "echo cannot; exit 3".to_owned()])
    }
}

#[test]
#[should_panic(expected = "it ended with exit status: 3: cannot")]
fn a_server_that_cannot_start_says_why() {
    outside::start_good(&Broken, 1);
}

#[test]
fn a_skip_fails_in_ci_unless_it_is_excused() {
    let table = scratch("skips");
    for (ci, peer, passes) in [("true", "nginx", false), ("", "nginx", true)] {
        let run = child("skips_a_peer")
            .env("CI", ci)
            .env("PEER", peer)
            .env("HOTPOOL_PEERS_TABLE", &table)
            .output();
        let run = run.unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.success(), passes, "CI={ci}: {said}");
        assert!(
            passes || said.contains("nginx may not be skipped in CI: for a look"),
            "{said}"
        );
    }
    // The skip that passed stands in the table, the one that failed does not.
    assert_eq!(
        std::fs::read_to_string(&table).unwrap(),
        "nginx\t-\t0\t1\tevery case: for a look\n"
    );
    std::fs::remove_file(table).unwrap();
}

/// Run by the test above only.
#[test]
#[ignore = "the child of another test"]
fn skips_a_peer() {
    assert!(std::env::var_os("PEER").is_some(), "run by its parent alone");
    peers_table::skip("nginx", "for a look");
}

/// What `.ci/run` says last.
#[test]
fn a_profile_that_was_not_held_against_its_browser_is_shouted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = std::fs::read_to_string(root.join(".ci/run")).unwrap();
    let last = run.lines().rfind(|line| !line.is_empty());
    assert_eq!(last, Some(".ci/unheld \"$HOTPOOL_PEERS_TABLE\""));
    let unprofiled = "every case: is of a version of which there is no profile";
    let table = scratch("unheld");
    for (rows, lines) in [
        (
            "chromium\tC 156\t1\t0\t-\nfirefox\tF 153\t1\t0\t-\n".to_owned(),
            vec![],
        ),
        (
            format!("chromium\tC 157\t0\t1\t{unprofiled}\nfirefox\tF 153\t1\t0\t-\n"),
            vec![format!("chromium: C 157: {unprofiled}")],
        ),
        (
            "nginx\tn 1\t3\t0\t-\nfirefox\t-\t0\t1\tevery case: is not installed\n".to_owned(),
            vec![
                "chromium: no test has met it".to_owned(),
                "firefox: -: every case: is not installed".to_owned(),
            ],
        ),
    ] {
        std::fs::write(&table, rows).unwrap();
        let said = Command::new("bash")
            .arg(root.join(".ci/unheld"))
            .arg(&table)
            .output();
        let said = said.unwrap();
        assert!(said.status.success(), "{said:?}");
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(
            said.contains("NOT HELD AGAINST THE LIVE BROWSER"),
            !lines.is_empty()
        );
        let named = |line: &&str| line.starts_with("#    ");
        let named: Vec<&str> = said.lines().filter(named).map(|line| line[5..].trim()).collect();
        assert_eq!(named, lines, "{said}");
    }
    std::fs::remove_file(table).unwrap();
}

#[test]
fn the_excuses_on_file_are_lawful() {
    peers_table::excuses(include_str!("../SKIPS"));
    let two = peers_table::excuses("# why\n\n boringssl | Debian has none \nfirefox|no display");
    assert_eq!(two[0], ("boringssl".to_owned(), "Debian has none".to_owned()));
    assert_eq!(two[1], ("firefox".to_owned(), "no display".to_owned()));
}

#[test]
#[should_panic(expected = "nginx must be had")]
fn no_excuse_for_what_can_be_installed() {
    peers_table::excuses("nginx | too lazy");
}

#[tokio::test]
#[should_panic(expected = "nginx has seen nothing of \"a dream\"")]
async fn an_empty_log_is_no_evidence() {
    let Some(nginx) = outside::start_good(&Nginx::default(), 1) else {
        peers_table::skip("nginx", "not installed");
        panic!("nginx has seen nothing of \"a dream\"");
    };
    nginx::evidence(&nginx, "a dream", |_| true).await;
}

/// This binary again, to run one ignored test.
fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("outside::{test}"), "--nocapture"]);
    command.stdin(Stdio::null());
    command
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}
