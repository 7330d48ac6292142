//! The Ledger's line: who is granted next, and who is asked for what they miss.

use std::net::IpAddr;

use super::{Ask, Ledger, Step, Victim, Waiting};

impl Ledger {
    /// The first in line for whom everything is free.
    pub(super) fn grant(&mut self) -> Option<Step> {
        if self.total >= self.limits.max_connections || self.dials >= self.limits.max_dials {
            return None;
        }
        let of_ip = |ip: &IpAddr| self.ips.get(ip).and_then(|state| state.waiting.first());
        let number = self
            .open
            .iter()
            .filter_map(of_ip)
            .chain(self.ready.first())
            .min()
            .copied()?;
        let Ask {
            origin,
            dial,
            candidates,
        } = self.leave(number)?;
        let ip = candidates
            .into_iter()
            .find(|&ip| self.used(ip) < self.limits.max_per_ip);
        self.total += 1;
        self.dials += 1;
        if let Some(ip) = ip {
            self.attempt(ip);
        }
        Some(Step::Grant { origin, dial, ip })
    }

    /// An origin to ask for what the first in line is missing.
    pub(super) fn evict(&mut self) -> Option<Step> {
        if self.total > self.limits.max_connections {
            // Above a limit that was lowered: for nobody in line, whose numbers begin at 0.
            if let Some((origin, not_after)) = self.holders.ask() {
                return Some(Step::Evict(Victim {
                    origin,
                    ip: None,
                    not_after,
                    number: u64::MAX,
                }));
            }
        }
        // The same at one address.
        if let Some(&ip) = self.over_askable.first()
            && let Some((origin, not_after)) = self.ips.get_mut(&ip)?.holders.ask()
        {
            self.touch(ip);
            return Some(Step::Evict(Victim {
                origin,
                ip: Some(ip),
                not_after,
                number: u64::MAX,
            }));
        }
        if self.dials >= self.limits.max_dials {
            return None;
        }
        if self.total >= self.limits.max_connections && self.holders.is_askable() {
            let number = self
                .ready
                .iter()
                .find(|number| !self.is_asking(**number))
                .copied();
            if let Some(number) = number {
                return self.evict_for(number, None);
            }
        }
        let (number, ip) = self.hungry.iter().find_map(|&ip| {
            let waiting = &self.ips.get(&ip)?.waiting;
            waiting
                .iter()
                .find(|number| !self.is_asking(**number))
                .map(|&number| (number, ip))
        })?;
        self.evict_for(number, Some(ip))
    }

    fn evict_for(&mut self, number: u64, ip: Option<IpAddr>) -> Option<Step> {
        let order = match ip {
            None => &mut self.holders,
            Some(ip) => &mut self.ips.get_mut(&ip)?.holders,
        };
        let (origin, not_after) = order.ask()?;
        self.line.get_mut(&number)?.asking = true;
        if let Some(ip) = ip {
            self.touch(ip);
        }
        Some(Step::Evict(Victim {
            origin,
            ip,
            not_after,
            number,
        }))
    }

    fn is_asking(&self, number: u64) -> bool {
        self.line.get(&number).is_some_and(|waiting| waiting.asking)
    }

    /// Lets those at the head of the line whose addresses are all full wait for these.
    pub(super) fn set_aside(&mut self) {
        while let Some(&number) = self.ready.first() {
            let Some(waiting) = self.line.get(&number) else {
                break;
            };
            let candidates = waiting.ask.candidates.clone();
            if candidates.is_empty()
                || candidates
                    .iter()
                    .any(|&ip| self.used(ip) < self.limits.max_per_ip)
            {
                break;
            }
            self.ready.remove(&number);
            for ip in candidates {
                self.ips.entry(ip).or_default().waiting.insert(number);
                self.touch(ip);
            }
        }
    }

    /// Takes somebody out of the line.
    pub(super) fn leave(&mut self, number: u64) -> Option<Ask> {
        let Waiting { ask, .. } = self.line.remove(&number)?;
        self.numbers.remove(&(ask.origin, ask.dial));
        if !self.ready.remove(&number) {
            for &ip in &ask.candidates {
                if let Some(state) = self.ips.get_mut(&ip) {
                    state.waiting.remove(&number);
                }
                self.touch(ip);
            }
        }
        Some(ask)
    }
}
