//! What the server signs with, and the group that stands in what it signs in TLS 1.2.

use super::error::Rejected;
use super::hello::{Served, TLS12, TLS13};
use super::offer::Offer;
use super::wire::{Cursor, HEADER};
use crate::fault::planted;
use crate::fingerprint::is_grease;

type Result = std::result::Result<(), Rejected>;

/// A ServerKeyExchange of TLS 1.2 (RFC 8422 section 5.4, RFC 5246 section 7.4.3). What is malformed, or of another form than a named group's, is
/// for rustls to refuse.
pub(super) fn key_exchange(whole: &[u8], offer: Offer<'_>, served: &impl Served) -> Result {
    const NAMED_CURVE: [u8; 1] = [3];
    let mut cursor = Cursor(&whole[HEADER..]);
    if cursor.array() != Some(NAMED_CURVE) {
        return Ok(());
    }
    if let Some(group) = cursor.u16() {
        check("group", group, offer.group(group), served.group(group, TLS12))?;
    }
    match cursor.vec8().and_then(|_| cursor.u16()) {
        Some(scheme) => check_scheme(scheme, TLS12, offer, served),
        None => Ok(()),
    }
}

/// A CertificateVerify of TLS 1.3 (RFC 8446 section 4.4.3).
pub(super) fn certificate_verify(whole: &[u8], offer: Offer<'_>, served: &impl Served) -> Result {
    match Cursor(&whole[HEADER..]).u16() {
        Some(scheme) => check_scheme(scheme, TLS13, offer, served),
        None => Ok(()),
    }
}

fn check_scheme(scheme: u16, version: u16, offer: Offer<'_>, served: &impl Served) -> Result {
    // rustls takes whatever it can verify, be it offered or not.
    let offered = offer.scheme(scheme) || planted("unoffered_schemes_are_taken");
    check(
        "signature scheme",
        scheme,
        offered,
        served.scheme(scheme, version),
    )
}

fn check(what: &'static str, code: u16, offered: bool, served: bool) -> Result {
    if offered && served || is_grease(code) || planted("signed_choices_are_not_named") {
        return Ok(());
    }
    Err(match offered {
        true => Rejected::Unserved { what, code },
        false => Rejected::Unoffered { what, code },
    })
}
