//! Asking for a connection: at once where one is ready, else as a place in line.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tracing::Instrument;

use super::dialling::not_spawned;
use super::inner::{Asked, Inner};
use super::judging::is_worth_another;
use super::lent::Site;
use super::name::Name;
use super::observer::Event;
use super::place::Place;
use super::validator::Validator;
use super::{HotConn, Order, span};
use crate::clock::Moment;
use crate::dial::Boxed;
use crate::error::{Error, ErrorKind, Phase};
use crate::sync::Ordering;
use crate::target::Target;

/// A connection to come: see [`HotConnPool::get`](crate::HotConnPool::get).
///
/// Its first poll answers if a connection is ready, without a timer, a waiter or an allocation.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Get<'a> {
    state: State,
    /// Some until it waits.
    request: Option<Request<'a>>,
    /// Some from when it waits.
    waiting: Option<Boxed<'a, Result<HotConn, Error>>>,
}

/// ```text
/// New ──ready, or an error──────────────▶ Over
///  └──nothing ready──▶ Waiting ──answer──▶ Over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Waiting,
    Over,
}

/// Who asks whom for what.
struct Request<'a> {
    inner: &'a Arc<Inner>,
    name: Name<'a>,
    order: Order,
    site: Site,
}

impl<'a> Get<'a> {
    #[inline]
    pub(super) fn new(inner: &'a Arc<Inner>, name: Name<'a>, order: Order, site: Site) -> Self {
        Get {
            state: State::New,
            request: Some(Request {
                inner,
                name,
                order,
                site,
            }),
            waiting: None,
        }
    }

    /// One whose connection `validator` judges before it is handed out.
    pub(super) fn judged(mut self, validator: Arc<dyn Validator>) -> Self {
        if let Some(request) = self.request.take() {
            self.waiting = Some(Box::pin(async move { request.wait_judged(&*validator).await }));
            self.state = State::Waiting;
        }
        self
    }

    #[cold]
    fn begin_waiting(&mut self, first: Option<Result<Asked, Error>>) {
        if let Some(request) = self.request.take() {
            self.waiting = Some(Box::pin(request.wait(first)));
            self.state = State::Waiting;
        }
    }
}

impl Future for Get<'_> {
    type Output = Result<HotConn, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // New => Waiting, Over: a connection that is ready needs nothing but itself.
        if let (State::New, Some(request)) = (self.state, &self.request) {
            match request.at_once() {
                Ok(conn) => {
                    self.state = State::Over;
                    return Poll::Ready(Ok(conn));
                }
                Err(first) => self.begin_waiting(first),
            }
        }
        // Waiting => Waiting, Over
        let Some(waiting) = &mut self.waiting else {
            return Poll::Pending; // as a finished async function, but without the panic
        };
        let polled = waiting.as_mut().poll(cx);
        if polled.is_ready() {
            self.waiting = None;
            self.state = State::Over;
        }
        polled
    }
}

impl<'a> Request<'a> {
    /// A connection that is ready; else what was answered, if anything was.
    #[inline]
    fn at_once(&self) -> Result<HotConn, Option<Result<Asked, Error>>> {
        if !self.inner.upkeep.load(Ordering::Relaxed) {
            super::jobs::start(self.inner);
        }
        let claim = self.order.claim(&self.inner.identities);
        let known = self
            .name
            .key(self.inner)
            .and_then(|key| self.inner.ask_known(&key, &claim, self.site));
        match known {
            Some(Ok(Asked::Ready(conn))) if conn.is_sure() => Ok(conn),
            Some(Ok(Asked::Ready(conn))) => match conn.alive() {
                Ok(Some(conn)) => Ok(conn),
                Ok(None) => Err(None),
                Err(error) => Err(Some(Err(error))),
            },
            other => Err(other),
        }
    }

    async fn wait(self, first: Option<Result<Asked, Error>>) -> Result<HotConn, Error> {
        let target = self.name.target()?;
        let waiting = pin!(self.wait_for(&target, first, self.until()));
        waiting.instrument(span::get(&target)).await
    }

    /// A connection that passes. One that does not has been used, and goes home as such.
    async fn wait_judged(self, validator: &dyn Validator) -> Result<HotConn, Error> {
        super::jobs::start(self.inner);
        let target = self.name.target()?;
        let until = self.until();
        let waiting = pin!(self.wait_for_judged(&target, validator, until));
        waiting.instrument(span::get(&target)).await
    }

