//! What a `get` asks for beside its target.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dial::{Identities, Interned, Tls};
use crate::identity::{Brought, IdentityId, Require};
use crate::machine::{Lease, Machine, Want};

/// One `get`, in the manager's words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) require: Require,
    pub(crate) pin: Option<IpAddr>,
    /// None: the pool's own.
    pub(crate) timeout: Option<Duration>,
    /// What most calls have nothing of, in a place of its own.
    pub(crate) brought: Option<Box<Brought<Tls>>>,
}

/// For whom a connection is wanted, and which will do.
pub(super) struct Claim<'a> {
    /// None for the pool's own identity, which may be another one a moment later.
    brought: Option<Arc<Interned>>,
    order: &'a Order,
}

impl Order {
    /// Taken apart without `..`: an option that is added does not compile until it is part of the identity or said not to be.
    #[inline]
    pub(super) fn claim(&self, identities: &Identities) -> Claim<'_> {
        let Order {
            require,
            pin: _,     // which connections of an identity will do: see `want`
            timeout: _, // how long to wait, not for what
            brought,
        } = self;
        let brought = brought
            .as_deref()
            .map(|brought| intern(identities, *require, brought));
        Claim { brought, order: self }
    }
}

/// Apart, so that whoever brings nothing of its own does not make room for it.
#[cold]
fn intern(identities: &Identities, require: Require, brought: &Brought<Tls>) -> Arc<Interned> {
    identities.intern(require, brought.clone())
}

impl Claim<'_> {
    /// Whose connections will do. To be asked under the lock of the host: a new epoch goes through the hosts to retire the old one, and must not
    /// be overtaken by an old number.
    #[inline]
    pub(super) fn identity(&self, identities: &Identities) -> IdentityId {
        match &self.brought {
            None => identities.own(self.order.require),
            Some(brought) => brought.id,
        }
    }

    /// Whether it goes out as the pool itself does.
    #[inline]
    pub(super) fn is_own(&self) -> bool {
        self.brought.as_ref().is_none_or(|brought| brought.own)
    }

    /// The same in the machine's words.
    pub(super) fn want(&self, identity: IdentityId) -> Want {
        Want {
            identity,
            require: self.order.require,
            pin: self.order.pin,
        }
    }

    /// A connection that is ready.
    #[inline]
    pub(super) fn hit(&self, machine: &mut Machine, now: Moment, identity: IdentityId) -> Option<Lease> {
        if self.order.pin.is_some() {
            return self.hit_pinned(machine, now, identity);
        }
        // Spelt out, so that it is never copied: read back right after it was written in pieces it would cost as much as a lock.
        let any = Want {
            identity,
            require: self.order.require,
            pin: None,
        };
        machine.hit(now, &any)
    }

    #[cold]
    fn hit_pinned(&self, machine: &mut Machine, now: Moment, identity: IdentityId) -> Option<Lease> {
        machine.hit(now, &self.want(identity))
    }
}
