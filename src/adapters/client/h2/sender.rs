//! The body of a request as it goes out, as far as the peer's windows allow.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;

use super::failed;
use crate::Error;
use crate::adapters::client::request::{Length, Refused, check_trailers};
use crate::adapters::client::upload::Upload;
use crate::fault::planted;

/// What is left of the body of a request.
pub(in crate::adapters::client) struct Sender {
    stream: SendStream<Bytes>,
    upload: Upload,
    /// What the windows had no room for yet.
    piece: Bytes,
    /// What is left of the announced length, if one was.
    left: Option<u64>,
    /// Whether it waits for the peer to ask for it.
    held: bool,
    done: bool,
}

impl Sender {
    pub(in crate::adapters::client) fn new(
        stream: SendStream<Bytes>,
        upload: Upload,
        length: Length,
        held: bool,
    ) -> Self {
        let left = match length {
            Length::None => Some(0),
            Length::Known(length) => Some(length),
            Length::Unknown => None,
        };
        Sender {
            stream,
            upload,
            piece: Bytes::new(),
            left,
            held,
            done: false,
        }
    }

    /// One that has nothing to send: what does comes behind the answer.
    pub(in crate::adapters::client) fn idle(stream: SendStream<Bytes>) -> Self {
        let mut sender = Sender::new(stream, Upload::Empty, Length::None, false);
        sender.done = true;
        sender
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn is_held(&self) -> bool {
        self.held && !self.done
    }

    /// It need not wait any more.
    pub(super) fn release(&mut self) {
        self.held = false;
    }

    pub(super) fn into_upload(self) -> Upload {
        self.upload
    }

    pub(super) fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    /// Nobody waits for what comes behind the announced length, if that is out: trailers, that is.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let is_out = self.left == Some(0) && self.piece.is_empty() && !self.held;
        match is_out && !self.done && !planted("lengths_need_an_end") {
            true => self.end(None),
            false => Ok(()),
        }
    }

    /// Sends as much as can be sent. Ready once all of it is on its way, and once the peer wants no more; why that is, the answer says.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.done {
            if self.stream.poll_reset(cx).is_ready() {
                self.done = true;
                break;
            }
            if !self.piece.is_empty() {
                let Some(room) = ready!(poll_room(&mut self.stream, self.piece.len(), cx)) else {
                    self.done = true;
                    break;
                };
                let data = self.piece.split_to(room);
                let ends = self.piece.is_empty() && self.left.is_none_or(|left| left == 0);
                self.put(data, ends && self.upload.is_at_end())?;
                continue;
            }
            if self.held {
                return Poll::Pending;
            }
            match ready!(self.upload.poll_frame(cx)).transpose()? {
                None => self.end(None)?,
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.take(data)?,
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.end(Some(trailers))?;
                        }
                    }
                },
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) -> Result<(), Error> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(Refused::Long)?;
        }
        self.piece = data;
        Ok(())
    }

    fn put(&mut self, data: Bytes, ends: bool) -> Result<(), Error> {
        let put = self.stream.send_data(data, ends);
        self.was_put(put, ends)
    }

    /// What cannot be put any more, since its stream was reset meanwhile, is as what the peer wants no more (RFC 9113 section 8.1): whether an answer was
    /// there by then, the answer says.
    fn was_put(&mut self, put: Result<(), h2::Error>, ends: bool) -> Result<(), Error> {
        self.done = ends || put.is_err();
        match put {
            Err(error) if planted("late_resets_replace_answers") => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// The end of the body, with what stands behind it.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Error> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(Refused::Short.into());
        }
        match trailers {
            None => self.put(Bytes::new(), true),
            Some(trailers) => {
                check_trailers(&trailers)?;
                let put = self.stream.send_trailers(trailers);
                self.was_put(put, true)
            }
        }
    }
}

/// How much of `wanted` the windows have room for, at least something; none if the peer wants no more.
pub(in crate::adapters::client) fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<usize>> {
    stream.reserve_capacity(wanted);
    loop {
        match stream.capacity() {
            0 => match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            },
            room => return Poll::Ready(Some(room.min(wanted))),
        }
    }
}
