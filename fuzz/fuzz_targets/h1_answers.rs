//! Any answers, in any pieces, watched by the observer and read by hyper: what hyper has not read to its end is never called clean. The bytes choose.

#![no_main]

#[expect(dead_code, reason = "the other direction has a target of its own")]
#[path = "../../tests/framing/oracle/mod.rs"]
mod oracle;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

struct Bytes<'a>(Unstructured<'a>);

impl oracle::Choose for Bytes<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }
}

fuzz_target!(|data: &[u8]| {
    oracle::answers(&mut Bytes(Unstructured::new(data)));
});
