//! Opening connections before anybody asks for them.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::dialling::not_spawned;
use super::host::{Answer, Host, Watcher};
use super::inner::Inner;
use super::order::Order;
use crate::clock::{Moment, before};
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::machine::{DialId, Want};
use crate::target::Target;

/// How long warming rests when this machine has run out of descriptors or ports; twice as long each time in a row, up to the longest.
const REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How many connections to have ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warm {
    /// This many in all, spread over the target's addresses; all at one, if the call says which.
    Count(usize),
    /// This many on each of the target's addresses, or on the one that the call says.
    EveryIp(usize),
}

/// What came of warming a target.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WarmReport {
    /// Connections that were opened while it waited, by its own dials and by those that were under way for somebody else.
    pub opened: usize,
    /// The errors of the dials that failed, and of those that were [blocked](crate::ErrorKind::Blocked) before they had ended: what they brought is closed.
    pub errors: Vec<Error>,
    /// Connections that are live now, by address.
    pub ips: Vec<(IpAddr, usize)>,
}

impl Inner {
    /// Opens connections until there are as many as asked for, or the caps are reached.
    pub(super) async fn warm(
        self: &Arc<Self>,
        target: &Target<'_>,
        order: Order,
        warm: Warm,
    ) -> Result<WarmReport, Error> {
        let deadline = self.clock().now() + order.timeout.unwrap_or(self.config().acquire_timeout);
        let origin = self.origin(target)?;
        // One at a time for each host: the next finds what the one before has opened.
        let turn = self.with_host(origin, |host, _| Arc::clone(&host.warming));
        let turn = turn
            .filter(|_| !planted("warmers_take_no_turns"))
            .unwrap_or_default();
        let Some(_turn) = before(self.clock(), deadline, pin!(turn.lock())).await else {
            return Err(Error::new(ErrorKind::Timeout, Phase::Acquire).with_target(target));
        };
        self.rt
            .check(None)
            .map_err(|problem| not_spawned(problem).with_target(target))?;
        let claim = order.claim(&self.identities);
        let mut report = WarmReport::default();
        let mut rest = REST;
        loop {
            if order.pin.is_none() {
                self.find_once(target, deadline).await?;
            }
            let origin = self.origin(target)?;
            let ordered = self.with_host(origin, |host, now| {
                // Forgotten between two locks, with all that it knew, and made anew.
                let anew =
                    host.machine.fresh_until() == Moment::ZERO && host.machine.addresses().next().is_none();
                if order.pin.is_none() && anew {
                    return Ok(None);
                }
                let want = claim.want(claim.identity(&self.identities));
                let shut = host
                    .machine
                    .barred(now, &want)
                    .or(host.machine.unwelcome(now, &want));
                if let Some(until) = shut {
                    return Err(host.blocked(now, until));
                }
                host.home = self.rt.here();
                if claim.is_own() {
                    host.asked_as_own = Some(now);
                }
                Ok(Some(order_dials(host, now, want, warm)))
            });
            let opened = report.opened;
            let ordered = match ordered.transpose()?.flatten() {
                None if !planted("a_host_that_is_forgotten_is_warm") => continue,
                ordered => ordered.unwrap_or_default(),
            };
            self.hear(ordered, (target, deadline), &mut report).await;
            // Out of descriptors or ports, whoever asks for a connection needs what there is: warming waits until there is more.
            let short = |error: &Error| error.kind() == ErrorKind::LocalResource;
            if !report.errors.iter().any(short) || planted("warming_gives_up_in_a_shortage") {
                break;
            }
            if report.opened > opened {
                rest = REST;
            }
            let until = self.clock().now() + rest;
            if until >= deadline {
                break;
            }
            self.clock().sleep_until(until).await;
            report.errors.retain(|error| !short(error));
            rest = LONGEST_REST.min(rest * 2);
        }
        self.with_target(target, |host, _| {
            host.machine
                .each_ip(|ip, counts| report.ips.push((ip, counts.connections as usize)));
        });
        Ok(report)
    }
}

