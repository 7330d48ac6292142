//! How long bodies are.

use crate::common::Dice;

pub(crate) const LARGE: u64 = 10 << 20;
const MEDIAN: f64 = 4096.0;

/// One in a hundred is large, the others are as bodies are.
pub(crate) fn any(dice: &mut Dice) -> u64 {
    match dice.below(100) {
        0 => LARGE,
        _ => ordinary(dice),
    }
}

/// Log-normal, with a median of 4 KB and a sigma of 1.5 (the sum of twelve uniform numbers is near enough to normal).
pub(crate) fn ordinary(dice: &mut Dice) -> u64 {
    let twelve: f64 = (0..12)
        .map(|_| dice.below(1 << 20) as f64 / f64::from(1 << 20))
        .sum();
    let size = MEDIAN * ((twelve - 6.0) * 1.5).exp();
    (size as u64).min(LARGE - 1)
}
