//! What a pool checks by itself: that what rests is alive, that as much rests as is to, that blocked addresses are still to be avoided, that
//! names still mean what they meant.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::dialling;
use super::host::Host;
use super::inner::{Desk, Inner};
use super::jobs::Job;
use crate::clock::Moment;
use crate::config::health_path;
use crate::event::Protocol;
use crate::fault::planted;
use crate::identity::Require;
use crate::machine::{ConnId, ConnInfo, DialId, OriginId, Want};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// HTTP/2 connections that are asked for a sign of life at once.
const AT_ONCE: usize = 10;
/// Between two lots of them.
const BETWEEN_LOTS: Duration = Duration::from_millis(50);
/// Blocked addresses that are tried at once, and how long the others wait at least.
const TRIALS: usize = 10;
const BETWEEN_TRIALS: Duration = Duration::from_secs(1);
/// How soon names are looked after again, however soon one of them is past its time.
const REST: Duration = Duration::from_secs(5);

/// A round of checks.
#[derive(Default)]
pub(super) struct Checks {
    /// When the next round is due.
    due: Moment,
    /// What this round has yet to look at.
    left: VecDeque<(OriginId, ConnId)>,
    /// Of the last lots, the ones that may not have answered yet.
    asked: Vec<(OriginId, ConnId)>,
}

/// Until when the jobs have no use for a birth: so that one costs nothing where they would find nothing new.
pub(super) struct Watch {
    /// Whether the checks sleep until something is born.
    asleep: AtomicBool,
    /// When names are next looked after, in nanoseconds.
    names: AtomicU64,
    /// Whether the clocks are compared now and then.
    pub(super) clocks: AtomicBool,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            asleep: AtomicBool::new(true),
            names: AtomicU64::new(u64::MAX),
            clocks: AtomicBool::new(false),
        }
    }
}

/// Blocked addresses that are tried now and then.
#[derive(Default)]
pub(super) struct Blocked {
    /// Each with when it is tried next.
    waits: HashMap<(OriginId, IpAddr), Trial>,
    /// What tries them now.
    dials: Vec<(OriginId, DialId)>,
}

/// How a blocked address is tried.
#[derive(Clone, Copy)]
struct Trial {
    /// When next.
    at: Moment,
    /// How often it was, in vain.
    tries: u32,
}

/// After how long an address is tried again that was tried so often: twice as long each time, up to sixteen times.
fn rest(every: Duration, tries: u32) -> Duration {
    match planted("the_blocked_are_tried_without_rest") {
        true => every,
        false => every.saturating_mul(1 << tries.min(4)),
    }
}

impl Inner {
    /// One turn of the checks. Answers when there is something to do again: never, as long as nothing is alive.
    pub(crate) fn check_health(self: &Arc<Self>) -> Option<Moment> {
        let (now, every) = (self.now_coarse(), self.config().health_interval);
        // Whatever is born during this turn calls for another.
        let slept = self.watch.asleep.swap(true, Ordering::AcqRel);
        let mut checks = std::mem::take(&mut *self.checks.lock());
        // What woke it has just been born; and the interval may have been shortened.
        checks.due = match slept {
            true => now + every,
            false => checks.due.min(now + every),
        };
        if now >= checks.due && checks.left.is_empty() {
            checks.due = now + every;
            checks.left = self.begin_round();
        }
        self.ask_a_lot(&mut checks);
        let (due, more) = (checks.due, !checks.left.is_empty());
        *self.checks.lock() = checks;
        let awake = self.size() > 0 || self.config().min_idle > 0 && !self.is_bare();
        self.watch.asleep.store(!awake, Ordering::Release);
        let next = if more { now + BETWEEN_LOTS } else { due };
        awake.then_some(next)
    }

    /// Looks at what needs no answer, and fills up what is missing. Answers what is to be asked.
    fn begin_round(self: &Arc<Self>) -> VecDeque<(OriginId, ConnId)> {
        self.look_at_all();
        self.refill();
        let http1_too = self.config().health_request.is_some();
        let idle = self.each_host(|host, _| {
            let asked = |conn: &ConnInfo| conn.protocol == Protocol::Http2 || http1_too;
            let resting = host.machine.connections().filter(asked);
            let resting = resting.filter(|conn| conn.idle_since.is_some() && conn.retired.is_none());
            resting.map(|conn| (host.id, conn.conn)).collect::<Vec<_>>()
        });
        idle.into_iter().flatten().collect()
    }

