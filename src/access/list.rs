//! What is said of scopes, and until when, as a value: a copy costs nothing, and a change beside a copy costs a path to it, not all that is said. So the gate
//! of each host keeps what was in force when it was made.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rpds::HashTrieMapSync;

use super::scope::Scope;
use crate::clock::Moment;

/// Scopes, each with until when it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    scopes: HashTrieMapSync<Scope, Moment>,
    /// How many networks there are of each length, IPv4 and IPv6 apart: an address is looked up once for each.
    lengths: BTreeMap<(bool, u8), usize>,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.scopes.size()
    }

    pub(super) fn get(&self, scope: &Scope) -> Option<Moment> {
        self.scopes.get(scope).copied()
    }

    /// Answers until when it held before.
    pub(super) fn insert(&mut self, scope: Scope, until: Moment) -> Option<Moment> {
        let before = self.get(&scope);
        if before.is_none()
            && let Some(length) = scope.length()
        {
            *self.lengths.entry(length).or_default() += 1;
        }
        self.scopes.insert_mut(scope, until);
        before
    }

    /// Answers until when it held.
    pub(super) fn remove(&mut self, scope: &Scope) -> Option<Moment> {
        let until = self.get(scope)?;
        self.scopes.remove_mut(scope);
        if let Some(length) = scope.length()
            && let Some(count) = self.lengths.get_mut(&length)
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
        Some(until)
    }

    /// All of it, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Scope, Moment)> {
        self.scopes.iter().map(|(scope, until)| (scope, *until))
    }

    /// Until when one of them holds.
    pub(super) fn until(&self, now: Moment, scopes: impl IntoIterator<Item = Scope>) -> Option<Moment> {
        let known = scopes.into_iter().filter_map(|scope| self.get(&scope));
        known.filter(|&until| now < until).max()
    }

    /// The networks of the lengths that are known in which `ip` lies.
    pub(super) fn around(&self, ip: IpAddr) -> impl Iterator<Item = Scope> {
        let lengths = self.lengths.keys().filter(move |(v6, _)| *v6 == ip.is_ipv6());
        lengths.filter_map(move |&(_, length)| IpNet::new(ip, length).ok().map(Scope::of_network))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn its_lengths_are_those_of_the_networks_in_it() {
        let (mut list, mut rng) = (List::default(), Rng::new(7));
        for step in 0..4_000 {
            let ip = IpAddr::from((rng.below(300) as u32).to_be_bytes());
            let network = IpNet::new(ip, 24 + rng.below(9) as u8).expect("a length of IPv4");
            let scope = Scope::of_network(network.trunc());
            // It grows, and goes back to nothing.
            match rng.below(10) < if step < 2_000 { 7 } else { 1 } {
                true => _ = list.insert(scope, Moment::FAR),
                false => _ = list.remove(&scope),
            }
            let mut lengths = BTreeMap::new();
            for length in list.iter().filter_map(|(scope, _)| scope.length()) {
                *lengths.entry(length).or_default() += 1;
            }
            assert_eq!(list.lengths, lengths);
        }
    }
}
