//! The line of waiters.
//!
//! Those who want exactly the same stand in one queue; numbers given at arrival order them across queues. A connection
//! looks at the head of each queue that it suits and serves the one that came first: what it costs depends on how
//! many *different* wants wait, never on how many waiters.

use super::id::{Key, Slots};
use super::words::{Lease, Want};
use crate::fault::planted;

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) want: Want,
    head: u32,
    tail: u32,
    /// Who waits in it.
    pub(super) len: u32,
    /// Dials made for it.
    pub(super) dials: u32,
    /// Whether addresses were asked for again on account of those who wait in it.
    pub(super) asked: bool,
    /// Whether somebody has come since the pool said what it forbids: to be asked about again, whatever that was.
    pub(super) anew: bool,
}

impl Queue {
    /// Whether nobody waits in it and nothing is dialled for it.
    const fn is_vacant(&self) -> bool {
        self.len == 0 && self.dials == 0
    }
}

#[derive(Debug)]
struct Waiter {
    queue: u32,
    /// Arrival.
    number: u64,
    ahead: u32,
    behind: u32,
    granted: Option<Lease>,
}

/// What a ticket turned out to be when it was given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Still waiting.
    Waiting,
    /// It had this lease.
    Granted(Lease),
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) queues: Vec<Queue>,
    waiters: Slots<Waiter>,
    next_number: u64,
    /// Who waits, in all queues.
    pub(super) len: u32,
}

impl Line {
    pub(super) const fn new() -> Self {
        Line {
            queues: Vec::new(),
            waiters: Slots::new(),
            next_number: 0,
            len: 0,
        }
    }

    /// The queue of those who want exactly this, made if there is none.
    pub(super) fn queue(&mut self, want: &Want) -> u32 {
        // What a crowd has left behind would be gone through for ever.
        while self.queues.last().is_some_and(Queue::is_vacant) {
            self.queues.pop();
        }
        let mut vacant = self.queues.len();
        for (index, queue) in self.queues.iter().enumerate() {
            if queue.want == *want {
                return index as u32;
            }
            if queue.is_vacant() {
                vacant = index;
            }
        }
        let queue = Queue {
            want: *want,
            head: NONE,
            tail: NONE,
            len: 0,
            dials: 0,
            asked: false,
            anew: false,
        };
        match self.queues.get_mut(vacant) {
            Some(place) => *place = queue,
            None => self.queues.push(queue),
        }
        vacant as u32
    }

    /// Puts a waiter at the end of `queue`.
    pub(super) fn join(&mut self, queue: u32) -> Key {
        let number = self.next_number;
        self.next_number += 1;
        let place = &mut self.queues[queue as usize];
        let ahead = place.tail;
        let key = self.waiters.insert(Waiter {
            queue,
            number,
            ahead,
            behind: NONE,
            granted: None,
        });
        place.tail = key.slot;
        place.len += 1;
        self.len += 1;
        match self.waiters.at_mut(ahead) {
            Some(last) => last.behind = key.slot,
            None => place.head = key.slot,
        }
        key
    }

    /// When the head of `queue` came, as a number; none if nobody waits in it.
    pub(super) fn head_number(&self, queue: u32) -> Option<u64> {
        self.waiters
            .at(self.queues[queue as usize].head)
            .map(|waiter| waiter.number)
    }

    /// The queue whose head came first, among those that pass.
    pub(super) fn first(&self, pass: impl Fn(&Want) -> bool) -> Option<u32> {
        (0u32..)
            .zip(&self.queues)
            .filter(|(_, queue)| queue.len > 0 && pass(&queue.want))
            .min_by_key(|&(index, _)| self.head_number(index))
            .map(|(index, _)| index)
    }

    /// Queues in which somebody waits, by who came first.
    pub(super) fn by_arrival(&self) -> Vec<u32> {
        let mut order: Vec<_> = (0u32..self.queues.len() as u32)
            .filter_map(|index| self.head_number(index).map(|number| (number, index)))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, index)| index).collect()
    }

    /// Gives the head of `queue` a lease; its ticket stays valid until it is taken or given up.
    pub(super) fn grant(&mut self, queue: u32, lease: Lease) -> Option<Key> {
        let place = &self.queues[queue as usize];
        let slot = if planted("last_come_first_served") {
            place.tail
        } else {
            place.head
        };
        self.unlink(slot);
        self.waiters.at_mut(slot)?.granted = Some(lease);
        Some(self.waiters.key(slot))
    }

    /// Takes the head out of `queue` for good.
    pub(super) fn dismiss(&mut self, queue: u32) -> Option<Key> {
        let slot = self.queues[queue as usize].head;
        let key = self.waiters.key(slot);
        self.unlink(slot);
        self.waiters.remove(key).map(|_| key)
    }

    /// The lease of a ticket that has one; the ticket is over then.
    pub(super) fn take(&mut self, key: Key) -> Option<Lease> {
        let lease = self.waiters.get(key)?.granted?;
        self.waiters.remove(key);
        Some(lease)
    }

    /// Ends a ticket, whatever it is.
    pub(super) fn give_up(&mut self, key: Key) -> Option<GivenUp> {
        let &Waiter { queue, granted, .. } = self.waiters.get(key)?;
        let alone = self
            .queues
            .get(queue as usize)
            .is_some_and(|queue| queue.len == 1);
        if granted.is_none() && !(alone && planted("cancel_leaves_the_place")) {
            self.unlink(key.slot);
        }
        if !(granted.is_some() && planted("given_up_twice")) {
            self.waiters.remove(key);
        }
        Some(granted.map_or(GivenUp::Waiting, GivenUp::Granted))
    }

    fn unlink(&mut self, slot: u32) {
        let Some(&Waiter {
            queue, ahead, behind, ..
        }) = self.waiters.at(slot)
        else {
            return;
        };
        let place = &mut self.queues[queue as usize];
        place.len -= 1;
        self.len -= 1;
        match self.waiters.at_mut(ahead) {
            Some(waiter) => waiter.behind = behind,
            None => place.head = behind,
        }
        match self.waiters.at_mut(behind) {
            Some(waiter) => waiter.ahead = ahead,
            None => place.tail = ahead,
        }
    }
}

