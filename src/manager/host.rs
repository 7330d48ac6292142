//! One origin as the manager holds it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::inner::Inner;
use super::lent::{Lent, Site};
use super::live::{Live, Rest, Single};
use super::stats::Counters;
use crate::clock::Moment;
use crate::conn::ConnInfo;
use crate::dial::{self, Found, Interned, Progress};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{Action, ConnId, DialId, DialOrder, Lease, Machine, OriginId, Refusal, Ticket, Want};
use crate::rt::Home;
use crate::target::Target;

/// Who waits hears that the ticket was granted, or why not.
pub(super) type Answer = Result<(), Error>;

/// One origin: its rules, its live connections, and those who wait.
pub(super) struct Host {
    pub(super) id: OriginId,
    pub(super) target: Target<'static>,
    pub(super) machine: Machine,
    pub(super) counters: Counters,
    /// By [`ConnId::slot`].
    pub(super) live: Vec<Option<Live>>,
    /// By [`Ticket::slot`].
    waiting: Vec<Option<oneshot::Sender<Answer>>>,
    pub(super) dials: HashMap<DialId, Dial>,
    /// Who wants to know how a dial ended, beside those in line.
    pub(super) watchers: HashMap<DialId, Watcher>,
    /// When its addresses should be asked for again.
    pub(super) fresh_until: Moment,
    /// The error of the last resolution, if that failed.
    pub(super) unresolved: Option<Error>,
    pub(super) resolving: bool,
    pub(super) last_asked: Moment,
    /// The use of it that the roll knows of.
    pub(super) enrolled: Moment,
    /// Whoever warms it holds this: one at a time, so that the next finds what the one before has opened.
    pub(super) warming: Arc<tokio::sync::Mutex<()>>,
    /// The runtime of whoever asked last: its dials run there.
    pub(super) home: Option<Home>,
    /// For when the wheel holds this host: an entry that comes out before is stale.
    pub(super) armed: Moment,
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

/// Who wants to know how a dial ended that was ordered for nobody in line.
pub(super) struct Watcher {
    want: Want,
    teller: oneshot::Sender<Answer>,
}

impl Watcher {
    pub(super) fn tell(self, answer: Answer) {
        let _ = self.teller.send(answer); // who watched may have gone
    }
}

/// Where a lease was taken back to.
pub(super) enum TakenBack {
    /// Its place; its alarm rang while it was out, or not. What is left of it is of no use.
    Home { rung: bool, spent: Option<Box<Lent>> },
    /// That place is gone.
    Stray(Box<Lent>),
}

/// What is left to do once the lock is released.
#[derive(Default)]
pub(super) struct Todo {
    pub(super) told: Vec<(oneshot::Sender<Answer>, Answer)>,
    pub(super) victims: Vec<(Live, CloseReason)>,
    pub(super) closed: Vec<IpAddr>,
    pub(super) dials: Vec<DialOrder>,
    pub(super) abandoned: Vec<DialId>,
    pub(super) resolve: bool,
    pub(super) arm: Option<Moment>,
    /// Addresses with an idle connection, if one has just gone idle and the desk wants to hear of it.
    pub(super) parked: Vec<IpAddr>,
}

impl Host {
    pub(super) fn new(id: OriginId, target: Target<'static>, machine: Machine, now: Moment) -> Self {
        Host {
            id,
            target,
            machine,
            counters: Counters::default(),
            live: Vec::new(),
            waiting: Vec::new(),
            dials: HashMap::new(),
            watchers: HashMap::new(),
            fresh_until: Moment::ZERO,
            unresolved: None,
            resolving: false,
            last_asked: now,
            enrolled: now,
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
            return TakenBack::Stray(lent);
        }
        match self.live.get_mut(lent.conn.slot()).and_then(Option::as_mut) {
            Some(live) => {
                let rung = lent.is_rung();
                let (leaked, spent) = live.take_back(lent);
                let recovered = leaked && !planted("recoveries_are_not_counted");
                self.counters.recovered += u64::from(recovered);
                TakenBack::Home { rung, spent }
            }
            None => TakenBack::Stray(lent),
        }
    }

