//! Wireshark reads the same JA3 out of the same bytes.

use hotpool::fingerprint::{FoundHello, Ja3};

use crate::captures::{bytes, capture, names};
use crate::support::outside::tshark::{self, Tshark};
use crate::support::peers_table;

#[test]
fn tshark_agrees_on_the_ja3_of_every_capture() {
    let Some(tshark) = Tshark::find() else {
        return peers_table::skip("tshark", "not installed");
    };
    let mut row = peers_table::Row::of(&tshark);
    let streams: Vec<Vec<u8>> = names().iter().map(|name| bytes(name)).collect();
    let slices: Vec<&[u8]> = streams.iter().map(Vec::as_slice).collect();
    let (seen, evidence) = tshark.ja3("JA3 of captured hellos", &slices);
    for (name, seen) in names().iter().zip(&seen) {
        let ours: Vec<tshark::Ja3> = capture(name).iter().map(ja3_of).collect();
        assert_eq!(&ours, seen, "{name}");
    }
    row.case(evidence);
}

fn ja3_of(found: &FoundHello) -> tshark::Ja3 {
    let ja3 = Ja3::of(&found.hello);
    tshark::Ja3 {
        text: ja3.text().to_owned(),
        hash: ja3.to_string(),
    }
}