    async fn wait_for_judged(
        &self,
        target: &Target<'_>,
        validator: &dyn Validator,
        until: Moment,
    ) -> Result<HotConn, Error> {
        let mut refused: Option<Error> = None;
        let mut left = self.inner.config().dial_attempts;
        while left > 0 {
            let got = self.wait_for(target, None, until).await;
            // Blocked because of what has just been found out: that is the better answer.
            let mut conn = got.map_err(|error| refused.take().unwrap_or(error))?;
            match conn.judged(validator, until).await {
                Ok(true) => return Ok(conn),
                Ok(false) => {}
                Err(error) => {
                    left -= 1;
                    let error = error.with_target(target);
                    // Without time for another it would be asked in vain.
                    if !is_worth_another(&error) || self.inner.clock().now() >= until {
                        return Err(error);
                    }
                    refused = Some(error);
                }
            }
        }
        Err(refused.unwrap_or_else(|| reset(target)))
    }

    fn until(&self) -> Moment {
        let limit = self.order.timeout;
        self.inner.clock().now() + limit.unwrap_or_else(|| self.inner.config().acquire_timeout)
    }

    async fn wait_for(
        &self,
        target: &Target<'_>,
        first: Option<Result<Asked, Error>>,
        until: Moment,
    ) -> Result<HotConn, Error> {
        let inner = self.inner;
        let claim = self.order.claim(&inner.identities);
        let config = inner.config();
        let mut first = first;
        // Connections that died between their handshake and the first look: a peer that ends them all must not be dialled for ever.
        let mut stillborn: Vec<Error> = Vec::new();
        while stillborn.len() < config.dial_attempts as usize {
            let asked = first
                .take()
                .unwrap_or_else(|| inner.ask(target, &claim, self.site));
            let conn = match asked {
                Ok(Asked::Ready(conn)) => conn.alive().map_err(|error| error.with_target(target))?,
                Ok(Asked::Line(place)) => match inner.stand(*place, until, target).await? {
                    Ok(conn) => conn,
                    Err(error) => {
                        stillborn.push(error);
                        continue;
                    }
                },
                // Blocked because of what has just happened here: that is the better answer.
                Err(error) => return Err(stillborn.pop().unwrap_or(error).with_target(target)),
            };
            if let Some(conn) = conn {
                return Ok(conn);
            }
        }
        Err(stillborn.pop().unwrap_or_else(|| reset(target)))
    }
}

fn reset(target: &Target<'_>) -> Error {
    Error::new(ErrorKind::ConnectionReset, Phase::Acquire).with_target(target)
}

/// What a place in line came to: a connection, none if an older one died, an error if a new one did.
type Served = Result<Option<HotConn>, Error>;

impl Inner {
    /// Waits in line.
    ///
    /// # Errors
    /// The time is over, or the place will not be served.
    async fn stand(
        self: &Arc<Self>,
        mut place: Place,
        until: Moment,
        target: &Target<'_>,
    ) -> Result<Served, Error> {
        // No timer without one.
        if let Err(problem) = self.rt.check(None) {
            return Err(not_spawned(problem).with_target(target));
        }
        let began = self.clock().now();
        let granted = self.until(until, pin!(place.granted())).await;
        let waited = self.clock().now().since(began);
        self.with_target(target, |host, _| {
            host.counters.wait_time += waited;
        });
        let granted = granted.unwrap_or_else(|| Err(self.out_of_time(target, place.phase())));
        self.audience.tell(Event::Waited {
            target: target.as_str(),
            waited,
            error: granted.as_ref().err(),
        });
        granted?;
        let Some(mut conn) = place.take() else {
            return Ok(Err(reset(target)));
        };
        let whole = self.until(until, pin!(conn.whole())).await;
        if whole.is_none() {
            return Err(self.out_of_time(target, Phase::Tls));
        }
        Ok(conn.alive().map_err(|error| error.with_target(target)))
    }

    fn out_of_time(self: &Arc<Self>, target: &Target<'_>, phase: Phase) -> Error {
        self.with_target(target, |host, _| host.counters.timeouts += 1);
        Error::new(ErrorKind::Timeout, phase).with_target(target)
    }
}

impl fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.request.as_ref().map(|request| &request.name);
        f.debug_struct("Get")
            .field("state", &self.state)
            .field("name", &name)
            .finish()
    }
}