impl Inner {
    /// Sees to it that the addresses of a target are known. Those that are past their time serve where there are no others.
    async fn find_once(self: &Arc<Self>, target: &Target<'_>, deadline: Moment) -> Result<(), Error> {
        let origin = self.origin(target)?;
        let known = self.with_host(origin, |host, now| {
            let known = host.machine.addresses().next().is_some();
            (
                known,
                known && (now < host.machine.fresh_until() || planted("warming_goes_by_old_names")),
            )
        });
        let (known, fresh) = known.unwrap_or_default();
        if fresh {
            return Ok(());
        }
        let network = self.network();
        let answer = match self.find(target, deadline, &mut |_| {}).await {
            Err(_) if known => return Ok(()),
            answer => answer?,
        };
        // The host may have been forgotten meanwhile, or the pool closed.
        let origin = self.origin(target)?;
        self.with_host(origin, |host, now| {
            host.learn(now, &self.found_in(network, now, answer));
        });
        Ok(())
    }

    /// How these dials end.
    async fn hear(
        &self,
        dials: Vec<oneshot::Receiver<Answer>>,
        (target, deadline): (&Target<'_>, Moment),
        report: &mut WarmReport,
    ) {
        let error = |kind| Error::new(kind, Phase::Acquire).with_target(target);
        for dial in dials {
            match before(self.clock(), deadline, dial).await {
                Some(Ok(Ok(()))) => report.opened += 1,
                Some(Ok(Err(error))) => report.errors.push(error),
                Some(Err(_)) if self.is_closed() => report.errors.push(error(ErrorKind::Closed)),
                // Given up unbegun: the limits that are in force now leave no room for it.
                Some(Err(_)) => {}
                None => report.errors.push(error(ErrorKind::Timeout)),
            }
        }
    }
}

/// Orders the dials that are missing. One that is under way already, for whomever, is not missing: it is waited for like the others, unless
/// somebody who warms waits for it. Each answers on a channel of its own.
fn order_dials(host: &mut Host, now: Moment, want: Want, warm: Warm) -> Vec<oneshot::Receiver<Answer>> {
    let most = host.machine.limits().max_per_host as usize;
    let pin = match planted("warming_dials_one_address") {
        true => host.machine.addresses().next(),
        false => want.pin.filter(|_| !planted("warming_forgets_its_address")),
    };
    let (count, places): (_, Vec<Option<IpAddr>>) = match (warm, pin) {
        (Warm::Count(count), pin) => (count, vec![pin]),
        (Warm::EveryIp(count), Some(pin)) => (count, vec![Some(pin)]),
        (Warm::EveryIp(count), None) => (count, host.machine.addresses().map(Some).collect()),
    };
    let mut listeners = Vec::new();
    for place in places {
        let short = count.min(most).saturating_sub(there(host, &want, place));
        let going_on: Vec<DialId> = under_way(host, &want, place).into_iter().take(short).collect();
        let pin = place.or(want.pin);
        let missing = (going_on.len()..short).map_while(|_| host.machine.warm(now, Want { pin, ..want }));
        let ordered: Vec<DialId> = missing.collect();
        for dial in going_on.into_iter().chain(ordered) {
            if host.watchers.get(&dial).is_none_or(Watcher::has_gone) {
                listeners.push(host.watch(dial, Want { pin, ..want }));
            }
        }
    }
    listeners
}

/// How many connections there are that will do, at that address, if one is said.
fn there(host: &Host, want: &Want, place: Option<IpAddr>) -> usize {
    let serves = host
        .machine
        .connections()
        .filter(|conn| conn.identity == want.identity && conn.retired.is_none());
    serves.filter(|conn| place.is_none_or(|ip| ip == conn.ip)).count()
}

/// Dials under way that will bring such a connection.
fn under_way(host: &Host, want: &Want, place: Option<IpAddr>) -> Vec<DialId> {
    let counts = |dial: &DialId| match host.watchers.contains_key(dial) {
        true => !planted("warmers_take_over_nothing"),
        false => !planted("dials_of_others_are_not_counted"),
    };
    host.machine
        .dials(want.identity)
        .filter(|(_, first)| place.is_none_or(|ip| ip == *first))
        .map(|(dial, _)| dial)
        .filter(counts)
        .collect()
}
