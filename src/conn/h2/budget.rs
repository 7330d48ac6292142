//! How many streams may be reset on one connection before it looks like an attack.
//!
//! A client that opens streams and resets them at once is what CVE-2023-44487 ("rapid reset") was about, and servers count: nghttp2 ends a
//! connection after 1,000 resets and 33 more a second, others sooner. h2 for its part ends one after it had to reset 1,024 streams by
//! itself, over its whole life, late frames of cancelled ones among them. A connection that has spent its budget takes no new streams, while the
//! peer still thinks well of it, and those who have streams on it finish or cancel theirs.

use std::time::Duration;

use crate::clock::Moment;
use crate::fault::planted;

/// So many at once.
const BURST: u32 = 400;
/// One more for each.
const EACH: Duration = Duration::from_millis(50);
/// So many over the life of a connection: less than h2's own limit by more streams than one connection carries.
const IN_ALL: u32 = 900;

#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// For when `left` was right.
    at: Moment,
    spent: u32,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Budget {
            left: BURST,
            at: Moment::ZERO,
            spent: 0,
        }
    }

    /// Counts a reset. False once too many were.
    pub(super) fn spend(&mut self, now: Moment) -> bool {
        if planted("cancels_are_free") {
            return true;
        }
        let more = now.since(self.at).as_nanos() / EACH.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if self.left.saturating_add(more) >= BURST {
            (self.left, self.at) = (BURST, now);
        } else {
            self.left += more;
            self.at = self.at + EACH * more;
        }
        self.left = self.left.saturating_sub(1);
        self.spent = self.spent.saturating_add(1);
        self.left > 0 && self.spent < IN_ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_spends_it() {
        let mut budget = Budget::new();
        let spent = (1..).find(|_| !budget.spend(at(1_000)));
        assert_eq!(spent, Some(400));
    }

    #[test]
    fn it_refills_one_by_one_and_never_beyond_a_burst() {
        let mut budget = Budget::new();
        for _ in 0..399 {
            assert!(budget.spend(at(0)));
        }
        // Just before, and at.
        assert!(budget.spend(at(50)));
        assert!(budget.spend(at(100)));
        assert!(!budget.spend(at(149)));
        let mut rested = Budget::new();
        rested.spend(at(0));
        let spent = (1..).find(|_| !rested.spend(at(3_600_000)));
        assert_eq!(spent, Some(400));
    }

    #[test]
    fn a_life_has_a_budget_too() {
        let mut budget = Budget::new();
        let spent = (1..).find(|&nth| !budget.spend(at(nth * 100)));
        assert_eq!(spent, Some(900));
    }
}
