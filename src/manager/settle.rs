//! Doing what the machines and the desk want done, once no lock is held.
//!
//! What a machine wants done beyond its host is left in the queue under the host's lock: so the desk hears of each host in the order in which things
//! happened there, and never of the end of a dial before its beginning, whichever thread comes first.
//!
//! One thread at a time does the work of a pool; whoever comes meanwhile, another thread or the same one deeper down, leaves its work in the
//! queue and goes. So no chain of consequences, however long, grows the stack: a dial that fails at once because its runtime is ending, the
//! next one that is granted its permit, and so on.
//!
//! Nor does it keep one caller: after [`TURNS`] of them whoever is at it goes, and a task of its runtime does the rest, or a dial in another one that begins,
//! or whoever comes next. A task that is ended before it began does the rest as it goes; so does whoever closes the pool, where no task can begin any more.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::dialling::{self, DialJob};
use super::ears::Ear;
use super::host::{Errand, Todo};
use super::inner::Inner;
use super::live::Live;
use super::observer::Event;
use crate::clock::Moment;
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{AllBlocked, Ask, DialId, Evicted, OriginId, Screen, Step, Victim};
use crate::sync::Ordering;

/// Steps that one caller takes for everybody. So few under the model checker that it sees one leave.
const TURNS: usize = if cfg!(feature = "__shuttle") { 8 } else { 64 };

/// Work that waits for whoever is at it.
#[derive(Default)]
pub(super) struct Work {
    queue: VecDeque<(OriginId, Errand)>,
    /// Whether somebody is at it, and will look at the queue and the desk again before it stops.
    busy: bool,
    /// Whether the desk was changed since it was last asked what it wants.
    again: bool,
}

/// The right to do a pool's work. Given back with what is left, even by a panic: the next caller goes on.
struct Shift<'a> {
    inner: &'a Arc<Inner>,
    over: bool,
}

impl<'a> Shift<'a> {
    fn begin(inner: &'a Arc<Inner>) -> Option<Self> {
        let mut work = inner.work.lock();
        let busy = std::mem::replace(&mut work.busy, true);
        work.again = busy && !planted("shift_does_not_hear_of_the_desk");
        if busy && planted("who_comes_in_a_panic_waits_for_himself") && std::thread::panicking() {
            drop(inner.work.lock());
        }
        drop(work);
        // One that is not begun is not to end either.
        (!busy).then(|| Shift { inner, over: false })
    }

    /// Does the errand that has waited longest, if there is one.
    fn run_errand(&self) -> bool {
        let next = self.inner.work.lock().queue.pop_front();
        let Some((origin, errand)) = next else {
            return false;
        };
        self.inner.carry_out(origin, errand);
        true
    }

    /// Ends the shift, unless there is more to do. Nobody can leave work behind between the look and the end.
    fn is_over(&mut self) -> bool {
        let mut work = self.inner.work.lock();
        let more = std::mem::take(&mut work.again) || !work.queue.is_empty();
        if planted("shift_ends_after_its_look") {
            drop(work);
            work = self.inner.work.lock();
        }
        work.busy = more;
        self.over = !more;
        self.over
    }
}

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.inner.work.lock().busy = planted("who_leaves_is_still_at_it");
        }
    }
}

/// Goes on with the work of a pool where it is run, or where it is dropped instead.
struct Relief(Option<Arc<Inner>>);

impl Relief {
    fn call(inner: &Arc<Inner>) {
        let mut relief = Relief(Some(Arc::clone(inner)));
        // Where nothing can be started, it is dropped here.
        let _started = inner.rt.job(None, async move {
            if let Some(inner) = relief.0.take() {
                inner.pump();
            }
        });
    }
}

impl Drop for Relief {
    fn drop(&mut self) {
        let Some(inner) = self.0.take() else { return };
        let mut over = planted("a_relief_that_is_dropped_leaves_the_work");
        while !over {
            let victims;
            (over, victims) = inner.take_turns();
            inner.bury(victims);
        }
    }
}

impl Todo {
    /// Tells who is to be told. Answers what is to be buried.
    fn tell(self) -> Vec<(Live, CloseReason)> {
        for (waiter, answer) in self.told {
            waiter.tell(answer);
        }
        self.victims
    }
}

