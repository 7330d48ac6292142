//! What must hold between any two calls.

use super::Ledger;

impl Ledger {
    /// Checks every rule that one look can check.
    ///
    /// # Panics
    ///
    /// If one does not hold.
    #[expect(
        clippy::panic,
        reason = "it exists to stop the program where a rule is broken"
    )]
    pub fn assert_invariants(&self) {
        self.holders.assert_invariants();
        if self.total != self.dials + self.holders.connections() {
            panic!(
                "{} permits out for {} dials and {:?}",
                self.total, self.dials, self.holders
            );
        }
        for (ip, state) in &self.ips {
            state.holders.assert_invariants();
            let askable = state.holders.is_askable();
            let (room, wanted) = (state.used < self.limits.max_per_ip, !state.waiting.is_empty());
            let right = state.holders.connections() <= state.used
                && self.open.contains(ip) == (wanted && room)
                && self.hungry.contains(ip) == (wanted && !room && askable)
                && self.dry.contains(ip) == state.holders.has_dry()
                && (state.used > 0 || wanted);
            if !right {
                panic!("{ip} stands wrong: {state:?}");
            }
        }
        for (number, waiting) in &self.line {
            let aside = |ip| {
                self.ips
                    .get(ip)
                    .is_some_and(|state| state.waiting.contains(number))
            };
            let all = !waiting.ask.candidates.is_empty() && waiting.ask.candidates.iter().all(aside);
            let none = !waiting.ask.candidates.iter().any(aside);
            let ready = self.ready.contains(number);
            if !(if ready { none } else { all }) {
                panic!("dial {number} stands wrong: ready {ready}, {waiting:?}");
            }
        }
        if self.numbers.len() != self.line.len() || self.ready.len() > self.line.len() {
            panic!("the Ledger's line and its index differ");
        }
    }
}
