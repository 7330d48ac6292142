//! What a host's machine wants done, for when its lock is released.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Answer, Dial, Host, Waiter, Watcher};
use crate::clock::Moment;
use crate::dial::Progress;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{AT_ONCE, Action, DialId, DialOrder, Refusal, Ticket};
use crate::manager::lent::Site;
use crate::manager::live::{Live, Out};

/// What is left to do once the lock is released, by whoever held it.
#[derive(Default)]
pub(in crate::manager) struct Todo {
    pub(in crate::manager) told: Vec<(Waiter, Answer)>,
    pub(in crate::manager) victims: Vec<(Live, CloseReason)>,
    /// Dials that were given up, and who watched them, only to be dropped: that may run code of others.
    pub(in crate::manager) shed: Vec<(Option<Dial>, Option<Watcher>)>,
}

/// What is left to do in the order in which it was found, by whoever does the pool's work.
#[derive(Default)]
pub(in crate::manager) struct Errand {
    pub(in crate::manager) closed: Vec<IpAddr>,
    pub(in crate::manager) dials: Vec<DialOrder>,
    pub(in crate::manager) abandoned: Vec<DialId>,
    pub(in crate::manager) resolve: bool,
    pub(in crate::manager) arm: Option<Moment>,
    /// Addresses with an idle connection, if one has just gone idle and the desk wants to hear of it.
    pub(in crate::manager) parked: Vec<IpAddr>,
}

/// What there is to do, as it is written down. Made ahead of the lock where much is to be expected: an allocator may take its time.
#[derive(Default)]
pub(in crate::manager) struct Slip {
    pub(in crate::manager) todo: Box<Todo>,
    pub(in crate::manager) errand: Errand,
}

impl Slip {
    /// With room for as many closes as a clean-up has at once.
    pub(in crate::manager) fn for_closes() -> Self {
        let mut slip = Slip::default();
        slip.todo.victims.reserve(AT_ONCE as usize);
        slip.errand.closed.reserve(AT_ONCE as usize);
        slip
    }
}

impl Host {
    /// Everything that the machine wants done. `parked`: the desk wants to hear which addresses have an idle connection.
    #[cold]
    pub(in crate::manager) fn todo(&mut self, now: Moment, parked: bool, slip: &mut Slip) {
        while let Some(action) = self.machine.poll_action() {
            self.sort(now, action, &mut slip.todo, &mut slip.errand);
        }
        slip.errand.arm = self.arm(now);
        if parked {
            slip.errand.parked = self.idle_addresses();
        }
    }

    fn sort(&mut self, now: Moment, action: Action, todo: &mut Todo, errand: &mut Errand) {
        match action {
            Action::Resolve => errand.resolve |= !std::mem::replace(&mut self.resolving, true),
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
                errand.dials.push(order);
            }
            Action::Abandon(dial) => {
                let (mut given_up, mut watcher) = (self.dials.remove(&dial), self.watchers.remove(&dial));
                if self.machine.is_paused() && !planted("a_pause_ends_what_warms") {
                    self.overtaken.extend(watcher.take());
                }
                if planted("watchers_are_dropped_under_the_lock") {
                    watcher = None;
                }
                if planted("dials_are_dropped_under_the_lock") {
                    given_up = None;
                }
                todo.shed.push((given_up, watcher)); // the listener hears that nobody is left to tell
                errand.abandoned.push(dial);
            }
            Action::Grant(ticket, _) => {
                if let Some(site) = self.tell(ticket, Ok(()), todo) {
                    self.adrift.grant(ticket, Out::new(now, site));
                }
            }
            Action::Refuse(ticket, refusal) => {
                let error = self.explain(now, refusal);
                _ = self.tell(ticket, Err(error), todo);
            }
            Action::Close { conn, ip, reason } => {
                self.counters.count_close(reason);
                errand.closed.push(ip);
                let place = self.live.get_mut(conn.slot());
                let place = place.filter(|_| !planted("closed_stays_in_its_place"));
                if let Some(mut live) = place.and_then(Option::take) {
                    if self.machine.is_out(conn) {
                        self.adrift.orphan(conn, &mut live, reason);
                    }
                    todo.victims.push((live, reason));
                }
            }
        }
    }

    /// Has somebody in line told. Answers where it asked.
    fn tell(&mut self, ticket: Ticket, answer: Answer, todo: &mut Todo) -> Option<Site> {
        let (waiter, site) = self.waiting.get_mut(ticket.slot())?.take()?;
        todo.told.push((waiter, answer));
        Some(site)
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
}
