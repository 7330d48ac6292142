//! Frames on the wire (RFC 9113 section 4.1), for those who read them and those who write them.

/// The length of a frame's header.
pub(crate) const HEADER: usize = 9;
/// The length of a SETTINGS entry.
pub(crate) const ENTRY: usize = 6;

/// Kinds of frames (RFC 9113 section 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// What a frame's flags say.
pub(crate) mod flag {
    /// On SETTINGS and PING: it only acknowledges.
    pub(crate) const ACK: u8 = 0x1;
    /// On HEADERS and DATA: the sender has no more to say on this stream.
    pub(crate) const END_STREAM: u8 = 0x1;
    /// On HEADERS and CONTINUATION: the block ends here.
    pub(crate) const END_HEADERS: u8 = 0x4;
    /// On HEADERS: its payload is padded.
    pub(crate) const PADDED: u8 = 0x8;
    /// On HEADERS: a priority stands ahead of the block.
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// A frame's header. Lengths here are far below 2^24.
pub(crate) fn header(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEADER] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// How long the payload behind this header is.
pub(crate) fn length(header: &[u8; HEADER]) -> u32 {
    let [a, b, c, ..] = *header;
    u32::from_be_bytes([0, a, b, c])
}

pub(crate) fn window_update(stream: u32, increment: u32) -> [u8; HEADER + 4] {
    let mut frame = [0; HEADER + 4];
    frame[..HEADER].copy_from_slice(&header(4, kind::WINDOW_UPDATE, 0, stream));
    frame[HEADER..].copy_from_slice(&increment.to_be_bytes());
    frame
}
