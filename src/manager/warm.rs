//! Opening connections before anybody asks for them.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::dialling::not_spawned;
use super::host::{Answer, Host};
use super::inner::Inner;
use super::order::Order;
use crate::clock::{Moment, before};
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::machine::Want;
use crate::target::Target;

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
    /// Connections that were opened.
    pub opened: usize,
    /// The errors of the dials that failed.
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
        let Some(_turn) = before(self.clock(), deadline, turn.lock()).await else {
            return Err(Error::new(ErrorKind::Timeout, Phase::Acquire).with_target(target));
        };
        self.rt
            .check(None)
            .map_err(|problem| not_spawned(problem).with_target(target))?;
        let known = self
            .with_host(origin, |host, _| host.machine.addresses().next().is_some())
            .unwrap_or(false);
        if !known && order.pin.is_none() {
            let answer = self.find(target, deadline, &mut |_| {}).await?;
            // The host may have been forgotten meanwhile, or the pool closed.
            let origin = self.origin(target)?;
            self.with_host(origin, |host, now| host.learn(now, &answer));
        }
        let origin = self.origin(target)?;
        let claim = order.claim(&self.identities);
        let ordered = self.with_host(origin, |host, now| {
            host.home = self.rt.here();
            order_dials(host, now, claim.want(&self.identities), warm)
        });
        let mut report = WarmReport::default();
        for dial in ordered.unwrap_or_default() {
            match before(self.clock(), deadline, dial).await {
                Some(Ok(Ok(()))) => report.opened += 1,
                Some(Ok(Err(error))) => report.errors.push(error),
                Some(Err(_)) => report
                    .errors
                    .push(Error::new(ErrorKind::Closed, Phase::Acquire).with_target(target)),
                None => report
                    .errors
                    .push(Error::new(ErrorKind::Timeout, Phase::Acquire).with_target(target)),
            }
        }
        self.with_target(target, |host, _| {
            host.machine
                .each_ip(|ip, counts| report.ips.push((ip, counts.connections as usize)));
        });
        Ok(report)
    }
}

/// Orders the dials that are missing, but for those under way that nobody listens to any more; each answers on a channel of its own.
fn order_dials(host: &mut Host, now: Moment, want: Want, warm: Warm) -> Vec<oneshot::Receiver<Answer>> {
    let there = |host: &Host, ip: Option<IpAddr>| {
        let serves = host
            .machine
            .connections()
            .filter(|conn| conn.identity == want.identity && conn.retired.is_none());
        serves.filter(|conn| ip.is_none_or(|ip| ip == conn.ip)).count()
    };
    let most = host.machine.limits().max_per_host as usize;
    let pin = want.pin.filter(|_| !planted("warming_forgets_its_address"));
    let mut missing: Vec<Option<IpAddr>> = Vec::new();
    match warm {
        Warm::Count(count) => missing.resize(count.min(most).saturating_sub(there(host, pin)), None),
        Warm::EveryIp(count) => {
            let addresses = match pin {
                Some(pin) => vec![pin],
                None => host.machine.addresses().collect(),
            };
            for ip in addresses {
                let short = count.min(most).saturating_sub(there(host, Some(ip)));
                missing.extend(std::iter::repeat_n(Some(ip), short));
            }
        }
    }
    let mut watched = Vec::new();
    for pin in missing {
        let want = Want {
            pin: pin.or(want.pin),
            ..want
        };
        let going_on = host
            .take_over(want)
            .filter(|_| !planted("warmers_take_over_nothing"));
        watched.extend(going_on.or_else(|| {
            let dial = host.machine.warm(now, want)?;
            Some(host.watch(dial, want))
        }));
    }
    watched
}
