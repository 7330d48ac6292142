//! When to look at which origin again.
//!
//! A ring of one-second slots. An origin is put where its next deadline falls, and taken out when that second has
//! passed; whatever happened to its connections in between, nobody touches the wheel. So a pass costs the origins that
//! it finds, and the seconds it skipped, whatever the number of connections. A deadline beyond the ring waits in its
//! last slot and is put in again from there.

use std::time::Duration;

use crate::clock::Moment;
use crate::fault::planted;

/// Seconds on the ring: more than the usual lifetime of a connection.
const SLOTS: u64 = 512;

const SECOND: u64 = 1_000_000_000;

/// Keys by the second in which they are due.
#[derive(Clone, Debug)]
pub struct Wheel<K> {
    slots: Vec<Vec<(K, Moment)>>,
    /// The second that is looked at now; all before it are empty.
    second: u64,
    len: usize,
}

impl<K: Copy> Default for Wheel<K> {
    fn default() -> Self {
        Wheel::new()
    }
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel.
    pub fn new() -> Self {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            second: 0,
            len: 0,
        }
    }

    /// How many keys are on it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `key` in for `at`. A key may be in more than once; what comes out is a hint to look, not a verdict.
    pub fn arm(&mut self, key: K, at: Moment) {
        // What is due within a second comes out at its end: the first whole second at which it is certainly due.
        let due = at.as_nanos().div_ceil(SECOND);
        let second = due.clamp(self.second, self.second + SLOTS - 1);
        self.slots[(second % SLOTS) as usize].push((key, at));
        self.len += 1;
    }

    /// The next key whose moment has come, to the second; none until [`next`](Wheel::next).
    pub fn pop_due(&mut self, now: Moment) -> Option<K> {
        let today = now.as_nanos() / SECOND;
        while self.len > 0 && self.second <= today {
            let slot = &mut self.slots[(self.second % SLOTS) as usize];
            match slot.pop() {
                Some((key, at)) => {
                    self.len -= 1;
                    if at <= now || planted("beyond_the_ring_is_now") {
                        return Some(key);
                    }
                    // It was beyond the ring: in again, at most one slot behind this one.
                    self.arm(key, at);
                }
                None => self.second += 1,
            }
        }
        self.second = self.second.max(today);
        None
    }

    /// Takes out every key that `stays` does not want.
    pub fn retain(&mut self, mut stays: impl FnMut(K) -> bool) {
        for slot in &mut self.slots {
            slot.retain(|&(key, _)| stays(key));
        }
        self.len = self.slots.iter().map(Vec::len).sum();
    }

    /// When the next key comes out: a whole second, at most one round of the ring away.
    pub fn next(&self) -> Option<Moment> {
        if self.len == 0 {
            return None;
        }
        let mut ahead = self.second..self.second + SLOTS;
        let second = ahead.find(|second| !self.slots[(second % SLOTS) as usize].is_empty())?;
        Some(Moment::ZERO + Duration::from_secs(second))
    }

    /// Checks what must hold between operations.
    #[expect(
        clippy::panic,
        reason = "it exists to stop the program where a rule is broken"
    )]
    pub fn assert_invariants(&self) {
        let held: usize = self.slots.iter().map(Vec::len).sum();
        if held != self.len || self.slots.len() as u64 != SLOTS {
            panic!("the wheel counts {} keys and holds {held}", self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u8>, now: Moment) -> Vec<u8> {
        let mut due: Vec<u8> = std::iter::from_fn(|| wheel.pop_due(now)).collect();
        wheel.assert_invariants();
        due.sort_unstable();
        due
    }

    #[test]
    fn a_key_comes_out_in_the_second_after_its_moment() {
        let second = |count: u64| Moment::from_nanos(count * SECOND);
        let mut wheel = Wheel::new();
        assert_eq!((wheel.next(), wheel.len(), wheel.is_empty()), (None, 0, true));
        for (key, at) in [
            (1, second(3)),
            (2, Moment::from_nanos(3 * SECOND + 1)),
            (3, second(5)),
        ] {
            wheel.arm(key, at);
        }
        assert_eq!(
            (wheel.next(), wheel.len(), wheel.is_empty()),
            (Some(second(3)), 3, false)
        );
        let table = [
            (Moment::from_nanos(3 * SECOND - 1), vec![], Some(second(3))),
            (second(3), vec![1], Some(second(4))),
            (second(4), vec![2], Some(second(5))),
            (second(9), vec![3], None),
        ];
        for (now, keys, next) in table {
            assert_eq!((due(&mut wheel, now), wheel.next()), (keys, next), "at {now:?}");
        }
        // What is overdue comes out at the next turn.
        wheel.arm(4, second(2));
        assert_eq!(due(&mut wheel, second(9)), [4]);
    }

    #[test]
    fn a_key_beyond_the_ring_goes_round_until_its_moment() {
        let mut wheel = Wheel::new();
        let far = Moment::from_nanos(3 * SLOTS * SECOND);
        wheel.arm(7, far);
        assert!(
            wheel.next().is_some_and(|next| next.as_nanos() < SLOTS * SECOND),
            "nobody looks for too long"
        );
        let mut now = Moment::ZERO;
        while let Some(next) = wheel.next() {
            assert!(next > now, "time stands still");
            now = next;
            if !due(&mut wheel, now).is_empty() {
                break;
            }
        }
        assert_eq!(now, far);
        assert!(wheel.is_empty());
    }
}
