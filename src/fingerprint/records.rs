//! ClientHellos in TLS records (RFC 8446 section 5.1).

use super::hello::{CLIENT_HELLO, ClientHello, HelloError, message_len};

/// The longest fragment of a plain record, in octets.
const MAX_FRAGMENT: usize = 1 << 14;
/// The type, version and length of a record, in octets.
const RECORD_HEADER: usize = 5;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// A ClientHello and how it was found on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundHello {
    /// What it says.
    pub hello: ClientHello,
    /// Its handshake message, with the header.
    pub message: Vec<u8>,
    /// The records that carried it.
    pub records: Vec<Record>,
}

/// The shape of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Record {
    /// Its version: 0x0301 for most clients' first hello.
    pub version: u16,
    /// The length of its fragment, in octets.
    pub len: u16,
}

/// The ClientHellos at the front of what a client sent: the first, and the one that answers a HelloRetryRequest.
///
/// A hello may be split over records. ChangeCipherSpec records between hellos are passed over (RFC 8446 appendix D.4). The iterator ends
/// where the client goes on with anything else, or after the first error. In an error, offsets count from the hello's own message if it
/// is a field of the hello that is wrong, and from the stream's first byte if it is a record.
pub fn hellos(bytes: &[u8]) -> Hellos<'_> {
    Hellos {
        rest: bytes,
        at: 0,
        found: false,
    }
}

/// The iterator of [`hellos`].
#[derive(Clone, Debug)]
pub struct Hellos<'a> {
    rest: &'a [u8],
    /// The offset of `rest` in the stream.
    at: usize,
    /// Whether a hello was found: then anything else may follow.
    found: bool,
}

impl Iterator for Hellos<'_> {
    type Item = Result<FoundHello, HelloError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.find().transpose();
        self.found = true;
        if !matches!(next, Some(Ok(_))) {
            self.rest = &[];
        }
        next
    }
}

impl<'a> Hellos<'a> {
    fn find(&mut self) -> Result<Option<FoundHello>, HelloError> {
        let mut message = Vec::new();
        let mut records = Vec::new();
        while !self.rest.is_empty() {
            let at = self.at;
            let (kind, shape, fragment) = self.record()?;
            match (kind, fragment.first()) {
                (CHANGE_CIPHER_SPEC, _) if message.is_empty() => continue,
                (ALERT | APPLICATION_DATA, _) if message.is_empty() && self.found => return Ok(None),
                (HANDSHAKE, None) => return Err(value("the length of a record", at, 0)),
                (HANDSHAKE, Some(first)) if message.is_empty() && self.found && *first != CLIENT_HELLO => {
                    return Ok(None);
                }
                (HANDSHAKE, Some(_)) => {}
                (other, _) => return Err(value("the type of a record", at, other)),
            }
            message.extend_from_slice(fragment);
            records.push(shape);
            // Until the length is known, or reached, the hello goes on in the next record.
            if message_len(&message)?.is_some_and(|len| message.len() >= len) {
                return Ok(Some(FoundHello {
                    hello: ClientHello::from_message(&message)?,
                    message,
                    records,
                }));
            }
        }
        if message.is_empty() {
            return Ok(None);
        }
        ClientHello::from_message(&message).map(|_| None)
    }

    /// The next record: its type, its shape, and what it holds.
    fn record(&mut self) -> Result<(u8, Record, &'a [u8]), HelloError> {
        let short = |missing| HelloError::Short {
            field: "a record",
            at: self.at,
            missing,
        };
        let Some(([kind, v1, v0, l1, l0], rest)) = self.rest.split_first_chunk::<RECORD_HEADER>() else {
            return Err(short(RECORD_HEADER - self.rest.len()));
        };
        let shape = Record {
            version: u16::from_be_bytes([*v1, *v0]),
            len: u16::from_be_bytes([*l1, *l0]),
        };
        if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(kind) {
            return Err(value("the type of a record", self.at, *kind)); // no TLS: its length means nothing
        }
        let len = usize::from(shape.len);
        if len > MAX_FRAGMENT && *kind == HANDSHAKE {
            return Err(HelloError::TooLong {
                field: "a record",
                len,
                limit: MAX_FRAGMENT,
            });
        }
        let Some((fragment, rest)) = rest.split_at_checked(len) else {
            return Err(short(len - rest.len()));
        };
        self.rest = rest;
        self.at += RECORD_HEADER + len;
        Ok((*kind, shape, fragment))
    }
}

/// A handshake message in records of this version, each with at most `limit` octets of it (at least 1, at most 16,384).
pub fn to_records(message: &[u8], version: u16, limit: u16) -> Vec<u8> {
    let mut records = Vec::with_capacity(message.len() + RECORD_HEADER);
    write_records(message, version, limit, &mut records);
    records
}

/// The same, behind what is in `records`.
pub(crate) fn write_records(message: &[u8], version: u16, limit: u16, records: &mut Vec<u8>) {
    let limit = usize::from(limit).clamp(1, MAX_FRAGMENT);
    records.reserve(message.len() + RECORD_HEADER);
    for fragment in message.chunks(limit) {
        records.push(HANDSHAKE);
        records.extend_from_slice(&version.to_be_bytes());
        // A fragment is at most 2^14 octets long.
        records.extend_from_slice(&(fragment.len() as u16).to_be_bytes());
        records.extend_from_slice(fragment);
    }
}

fn value(field: &'static str, at: usize, found: u8) -> HelloError {
    HelloError::Value {
        field,
        at,
        found: found.into(),
    }
}