impl Line {
    /// Checks what must hold between operations.
    #[expect(
        clippy::panic,
        reason = "it exists to stop the program where a rule is broken"
    )]
    pub(super) fn assert_invariants(&self) {
        let mut total = 0;
        for (index, queue) in (0u32..).zip(&self.queues) {
            let (mut slot, mut ahead, mut len, mut number) = (queue.head, NONE, 0, None);
            while let Some(waiter) = self.waiters.at(slot) {
                let right = waiter.queue == index && waiter.ahead == ahead && waiter.granted.is_none();
                if !right || number >= Some(waiter.number) {
                    panic!("waiter {slot} stands wrong in queue {index}: {waiter:?}");
                }
                (ahead, len, number) = (slot, len + 1, Some(waiter.number));
                slot = waiter.behind;
            }
            if queue.tail != ahead || queue.len != len {
                panic!(
                    "queue {index} counts {} and ends at {}, not {len} and {ahead}",
                    queue.len, queue.tail
                );
            }
            total += len;
        }
        if self.len != total || (self.waiters.len() as u64) < u64::from(total) {
            panic!("the line counts {} waiters, its queues {total}", self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{IdentityId, Require};

    fn want(identity: u64) -> Want {
        Want {
            identity: IdentityId(identity),
            require: Require::Any,
            pin: None,
        }
    }

    #[test]
    fn a_queue_is_given_away_only_when_nobody_waits_or_dials_for_it() {
        let mut line = Line::new();
        assert_eq!(line.queue(&want(0)), 0);
        let waiter = line.join(0);
        assert_eq!((line.queue(&want(0)), line.queue(&want(1))), (0, 1));
        line.queues[1].dials = 1;
        assert_eq!(line.queue(&want(2)), 2, "both are needed");
        line.queues[1].dials = 0;
        line.join(2);
        assert_eq!(line.queue(&want(3)), 1);
        line.join(1);
        assert_eq!(line.give_up(waiter), Some(GivenUp::Waiting));
        assert_eq!(line.queue(&want(4)), 0);
        line.assert_invariants();
    }

    #[test]
    fn the_first_of_those_who_pass_is_the_one_that_came_first() {
        let mut line = Line::new();
        let queues = [0, 1, 2].map(|identity| line.queue(&want(identity)));
        assert_eq!(queues, [0, 0, 0], "nobody waits in it");
        line.join(0);
        let other = line.queue(&want(3));
        line.join(other);
        assert_eq!(line.first(|_| true), Some(0));
        assert_eq!(line.first(|passing| *passing == want(3)), Some(other));
        // The first of all gives up: the queue that came second goes first, and the empty one is no queue.
        let late = line.join(0);
        assert!(line.dismiss(0).is_some());
        assert_eq!(line.first(|_| true), Some(other));
        assert_eq!(line.by_arrival(), [other, 0]);
        assert_eq!(line.give_up(late), Some(GivenUp::Waiting));
        assert_eq!(
            (line.first(|_| true), line.by_arrival()),
            (Some(other), vec![other])
        );
        assert_eq!((line.head_number(0), line.head_number(other)), (None, Some(1)));
        line.assert_invariants();
    }

    #[test]
    fn a_crowd_of_different_wants_leaves_no_queues() {
        let mut line = Line::new();
        let crowd: Vec<_> = (0..100)
            .map(|identity| {
                let queue = line.queue(&want(identity));
                line.join(queue)
            })
            .collect();
        assert_eq!(line.queues.len(), 100);
        for waiter in crowd.into_iter().skip(1) {
            line.give_up(waiter);
        }
        assert_eq!(line.queue(&want(100)), 1);
        assert_eq!(line.queues.len(), 2, "the first still waits");
        line.assert_invariants();
    }
}