    /// Whether anybody uses it or waits.
    pub(super) fn is_busy(&self) -> bool {
        let counts = self.machine.counts();
        counts.leases > 0 || counts.waiting > 0 || counts.dialling > 0 || counts.held > 0 || self.resolving
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

    /// Why an HTTP/2 connection takes no new streams, if it takes none.
    pub(super) fn last_word(&mut self, conn: ConnId) -> Option<CloseReason> {
        match &mut self.live_mut(conn)?.rest {
            Rest::Shared(shared) => shared.last_word(),
            Rest::Single(_) => None,
        }
    }

    /// Takes in the addresses that a resolution found, and for how long they hold.
    pub(super) fn learn(&mut self, now: Moment, found: &Found) {
        self.fresh_until = found.fresh_until;
        self.unresolved = None;
        self.machine.trust_addresses_until(found.usable_until);
        let mut addresses = dial::order(&found.addresses);
        if !found.whole {
            // What an answer in part leaves out is not missed.
            addresses.extend(
                self.machine
                    .addresses()
                    .filter(|ip| !found.addresses.contains(ip)),
            );
        }
        self.machine.resolved(now, &addresses);
        self.announce();
    }

    /// Takes in a part of the addresses that a resolution under way is finding.
    pub(super) fn learn_early(&mut self, now: Moment, found: &Found) {
        self.machine.trust_addresses_until(found.usable_until);
        self.machine.joined(now, &dial::order(&found.addresses));
        self.announce();
    }

    /// Tells the dials under way that there may be more addresses.
    fn announce(&self) {
        for dial in self.dials.values() {
            dial.progress.news.notify_one();
        }
    }

    /// Someone stands in line: remember whom to tell.
    pub(super) fn stand(&mut self, ticket: Ticket) -> oneshot::Receiver<Answer> {
        let (teller, listener) = oneshot::channel();
        *slot(&mut self.waiting, ticket.slot()) = Some(teller);
        listener
    }

    /// Everything that the machine wants done. `parked`: the desk wants to hear which addresses have an idle connection.
    #[cold]
    pub(super) fn todo(&mut self, now: Moment, parked: bool) -> Box<Todo> {
        let mut todo = Box::new(Todo::default());
        while let Some(action) = self.machine.poll_action() {
            self.sort(now, action, &mut todo);
        }
        todo.arm = self.arm(now);
        if parked {
            todo.parked = self.idle_addresses();
        }
        todo
    }

    fn sort(&mut self, now: Moment, action: Action, todo: &mut Todo) {
        match action {
            Action::Resolve => todo.resolve = !std::mem::replace(&mut self.resolving, true),
            Action::Dial(order) => {
                let progress = Arc::new(Progress::new());
                self.dials.insert(
                    order.dial,
                    Dial {
                        progress,
                        error: None,
                        identity: None,
                        at: Vec::new(),
                    },
                );
                todo.dials.push(order);
            }
            Action::Abandon(dial) => {
                self.dials.remove(&dial);
                self.watchers.remove(&dial); // the listener hears that nobody is left to tell
                todo.abandoned.push(dial);
            }
            Action::Grant(ticket, _) => self.tell(ticket, Ok(()), todo),
            Action::Refuse(ticket, refusal) => {
                let error = self.explain(now, refusal);
                self.tell(ticket, Err(error), todo);
            }
            Action::Close { conn, ip, reason } => {
                self.counters.count_close(reason);
                todo.closed.push(ip);
                let place = self.live.get_mut(conn.slot());
                let place = place.filter(|_| !planted("closed_stays_in_its_place"));
                if let Some(live) = place.and_then(Option::take) {
                    todo.victims.push((live, reason));
                }
            }
        }
    }

    /// Says for whom a dial is that was just ordered.
    pub(super) fn bind(&mut self, dial: DialId, identity: Option<Arc<Interned>>) {
        if let Some(dial) = self.dials.get_mut(&dial) {
            dial.identity = identity;
        }
    }

    /// Hears how a dial that was just ordered ends. It is drained later, and finds the listener here.
    pub(super) fn watch(&mut self, dial: DialId, want: Want) -> oneshot::Receiver<Answer> {
        let (teller, listener) = oneshot::channel();
        self.watchers.insert(dial, Watcher { want, teller });
        listener
    }

    /// Hears how a dial for exactly this ends that goes on though who watched it has gone.
    pub(super) fn take_over(&mut self, want: Want) -> Option<oneshot::Receiver<Answer>> {
        let mut watchers = self.watchers.values_mut();
        let watcher = watchers.find(|watcher| watcher.want == want && watcher.teller.is_closed())?;
        let (teller, listener) = oneshot::channel();
        watcher.teller = teller;
        Some(listener)
    }

    fn tell(&mut self, ticket: Ticket, answer: Answer, todo: &mut Todo) {
        if let Some(teller) = self.waiting.get_mut(ticket.slot()).and_then(Option::take) {
            todo.told.push((teller, answer));
        }
    }

    fn explain(&self, now: Moment, refusal: Refusal) -> Error {
        let known = match refusal {
            Refusal::DialFailed(_) if planted("refusals_lose_their_error") => None,
            Refusal::DialFailed(dial) => self.dials.get(&dial).and_then(|dial| dial.error.clone()),
            Refusal::ResolveFailed | Refusal::NoAddress => self.unresolved.clone(),
            Refusal::Blocked { until } => Some(self.blocked(now, until)),
            Refusal::Closed => Some(Error::new(ErrorKind::Closed, Phase::Acquire).with_target(&self.target)),
        };
        known.unwrap_or_else(|| Error::new(ErrorKind::NameNotFound, Phase::Resolve).with_target(&self.target))
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

    /// The addresses that have an idle connection.
    pub(super) fn idle_addresses(&self) -> Vec<IpAddr> {
        let mut idle = Vec::new();
        self.machine
            .each_ip(|ip, counts| idle.extend((counts.idle > 0).then_some(ip)));
        idle
    }

    /// The pool-wide table said no to a dial that was ordered.
    pub(super) fn dial_blocked(&mut self, now: Moment, dial: DialId, until: Moment) {
        self.machine.dial_blocked(now, dial, until);
        self.dials.remove(&dial);
        if let Some(watcher) = self.watchers.remove(&dial) {
            watcher.tell(Err(self.blocked(now, until)));
        }
    }

    /// The error for addresses that are all blocked, until then.
    pub(super) fn blocked(&self, now: Moment, until: Moment) -> Error {
        let error = Error::new(ErrorKind::Blocked, Phase::Acquire).with_target(&self.target);
        error.with_retry_after(until.since(now))
    }

    /// How far the most advanced dial has come: what a caller whose time is over was waiting for.
    pub(super) fn phase(&self) -> Phase {
        let dialling = self.dials.values().map(|dial| dial.progress.phase()).max();
        match self.resolving {
            true => dialling.max(Some(Phase::Resolve)).unwrap_or(Phase::Resolve),
            false => dialling.unwrap_or(Phase::Acquire),
        }
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
fn slot<T>(list: &mut Vec<Option<T>>, index: usize) -> &mut Option<T> {
    if list.len() <= index {
        list.resize_with(index + 1, || None);
    }
    &mut list[index]
}
