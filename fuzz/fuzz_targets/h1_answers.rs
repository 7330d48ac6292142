//! Any answers, in any pieces, watched by the observer and read by hyper: what hyper has not read to its end is never called clean. The bytes choose.

#![no_main]

#[expect(dead_code, reason = "the other direction has a target of its own")]
#[path = "../../tests/framing/oracle/mod.rs"]
mod oracle;

#[path = "../choices.rs"]
mod choices;

use libfuzzer_sys::fuzz_target;

use choices::Choices;

fuzz_target!(|data: &[u8]| {
    oracle::answers(&mut Choices::of(data));
});
