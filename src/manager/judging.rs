//! A `get` whose connection is judged before it is handed out, be it new or one that rested.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use super::HotConn;
use super::blame::blame;
use super::jobs::Job;
use super::live::Way;
use super::validator::{Validator, judge};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::machine::Cause;

impl HotConn {
    /// Has it judged by `deadline`, and holds the verdict against its address, or forgets what was held. Whether it may be used after that is up to its
    /// own verdict, as after any use.
    ///
    /// Cancel safe as a use of it is: an exchange that is not over closes it.
    ///
    /// # Errors
    /// As [`judge`].
    pub(super) async fn judged(&mut self, validator: &dyn Validator, deadline: Moment) -> Result<(), Error> {
        if planted("hits_are_not_judged") {
            return Ok(());
        }
        let lent = self.lent_mut();
        lent.polled = true; // whoever waits for its bytes now is not its alarm
        let (home, abort, info) = (Arc::clone(&lent.home), lent.abort.clone(), Arc::clone(&lent.info));
        let mut judging = pin!(judge((&mut lent.wire, &info), validator, home.clock(), deadline));
        let judged = poll_fn(|cx| abort.watch(Way::In, cx, |cx| judging.as_mut().poll(cx).map(Ok))).await;
        let judged = judged.unwrap_or_else(|aborted| Err(Error::from_io(Phase::Validate, aborted)));
        let ip = info.remote.ip();
        let cause = judged.as_ref().err().map(|error| blame(error).cause());
        let held = home.with_host(lent.origin, |host, now| match (&judged, cause) {
            (Err(error), Some(cause)) => {
                host.counters.count_failure(Phase::Validate);
                let least = error.retry_after().unwrap_or_default();
                Some(host.machine.penalise_for(now, ip, cause, least)?.since(now))
            }
            _ => {
                host.machine.absolve(now, ip);
                None
            }
        });
        if cause == Some(Cause::Status) {
            home.call(Job::Blacklist); // it is tried when its time has come
        }
        if let Err(error) = &judged {
            home.tell_of_failure(&info.target, error);
        }
        judged.map_err(|error| match held.flatten() {
            Some(held) => error.with_ip(ip).with_retry_after(held),
            None => error.with_ip(ip),
        })
    }
}

/// Whether another connection may do better: at an address that blocked us, or has failed, this one is gone. One that was told to come later would be
/// told so again.
pub(super) fn is_worth_another(error: &Error) -> bool {
    error.kind() != ErrorKind::Rejected
}
