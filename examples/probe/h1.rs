//! One GET over HTTP/1.1: the request is written, the answer read to its end by its framing (RFC 9112 section 6).

use bytes::{Buf, BytesMut};
use httparse::Status;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::failure::Failure;

/// More than any sane head, chunk line or trailer section has, in bytes.
const HEAD_LIMIT: usize = 64 << 10;
const HEADER_LIMIT: usize = 128;

/// An answer that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the connection may carry another exchange: both sides keep it, and nothing follows the answer.
    pub(crate) reusable: bool,
}

/// Writes `request` and reads the answer to its end.
pub(crate) async fn exchange<S>(stream: &mut S, request: &[u8]) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut reader = Reader {
        stream,
        buffer: BytesMut::with_capacity(8 << 10),
    };
    let head = reader.head().await?;
    match head.body {
        Body::Length(length) => reader.skip(length).await?,
        Body::Chunked => reader.chunks().await?,
        Body::UntilClose => reader.until_close().await?,
    }
    let reusable = head.keeps_alive && head.body != Body::UntilClose && reader.buffer.is_empty();
    Ok(Answer {
        status: head.status,
        reusable,
    })
}

struct Head {
    status: u16,
    keeps_alive: bool,
    body: Body,
}

/// How the end of a body is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

struct Reader<'a, S> {
    stream: &'a mut S,
    /// Read and not yet used.
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Reader<'_, S> {
    /// Reads more, of which there must be some.
    async fn fill(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }

    /// The head of the answer; interim ones (1xx) are passed over.
    async fn head(&mut self) -> Result<Head, Failure> {
        loop {
            match parse_head(&self.buffer)? {
                Some((length, head)) => {
                    self.buffer.advance(length);
                    match head.status {
                        101 => return Err(Failure::Http1("it switches protocols unasked")),
                        100..200 => {}
                        _ => return Ok(head),
                    }
                }
                None if self.buffer.len() > HEAD_LIMIT => return Err(Failure::Http1("its head is too long")),
                None => self.fill().await?,
            }
        }
    }

    async fn skip(&mut self, mut length: u64) -> Result<(), Failure> {
        loop {
            let here = usize::try_from(length).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            self.buffer.advance(here);
            length -= here as u64;
            if length == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self) -> Result<(), Failure> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(Status::Complete((line, 0))) => {
                    self.buffer.advance(line);
                    return self.trailers().await;
                }
                Ok(Status::Complete((line, size))) => {
                    self.buffer.advance(line);
                    self.skip(size).await?;
                    if self.line().await? != 0 {
                        return Err(Failure::Http1("a chunk is longer than it says"));
                    }
                }
                Ok(Status::Partial) if self.buffer.len() <= HEAD_LIMIT => self.fill().await?,
                _ => return Err(Failure::Http1("a chunk has no size")),
            }
        }
    }

    /// Lines up to an empty one.
    async fn trailers(&mut self) -> Result<(), Failure> {
        let mut total = 0;
        loop {
            match self.line().await? {
                0 => return Ok(()),
                length => total += length,
            }
            if total > HEAD_LIMIT {
                return Err(Failure::Http1("its trailers are too long"));
            }
        }
    }

    /// Takes one line, and answers how long it was without its end.
    async fn line(&mut self) -> Result<usize, Failure> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                self.buffer.advance(end + 2);
                return Ok(end);
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(Failure::Http1("a line has no end"));
            }
            self.fill().await?;
        }
    }

    async fn until_close(&mut self) -> Result<(), Failure> {
        loop {
            self.buffer.clear();
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// The head at the front of `bytes` and its length, once all of it is there.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Failure::Http1("its head does not parse")),
    };
    let status = response.code.unwrap_or(0);
    let chunks = last_token(response.headers, "transfer-encoding");
    let lengths = content_length(response.headers)?;
    let body = match (status, chunks, lengths) {
        (100..200 | 204 | 304, _, _) => Body::Length(0),
        (_, Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Body::Chunked,
        (_, Some(_), _) | (_, None, None) => Body::UntilClose,
        (_, None, Some(length)) => Body::Length(length),
    };
    // Both framings at once is how answers are smuggled (RFC 9112 section 6.3): read it, and do not reuse the connection.
    let ambiguous = chunks.is_some() && lengths.is_some();
    let says =
        |word: &str| tokens(response.headers, "connection").any(|token| token.eq_ignore_ascii_case(word));
    let keeps = says("keep-alive") || response.version == Some(1);
    let head = Head {
        status,
        keeps_alive: keeps && !says("close") && !ambiguous,
        body,
    };
    Ok(Some((length, head)))
}

/// The elements of a list header, over all its lines.
fn tokens<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    let values = named.filter_map(|header| std::str::from_utf8(header.value).ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn last_token<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> Option<&'a str> {
    tokens(headers, name).last()
}

/// Repeated, it must say the same each time.
fn content_length(headers: &[httparse::Header<'_>]) -> Result<Option<u64>, Failure> {
    let mut length = None;
    for token in tokens(headers, "content-length") {
        // `u64::from_str` takes a plus sign, which no length may have.
        let digits = token.bytes().all(|byte| byte.is_ascii_digit());
        let value: u64 = token
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or(Failure::Http1("its length is no number"))?;
        if length.replace(value).is_some_and(|other| other != value) {
            return Err(Failure::Http1("it has two lengths"));
        }
    }
    Ok(length)
}
