//! Whether a connection that was just dialled is worth having: asked over the connection itself, before anybody gets it.

use std::pin::{Pin, pin};
use std::time::Duration;

use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};

use super::word::Word;
use crate::clock::{Clock, Moment, before};
use crate::config::health_path;
use crate::conn::{Asking, Candidate, ConnInfo, Wire, carried};
use crate::dial::{Attempt, Boxed, Dialled};
use crate::error::{ConfigError, Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::LONGEST_PENALTY;
use crate::transport::Fence;

/// What a [`Validator`] answers with.
pub type Validating<'a> = Pin<Box<dyn Future<Output = Result<Verdict, Error>> + Send + 'a>>;

/// What becomes of a connection that was validated, and of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It goes into the pool, and what was held against the address is forgotten.
    Allow,
    /// The address does not want us: it is blocked for this origin, as by a reported 403, and the connections that stand there close.
    Block,
    /// Not now: dials to the address stand back for so long, 15 minutes at the most, or, with none, for a moment, longer each time. What stands there
    /// stays.
    BackOff(Option<Duration>),
}

/// Judges each connection that the pool dials, over the connection itself, before anybody gets it: one that is allowed is the very one that goes into
/// the pool. Set by [`Builder::validator`](crate::Builder::validator); [`StatusValidator`] is one.
///
/// It is part of the attempt: it has what is left of [`attempt_timeout`](crate::PoolConfig::attempt_timeout), and if it does not allow the connection the
/// dial goes on to the next address within its own time. A `get` that is cancelled meanwhile loses nothing: the dial goes on, and its connection rests.
/// It serves every dial: those for who waits, for [`warm`](crate::HotConnPool::warm) and [`min_idle`](crate::PoolConfig::min_idle), and those by which
/// the pool sees whether a blocked address is to be avoided yet.
///
/// An error of the connection's, as [`Candidate::ask`] gives it, only backs off: dials to the address stand back for this origin. Any other error is the validator's own
/// ([`ErrorKind::Validator`]), and so is a panic: the connection is not taken, and no address is blamed. Nor is one where time runs out ([`ErrorKind::Timeout`])
/// while nothing is asked, because the validator waits for something of its own. It may be dropped at any await; its connection is closed then.
///
/// ```
/// use hotpool::{Candidate, Validating, Validator, Verdict};
///
/// /// Takes nothing below TLS 1.3, and nobody who says that it is full.
/// struct Picky;
///
/// impl Validator for Picky {
///     fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
///         Box::pin(async move {
///             if conn.info().tls.version != "TLSv1.3" {
///                 return Ok(Verdict::Block);
///             }
///             let request = http::Request::head("/ready").body(()).expect("a request");
///             let full = conn.ask(&request).await?.headers().contains_key("x-full");
///             Ok(if full { Verdict::BackOff(None) } else { Verdict::Allow })
///         })
///     }
/// }
/// # use hotpool::http;
/// # hotpool::HotConnPool::builder().validator(Picky).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Validator: Send + Sync + 'static {
    /// Judges it.
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a>;
}

/// Asks for a path, and goes by the status of the answer, as the table of [`Outcome`](crate::Outcome) has it: 200 to 399 [allow](Verdict::Allow), unless
/// other statuses are said to; 403 [blocks](Verdict::Block), unless others are; whatever else is answered [backs off](Verdict::BackOff), for as long as
/// its `Retry-After` says, if it says anything. No answer (a timeout, a reset, one over 1 MiB) backs off as well.
///
/// `Retry-After` is heeded in seconds; a date is not (RFC 9110, section 10.2.3): it would be compared with a clock that this machine may have set
/// wrong. An answer that ends its connection (`Connection: close`) leaves nothing to pool: the verdict on the address stands, the connection closes, and a
/// connection that would have been allowed counts as not to be had.
///
/// ```
/// use hotpool::{HotConnPool, StatusValidator};
///
/// let validator = StatusValidator::new("/robots.txt")?
///     .header("user-agent", "examplebot/1.0")?
///     .ok([200, 404])
///     .blocked([403, 451]);
/// let pool = HotConnPool::builder().validator(validator).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StatusValidator {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    /// None: those that say so.
    ok: Option<Vec<u16>>,
    blocked: Option<Vec<u16>>,
}

