//! Random steps, and the end at which nobody may be left waiting.

use super::*;

/// Random steps, each chosen by a number; a step that has nothing to act on does nothing.
impl World {
    pub(crate) fn random_dial(&mut self, dice: usize, ok: bool) {
        self.random_dial_as(
            dice,
            ok.then_some(Protocol::Http1).ok_or(hotpool::machine::Cause::Tls),
        );
    }

    pub(crate) fn random_dial_as(&mut self, dice: usize, end: Result<Protocol, hotpool::machine::Cause>) {
        let begun = self
            .dials
            .iter()
            .enumerate()
            .filter(|(_, dial)| dial.at.is_some())
            .map(|(index, _)| index);
        let begun: Vec<usize> = begun.collect();
        let Some(&index) = dice.checked_rem(begun.len()).and_then(|choice| begun.get(choice)) else {
            return;
        };
        // What was asked for is what comes.
        let end = end.map(|protocol| match self.dials[index].order.require {
            Require::Http1 => Protocol::Http1,
            Require::Http2 => Protocol::Http2,
            _ => protocol,
        });
        match end {
            Ok(protocol) => drop(self.dial_ok(index, protocol)),
            Err(cause) => self.dial_fails(index, cause),
        }
    }

    pub(crate) fn random_cancel_or_take(&mut self, dice: usize) {
        let alive =
            |(_, getter): &(usize, &Getter)| matches!(getter.outcome, Outcome::Waiting | Outcome::Granted);
        let alive: Vec<usize> = self
            .getters
            .iter()
            .enumerate()
            .filter(alive)
            .map(|(index, _)| index)
            .collect();
        let Some(&index) = dice.checked_rem(alive.len()).and_then(|choice| alive.get(choice)) else {
            return;
        };
        if self.getters[index].outcome == Outcome::Granted && !dice.is_multiple_of(3) {
            self.take(index);
        } else {
            self.cancel(index);
        }
    }

    pub(crate) fn random_put(&mut self, dice: usize, fate: Fate) {
        let Some(choice) = dice.checked_rem(self.leases.len()) else {
            return;
        };
        let (origin, lease) = self.leases[choice];
        self.release(origin, lease.conn, fate);
    }

    /// Ends what only time or the network would end, then lets everybody give back.
    pub(crate) fn conclude(&mut self) {
        for origin in self.origins() {
            self.with(origin, |machine, now| machine.set_paused(now, false));
        }
        let all: Vec<_> = self.conns.keys().copied().collect();
        for (origin, conn) in all {
            self.with(origin, |machine, now| {
                machine.inspected(now, conn, Ok(()));
                machine.healthy(now, conn);
                machine.streams_open(now, conn, 0);
            });
        }
        self.settings_come();
        // Blocks end: who waited for that is dialled for.
        self.advance(secs(60));
        for origin in self.origins() {
            self.timeout(origin);
        }
        self.finish();
        for origin in self.origins() {
            self.with(origin, |machine, now| machine.close(now));
            assert!(self.machine(origin).is_vacant(), "something is left of {origin}");
        }
        assert_eq!((self.ledger.counts().total, self.conns.len()), (0, 0));
    }

    /// Every peer says how many streams it allows: one that allowed none before is not lent before it has spoken again.
    fn settings_come(&mut self) {
        let all: Vec<_> = self.conns.keys().copied().collect();
        for (origin, conn) in all {
            self.with(origin, |machine, now| machine.settings(now, conn, 2));
        }
    }

    fn origins(&self) -> Vec<u64> {
        self.machines.keys().copied().collect()
    }

    /// Everybody takes what they got and gives it back, every dial ends well, until nothing moves. Whoever waits then
    /// waits for ever.
    pub(crate) fn finish(&mut self) {
        for _ in 0..100_000 {
            let granted = self
                .getters
                .iter()
                .position(|getter| getter.outcome == Outcome::Granted);
            let resolving = self.resolving.first().copied();
            if let Some(getter) = granted {
                self.take(getter);
            } else if let Some(&(origin, lease)) = self.leases.first() {
                self.put(origin, lease.conn);
            } else if self.dials.iter().any(|dial| dial.at.is_some()) {
                self.random_dial(0, true);
                self.settings_come();
            } else if let Some(origin) = resolving {
                self.resolve(origin, &[1]);
            } else {
                break;
            }
        }
        let lost = self
            .getters
            .iter()
            .find(|getter| getter.outcome == Outcome::Waiting);
        assert!(lost.is_none(), "everything is at rest, and still {lost:?} waits");
        assert_eq!(
            self.ledger.counts().waiting,
            0,
            "everything is at rest but the Ledger's line"
        );
    }
}
