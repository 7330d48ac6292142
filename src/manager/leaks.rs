//! Leases that never come home: each is reported once, with the place where it was asked for.
//!
//! A lease writes down its time and its place; nothing else happens on the way out or home. A host that has connections is looked at
//! every `leak_timeout` at least, and then again at the very moment at which the oldest lease it has out would be overdue.

use std::time::Duration;

use super::host::Host;
use super::lent::Site;
use crate::clock::Moment;
use crate::fault::planted;

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

impl Host {
    /// Leases that became overdue, and when to look again, if there is anything to look at.
    pub(super) fn leaks(&mut self, now: Moment, limit: Duration) -> (Vec<Leak>, Option<Moment>) {
        let mut leaks = Vec::new();
        let mut next = None;
        let host = self.target.as_str();
        for live in self.live.iter_mut().flatten() {
            next = next.or(Some(now + limit));
            for out in live.outs() {
                if out.is_leaked(now, limit) {
                    let age = now.since(out.since);
                    let (host, site) = (host.into(), out.site);
                    leaks.push(Leak { host, age, site });
                } else if out.is_watched() && !planted("leaks_are_looked_for_in_rounds") {
                    next = next.min(Some(out.since + limit));
                }
            }
        }
        self.counters.leaked += leaks.len() as u64;
        (leaks, next)
    }
}
