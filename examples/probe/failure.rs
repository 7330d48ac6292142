//! Why a request failed, and the kind that the report counts it under.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The pool had no connection to give, or would not open a stream.
    Pool(hotpool::Error),
    /// Time ran out after the connection was there.
    Timeout,
    /// Reading or writing failed.
    Io(io::Error),
    /// The peer's HTTP/1.1 makes no sense.
    Http1(&'static str),
    /// HTTP/2 failed on this stream.
    Http2(h2::Error),
    /// A whole answer, that says no.
    Status(u16),
}

impl Failure {
    /// The pool's own name of the kind where it has one; `http1` and `status_503` are the probe's.
    pub(crate) fn kind(&self) -> Cow<'static, str> {
        use hotpool::ErrorKind as Kind;
        let kind = match self {
            Failure::Pool(error) => error.kind(),
            Failure::Timeout => Kind::Timeout,
            Failure::Io(error) => io_kind(error),
            Failure::Http2(error) => error.get_io().map_or(Kind::Http2, io_kind),
            Failure::Http1(_) => return "http1".into(),
            Failure::Status(status) => return format!("status_{status}").into(),
        };
        kind.name().into()
    }

    /// Whether the pool did not even try, because of what it met before.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self, Failure::Pool(error) if error.kind() == hotpool::ErrorKind::Blocked)
    }
}

fn io_kind(error: &io::Error) -> hotpool::ErrorKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => hotpool::ErrorKind::ConnectionReset,
        _ => hotpool::ErrorKind::Io,
    }
}

/// With its causes: the pool's errors name the phase and leave the details to their source.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Pool(error) => {
                write!(f, "{error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            Failure::Timeout => f.write_str("no whole answer in time"),
            Failure::Io(error) => write!(f, "the connection failed: {error}"),
            Failure::Http1(problem) => write!(f, "the answer is not HTTP/1.1: {problem}"),
            Failure::Http2(error) => write!(f, "HTTP/2 failed: {error}"),
            Failure::Status(status) => write!(f, "answered with status {status}"),
        }
    }
}

impl From<hotpool::Error> for Failure {
    fn from(error: hotpool::Error) -> Self {
        Failure::Pool(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Failure::Http2(error)
    }
}
