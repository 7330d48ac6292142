//! Any answers, in any pieces, read by the client and by hyper: both read the same, and end in the same place. The bytes choose.

#![no_main]

#[expect(dead_code, reason = "the other directions have targets of their own")]
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
    oracle::readings(&mut Bytes(Unstructured::new(data)));
});
