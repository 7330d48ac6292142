//! A bench in a process of its own, where nothing else is counted.

use std::process::Command;

use hotpool::rustls::RootCertStore;
use hotpool::rustls::pki_types::CertificateDer;
use hotpool::rustls::pki_types::pem::PemObject;

use super::support::certs;

/// Where such a process finds whom to trust.
const ROOT: &str = "HOTPOOL_BENCH_ROOT";

/// Has this bench say something by `command`, which is given it to run, with these arguments.
fn elsewhere(mut command: Command, arguments: &[&str]) -> String {
    let run = command
        .arg(std::env::current_exe().unwrap())
        .args(arguments)
        .env(ROOT, certs::authority().pem())
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(run.status.success(), "{said}");
    said
}

/// The number that it says.
pub(super) fn number(arguments: &[&str]) -> f64 {
    let [number] = numbers(arguments);
    number
}

/// The numbers that it says.
pub(super) fn numbers<const N: usize>(arguments: &[&str]) -> [f64; N] {
    let said = elsewhere(Command::new("env"), arguments);
    let numbers: Option<Vec<f64>> = said
        .split_whitespace()
        .map(|number| number.parse().ok())
        .collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.unwrap_or_else(|| panic!("{said}"))
}

/// The instructions that it takes.
pub(super) fn counted(arguments: &[&str]) -> f64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let said = elsewhere(valgrind, arguments);
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = count.unwrap_or_else(|| panic!("{said}"));
    count.trim().parse().unwrap()
}

/// Whom such a process is to trust.
pub(super) fn roots() -> RootCertStore {
    let pem = std::env::var(ROOT).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    roots
}
