//! What the header fields of a message say of where it ends and of what becomes of the connection (RFC 9112 sections 6 and 9).
//!
//! Stricter than a client has to be: a message that two readers could take for two different ones ([RFC 9112 section 11.2]) says nothing
//! that could be relied on.
//!
//! [RFC 9112 section 11.2]: https://www.rfc-editor.org/rfc/rfc9112.html#section-11.2

use httparse::Header;

use crate::event::CloseReason;

/// The fields of one message that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Content-Length.
    pub(super) length: Option<u64>,
    pub(super) coding: Coding,
    /// `Connection: close`.
    pub(super) close: bool,
    /// `Connection: keep-alive`, which only HTTP/1.0 needs.
    pub(super) keep_alive: bool,
    /// `Expect: 100-continue`.
    pub(super) expects: bool,
}

/// What Transfer-Encoding ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    /// There is none.
    #[default]
    None,
    Chunked,
    Other,
}

impl Fields {
    pub(super) fn read(headers: &[Header<'_>]) -> Result<Self, CloseReason> {
        let mut fields = Fields::default();
        for header in headers {
            match header.name.len() {
                6 if is(header, b"expect") => fields.expects |= says(header.value, b"100-continue"),
                10 if is(header, b"connection") => {
                    fields.close |= says(header.value, b"close");
                    fields.keep_alive |= says(header.value, b"keep-alive");
                }
                14 if is(header, b"content-length") => fields.add_length(header.value)?,
                17 if is(header, b"transfer-encoding") => fields.add_codings(header.value)?,
                _ => {}
            }
        }
        match (fields.length, fields.coding) {
            // How messages are smuggled past a reader who heeds the other one (section 6.3).
            (Some(_), Coding::Chunked | Coding::Other) => Err(CloseReason::BadFraming),
            _ => Ok(fields),
        }
    }

    /// Whether the connection outlives the message (section 9.3), as far as this side says.
    pub(super) fn keeps(&self, version: u8) -> bool {
        !self.close && (version == 1 || self.keep_alive)
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), CloseReason> {
        let length = decimal(value).ok_or(CloseReason::BadFraming)?;
        match self.length.replace(length) {
            Some(other) if other != length => Err(CloseReason::BadFraming),
            _ => Ok(()),
        }
    }

    /// Chunked may stand at the end and nowhere else (section 6.1).
    fn add_codings(&mut self, value: &[u8]) -> Result<(), CloseReason> {
        for coding in elements(value) {
            self.coding = match self.coding {
                Coding::Chunked => return Err(CloseReason::BadFraming),
                _ if coding.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
                _ if !coding.is_empty() && coding.iter().all(|&byte| is_token(byte)) => Coding::Other,
                _ => return Err(CloseReason::BadFraming),
            };
        }
        Ok(())
    }
}

/// Whether it has that name, which is given in small letters. Without a branch for each octet: this looks at every field of every head. No
/// octet that a name may have becomes a small letter or a hyphen by that bit, but for the letter itself.
fn is<const N: usize>(header: &Header<'_>, name: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(header.name.as_bytes()).is_ok_and(|octets| {
        let pairs = octets.iter().zip(name);
        pairs.fold(0, |odd, (octet, letter)| odd | ((octet | 0x20) ^ letter)) == 0
    })
}

/// The elements of a list, without the blanks around them.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn says(value: &[u8], word: &[u8]) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(word))
}

/// An octet that a token may have (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Digits and nothing else: no sign, no blank, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    let digits = trim(value);
    let number = digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    (!digits.is_empty()).then_some(number)
}
