//! A small request over an idle HTTP/1.1 connection: nothing less tells whether its peer is still there.

use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use http::{Method, Request};

use super::inner::Inner;
use super::lent::{Lent, Standing};
use crate::conn::{Ask, Wire, exchange};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::machine::{ConnId, OriginId};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// An idle connection that is asked: nobody gets it meanwhile, and who would have got it waits. Dropped before it has answered, it is closed.
pub(super) struct Asking {
    inner: Arc<Inner>,
    origin: OriginId,
    conn: ConnId,
    authority: Authority,
    lent: Option<Box<Lent>>,
}

impl Inner {
    /// Asks for `path`, in a task of its own. False if the connection does not rest any more, or is not one to ask.
    pub(super) fn ask_http1(self: &Arc<Self>, origin: OriginId, conn: ConnId, path: &PathAndQuery) -> bool {
        let taken = self.with_host(origin, |host, _| {
            let authority: Authority = host.target.as_str().parse().ok()?;
            let single = host.single_mut(conn)?;
            if !single
                .lent
                .as_ref()
                .is_some_and(|lent| matches!(lent.wire, Wire::H1(_)))
                || !host.machine.inspect(conn)
            {
                return None;
            }
            Some((authority, host.single_mut(conn)?.lent.take()))
        });
        let Some((authority, lent)) = taken.flatten() else {
            return false;
        };
        let asking = Asking {
            inner: Arc::clone(self),
            origin,
            conn,
            authority,
            lent,
        };
        let path = path.clone();
        let _ = self.rt.job(None, async move { asking.run(&path).await }); // one that did not start has been dropped, and its connection closed
        true
    }
}

impl Asking {
    async fn run(mut self, path: &PathAndQuery) {
        let Some(Lent {
            wire: Wire::H1(h1), ..
        }) = self.lent.as_deref_mut()
        else {
            return;
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = path.clone().into();
        let ask = Ask {
            phase: Phase::Use,
            authority: &self.authority,
            request: &request,
        };
        let clock = self.inner.clock();
        let answer = exchange(h1, ask, clock, clock.now() + LIMIT).await;
        if let Some(lent) = self.lent.take() {
            self.end(lent, answer.map(|_| ()).map_err(|error| reason(&error)));
        }
    }

    /// Back to its place, as after any exchange; or closed.
    fn end(&self, mut lent: Box<Lent>, answer: Result<(), CloseReason>) {
        let whole = answer.and_then(|()| lent.wire.come_home());
        let verdict = whole.map(|()| lent.look_again());
        let verdict = match verdict {
            Err(reason) | Ok(Standing::Doomed(reason)) => Some(Err(reason)),
            Ok(Standing::HalfRecord) => None,
            Ok(Standing::Sound) => Some(Ok(())),
        };
        self.inner.put_back(self.origin, self.conn, lent, verdict);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            self.end(lent, Err(CloseReason::HalfRead));
        }
    }
}

fn reason(error: &Error) -> CloseReason {
    match error.kind() {
        ErrorKind::Timeout => CloseReason::Unresponsive,
        ErrorKind::ConnectionReset => CloseReason::PeerClosed,
        _ => CloseReason::Failed,
    }
}
