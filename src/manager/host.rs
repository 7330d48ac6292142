//! One origin as the manager holds it.

mod todo;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub(super) use self::todo::{Errand, Slip, Todo};

use super::directory::Hash;
use super::heard::Heard;
use super::inner::Inner;
use super::leaks::Adrift;
use super::lent::{Lent, Site};
use super::live::{Live, Out, Rest, Shared, Single};
use super::stats::Counters;
use crate::clock::Moment;
use crate::conn::ConnInfo;
use crate::dial::{self, Found, Interned, Progress};
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::identity::Hearer;
use crate::machine::{Cause, ConnId, DialId, Lease, Machine, OriginId, Ticket, Want};
use crate::rt::Home;
use crate::target::Target;

/// Who waits hears that the ticket was granted, or why not.
pub(super) type Answer = Result<(), Error>;

/// One origin: its rules, its live connections, and those who wait.
pub(super) struct Host {
    pub(super) id: OriginId,
    /// Of its target's text.
    pub(super) hash: Hash,
    pub(super) target: Target<'static>,
    pub(super) machine: Machine,
    pub(super) counters: Counters,
    /// By [`ConnId::slot`].
    pub(super) live: Vec<Option<Live>>,
    /// By [`Ticket::slot`], each with the place where it was asked for.
    waiting: Vec<Option<(Waiter, Site)>>,
    /// Leases that stand with no live connection.
    pub(super) adrift: Adrift,
    pub(super) dials: HashMap<DialId, Dial>,
    /// Who wants to know how a dial ended, beside those in line.
    pub(super) watchers: HashMap<DialId, Watcher>,
    /// Those of them whose dials a pause has overtaken: they go on waiting.
    pub(super) overtaken: Vec<Watcher>,
    /// Who heard what is held against its addresses.
    pub(super) heard: Heard,
    /// The error of the last resolution, if that failed.
    pub(super) unresolved: Option<Error>,
    pub(super) resolving: bool,
    pub(super) last_asked: Moment,
    /// The same of those who go out as the pool itself does; none if nobody did.
    pub(super) asked_as_own: Option<Moment>,
    /// The use of it that the roll knows of; none while it is off the roll, because it was found in use.
    pub(super) enrolled: Option<Moment>,
    /// Whoever warms it holds this: one at a time, so that the next finds what the one before has opened.
    pub(super) warming: Arc<tokio::sync::Mutex<()>>,
    /// The runtime of whoever asked last: its dials run there.
    pub(super) home: Option<Home>,
    /// For when the wheel holds this host: an entry that comes out before is stale.
    pub(super) armed: Moment,
}

/// Somebody who is to be told how it went.
pub(super) struct Waiter {
    teller: oneshot::Sender<Answer>,
    /// The runtime where it waits, if it waits in one.
    home: Option<Home>,
}

impl Waiter {
    pub(super) fn tell(self, answer: Answer) {
        let _ = self.teller.send(answer); // whoever has gone gave its place up
    }

    pub(super) fn has_gone(&self) -> bool {
        self.teller.is_closed()
    }
}

/// Somebody who is to be told how a dial ended, whoever it is for.
pub(super) struct Watcher {
    waiter: Waiter,
    /// What it is to bring: where a pause overtakes the dial, another is made for it.
    want: Want,
}

impl Watcher {
    pub(super) fn tell(self, answer: Answer) {
        self.waiter.tell(answer);
    }

    pub(super) fn has_gone(&self) -> bool {
        self.waiter.has_gone()
    }
}

/// A dial that has been ordered.
pub(super) struct Dial {
    pub(super) progress: Arc<Progress>,
    /// The error it failed with, for those whom it was to serve.
    pub(super) error: Option<Error>,
    /// For whom. Some from the moment it was ordered, under the same lock.
    pub(super) identity: Option<Arc<Interned>>,
    /// Where it dials now.
    pub(super) at: Vec<IpAddr>,
}

/// Where a lease was taken back to.
pub(super) enum TakenBack {
    /// Its place; its alarm rang while it was out, or not.
    Home { rung: bool },
    /// That place is gone.
    Stray(Box<Lent>),
}

impl Host {
    pub(super) fn new(
        (id, hash): (OriginId, Hash),
        target: Target<'static>,
        machine: Machine,
        now: Moment,
    ) -> Self {
        Host {
            id,
            hash,
            target,
            machine,
            counters: Counters::default(),
            live: Vec::new(),
            waiting: Vec::new(),
            adrift: Adrift::default(),
            dials: HashMap::new(),
            watchers: HashMap::new(),
            overtaken: Vec::new(),
            heard: Heard::default(),
            unresolved: None,
            resolving: false,
            last_asked: now,
            asked_as_own: None,
            enrolled: Some(now),
            warming: Arc::default(),
            home: None,
            armed: Moment::FAR,
        }
    }

