//! A request on its way, and whether it may go out again.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use http::header::EXPECT;
use http::{Method, Response, StatusCode, Uri, request};

use super::request::{
    Concerns, Head, Length, Refused, check_uri, is_extended, is_of_the_server, length, server,
};
use super::upload::Upload;
use super::{Body, SendOptions, Upgraded, h1, h2};
use crate::clock::{Sleep, before};
use crate::fault::planted;
use crate::fingerprint::{Headers, Profile};
use crate::{Error, ErrorKind, Phase};
use crate::{Get, HotConn, HotConnPool, Protocol, Require, RetrySafety, Target};

/// How often a request goes out at the most.
const TRIES: u32 = 3;
/// How long a body waits to be asked for (RFC 9110 section 10.1.1: not for ever).
const PATIENCE: Duration = Duration::from_secs(1);

/// A request, for as many tries as it takes.
pub(super) struct Outgoing {
    head: Head,
    concerns: Concerns,
    upload: Upload,
    length: Length,
    options: SendOptions,
}

/// A try that failed.
struct Failed {
    error: Error,
    again: bool,
    /// Whether it may have been acted upon all the same.
    sent: bool,
}

impl Outgoing {
    /// # Errors
    /// The request may be read in two ways.
    pub(super) fn new(
        mut head: request::Parts,
        upload: Upload,
        mut options: SendOptions,
    ) -> Result<Box<Self>, Error> {
        let concerns = Concerns::of(&head.headers);
        if let Some(target) = &options.target
            && is_of_the_server(&head)
        {
            head.uri = server(target).map_err(|refused| Error::from(refused).with_target(target))?;
        }
        let checked = match check_uri(&head) {
            Err(_) if planted("uris_beside_a_target_are_not_checked") => Ok(()),
            // It stands for the target, too: that it is none is the pool's to say.
            Err(_) if options.target.is_none() && Target::try_from(&head.uri).is_err() => Ok(()),
            checked => checked,
        };
        let length = checked.and_then(|()| length(&head, concerns, &upload));
        let length = length.map_err(|refused| named(refused.into(), &head.uri))?;
        if concerns.has(Concerns::UPGRADE) {
            options.get = options.get.require(Require::Http1);
        } else if is_extended(&head) {
            options.get = options.get.require(Require::Http2);
        }
        Ok(Box::new(Outgoing {
            head: Head::new(head),
            concerns,
            upload,
            length,
            options,
        }))
    }

    /// The error, with the name of the target.
    pub(super) fn named(&self, error: Error) -> Error {
        match &self.options.target {
            Some(target) => error.with_target(target),
            None => named(error, &self.head.uri),
        }
    }

    /// The head of the answer, in time.
    pub(super) async fn send(
        this: Result<Box<Self>, Error>,
        pool: &HotConnPool,
    ) -> Result<Response<Body>, Error> {
        let mut this = this?;
        let Some(limit) = this.options.head else {
            return this.try_and_try(pool).await;
        };
        let clock = pool.clock();
        let until = clock.now() + limit;
        let answer = {
            let sending = pin!(this.try_and_try(pool));
            before(clock, until, sending).await
        };
        answer.unwrap_or_else(|| Err(this.named(Error::new(ErrorKind::Timeout, Phase::Use))))
    }