    /// Asks the next ones for a sign of life, as many as may be out at once: those of HTTP/1.1 by a request, if one is configured. The drivers of
    /// HTTP/2 do the rest: suspect until it comes, dead without.
    fn ask_a_lot(self: &Arc<Self>, checks: &mut Checks) {
        let path = self.config().health_request.as_deref().and_then(health_path);
        checks.asked.retain(|&(origin, conn)| {
            let held = self.with_host(origin, |host, _| host.machine.is_held(conn));
            held == Some(true)
        });
        while checks.asked.len() < AT_ONCE
            && let Some((origin, conn)) = checks.left.pop_front()
        {
            if let Some(path) = path.as_ref().filter(|_| !planted("health_request_is_not_made"))
                && self.ask_http1(origin, conn, path)
            {
                checks.asked.push((origin, conn));
                continue;
            }
            let asked = self.with_host(origin, |host, _| {
                let rests = host.machine.info(conn)?.idle_since.is_some();
                let shared = host
                    .shared_mut(conn)
                    .filter(|_| rests && !planted("health_asks_nobody"))?;
                Some(shared.handle.another())
            });
            // Not under the lock: it wakes the driver.
            if let Some(handle) = asked.flatten() {
                handle.doubt();
                checks.asked.push((origin, conn));
            }
        }
    }

    /// Dials for the idle connections that are missing, as far as permits are free: nobody else's connection makes room for one that nobody waits
    /// for.
    fn refill(self: &Arc<Self>) {
        let config = self.config();
        if config.min_idle == 0 || planted("nothing_is_refilled") {
            return;
        }
        let soon = self.now_coarse() + config.health_interval;
        let hosts = self.each_host(|host, _| host.id);
        for origin in hosts {
            let mut free = self.free_permits();
            self.with_host(origin, |host, now| {
                let want = Want {
                    identity: self.identities.own(Require::Any),
                    require: Require::Any,
                    pin: None,
                };
                // One that nobody wants any more is let go.
                let asked = match planted("refills_are_made_for_others") {
                    true => Some(host.last_asked),
                    false => host.asked_as_own,
                };
                let wanted = asked.is_some_and(|asked| now.since(asked) < config.max_lifetime);
                let missing = match wanted {
                    true => host.machine.shortfall(soon, config.rotation_share),
                    false => 0,
                };
                for _ in 0..missing {
                    let Some(left) = free.checked_sub(1) else { return };
                    free = left;
                    if host.machine.refill(now, want).is_none() {
                        return;
                    }
                }
            });
        }
    }

    fn free_permits(&self) -> u32 {
        let most = self.config().max_connections;
        let Desk { ledger, .. } = &*self.desk.lock();
        if planted("refills_make_room") {
            return u32::MAX;
        }
        let counts = ledger.counts();
        let waiting = u32::try_from(counts.waiting).unwrap_or(u32::MAX);
        most.saturating_sub(counts.total).saturating_sub(waiting)
    }

    /// Whether no host is known.
    fn is_bare(&self) -> bool {
        self.directory
            .shards()
            .all(|shard| shard.lock().hosts().next().is_none())
    }

    /// One turn of trying blocked addresses: one that has been blocked for `blacklist_interval` and still is, is dialled, and cleared by a
    /// connection that comes about, and passes its validation, which rests in the pool. It is dialled as whoever heard of the block. So many at once, each by one dial; one that was tried in vain
    /// waits twice as long for the next time. One that told us to stay away is not tried where nobody asks. Answers when the next one is due.
    pub(crate) fn try_blocked(self: &Arc<Self>) -> Option<Moment> {
        let every = self.config().blacklist_interval;
        let Blocked {
            waits: known,
            mut dials,
        } = std::mem::take(&mut *self.blocked.lock());
        dials.retain(|&(origin, dial)| {
            let going_on = self.with_host(origin, |host, _| host.dials.contains_key(&dial));
            going_on == Some(true)
        });
        let mut waits = HashMap::new();
        for (origin, now, blocked) in self.each_host(|host, now| (host.id, now, host.blocked_addresses(now)))
        {
            for (ip, when) in blocked {
                if now < when.start && planted("who_is_left_alone_is_forgotten") {
                    continue;
                }
                let new = Trial {
                    at: now + every,
                    tries: 0,
                };
                let mut trial = known.get(&(origin, ip)).copied().unwrap_or(new);
                trial.at = trial.at.min(now + rest(every, trial.tries)); // the interval may have been shortened
                trial.at = trial.at.max(when.start);
                let full = dials.len() >= TRIALS && !planted("all_the_blocked_are_tried_at_once");
                match (now < trial.at, full) {
                    // One that is over before its turn needs none.
                    (true, _) if trial.at >= when.end && trial.tries == 0 => continue,
                    (true, _) => {}
                    (false, true) => trial.at = now + BETWEEN_TRIALS,
                    (false, false) => {
                        if let Some(dial) = self.try_address(origin, ip) {
                            dials.push((origin, dial));
                            trial.tries += 1;
                        }
                        trial.at = now + rest(every, trial.tries);
                    }
                }
                waits.insert((origin, ip), trial);
            }
        }
        let next = waits.values().map(|trial| trial.at).min();
        *self.blocked.lock() = Blocked { waits, dials };
        next
    }

