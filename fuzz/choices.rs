//! The fuzzer's bytes as choices, for the targets that share the tests' oracle.

use arbitrary::Unstructured;

use crate::oracle::Choose;

pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    pub fn of(data: &'a [u8]) -> Self {
        Choices(Unstructured::new(data))
    }
}

impl Choose for Choices<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }
}
