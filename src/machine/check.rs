//! What must hold between any two calls.

use super::conns::State;
use super::words::Counts;
use super::{Machine, Phase};
use crate::event::Protocol;

impl Machine {
    /// Checks every rule that one look can check: counts, lists, limits, and that nobody waits beside an idle
    /// connection that would serve them.
    ///
    /// # Panics
    ///
    /// If one does not hold.
    pub fn assert_invariants(&self) {
        self.line.assert_invariants();
        self.assert_counts();
        self.assert_lanes();
        self.assert_line();
    }

    #[expect(
        clippy::panic,
        reason = "it exists to stop the program where a rule is broken"
    )]
    fn assert_counts(&self) {
        let mut found = Counts::default();
        let (mut alive, mut timed) = (0, 0);
        for (slot, conn) in self.conns.iter() {
            alive += u32::from(conn.state.is_live());
            found.idle += u32::from(conn.state == State::Idle);
            found.held += u32::from(matches!(conn.state, State::Inspected | State::Suspect));
            found.leased += u32::from(conn.leases > 0);
            found.leases += conn.leases;
            timed += usize::from(self.lifetimes.get(slot).is_some());
            if self.lifetimes.get(slot).is_some() && !conn.state.is_live() {
                panic!("connection {slot} has an end ahead, and has ended: {conn:?}");
            }
            let right = match conn.state {
                State::Idle => conn.leases == 0 && conn.room() > 0,
                State::Open => conn.leases > 0 && conn.room() > 0,
                State::Full => conn.room() == 0,
                State::Inspected | State::Aside => conn.leases == 0,
                State::Suspect => conn.protocol == Protocol::Http2,
                State::Retired(_) | State::Dead(_) => conn.leases > 0,
                State::Vacant => false,
            };
            if !right {
                panic!("connection {slot} is in the wrong state: {conn:?}");
            }
        }
        if timed != self.lifetimes.len() {
            panic!(
                "{} have an end ahead, and {timed} of them are there",
                self.lifetimes.len()
            );
        }
        let counted = Counts {
            idle: found.idle,
            held: found.held,
            leased: found.leased,
            leases: found.leases,
            ..self.counts
        };
        if counted != self.counts || alive != self.alive {
            panic!(
                "counted {counted:?} and {alive}, kept {:?} and {}",
                self.counts, self.alive
            );
        }
        if self.counts.idle > self.limits.max_idle_per_host {
            panic!(
                "{} idle where {} may be",
                self.counts.idle, self.limits.max_idle_per_host
            );
        }
    }

    #[expect(
        clippy::panic,
        reason = "it exists to stop the program where a rule is broken"
    )]
    fn assert_lanes(&self) {
        for (index, lane) in (0u32..).zip(&self.lanes) {
            let own = || {
                self.conns
                    .iter()
                    .filter(|(_, conn)| conn.state.is_live() && conn.lane == index)
            };
            let count =
                |pass: fn(&super::conns::Conn) -> bool| own().filter(|(_, conn)| pass(conn)).count() as u32;
            let right = lane.conns == own().count() as u32
                && lane.leases == own().map(|(_, conn)| conn.leases).sum::<u32>()
                && lane.sound == count(|conn| conn.state.is_sound())
                && lane.pending == count(|conn| conn.is_pending())
                && lane.inspected == count(|conn| conn.state == State::Inspected)
                && own().all(|(_, conn)| conn.protocol == lane.protocol);
            if !right {
                panic!("lane {index} does not count what it holds: {lane:?}");
            }
            let lists = [
                (&lane.idle, State::Idle),
                (&lane.open, State::Open),
                (&lane.aside, State::Aside),
            ];
            for (list, state) in lists {
                let members: Vec<u32> = list.iter(&self.conns).collect();
                let ages: Vec<_> = members.iter().map(|&slot| self.conns[slot].since).collect();
                let right = members.len() == list.len as usize
                    && members
                        .iter()
                        .all(|&slot| self.conns[slot].state == state && self.conns[slot].lane == index)
                    && own().filter(|(_, conn)| conn.state == state).count() == members.len()
                    && (state == State::Open || ages.is_sorted_by(|newer, older| newer >= older));
                if !right {
                    panic!("the {state:?} list of lane {index} is {members:?}, ages {ages:?}");
                }
            }
        }
    }

    #[expect(
        clippy::panic,
        reason = "it exists to stop the program where a rule is broken"
    )]
    fn assert_line(&self) {
        let mut unbegun = 0;
        for (key, dial) in self.dials.iter() {
            unbegun += u32::from(dial.is_loose());
            if self.line.queues[dial.queue as usize].want != dial.want {
                panic!("dial {key:?} belongs to a queue that wants something else");
            }
        }
        for (index, queue) in (0u32..).zip(&self.line.queues) {
            let dials = self.dials.iter().filter(|(_, dial)| dial.queue == index).count();
            if queue.dials as usize != dials {
                panic!("queue {index} counts {} dials, not {dials}", queue.dials);
            }
            let beside = self
                .lanes
                .iter()
                .find(|lane| lane.suits(&queue.want) && lane.offers());
            if let Some(lane) = beside.filter(|_| queue.len > 0 && self.phase == Phase::Open) {
                panic!("{} wait for {:?} beside {lane:?}", queue.len, queue.want);
            }
        }
        if unbegun != self.unbegun || self.probe.is_some_and(|probe| self.dials.get(probe).is_none()) {
            panic!(
                "{unbegun} dials have not begun, {} counted; probe {:?}",
                self.unbegun, self.probe
            );
        }
    }
}