    /// Puts a connection where its id points. Before the machine's actions are drained: a grant may be among them.
    pub(super) fn settle_in(&mut self, conn: ConnId, live: Live) {
        *slot(&mut self.live, conn.slot()) = Some(live);
    }

    /// What a leaseholder gets of a connection.
    #[inline]
    pub(super) fn lend(
        &mut self,
        home: &Arc<Inner>,
        now: Moment,
        lease: Lease,
        site: Site,
    ) -> Option<Box<Lent>> {
        let live = self.live.get_mut(lease.conn.slot())?.as_mut()?;
        let mut lent = live.lend((home, self.id, lease.conn), now, site)?;
        lent.fresh = !lease.hit;
        self.counters.gets += 1;
        self.counters.hits += u64::from(lease.hit);
        Some(lent)
    }

    /// Takes a lease back to its place.
    #[inline]
    pub(super) fn take_back(&mut self, lent: Box<Lent>) -> TakenBack {
        if !self.machine.is_live(lent.conn) {
            self.orphan_home(&lent);
            return TakenBack::Stray(lent);
        }
        match self.live.get_mut(lent.conn.slot()).and_then(Option::as_mut) {
            Some(live) => {
                let rung = lent.is_rung();
                let conn = lent.conn;
                let (leaked, loose) = live.take_back(lent);
                if let Some(loose) = loose {
                    self.machine.streams_left(conn, loose);
                }
                let recovered = leaked && !planted("recoveries_are_not_counted");
                self.counters.recovered += u64::from(recovered);
                TakenBack::Home { rung }
            }
            None => TakenBack::Stray(lent),
        }
    }

    #[cold]
    fn orphan_home(&mut self, lent: &Lent) {
        let reported = self.adrift.orphan_home(lent.conn, lent.slot);
        self.counters.recovered += u64::from(reported);
    }

    /// The record of a lease that is out.
    pub(super) fn out_mut(&mut self, conn: ConnId, slot: usize) -> Option<&mut Out> {
        match self.machine.is_live(conn) {
            true => self.live.get_mut(conn.slot())?.as_mut()?.out_mut(slot),
            false => self.adrift.orphan_mut(conn, slot),
        }
    }

    /// Holds a failure against an address, on the word of whoever heard it.
    pub(super) fn penalise(
        &mut self,
        now: Moment,
        ip: IpAddr,
        (cause, alone): (Cause, Duration),
        hearer: Hearer,
    ) -> Option<Moment> {
        let before = self.machine.penalties().blocked(now, ip);
        let until = self.machine.penalise_for(now, ip, cause, alone)?;
        let longer = before.is_none_or(|before| before < until);
        if cause == Cause::Status || longer || planted("the_last_to_hear_is_asked") {
            self.heard.note(ip, hearer, cause, self.machine.penalties());
        }
        Some(until)
    }

    /// Holds against an address what the whole pool holds against it, on the word of whoever heard it here.
    pub(super) fn shun(&mut self, now: Moment, ip: IpAddr, until: Moment, hearer: Hearer) {
        self.machine.shun(now, ip, until);
        self.heard.note(ip, hearer, Cause::Tcp, self.machine.penalties());
    }

    /// Whether anybody uses it or waits.
    pub(super) fn is_busy(&self) -> bool {
        let counts = self.machine.counts();
        let used = counts.leases > 0 || counts.held > 0;
        let awaited = counts.waiting > 0 || counts.dialling > 0 || !self.overtaken.is_empty();
        used || awaited || self.resolving
    }

    /// Whether it has nothing that would be lost with it.
    pub(super) fn is_vacant(&self) -> bool {
        self.machine.is_vacant() && self.overtaken.is_empty()
    }

    /// A live connection.
    pub(super) fn live_mut(&mut self, conn: ConnId) -> Option<&mut Live> {
        if !self.machine.is_live(conn) {
            return None;
        }
        self.live.get_mut(conn.slot())?.as_mut()
    }

    /// A live HTTP/1.1 connection.
    pub(super) fn single_mut(&mut self, conn: ConnId) -> Option<&mut Single> {
        match &mut self.live_mut(conn)?.rest {
            Rest::Single(single) => Some(single),
            Rest::Shared(_) => None,
        }
    }

    /// All live connections, in no order.
    pub(super) fn lives_mut(&mut self) -> impl Iterator<Item = &mut Live> {
        self.live.iter_mut().flatten()
    }