impl Inner {
    fn bury(&self, victims: Vec<(Live, CloseReason)>) {
        let now = self.now_coarse();
        for (live, reason) in victims {
            if !planted("closes_are_silent") {
                tracing::debug!(target: "hotpool", conn = live.info.serial, host = &*live.info.target, %reason, "closed");
            }
            let (info, age) = (Arc::clone(&live.info), now.since(live.born));
            live.end();
            if !planted("closes_are_not_told") {
                self.audience.tell(Event::Closed {
                    info: &info,
                    reason,
                    age,
                });
            }
        }
    }

    /// Leaves what is to be done beyond its host. Under that host's lock, and not without a [`settle`](Self::settle) once it is released.
    pub(super) fn leave_errand(&self, origin: OriginId, errand: Errand) {
        let queue = &mut self.work.lock().queue;
        match planted("errands_are_done_last_first") {
            true => queue.push_front((origin, errand)),
            false => queue.push_back((origin, errand)),
        }
    }

    /// Does what a host's machine wants done, and what follows from it. No lock is held.
    pub(super) fn settle(self: &Arc<Self>, todo: Todo) {
        let victims = todo.tell();
        if planted("closes_under_the_desk_s_lock") {
            let _desk = self.desk.lock();
            return self.bury(victims);
        }
        self.pump();
        self.bury(victims);
    }

    /// Does the work that waits and what the desk wants, or has it done. To be called after every change at the desk.
    pub(super) fn pump(self: &Arc<Self>) {
        let (over, victims) = self.take_turns();
        if !over {
            Relief::call(self);
        }
        // Last, and in nobody's shift: a close takes the time that its owner's code takes, and nobody else has to wait for that.
        self.bury(victims);
    }

    /// Some steps of that work. Answers whether there is no more, or somebody else at it, and what is to be buried.
    fn take_turns(self: &Arc<Self>) -> (bool, Vec<(Live, CloseReason)>) {
        let mut victims = Vec::new();
        let Some(mut shift) = Shift::begin(self) else {
            return (true, victims);
        };
        let mut turns = 0;
        while turns < TURNS || planted("one_caller_does_it_all") {
            turns += 1;
            if shift.run_errand() {
                continue;
            }
            match self.next_step() {
                Some(step) => victims.extend(self.take_step(step, &shift)),
                None if shift.is_over() => return (true, victims),
                None => {}
            }
        }
        (false, victims)
    }

    fn carry_out(self: &Arc<Self>, origin: OriginId, errand: Errand) {
        self.rearm(origin, errand.arm);
        let any_closed = !errand.closed.is_empty();
        let resolve = errand.resolve;
        for (dial, these) in self.visit_desk(origin, errand) {
            let said = self.with_host(origin, |host, now| host.dial_blocked(now, dial, &these));
            if let Some((_dial, Some((watcher, error)))) = said {
                watcher.tell(Err(error));
            }
        }
        if resolve {
            dialling::resolve(self, origin);
        }
        if any_closed {
            self.emptied.notify_waiters();
        }
    }

