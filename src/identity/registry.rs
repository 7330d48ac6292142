//! Identities and their numbers.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::{Brought, Hearer, Identity, IdentityId, Own, Require};
use crate::dialer::DialedBy;
use crate::fault::planted;
use crate::sync::Mutex;

/// Below this many, those that are not in use any more are not looked for.
const FEW: usize = 64;

/// An identity and its number, in use for as long as a connection, a dial, a waiter, a call or remembered TLS sessions hold it.
#[derive(Debug)]
pub(crate) struct Interned<T> {
    pub(crate) id: IdentityId,
    pub(crate) identity: Identity<T>,
    /// Whether it goes out as the pool itself does: with the pool's own TLS setup, from its sources, with its login, by its dialer.
    pub(crate) own: bool,
    pub(crate) detour: Detour,
}

/// Whether what an identity meets concerns those who go as the pool does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Detour {
    /// It does: it has the pool's dialer, or none as the pool has none.
    Never,
    /// The pool goes by its TCP, and this by a dialer: it does where the dialer has that TCP connect to the address.
    UnlessByTcp,
    /// The pool goes by a dialer, and this by another or by none.
    Always,
}

impl Detour {
    fn of(own: Option<&DialedBy>, pool: Option<&DialedBy>) -> Self {
        match (own, pool) {
            _ if own == pool => Detour::Never,
            (_, None) => Detour::UnlessByTcp,
            (None, Some(_)) if planted("who_goes_without_the_pool_s_dialer_speaks_for_it") => Detour::Never,
            (_, Some(_)) => Detour::Always,
        }
    }

    /// Whether it does not, of a stream that the pool's TCP made or did not.
    pub(crate) fn is(self, by_tcp: bool) -> bool {
        match self {
            _ if planted("a_detour_speaks_for_everybody") => false,
            Detour::Never => false,
            Detour::UnlessByTcp => !by_tcp,
            Detour::Always => true,
        }
    }
}

impl<T> Interned<T> {
    pub(crate) fn hearer(&self) -> Hearer {
        Hearer {
            identity: self.id,
            own: self.own,
        }
    }
}

/// The identities of one pool that are in use.
///
/// The pool's own three (its TLS setup, no partition, one for each [`Require`]) have numbers in a row, so that a call without
/// wishes of its own reads its identity from one atomic. Any other takes one short lock. The lock is a leaf: it may be taken under any
/// other, and none is taken under it.
///
/// Numbers that nobody holds are forgotten whenever twice as many are known as were in use the time before: so what is
/// remembered is bounded by what is in use.
pub(crate) struct Identities<T> {
    /// The number of the pool's own [`Require::Any`], which is the epoch, too: each epoch gives new ones.
    epoch: AtomicU64,
    shelf: Mutex<Shelf<T>>,
    hasher: RandomState,
}

struct Shelf<T> {
    next: u64,
    /// The pool's own setup.
    tls: T,
    /// What else the pool has of its own.
    rest: Own,
    /// The pool's own identities; they are held here until they are replaced.
    own: Vec<Arc<Interned<T>>>,
    by_id: HashMap<IdentityId, Weak<Interned<T>>>,
    by_hash: HashMap<u64, Vec<IdentityId>>,
    sweep_at: usize,
}

impl<T: Clone + Eq + Hash> Identities<T> {
    /// Those of a pool whose own TLS setup is `tls`, and that has `rest` of its own as well.
    pub(crate) fn new(tls: T, rest: Own) -> Self {
        let identities = Identities {
            epoch: AtomicU64::new(0),
            shelf: Mutex::new(Shelf {
                next: 0,
                tls: tls.clone(),
                rest,
                own: Vec::new(),
                by_id: HashMap::new(),
                by_hash: HashMap::new(),
                sweep_at: FEW,
            }),
            hasher: RandomState::new(),
        };
        identities.renew(tls);
        identities
    }

    /// The pool's own identity for `require`. To be read under the lock of the host that it is used with: see [`renew`](Self::renew).
    #[inline]
    pub(crate) fn own(&self, require: Require) -> IdentityId {
        IdentityId(self.epoch.load(Ordering::Acquire) + require as u64)
    }

