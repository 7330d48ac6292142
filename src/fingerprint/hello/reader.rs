//! Reading the presentation language of TLS (RFC 8446 section 3) with errors that say what and where.

use super::HelloError;

type Result<T> = std::result::Result<T, HelloError>;

/// A stretch of a message that has not been read yet.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// The offset of `rest` in the bytes that the caller gave.
    at: usize,
    /// How many bytes the lengths around this stretch count behind its end: binders that were cut off.
    cut: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Reader {
            rest: bytes,
            at,
            cut: 0,
        }
    }

    /// The same stretch, of which `missing` bytes were cut off its end.
    pub(super) fn with_cut(self, missing: usize) -> Self {
        Reader { cut: missing, ..self }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are missing here, if nothing else is left and they can hold a list with its length; they then count as read.
    pub(super) fn take_cut(&mut self) -> Option<u16> {
        let missing = u16::try_from(self.cut).ok().filter(|missing| *missing >= 2)?;
        self.is_empty().then(|| {
            self.cut = 0;
            missing
        })
    }

    /// Whether lengths around this stretch count bytes behind its end.
    pub(super) fn is_cut(&self) -> bool {
        self.cut > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(HelloError::Short {
                field,
                at: self.at,
                missing: len - self.rest.len(),
            });
        };
        self.rest = rest;
        self.at += len;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, field)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    pub(super) fn u24(&mut self, field: &'static str) -> Result<usize> {
        let [high, mid, low] = self.array(field)?;
        Ok(usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low))
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// All that is left, which stays.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// All that is left.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        let rest = std::mem::take(&mut self.rest);
        self.at += rest.len();
        rest
    }

    /// What a one-byte length encloses.
    pub(super) fn vec8(&mut self, field: &'static str) -> Result<Reader<'a>> {
        let len = self.u8(field)?.into();
        let at = self.at;
        Ok(Reader::new(self.bytes(len, field)?, at))
    }

    /// What a two-byte length encloses.
    pub(super) fn vec16(&mut self, field: &'static str) -> Result<Reader<'a>> {
        let len = self.u16(field)?.into();
        let at = self.at;
        Ok(Reader::new(self.bytes(len, field)?, at))
    }

    /// The bytes that a one-byte length encloses.
    pub(super) fn opaque8(&mut self, field: &'static str) -> Result<Vec<u8>> {
        Ok(self.vec8(field)?.remainder().to_vec())
    }

    /// The bytes that a two-byte length encloses.
    pub(super) fn opaque16(&mut self, field: &'static str) -> Result<Vec<u8>> {
        Ok(self.vec16(field)?.remainder().to_vec())
    }

    /// What a two-byte length encloses, where the length may count exactly the bytes that were cut off.
    pub(super) fn vec16_or_cut(&mut self, field: &'static str) -> Result<Reader<'a>> {
        let mut ahead = *self;
        let len = usize::from(ahead.u16(field)?);
        if self.cut == 0 || len != ahead.rest.len() + self.cut {
            return self.vec16(field);
        }
        let whole = ahead;
        ahead.remainder();
        // The missing bytes belong to what is handed out; the enclosing stretch has no more of them.
        *self = ahead.with_cut(0);
        Ok(whole)
    }

    /// Two-byte codes to the end.
    pub(super) fn codes(mut self, field: &'static str) -> Result<Vec<u16>> {
        let start = self.at;
        let bytes = self.remainder();
        if !bytes.len().is_multiple_of(2) {
            return Err(HelloError::Odd { field, at: start });
        }
        Ok(bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect())
    }

    /// Items to the end, each read by `item`.
    pub(super) fn items<T>(self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.items_into(Vec::new(), item)
    }

    /// The same, behind what is in `items`.
    pub(super) fn items_into<T>(
        mut self,
        mut items: Vec<T>,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        while !self.is_empty() {
            items.push(item(&mut self)?);
        }
        self.end("the list")?;
        Ok(items)
    }

    /// Nothing may be left after `field`.
    pub(super) fn end(self, field: &'static str) -> Result<()> {
        match (self.rest.len(), self.cut) {
            (0, 0) => Ok(()),
            (0, missing) => Err(HelloError::Short {
                field,
                at: self.at,
                missing,
            }),
            (extra, _) => Err(HelloError::Trailing {
                field,
                at: self.at,
                extra,
            }),
        }
    }
}
