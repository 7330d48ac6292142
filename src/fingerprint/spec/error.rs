//! Why there is no spec of it.

use super::super::HelloError;

/// What cannot be served, or cannot be told from the captures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// There is no whole ClientHello, or a list that is not of its form.
    #[error("the hello is malformed: {0}")]
    Hello(#[from] HelloError),
    /// No hello was given.
    #[error("there is no ClientHello")]
    NoHello,
    /// A hello in so many records; it is sent in one, of version 0x0301.
    #[error("the hello is not in one record of version 0x0301, but in {0} or of another version")]
    Records(usize),
    /// A hello of this legacy version; only 0x0303 is written.
    #[error("the legacy version {0:#06x} cannot be sent")]
    LegacyVersion(u16),
    /// A session id of this length; TLS 1.3 is offered with 32 bytes.
    #[error("a session id of {0} bytes cannot be sent")]
    SessionId(usize),
    /// A compression method other than none.
    #[error("compression cannot be served")]
    Compression,
    /// The hello names no host, or not one alone: a spec of it would reach the wrong virtual host.
    #[error("the hello does not ask for one host by name")]
    NoServerName,
    /// Neither TLS 1.3 nor TLS 1.2 is offered.
    #[error("neither TLS 1.3 nor TLS 1.2 is offered")]
    NoVersion,
    /// No cipher suite of the highest version offered can be served.
    #[error("no cipher suite that can be served is offered")]
    NoCipherSuite,
    /// TLS 1.3 is offered without this extension, which it needs, or this one stands there without TLS 1.3.
    #[error("extension {0} and TLS 1.3 are only offered together")]
    Needs(u16),
    /// Two slots of one type.
    #[error("extension {0} has two places")]
    Duplicate(u16),
    /// An extension that commits the client to more than can be served, such as early data, or one whose answers are not known.
    #[error("extension {0} cannot be served")]
    Extension(u16),
    /// An extension that can be served, but not with this content.
    #[error("extension {0} cannot be served with this content")]
    Content(u16),
    /// An extension with bytes that a client draws for each connection, as the nonce of status_request: a spec would repeat them.
    #[error("extension {0} has bytes that may have been drawn, and would be repeated")]
    Drawn(u16),
    /// A key share for a group that has no implementation here, or that is not offered in supported_groups, in the same order.
    #[error("a key share for group {0:#06x} cannot be sent")]
    Share(u16),
    /// A GREASE value given as a plain one, several of them in one list, or one where it cannot be drawn.
    #[error("the GREASE values of {0} cannot be drawn")]
    Grease(&'static str),
    /// The range to permute is not within the slots.
    #[error("extensions {start} to {end} cannot be permuted")]
    Permuted {
        /// The first place.
        start: usize,
        /// The place after the last.
        end: usize,
    },
    /// Two hellos that cannot come of one recipe.
    #[error("the hellos differ in {0}")]
    Disagree(&'static str),
}
