//! The attempts of one dial: a race to connect, whose winner shakes hands.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::blame::{Asker, blame};
use super::dialling::{self, DialJob};
use super::host::Host;
use super::jobs::Job;
use super::race::{Loser, News, Race};
use super::validator::Judge;
use crate::clock::Moment;
use crate::dial::plan::{Plan, Step, Terms};
use crate::dial::{Attempt, Baton, Dialled, attempt_time};
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::machine::Cause;
use crate::source::SourceError;

/// A timer that fires later than this tells of this machine, not of the peer.
pub(super) const LATE: Duration = Duration::from_millis(100);

impl DialJob {
    /// Tries the addresses of its order as `plan` says. Answers where that succeeded; none if it did not.
    ///
    /// Cancel safe: the permits that it takes are written down in the job.
    pub(super) async fn race(&mut self, plan: Plan, deadline: Moment) -> Option<(IpAddr, Dialled)> {
        let inner = Arc::clone(&self.inner);
        let (target, progress) = (self.target.clone(), Arc::clone(&self.progress));
        let Some(identity) = self.identity.clone() else {
            debug_assert!(false, "{:?} is for nobody", self.order);
            return None;
        };
        let (clock, config, baton) = (inner.clock(), inner.config(), Baton::default());
        let origin = self.origin;
        let barred = |end| {
            let barred = inner.with_host(origin, |host, now| {
                let until = host.machine.bars_behind(now, end)?;
                Some(host.blocked(now, until))
            });
            barred.flatten()
        };
        let judge = Judge {
            validator: inner.validator.as_deref(),
            clock,
        };
        let mut race = Race::new(&*inner.dialler, judge, &baton, plan);
        loop {
            let now = clock.now();
            if let Some(losers) = race.decide(config.race_delay) {
                self.give_up(&losers);
                continue;
            }
            let until = match race.plan.step(now) {
                // What has come since is tried before what may come is waited for: who told of it may have done so while an attempt ended.
                Step::Over
                    if !planted("what_came_before_the_end_stays_out")
                        && self.take_in_news(&mut race.plan) =>
                {
                    continue;
                }
                Step::Over if self.asks_again(&race.plan, now) || self.more_may_come(&race.plan, now) => {
                    Some(deadline)
                }
                Step::Over => return None,
                Step::Wait(until) => until,
                Step::Start(ip) if self.reserve(ip) => {
                    let time = attempt_time(deadline.since(now), race.plan.share(), config.attempt_timeout);
                    race.start(now, |number| Attempt {
                        target: &target,
                        ip,
                        identity: &identity,
                        config: &config,
                        deadline: now + time,
                        progress: &progress,
                        turn: baton.turn(number),
                        barred: &barred,
                    });
                    continue;
                }
                Step::Start(_) => continue,
            };
            let (place, result) = match race.news(clock, until, &progress.news).await {
                News::Due => continue,
                News::Addresses => {
                    _ = self.take_in_news(&mut race.plan);
                    continue;
                }
                News::Ended(place, result) => (place, *result),
            };
            match result {
                Ok(dialled) => {
                    let (winner, losers) = race.end(place, config.race_delay);
                    self.give_up(&losers);
                    return Some((winner, dialled));
                }
                Err(error) => {
                    let now = clock.now();
                    let (ip, deadline) = race.fail(now, place);
                    let late = error.is_timeout() && now.since(deadline) > LATE;
                    let ends_the_dial = is_the_end(&error);
                    self.lost(ip, error, late);
                    if ends_the_dial {
                        return None;
                    }
                }
            }
        }
    }

