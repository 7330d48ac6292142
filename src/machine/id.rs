//! Ids, and the slots they point into.
//!
//! An id is a slot and a generation: slots are small, dense and reused, so that a driver keeps what belongs to an id
//! in a plain `Vec`; the generation tells an id whose slot has been given to another, so that a late call is
//! recognised instead of hitting a stranger.

use std::fmt;

/// A slot and its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(super) Key);

        impl $name {
            /// The slot: below the greatest number of these that were ever alive at once.
            pub const fn slot(self) -> usize {
                self.0.slot as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}.{})", stringify!($name), self.0.slot, self.0.generation)
            }
        }
    )*};
}

ids! {
    /// A connection of one machine.
    ConnId,
    /// A place in one machine's line. Whoever gives it up says so with `cancel`.
    #[must_use = "a place in line that is given up must be cancelled"]
    Ticket,
    /// A right to dial, which holds one of the host's permits until `dialled` or `dial_failed`.
    #[must_use = "a right to dial holds a permit until it is answered"]
    DialId,
}

/// An origin's number within one pool. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub u64);

/// Values in dense, reused slots, found by [`Key`].
#[derive(Debug)]
pub(super) struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Slots {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.entries[slot as usize];
            entry.value = Some(value);
            return Key {
                slot,
                generation: entry.generation,
            };
        }
        // 2^32 connections, waiters or dials of one host do not fit in memory.
        let slot = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry {
            generation: 0,
            value: Some(value),
        });
        Key { slot, generation: 0 }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.slot as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(value)
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.slot as usize)?;
        if entry.generation == key.generation {
            entry.value.as_ref()
        } else {
            None
        }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.slot as usize)?;
        if entry.generation == key.generation {
            entry.value.as_mut()
        } else {
            None
        }
    }

    /// The value in `slot`, whatever its generation.
    pub(super) fn at(&self, slot: u32) -> Option<&T> {
        self.entries.get(slot as usize)?.value.as_ref()
    }

    /// The value in `slot`, whatever its generation.
    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entries.get_mut(slot as usize)?.value.as_mut()
    }

    /// The key that now leads to `slot`.
    pub(super) fn key(&self, slot: u32) -> Key {
        Key {
            slot,
            generation: self
                .entries
                .get(slot as usize)
                .map_or(0, |entry| entry.generation),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0u32..).zip(&self.entries).filter_map(|(slot, entry)| {
            let key = Key {
                slot,
                generation: entry.generation,
            };
            entry.value.as_ref().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_key() {
        let mut slots = Slots::new();
        let first = slots.insert('a');
        assert_eq!(slots.remove(first), Some('a'));
        assert_eq!(slots.remove(first), None);
        let second = slots.insert('b');
        assert_eq!(second.slot, first.slot, "slots are dense");
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!((slots.at(0), slots.key(0)), (Some(&'b'), second));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn values_are_listed_with_their_keys() {
        let mut slots = Slots::new();
        let [a, b, c] = ['a', 'b', 'c'].map(|value| slots.insert(value));
        slots.remove(b);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(a, &'a'), (c, &'c')]);
        assert_eq!(slots.len(), 2);
        assert_eq!((a.slot, c.slot), (0, 2));
    }

    #[test]
    fn ids_name_themselves() {
        assert_eq!(
            format!(
                "{:?}",
                ConnId(Key {
                    slot: 3,
                    generation: 7
                })
            ),
            "ConnId(3.7)"
        );
        assert_eq!(
            Ticket(Key {
                slot: 3,
                generation: 7
            })
            .slot(),
            3
        );
    }
}
