//! What a peer answers, by path; the same over both protocols where both can say it.
//!
//! | path | answer |
//! |---|---|
//! | `/` | 200, `hello` |
//! | `/bytes/N` | N bytes of [`filler`], with Content-Length |
//! | `/chunked/N` | the same, chunked (HTTP/2: without content-length) |
//! | `/eof/N` | the same, ended by the connection's end (HTTP/2: as chunked) |
//! | `/partial/N` | promises N bytes, sends half of them and nothing more |
//! | `/extra/N` | `hello`, and N bytes beyond its Content-Length in the same write (HTTP/1.1) |
//! | `/close` | `hello` with `Connection: close`, and close (HTTP/2: as `/`) |
//! | `/reset/CODE` | HTTP/2: RST_STREAM with that code; HTTP/1.1: closes without an answer |
//! | `/echo/TAG` | `TAG` |
//! | `/read` | how many bytes the request's body had, in decimal |
//! | `/early` | `hello` before the request's body is read |
//! | `/slow/MS` | `hello`, that many milliseconds later |
//! | `/status/CODE` | that status, with `hello` where it may have a body |
//! | `/later/SECONDS` | 429 with that `Retry-After` |
//! | `/hints` | 103, then `hello` |
//! | `/upgrade` | 101, then echoes every byte (HTTP/1.1; HTTP/2: as `/`) |
//!
//! Every answer carries `x-conn` (the connection's serial number), `x-nth` (which request of that connection, from 1),
//! `x-ip` (the peer's address), `x-proto` (`h1` or `h2`) and `x-first` (the path of that connection's first request). Any other path: 404.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::board::Conn;

/// The largest piece that a body is sent in.
pub(super) const PIECE: usize = 16 * 1024;

/// How a body shows its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    Eof,
    /// Like `Length`, but half of it never comes.
    Half,
}

/// What an answer does beside being one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Plain,
    Close,
    Reset(u32),
    Early,
    Hints,
    Upgrade,
    Slow(Duration),
    Later(usize),
    Extra(usize),
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Body,
    pub(super) framing: Framing,
    pub(super) manner: Manner,
}

pub(super) enum Body {
    Text(String),
    Filler(usize),
    /// The length of the request's body.
    Count,
}

impl Answer {
    /// What `path` asks for.
    pub(super) fn to(path: &str) -> Self {
        let (name, argument) = path[1.min(path.len())..]
            .split_once('/')
            .unwrap_or((path.trim_start_matches('/'), ""));
        let number: Option<usize> = argument.parse().ok();
        let hello = || Body::Text("hello".to_owned());
        let (body, framing, manner) = match (name, number) {
            ("", _) => (hello(), Framing::Length, Manner::Plain),
            ("bytes", Some(size)) => (Body::Filler(size), Framing::Length, Manner::Plain),
            ("chunked", Some(size)) => (Body::Filler(size), Framing::Chunked, Manner::Plain),
            ("eof", Some(size)) => (Body::Filler(size), Framing::Eof, Manner::Plain),
            ("partial", Some(size)) => (Body::Filler(size), Framing::Half, Manner::Plain),
            ("extra", Some(size)) => (hello(), Framing::Length, Manner::Extra(size)),
            ("close", _) => (hello(), Framing::Length, Manner::Close),
            ("reset", Some(code)) => (hello(), Framing::Length, Manner::Reset(code as u32)),
            ("echo", _) => (Body::Text(argument.to_owned()), Framing::Length, Manner::Plain),
            ("read", _) => (Body::Count, Framing::Length, Manner::Plain),
            ("early", _) => (hello(), Framing::Length, Manner::Early),
            ("slow", Some(ms)) => (
                hello(),
                Framing::Length,
                Manner::Slow(Duration::from_millis(ms as u64)),
            ),
            ("later", Some(seconds)) => (hello(), Framing::Length, Manner::Later(seconds)),
            ("status", Some(_)) => (hello(), Framing::Length, Manner::Plain),
            ("hints", _) => (hello(), Framing::Length, Manner::Hints),
            ("upgrade", _) => (hello(), Framing::Length, Manner::Upgrade),
            _ => {
                return Self {
                    status: StatusCode::NOT_FOUND,
                    ..Self::plain("no such path")
                };
            }
        };
        let number = if name == "later" { Some(429) } else { number };
        let status = number
            .filter(|_| matches!(name, "status" | "later"))
            .and_then(|code| u16::try_from(code).ok());
        let status = status
            .and_then(|code| StatusCode::from_u16(code).ok())
            .unwrap_or(StatusCode::OK);
        Self {
            status,
            body,
            framing,
            manner,
        }
    }

    fn plain(text: &str) -> Self {
        let body = Body::Text(text.to_owned());
        Self {
            status: StatusCode::OK,
            body,
            framing: Framing::Length,
            manner: Manner::Plain,
        }
    }

    /// Whether this status may have a body (RFC 9110, 6.4.1).
    pub(super) fn has_body(&self) -> bool {
        !self.status.is_informational()
            && self.status != StatusCode::NO_CONTENT
            && self.status != StatusCode::NOT_MODIFIED
    }
}

impl Body {
    /// The body for a request whose own had `received` bytes.
    pub(super) fn size(&self, received: usize) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Filler(size) => *size,
            Self::Count => received.to_string().len(),
        }
    }

    /// Its first `limit` bytes, in pieces of [`PIECE`] at most.
    pub(super) fn pieces(&self, limit: usize, received: usize) -> impl Iterator<Item = Bytes> + Send + use<> {
        let (block, size) = match self {
            Self::Text(text) => (Bytes::from(text.clone()), text.len()),
            Self::Filler(size) => (block(*size), *size),
            Self::Count => (Bytes::from(received.to_string()), self.size(received)),
        };
        let size = size.min(limit);
        (0..size)
            .step_by(PIECE)
            .map(move |from| block.slice(..(size - from).min(PIECE)))
    }
}

/// The first `size` bytes of the body that `/bytes/N` and its like send: the alphabet, afresh every 16 KiB.
pub fn filler(size: usize) -> Vec<u8> {
    (0..size).map(|at| b'a' + (at % PIECE % 26) as u8).collect()
}

fn block(size: usize) -> Bytes {
    filler(size.min(PIECE)).into()
}

/// The headers by which an answer says where it came from.
pub(super) fn identity(conn: &Conn, nth: u64, proto: &'static str) -> [(&'static str, String); 5] {
    [
        ("x-conn", conn.serial.to_string()),
        ("x-nth", nth.to_string()),
        ("x-ip", conn.ip.to_string()),
        ("x-proto", proto.to_owned()),
        (
            "x-first",
            conn.seen(|seen| seen.first_path.clone()).unwrap_or_default(),
        ),
    ]
}
