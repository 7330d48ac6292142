//! Any answers, in any pieces, read by the client and by hyper: both read the same, and end in the same place. The bytes choose.

#![no_main]

#[expect(dead_code, reason = "the other directions have targets of their own")]
#[path = "../../tests/framing/oracle/mod.rs"]
mod oracle;

#[path = "../choices.rs"]
mod choices;

use libfuzzer_sys::fuzz_target;

use choices::Choices;

fuzz_target!(|data: &[u8]| {
    oracle::readings(&mut Choices::of(data));
});
