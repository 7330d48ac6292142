//! Wireshark's dissector, as a second opinion on what stands on the wire.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Program, find, new_dir, version};
use crate::support::peers_table::Evidence;

/// Raw IP packets (LINKTYPE_RAW), as `text2pcap` wants it.
const LINKTYPE_RAW: &str = "101";
/// The length of the IPv4 and TCP headers of [`packet`].
const HEADERS: usize = 40;

/// An installed tshark, with the text2pcap beside it.
pub struct Tshark {
    program: PathBuf,
    text2pcap: PathBuf,
    version: String,
}

/// What tshark says of one ClientHello.
#[derive(Debug, PartialEq, Eq)]
pub struct Ja3 {
    /// `tls.handshake.ja3_full`.
    pub text: String,
    /// `tls.handshake.ja3`.
    pub hash: String,
}

impl Program for Tshark {
    fn name(&self) -> &'static str {
        "tshark"
    }

    fn version(&self) -> &str {
        &self.version
    }
}

impl Tshark {
    /// The installed one. `None` if there is none: then say so with [`crate::support::peers_table::skip`].
    pub fn find() -> Option<Self> {
        let program = find("tshark")?;
        Some(Tshark {
            text2pcap: find("text2pcap")?,
            version: version(&program, "--version"),
            program,
        })
    }

    /// The JA3s of the hellos in each of `streams`, which are what clients sent to port 443; and the evidence that there was one in each.
    pub fn ja3(&self, case: &str, streams: &[&[u8]]) -> (Vec<Vec<Ja3>>, Evidence) {
        let dir = new_dir(self.name());
        let dump: String = streams
            .iter()
            .enumerate()
            .map(|(nth, bytes)| hexdump(&packet(nth, bytes)))
            .collect();
        let (text, pcap) = (dir.join("packets.txt"), dir.join("packets.pcap"));
        std::fs::write(&text, dump).expect("a file of packets");
        let mut convert = Command::new(&self.text2pcap);
        run(convert.args(["-q", "-l", LINKTYPE_RAW]).arg(&text).arg(&pcap));
        let mut dissect = Command::new(&self.program);
        let said = run(dissect
            .args(["-n", "-T", "fields", "-E", "aggregator=|", "-E", "separator=;"])
            .args(["-e", "tls.handshake.ja3_full", "-e", "tls.handshake.ja3", "-r"])
            .arg(&pcap));
        std::fs::remove_dir_all(&dir).expect("the directory goes");

        let found: Vec<Vec<Ja3>> = said.lines().map(ja3s).collect();
        assert_eq!(found.len(), streams.len(), "a line for each packet: {said}");
        let seen = found.iter().filter(|hellos| !hellos.is_empty()).count();
        (found, Evidence::counted_by(self, case, seen))
    }
}

fn ja3s(line: &str) -> Vec<Ja3> {
    let (texts, hashes) = line.split_once(';').expect("two fields");
    let pairs = texts.split('|').zip(hashes.split('|'));
    pairs
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, hash)| Ja3 {
            text: text.to_owned(),
            hash: hash.to_owned(),
        })
        .collect()
}

/// The first data of a TCP connection of its own, from port 50,000 + `nth`.
fn packet(nth: usize, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(HEADERS + payload.len()).expect("a packet's length");
    let port = u16::try_from(50_000 + nth).expect("a port");
    let mut bytes = vec![0x45, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]); // not fragmented, TCP; tshark does not verify checksums
    bytes.extend([127, 0, 0, 1, 127, 0, 0, 2]);
    bytes.extend(port.to_be_bytes());
    bytes.extend(443_u16.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]); // PSH and ACK
    bytes.extend(payload);
    bytes
}

/// As text2pcap reads it: an offset of zero begins a packet.
fn hexdump(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).enumerate().map(|(nth, chunk)| {
        let digits: String = chunk.iter().map(|byte| format!(" {byte:02x}")).collect();
        format!("{:06x}{digits}\n", nth * 16)
    });
    lines.collect()
}

fn run(command: &mut Command) -> String {
    let done = command
        .stdin(Stdio::null())
        .output()
        .expect("an installed program starts");
    let _ = std::io::stderr().write_all(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}", done.status);
    String::from_utf8(done.stdout).expect("text")
}
