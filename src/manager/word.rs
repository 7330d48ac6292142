//! What an answer says of the address that gave it, and what comes of that, whoever heard it.

use std::time::Duration;

use super::host::Host;
use crate::clock::Moment;
use crate::conn::ConnInfo;
use crate::event::{CloseReason, Outcome};
use crate::fault::planted;
use crate::machine::{Cause, ConnId};

/// What an address says of us: see the table of [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// We are welcome: what was held against it is forgotten.
    Welcome,
    /// We are to stay away.
    Unwelcome,
    /// We are to come again, after so long if that is said; or it did not say anything, as it should have.
    Later(Option<Duration>),
    /// Nothing: neither is anything held against it nor forgotten.
    Nothing,
}

impl Word {
    /// By its status.
    pub(super) fn of_status(status: u16) -> Word {
        match status {
            403 if !planted("forbidden_is_a_status_like_any") => Word::Unwelcome,
            200..400 => Word::Welcome,
            429 | 503 => Word::Later(None),
            _ if planted("any_answer_is_a_welcome") => Word::Welcome,
            _ => Word::Nothing,
        }
    }
}

impl From<Outcome> for Word {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Word::Welcome,
            Outcome::Status(status) => Word::of_status(status),
            Outcome::TryLater(_) if planted("retry_after_is_overheard") => Word::Later(None),
            Outcome::TryLater(span) => Word::Later(Some(span)),
            Outcome::Error => Word::Later(None),
        }
    }
}

impl Host {
    /// Heeds what was heard over a lease. Answers until when its address is blocked by that.
    pub(super) fn heed(
        &mut self,
        now: Moment,
        lease: (ConnId, usize),
        info: &ConnInfo,
        word: Word,
    ) -> Option<Moment> {
        let ip = info.remote.ip();
        // What goes otherwise than the pool does tells those alone who go so: that connection is not to be had again, and that is all.
        if info.detour {
            if word == Word::Unwelcome {
                self.machine.retire(now, lease.0, CloseReason::Blocked);
            }
            return None;
        }
        match word {
            // It said so, wherever we were: as what was heard before the network changed outlasts that.
            Word::Unwelcome => self.penalise(now, ip, (Cause::Status, Duration::ZERO), info.hearer),
            _ if self.is_void(lease) => None,
            Word::Welcome => {
                self.machine.absolve(now, ip);
                None
            }
            Word::Later(span) => {
                let span = span.unwrap_or_default();
                self.penalise(now, ip, (Cause::Protocol, span), info.hearer)
            }
            Word::Nothing => None,
        }
    }

    /// Whether what becomes of a lease says nothing of its address: the network is another since, or the pool itself has ended its connection.
    fn is_void(&mut self, (conn, slot): (ConnId, usize)) -> bool {
        let retired = self.machine.info(conn).and_then(|info| info.retired);
        let elsewhere =
            retired == Some(CloseReason::NetworkChanged) && !planted("leases_take_their_failures_along");
        elsewhere || self.out_mut(conn, slot).is_some_and(|out| out.void)
    }
}
