//! An answer as it comes, without a stream: heads, bodies by length, in chunks and until the end, trailers.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use http_body::Frame;
use httparse::Status;

use crate::fault::planted;

/// The longest head, and the longest trailer section, in bytes: what the observer of the connection follows.
const HEAD_LIMIT: usize = 64 << 10;
/// The most fields of one head.
const FIELDS: usize = 100;
/// The longest line before a chunk, extensions included.
const SIZE_LINE: usize = 4 << 10;

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the answer is no HTTP/1.1")]
    Head,
    #[error("the head of the answer is too long")]
    HeadTooLong,
    #[error("the answer's content-length is no number, or several")]
    Length,
    #[error("the answer's transfer-encoding is not to be had in HTTP/1.0")]
    Coding,
    #[error("a chunk of the answer is malformed")]
    Chunk,
    #[error("the answer's trailers are malformed")]
    Trailers,
}

/// ```text
/// Head ──▶ Length, UntilClose ──▶ Done
///  │└1xx┐       ▲
///  └◀───┘       │
/// Head ──▶ Size ──▶ Chunk ──▶ AfterChunk ──▶ Size
///           └──0──▶ Trailers ──▶ Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    /// The line before a chunk.
    Size,
    Chunk(u64),
    /// The line's end behind a chunk.
    AfterChunk,
    Trailers,
    Done,
}

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct Reader {
    state: State,
    /// Whether the request was one whose answer has no body.
    head_only: bool,
    connect: bool,
    upgraded: bool,
    /// How much of a section was there when its end was not.
    looked: usize,
}

impl Reader {
    pub(crate) fn new(method: &Method) -> Self {
        Reader {
            state: State::Head,
            head_only: method == Method::HEAD,
            connect: method == Method::CONNECT,
            upgraded: false,
            looked: 0,
        }
    }

    /// Whether the answer is over.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether something else than HTTP/1.1 is spoken behind the head.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// The stream has ended. Answers whether that is where the answer ends.
    pub(crate) fn end(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// How much of the body is left, if it is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The next head, interim ones included, once it is whole.
    pub(crate) fn head(&mut self, buf: &mut BytesMut) -> Result<Option<Response<()>>, Malformed> {
        let Some(head) = self.section(buf, take_head)? else {
            return Ok(None);
        };
        self.state = self.after(&head)?;
        Ok(Some(head))
    }

    /// What follows a head (RFC 9112 section 6.3).
    fn after(&mut self, head: &Response<()>) -> Result<State, Malformed> {
        let (status, headers) = (head.status(), head.headers());
        self.upgraded = status == StatusCode::SWITCHING_PROTOCOLS || (self.connect && status.is_success());
        if self.upgraded {
            return Ok(State::Done);
        }
        if status.is_informational() {
            return Ok(State::Head);
        }
        if self.head_only || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return Ok(State::Done);
        }
        if headers.contains_key(TRANSFER_ENCODING) {
            return match head.version() {
                Version::HTTP_10 => Err(Malformed::Coding),
                _ if ends_in_chunked(headers) => Ok(State::Size),
                _ => Ok(State::UntilClose),
            };
        }
        Ok(match content_length(headers)? {
            Some(0) => State::Done,
            Some(length) => State::Length(length),
            None => State::UntilClose,
        })
    }

    /// The next piece of the body. None if more must come first, or none is left.
    pub(crate) fn frame(&mut self, buf: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Malformed> {
        self.advance(buf)?;
        let data = match self.state {
            State::Length(left) => {
                let data = take(buf, left);
                self.state = match left - data.len() as u64 {
                    0 => State::Done,
                    left => State::Length(left),
                };
                data
            }
            State::Chunk(left) => {
                let data = take(buf, left);
                self.state = match left - data.len() as u64 {
                    0 => State::AfterChunk,
                    left => State::Chunk(left),
                };
                data
            }
            State::UntilClose => buf.split().freeze(),
            State::Trailers => return self.trailers(buf),
            _ => return Ok(None),
        };
        // So that the end is known with the last piece. What is wrong there is told next time.
        let _ = self.advance(buf);
        Ok((!data.is_empty()).then(|| Frame::data(data)))
    }

    /// Passes over what stands between pieces of the body, as far as it is whole. Leaves what it cannot pass.
    fn advance(&mut self, buf: &mut BytesMut) -> Result<(), Malformed> {
        loop {
            self.state = match self.state {
                State::AfterChunk if buf.starts_with(b"\r\n") => {
                    buf.advance(2);
                    State::Size
                }
                State::AfterChunk if !b"\r\n".starts_with(buf) => return Err(Malformed::Chunk),
                State::Size => match size_line(buf)? {
                    None => return Ok(()),
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size),
                },
                State::Trailers if buf.starts_with(b"\r\n") => {
                    buf.advance(2);
                    State::Done
                }
                _ => return Ok(()),
            }
        }
    }

