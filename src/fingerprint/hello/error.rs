//! What can be wrong with a ClientHello.

/// Why bytes are no ClientHello, or a ClientHello cannot be written. `at` is an offset in the bytes that were given, in octets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The bytes end before the field does.
    #[error("{field} at byte {at} lacks {missing} bytes")]
    Short {
        /// The field that is not whole.
        field: &'static str,
        /// Where it, or its length, begins.
        at: usize,
        /// How many bytes are missing at least.
        missing: usize,
    },
    /// The field has ended and bytes are left in what encloses it.
    #[error("{extra} bytes are left at byte {at}, after {field}")]
    Trailing {
        /// What had been read to its end.
        field: &'static str,
        /// Where the surplus begins.
        at: usize,
        /// How many bytes it has.
        extra: usize,
    },
    /// A list of two-byte codes has an odd number of bytes.
    #[error("{field} at byte {at} has an odd length")]
    Odd {
        /// The list.
        field: &'static str,
        /// Where its first code begins.
        at: usize,
    },
    /// A value that its field may not have.
    #[error("{field} at byte {at} may not be {found}")]
    Value {
        /// The field.
        field: &'static str,
        /// Where it stands.
        at: usize,
        /// What it holds.
        found: u32,
    },
    /// More than the field's length prefix, or its specification, allows.
    #[error("{field} has {len} bytes, over the limit of {limit}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// How long it is, in octets.
        len: usize,
        /// How long it may be, in octets.
        limit: usize,
    },
    /// Two extensions of one type (RFC 8446 section 4.2).
    #[error("extension {kind} stands twice, again at byte {at}")]
    Duplicate {
        /// The extension's type.
        kind: u16,
        /// Where the second begins.
        at: usize,
    },
    /// An extension after pre_shared_key, which must be the last (RFC 8446 section 4.2.11).
    #[error("extension {kind} stands after pre_shared_key")]
    AfterPreSharedKey {
        /// The extension's type.
        kind: u16,
    },
    /// A message that was to be cut before its binders is whole.
    #[error("the message is not truncated")]
    NotTruncated,
}
