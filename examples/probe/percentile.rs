//! Percentiles, exact: out of all samples, none of them estimated.

use std::time::Duration;

/// The smallest sample that at least `percent` of all samples do not exceed (nearest rank), in microseconds. None without samples.
pub(crate) fn percentile(samples: &[Duration], percent: usize) -> Option<u64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    let sample = sorted.get(rank - 1)?;
    Some(u64::try_from(sample.as_micros()).unwrap_or(u64::MAX))
}