    /// Takes a head or a trailer section, once it is whole. One that trickles in is read once, and looked through once.
    fn section<T>(
        &mut self,
        buf: &mut BytesMut,
        take: fn(&mut BytesMut) -> Result<Option<T>, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let news = &buf[self.looked.saturating_sub(3).min(buf.len())..];
        let ends = |at: usize| news[at..].starts_with(b"\n\r\n") || news[at..].starts_with(b"\n\n");
        let may_end = self.looked == 0 || buf.len() > HEAD_LIMIT || (0..news.len()).any(ends);
        let taken = if may_end { take(buf)? } else { None };
        self.looked = if taken.is_some() { 0 } else { buf.len() };
        Ok(taken)
    }

    fn trailers(&mut self, buf: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Malformed> {
        let trailers = self.section(buf, take_trailers)?;
        if trailers.is_some() {
            self.state = State::Done;
        }
        Ok(trailers.map(Frame::trailers))
    }
}

/// Takes a trailer section, once it is whole.
fn take_trailers(buf: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let (length, spans) = match httparse::parse_headers(buf, &mut fields) {
        Ok(Status::Complete((length, headers))) => (length, spans(buf, headers)),
        Ok(Status::Partial) if buf.len() <= HEAD_LIMIT => return Ok(None),
        _ => return Err(Malformed::Trailers),
    };
    let section = buf.split_to(length).freeze();
    match ends_in_crlf(&section) {
        true => fields_of(&section, &spans).map(Some).ok_or(Malformed::Trailers),
        false => Err(Malformed::Trailers),
    }
}

/// Whether each line does. Who takes a bare LF for a line's end reads another message than who does not (RFC 9112 section 2.2): one has the end of it where the other
/// has not.
fn ends_in_crlf(lines: &[u8]) -> bool {
    let mut ends = lines.split(|&byte| byte == b'\n');
    ends.next_back(); // nothing stands behind the last one
    ends.all(|line| line.ends_with(b"\r")) || planted("trailers_end_with_a_bare_lf")
}

/// Up to `most` bytes.
fn take(buf: &mut BytesMut, most: u64) -> Bytes {
    let count = usize::try_from(most).map_or(buf.len(), |most| most.min(buf.len()));
    buf.split_to(count).freeze()
}

/// The size of the chunk to come, once its line is whole.
fn size_line(buf: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    match httparse::parse_chunk_size(buf) {
        Ok(Status::Complete((length, size))) => {
            buf.advance(length);
            Ok(Some(size))
        }
        Ok(Status::Partial) if buf.len() <= SIZE_LINE => Ok(None),
        _ => Err(Malformed::Chunk),
    }
}

/// Where a name and its value stand.
type Span = [usize; 4];

fn spans(buf: &[u8], headers: &[httparse::Header<'_>]) -> Vec<Span> {
    let offset = |part: &[u8]| part.as_ptr().addr().wrapping_sub(buf.as_ptr().addr());
    let span = |header: &httparse::Header<'_>| {
        let (name, value) = (offset(header.name.as_bytes()), offset(header.value));
        [name, name + header.name.len(), value, value + header.value.len()]
    };
    headers.iter().map(span).collect()
}

/// The fields, whose values stay where they came.
fn fields_of(text: &Bytes, spans: &[Span]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(spans.len());
    for &[name, name_end, value, value_end] in spans {
        let name = HeaderName::from_bytes(text.get(name..name_end)?).ok()?;
        let value = match value < value_end {
            true => HeaderValue::from_maybe_shared(text.slice(value..value_end)).ok()?,
            false => HeaderValue::from_static(""),
        };
        fields.append(name, value);
    }
    Some(fields)
}

/// Takes a head, once it is whole.
fn take_head(buf: &mut BytesMut) -> Result<Option<Response<()>>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, buf, &mut fields) {
        Ok(Status::Complete(length)) if length <= HEAD_LIMIT => length,
        Ok(Status::Partial) if buf.len() <= HEAD_LIMIT => return Ok(None),
        Ok(_) => return Err(Malformed::HeadTooLong),
        Err(_) => return Err(Malformed::Head),
    };
    let (Some(code), Some(version)) = (parsed.code, parsed.version) else {
        return Err(Malformed::Head);
    };
    let spans = spans(buf, parsed.headers);
    let text = buf.split_to(length).freeze();
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(code).map_err(|_| Malformed::Head)?;
    *head.version_mut() = match version {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    *head.headers_mut() = fields_of(&text, &spans).ok_or(Malformed::Head)?;
    Ok(Some(head))
}

/// Content-Length, where it is said: once, or several times the same.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for digits in value.as_bytes().split(|&byte| byte == b',') {
            let said = decimal(digits.trim_ascii()).ok_or(Malformed::Length)?;
            if length.replace(said).is_some_and(|before| before != said) {
                return Err(Malformed::Length);
            }
        }
    }
    Ok(length)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

/// Whether the last coding is chunked.
fn ends_in_chunked(headers: &HeaderMap) -> bool {
    let last = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let coding = last.and_then(|value| value.as_bytes().rsplit(|&byte| byte == b',').next());
    coding.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}
