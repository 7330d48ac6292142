//! What a server may answer to an offer that rustls did not make, taken out of what rustls is shown.
//!
//! Only what was offered is taken out, only of the messages in which it may stand, and only in its form; whatever else a server sends reaches
//! rustls as it is, which refuses it. The transcript keeps the server's own bytes.

use super::error::Rejected;
use super::offer::Offer;
use super::wire::{CERTIFICATE, Cursor, ENCRYPTED_EXTENSIONS, HEADER, extensions, message, write_extensions};
use crate::fault::planted;
use crate::fingerprint::kind;

type Result<T> = std::result::Result<T, Rejected>;

/// What counts in a record beside its content: in TLS 1.3 the content's type (RFC 8449 section 4).
const TYPE_13: usize = 1;
const TYPE_12: usize = 0;

/// What became of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The message without what rustls did not ask for. None if it is as it was.
    pub(super) edited: Option<Vec<u8>>,
    /// The extensions that were taken out.
    pub(super) taken: Vec<u16>,
}

/// Whether a message of the server's encrypted flight is one in which answers stand.
pub(super) fn may_answer(whole: &[u8]) -> bool {
    matches!(whole.first(), Some(&(ENCRYPTED_EXTENSIONS | CERTIFICATE)))
}

/// A message of the server's encrypted flight, with its header.
pub(super) fn encrypted(whole: &[u8], offer: Offer<'_>) -> Result<Answer> {
    match whole.first() {
        Some(&ENCRYPTED_EXTENSIONS) => encrypted_extensions(whole, offer),
        Some(&CERTIFICATE) => Ok(match certificate(&whole[HEADER..], offer)? {
            None => Answer::default(),
            Some(body) => Answer {
                edited: Some(message(CERTIFICATE, &body)),
                taken: vec![kind::SIGNED_CERTIFICATE_TIMESTAMP],
            },
        }),
        _ => Ok(Answer::default()),
    }
}

fn encrypted_extensions(whole: &[u8], offer: Offer<'_>) -> Result<Answer> {
    let mut cursor = Cursor(&whole[HEADER..]);
    // Malformed lists are for rustls to refuse.
    let Some(list) = cursor.vec16().filter(|_| cursor.is_empty()).and_then(extensions) else {
        return Ok(Answer::default());
    };
    let alpn = list
        .iter()
        .find(|(kind, _)| *kind == kind::ALPN)
        .map(|(_, body)| *body);
    check_protocol(&list, offer)?;
    let mut kept = Vec::new();
    for &(kind, body) in &list {
        match kind {
            _ if !offer.has(kind) && !planted("unoffered_answers_are_taken_out") => kept.push((kind, body)),
            kind::RECORD_SIZE_LIMIT => check_limit(body, offer.longest + TYPE_13)?,
            kind::ENCRYPTED_CLIENT_HELLO => check(kind, is_config_list(body))?,
            kind::TRUST_ANCHORS => check(kind, is_list_of_names(body))?,
            kind::APPLICATION_SETTINGS => {
                let protocol = alpn.and_then(only_name).ok_or(Rejected::Settings)?;
                if !offer.settings(protocol) && !planted("settings_go_with_any_protocol") {
                    return Err(Rejected::Settings);
                }
            }
            _ => kept.push((kind, body)),
        }
    }
    if kept.len() == list.len() {
        return Ok(Answer::default());
    }
    let mut body = Vec::with_capacity(whole.len());
    write_extensions(&kept, &mut body);
    Ok(Answer {
        edited: Some(message(ENCRYPTED_EXTENSIONS, &body)),
        taken: taken(&list, &kept)?,
    })
}

/// A protocol that was chosen must have been offered. rustls may have meant to offer more than the profile does.
fn check_protocol(list: &[(u16, &[u8])], offer: Offer<'_>) -> Result<()> {
    let mut chosen = list.iter().filter(|(kind, _)| *kind == kind::ALPN);
    // What is malformed is for rustls to refuse.
    let offered = chosen.all(|(_, body)| only_name(body).is_none_or(|name| offer.protocol(name)));
    if offered || planted("unoffered_protocols_are_taken") {
        Ok(())
    } else {
        Err(Rejected::Protocol)
    }
}

