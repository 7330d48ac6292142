//! HTTP/2: how many streams a connection takes, and when it takes no more.

use super::Machine;
use super::conns::State;
use super::id::ConnId;
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol};
use crate::fault::planted;

impl Machine {
    /// The peer's SETTINGS allow `streams` at once. May come again, with more or with fewer.
    pub fn settings(&mut self, now: Moment, conn: ConnId, streams: u32) {
        let now = self.tick(now);
        let Some(slot) = self.http2(conn) else { return };
        let lane = self.conns[slot].lane as usize;
        let identity = self.lanes[lane].identity;
        if let Some(known) = self.known.iter_mut().find(|known| known.identity == identity) {
            known.streams = Some(streams);
        }
        self.lanes[lane].pending -= u32::from(self.conns[slot].is_pending());
        let conn = &mut self.conns[slot];
        conn.settled = true;
        conn.told = streams;
        let most = if planted("takes_all_the_peer_allows") {
            u32::MAX
        } else {
            self.limits.h2_max_streams
        };
        conn.capacity = streams.min(most);
        self.reconsider(now, slot);
    }

    /// So many streams are open whose leases have come home: each holds its place until it has ended, so that a storm of cancellations does not
    /// look like free places.
    pub fn streams_open(&mut self, now: Moment, conn: ConnId, streams: u32) {
        let now = self.tick(now);
        let Some(slot) = self.http2(conn) else { return };
        if std::mem::replace(&mut self.conns[slot].streams, streams) != streams {
            self.reconsider(now, slot);
        }
    }

    /// As [`streams_open`](Machine::streams_open), ahead of a `release` that looks at the places anyway.
    pub fn streams_left(&mut self, conn: ConnId, streams: u32) {
        if let Some(slot) = self.http2(conn) {
            self.conns[slot].streams = streams;
        }
    }

    /// No new streams until it shows life: its PING is out. Its idle time goes on.
    pub fn suspect(&mut self, now: Moment, conn: ConnId) {
        let now = self.tick(now);
        let Some(slot) = self.http2(conn) else { return };
        if self.conns[slot].state.is_sound() && !planted("suspect_is_trusted") {
            self.set_state(slot, State::Suspect);
            self.settle(now);
        }
    }

    /// It showed life. As old as before.
    pub fn healthy(&mut self, now: Moment, conn: ConnId) {
        let now = self.tick(now);
        let Some(slot) = self.http2(conn) else { return };
        if self.conns[slot].state == State::Suspect {
            self.reinstate(now, slot);
        }
    }

    /// Takes it out of sharing: its one lease keeps it for as long as it likes. False if it has other leases, streams without one, or an end ahead.
    pub fn take_out(&mut self, conn: ConnId) -> bool {
        let Some(slot) = self.http2(conn) else {
            return false;
        };
        let conn = &self.conns[slot];
        let shared = conn.leases != 1 || conn.streams > 0 || !matches!(conn.state, State::Open | State::Full);
        if shared && !planted("what_others_use_is_taken_out") {
            return false;
        }
        self.lifetimes.unset(slot);
        self.set_state(slot, State::Retired(CloseReason::Detached));
        true
    }

    /// The peer sent GOAWAY: no new streams, and those under way may finish.
    pub fn going_away(&mut self, now: Moment, conn: ConnId) {
        if !planted("goaway_is_forgotten") {
            self.retire(now, conn, CloseReason::GoAway);
        }
    }

    /// Puts a connection that was held back where it belongs, unless its time came meanwhile.
    pub(super) fn reinstate(&mut self, now: Moment, slot: u32) {
        // Full is where a connection without a list stands; `rest` and `overdue` go by what it is from there.
        self.set_state(slot, State::Full);
        if planted("probe_counts_as_use") {
            self.conns[slot].since = now;
        }
        let idle = self.conns[slot].leases == 0;
        let stale = idle && now.since(self.conns[slot].since) >= self.limits.idle_timeout;
        let overdue = stale.then_some(CloseReason::IdleTimeout);
        match self.unfit(now, slot).or(overdue) {
            Some(reason) => {
                self.wind_up(slot, reason);
                self.settle(now);
            }
            None => _ = self.offer(now, slot, true),
        }
    }

    /// After its capacity changed.
    fn reconsider(&mut self, now: Moment, slot: u32) {
        let conn = &mut self.conns[slot];
        if matches!(conn.state, State::Idle | State::Open | State::Full) {
            if conn.state == State::Full && conn.leases == 0 {
                // Streams without a lease held all its places: only now is it idle.
                conn.since = now;
            }
            self.offer(now, slot, true);
        }
        self.settle(now);
    }

    fn http2(&self, conn: ConnId) -> Option<u32> {
        let slot = self.conns.slot(conn)?;
        let conn = &self.conns[slot];
        (conn.protocol == Protocol::Http2 && conn.state.is_live()).then_some(slot)
    }
}
