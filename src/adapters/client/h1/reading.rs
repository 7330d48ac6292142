//! The reader without a stream, for this crate's own tests and fuzz targets.

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};

use super::reader::{Malformed, Reader};

/// One answer, as it is read.
#[derive(Debug)]
pub struct Reading {
    reader: Reader,
    buf: BytesMut,
    /// The status, once the head is there.
    pub status: Option<StatusCode>,
    /// What came of the body.
    pub body: Vec<u8>,
    /// The trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    problem: Option<Malformed>,
}

impl Reading {
    /// The answer to a request with this method.
    pub fn new(method: &Method) -> Self {
        Reading {
            reader: Reader::new(method),
            buf: BytesMut::new(),
            status: None,
            body: Vec::new(),
            trailers: None,
            problem: None,
        }
    }

    /// These bytes were read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        if self.problem.is_none() {
            self.problem = self.go_on().err();
        }
    }

    fn go_on(&mut self) -> Result<(), Malformed> {
        while self.status.is_none() {
            let Some(head) = self.reader.head(&mut self.buf)? else {
                return Ok(());
            };
            if !head.status().is_informational() || self.reader.is_upgraded() {
                self.status = Some(head.status());
            }
        }
        while let Some(frame) = self.reader.frame(&mut self.buf)? {
            match frame.into_data() {
                Ok(data) => self.body.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        Ok(())
    }

    /// Whether it was read to its end.
    pub fn is_over(&self) -> bool {
        self.problem.is_none() && self.reader.is_done()
    }

    /// Whether it is no answer.
    pub fn is_malformed(&self) -> bool {
        self.problem.is_some()
    }

    /// Whether something else is spoken from here on.
    pub fn is_upgraded(&self) -> bool {
        self.reader.is_upgraded()
    }
}
