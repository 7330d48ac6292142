//! What passes on an HTTP/1.1 connection, followed from outside: whether an exchange is over, and if not, why not.
//!
//! A passive reader of both directions (RFC 9112). It changes no byte and refuses none; it holds no more than a head, and of a body nothing. Where it
//! cannot be sure what a message means, the connection is not reusable: that costs a handshake, a wrong guess costs an answer that reaches
//! the wrong caller.

use super::body::Body;
use super::head::{self, Method, RequestHead, ResponseHead};
use super::held::Held;
use crate::event::{CloseReason, RetrySafety};
use crate::fault::planted;

/// ```text
///        first byte sent          head whole            body whole
/// Idle ──────────────────▶ Head ────────────▶ Body ────────────────▶ Done      the request
///                          Head ────────────▶ Body ────────────────▶ Done      its answer
///                           └◀─ 1xx ─┘                                 │
///   ▲                                                                  │
///   └──────────────── both done, and both sides keep it ───────────────┤
///                                                                      ▼
/// Idle, Open ──what cannot be followed, or must not be repeated──▶ Over(reason)
/// ```
///
/// An answer that ends before its request has makes it Over as well: what is still to be sent might be taken for the next request.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    state: State,
    /// Whether its user has sent anything.
    used: bool,
    request: Part,
    answer: Part,
    method: Method,
    /// Whether it is over for good once the exchange is: one side said so.
    closing: bool,
    /// HTTP/1.0 asked: only an answer that says so keeps the connection.
    old: bool,
    /// The request waits for 100 before it sends its body.
    expects: bool,
    /// The status of the answer, once its head has passed; zero before.
    status: u16,
    held_request: Held,
    held_answer: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Open,
    Over(CloseReason),
}

/// What is still to come of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    Something,
    /// Whatever comes before the connection ends.
    UntilClose,
}

/// How far a message has passed.
#[derive(Clone, Debug)]
enum Part {
    Head,
    Body(Body),
    Done,
}

impl Part {
    fn is_done(&self) -> bool {
        matches!(self, Part::Done)
    }

    /// Takes what belongs to the body, if its head has passed, and answers what follows it.
    fn take_body<'a>(&mut self, bytes: &'a [u8], held: &mut Held) -> Result<&'a [u8], CloseReason> {
        match self {
            Part::Body(body) => match body.take(bytes, held)? {
                Some(taken) => {
                    *self = Part::Done;
                    Ok(&bytes[taken..])
                }
                None => Ok(&[]),
            },
            _ => Ok(bytes),
        }
    }
}

impl Observer {
    pub(crate) fn new() -> Self {
        Observer {
            state: State::Idle,
            used: false,
            request: Part::Head,
            answer: Part::Head,
            method: Method::Other,
            closing: false,
            old: false,
            expects: false,
            status: 0,
            held_request: Held::default(),
            held_answer: Held::default(),
        }
    }

    /// Whether nothing was sent since it was new, or since the last exchange was over.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether it may carry another exchange.
    pub(crate) fn verdict(&self) -> Result<(), CloseReason> {
        match self.state {
            State::Idle => Ok(()),
            State::Open if !self.request.is_done() => Err(CloseReason::HalfSent),
            State::Open if planted("half_read_is_clean") => Ok(()),
            State::Open => Err(CloseReason::HalfRead),
            State::Over(reason) => Err(reason),
        }
    }

    /// The status of the answer, once its head has passed, and what is left of it.
    pub(crate) fn answered(&self) -> Option<(u16, Rest)> {
        let rest = match &self.answer {
            Part::Done => Rest::Nothing,
            Part::Body(Body::UntilClose) => Rest::UntilClose,
            _ => Rest::Something,
        };
        (self.status > 0).then_some((self.status, rest))
    }

    /// Its user has done with it: what is sent from here on is another's.
    pub(crate) fn come_home(&mut self) {
        self.used = false;
    }

    /// What is known of its user's last request.
    pub(crate) fn retry_safety(&self) -> RetrySafety {
        match self.state {
            State::Idle if !self.used || planted("what_was_answered_is_forgotten") => RetrySafety::NeverSent,
            State::Open | State::Over(CloseReason::HalfSent) if !self.request.is_done() => {
                RetrySafety::PartlySent
            }
            _ => RetrySafety::Sent,
        }
    }