    /// In which order to try the addresses of the order, the one that it holds a permit of first.
    pub(super) fn plan(&self, deadline: Moment) -> Option<Plan> {
        let candidates = &self.order.candidates;
        let lead = self.holds.first().or(candidates.first()).copied()?;
        let others = candidates.iter().copied().filter(|&ip| ip != lead);
        let mut others: Vec<_> = others.map(|ip| (ip, false)).collect();
        if !others.is_empty() {
            let desk = self.inner.desk.lock();
            let now = self.inner.now_coarse();
            for (ip, held) in &mut others {
                *held = desk.penalties.blocked(now, *ip).is_some();
            }
            drop(desk);
            self.inner.with_host(self.origin, |host, now| {
                let penalties = host.machine.penalties();
                for (ip, held) in &mut others {
                    *held |= penalties.blocked(now, *ip).is_some();
                }
            });
        }
        let config = self.inner.config();
        let terms = Terms {
            attempts: config.dial_attempts,
            delay: config.race_delay,
            deadline,
        };
        Some(Plan::new(lead, &others, terms))
    }

    /// Whether it has its name asked for again: once, before it gives up, if it began in another network and nobody has asked in this one.
    fn asks_again(&mut self, plan: &Plan, now: Moment) -> bool {
        let may = self.is_elsewhere() && !self.order.probe && plan.takes_more(now);
        if !may
            || std::mem::replace(&mut self.asked_again, true)
            || planted("dials_of_another_network_ask_nobody")
        {
            return false;
        }
        let dial = self.order.dial;
        let asks = self.inner.with_host(self.origin, |host, now| {
            let due = host.machine.is_open(dial) && now >= host.machine.fresh_until();
            due && !std::mem::replace(&mut host.resolving, true)
        });
        let asks = asks == Some(true);
        if asks {
            dialling::resolve(&self.inner, self.origin);
        }
        asks
    }

    /// Whether an address may yet come that it would try: its name is still being asked for.
    fn more_may_come(&self, plan: &Plan, now: Moment) -> bool {
        let dial = self.order.dial;
        let asked = |host: &mut Host| host.resolving && host.machine.is_open(dial);
        plan.takes_more(now)
            && !self.order.probe
            && !planted("known_addresses_are_all_there_is")
            && self
                .inner
                .with_host(self.origin, |host, _| asked(host))
                .unwrap_or(false)
    }

    /// Its host may have heard more of its name's answer. Answers whether there is anything new in it.
    fn take_in_news(&mut self, plan: &mut Plan) -> bool {
        if self.order.probe || planted("late_families_stay_out") {
            return false;
        }
        let (dial, known) = (self.order.dial, &self.order.candidates);
        let new = self
            .inner
            .with_host(self.origin, |host, now| host.machine.joining(now, dial, known));
        let mut new = new.unwrap_or_default();
        if new.is_empty() {
            return false;
        }
        let now = self.inner.now_coarse();
        let desk = self.inner.desk.lock();
        new.retain(|&ip| desk.penalties.blocked(now, ip).is_none());
        drop(desk);
        plan.join(new.iter().copied());
        let any = !new.is_empty();
        self.order.candidates.extend(new);
        any
    }

    /// Takes the permit of `ip`, unless this dial holds it already. False if the address is full, or the owner bars it.
    fn reserve(&mut self, ip: IpAddr) -> bool {
        // It may have been blocked since the dial was ordered.
        let barred = self.inner.with_host(self.origin, |host, now| {
            host.machine.bars(now, ip).map(|until| host.blocked(now, until))
        });
        if let Some(error) = barred.flatten().filter(|_| !planted("late_blocks_are_dialled")) {
            self.error = Some(error.with_ip(ip));
            // The dial may have come with a permit of it, and may end at another address.
            if self.holds.contains(&ip) && !planted("a_barred_address_keeps_its_permit") {
                self.release(ip, None);
                self.inner.pump(); // somebody may wait for it
            }
            return false;
        }
        let room = self.holds.contains(&ip)
            || self.inner.desk.lock().ledger.attempt(ip)
            || planted("full_addresses_are_dialled");
        if room && !self.holds.contains(&ip) {
            self.holds.push(ip);
        }
        self.show();
        room
    }