    /// The identity with these parts; what is none is the pool's own.
    pub(crate) fn intern(&self, require: Require, brought: Brought<T>) -> Arc<Interned<T>> {
        let Brought {
            partition,
            tls,
            sources,
            login,
            dial,
        } = brought;
        // Dropped after the lock: what is compared may be let go by its last other holder meanwhile.
        let mut compared = Vec::new();
        let mut shelf = self.shelf.lock();
        let epoch = tls.is_none().then(|| self.epoch.load(Ordering::Acquire));
        let identity = Identity {
            require,
            partition,
            tls: tls.unwrap_or_else(|| shelf.tls.clone()),
            epoch,
            sources: sources.unwrap_or_else(|| shelf.rest.sources.clone()),
            login: login.unwrap_or_else(|| shelf.rest.login.clone()),
            dial: dial.unwrap_or_else(|| shelf.rest.dial.clone()),
        };
        let hash = self.hasher.hash_one(&identity);
        for id in shelf.by_hash.get(&hash).into_iter().flatten() {
            let Some(known) = shelf.find(*id) else { continue };
            if known.identity == identity {
                return known;
            }
            compared.push(known);
        }
        shelf.add(hash, identity)
    }

    /// The identity of a number that somebody holds.
    pub(crate) fn find(&self, id: IdentityId) -> Option<Arc<Interned<T>>> {
        self.shelf.lock().find(id)
    }

    /// Makes `tls` the pool's own setup from now on. Answers the identities in use that rest on the setups before.
    ///
    /// They are retired from now on. The caller keeps the answer until it has been at every host, under its lock: whoever read an old number
    /// under such a lock finds it held.
    pub(crate) fn renew(&self, tls: T) -> Vec<Arc<Interned<T>>> {
        let (replaced, mut alive);
        {
            let mut shelf = self.shelf.lock();
            alive = shelf.by_id.values().filter_map(Weak::upgrade).collect::<Vec<_>>();
            let epoch = shelf.next;
            let own = Require::ALL.map(|require| Identity {
                require,
                partition: None,
                tls: tls.clone(),
                epoch: Some(epoch),
                sources: shelf.rest.sources.clone(),
                login: shelf.rest.login.clone(),
                dial: shelf.rest.dial.clone(),
            });
            let own = own.map(|identity| shelf.add(self.hasher.hash_one(&identity), identity));
            replaced = (
                std::mem::replace(&mut shelf.own, own.into()),
                std::mem::replace(&mut shelf.tls, tls),
            );
            self.epoch.store(epoch, Ordering::Release);
        }
        drop(replaced); // outside the lock
        alive.retain(|interned| interned.identity.epoch.is_some());
        alive
    }

    /// Whether it rests on a setup of the pool's that has been replaced.
    pub(crate) fn is_retired(&self, interned: &Interned<T>) -> bool {
        let epoch = self.epoch.load(Ordering::Acquire);
        interned.identity.epoch.is_some_and(|its| its != epoch)
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.shelf.lock().by_id.len()
    }
}

impl<T> Shelf<T> {
    fn find(&self, id: IdentityId) -> Option<Arc<Interned<T>>> {
        self.by_id.get(&id)?.upgrade()
    }

    fn add(&mut self, hash: u64, identity: Identity<T>) -> Arc<Interned<T>> {
        if self.by_id.len() >= self.sweep_at {
            self.sweep();
        }
        let few = planted("numbers_come_again");
        let id = IdentityId(if few { self.next % 8 } else { self.next });
        self.next += 1;
        let Own { sources, login, dial } = &self.rest;
        let own = identity.epoch.is_some()
            && identity.sources == *sources
            && identity.login == *login
            && identity.dial == *dial;
        let detour = Detour::of(identity.dial.as_ref(), dial.as_ref());
        let interned = Arc::new(Interned {
            id,
            identity,
            own,
            detour,
        });
        self.by_id.insert(id, Arc::downgrade(&interned));
        self.by_hash.entry(hash).or_default().push(id);
        interned
    }

    /// Forgets the numbers that nobody holds.
    fn sweep(&mut self) {
        self.by_id.retain(|_, interned| interned.strong_count() > 0);
        self.by_hash.retain(|_, ids| {
            ids.retain(|id| self.by_id.contains_key(id));
            !ids.is_empty()
        });
        self.sweep_at = FEW.max(2 * self.by_id.len());
    }
}
