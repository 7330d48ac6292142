//! When to look at which origin again.
//!
//! A ring of one-second slots. An origin is put where its next deadline falls, and taken out when that second has
//! passed; whatever happened to its connections in between, nobody touches the wheel. So a pass costs the origins that
//! it finds, and the seconds it skipped, whatever the number of connections. A deadline beyond the ring waits in its
//! last slot and is put in again from there.
//!
//! An origin that is forgotten, or put in for an earlier moment, leaves an entry behind that means nothing any more. Whoever puts one in looks at
//! a few others and drops such leavings, so that there are never many more entries than origins.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::clock::Moment;
use crate::fault::planted;

/// Seconds on the ring: more than the usual lifetime of a connection.
const SLOTS: u64 = 512;

const SECOND: u64 = 1_000_000_000;

/// Entries or empty slots that are looked at for each one that is put in. One turn of the ring takes an eighth as many arms as there are entries
/// then; each arm and each key forgotten leaves one entry behind, which is gone two turns later: no more than half of all are such.
const LOOKS: usize = 8;

/// Keys by the second in which they are due.
#[derive(Clone, Debug)]
pub struct Wheel<K> {
    slots: Vec<Vec<(K, Moment)>>,
    /// When each key is due. An entry that says otherwise means nothing.
    due: HashMap<K, Moment>,
    /// The second that is looked at now; all before it are empty.
    second: u64,
    /// Entries in all slots.
    held: usize,
    /// The entry to look at next for one that means nothing: its slot, and its place there.
    look: (usize, usize),
}

impl<K: Copy + Eq + Hash> Default for Wheel<K> {
    fn default() -> Self {
        Wheel::new()
    }
}

impl<K: Copy + Eq + Hash> Wheel<K> {
    /// An empty wheel.
    pub fn new() -> Self {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            due: HashMap::new(),
            second: 0,
            held: 0,
            look: (0, 0),
        }
    }

    /// How many keys are on it.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// How many entries it holds, those that mean nothing any more among them.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Puts `key` in for `at`, unless it is in for an earlier moment. What comes out is a hint to look, not a verdict.
    pub fn arm(&mut self, key: K, at: Moment) {
        if self.due.get(&key).is_some_and(|&known| known <= at) {
            return;
        }
        self.due.insert(key, at);
        self.put(key, at);
        self.tidy();
    }

    /// Takes `key` out: nobody will look at it any more.
    pub fn forget(&mut self, key: K) {
        self.due.remove(&key);
    }

    fn put(&mut self, key: K, at: Moment) {
        // What is due within a second comes out at its end: the first whole second at which it is certainly due.
        let due = at.as_nanos().div_ceil(SECOND);
        let second = due.clamp(self.second, self.second + SLOTS - 1);
        self.slots[(second % SLOTS) as usize].push((key, at));
        self.held += 1;
    }

    /// Looks at a few entries, and drops those that mean nothing any more.
    fn tidy(&mut self) {
        for _ in 0..LOOKS {
            let (slot, place) = self.look;
            let entries = &mut self.slots[slot];
            match entries.get(place) {
                None => self.look = ((slot + 1) % SLOTS as usize, 0),
                Some((key, at)) if self.due.get(key) == Some(at) => self.look.1 += 1,
                Some(_) => {
                    entries.swap_remove(place);
                    self.held -= 1;
                    if entries.is_empty() {
                        *entries = Vec::new(); // with its memory
                    }
                }
            }
        }
    }

    /// The next key whose moment has come, to the second; none until [`next`](Wheel::next).
    pub fn pop_due(&mut self, now: Moment) -> Option<K> {
        let today = now.as_nanos() / SECOND;
        while self.held > 0 && self.second <= today {
            let slot = &mut self.slots[(self.second % SLOTS) as usize];
            match slot.pop() {
                Some((key, at)) => {
                    self.held -= 1;
                    if self.due.get(&key) != Some(&at) {
                        continue;
                    }
                    if at <= now || planted("beyond_the_ring_is_now") {
                        self.due.remove(&key);
                        return Some(key);
                    }
                    // It was beyond the ring: in again, at most one slot behind this one.
                    self.put(key, at);
                }
                None => {
                    *slot = Vec::new(); // with its memory: many may have been due at once
                    self.second += 1;
                }
            }
        }
        self.second = self.second.max(today);
        None
    }

    /// When the next key comes out: a whole second, at most one round of the ring away.
    pub fn next(&self) -> Option<Moment> {
        if self.due.is_empty() {
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
        if held != self.held || self.slots.len() as u64 != SLOTS {
            panic!("the wheel counts {} entries and holds {held}", self.held);
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
    fn a_key_is_in_once_for_the_earliest_moment() {
        let second = |count: u64| Moment::from_nanos(count * SECOND);
        let mut wheel = Wheel::new();
        for at in [5, 3, 4, 3] {
            wheel.arm(1, second(at));
        }
        wheel.arm(2, second(3));
        assert_eq!((wheel.len(), wheel.next()), (2, Some(second(3))));
        wheel.forget(2);
        assert_eq!(due(&mut wheel, second(3)), [1]);
        wheel.arm(1, second(9));
        assert_eq!(
            due(&mut wheel, second(8)),
            [] as [u8; 0],
            "what it was in for before means nothing"
        );
        wheel.forget(1);
        assert_eq!((wheel.next(), wheel.is_empty()), (None, true));
        wheel.arm(1, second(9));
        assert_eq!(due(&mut wheel, second(9)), [1], "once");
    }

    /// Hosts come and go, each armed twice, in bursts and one by one; no second passes.
    #[test]
    fn what_comes_and_goes_takes_no_room() {
        for burst in [1, 50, 1000] {
            let mut wheel = Wheel::new();
            let mut most = 0;
            for host in 0..100_000_u64 {
                for at in [60 + host % 7, 30 + host % 1000] {
                    wheel.arm(host, Moment::from_nanos(at * SECOND));
                }
                if host % burst == burst - 1 {
                    (host + 1 - burst..=host).for_each(|gone| wheel.forget(gone));
                }
                most = most.max(wheel.held());
            }
            let room: usize = wheel.slots.iter().map(Vec::capacity).sum();
            let bound = 4 * burst as usize + 2 * SLOTS as usize;
            assert!(
                wheel.is_empty() && most <= bound,
                "{most} entries, {burst} hosts at once"
            );
            assert!(
                room <= 8 * bound,
                "room for {room} entries, {burst} hosts at once"
            );
        }
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
