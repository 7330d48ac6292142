//! What the pool's owner bars: nothing goes there, whoever asks, and nothing stays there; and until when addresses are kept from somebody, by whomever.

use std::net::IpAddr;

use super::Machine;
use super::words::{Refusal, Want};
use crate::access::Gate;
use crate::clock::Moment;
use crate::event::CloseReason;
use crate::fault::planted;

impl Machine {
    /// Puts other rules of the owner's in force: what stands where they bar the way closes, at once or with its last lease, and who waits for nothing
    /// else is told so.
    pub(crate) fn set_gate(&mut self, now: Moment, gate: Gate) {
        let now = self.tick(now);
        self.gate = gate;
        if !self.gate.is_open() {
            self.close_the_barred(now);
        }
        self.turn_away(now);
        self.settle(now);
    }

    /// Until when the owner bars `ip`.
    pub fn bars(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        self.gate.bars(now, ip)
    }

    /// Until when the owner bars `end`, to which a tunnel leads.
    pub fn bars_behind(&self, now: Moment, end: IpAddr) -> Option<Moment> {
        self.gate.bars_behind(now, end)
    }

    /// Until when the owner bars all that `want` could be served from, as far as that is known; but for what is alive, of which nothing barred is.
    pub fn barred(&self, now: Moment, want: &Want) -> Option<Moment> {
        if self.gate.is_open() {
            return None;
        }
        self.gate
            .bars_all(now)
            .or_else(|| self.first_free(want, |ip| self.gate.bars(now, ip)))
    }

    /// If nothing alive serves it either, until when it is kept from all of that.
    pub(super) fn shut_out(&self, now: Moment, want: &Want) -> Option<Moment> {
        self.barred(now, want)?;
        self.kept_from(now, want).filter(|_| !self.has_sound(want))
    }

    /// Until when the first of the addresses that `want` could be dialled at is kept from it: by the owner, by what this origin holds against it, or by what the
    /// whole pool does, as far as that has said so. None if one is free, or none is known.
    pub(super) fn kept_from(&self, now: Moment, want: &Want) -> Option<Moment> {
        let kept = |ip| self.keeps(now, ip).max(self.forbids(now, ip));
        self.first_free(want, kept).max(self.gate.bars_all(now))
    }

    /// The same by the owner and this origin alone: for whoever has the pool asked anew.
    pub(super) fn kept_here(&self, now: Moment, want: &Want) -> Option<Moment> {
        let kept = self.first_free(want, |ip| self.keeps(now, ip));
        kept.max(self.gate.bars_all(now))
    }

    fn keeps(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        let bars = match planted("the_end_of_the_owner_s_block_is_not_seen") {
            true => self.bars(now, ip).map(|_| Moment::FAR),
            false => self.bars(now, ip),
        };
        bars.max(self.penalties.blocked(now, ip))
    }

    /// Until when the pool avoids `ip`, as far as it has said so.
    pub(super) fn forbids(&self, now: Moment, ip: IpAddr) -> Option<Moment> {
        let all = planted("what_is_free_is_forbidden_with_the_rest");
        let mut entries = self.forbidden.iter();
        let entry = entries.find(|&&(forbidden, until)| (forbidden == ip || all) && now < until);
        entry.map(|&(_, until)| until)
    }

    /// When the first of the addresses that `want` could be dialled at is free of what holds each of them; none if one is, or none is known.
    pub(super) fn first_free(&self, want: &Want, held: impl Fn(IpAddr) -> Option<Moment>) -> Option<Moment> {
        // `None` is the least: one address that is free is enough.
        match want.pin {
            Some(pin) => held(pin),
            None => self.addresses().map(held).min().flatten(),
        }
    }

    fn close_the_barred(&mut self, now: Moment) {
        for slot in 0..self.conns.extent() {
            let conn = &self.conns[slot];
            let ip = self.lanes.get(conn.lane as usize).map(|lane| lane.ip);
            let barred = ip.is_some_and(|ip| self.gate.bars(now, ip).is_some());
            if conn.state.is_live() && barred && !planted("a_block_spares_what_stands") {
                self.wind_up(slot, CloseReason::Blocked);
            }
        }
    }

    /// Who waits for nothing but what the owner bars need not wait for the dials that are under way there.
    pub(super) fn turn_away(&mut self, now: Moment) {
        if self.gate.is_open() {
            return;
        }
        for queue in self.line.by_arrival() {
            let want = self.line.queues[queue as usize].want;
            if let Some(until) = self.shut_out(now, &want)
                && !planted("a_block_spares_who_waits")
            {
                match planted("a_change_of_rules_ends_every_wait") {
                    true => self.refuse(queue, u64::MAX, Refusal::Blocked { until }),
                    false => self.turn_down(queue, &want, until),
                }
            }
        }
    }
}
