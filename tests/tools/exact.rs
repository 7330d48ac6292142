//! The percentiles of the report.

use std::time::Duration;

use crate::percentile::percentile;

#[test]
fn percentiles_are_the_nearest_rank_of_all_samples() {
    let micros = |samples: &[u64]| {
        samples
            .iter()
            .map(|&us| Duration::from_micros(us))
            .collect::<Vec<_>>()
    };
    let hundred: Vec<u64> = (1..=100).rev().collect();
    for (samples, percent, expected) in [
        (&hundred[..], 50, Some(50)),
        (&hundred, 99, Some(99)),
        (&hundred, 100, Some(100)),
        (&hundred, 0, Some(1)),
        (&[3, 1, 2], 50, Some(2)),
        (&[4, 1], 50, Some(1)),
        (&[4, 1], 99, Some(4)),
        (&[7], 99, Some(7)),
        (&[], 50, None),
    ] {
        assert_eq!(
            percentile(&micros(samples), percent),
            expected,
            "{percent} of {samples:?}"
        );
    }
}
