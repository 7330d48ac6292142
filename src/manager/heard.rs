//! Who heard what is held against an address. Another one, who comes from elsewhere or has another login, may be told otherwise: whether it still
//! holds is asked as the same, or not at all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::host::Host;
use super::inner::Inner;
use crate::dial::Interned;
use crate::fault::planted;
use crate::identity::{Hearer, Require};
use crate::machine::{Penalties, Want};

/// Who heard it last, of each address.
#[derive(Default)]
pub(super) struct Heard(HashMap<IpAddr, Hearer>);

impl Heard {
    /// Something is held against `ip` because of what this one heard there.
    pub(super) fn note(&mut self, ip: IpAddr, hearer: Hearer, penalties: &Penalties) {
        self.0.insert(ip, hearer);
        // As many as there are penalties, and no more than twice that.
        if self.0.len() > 2 * penalties.len() {
            self.0.retain(|known, _| penalties.known().any(|ip| ip == *known));
        }
    }
}

impl Inner {
    /// For whom a blocked address is to be tried: whoever heard that it is, if that one is still about; else the pool itself, if it goes out no
    /// otherwise, or if it is not this host that heard it. None if nobody is left who might ask. The identity is to be `held` until its dial is ordered,
    /// and whatever comes of that let go of under no lock: it may be the last of it, with what its owner gave.
    pub(super) fn trial(&self, host: &Host, ip: IpAddr, held: &mut Option<Arc<Interned>>) -> Option<Want> {
        let want = |identity, require| Want {
            identity,
            require,
            pin: Some(ip),
        };
        let own = want(self.identities.own(Require::Any), Require::Any);
        let heard = host.heard.0.get(&ip);
        let Some(hearer) = heard.filter(|_| !planted("the_blocked_are_asked_by_somebody_else")) else {
            return Some(own);
        };
        *held = self.identities.find(hearer.identity);
        match held.as_ref().filter(|known| !self.identities.is_retired(known)) {
            Some(known) => Some(want(known.id, known.identity.require)),
            None => hearer.own.then_some(own),
        }
    }
}
