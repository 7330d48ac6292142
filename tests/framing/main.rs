//! The observer of HTTP/1.1 against another reader of it. `fuzz/` has the same with a fuzzer's choices, for hours.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must say so"
)]

mod oracle;

use oracle::{Choose, Outcome};

const CASES: u64 = 20_000;
/// What was found beyond those.
const FOUND: [u64; 2] = [7_017_969, 7_503_901];

struct Dice(u64);

impl Choose for Dice {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64* (Vigna 2014)
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

fn many(run: fn(&mut dyn Choose) -> Outcome) -> Outcome {
    let mut sum = Outcome::default();
    for seed in (1..=CASES).chain(FOUND) {
        let result = std::panic::catch_unwind(|| run(&mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        let outcome = result.unwrap_or_else(|_| panic!("seed {seed}"));
        sum.clean += outcome.clean;
        sum.distrusted += outcome.distrusted;
    }
    sum
}

#[test]
fn no_answer_is_over_before_hyper_has_read_it() {
    let sum = many(oracle::answers);
    assert!(sum.clean > CASES / 20 && sum.distrusted > 0, "{sum:?}");
}

#[cfg(feature = "client")]
#[test]
fn the_client_reads_what_hyper_reads() {
    let sum = many(oracle::readings);
    assert!(sum.clean > CASES / 20 && sum.distrusted > 0, "{sum:?}");
}

#[test]
fn no_request_is_over_before_hyper_has_read_it() {
    let sum = many(oracle::requests);
    assert!(sum.clean > CASES / 20 && sum.distrusted > 0, "{sum:?}");
}
