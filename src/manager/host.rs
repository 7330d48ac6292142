//! One origin as the manager holds it, and the shards that hold the origins.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::stats::Counters;
use crate::clock::Moment;
use crate::conn::{ConnInfo, Wire};
use crate::dial::{self, Interned, Progress};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::machine::{Action, ConnId, DialId, DialOrder, Lease, Machine, OriginId, Refusal, Ticket};
use crate::rt::Home;
use crate::target::Target;

/// The bounds on how long an answer of DNS is believed, whatever it says.
const SHORTEST_TTL: Duration = Duration::from_secs(5);
const LONGEST_TTL: Duration = Duration::from_secs(1800);

/// Who waits hears that the ticket was granted, or why not.
pub(super) type Answer = Result<(), Error>;

/// One origin: its rules, its live connections, and those who wait.
pub(super) struct Host {
    pub(super) id: OriginId,
    pub(super) target: Target<'static>,
    pub(super) machine: Machine,
    pub(super) counters: Counters,
    /// By [`ConnId::slot`].
    live: Vec<Option<Live>>,
    /// By [`Ticket::slot`].
    waiting: Vec<Option<oneshot::Sender<Answer>>>,
    pub(super) dials: HashMap<DialId, Dial>,
    /// Who wants to know how a dial ended, beside those in line.
    pub(super) watchers: HashMap<DialId, oneshot::Sender<Answer>>,
    /// When its addresses should be asked for again.
    pub(super) fresh_until: Moment,
    /// The error of the last resolution, if that failed.
    pub(super) unresolved: Option<Error>,
    pub(super) resolving: bool,
    pub(super) last_asked: Moment,
    /// The runtime of whoever asked last: its dials run there.
    pub(super) home: Option<Home>,
    /// For when the wheel holds this host: an entry that comes out before is stale.
    pub(super) armed: Moment,
}

/// A live connection. Its stream is out while it is leased, if it is HTTP/1.1.
pub(super) struct Live {
    pub(super) info: Arc<ConnInfo>,
    pub(super) wire: Option<Wire>,
    /// Handles that are out, if it is HTTP/2.
    pub(super) lent: u32,
    /// Asks the driver to end soon, if it is HTTP/2.
    pub(super) leave: CancellationToken,
    /// Ends the driver at once, if it is HTTP/2.
    pub(super) cut: CancellationToken,
    /// Held while it lives: whoever asks for the same again has to find it.
    pub(super) _identity: Option<Arc<Interned>>,
}

/// A dial that has been ordered.
pub(super) struct Dial {
    pub(super) progress: Arc<Progress>,
    /// The error it failed with, for those whom it was to serve.
    pub(super) error: Option<Error>,
    /// For whom. Some from the moment it was ordered, under the same lock.
    pub(super) identity: Option<Arc<Interned>>,
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
            home: None,
            armed: Moment::FAR,
        }
    }

    /// Puts a connection where its id points. Before the machine's actions are drained: a grant may be among them.
    pub(super) fn settle_in(&mut self, conn: ConnId, live: Live) {
        *slot(&mut self.live, conn.slot()) = Some(live);
    }

    /// What a leaseholder gets of a connection: the stream itself, or a handle of its own.
    pub(super) fn lend(&mut self, lease: Lease) -> Option<(Wire, Arc<ConnInfo>)> {
        let live = self.live.get_mut(lease.conn.slot())?.as_mut()?;
        let wire = match &live.wire {
            Some(Wire::H2(handle)) => {
                live.lent += 1;
                Some(Wire::H2(handle.clone()))
            }
            _ => live.wire.take(),
        }?;
        Some((wire, Arc::clone(&live.info)))
    }

    /// Takes a leased stream back to its place. Answers it, if that place is gone.
    pub(super) fn take_back(&mut self, conn: ConnId, wire: Wire) -> Option<Wire> {
        let home = match self.machine.is_live(conn) {
            true => self.live.get_mut(conn.slot()).and_then(Option::as_mut),
            false => None,
        };
        match (home, wire) {
            (Some(live), Wire::H1(h1)) => {
                live.wire = Some(Wire::H1(h1));
                None
            }
            (Some(live), wire) => {
                live.lent -= 1;
                Some(wire)
            }
            (None, wire) => Some(wire),
        }
    }

    /// Why an HTTP/2 connection takes no new streams, if it takes none.
    pub(super) fn last_word(&mut self, conn: ConnId) -> Option<CloseReason> {
        if !self.machine.is_live(conn) {
            return None;
        }
        let live = self.live.get_mut(conn.slot())?.as_mut()?;
        live.wire.as_mut()?.look().err()
    }

    /// Takes in the addresses that a resolution found, and for how long they hold.
    pub(super) fn learn(&mut self, now: Moment, answer: &dial::Answer) {
        self.fresh_until = now + answer.ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
        self.unresolved = None;
        self.machine.resolved(now, &answer.addresses);
    }

    /// Someone stands in line: remember whom to tell.
    pub(super) fn stand(&mut self, ticket: Ticket) -> oneshot::Receiver<Answer> {
        let (teller, listener) = oneshot::channel();
        *slot(&mut self.waiting, ticket.slot()) = Some(teller);
        listener
    }

    /// Everything that the machine wants done.
    pub(super) fn drain(&mut self, now: Moment) -> Todo {
        let mut todo = Todo::default();
        while let Some(action) = self.machine.poll_action() {
            self.sort(now, action, &mut todo);
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
                if let Some(live) = self.live.get_mut(conn.slot()).and_then(Option::take) {
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
    pub(super) fn watch(&mut self, dial: DialId) -> oneshot::Receiver<Answer> {
        let (teller, listener) = oneshot::channel();
        self.watchers.insert(dial, teller);
        listener
    }

    fn tell(&mut self, ticket: Ticket, answer: Answer, todo: &mut Todo) {
        if let Some(teller) = self.waiting.get_mut(ticket.slot()).and_then(Option::take) {
            todo.told.push((teller, answer));
        }
    }

    fn explain(&self, now: Moment, refusal: Refusal) -> Error {
        let known = match refusal {
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
            let _ = watcher.send(Err(self.blocked(now, until))); // who watched may have gone
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

/// Some of a pool's hosts.
#[derive(Default)]
pub(super) struct Shard {
    /// Looked up by a borrowed target: a map's keys may be seen with any shorter lifetime.
    names: HashMap<Target<'static>, OriginId>,
    hosts: HashMap<OriginId, Host>,
    /// What hosts that were forgotten had counted.
    pub(super) forgotten: Counters,
}

impl Shard {
    pub(super) fn id(&self, target: &Target<'_>) -> Option<OriginId> {
        let names: &HashMap<Target<'_>, OriginId> = &self.names;
        names.get(target).copied()
    }

    pub(super) fn by_id(&mut self, id: OriginId) -> Option<&mut Host> {
        self.hosts.get_mut(&id)
    }

    pub(super) fn insert(&mut self, host: Host) {
        self.names.insert(host.target.clone(), host.id);
        self.hosts.insert(host.id, host);
    }

    /// Forgets a host that has nothing alive; its counts are kept.
    pub(super) fn forget(&mut self, id: OriginId) {
        if let Some(host) = self.hosts.remove(&id) {
            self.names.remove(&host.target);
            self.forgotten.add(&host.counters);
        }
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    pub(super) fn ids(&self) -> Vec<OriginId> {
        self.hosts.keys().copied().collect()
    }

    pub(super) fn hosts_mut(&mut self) -> impl Iterator<Item = &mut Host> {
        self.hosts.values_mut()
    }
}
