//! A `get` whose connection is judged before it is handed out, be it new or one that rested.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use super::HotConn;
use super::attempts::LATE;
use super::blame::{Asker, Blame, blame};
use super::lent::{Lent, Standing};
use super::live::Way;
use super::validator::{Own, Validator, judge};
use super::word::Word;
use crate::clock::Moment;
use crate::conn::is_goodbye;
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;

impl HotConn {
    /// Has it judged within the time of an attempt, and by `until`, and holds the verdict against its address, or forgets what was held. Whether it may be
    /// used after that is up to its own verdict, as after any use.
    ///
    /// `false`: it had rested, and ended as it was asked. It had its time, and says nothing of its address; another may serve.
    ///
    /// Cancel safe as a use of it is: an exchange that is not over closes it.
    ///
    /// # Errors
    /// As [`judge`].
    pub(super) async fn judged(&mut self, validator: &dyn Validator, until: Moment) -> Result<bool, Error> {
        if planted("hits_are_not_judged") {
            return Ok(true);
        }
        let lent = self.lent_mut();
        lent.polled = true; // whoever waits for its bytes now is not its alarm
        let (home, abort, info) = (Arc::clone(&lent.home), lent.abort.clone(), Arc::clone(&lent.info));
        let full = home.clock().now() + home.config().attempt_timeout;
        let deadline = until.min(full);
        let judged = {
            let mut judging = pin!(judge((&mut lent.wire, &info), validator, home.clock(), deadline));
            poll_fn(|cx| abort.watch(Way::In, cx, |cx| judging.as_mut().poll(cx).map(Ok))).await
        };
        let judged = judged.unwrap_or_else(|aborted| Err(Error::from_io(Phase::Validate, aborted)));
        if !lent.fresh
            && judged.as_ref().is_err_and(is_an_end)
            && !planted("ends_of_the_rested_blame_the_address")
        {
            lent.standing = Standing::Doomed(CloseReason::PeerClosed);
            return Ok(false);
        }
        let late = home.clock().now().since(deadline) > LATE;
        // Who has less time than any attempt has, or comes too late to look, cannot tell whether the address was slow.
        let short = (until < full || late) && !planted("a_call_s_own_time_blames_the_address");
        let word = match &judged {
            Ok(()) => Word::Welcome,
            Err(error) if error.is_timeout() && short => Word::Nothing,
            Err(error) => lent.heard(error),
        };
        if judged.is_err() {
            home.with_host(lent.origin, |host, _| {
                host.counters.count_failure(Phase::Validate)
            });
        }
        let held = lent.heed(word);
        if let Err(error) = &judged {
            home.tell_of_failure(&info.target, error);
        }
        let ip = info.remote.ip();
        judged.map(|()| true).map_err(|error| match held {
            Some(held) => error.with_ip(ip).with_retry_after(held),
            None => error.with_ip(ip),
        })
    }
}

/// Whether an error is the end of its connection.
fn is_an_end(error: &Error) -> bool {
    let goodbye = is_goodbye(error) && !planted("goodbyes_to_the_rested_blame_the_address");
    error.kind() == ErrorKind::ConnectionReset || goodbye
}

impl Lent {
    /// What an error says of the address, by whom the connection was made for.
    pub(super) fn heard(&self, error: &Error) -> Word {
        let identity = self.home.identities.find(self.info.hearer.identity);
        let identity = identity.filter(|_| !planted("whoever_has_a_lease_has_nothing_of_its_own"));
        match blame(error, identity.as_deref().map(Asker::from).unwrap_or_default()) {
            Blame::Nobody | Blame::Source => Word::Nothing,
            Blame::Status => Word::Unwelcome,
            Blame::Proxy | Blame::Tls | Blame::Protocol | Blame::Address => Word::Later(error.retry_after()),
        }
    }
}

/// Whether another connection may do better: at an address that blocked us, or has failed, this one is gone. One that was told to come later would be
/// told so again, and a validator that cannot tell fails again, or takes its time again.
pub(super) fn is_worth_another(error: &Error) -> bool {
    let again = matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Validator);
    !again && !Own::is_of(error)
}
