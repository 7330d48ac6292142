//! The head of a request or an answer: what it says of its message's end and of the connection.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Request, Response, Status};

use super::fields::{Coding, Fields};
use super::held::{HEAD_LIMIT, Held};
use crate::event::CloseReason;
use crate::fault::planted;

/// The most fields of one head.
const FIELDS: usize = 100;
/// The most fields of one trailer section: fewer than anybody refuses who reads them.
const TRAILER_FIELDS: usize = 64;

/// What a request's method means for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// Where a message ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many octets.
    Length(u64),
    Chunked,
    /// With its connection.
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) method: Method,
    pub(super) framing: Framing,
    /// Whether the connection may outlive the exchange.
    pub(super) keeps: bool,
    /// HTTP/1.0: only an answer that says so keeps the connection.
    pub(super) old: bool,
    /// Whether it asks to be told before it sends its body.
    pub(super) expects: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    fields: Fields,
    version: u8,
}

/// A head and its length, once it is whole.
pub(super) type Found<T> = Result<Option<(usize, T)>, CloseReason>;

/// Reads the head at the front of `bytes`, after what was held before. Answers how much of `bytes` belonged to it, once it is whole.
///
/// A head that comes in one piece is read in place; of one that does not, all that came is held.
pub(super) fn take<T>(held: &mut Held, bytes: &[u8], parse: fn(&[u8]) -> Found<T>) -> Found<T> {
    if held.is_empty()
        && let Some(found) = parse(bytes)?
    {
        return Ok(Some(found));
    }
    let Some(taken) = held.take(bytes, HEAD_LIMIT)? else {
        return Ok(None);
    };
    held.release(|whole| match parse(whole)? {
        Some((length, head)) if length == whole.len() => Ok(Some((taken, head))),
        // Two views of where it ends.
        _ => Err(CloseReason::BadFraming),
    })
}

/// Whether what is held is the beginning of a request, by its first line: not where that has no version yet, which may be another protocol's.
pub(super) fn is_begun(held: &Held) -> bool {
    let version = b" HTTP/1.";
    let has_version = held
        .first_line()
        .windows(version.len())
        .any(|text| text == version);
    has_version && !planted("half_a_head_is_another_protocol")
}

pub(super) fn request(bytes: &[u8]) -> Found<RequestHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut fields);
    // Whatever does not read as a request may be another protocol.
    let Status::Complete(length) = parsed.map_err(|_| CloseReason::NotFollowed)? else {
        return Ok(None);
    };
    in_limits(&bytes[..length], request.headers)?;
    let fields = Fields::read(request.headers)?;
    let old = request.version == Some(0);
    let method = match request.method {
        Some("HEAD") => Method::Head,
        Some("CONNECT") => Method::Connect,
        _ => Method::Other,
    };
    let framing = match (fields.coding, fields.length) {
        // HTTP/1.0 knows no codings, and CONNECT no body.
        (Coding::Chunked, None) if !old && method != Method::Connect => Framing::Chunked,
        (Coding::None, None) => Framing::Length(0),
        (Coding::None, Some(length)) if method != Method::Connect => Framing::Length(length),
        _ => return Err(CloseReason::BadFraming),
    };
    let keeps = fields.keeps(u8::from(!old));
    let head = RequestHead {
        method,
        framing,
        keeps,
        old,
        expects: fields.expects,
    };
    Ok(Some((length, head)))
}

pub(super) fn response(bytes: &[u8]) -> Found<ResponseHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    let Status::Complete(length) = parsed.map_err(|_| CloseReason::BadFraming)? else {
        return Ok(None);
    };
    in_limits(&bytes[..length], response.headers)?;
    let (Some(status @ 100..=599), Some(version)) = (response.code, response.version) else {
        return Err(CloseReason::BadFraming);
    };
    let head = ResponseHead {
        status,
        fields: Fields::read(response.headers)?,
        version,
    };
    Ok(Some((length, head)))
}

impl ResponseHead {
    /// Where an answer that is not interim ends, if its request had that method.
    pub(super) fn framing(&self, method: Method) -> Result<Framing, CloseReason> {
        let fields = &self.fields;
        match (fields.coding, fields.length) {
            // HTTP/1.0 knows no codings.
            (Coding::Chunked | Coding::Other, _) if self.version == 0 => Err(CloseReason::BadFraming),
            _ if method == Method::Head || self.status == 304 => Ok(Framing::Length(0)),
            _ if self.status == 204 => self.bodiless().map(|()| Framing::Length(0)),
            (Coding::Chunked, _) => Ok(Framing::Chunked),
            (Coding::None, Some(length)) => Ok(Framing::Length(length)),
            (Coding::Other, _) | (Coding::None, None) => Ok(Framing::UntilClose),
        }
    }

    /// An interim answer and a 204 have no body. One that announces a body may be followed by it, for who believes that.
    pub(super) fn bodiless(&self) -> Result<(), CloseReason> {
        match (self.fields.coding, self.fields.length) {
            (Coding::None, None | Some(0)) => Ok(()),
            _ => Err(CloseReason::BadFraming),
        }
    }

    /// Whether the connection outlives it.
    pub(super) fn keeps(&self, asked_by_old: bool) -> bool {
        self.fields.keeps(self.version) && (!asked_by_old || self.fields.keep_alive)
    }
}

/// A trailer section, its empty line included. It must not speak of framing (RFC 9110 section 6.5.1).
pub(super) fn trailers(bytes: &[u8]) -> Result<(), CloseReason> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
    match httparse::parse_headers(bytes, &mut fields) {
        Ok(Status::Complete((length, headers))) if length == bytes.len() => {
            let framing = Fields::read(headers)?;
            let silent = framing.length.is_none() && framing.coding == Coding::None;
            silent.then_some(()).ok_or(CloseReason::BadFraming)?;
            whole_lines(bytes, headers)
        }
        _ => Err(CloseReason::BadFraming),
    }
}

fn in_limits(head: &[u8], headers: &[Header<'_>]) -> Result<(), CloseReason> {
    if head.len() > HEAD_LIMIT {
        return Err(CloseReason::NotFollowed);
    }
    // An empty line before the head: one reader skips it, another takes it for the end of something.
    match head.first() {
        Some(b'\r' | b'\n') => Err(CloseReason::BadFraming),
        _ => whole_lines(head, headers),
    }
}

/// Whether every line ends with CRLF. httparse takes a lone LF for a line's end, as it may; who does not (RFC 9112 section 2.2) reads another
/// message.
///
/// A line ends where a field begins, and there are two ends at the end. `headers` stand in `text`; no field goes over two lines.
fn whole_lines(text: &[u8], headers: &[Header<'_>]) -> Result<(), CloseReason> {
    let ends_before = |name: &str| {
        let at = name.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        // A trailer section begins with a field.
        at == 0 || text.get(..at).is_some_and(|before| before.ends_with(b"\r\n"))
    };
    let last = text.ends_with(b"\r\n\r\n") || text == b"\r\n";
    match last && headers.iter().all(|header| ends_before(header.name)) {
        true => Ok(()),
        false => Err(CloseReason::BadFraming),
    }
}
