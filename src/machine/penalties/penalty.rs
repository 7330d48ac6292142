//! What is known of one address: what it did, what it said, what others say of it. Each ends by its own time.

use std::time::Duration;

use crate::clock::Moment;
use crate::fault::planted;
use crate::machine::limits::PenaltyTerms;
use crate::machine::words::Cause;

#[derive(Clone, Copy, Debug)]
pub(super) struct Penalty {
    /// Failures in a row.
    strikes: u32,
    /// For what it failed, last.
    cause: Cause,
    /// Until when it is avoided for that; [`Moment::ZERO`] if nothing failed here.
    failed: Moment,
    /// Until when it wants to be left alone, by its own word (`Retry-After`).
    later: Moment,
    /// When the address itself told us to stay away, and for how long that holds: until then it is no last resort either.
    told: Option<(Moment, Moment)>,
    /// Until when it is avoided on somebody else's word, whatever it did here.
    shunned: Moment,
    /// Whether the one probe of a pool whose addresses are all blocked is under way.
    pub(super) probing: bool,
}

impl Penalty {
    /// Of an address that has done nothing.
    pub(super) const NONE: Penalty = Penalty {
        strikes: 0,
        cause: Cause::Local,
        failed: Moment::ZERO,
        later: Moment::ZERO,
        told: None,
        shunned: Moment::ZERO,
        probing: false,
    };

    /// Until when it is avoided, for whatever.
    pub(super) fn end(&self) -> Moment {
        self.own_end().max(self.shunned)
    }

    /// The same for what it did itself; [`Moment::ZERO`] if that is nothing.
    fn own_end(&self) -> Moment {
        let told = self.told.map_or(Moment::ZERO, |(_, until)| until);
        self.failed.max(told)
    }

    /// When it told us to stay away and until when, if that still holds.
    pub(super) fn told(&self, now: Moment) -> Option<(Moment, Moment)> {
        self.told.filter(|&(_, until)| now < until)
    }

    /// For what it is avoided that it did itself, and until when: what it told us, and what fails for longer than that.
    pub(super) fn held(&self, now: Moment) -> impl Iterator<Item = (Cause, Moment)> + use<> {
        let lasts = |until: Moment| {
            let by_others = now < self.shunned && planted("a_status_lasts_as_long_as_any_block");
            now < until || by_others && until > Moment::ZERO
        };
        let told = self.told.map(|(_, until)| (Cause::Status, until));
        let told = told.filter(|&(_, until)| lasts(until));
        let failed = Some((self.cause, self.failed)).filter(|&(_, until)| lasts(until));
        let longer = failed.filter(|&(_, until)| told.is_none_or(|(_, told)| told < until));
        told.into_iter().chain(longer)
    }

    /// Until when it wants to be left alone.
    pub(super) fn later(&self) -> Moment {
        self.later
    }

    /// It has failed, or told us to stay away, and wants to be left alone for so long: no longer than any failure is held against an address.
    pub(super) fn struck(self, now: Moment, cause: Cause, alone: Duration, terms: &PenaltyTerms) -> Self {
        let lasts = now < self.own_end();
        // One quiet `max` after its end it is forgotten.
        let strikes = match now < self.own_end() + terms.max {
            true if lasts => self.strikes,
            true => self.strikes.saturating_add(1),
            false => 1,
        };
        let later = self.later.max(now + alone.min(terms.max));
        let struck = Penalty {
            strikes,
            later,
            told: self.told(now),
            probing: false,
            ..self
        };
        if cause == Cause::Status {
            let told = struck.told.map_or(Moment::ZERO, |(_, until)| until);
            return Penalty {
                told: Some((now, told.max(now + terms.status))),
                failed: if lasts { self.failed } else { Moment::ZERO },
                ..struck
            };
        }
        let failed = match lasts {
            true => self.failed,
            false => now + span(terms, strikes),
        };
        let failed = failed.max(later);
        let told = struck.told.map(
            |(told, until)| match planted("a_wish_to_be_left_alone_prolongs_a_403") {
                true => (told, until.max(failed)),
                false => (told, until),
            },
        );
        Penalty {
            cause,
            failed,
            told,
            ..struck
        }
    }

    /// Others avoid it until then.
    pub(super) fn shunned(self, until: Moment) -> Self {
        Penalty {
            shunned: self.shunned.max(until),
            ..self
        }
    }

    /// Without what others say of it, if it has done anything itself.
    pub(super) fn own(self) -> Option<Self> {
        let own = Penalty {
            shunned: Moment::ZERO,
            ..self
        };
        (self.own_end() > Moment::ZERO).then_some(own)
    }

    /// What stays of it once it was reached: that it told us to stay away, that it wants to be left alone, or neither.
    pub(super) fn reached(self, told: bool, alone: bool) -> Option<Self> {
        let failed = if alone { self.later } else { Moment::ZERO };
        let stays = Penalty {
            failed,
            later: failed,
            told: self.told.filter(|_| told),
            shunned: Moment::ZERO,
            probing: false,
            ..self
        };
        (told || alone).then_some(stays)
    }

    /// What stays of it once all failures are forgiven: what it told us, which was none.
    pub(super) fn forgiven(self) -> Option<Self> {
        self.reached(self.told.is_some(), false)
    }
}

/// `base`, doubled for each strike after the first, at most `max`.
fn span(terms: &PenaltyTerms, strikes: u32) -> Duration {
    let strikes = if planted("penalty_does_not_double") {
        1
    } else {
        strikes
    };
    let factor = 1u32.checked_shl(strikes.saturating_sub(1)).unwrap_or(u32::MAX);
    terms.base.saturating_mul(factor).min(terms.max)
}
