//! A ClientHello where it stands: nothing of it is copied.

use super::reader::Reader;
use super::{HEADER, HelloError, check_session_id, kind, read_header};

type Result<T> = std::result::Result<T, HelloError>;

/// A handshake message that is one ClientHello, whole or cut before its binders, by its parts. Each part is in the message; what it holds is looked
/// at when it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Outline<'a> {
    /// legacy_version, random and session_id.
    pub(crate) head: &'a [u8],
    suites: &'a [u8],
    /// Their types, lengths and bodies, each whole but for binders that were cut off.
    extensions: &'a [u8],
    /// How many bytes of the last were cut off.
    pub(crate) missing: u16,
}

impl<'a> Outline<'a> {
    /// # Errors
    /// The lengths do not fit, or the message was cut elsewhere.
    pub(crate) fn of(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(message, 0);
        let declared = read_header(&mut reader)?;
        let cut = declared.saturating_sub(reader.rest().len());
        let body = reader.bytes(declared - cut, "client_hello")?;
        reader.end("client_hello")?;
        let mut r = Reader::new(body, HEADER).with_cut(cut);
        r.bytes(2 + 32, "random")?;
        check_session_id(r.vec8("session_id")?.rest().len())?;
        let head = body.strip_suffix(r.rest()).unwrap_or_default();
        let suites = r.vec16("cipher_suites")?.rest();
        r.vec8("compression_methods")?;
        let mut list = Reader::new(&[], r.at());
        if !r.is_empty() {
            list = r.vec16_or_cut("extensions")?;
        }
        r.end("extensions")?;
        Ok(Outline {
            head,
            suites,
            extensions: list.rest(),
            missing: missing(list)?,
        })
    }

    pub(crate) fn legacy_version(self) -> u16 {
        codes(self.head).next().unwrap_or(0)
    }

    pub(crate) fn cipher_suites(self) -> impl Iterator<Item = u16> {
        codes(self.suites)
    }

    /// The types and the bodies of the extensions.
    pub(crate) fn extensions(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.extensions;
        std::iter::from_fn(move || {
            let ([k1, k0, l1, l0], after) = rest.split_first_chunk()?;
            // Of the last, bytes may be missing.
            let len = usize::from(u16::from_be_bytes([*l1, *l0])).min(after.len());
            let (body, further) = after.split_at(len);
            rest = further;
            Some((u16::from_be_bytes([*k1, *k0]), body))
        })
    }

    /// The body of the extension of this type.
    pub(crate) fn extension(self, wanted: u16) -> Option<&'a [u8]> {
        self.extensions()
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, body)| body)
    }

    /// The two-byte codes of an extension whose list has a length of two bytes.
    pub(crate) fn codes16(self, kind: u16) -> impl Iterator<Item = u16> {
        codes(self.list(kind, 2))
    }

    /// The versions of supported_versions, if that was sent.
    pub(crate) fn versions(self) -> Option<impl Iterator<Item = u16>> {
        self.extension(kind::SUPPORTED_VERSIONS)
            .map(|body| codes(body.get(1..).unwrap_or_default()))
    }

    /// The formats of ec_point_formats.
    pub(crate) fn point_formats(self) -> &'a [u8] {
        self.list(kind::EC_POINT_FORMATS, 1)
    }

    /// The protocols of an extension that lists some: ALPN, or those that have settings.
    pub(crate) fn protocols(self, kind: u16) -> impl Iterator<Item = &'a [u8]> {
        names(self.list(kind, 2))
    }

    /// The groups of the key shares, and the shares.
    pub(crate) fn key_shares(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = Reader::new(self.list(kind::KEY_SHARE, 2), 0);
        std::iter::from_fn(move || {
            let group = rest.u16("key_share").ok()?;
            Some((group, rest.vec16("key_exchange").ok()?.rest()))
        })
    }

    /// The length of the first name of server_name, in octets.
    pub(crate) fn name_len(self) -> usize {
        let mut list = Reader::new(self.list(kind::SERVER_NAME, 2), 0);
        let name = list.u8("server_name").and_then(|_| list.vec16("server_name"));
        name.map_or(0, |name| name.rest().len())
    }

    /// What stands behind the length of an extension's list; nothing without it.
    fn list(self, kind: u16, width: usize) -> &'a [u8] {
        let body = self.extension(kind).unwrap_or_default();
        body.get(width..).unwrap_or_default()
    }
}

/// Names, each behind its length in one byte.
pub(crate) fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Reader::new(list, 0);
    std::iter::from_fn(move || Some(rest.vec8("a name").ok()?.rest()))
}

fn codes(list: &[u8]) -> impl Iterator<Item = u16> {
    list.chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// How many bytes of the last extension are missing: of pre_shared_key, behind its identities, and of no other.
fn missing(mut list: Reader<'_>) -> Result<u16> {
    let mut missing = 0;
    while !list.is_empty() {
        let kind = list.u16("extension")?;
        let mut body = list.vec16_or_cut("extension")?;
        if body.is_cut() {
            if kind == kind::PRE_SHARED_KEY {
                body.vec16("psk_identities")?;
                missing = body.take_cut().unwrap_or(0);
            } else {
                body.remainder();
            }
            body.end("extension")?;
        }
    }
    list.end("the list")?;
    Ok(missing)
}
