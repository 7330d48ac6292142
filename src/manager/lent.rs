//! What moves between a host and its callers: a connection on loan, or the right to streams of one.

use std::panic::Location;
use std::sync::Arc;

use http::Extensions;

use super::alarm::Alarm;
use super::inner::Inner;
use super::live::Abort;
use crate::conn::{ConnInfo, Seen, Wire};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{ConnId, Fate, OriginId};

/// Where in the caller's code a lease was asked for.
pub(super) type Site = &'static Location<'static>;

/// A connection with everything that its user needs. It carries its home, so that neither lending nor giving back counts a reference.
///
/// There is one for each HTTP/1.1 connection, which rests in its host while nobody has it, and one for each lease of an HTTP/2 one.
pub(super) struct Lent {
    pub(super) home: Arc<Inner>,
    pub(super) origin: OriginId,
    pub(super) conn: ConnId,
    pub(super) wire: Wire,
    pub(super) info: Arc<ConnInfo>,
    /// What rings when something happens while it rests; none on HTTP/2, which has a driver.
    pub(super) alarm: Option<Alarm>,
    pub(super) abort: Abort,
    /// Which of its connection's leases it is.
    pub(super) slot: usize,
    /// Whether nobody had it before.
    pub(super) fresh: bool,
    /// Whether its user read or wrote: then whoever is told of its stream is that user, not the alarm.
    pub(super) polled: bool,
    pub(super) standing: Standing,
    pub(super) extensions: Extensions,
}

/// What is known of a connection since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Sound,
    /// Half a record has come. It stands aside until the rest has come, and is looked at then.
    HalfRecord,
    /// It must not be used again: the caller or a look at it said so.
    Doomed(CloseReason),
}

impl From<Result<Seen, CloseReason>> for Standing {
    fn from(look: Result<Seen, CloseReason>) -> Self {
        match look {
            Ok(Seen::Clean) => Standing::Sound,
            Ok(Seen::HalfRecord) => Standing::HalfRecord,
            Err(reason) => Standing::Doomed(reason),
        }
    }
}

impl Lent {
    /// Whether it must be looked at before anybody relies on it.
    #[inline]
    pub(super) fn is_in_doubt(&self) -> bool {
        self.standing != Standing::Sound || self.alarm.as_ref().is_none_or(Alarm::is_rung)
    }

    /// Whether its alarm rang since it was last looked at.
    #[inline]
    pub(super) fn is_rung(&self) -> bool {
        self.alarm.as_ref().is_some_and(Alarm::is_rung)
    }

    /// Looks at one that nobody has used since it was found in doubt: what made it so at birth may be over, as half a record is once the rest has come.
    pub(super) fn look_again(&mut self) -> Standing {
        self.standing = self.look().into();
        self.standing
    }

    /// Looks whether it is alive and unspoilt, with its alarm set.
    fn look(&mut self) -> Result<Seen, CloseReason> {
        let wire = &mut self.wire;
        match &self.alarm {
            Some(alarm) => alarm.set(|cx| wire.look(cx)),
            None => wire.look(&mut std::task::Context::from_waker(std::task::Waker::noop())),
        }
    }

    /// Whether another may have it. Looks only if anything may have changed since the last look: its user touched it, or its alarm rang.
    #[inline]
    pub(super) fn fate(&mut self) -> Fate {
        if !self.polled && !self.is_in_doubt() {
            return Fate::Untouched;
        }
        self.fate_by_look()
    }

    /// The same of one that was used, or that something happened to.
    fn fate_by_look(&mut self) -> Fate {
        let blind = planted("put_looks_at_nothing");
        if self.alarm.is_none() {
            self.extensions.clear(); // on HTTP/2 they go with the lease
        }
        let polled = std::mem::take(&mut self.polled);
        match self.standing {
            Standing::Doomed(CloseReason::Discarded) if planted("discarded_is_kept") => {
                self.standing = Standing::Sound;
            }
            Standing::Doomed(_) => {}
            _ if !blind => {
                self.standing = self.wire.come_home().and_then(|()| self.look()).into();
            }
            _ => {}
        }
        if polled {
            self.abort.forget(); // whoever waited for its bytes has gone
        }
        match self.standing {
            Standing::Sound => Fate::Reusable,
            Standing::HalfRecord if planted("half_a_record_comes_home_clean") => Fate::Reusable,
            Standing::HalfRecord => Fate::Aside,
            // Where others have streams on it, it leaves the rotation now and closes with the last of them.
            Standing::Doomed(reason) => Fate::Close(reason),
        }
    }
}