    /// A live HTTP/2 connection.
    pub(super) fn shared_mut(&mut self, conn: ConnId) -> Option<&mut Shared> {
        match &mut self.live_mut(conn)?.rest {
            Rest::Single(_) => None,
            Rest::Shared(shared) => Some(shared),
        }
    }

    /// Takes in the addresses that a resolution found, and for how long they hold.
    pub(super) fn learn(&mut self, now: Moment, found: &Found) {
        self.machine.set_fresh_until(found.fresh_until);
        self.unresolved = None;
        self.machine.trust_addresses_until(now, found.usable_until);
        // IPv6 first (RFC 8305, section 4): where selection has no preference, this order stands.
        let addresses = dial::plan::interleaved(&found.addresses, true);
        // Of a family that no answer came for, and where none came at all, nothing is missed.
        self.machine
            .resolved_in_part(now, &addresses, |ip| found.concerns(ip));
    }

    /// Takes in a part of the addresses that a resolution under way is finding. Answers the dials under way, to be told once no lock is held.
    pub(super) fn learn_early(&mut self, now: Moment, found: &Found) -> Vec<Arc<Progress>> {
        self.machine.trust_addresses_until(now, found.usable_until);
        self.machine
            .joined(now, &dial::plan::interleaved(&found.addresses, true));
        if found.stale {
            self.machine.answer_is_late(now);
        }
        self.under_way()
    }

    /// How far each dial under way has come.
    pub(super) fn under_way(&self) -> Vec<Arc<Progress>> {
        let dials = self.dials.values();
        dials.map(|dial| Arc::clone(&dial.progress)).collect()
    }

    /// Someone stands in line: remember whom to tell, and where its dials are to run.
    pub(super) fn stand(
        &mut self,
        ticket: Ticket,
        home: Option<Home>,
        site: Site,
    ) -> oneshot::Receiver<Answer> {
        let (teller, listener) = oneshot::channel();
        self.home = home.clone();
        *slot(&mut self.waiting, ticket.slot()) = Some((Waiter { teller, home }, site));
        listener
    }

