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
use crate::machine::{Cause, Penalties, Want};

/// Of each address.
#[derive(Default)]
pub(super) struct Heard(HashMap<IpAddr, Hearers>);

/// Who heard what makes the block of an address as long as it is.
#[derive(Clone, Copy, Default)]
struct Hearers {
    /// That we are to stay away.
    told: Option<Hearer>,
    /// A failure, or a wish to be left alone.
    failed: Option<Hearer>,
}

impl Heard {
    /// Something is held against `ip` until a later time than before, or for a weightier reason, because of what this one heard there.
    pub(super) fn note(&mut self, ip: IpAddr, hearer: Hearer, cause: Cause, penalties: &Penalties) {
        let hearers = self.0.entry(ip).or_default();
        match cause == Cause::Status || planted("the_last_to_hear_is_asked") {
            true => hearers.told = Some(hearer),
            false => hearers.failed = Some(hearer),
        }
        // As many as there are penalties, and no more than twice that.
        if self.0.len() > 2 * penalties.len() {
            self.0.retain(|&ip, _| penalties.remembers(ip));
        }
    }
}

impl Inner {
    /// For whom a blocked address is to be tried: whoever was told to stay away, or else heard that it fails, if that one is still about; else the pool
    /// itself, if it goes out no otherwise, or if it is not this host that heard it. None if nobody is left who might ask. The identity is to be `held` until
    /// its dial is ordered, and whatever comes of that let go of under no lock: it may be the last of it, with what its owner gave.
    pub(super) fn trial(&self, host: &Host, ip: IpAddr, held: &mut Option<Arc<Interned>>) -> Option<Want> {
        let want = |identity, require| Want {
            identity,
            require,
            pin: Some(ip),
        };
        let own = want(self.identities.own(Require::Any), Require::Any);
        let told = host.machine.penalties().told(host.machine.latest(), ip);
        let heard = host.heard.0.get(&ip).and_then(|heard| match told {
            Some(_) => heard.told,
            None => heard.failed,
        });
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
