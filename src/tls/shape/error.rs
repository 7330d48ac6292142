//! Why a shaped handshake ended.

use crate::fingerprint::{HelloError, ShapeError};

/// What stands between the shape and a handshake. None of it makes a weak connection: the handshake is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    /// The server chose something that is offered only because the browser offers it.
    #[error("the server chose {what} {code:#06x}, which the profile offers and this TLS cannot serve")]
    Unserved { what: &'static str, code: u16 },
    /// The server chose something that was not offered, and that TLS would take: the profile has it not.
    #[error("the server chose {what} {code:#06x}, which the profile does not offer")]
    Unoffered { what: &'static str, code: u16 },
    /// A HelloRetryRequest for a group that had a share (RFC 8446 section 4.1.4).
    #[error("the server asks again for group {0:#06x}, of which it was sent a share")]
    GroupAgain(u16),
    /// The server's limit for what it takes in a record is below what TLS sends (RFC 8449).
    #[error("the server takes records of at most {0} bytes, which the profile invited it to say")]
    RecordLimit(u16),
    /// An answer to the offer that is not of its form.
    #[error("the server's answer to extension {0}, which the profile offers, is malformed")]
    Malformed(u16),
    /// Settings for a protocol that was not chosen, or that has none.
    #[error("the server answers with application settings for a protocol that was not agreed on")]
    Settings,
    /// TLS would take a protocol that the hello did not offer: the profile has it not.
    #[error("the server chose a protocol that the profile does not offer")]
    Protocol,
    /// The client's last flight leaves no room for what the offer of settings obliges to.
    #[error("the client's certificate leaves no room for application settings in its record")]
    NoRoom,
    /// An answer would have to be taken out of a message of which a part has been read already.
    #[error(
        "the server's handshake message {0} holds an answer to what the profile offers and is split over records"
    )]
    Split(u8),
    /// The hello that TLS wrote cannot be read.
    #[error("TLS's own hello cannot be read: {0}")]
    Native(#[from] HelloError),
    /// The hello cannot be brought into the profile's shape.
    #[error("the hello cannot be shaped: {0}")]
    Shape(#[from] ShapeError),
    /// A hello was hashed that was not sent.
    #[error("a hello was hashed that was not sent")]
    Unsent,
    /// No random bytes or no key.
    #[error("the cryptography provider failed: {0}")]
    Provider(String),
}

impl From<rustls::Error> for Rejected {
    fn from(error: rustls::Error) -> Self {
        Rejected::Provider(error.to_string())
    }
}
