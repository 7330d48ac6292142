//! A request as it goes out: its head, and its body by length or in chunks.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, request};
use http_body::Frame;
use tokio::io::AsyncWrite;

use super::head::{put_field, write_head};
use crate::adapters::client::request::{Length, Refused, check_trailers};
use crate::adapters::client::upload::Upload;
use crate::fault::planted;
use crate::fingerprint::Headers;
use crate::{Error, Phase};

/// So much is gathered before it is written; a longer piece is written from where it stands.
const GATHER: usize = 16 << 10;

/// What is left of a request.
pub(super) struct Writer {
    /// Ready to be written, and behind it a long piece of the body.
    out: BytesMut,
    piece: Bytes,
    /// Behind the piece.
    tail: &'static [u8],
    upload: Upload,
    body: Body,
    unflushed: bool,
    /// Whether the body waits for the peer to ask for it.
    held: bool,
}

/// What is left of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    Done,
}

impl Writer {
    pub(super) fn new(
        head: &request::Parts,
        defaults: Option<&Headers>,
        (upload, length): (Upload, Length),
        held: bool,
    ) -> Self {
        let mut out = BytesMut::with_capacity(512);
        write_head(&mut out, head, defaults, length);
        let body = match length {
            Length::None => Body::Done,
            Length::Known(0) if upload.is_at_end() => Body::Done,
            Length::Known(length) => Body::Length(length),
            Length::Unknown => Body::Chunked,
        };
        Writer {
            out,
            piece: Bytes::new(),
            tail: &[],
            upload,
            body,
            unflushed: true,
            held: held && body != Body::Done,
        }
    }

    /// Whether all of it is out.
    pub(super) fn is_done(&self) -> bool {
        self.body == Body::Done && !self.unflushed
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// The body need not wait any more.
    pub(super) fn release(&mut self) {
        self.held = false;
    }

    pub(super) fn into_upload(self) -> Upload {
        self.upload
    }

    /// Sends as much as can be sent. Ready once all of it is out.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut io: Pin<&mut (impl AsyncWrite + ?Sized)>,
    ) -> Poll<Result<(), Error>> {
        loop {
            let gathered = self.gather(cx)?;
            while self.has_more() {
                let front = self.front();
                let count = ready!(io.as_mut().poll_write(cx, front)).map_err(failed)?;
                if count == 0 {
                    return Poll::Ready(Err(failed(std::io::ErrorKind::WriteZero.into())));
                }
                self.advance(count);
                self.unflushed = true;
            }
            if gathered.is_pending() || self.body == Body::Done || self.held {
                if self.unflushed {
                    ready!(io.as_mut().poll_flush(cx)).map_err(failed)?;
                    self.unflushed = false;
                }
                return match self.body {
                    Body::Done => Poll::Ready(Ok(())),
                    _ => Poll::Pending,
                };
            }
        }
    }

    /// What is to be written next, of which there is some.
    fn front(&self) -> &[u8] {
        match (self.out.is_empty(), self.piece.is_empty()) {
            (false, _) => &self.out,
            (true, false) => &self.piece,
            (true, true) => self.tail,
        }
    }

    fn has_more(&self) -> bool {
        !self.front().is_empty()
    }

    fn advance(&mut self, count: usize) {
        match (self.out.is_empty(), self.piece.is_empty()) {
            (false, _) => self.out.advance(count),
            (true, false) => self.piece.advance(count),
            (true, true) => self.tail = &self.tail[count..],
        }
    }

    /// Takes from the body until there is enough to write. Pending if its next piece is not there yet.
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.body != Body::Done
            && !self.held
            && self.out.len() < GATHER
            && self.piece.is_empty()
            && self.tail.is_empty()
        {
            match self.upload.poll_frame(cx) {
                Poll::Ready(Some(frame)) => self.take(frame?)?,
                Poll::Ready(None) => self.end(None)?,
                // All that was announced is there: nobody waits for what it may still have.
                Poll::Pending if self.body == Body::Length(0) && !planted("lengths_need_an_end") => {
                    self.body = Body::Done;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Error> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                return match frame.into_trailers() {
                    Ok(trailers) => self.end(Some(trailers)),
                    Err(_) => Ok(()), // a kind of frame that HTTP/1.1 has not
                };
            }
        };
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.body {
            Body::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Refused::Long)?;
                self.put(data, b"");
                if self.body == Body::Length(0) && self.upload.is_at_end() {
                    self.body = Body::Done;
                }
            }
            Body::Chunked => {
                let _ = write!((&mut self.out).writer(), "{:x}\r\n", data.len()); // to memory it does not fail
                self.put(data, b"\r\n");
                if self.piece.is_empty() && self.upload.is_at_end() {
                    self.end(None)?;
                }
            }
            Body::Done => {}
        }
        Ok(())
    }

    fn put(&mut self, data: Bytes, tail: &'static [u8]) {
        match self.out.len() + data.len() <= GATHER {
            true => {
                self.out.extend_from_slice(&data);
                self.out.extend_from_slice(tail);
            }
            false => (self.piece, self.tail) = (data, tail),
        }
    }

    /// The end of the body, with what stands behind it.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Error> {
        match self.body {
            Body::Length(1..) => return Err(Refused::Short.into()),
            Body::Length(0) | Body::Done => {} // trailers have no place there
            Body::Chunked => {
                let trailers = trailers.unwrap_or_default();
                check_trailers(&trailers)?;
                self.out.extend_from_slice(b"0\r\n");
                for (name, value) in &trailers {
                    put_field(&mut self.out, name.as_str(), value.as_bytes());
                }
                self.out.extend_from_slice(b"\r\n");
            }
        }
        self.body = Body::Done;
        Ok(())
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::from_io(Phase::Use, error)
}