impl StatusValidator {
    /// Asks for this path, by GET.
    ///
    /// # Errors
    /// [`ConfigError`] if it is no path: it begins with `/`, and may have a query.
    pub fn new(path: &str) -> Result<Self, ConfigError> {
        let path = health_path(path);
        let path = path.ok_or_else(|| ConfigError::new("path", "not a path that begins with /"))?;
        Ok(StatusValidator {
            method: Method::GET,
            path,
            headers: HeaderMap::new(),
            ok: None,
            blocked: None,
        })
    }

    /// Asks by this method, without a body.
    ///
    /// # Errors
    /// [`ConfigError`] for CONNECT.
    pub fn method(mut self, method: Method) -> Result<Self, ConfigError> {
        if method == Method::CONNECT {
            return Err(ConfigError::new("method", "CONNECT leaves no connection to pool"));
        }
        self.method = method;
        Ok(self)
    }

    /// Sends this header field, too.
    ///
    /// # Errors
    /// [`ConfigError`] if it is none, or one that says where messages end.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let problem = |problem| ConfigError::new("header", problem);
        let name = HeaderName::try_from(name).map_err(|_| problem("not a field name"))?;
        if [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ]
        .contains(&name)
        {
            return Err(problem("says where messages or connections end"));
        }
        let value = HeaderValue::try_from(value).map_err(|_| problem("not a field value"))?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// The statuses that allow. One that blocks as well blocks.
    pub fn ok(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.ok = Some(statuses.into_iter().collect());
        self
    }

    /// The statuses that block.
    pub fn blocked(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.blocked = Some(statuses.into_iter().collect());
        self
    }

    fn judge(&self, status: u16, headers: &HeaderMap) -> Verdict {
        let among = |said: &Vec<u16>| said.contains(&status);
        let word = Word::of_status(status);
        let blocks = match &self.blocked {
            Some(blocked) => among(blocked),
            None => word == Word::Unwelcome,
        };
        let allows = match &self.ok {
            Some(ok) => among(ok),
            None => word == Word::Welcome,
        };
        match blocks && !planted("forbidden_only_backs_off") {
            true => Verdict::Block,
            false if allows || planted("every_answer_will_do") => Verdict::Allow,
            false => Verdict::BackOff(retry_after(headers)),
        }
    }
}

/// `Retry-After`, in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let heeded = digits && !planted("retry_after_is_overheard");
    // A number that is too large is still a wish to be left alone.
    heeded.then(|| Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
}

impl Validator for StatusValidator {
    fn validate<'a>(&'a self, conn: &'a mut Candidate<'_>) -> Validating<'a> {
        Box::pin(async move {
            let mut request = Request::new(());
            *request.method_mut() = self.method.clone();
            *request.uri_mut() = self.path.clone().into();
            *request.headers_mut() = self.headers.clone();
            let answer = conn.ask(&request).await?;
            Ok(self.judge(answer.status().as_u16(), answer.headers()))
        })
    }
}

/// An answer that will not do, as the source of an error.
#[derive(Debug, thiserror::Error)]
#[error("answered {0}")]
struct Answered(StatusCode);

/// Why a connection cannot be used after its validation.
#[derive(Debug, thiserror::Error)]
#[error("not reusable after its validation: {0}")]
struct Spent(CloseReason);

/// What a validator did that is nobody else's doing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Own {
    #[error("the validator took all the time for things of its own")]
    Time,
    #[error("the validator panicked")]
    Panic,
}

impl Own {
    /// Whether an error is of that.
    pub(super) fn is_of(error: &Error) -> bool {
        error.cause_as::<Own>().is_some()
    }
}

/// Who judges what a pool dials, if anybody does.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) validator: Option<&'a dyn Validator>,
    pub(super) clock: &'a dyn Clock,
}

