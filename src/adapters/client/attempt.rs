//! A request on its way, and whether it may go out again.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use http::header::EXPECT;
use http::{Method, Response, Uri, request};

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
        options: SendOptions,
    ) -> Result<Box<Self>, Error> {
        let concerns = Concerns::of(&head.headers);
        if let Some(target) = options.get_target()
            && is_of_the_server(&head)
        {
            head.uri = server(target).map_err(|refused| Error::from(refused).with_target(target))?;
        }
        // What follows takes it where it stays: it is large.
        let mut this = Box::new(Outgoing {
            head: Head::new(head),
            concerns,
            upload,
            length: Length::None,
            options,
        });
        this.check()?;
        Ok(this)
    }

    fn check(&mut self) -> Result<(), Error> {
        let checked = match check_uri(&self.head) {
            Err(_) if planted("uris_beside_a_target_are_not_checked") => Ok(()),
            // It stands for the target, too: that it is none is the pool's to say.
            Err(_) if self.options.get_target().is_none() && Target::try_from(&self.head.uri).is_err() => {
                Ok(())
            }
            checked => checked,
        };
        let length = checked.and_then(|()| length(&self.head, self.concerns, &self.upload));
        self.length = length.map_err(|refused| named(refused.into(), &self.head.uri))?;
        if self.concerns.has(Concerns::UPGRADE) {
            self.options.change_get(|get| get.require(Require::Http1));
        } else if is_extended(&self.head) {
            self.options.change_get(|get| get.require(Require::Http2));
        }
        Ok(())
    }

    /// The error, with the name of the target.
    pub(super) fn named(&self, error: Error) -> Error {
        match self.options.get_target() {
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
        let (clock, limit) = (pool.clock(), this.options.get_head_timeout());
        let until = limit.map(|limit| clock.now() + limit);
        let answer = before(clock, until, pin!(this.try_and_try(pool))).await;
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
            let conn = match at_once(&self.options, &self.head.uri, pool).await {
                Ok(conn) => conn,
                Err(waiting) => waiting.await,
            };
            let conn = conn.map_err(|error| sent.take().unwrap_or(error))?;
            // The answer is some hundred octets: it goes out from where it came, by way of nothing else.
            let failed = match conn.protocol() {
                Protocol::Http1 => match self.over_h1(conn, pool).await {
                    Ok(answer) => return Ok(answer),
                    Err(failed) => failed,
                },
                Protocol::Http2 => match self.call(conn, pool) {
                    Ok(mut call) => match poll_fn(|cx| call.poll(cx)).await {
                        Ok(answer) => return Ok(answer),
                        Err(error) => self.lost(call, error),
                    },
                    Err(failed) => failed,
                },
            };
            let until = *until.get_or_insert_with(|| began + self.limit(pool));
            let time = until.since(pool.clock().now_coarse());
            if !failed.again || left == 0 || time.is_zero() || !self.upload.rewind() {
                return Err(failed.error);
            }
            self.head.restore();
            if !planted("each_try_has_all_the_time") {
                self.options.change_get(|get| get.timeout(time));
            }
            if failed.sent && !planted("lost_requests_are_told_as_never_sent") {
                sent = Some(failed.error);
            }
        }
    }

    /// How long a connection may take.
    fn limit(&self, pool: &HotConnPool) -> Duration {
        let limit = self.options.get_options().get_timeout();
        limit.unwrap_or_else(|| pool.manager().config().acquire_timeout)
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

    /// The request on its way over HTTP/2.
    fn call(&mut self, mut conn: HotConn, pool: &HotConnPool) -> Result<h2::Call, Failed> {
        let defaults = self.defaults(conn.info().profile.as_ref());
        let patience = self.patience(pool);
        let head = h2::head::of(&mut self.head, self.concerns, defaults, self.length);
        let head = head.map_err(|error| Failed::for_good(self.named(error)))?;
        let connects = self.head.method == Method::CONNECT;
        let ends = self.length == Length::None && !connects;
        let opened = match conn.h2() {
            Ok(mut h2) => h2.send_request(head, ends).into_inner(), // it is there at once
            Err(error) => Err(error),
        };
        let (response, stream) = match opened {
            Ok(opened) => opened,
            Err(error) => return Err(self.judge(error, &conn, false)),
        };
        let sender = match self.length {
            Length::None if ends => None,
            Length::None => Some(h2::Sender::idle(stream)),
            length => {
                let upload = std::mem::replace(&mut self.upload, Upload::Empty);
                Some(h2::Sender::new(stream, upload, length, patience.is_some()))
            }
        };
        let asked = h2::Asked {
            by_head: self.head.method == Method::HEAD,
            for_tunnel: connects && self.length == Length::None,
        };
        Ok(h2::Call::new(response, sender, patience, asked, conn))
    }

    /// What may become of a request that was on its way over HTTP/2.
    fn lost(&mut self, call: h2::Call, error: Error) -> Failed {
        let (upload, conn) = call.into_parts();
        self.upload = upload;
        match conn {
            Some(conn) => self.judge(error, &conn, false),
            None => Failed::for_good(self.named(error)),
        }
    }

    fn defaults<'a>(&self, profile: Option<&'a Profile>) -> Option<&'a Headers> {
        profile.map(Profile::headers).filter(|_| !self.options.is_bare())
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
                (self.options.resends() && is_lost(&error) && repeatable, true)
            }
        };
        Failed {
            error: self.named(error),
            again: again && !ours,
            sent,
        }
    }
}

/// A connection that is ready, or whoever waits for one: apart, so that a request whose connection is ready has no room for it.
async fn at_once<'a>(
    options: &'a SendOptions,
    uri: &'a Uri,
    pool: &'a HotConnPool,
) -> Result<Result<HotConn, Error>, Box<Get<'a>>> {
    poll_fn(|cx| {
        let get = options.get_options();
        let mut get = match options.get_target() {
            Some(target) => pool.get_with(target, get),
            None => pool.get_with(uri, get),
        };
        Poll::Ready(match Pin::new(&mut get).poll(cx) {
            Poll::Ready(conn) => Ok(conn),
            Poll::Pending => Err(Box::new(get)),
        })
    })
    .await
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
