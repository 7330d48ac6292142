//! The little of TLS's presentation language that a server's answers need.

/// A handshake message's type and length, in octets.
pub(super) const HEADER: usize = 4;

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const NEW_SESSION_TICKET: u8 = 4;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const CERTIFICATE_VERIFY: u8 = 15;
pub(super) const FINISHED: u8 = 20;

/// The first message of `bytes` with its header, and what follows it. None if it is not whole.
pub(super) fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(message_len(bytes)?)
}

/// The length of the message that begins so, with its header. None while that is not whole.
pub(super) fn message_len(bytes: &[u8]) -> Option<usize> {
    let [_, high, mid, low, ..] = bytes else {
        return None;
    };
    Some(HEADER + u24([*high, *mid, *low]))
}

pub(super) fn u24([high, mid, low]: [u8; 3]) -> usize {
    usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low)
}

/// A message of this type.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    // A message that got shorter, or a few bytes: its length fits three bytes.
    message.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend_from_slice(body);
    message
}

/// What has not been read of a message's body.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn vec8(&mut self) -> Option<&'a [u8]> {
        let [len] = self.array()?;
        self.take(len.into())
    }

    pub(super) fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }

    pub(super) fn vec24(&mut self) -> Option<&'a [u8]> {
        let len = self.array().map(u24)?;
        self.take(len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Extensions: their types and bodies. None if the list is malformed.
pub(super) fn extensions(list: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut cursor = Cursor(list);
    let mut extensions = Vec::new();
    while !cursor.is_empty() {
        extensions.push((cursor.u16()?, cursor.vec16()?));
    }
    Some(extensions)
}

/// The list of these extensions behind its length. They were read of a longer list, so it fits.
pub(super) fn write_extensions(extensions: &[(u16, &[u8])], out: &mut Vec<u8>) {
    let len: usize = extensions.iter().map(|(_, body)| 4 + body.len()).sum();
    out.extend_from_slice(&(len as u16).to_be_bytes());
    for (kind, body) in extensions {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&(body.len() as u16).to_be_bytes());
        out.extend_from_slice(body);
    }
}
