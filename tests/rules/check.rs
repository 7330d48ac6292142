//! What an outsider can check whenever all is quiet.

use super::*;

impl World {
    /// What must hold whenever all is quiet.
    pub(crate) fn check(&self) {
        for machine in self.machines.values() {
            machine.assert_invariants();
        }
        self.ledger.assert_invariants();
        self.wheel.assert_invariants();
        let begun = || self.dials.iter().filter_map(|dialling| dialling.at);
        let total = self.conns.len() + begun().count();
        assert_eq!(self.ledger.counts().total as usize, total, "total permits");
        assert_eq!(
            self.ledger.counts().dials as usize,
            begun().count(),
            "dial permits"
        );
        assert!(begun().count() <= self.ledger_limits.max_dials as usize);
        assert!(
            total <= self.ledger_limits.max_connections as usize,
            "{total} in all"
        );
        let mut ips: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for ip in self.conns.values().map(|seen| seen.ip).chain(begun()) {
            *ips.entry(ip).or_default() += 1;
        }
        for (ip, used) in ips {
            assert_eq!(self.ledger.used(ip), used, "permits of {ip}");
            assert!(used <= self.ledger_limits.max_per_ip, "{used} to {ip}");
        }
        for (&origin, machine) in &self.machines {
            let own = self.conns.keys().filter(|(of, _)| *of == origin).count();
            let dials = self
                .dials
                .iter()
                .filter(|dialling| dialling.origin == origin)
                .count();
            let limit = machine.limits().max_per_host as usize;
            assert!(
                own + dials <= limit,
                "{own} connections and {dials} dials where {limit} may be"
            );
            let waiting = |getter: &&Getter| getter.origin == origin && getter.outcome == Outcome::Waiting;
            assert_eq!(
                machine.counts().waiting as usize,
                self.getters.iter().filter(waiting).count()
            );
            assert_eq!(machine.counts().dialling as usize, dials);
            assert_eq!(machine.connections().count(), own);
        }
    }
}