    /// Takes the word of somebody who knows better, where this reader could not follow. What it has seen to be unfinished, at an end or
    /// ambiguous stays what it is.
    pub(crate) fn vouch(&mut self) {
        let blind = match self.state {
            State::Over(reason) => matches!(reason, CloseReason::NotFollowed | CloseReason::Pipelined),
            State::Open => matches!(self.request, Part::Head) && !head::is_begun(&self.held_request),
            State::Idle => false,
        };
        if blind {
            *self = Observer {
                used: self.used,
                ..Observer::new()
            };
        }
    }

    /// These bytes were written.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || matches!(self.state, State::Over(_)) {
            return;
        }
        self.sent_in_part();
        let followed = self.follow_request(bytes);
        self.conclude(followed);
    }

    /// These bytes were read.
    pub(crate) fn received(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let followed = match self.state {
            State::Idle => Err(CloseReason::StrayBytes),
            State::Open => self.follow_answer(bytes),
            State::Over(_) => return,
        };
        self.conclude(followed);
    }

    /// Something was written, whatever it was: of a write that failed that is not known.
    pub(crate) fn sent_in_part(&mut self) {
        if self.state == State::Idle {
            (self.state, self.used) = (State::Open, true);
            (self.request, self.answer) = (Part::Head, Part::Head);
            self.status = 0;
        }
    }

    fn follow_request(&mut self, mut bytes: &[u8]) -> Result<(), CloseReason> {
        if let Part::Head = self.request {
            let Some((length, head)) = head::take(&mut self.held_request, bytes, head::request)? else {
                return Ok(());
            };
            bytes = &bytes[length..];
            self.begin(head);
        }
        match self.request.take_body(bytes, &mut self.held_request)? {
            [] => Ok(()),
            _ => Err(CloseReason::Pipelined),
        }
    }

    fn begin(&mut self, head: RequestHead) {
        self.method = head.method;
        self.closing = !head.keeps;
        self.old = head.old;
        self.expects = head.expects;
        self.request = Part::Body(Body::new(head.framing));
    }

    fn follow_answer(&mut self, mut bytes: &[u8]) -> Result<(), CloseReason> {
        if let Part::Head = self.request {
            return Err(match head::is_begun(&self.held_request) {
                true => CloseReason::HalfSent,
                false => CloseReason::NotFollowed, // an answer to nothing
            });
        }
        while let Part::Head = self.answer {
            let Some((length, head)) = head::take(&mut self.held_answer, bytes, head::response)? else {
                return Ok(());
            };
            bytes = &bytes[length..];
            self.hear(head)?;
        }
        match self.answer.take_body(bytes, &mut self.held_answer)? {
            [] => Ok(()),
            _ => Err(CloseReason::StrayBytes),
        }
    }

    /// The head of an answer: an interim one, after which another comes, or the answer itself.
    fn hear(&mut self, head: ResponseHead) -> Result<(), CloseReason> {
        match head.status {
            // Even unasked: who sent it believes that something else is spoken from here on.
            101 if !planted("upgrade_is_interim") => return Err(CloseReason::Upgraded),
            200..300 if self.method == Method::Connect => return Err(CloseReason::Upgraded),
            100..200 => {
                self.expects &= head.status != 100;
                return head.bodiless();
            }
            // A request that waited to be told to go on may now send its body or not, and the peer may wait for it or not.
            _ if self.expects && !self.request.is_done() => return Err(CloseReason::HalfSent),
            _ => {}
        }
        self.status = head.status;
        self.closing |= !head.keeps(self.old);
        self.answer = Part::Body(Body::new(head.framing(self.method)?));
        Ok(())
    }

    /// What the exchange has come to.
    fn conclude(&mut self, followed: Result<(), CloseReason>) {
        self.state = match (followed, &self.answer) {
            (Err(reason), _) => State::Over(reason),
            (Ok(()), Part::Done) if !self.request.is_done() => State::Over(CloseReason::HalfSent),
            (Ok(()), Part::Done) if self.closing => State::Over(CloseReason::ConnectionClose),
            (Ok(()), Part::Done) => State::Idle,
            (Ok(()), _) => return,
        };
        if let State::Over(_) = self.state {
            // Nothing is followed from here on, and nothing kept.
            (self.held_request, self.held_answer) = (Held::default(), Held::default());
        }
    }
}
