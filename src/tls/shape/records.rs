//! Records of plain text, as they stand on the wire.

use std::borrow::Cow;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;

/// A record.
pub(super) struct Record<'a> {
    pub(super) kind: u8,
    pub(super) version: u16,
    pub(super) fragment: &'a [u8],
    /// With its header.
    pub(super) whole: &'a [u8],
}

/// The first record of `bytes`, and what follows it. None if it is not whole.
pub(super) fn next_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let ([kind, v1, v0, l1, l0], rest) = bytes.split_first_chunk::<5>()?;
    let (fragment, after) = rest.split_at_checked(u16::from_be_bytes([*l1, *l0]).into())?;
    let record = Record {
        kind: *kind,
        version: u16::from_be_bytes([*v1, *v0]),
        fragment,
        whole: &bytes[..5 + fragment.len()],
    };
    Some((record, after))
}

/// What has come, and `bytes` behind it.
pub(super) fn joined(mut begun: Vec<u8>, bytes: &[u8]) -> Cow<'_, [u8]> {
    if begun.is_empty() {
        return Cow::Borrowed(bytes);
    }
    begun.extend_from_slice(bytes);
    Cow::Owned(begun)
}
