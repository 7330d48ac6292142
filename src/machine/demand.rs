//! How many dials the line needs: those who wait, less those whom something under way will serve.

use super::lanes::Lane;
use super::limits::Growth;
use super::words::Want;
use super::{Machine, Phase};
use crate::event::Protocol;
use crate::fault::planted;
use crate::identity::{IdentityId, Require};

/// Streams an HTTP/2 connection is taken to allow before its SETTINGS come (RFC 9113, section 6.5.2, recommends no
/// smaller value).
pub(super) const BEFORE_SETTINGS: u32 = 100;

/// More than any line holds: a connection of which nothing is known yet may serve them all.
const EVERYBODY: u64 = 1 << 40;

impl Machine {
    /// What a dial for `want` will speak, as far as can be told before.
    pub(super) fn protocol_of(&self, want: &Want) -> Option<Protocol> {
        match want.require {
            Require::Http1 => Some(Protocol::Http1),
            Require::Http2 => Some(Protocol::Http2),
            Require::Any => self.known(want).map(|known| known.protocol),
        }
    }

    /// How many one dial for `want` will serve: one on HTTP/1.1, a connection's worth of streams on HTTP/2, and
    /// everybody while the host has not shown which it speaks. So a cold host is dialled once, and fans out when it
    /// turns out to need it.
    pub(super) fn served_by_dial(&self, want: &Want) -> u64 {
        let cold = self.protocol_of(want).is_none();
        if self.is_single(want) || (cold && planted("cold_host_fans_out")) {
            return 1;
        }
        self.streams_of(want)
            .map_or(EVERYBODY, |streams| u64::from(streams.max(1)))
    }

    /// How many streams the peer allows on a connection for `want`, if it has told.
    fn streams_of(&self, want: &Want) -> Option<u32> {
        let told = self.known(want)?.streams?;
        Some(told.min(self.limits.h2_max_streams))
    }

    /// How many streams the peer said that it allows, last; any number if it never said so.
    pub(super) fn told_before(&self, identity: IdentityId) -> u32 {
        let known = self.known.iter().find(|known| known.identity == identity);
        known
            .and_then(|known| known.streams)
            .filter(|_| !planted("what_was_told_is_forgotten"))
            .unwrap_or(u32::MAX)
    }

    /// How many of `queue` will be served by what is under way: dials, connections under inspection, and streams that
    /// SETTINGS will add.
    pub(super) fn supply(&self, queue: u32) -> u64 {
        let queue = &self.line.queues[queue as usize];
        let each = self.served_by_dial(&queue.want);
        let lanes = self.lanes.iter().filter(|lane| lane.suits(&queue.want));
        lanes.fold(u64::from(queue.dials) * each, |supply, lane| {
            supply + self.coming(lane, &queue.want)
        })
    }

    /// What a lane's connections will serve that cannot serve yet.
    fn coming(&self, lane: &Lane, want: &Want) -> u64 {
        if lane.protocol == Protocol::Http1 {
            return if planted("dials_beside_an_inspection") {
                0
            } else {
                u64::from(lane.inspected)
            };
        }
        let streams = self.streams_of(want).map(u64::from);
        let first = u64::from(self.limits.h2_max_streams.min(BEFORE_SETTINGS));
        let more = streams.map_or(EVERYBODY, |streams| streams.saturating_sub(first));
        u64::from(lane.inspected) * streams.unwrap_or(first) + u64::from(lane.pending) * more
    }

    /// How many of `queue` nothing under way will serve.
    pub(super) fn uncovered(&self, queue: u32) -> u64 {
        u64::from(self.line.queues[queue as usize].len).saturating_sub(self.supply(queue))
    }

    /// Brings dials in step with the line: gives up those not begun that nobody needs, and authorises those that are
    /// missing, for the first in line first.
    pub(super) fn settle(&mut self, now: crate::clock::Moment) {
        if self.phase == Phase::Closed {
            return;
        }
        let begun_too = planted("caller_takes_its_dial_along");
        if (self.unbegun > 0 || begun_too) && !planted("cancelled_dial_keeps_its_place") {
            self.abandon_surplus();
        }
        self.retry_at = crate::clock::Moment::FAR;
        if self.line.len == 0 || self.phase == Phase::Paused || self.is_stuck() {
            return;
        }
        for queue in self.line.by_arrival() {
            if self.is_stuck() {
                return;
            }
            while self.uncovered(queue) > 0 && self.authorise(now, queue) {}
        }
    }

    /// Whether there is nothing to decide for anybody in line, however many they are: no room, nothing that could make any, and nothing that bars the
    /// way, of which they would have to be told.
    fn is_stuck(&self) -> bool {
        self.live() >= self.limits.max_per_host
            && self.counts.idle == 0
            && self.penalties.is_empty()
            && self.gate.is_open()
            && self.addresses().next().is_some()
            && self.oldest_aside(|_| true).is_none()
    }

    /// Whether growth allows one more connection for `want`.
    pub(super) fn may_grow(&self, want: &Want) -> bool {
        if planted("never_a_second") && self.protocol_of(want) == Some(Protocol::Http2) {
            return !self.has_sound(want);
        }
        if self.limits.growth != Growth::Single
            || planted("growth_is_unchecked")
            || self.protocol_of(want) != Some(Protocol::Http2)
        {
            return true;
        }
        let dialling = self.dials.iter().any(|(_, dial)| {
            dial.want.identity == want.identity && (want.pin.is_none() || dial.want.pin == want.pin)
        });
        !dialling && !self.has_sound(want)
    }

    /// Whether a connection that may be handed out again, now or later, suits `want`.
    pub(super) fn has_sound(&self, want: &Want) -> bool {
        self.lanes.iter().any(|lane| lane.suits(want) && lane.sound > 0)
    }
}