    /// Dials a blocked address, unless that is under way, or there is no room: another time.
    fn try_address(self: &Arc<Self>, origin: OriginId, ip: IpAddr) -> Option<DialId> {
        if planted("nobody_tries_the_blocked") {
            return None;
        }
        // The identity is read under the lock: a new epoch goes through the hosts to retire the old one, and must not be overtaken by it.
        let mut held = None; // until its dial is ordered
        self.with_host(origin, |host, now| {
            let want = self.trial(host, ip, &mut held)?;
            let dial = host.try_address(now, want);
            if planted("who_heard_is_let_go_of_under_the_lock") {
                held = None;
            }
            dial
        })?
    }

    /// One turn of looking after names: those of hosts with live connections are asked for again when their time is over. Answers when the next one
    /// is due.
    pub(crate) fn refresh_names(self: &Arc<Self>) -> Option<Moment> {
        let rest = self.now_coarse() + REST;
        // Whatever is born during this turn calls for another.
        self.watch.names.store(u64::MAX, Ordering::Release);
        let seen = self.each_host(|host, now| (host.id, host.refresh(now)));
        for &(origin, _) in seen.iter().filter(|(_, refresh)| *refresh == Refresh::Now) {
            dialling::resolve(self, origin);
        }
        let next = seen.into_iter().filter_map(|(_, refresh)| match refresh {
            Refresh::Never => None,
            Refresh::Now => Some(rest),
            Refresh::At(at) => Some(at.max(rest)),
        });
        let next = next.min();
        let nanos = next.map_or(u64::MAX, Moment::as_nanos);
        self.watch.names.store(nanos, Ordering::Release);
        next
    }

    /// A connection was born, to a host whose addresses are past their time then: there may be something new to look after.
    pub(super) fn call_for_a_birth(&self, fresh_until: Moment) {
        if self.watch.asleep.load(Ordering::Acquire) {
            self.call(Job::Health);
        }
        if !self.watch.clocks.load(Ordering::Acquire) {
            self.call(Job::Cleanup);
        }
        if fresh_until.as_nanos() < self.watch.names.load(Ordering::Acquire) {
            self.call(Job::Dns);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    Never,
    At(Moment),
    Now,
}

impl Host {
    /// When its name is to be asked for again; if that is now, it is being asked for.
    fn refresh(&mut self, now: Moment) -> Refresh {
        let live = self.machine.connections().next().is_some();
        let known = self.machine.addresses().next().is_some();
        let ever = live
            && known
            && self.machine.fresh_until() != Moment::FAR
            && !planted("names_are_never_refreshed");
        match (ever, now >= self.machine.fresh_until()) {
            (false, _) => Refresh::Never,
            (true, false) => Refresh::At(self.machine.fresh_until()),
            (true, true) if std::mem::replace(&mut self.resolving, true) => Refresh::At(now),
            (true, true) => Refresh::Now,
        }
    }

    /// The addresses of this origin that are blocked and might be cleared by a dial, with from when on and until when.
    fn blocked_addresses(&self, now: Moment) -> Vec<(IpAddr, Range<Moment>)> {
        self.machine.penalties().doubtful(now).collect()
    }

    fn try_address(&mut self, now: Moment, want: Want) -> Option<DialId> {
        // What is under way will tell.
        let under_way = self
            .machine
            .dials(want.identity)
            .any(|(_, first)| Some(first) == want.pin);
        match under_way && !planted("trials_are_made_twice") {
            true => None,
            false => self.machine.recheck(now, want),
        }
    }
}
