//! Leases that never come home: each is reported once, with the place where it was asked for.
//!
//! A lease writes down its time and its place; nothing else happens on the way out or home. A host that has connections is looked at
//! every `leak_timeout` at least, and then again at the very moment at which the oldest lease it has out would be overdue.
//!
//! | what is out | where it is written down |
//! |---|---|
//! | a lease of a live connection | there |
//! | a lease whose connection is over | with the *orphans* of its host |
//! | a place in line that was granted and that nobody looks at | with the *granted* of its host, by ticket |

use std::time::Duration;

use super::host::Host;
use super::lent::Site;
use super::live::{Live, Out};
use crate::clock::Moment;
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{ConnId, Ticket};

/// A lease that is overdue.
pub(super) struct Leak {
    host: Box<str>,
    age: Duration,
    site: Site,
}

impl Leak {
    pub(super) fn report(&self) {
        let Leak { host, age, site } = self;
        tracing::warn!(target: "hotpool", host = &**host, ?age, %site, "a leased connection did not come home");
    }
}

/// What is out of a host and stands with no live connection of it.
#[derive(Default)]
pub(super) struct Adrift {
    /// Leases whose connections are over.
    orphans: Vec<(ConnId, usize, Out)>,
    /// Leases that a place in line was granted, and that were not taken yet. By [`Ticket::slot`].
    granted: Vec<Option<Out>>,
}

impl Adrift {
    pub(super) fn outs(&mut self) -> impl Iterator<Item = &mut Out> {
        let orphans = self.orphans.iter_mut().map(|(_, _, out)| out);
        orphans.chain(self.granted.iter_mut().flatten())
    }

    /// A connection is over, for this reason, with these leases out.
    pub(super) fn orphan(&mut self, conn: ConnId, live: &mut Live, reason: CloseReason) {
        let ended_here = matches!(reason, CloseReason::Aborted | CloseReason::PoolClosed);
        let ended_here = ended_here && !planted("what_is_cut_here_blames_its_peer");
        if !planted("the_leases_of_the_dead_are_forgotten") {
            let outs = live.outs().map(|(slot, out)| {
                let void = out.void || ended_here;
                (conn, slot, Out { void, ..*out })
            });
            self.orphans.extend(outs);
        }
    }

    /// The record of a lease whose connection is over.
    pub(super) fn orphan_mut(&mut self, conn: ConnId, slot: usize) -> Option<&mut Out> {
        let mut orphans = self.orphans.iter_mut();
        orphans
            .find(|orphan| (orphan.0, orphan.1) == (conn, slot))
            .map(|(_, _, out)| out)
    }

    /// Such a lease has come home. Answers whether it had been reported.
    pub(super) fn orphan_home(&mut self, conn: ConnId, slot: usize) -> bool {
        let place = self
            .orphans
            .iter()
            .position(|orphan| (orphan.0, orphan.1) == (conn, slot));
        place.is_some_and(|place| self.orphans.swap_remove(place).2.reported)
    }

    pub(super) fn grant(&mut self, ticket: Ticket, out: Out) {
        let slot = super::host::slot(&mut self.granted, ticket.slot());
        *slot = Some(out).filter(|_| !planted("granted_places_are_not_leases"));
    }

    /// What was granted is taken, or given up. Answers whether it had been reported.
    pub(super) fn taken(&mut self, ticket: Ticket) -> bool {
        let granted = self.granted.get_mut(ticket.slot()).and_then(Option::take);
        granted.is_some_and(|out| out.reported)
    }
}

impl Host {
    /// Leases that became overdue, and when to look again, if there is anything to look at.
    pub(super) fn leaks(&mut self, now: Moment, limit: Duration) -> (Vec<Leak>, Option<Moment>) {
        let mut leaks = Vec::new();
        let mut next = self.lives_mut().next().map(|_| now + limit);
        let host = self.target.as_str();
        let live = self.live.iter_mut().flatten().flat_map(Live::outs);
        for out in live.map(|(_, out)| out).chain(self.adrift.outs()) {
            let again = next.get_or_insert(now + limit);
            if out.is_leaked(now, limit) {
                let age = now.since(out.since);
                let (host, site) = (host.into(), out.site);
                leaks.push(Leak { host, age, site });
            } else if out.is_watched() && !planted("leaks_are_looked_for_in_rounds") {
                *again = (*again).min(out.since + limit);
            }
        }
        self.counters.leaked += leaks.len() as u64;
        (leaks, next)
    }
}
