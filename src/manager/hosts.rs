//! Hosts come and go: as many at once as the pool may know.

use std::sync::Arc;

use super::directory::Hash;
use super::ears::Ear;
use super::host::{Host, Slip};
use super::inner::Inner;
use super::roll::{KeptPlace, Roll};
use crate::access::Way;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{Machine, OriginId};
use crate::sync::{Ordering, yield_now};
use crate::target::Target;

impl Inner {
    /// The id of `target`'s host, which is made if it is new.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`]; [`ErrorKind::TooManyHosts`].
    pub(super) fn origin(self: &Arc<Self>, target: &Target<'_>) -> Result<OriginId, Error> {
        let key = self.directory.key(target.as_str());
        let (mut place, mut refused) = (None, None);
        loop {
            let early = planted("closed_is_read_before_the_lock").then(|| self.is_closed());
            let mut shard = self.directory.shard(key.hash).lock();
            // Read under the lock that `close` takes for each shard after it has set the flag: none is missed.
            let closed = early.unwrap_or_else(|| self.is_closed());
            if closed && !planted("closed_pools_take_new_hosts") {
                return Err(Error::new(ErrorKind::Closed, Phase::Acquire).with_target(target));
            }
            if let Some(host) = shard.named(&key) {
                return Ok(host.id);
            }
            if let Some(place) = place.take() {
                let (host, look) = self.new_host(shard.next_id(), key.hash, target);
                let (id, used) = (host.id, host.last_asked);
                shard.insert(host);
                drop(shard);
                KeptPlace::enter(place, used, id);
                self.rearm(id, look);
                super::jobs::start(self);
                return Ok(id);
            }
            drop(shard);
            // Refused for good if no host came or went between the refusal and the look that did not find this one.
            if refused.is_some() && refused == self.roll.lock().changes() {
                return Err(Error::new(ErrorKind::TooManyHosts, Phase::Acquire).with_target(target));
            }
            match self.place_for_a_host() {
                Ok(kept) => place = Some(kept),
                Err(changes) => refused = Some(changes),
            }
        }
    }

    fn new_host(&self, id: OriginId, hash: Hash, target: &Target<'_>) -> (Box<Host>, Option<Moment>) {
        let (now, config) = (self.now_coarse(), self.config());
        let mut machine = Machine::new(self.limits(), self.directory.seed(id));
        machine.set_fresh_until(Moment::ZERO);
        let owned = target.clone().into_owned();
        let mut host = Box::new(Host::new((id, hash), owned, machine, now));
        if let Some(ip) = target.ip().filter(|_| self.dialler.way() == Way::Direct) {
            host.machine.resolved(now, &[ip]);
            host.machine.set_fresh_until(Moment::FAR);
        }
        // Whoever pauses or resumes sets the flag and then visits every shard.
        let paused = self.paused.load(Ordering::Acquire) && !planted("new_hosts_know_no_pause");
        host.machine.set_paused(now, paused);
        if !planted("new_hosts_know_no_block") {
            self.bar(&mut host, now);
        }
        let look = host.arm_at(now + config.idle_timeout);
        (host, look)
    }

    /// A place for one more host, within the limit. If as many are in use, how often hosts have come and gone until then.
    fn place_for_a_host(self: &Arc<Self>) -> Result<KeptPlace<'_>, u64> {
        loop {
            let most = self.config().max_hosts as usize;
            match self.make_room(|roll| roll.keep_place(most)) {
                Ok(()) => return Ok(KeptPlace(&self.roll)),
                Err(Some(changes)) => return Err(changes),
                // Who was faster may be about to enter the very host that this place would be for, or to give its place up.
                Err(None) => yield_now(),
            }
        }
    }

    /// Sees to it that no more than so many hosts are known, as far as those beyond are not in use.
    pub(super) fn limit_hosts(self: &Arc<Self>, most: usize) {
        let _ = self.make_room(|roll| roll.len() <= most); // those in use stay until a new host needs their place
    }

    /// Lets hosts go until the roll `fits`: those that were used longest ago, unless they are in use. If too many are, what
    /// [`Roll::changes`] said then.
    fn make_room(self: &Arc<Self>, mut fits: impl FnMut(&mut Roll) -> bool) -> Result<(), Option<u64>> {
        loop {
            let (used, origin) = {
                let mut roll = self.roll.lock();
                if fits(&mut roll) {
                    return Ok(());
                }
                match roll.take() {
                    Some(oldest) => oldest,
                    None => return Err(roll.changes()),
                }
            };
            self.dismiss(origin, used);
        }
    }

    /// Forgets a host that was taken from the roll, with its idle connections. One that was used after that moment goes back; one that is in use
    /// stays off the roll until it is not, so that nobody looks at it in vain again.
    fn dismiss(self: &Arc<Self>, origin: OriginId, used: Moment) {
        let now = self.now_coarse();
        let mut shard = self.directory.shard_of(origin).lock();
        let Some(host) = shard.by_id(origin) else {
            drop(shard);
            return self.roll.lock().gone();
        };
        if host.is_busy() && !planted("busy_hosts_are_forgotten") {
            host.enrolled = None;
            // Under the host's lock: the next one who leaves it finds the ear.
            let _shard = match planted("the_roll_listens_too_late") {
                true => {
                    drop(shard);
                    None
                }
                false => Some(shard),
            };
            let mut roll = self.roll.lock();
            roll.leave_off();
            return self.ears.set(Ear::Roll, true);
        }
        if host.last_asked > used && !planted("first_come_first_forgotten") {
            host.enrolled = Some(host.last_asked);
            return self.roll.lock().put_back(host.last_asked, origin);
        }
        host.machine.evict_all(now, CloseReason::Evicted);
        let todo = self.todo(host, now, false, Slip::default());
        shard.forget(origin);
        drop(shard);
        self.roll.lock().gone();
        self.disarm(origin);
        self.settle(*todo);
    }

    /// Forgets a host that has nothing alive and that nobody asked for lately.
    pub(super) fn forget(&self, origin: OriginId) {
        let mut shard = self.directory.shard_of(origin).lock();
        let used = shard
            .by_id(origin)
            .filter(|host| planted("forgets_without_another_look") || host.is_vacant())
            .map(|host| host.enrolled);
        let Some(used) = used else { return };
        shard.forget(origin);
        drop(shard);
        self.disarm(origin);
        let mut roll = self.roll.lock();
        roll.strike(used, origin);
        self.ears.set(Ear::Roll, roll.is_anybody_off());
    }

    /// The wheel need not look at a host any more: it is forgotten.
    fn disarm(&self, origin: OriginId) {
        if !planted("the_wheel_remembers_every_host") {
            self.wheel.lock().forget(origin);
        }
    }
}
