//! Writing the presentation language of TLS (RFC 8446 section 3).

use super::HelloError;

type Result<T = (), E = HelloError> = std::result::Result<T, E>;

/// The bytes written so far.
#[derive(Default)]
pub(in crate::fingerprint) struct Writer {
    bytes: Vec<u8>,
    /// How many bytes are left out at the end that every enclosing length counts all the same.
    left_out: usize,
}

impl Writer {
    /// With room for so many bytes.
    pub(in crate::fingerprint) fn with_capacity(capacity: usize) -> Self {
        Writer {
            bytes: Vec::with_capacity(capacity),
            left_out: 0,
        }
    }

    pub(in crate::fingerprint) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(in crate::fingerprint) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(in crate::fingerprint) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(in crate::fingerprint) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(in crate::fingerprint) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(in crate::fingerprint) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(in crate::fingerprint) fn codes(&mut self, codes: &[u16]) {
        self.bytes
            .extend(codes.iter().flat_map(|code| code.to_be_bytes()));
    }

    /// Leaves `missing` bytes out at the end of the message.
    pub(in crate::fingerprint) fn leave_out(&mut self, missing: u16) {
        self.left_out = missing.into();
    }

    /// How long the message is so far, with what is left out.
    pub(in crate::fingerprint) fn whole_len(&self) -> usize {
        self.bytes.len() + self.left_out
    }

    /// Puts these bytes in front of what stands at `at`.
    pub(in crate::fingerprint) fn insert(&mut self, at: usize, bytes: impl IntoIterator<Item = u8>) {
        self.bytes.splice(at..at, bytes);
    }

    /// These bytes, behind their length in one byte.
    pub(in crate::fingerprint) fn opaque8(&mut self, field: &'static str, bytes: &[u8]) -> Result {
        self.vec8(field, |w| w.bytes(bytes))
    }

    /// These bytes, behind their length in two bytes.
    pub(in crate::fingerprint) fn opaque16(&mut self, field: &'static str, bytes: &[u8]) -> Result {
        self.vec16(field, |w| {
            w.bytes(bytes);
            Ok(())
        })
    }

    /// These codes, behind their length in two bytes.
    pub(in crate::fingerprint) fn codes16(&mut self, field: &'static str, codes: &[u16]) -> Result {
        self.vec16(field, |w| {
            w.codes(codes);
            Ok(())
        })
    }

    /// Whatever `body` writes, behind its length in one byte.
    pub(in crate::fingerprint) fn vec8(
        &mut self,
        field: &'static str,
        body: impl FnOnce(&mut Self),
    ) -> Result {
        self.prefixed(field, 1, |w| {
            body(w);
            Ok(())
        })
    }

    /// Whatever `body` writes, behind its length in two bytes.
    pub(in crate::fingerprint) fn vec16<E: From<HelloError>>(
        &mut self,
        field: &'static str,
        body: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.prefixed(field, 2, body)
    }

    /// Whatever `body` writes, behind its length in three bytes.
    pub(in crate::fingerprint) fn vec24<E: From<HelloError>>(
        &mut self,
        field: &'static str,
        body: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.prefixed(field, 3, body)
    }

    fn prefixed<E: From<HelloError>>(
        &mut self,
        field: &'static str,
        width: usize,
        body: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len() + width;
        self.bytes.resize(start, 0);
        body(self)?;
        let len = self.bytes.len() - start + self.left_out;
        let limit = (1 << (8 * width)) - 1;
        if len > limit {
            return Err(HelloError::TooLong { field, len, limit }.into());
        }
        let digits = len.to_be_bytes();
        self.bytes[start - width..start].copy_from_slice(&digits[digits.len() - width..]);
        Ok(())
    }
}
