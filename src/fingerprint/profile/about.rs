//! What is known of a profile: who it is, whence it is known, how far it goes.

use std::fmt;

/// Whose hello it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Browser {
    /// Chromium.
    Chromium,
    /// Google's Chrome.
    Chrome,
    /// Microsoft's Edge.
    Edge,
    /// Firefox, releases and extended support releases.
    Firefox,
    /// Apple's Safari.
    Safari,
    /// No browser: a tool, a library, or nobody in particular.
    None,
}

/// Where a client runs, as its headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Platform {
    /// Linux on a desktop.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    MacOs,
    /// iOS.
    Ios,
    /// Its headers do not say.
    Any,
}

/// What a profile promises of a connection's first flight. Neither TCP nor timing nor later frames are part of any promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guarantee {
    /// Nobody else's: it is what it was made of.
    Own,
    /// The hello is field by field the one that was captured, but for what the client itself draws. Where the client speaks HTTP/2, so is all that it sends up to its
    /// first request, octet for octet, that request's HEADERS and the update of its stream included; of requests with headers of the caller's the
    /// [limits](super::Profile::limits) say what may differ. So they do of a server that allows a table of fewer than 4,096 octets of fields
    /// (SETTINGS_HEADER_TABLE_SIZE) before the request is made: what it is to remember of them is h2's choice. Where an acknowledgement stands between them depends on when the server speaks.
    Fields,
    /// The same for the hello alone.
    Hello,
    /// JA4, JA3 (with sorted extensions where the client draws their order) and Akamai's text are those that were published. No bytes were at hand to compare.
    Prints,
    /// The same for JA4 and JA3 alone: HTTP/2 is that of the browser that this one is made of, and nothing of its own was published.
    HelloPrints,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::Own => "own",
            Guarantee::Fields => "fields",
            Guarantee::Hello => "hello",
            Guarantee::Prints => "prints",
            Guarantee::HelloPrints => "hello prints",
        })
    }
}

/// What stands beside the recipes.
#[derive(Debug)]
pub(in crate::fingerprint) struct About {
    pub(in crate::fingerprint) browser: Browser,
    pub(in crate::fingerprint) platform: Platform,
    pub(in crate::fingerprint) source: &'static str,
    pub(in crate::fingerprint) guarantee: Guarantee,
    pub(in crate::fingerprint) limits: &'static [&'static str],
}

/// There is no profile of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile of {client} {version}, only of {client} {known}")]
pub struct UnknownVersion {
    pub(super) client: &'static str,
    pub(super) version: u32,
    pub(super) known: u32,
}

impl UnknownVersion {
    /// The version that was asked for.
    pub fn version(&self) -> u32 {
        self.version
    }
}
