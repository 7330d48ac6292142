//! Which connection's time comes first.
//!
//! A binary heap that knows where each slot stands, so that any of them can be taken out. Unlike a tree it gives no memory back one node at a
//! time: what is done here is done under a lock, and an allocator may take its time over that.

use super::conns::NONE;
use crate::clock::Moment;

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Each is no earlier than the one at half its place.
    heap: Vec<(Moment, u32)>,
    /// Where in the heap each slot stands; [`NONE`] if nowhere.
    places: Vec<u32>,
}

impl Timers {
    /// The earliest, and whose it is.
    pub(super) fn first(&self) -> Option<(Moment, u32)> {
        self.heap.first().copied()
    }

    /// When that slot's time comes, if it has one.
    pub(super) fn get(&self, slot: u32) -> Option<Moment> {
        self.place(slot).map(|place| self.heap[place].0)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Gives a slot its time, instead of any that it has. [`Moment::FAR`] is none.
    pub(super) fn set(&mut self, slot: u32, at: Moment) {
        self.unset(slot);
        if at == Moment::FAR {
            return;
        }
        let index = slot as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, NONE);
        }
        self.heap.push((at, slot));
        self.rise(self.heap.len() - 1);
    }

    pub(super) fn unset(&mut self, slot: u32) {
        let Some(place) = self.place(slot) else { return };
        self.heap.swap_remove(place);
        self.places[slot as usize] = NONE;
        if place < self.heap.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn place(&self, slot: u32) -> Option<usize> {
        let place = self.places.get(slot as usize).copied()?;
        (place != NONE).then_some(place as usize)
    }

    /// Moves the one at `place` ahead of those that are later. Answers where it stands then.
    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above] <= self.heap[place] {
                break;
            }
            self.swap(above, place);
            place = above;
        }
        self.stands(place);
        place
    }

    /// Moves the one at `place` behind those that are earlier.
    fn sink(&mut self, mut place: usize) {
        loop {
            let below = 2 * place + 1..self.heap.len().min(2 * place + 3);
            let Some(first) = below.min_by_key(|&below| self.heap[below]) else {
                return;
            };
            if self.heap[place] <= self.heap[first] {
                return;
            }
            self.swap(place, first);
            place = first;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.stands(one);
        self.stands(other);
    }

    fn stands(&mut self, place: usize) {
        let (_, slot) = self.heap[place];
        self.places[slot as usize] = place as u32; // slots are numbered in 32 bits
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_earliest_is_first_whoever_comes_and_goes(acts in proptest::collection::vec((0_u32..40, 0_u64..60, 0_u8..3), 1..300)) {
            let (mut timers, mut model) = (Timers::default(), BTreeMap::new());
            for (slot, at, act) in acts {
                let at = Moment::from_nanos(at);
                match act {
                    0 => {
                        timers.unset(slot);
                        model.remove(&slot);
                    }
                    _ => {
                        timers.set(slot, at);
                        model.insert(slot, at);
                    }
                }
                let first = model.iter().map(|(&slot, &at)| (at, slot)).min();
                prop_assert_eq!(timers.first(), first);
                prop_assert_eq!(timers.len(), model.len());
                for slot in 0..40 {
                    prop_assert_eq!(timers.get(slot), model.get(&slot).copied());
                }
            }
        }
    }
}