/// A Certificate's body without the timestamps in its entries (RFC 6962 section 3.3, RFC 8446 section 4.4.2.1). None if it is as it was.
pub(super) fn certificate(body: &[u8], offer: Offer<'_>) -> Result<Option<Vec<u8>>> {
    if !offer.has(kind::SIGNED_CERTIFICATE_TIMESTAMP) {
        return Ok(None);
    }
    let parsed = entries(body);
    let Some((context, list)) = parsed else {
        return Ok(None);
    };
    let is_stamps = |(kind, _): &(u16, &[u8])| *kind == kind::SIGNED_CERTIFICATE_TIMESTAMP;
    if !list.iter().any(|(_, list)| list.iter().any(is_stamps)) {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(body.len());
    out.push(context.len() as u8); // as it was read
    out.extend_from_slice(context);
    let start = out.len();
    out.extend_from_slice(&[0; 3]);
    for (certificate, list) in list {
        let (stamps, kept): (Vec<_>, Vec<_>) = list.iter().partition(|one| is_stamps(one));
        for (kind, stamps) in &stamps {
            check(*kind, is_list_of_stamps(stamps))?;
        }
        taken(&list, &kept)?;
        out.extend_from_slice(&(certificate.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(certificate);
        write_extensions(&kept, &mut out);
    }
    let len = out.len() - start - 3;
    out[start..start + 3].copy_from_slice(&(len as u32).to_be_bytes()[1..]);
    Ok(Some(out))
}

type Entry<'a> = (&'a [u8], Vec<(u16, &'a [u8])>);

/// The context and the entries of a Certificate. None if it is malformed.
fn entries(body: &[u8]) -> Option<(&[u8], Vec<Entry<'_>>)> {
    let mut cursor = Cursor(body);
    let context = cursor.vec8()?;
    let mut list = Cursor(cursor.vec24()?);
    let mut entries = Vec::new();
    while !list.is_empty() {
        entries.push((list.vec24()?, extensions(list.vec16()?)?));
    }
    cursor.is_empty().then_some((context, entries))
}

/// The extensions of a TLS 1.2 ServerHello without those that only the shape asked for.
pub(super) fn server_hello_12<'a>(
    list: &[(u16, &'a [u8])],
    offer: Offer<'_>,
) -> Result<Vec<(u16, &'a [u8])>> {
    check_protocol(list, offer)?;
    let mut kept = Vec::new();
    for &(kind, body) in list {
        match kind {
            _ if !offer.has(kind) => kept.push((kind, body)),
            kind::SIGNED_CERTIFICATE_TIMESTAMP => check(kind, is_list_of_stamps(body))?,
            kind::RECORD_SIZE_LIMIT => check_limit(body, offer.longest + TYPE_12)?,
            kind::SESSION_TICKET if offer.hides_ticket => check(kind, body.is_empty())?,
            _ => kept.push((kind, body)),
        }
    }
    Ok(kept)
}

/// The extensions of a HelloRetryRequest without the one that confirms an encrypted hello (RFC 9849 section 7.2.1): eight bytes, which
/// mean nothing to a client that encrypted none.
pub(super) fn retry<'a>(list: &[(u16, &'a [u8])], offer: Offer<'_>) -> Result<Vec<(u16, &'a [u8])>> {
    const CONFIRMATION: usize = 8;
    let mut kept = Vec::new();
    for &(kind, body) in list {
        if kind == kind::ENCRYPTED_CLIENT_HELLO && offer.has(kind) {
            check(kind, body.len() == CONFIRMATION)?;
        } else {
            kept.push((kind, body));
        }
    }
    Ok(kept)
}

/// The types that one list has and the other has not. None of them may stand twice, which rustls could not see any more.
pub(super) fn taken(list: &[(u16, &[u8])], kept: &[(u16, &[u8])]) -> Result<Vec<u16>> {
    let has = |kind: u16| kept.iter().any(|(kept, _)| *kept == kind);
    let mut taken = Vec::new();
    for &(kind, _) in list.iter().filter(|(kind, _)| !has(*kind)) {
        check(kind, !taken.contains(&kind))?;
        taken.push(kind);
    }
    Ok(taken)
}

fn check(kind: u16, well_formed: bool) -> Result<()> {
    if well_formed || planted("answers_have_any_form") {
        Ok(())
    } else {
        Err(Rejected::Malformed(kind))
    }
}

/// A limit that is no shorter than what is sent asks for nothing.
fn check_limit(body: &[u8], sent: usize) -> Result<()> {
    let limit = <[u8; 2]>::try_from(body).map(u16::from_be_bytes);
    match limit {
        Ok(limit) if usize::from(limit) >= sent || planted("record_limits_are_overlooked") => Ok(()),
        Ok(limit) if limit >= 64 => Err(Rejected::RecordLimit(limit)),
        _ => Err(Rejected::Malformed(kind::RECORD_SIZE_LIMIT)),
    }
}

/// The one protocol that a server's ALPN names.
fn only_name(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(body);
    let mut list = Cursor(cursor.vec16()?);
    let name = list.vec8()?;
    (cursor.is_empty() && list.is_empty()).then_some(name)
}

/// ECHConfigList: one or more of version, length, content (RFC 9849 section 4).
fn is_config_list(body: &[u8]) -> bool {
    is_list(body, |list| list.u16().and(list.vec16()))
}

/// SignedCertificateTimestampList: one or more, none empty.
fn is_list_of_stamps(body: &[u8]) -> bool {
    is_list(body, |list| list.vec16().filter(|stamp| !stamp.is_empty()))
}

fn is_list_of_names(body: &[u8]) -> bool {
    is_list(body, |list| list.vec8().filter(|name| !name.is_empty()))
}

fn is_list<'a>(body: &'a [u8], item: impl Fn(&mut Cursor<'a>) -> Option<&'a [u8]>) -> bool {
    let mut cursor = Cursor(body);
    let Some(mut list) = cursor.vec16().map(Cursor) else {
        return false;
    };
    if !cursor.is_empty() || list.is_empty() {
        return false;
    }
    while !list.is_empty() {
        if item(&mut list).is_none() {
            return false;
        }
    }
    true
}
