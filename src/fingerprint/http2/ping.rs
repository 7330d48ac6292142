//! What a client has in its PINGs.

/// The eight octets in each PING by which the pool asks whether a connection is alive (RFC 9113 section 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum PingForm {
    /// Those that h2 has in all of them, on every connection: `3b7cdb7a0b8716b4`.
    H2,
    /// 1 in the first of a connection, 2 in the next and so on, in network order, as Chromium has them.
    Counter,
    /// Zeros, as Firefox and nghttp2 have them.
    Zeros,
}
