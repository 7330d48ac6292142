//! The server's first message: what it chose, and what rustls is shown of it.

use super::answers;
use super::error::Rejected;
use super::offer::Offer;
use super::wire::{Cursor, HEADER, SERVER_HELLO, extensions, message, write_extensions};
use crate::fault::planted;
use crate::fingerprint::{is_grease, kind};

pub(super) const TLS12: u16 = 0x0303;
pub(super) const TLS13: u16 = 0x0304;

/// The random that makes a ServerHello a HelloRetryRequest: the SHA-256 of that word (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What can be served of an offer.
pub(super) trait Served {
    fn suite(&self, code: u16) -> bool;
    fn version(&self, code: u16) -> bool;
    fn group(&self, code: u16, version: u16) -> bool;
    fn scheme(&self, code: u16, version: u16) -> bool;
    /// The group whose name rustls is told for a share that it did not send itself. None if it knows of this share.
    fn alias(&self, group: u16) -> Option<u16>;
}

/// What a ServerHello or HelloRetryRequest said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Whether the client is asked for another hello.
    pub(super) retry: bool,
    pub(super) version: u16,
    /// The group of the server's share.
    pub(super) group: Option<u16>,
    /// The message for rustls. None if it is as it was.
    pub(super) edited: Option<Vec<u8>>,
    /// The extensions that were taken out of it.
    pub(super) taken: Vec<u16>,
    /// More messages come as they are, of which some are judged: TLS 1.2 encrypts none before its Finished.
    pub(super) follows: bool,
    /// Among them a ticket that rustls did not ask for.
    pub(super) hides_ticket: bool,
}

/// Reads the server's choices and checks them against what was offered and what can be served. None if the message is malformed, which is for rustls to refuse.
pub(super) fn read(whole: &[u8], offer: Offer<'_>, served: &impl Served) -> Result<Option<Choice>, Rejected> {
    let Some(parts) = Parts::read(whole) else {
        return Ok(None);
    };
    let version = parts.version();
    unserved(
        "TLS version",
        version,
        offer.version(version),
        served.version(version),
    )?;
    unserved(
        "cipher suite",
        parts.suite,
        offer.suite(parts.suite),
        served.suite(parts.suite),
    )?;
    let retry = parts.random == RETRY;
    let group = parts.group();
    let mut list = parts.extensions.clone();
    let aliased;
    if retry {
        if let Some(group) = group {
            if offer.share(group) && !planted("a_share_is_asked_for_again") {
                return Err(Rejected::GroupAgain(group));
            }
            unserved("group", group, offer.group(group), served.group(group, TLS13))?;
        }
        list = answers::retry(&list, offer)?;
    } else if version == TLS12 {
        list = answers::server_hello_12(&list, offer)?;
    } else if let Some(alias) = group.and_then(|group| served.alias(group)) {
        aliased = parts.share_under(alias);
        for (kind, body) in &mut list {
            if *kind == kind::KEY_SHARE {
                *body = &aliased;
            }
        }
    }
    let edited = (list != parts.extensions).then(|| parts.with(&list));
    let promised = parts.extension(kind::SESSION_TICKET).is_some();
    Ok(Some(Choice {
        retry,
        version,
        group,
        edited,
        taken: answers::taken(&parts.extensions, &list)?,
        follows: version == TLS12 && !retry,
        hides_ticket: version == TLS12
            && promised
            && offer.hides_ticket
            && !planted("unasked_tickets_are_shown"),
    }))
}

/// What was offered in earnest goes on; what was offered because the browser does ends here, by name. What was not offered is for rustls to refuse.
fn unserved(what: &'static str, code: u16, offered: bool, served: bool) -> Result<(), Rejected> {
    if offered && !served && !is_grease(code) {
        return Err(Rejected::Unserved { what, code });
    }
    Ok(())
}

struct Parts<'a> {
    /// The body up to its extensions.
    head: &'a [u8],
    legacy_version: u16,
    random: [u8; 32],
    suite: u16,
    extensions: Vec<(u16, &'a [u8])>,
}

impl<'a> Parts<'a> {
    fn read(whole: &'a [u8]) -> Option<Self> {
        let body = whole.get(HEADER..)?;
        let mut cursor = Cursor(body);
        let legacy_version = cursor.u16()?;
        let random = cursor.array()?;
        cursor.vec8()?;
        let suite = cursor.u16()?;
        cursor.take(1)?;
        let head = &body[..body.len() - cursor.0.len()];
        // TLS 1.2 may leave the whole list out.
        let list = if cursor.is_empty() { &[] } else { cursor.vec16()? };
        cursor.is_empty().then_some(Parts {
            head,
            legacy_version,
            random,
            suite,
            extensions: extensions(list)?,
        })
    }

    fn extension(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut all = self.extensions.iter();
        all.find(|(kind, _)| *kind == wanted).map(|(_, body)| *body)
    }

    fn version(&self) -> u16 {
        let selected = self.extension(kind::SUPPORTED_VERSIONS);
        selected
            .and_then(|body| Cursor(body).u16())
            .unwrap_or(self.legacy_version)
    }

    fn group(&self) -> Option<u16> {
        if self.version() != TLS13 {
            return None;
        }
        Cursor(self.extension(kind::KEY_SHARE)?).u16()
    }

    /// The server's share under another group's name, and of the same length.
    fn share_under(&self, group: u16) -> Vec<u8> {
        let mut share = self.extension(kind::KEY_SHARE).unwrap_or_default().to_vec();
        if let Some(name) = share.first_chunk_mut::<2>() {
            *name = group.to_be_bytes();
        }
        share
    }

    fn with(&self, list: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = self.head.to_vec();
        if !list.is_empty() {
            write_extensions(list, &mut body);
        }
        message(SERVER_HELLO, &body)
    }
}