impl<'a> Judge<'a> {
    /// An attempt, and the validation of what it brings.
    pub(super) fn over(
        self,
        dialling: Boxed<'a, Result<Dialled, Error>>,
        attempt: Attempt<'a>,
    ) -> Boxed<'a, Result<Dialled, Error>> {
        let Some(validator) = self.validator.filter(|_| !planted("nothing_is_validated")) else {
            return dialling;
        };
        Box::pin(async move {
            let mut dialled = dialling.await?;
            attempt.progress.reach(Phase::Validate);
            let detour = dialled.info.detour;
            let Dialled { wire, driver, info } = &mut dialled;
            let judging = judge((wire, info), validator, self.clock, attempt.deadline);
            match carried(driver.as_mut(), judging).await {
                Ok(()) => Ok(dialled),
                Err(error) => {
                    let error = error.with_target(attempt.target).with_ip(attempt.ip);
                    Err(error.on_a_detour(detour))
                }
            }
        })
    }
}

/// Whether an error is this connection's, as [`Candidate::ask`] gives it. What another pool said, say, names its target, and is no word of this address;
/// nor is it that a question cannot be asked after one that was given up.
fn is_of_here(problem: &Error) -> bool {
    let asked = problem.phase() == Phase::Validate && problem.target().is_none();
    asked && problem.kind() != ErrorKind::Busy || planted("a_validator_s_own_trouble_blames_the_address")
}

/// Has a validator judge, which is its owner's code. None if it panics.
async fn validate(
    validator: &dyn Validator,
    candidate: &mut Candidate<'_>,
) -> Option<Result<Verdict, Error>> {
    if planted("a_validator_s_panic_is_everybody_s") {
        return Some(validator.validate(candidate).await);
    }
    Fence::new(|| validator.validate(candidate)).outcome().await
}

/// Has a connection judged, by `deadline`. Somebody must move one of HTTP/2 meanwhile.
///
/// # Errors
/// In [`Phase::Validate`]: it is not to be had, or did not say, or the validator could not tell.
pub(super) async fn judge(
    (wire, info): (&mut Wire, &ConnInfo),
    validator: &dyn Validator,
    clock: &dyn Clock,
    deadline: Moment,
) -> Result<(), Error> {
    let error = |kind| Error::new(kind, Phase::Validate);
    let authority = info.target.parse();
    let authority =
        authority.map_err(|problem: InvalidUri| error(ErrorKind::Unsupported).with_source(problem))?;
    let asking = Asking::default();
    let mut candidate = Candidate::new(wire, info, (&authority, &asking), (clock, deadline));
    let (verdict, asks) = {
        let mut validating = pin!(validate(validator, &mut candidate));
        let verdict = before(clock, deadline, validating.as_mut()).await;
        // Before it is dropped, and its question with it.
        (verdict, asking.is_under_way())
    };
    let verdict = match verdict {
        Some(Some(Ok(verdict))) => verdict,
        Some(Some(Err(problem))) if is_of_here(&problem) => return Err(problem),
        Some(Some(Err(problem))) => return Err(error(ErrorKind::Validator).with_source(problem)),
        Some(None) => return Err(error(ErrorKind::Validator).with_source(Own::Panic)),
        None if asks || planted("a_validator_s_own_time_blames_the_address") => {
            return Err(error(ErrorKind::Timeout));
        }
        None => return Err(error(ErrorKind::Timeout).with_source(Own::Time)),
    };
    let (answered, standing) = (candidate.answered(), candidate.verdict());
    let refusal = |kind| match answered {
        Some(status) => error(kind).with_source(Answered(status)),
        None => error(kind),
    };
    match (verdict, standing) {
        (Verdict::Allow, Ok(())) => Ok(()),
        (Verdict::Allow, Err(_)) if planted("what_is_spent_is_pooled") => Ok(()),
        (Verdict::Allow, Err(reason)) if asking.is_unanswered() => {
            Err(error(ErrorKind::Validator).with_source(Spent(reason)))
        }
        (Verdict::Allow, Err(reason)) => Err(error(ErrorKind::Rejected).with_source(Spent(reason))),
        (Verdict::Block, _) => Err(refusal(ErrorKind::Blocked)),
        (Verdict::BackOff(None), _) => Err(refusal(ErrorKind::Rejected)),
        (Verdict::BackOff(Some(span)), _) => {
            // Whoever is told this may reckon with it: no number of a peer's goes on as it came.
            let span = match planted("a_peer_s_number_goes_on_as_it_came") {
                true => span,
                false => span.min(LONGEST_PENALTY),
            };
            Err(refusal(ErrorKind::Rejected).with_retry_after(span))
        }
    }
}
