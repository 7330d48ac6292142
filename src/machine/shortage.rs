//! When this machine is short of descriptors or ports: dials that nobody waits for hold back until there may be some again.

use std::time::Duration;

use crate::clock::Moment;

/// How long they hold back at first, doubling to `LONGEST` while it lasts: the end of a shortage is noticed within that.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(800);

/// Whether there was a shortage lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    until: Moment,
    span: Duration,
}

impl Shortage {
    /// Something could not be had. Answers until when to hold back. What fails while it is so already says nothing new.
    pub fn met(&mut self, now: Moment) -> Moment {
        if now >= self.until {
            self.span = (self.span * 2).clamp(SHORTEST, LONGEST);
            self.until = now + self.span;
        }
        self.until
    }

    /// Something could be had: the next shortage begins anew. One that is noticed already is not over.
    pub fn eased(&mut self, now: Moment) {
        if now >= self.until {
            *self = Shortage::default();
        }
    }

    /// Until when to hold back, if at all.
    pub fn until(&self, now: Moment) -> Option<Moment> {
        (now < self.until).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn it_doubles_from_one_to_the_next_up_to_its_maximum_and_ends() {
        let mut shortage = Shortage::default();
        assert_eq!(shortage.until(at(0)), None);
        let mut now = at(0);
        for span in [50, 100, 200, 400, 800, 800] {
            let until = now + Duration::from_millis(span);
            assert_eq!(shortage.met(now), until);
            assert_eq!(shortage.met(now), until, "the same shortage");
            shortage.eased(now);
            assert_eq!(shortage.until(until - Duration::from_nanos(1)), Some(until));
            assert_eq!(shortage.until(until), None);
            now = until;
        }
        shortage.eased(now);
        assert_eq!(shortage.met(now), now + SHORTEST);
    }
}