    /// Shows the host where it dials now.
    fn show(&self) {
        self.inner.with_host(self.origin, |host, _| {
            if let Some(dial) = host.dials.get_mut(&self.order.dial) {
                dial.at.clone_from(&self.holds);
            }
        });
    }

    /// Attempts that lost the race, and are closed: their addresses are free for others.
    fn give_up(&mut self, losers: &[Loser]) {
        if losers.is_empty() {
            return;
        }
        for &(ip, _) in losers {
            self.release(ip, None);
        }
        self.inner.with_host(self.origin, |host, now| {
            for &(ip, _) in losers.iter().filter(|(_, ahead)| *ahead) {
                host.machine.outrun(now, ip);
            }
        });
        self.show();
        self.inner.pump(); // somebody may wait for the permits
    }

    /// Gives the permit of `ip` back, with what is to be held against the address. Answers until when that blocks it.
    fn release(&mut self, ip: IpAddr, cause: Option<Cause>) -> Option<Moment> {
        let held = self.holds.iter().position(|&held| held == ip);
        let now = self.inner.now_coarse();
        let mut desk = self.inner.desk.lock();
        if let Some(place) = held {
            self.holds.swap_remove(place);
            if !planted("lost_attempt_keeps_its_permit") {
                desk.ledger.attempt_over(ip);
            }
        }
        match cause {
            Some(cause @ Cause::Status) if planted("a_status_blocks_every_site") => {
                desk.penalties.strike(now, ip, cause)
            }
            Some(cause @ Cause::Tcp) if !self.is_elsewhere() => desk.penalties.strike(now, ip, cause),
            _ => None,
        }
    }

    /// Whether it began in another network than the machine has now: what becomes of it says nothing of an address here. To be asked under the lock of
    /// whatever is to hold it: a new network that comes later forgives what it finds there.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.inner.network() != self.network && !planted("failures_are_taken_along")
    }

    /// An attempt failed. `late`: this machine was too busy to tell whether the address was.
    fn lost(&mut self, ip: IpAddr, error: Error, late: bool) {
        tracing::debug!(target: "hotpool", %error, "an attempt failed");
        let late = late && !planted("late_timers_blame_the_peer");
        let identity = self.identity.as_deref();
        let asker = identity.map(Asker::from).unwrap_or_default();
        let cause = match late {
            true => Cause::Local,
            false => blame(&error, asker).cause(),
        };
        let hearer = identity.map(|its| its.hearer());
        let until = self.release(ip, Some(cause));
        // So long a validator was told to stay away.
        let least = error.retry_after().unwrap_or_default();
        let held = self.inner.with_host(self.origin, |host, now| {
            host.counters.count_failure(error.phase());
            // At once, not when the dial fails: it may yet win at another address, and the next one must not begin here.
            match until {
                // What said itself that we are blocked did not fail.
                _ if self.is_elsewhere() && cause != Cause::Status => return None,
                Some(until) => host.shun(now, ip, until, hearer?),
                None => return Some(host.penalise(now, ip, (cause, least), hearer?)?.since(now)),
            }
            Some(until?.since(now))
        });
        self.inner.tell_of_failure(self.target.as_str(), &error);
        let held = held.flatten();
        if held.is_some_and(|held| held >= self.inner.config().blacklist_interval) {
            self.inner.call(Job::Blacklist); // it is tried when its time has come
        }
        self.error = match held {
            Some(held) if error.phase() == Phase::Validate => Some(error.with_retry_after(held)),
            _ => Some(error),
        };
        self.show();
        self.inner.pump(); // somebody may wait for the permit of this address
    }
}

/// Whether no other address is to be tried: the source that was required cannot be bound, or the login was refused.
fn is_the_end(error: &Error) -> bool {
    if error.kind() == ErrorKind::ProxyLogin {
        return true;
    }
    let unbound = error.cause_as().is_some_and(SourceError::is_unbound);
    unbound && !planted("dials_go_on_without_their_source")
}