    /// The head of the answer, whichever try it is the answer to. They have one time for their connections together.
    async fn try_and_try(&mut self, pool: &HotConnPool) -> Result<Response<Body>, Error> {
        let mut left = if planted("refused_without_end") { 99 } else { TRIES };
        let began = pool.clock().now_coarse();
        // Of a try that may have been acted upon: whoever is told of another in its place takes it for not sent.
        let mut sent = None;
        let mut until = None;
        loop {
            left -= 1;
            let conn = self.conn(pool).await;
            let conn = conn.map_err(|error| sent.take().unwrap_or(error))?;
            let tried = match conn.protocol() {
                Protocol::Http1 => self.over_h1(conn, pool).await,
                Protocol::Http2 => self.over_h2(conn, pool).await,
            };
            let failed = match tried {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let until = *until.get_or_insert_with(|| began + self.limit(pool));
            let time = until.since(pool.clock().now_coarse());
            if !failed.again || left == 0 || time.is_zero() || !self.upload.rewind() {
                return Err(failed.error);
            }
            self.head.restore();
            if !planted("each_try_has_all_the_time") {
                self.options.get = std::mem::take(&mut self.options.get).timeout(time);
            }
            if failed.sent && !planted("lost_requests_are_told_as_never_sent") {
                sent = Some(failed.error);
            }
        }
    }

    /// How long a connection may take.
    fn limit(&self, pool: &HotConnPool) -> Duration {
        let limit = self.options.get.get_timeout();
        limit.unwrap_or_else(|| pool.manager().config().acquire_timeout)
    }

    fn conn<'a>(&'a self, pool: &'a HotConnPool) -> Get<'a> {
        let options = self.options.get.clone();
        match &self.options.target {
            Some(target) => pool.get_with(target, options),
            None => pool.get_with(&self.head.uri, options),
        }
    }

    async fn over_h1(&mut self, conn: HotConn, pool: &HotConnPool) -> Result<Response<Body>, Failed> {
        if self.head.method == Method::CONNECT && self.length != Length::None {
            return Err(Failed::for_good(self.named(Refused::TunnelBody.into())));
        }
        let profile = conn.info().profile.clone();
        let defaults = self.defaults(profile.as_ref());
        let body = (std::mem::replace(&mut self.upload, Upload::Empty), self.length);
        let patience = self.patience(pool);
        let mut exchange = Box::new(h1::Exchange::new(conn, &self.head, defaults, body, patience));
        let head = poll_fn(|cx| exchange.poll_head(cx)).await;
        let head = match head {
            Ok(head) => head,
            Err(error) => {
                let failed = self.judge(error, exchange.conn(), exchange.is_heard());
                self.upload = exchange.into_upload();
                return Err(failed);
            }
        };
        if exchange.is_upgraded() && !planted("upgrades_cut_their_requests_off") {
            let sent = poll_fn(|cx| exchange.poll_sent(cx)).await;
            sent.map_err(|error| Failed::for_good(self.named(error)))?;
        }
        let body = h1_body(exchange).map_err(|error| Failed::for_good(self.named(error)))?;
        Ok(head.map(|()| body))
    }

    async fn over_h2(&mut self, mut conn: HotConn, pool: &HotConnPool) -> Result<Response<Body>, Failed> {
        let defaults = self.defaults(conn.info().profile.as_ref());
        let patience = self.patience(pool);
        let head = h2::head::of(&mut self.head, self.concerns, defaults, self.length);
        let head = head.map_err(|error| Failed::for_good(self.named(error)))?;
        let ends = self.length == Length::None && self.head.method != Method::CONNECT;
        let opened = match conn.h2() {
            Ok(mut h2) => h2.send_request(head, ends).await,
            Err(error) => Err(error),
        };
        let mut call = match opened {
            Ok(opened) => h2::Call::new(opened, &mut self.upload, self.length, patience),
            Err(error) => return Err(self.judge(error, &conn, false)),
        };
        match poll_fn(|cx| call.poll_head(cx)).await {
            Ok(answer) => {
                let (status, length) = (answer.status(), h2::said_length(answer.headers()));
                Ok(answer.map(|stream| self.h2_body(call.answered(stream, conn, status, length), status)))
            }
            Err(error) => {
                self.upload = call.into_upload();
                Err(self.judge(error, &conn, false))
            }
        }
    }

    /// What an answer over HTTP/2 has behind its head.
    fn h2_body(&self, exchange: Box<h2::Exchange>, status: StatusCode) -> Body {
        if self.head.method == Method::CONNECT && self.length == Length::None && status.is_success() {
            return Body::of_upgrade(Upgraded::of_h2(exchange.into_parts()));
        }
        match exchange.is_over() {
            true => Body::empty(),
            false => Body::of_h2(exchange),
        }
    }

    fn defaults<'a>(&self, profile: Option<&'a Profile>) -> Option<&'a Headers> {
        profile.map(Profile::headers).filter(|_| !self.options.bare)
    }

    /// How long the body waits, if it does.
    fn patience(&self, pool: &HotConnPool) -> Option<Sleep> {
        if !self.concerns.has(Concerns::EXPECT) {
            return None;
        }
        let expects = self.head.headers.get(EXPECT)?;
        let expects = expects.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let clock = pool.clock();
        let expects = expects && !planted("bodies_do_not_wait_to_be_asked_for");
        expects.then(|| clock.sleep_until(clock.now() + PATIENCE))
    }

    /// What may become of a request whose try failed, with or without anything of an answer.
    fn judge(&self, error: Error, conn: &HotConn, heard: bool) -> Failed {
        let ours = matches!(error.kind(), ErrorKind::Request | ErrorKind::Body);
        let (again, sent) = match conn.retry_safety() {
            _ if heard && !planted("what_was_answered_is_forgotten") => (false, true),
            RetrySafety::NeverSent | RetrySafety::Unprocessed => (true, false),
            RetrySafety::Sent if planted("what_was_sent_is_sent_again") => (true, true),
            RetrySafety::PartlySent | RetrySafety::Sent => {
                let repeatable = self.head.method.is_idempotent() || planted("any_method_is_sent_twice");
                (self.options.resend && is_lost(&error) && repeatable, true)
            }
        };
        Failed {
            error: self.named(error),
            again: again && !ours,
            sent,
        }
    }
}

fn named(error: Error, uri: &Uri) -> Error {
    match Target::try_from(uri) {
        Ok(target) => error.with_target(&target),
        Err(_) => error,
    }
}

impl Failed {
    fn for_good(error: Error) -> Self {
        Failed {
            error,
            again: false,
            sent: true,
        }
    }
}

/// Whether the connection was lost, rather than what came over it no answer.
fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::Http2)
}

/// What an answer has behind its head.
fn h1_body(mut exchange: Box<h1::Exchange>) -> Result<Body, Error> {
    if exchange.is_upgraded() && !planted("upgrades_end_with_their_head") {
        let (conn, read) = exchange.into_parts();
        let unsupported = |_| Error::new(ErrorKind::Unsupported, Phase::Use);
        return Ok(Body::of_upgrade(Upgraded::of_h1(
            conn.detach().map_err(unsupported)?,
            read,
        )));
    }
    if exchange.is_over() {
        return Ok(Body::empty());
    }
    match exchange.whole() {
        Some(bytes) => Ok(bytes.into()),
        None => Ok(Body::of_h1(exchange)),
    }
}