    /// Takes what a ticket was granted.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Lease> {
        self.counters.recovered += u64::from(self.adrift.taken(ticket));
        self.machine.take(ticket)
    }

    /// Somebody gives a place in line up, or what it was granted. Answers who was to be told, to be dropped once no lock is held.
    pub(super) fn leave(&mut self, now: Moment, ticket: Ticket) -> Option<Waiter> {
        // One that was refused is over, though nobody has heard it yet: another may stand in its place by now.
        let stands = self.machine.cancel(now, ticket) || planted("who_was_refused_leaves_for_another");
        if !stands {
            return None;
        }
        self.counters.recovered += u64::from(self.adrift.taken(ticket));
        let waiter = self.waiting.get_mut(ticket.slot()).and_then(Option::take);
        Some(waiter?.0)
    }

    /// The runtimes of those who wait for something, each once.
    pub(super) fn homes(&self) -> Vec<Home> {
        let mut homes: Vec<Home> = Vec::new();
        let in_line = self.waiting.iter().flatten().map(|(waiter, _)| waiter);
        let watchers = self.watchers.values().map(|watcher| &watcher.waiter);
        let waiters = in_line.chain(watchers);
        for home in waiters
            .filter(|waiter| !waiter.has_gone())
            .filter_map(|waiter| waiter.home.as_ref())
        {
            if !homes.iter().any(|known| known.is(home)) {
                homes.push(home.clone());
            }
        }
        homes
    }

    /// Says for whom a dial is that was just ordered, if it has not been given up at the same moment: then nobody is looked for, to be let go of under the lock.
    pub(super) fn bind(&mut self, dial: DialId, identity: impl FnOnce() -> Option<Arc<Interned>>) {
        if let Some(dial) = self.dials.get_mut(&dial) {
            dial.identity = identity();
        }
    }

    /// Hears how a dial ends, which goes on whoever leaves the line. One that was just ordered is drained later, and finds the listener here.
    pub(super) fn watch(&mut self, dial: DialId, want: Want) -> oneshot::Receiver<Answer> {
        let (teller, listener) = oneshot::channel();
        let home = self.home.clone();
        let waiter = Waiter { teller, home };
        self.watch_by(dial, Watcher { waiter, want });
        listener
    }

    fn watch_by(&mut self, dial: DialId, watcher: Watcher) {
        self.machine.keep(dial);
        self.watchers.insert(dial, watcher);
    }

    /// A pause is over: what it has overtaken is dialled now. Answers those for whom there is no place any more, to be dropped once no lock is held.
    pub(super) fn go_on(&mut self, now: Moment) -> Vec<Watcher> {
        if planted("the_overtaken_stay_where_they_are") {
            return Vec::new();
        }
        let mut left = Vec::new();
        for watcher in std::mem::take(&mut self.overtaken) {
            let dial = match watcher.has_gone() {
                true => None,
                false => self.machine.warm(now, watcher.want),
            };
            match dial {
                Some(dial) => self.watch_by(dial, watcher),
                None => left.push(watcher),
            }
        }
        left
    }

    /// A dial was lost with its runtime: it is ordered again for whoever still waits for it. Answers who watched it in vain: there is no place any
    /// more.
    pub(super) fn dial_lost(&mut self, now: Moment, dial: DialId) -> Option<Watcher> {
        self.dials.remove(&dial);
        let watcher = self.watchers.remove(&dial);
        let want = self.machine.dial_lost(now, dial);
        let (watcher, want) = (watcher?, want?);
        // One may have been ordered in its place for somebody in line.
        let mut others = self.machine.dials(want.identity).filter(|(dial, first)| {
            !self.watchers.contains_key(dial) && want.pin.is_none_or(|pin| pin == *first)
        });
        let other = others.next().map(|(dial, _)| dial);
        drop(others);
        match other.or_else(|| self.machine.warm(now, want)) {
            Some(again) => self.watch_by(again, watcher),
            None => return Some(watcher),
        }
        None
    }

    /// When the wheel has to look at it, if it does not before.
    pub(super) fn arm(&mut self, now: Moment) -> Option<Moment> {
        let at = self.machine.arm(now)?;
        self.arm_at(at)
    }

    /// Has the wheel look at it at that time; none if it does so before.
    pub(super) fn arm_at(&mut self, at: Moment) -> Option<Moment> {
        if at >= self.armed {
            return None;
        }
        self.armed = at;
        Some(at)
    }

    /// The addresses that have a connection which may be given up for another.
    pub(super) fn idle_addresses(&self) -> Vec<IpAddr> {
        let mut idle = Vec::new();
        self.machine
            .each_ip(|ip, counts| idle.extend((counts.idle + counts.aside > 0).then_some(ip)));
        idle
    }

    /// The pool-wide table said no to a dial that was ordered. Answers who is to be told so, with the dial, to be dropped once no lock is held.
    pub(super) fn dial_blocked(
        &mut self,
        now: Moment,
        dial: DialId,
        these: &[(IpAddr, Moment)],
    ) -> (Option<Dial>, Option<(Watcher, Error)>) {
        let until = self.machine.dial_blocked(now, dial, these);
        let until = until
            .or(these.iter().map(|&(_, until)| until).min())
            .unwrap_or(now);
        let watcher = self.watchers.remove(&dial);
        let told = watcher.map(|watcher| (watcher, self.blocked(now, until)));
        (self.dials.remove(&dial), told)
    }

    /// The error for addresses that are all blocked, until then.
    pub(super) fn blocked(&self, now: Moment, until: Moment) -> Error {
        let error = Error::new(ErrorKind::Blocked, Phase::Acquire).with_target(&self.target);
        match until {
            Moment::FAR => error,
            until => error.with_retry_after(until.since(now)),
        }
    }

    /// How far the most advanced of what may serve `want` has come: what a caller whose time is over was waiting for.
    pub(super) fn phase(&self, want: &Want) -> Phase {
        let near = |ip| want.pin.is_none_or(|pin| pin == ip) || planted("any_dial_tells_the_phase");
        let dials = self.machine.dials(want.identity).filter_map(|(dial, first)| {
            let dial = self.dials.get(&dial)?;
            let at = if dial.at.is_empty() {
                &[first]
            } else {
                &dial.at[..]
            };
            at.iter().any(|&ip| near(ip)).then(|| dial.progress.phase())
        });
        // Who named the address waits for no name.
        let resolving = self.resolving && want.pin.is_none();
        dials
            .chain(resolving.then_some(Phase::Resolve))
            .max()
            .unwrap_or(Phase::Acquire)
    }

    /// What is known of a live connection.
    pub(super) fn info(&self, conn: ConnId) -> Option<&Arc<ConnInfo>> {
        self.live
            .get(conn.slot())
            .and_then(Option::as_ref)
            .map(|live| &live.info)
    }

    /// The live connections, in no order.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Arc<ConnInfo>> {
        self.live.iter().flatten().map(|live| &live.info)
    }
}

/// The place `index` of a list that grows on demand.
pub(super) fn slot<T>(list: &mut Vec<Option<T>>, index: usize) -> &mut Option<T> {
    if list.len() <= index {
        list.resize_with(index + 1, || None);
    }
    &mut list[index]
}
