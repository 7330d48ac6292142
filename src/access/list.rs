//! What is said of scopes, and until when, as a value: a copy costs nothing, and a change beside a copy costs a path to it, not all that is said. So the gate
//! of each host keeps what was in force when it was made.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::rules::Scope;
use crate::clock::Moment;
use crate::fault::planted;

/// Entries of a branch before it parts, and into how many: one for each value of four bits of a hash.
const FEW: usize = 8;
const WAYS: usize = 16;
/// Branches one behind the other, for as many bits as a hash has.
const DEEPEST: u32 = 16;

/// Scopes, each with until when it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    root: Arc<Branch>,
    len: usize,
    /// How many networks there are of each length, IPv4 and IPv6 apart: an address is looked up once for each.
    lengths: BTreeMap<(bool, u8), usize>,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
enum Branch {
    Few(Vec<Entry>),
    Many([Arc<Branch>; WAYS]),
}

#[derive(Clone, Debug)]
struct Entry {
    hash: u64,
    scope: Scope,
    until: Moment,
}

impl Default for Branch {
    fn default() -> Self {
        Branch::Few(Vec::new())
    }
}

/// Which of the branches of that depth.
const fn way(hash: u64, depth: u32) -> usize {
    (hash >> (4 * depth)) as usize % WAYS
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, scope: &Scope) -> Option<Moment> {
        let hash = self.hasher.hash_one(scope);
        let (mut branch, mut depth) = (&self.root, 0);
        loop {
            match &**branch {
                Branch::Many(branches) => branch = &branches[way(hash, depth)],
                Branch::Few(entries) => {
                    let entry = entries.iter().find(|entry| entry.scope == *scope);
                    return entry.map(|entry| entry.until);
                }
            }
            depth += 1;
        }
    }

    /// Answers until when it held before.
    pub(super) fn insert(&mut self, scope: Scope, until: Moment) -> Option<Moment> {
        if planted("what_is_said_is_copied_whole") {
            let mut whole = List::default();
            self.entries().for_each(|entry| whole.add(entry.clone()));
            *self = List {
                hasher: self.hasher.clone(),
                ..whole
            };
        }
        let before = self.remove(&scope);
        let hash = self.hasher.hash_one(&scope);
        self.add(Entry { hash, scope, until });
        before
    }

    fn add(&mut self, entry: Entry) {
        self.len += 1;
        if let Some(length) = entry.scope.length() {
            *self.lengths.entry(length).or_default() += 1;
        }
        Branch::add(&mut self.root, 0, entry);
    }

    /// Answers until when it held.
    pub(super) fn remove(&mut self, scope: &Scope) -> Option<Moment> {
        let until = self.get(scope)?;
        self.len -= 1;
        match self.len {
            0 => self.root = Arc::default(),
            _ => Branch::remove(&mut self.root, self.hasher.hash_one(scope), scope),
        }
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

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let mut left = vec![&self.root];
        let few = move || loop {
            match &**left.pop()? {
                Branch::Few(entries) => return Some(entries),
                Branch::Many(branches) => left.extend(branches),
            }
        };
        std::iter::from_fn(few).flatten()
    }

    /// All of it, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Scope, Moment)> {
        self.entries().map(|entry| (&entry.scope, entry.until))
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

    /// Entries and branches of which `other` has not the very same: so many were copied, or made, to make the one from the other.
    #[cfg(any(test, feature = "__internals"))]
    pub(super) fn apart(&self, other: &List) -> usize {
        Branch::apart(&self.root, Some(&other.root))
    }
}

impl Branch {
    fn add(branch: &mut Arc<Branch>, depth: u32, entry: Entry) {
        let branch = Arc::make_mut(branch);
        match branch {
            Branch::Many(branches) => Branch::add(&mut branches[way(entry.hash, depth)], depth + 1, entry),
            Branch::Few(entries) if entries.len() < FEW || depth == DEEPEST => entries.push(entry),
            Branch::Few(entries) => {
                let entries = std::mem::take(entries);
                let mut branches: [Arc<Branch>; WAYS] = Default::default();
                for entry in entries.into_iter().chain([entry]) {
                    Branch::add(&mut branches[way(entry.hash, depth)], depth + 1, entry);
                }
                *branch = Branch::Many(branches);
            }
        }
    }

    /// Of what is there.
    fn remove(mut branch: &mut Arc<Branch>, hash: u64, scope: &Scope) {
        let mut depth = 0;
        loop {
            match Arc::make_mut(branch) {
                Branch::Few(entries) => return entries.retain(|entry| entry.scope != *scope),
                Branch::Many(branches) => branch = &mut branches[way(hash, depth)],
            }
            depth += 1;
        }
    }

    #[cfg(any(test, feature = "__internals"))]
    fn apart(branch: &Arc<Branch>, other: Option<&Arc<Branch>>) -> usize {
        if other.is_some_and(|other| Arc::ptr_eq(branch, other)) {
            return 0;
        }
        match &**branch {
            Branch::Few(entries) => entries.len(),
            Branch::Many(branches) => {
                let others = other.and_then(|other| match &**other {
                    Branch::Many(others) => Some(others),
                    Branch::Few(_) => None,
                });
                let below = branches.iter().enumerate();
                let below =
                    below.map(|(way, branch)| Branch::apart(branch, others.map(|others| &others[way])));
                WAYS + below.sum::<usize>()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::Rng;

    /// As a map of the standard library does, whatever comes and goes; and a copy stays what it was.
    #[test]
    fn it_holds_what_was_put_in_and_a_copy_what_was_in_it() {
        let (mut list, mut model, mut rng) = (List::default(), BTreeMap::new(), Rng::new(7));
        let mut copies = Vec::new();
        let same = |list: &List, model: &BTreeMap<Scope, Moment>| {
            let all: BTreeMap<_, _> = list.iter().map(|(scope, until)| (scope.clone(), until)).collect();
            assert_eq!((all.len(), &all), (list.len(), model));
            let length = |length: usize| Some(length).filter(|&length| length > 0);
            let counted = model.keys().filter_map(Scope::length).count();
            assert_eq!(list.lengths.values().copied().max(), length(counted));
        };
        for step in 0..20_000 {
            let scope = Scope::from(IpAddr::from((rng.below(2_000) as u32).to_be_bytes()));
            let until = Moment::from_nanos(rng.below(100));
            // It grows, and goes back to nothing.
            let (was, before) = match rng.below(10) < if step < 10_000 { 7 } else { 1 } {
                true => (
                    model.insert(scope.clone(), until),
                    list.insert(scope.clone(), until),
                ),
                false => (model.remove(&scope), list.remove(&scope)),
            };
            assert_eq!(was, before);
            assert_eq!(list.get(&scope), model.get(&scope).copied());
            if step % 1_000 == 0 {
                copies.push((list.clone(), model.clone()));
            }
        }
        for (list, model) in &copies {
            same(list, model);
        }
        for scope in std::mem::take(&mut model).into_keys() {
            assert!(list.remove(&scope).is_some());
        }
        same(&list, &model);
        assert!(matches!(&*list.root, Branch::Few(entries) if entries.is_empty()));
    }
}
