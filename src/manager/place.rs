//! A place in line, as a value: dropping it gives the place up.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::HotConn;
use super::host::Answer;
use super::inner::Inner;
use super::lent::Site;
use crate::dial::Interned;
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::machine::{OriginId, Ticket, Want};

/// A place in the line of one origin.
///
/// Whatever happens to it, nothing leaks: dropped while it waits it leaves the line; dropped after it was granted and before it was
/// taken, the connection goes to the next in line, or rests.
pub(super) struct Place {
    inner: Arc<Inner>,
    origin: OriginId,
    ticket: Option<Ticket>,
    want: Want,
    listener: oneshot::Receiver<Answer>,
    site: Site,
    /// Held while it waits: whatever is dialled for it has to find it.
    _identity: Option<Arc<Interned>>,
}

impl Place {
    pub(super) fn new(
        inner: Arc<Inner>,
        origin: OriginId,
        (ticket, want): (Ticket, Want),
        listener: oneshot::Receiver<Answer>,
        (site, identity): (Site, Option<Arc<Interned>>),
    ) -> Self {
        Place {
            inner,
            origin,
            ticket: Some(ticket),
            want,
            listener,
            site,
            _identity: identity,
        }
    }

    /// Waits until it is granted. Cancel safe.
    ///
    /// # Errors
    /// Why it will not be served.
    pub(super) async fn granted(&mut self) -> Result<(), Error> {
        let Ok(answer) = (&mut self.listener).await else {
            // Whoever was to tell it panicked on the way. It may have been granted: that is seen where it is taken.
            return match planted("who_hears_nothing_has_nothing") {
                true => self.over(Err(Error::new(ErrorKind::Closed, Phase::Acquire))),
                false => Ok(()),
            };
        };
        self.over(answer)
    }

    /// One that was refused is over: there is nothing to give up.
    fn over(&mut self, answer: Answer) -> Answer {
        if answer.is_err() {
            self.ticket = None;
        }
        answer
    }

    /// How far what may serve it has come.
    pub(super) fn phase(&self) -> Phase {
        let phase = self
            .inner
            .with_host(self.origin, |host, _| host.phase(&self.want));
        phase.unwrap_or(Phase::Acquire)
    }

    /// The connection that was granted; none if it died in the meantime, or if none was.
    pub(super) fn take(mut self) -> Option<HotConn> {
        let conn = self.inner.redeem(self.origin, self.ticket?, self.site);
        if conn.is_some() {
            self.ticket = None;
        }
        conn
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && (self.listener.is_empty() || !planted("granted_place_is_not_given_up"))
            && !planted("dropped_place_stays")
        {
            self.inner
                .with_host(self.origin, |host, now| host.leave(now, ticket));
        }
    }
}
