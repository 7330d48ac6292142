//! Counts of durations in buckets that grow with what they hold, as HDR histograms have: 64 to each doubling, 1.6 % wide.

use std::time::Duration;

const BITS: u32 = 6;

#[derive(Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    most: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanos);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.most = self.most.max(nanos);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// Nanoseconds that this share of all durations does not exceed, rounded up to the end of a bucket.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return end(bucket).min(self.most);
            }
        }
        self.most
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = (63 - (nanos | 1).leading_zeros()).saturating_sub(BITS);
    ((shift as usize) << BITS) + (nanos >> shift) as usize
}

/// The longest duration that falls into a bucket.
fn end(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1);
    let mantissa = (bucket - (shift << BITS)) as u64;
    ((u128::from(mantissa + 1) << shift) - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket_and_no_bucket_is_wide() {
        let around =
            (0..64).flat_map(|bit| [-1, 0, 1, 77].map(|off| (1_u64 << bit).wrapping_add_signed(off)));
        for nanos in around.chain(0..10_000) {
            let at = bucket(nanos);
            assert!(nanos <= end(at), "{nanos} is beyond the end of {at}");
            assert!(at == 0 || nanos > end(at - 1), "{nanos} belongs before {at}");
            assert!(end(at) - nanos <= nanos / 64, "{at} is too wide for {nanos}");
        }
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list() {
        let mut histogram = Histogram::default();
        let mut all: Vec<u64> = (0..5_000).map(|n| n * n % 90_007).collect();
        all.iter()
            .for_each(|&nanos| histogram.record(Duration::from_nanos(nanos)));
        all.sort_unstable();
        for share in [0.5, 0.99, 0.999, 1.0] {
            let exact = all[(all.len() as f64 * share).ceil() as usize - 1];
            let told = histogram.quantile(share);
            assert!(
                told >= exact && told <= exact + exact / 64 + 1,
                "{share}: {told}, exactly {exact}"
            );
        }
        assert_eq!(histogram.total(), 5_000);
        assert_eq!(histogram.most(), all[4_999]);
    }
}