    /// Brings everything of one host that concerns the desk there, under one lock. Answers the dials that may not go anywhere, each with what it may not go to.
    fn visit_desk(&self, origin: OriginId, errand: Errand) -> Vec<(DialId, Vec<(IpAddr, Moment)>)> {
        let Errand {
            closed,
            abandoned,
            dials,
            parked,
            ..
        } = errand;
        let mut blocked = Vec::new();
        if closed.is_empty() && abandoned.is_empty() && dials.is_empty() && parked.is_empty() {
            return blocked;
        }
        let now = self.now_coarse();
        let policy = self.config().all_blocked;
        let mut desk = self.desk.lock();
        self.in_transit.fetch_sub(closed.len() as u64, Ordering::Relaxed);
        for ip in closed {
            desk.ledger.closed(origin, ip);
        }
        for dial in abandoned {
            desk.ledger.withdraw(origin, dial);
            if planted("order_of_an_abandoned_dial_stays") {
                continue;
            }
            if let Some(order) = desk.orders.remove(&(origin, dial)) {
                desk.dial_over(&order);
            }
        }
        for mut order in dials {
            // What the origin itself holds something against comes last, and is no way out where the pool avoids all the others; but that is probed by the origin,
            // if it is the least bad.
            let last = match order.clean {
                0 => Vec::new(),
                _ if planted("each_table_is_heeded_by_itself") => Vec::new(),
                clean => order.candidates.split_off(clean),
            };
            // What an origin probes or rechecks it has chosen by all that is held against its addresses, this included.
            let screen = match order.probe && !planted("rechecks_heed_the_pool_s_blocks") {
                true => Screen::Go,
                false => match desk.probed_by_its_origin(now, &order, &last) {
                    Some(until) if policy == AllBlocked::ProbeLeastBad => Screen::Blocked { until },
                    _ => desk.penalties.screen(now, policy, &mut order.candidates),
                },
            };
            match screen {
                Screen::Blocked { .. } => {
                    // Those that the origin may yet probe are not forbidden it.
                    let all =
                        policy == AllBlocked::Fail || planted("what_an_origin_may_probe_is_forbidden_it");
                    let last = last.into_iter().filter(|_| all);
                    let these = order.candidates.into_iter().chain(last);
                    let until = |ip| Some((ip, desk.penalties.blocked(now, ip)?));
                    blocked.push((order.dial, these.filter_map(until).collect()));
                }
                Screen::Go | Screen::Probe => {
                    if screen == Screen::Go {
                        order.candidates.extend(last);
                    }
                    order.pool_probe = screen == Screen::Probe;
                    order.probe |= order.pool_probe;
                    desk.ledger.request(Ask {
                        origin,
                        dial: order.dial,
                        candidates: order.candidates.clone(),
                    });
                    desk.orders.insert((origin, order.dial), order);
                }
            }
        }
        for ip in parked {
            desk.ledger.parked(origin, ip);
        }
        // Raised here, and never lowered: the Ledger still counts on hearing from those who had nothing idle when they were asked, until it
        // notices, at its next step, that nobody waits. Who goes idle before that, unheard, would not be asked again by the next in line.
        if desk.ledger.contended() && !planted("flag_is_shown_after_the_look") {
            self.ears.set(Ear::Desk, true);
        }
        blocked
    }

    /// What the desk wants next. The flag is set before anybody looks for victims, and lowered when the Ledger may ask everybody again.
    fn next_step(&self) -> Option<Step> {
        let mut desk = self.desk.lock();
        let step = desk.ledger.poll_step();
        let looks = matches!(step, Some(Step::Evict(_)));
        if !(looks && planted("flag_is_shown_after_the_look")) {
            self.ears.set(Ear::Desk, desk.ledger.contended());
        }
        step
    }

    /// Answers what is to be buried.
    fn take_step(self: &Arc<Self>, step: Step, shift: &Shift<'_>) -> Vec<(Live, CloseReason)> {
        match step {
            Step::Grant { origin, dial, ip } => {
                let order = self.desk.lock().orders.remove(&(origin, dial));
                DialJob::start(self, origin, order, ip);
                Vec::new()
            }
            Step::Evict(victim) => self.evict(victim, shift),
        }
    }

    /// Asks a host for its longest idle connection, and brings the desk the answer. Answers what is to be buried.
    fn evict(self: &Arc<Self>, victim: Victim, shift: &Shift<'_>) -> Vec<(Live, CloseReason)> {
        let now = self.now_coarse();
        let (answer, todo) = {
            let mut shard = self.directory.shard_of(victim.origin).lock();
            match shard.by_id(victim.origin) {
                None => (Evicted::None, None),
                Some(host) => (
                    host.machine.evict_idle(now, victim.into()),
                    self.follow(host, now, &mut None),
                ),
            }
        };
        let mut todo = todo;
        if planted("victims_are_buried_before_the_answer")
            && let Some(todo) = todo.take()
        {
            self.bury(todo.tell());
        }
        // The permit that came free first, then the answer: the other way round the desk would still count it and ask for another. What runs code of
        // others comes last: whatever becomes of that, the desk has its answer.
        while shift.run_errand() {}
        self.desk.lock().ledger.answer(now, victim, answer);
        todo.map_or_else(Vec::new, |todo| todo.tell())
    }
}
