//! The extensions of a ClientHello, each with its list.

use super::reader::Reader;
use super::writer::Writer;
use super::{EncryptedClientHello, HelloError, KeyShare, PreSharedKey, ServerName, StatusRequest, kind};

type Result<T = ()> = std::result::Result<T, HelloError>;

/// One extension, decoded as far as a variant is named for it; the numbers stand in [`kind`].
///
/// Lists are kept whole and in order, GREASE values (RFC 8701) included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// The names asked for (RFC 6066 section 3).
    ServerName(Vec<ServerName>),
    /// A wish for the certificate's status (RFC 6066 section 8).
    StatusRequest(StatusRequest),
    /// Groups for the key exchange (RFC 8446 section 4.2.7).
    SupportedGroups(Vec<u16>),
    /// Forms of elliptic curve points (RFC 8422 section 5.1.2).
    EcPointFormats(Vec<u8>),
    /// Signature schemes (RFC 8446 section 4.2.3).
    SignatureAlgorithms(Vec<u16>),
    /// Application protocols (RFC 7301 section 3.1).
    Alpn(Vec<Vec<u8>>),
    /// A wish for certificate timestamps (RFC 6962 section 3.3.1). Empty.
    SignedCertificateTimestamp,
    /// This many zero bytes (RFC 7685).
    Padding(u16),
    /// RFC 7366. Empty.
    EncryptThenMac,
    /// RFC 7627. Empty.
    ExtendedMasterSecret,
    /// Compressions of certificates (RFC 8879): 1 zlib, 2 brotli, 3 zstd.
    CompressCertificate(Vec<u16>),
    /// The largest record that the client takes, in octets (RFC 8449).
    RecordSizeLimit(u16),
    /// Signature schemes of delegated credentials (RFC 9345 section 4.1.1).
    DelegatedCredentials(Vec<u16>),
    /// A ticket of TLS 1.2, empty to ask for one (RFC 5077 section 3.2).
    SessionTicket(Vec<u8>),
    /// Tickets of TLS 1.3 (RFC 8446 section 4.2.11). Always the last extension.
    PreSharedKey(PreSharedKey),
    /// Early data follows (RFC 8446 section 4.2.10). Empty.
    EarlyData,
    /// Versions of TLS (RFC 8446 section 4.2.1).
    SupportedVersions(Vec<u16>),
    /// What a HelloRetryRequest gave to be sent back (RFC 8446 section 4.2.2).
    Cookie(Vec<u8>),
    /// How tickets may be used (RFC 8446 section 4.2.9): 0 alone, 1 with a key exchange.
    PskKeyExchangeModes(Vec<u8>),
    /// RFC 8446 section 4.2.6. Empty.
    PostHandshakeAuth,
    /// Signature schemes within certificates (RFC 8446 section 4.2.3).
    SignatureAlgorithmsCert(Vec<u16>),
    /// Key shares (RFC 8446 section 4.2.8).
    KeyShare(Vec<KeyShare>),
    /// Protocols for which settings are exchanged, under its first number (draft-vvv-tls-alps).
    ApplicationSettingsOld(Vec<Vec<u8>>),
    /// Protocols for which settings are exchanged, under its second number (draft-vvv-tls-alps).
    ApplicationSettings(Vec<Vec<u8>>),
    /// Identifiers of trust anchors (draft-ietf-tls-trust-anchor-ids), each behind its length in one byte: there may be dozens.
    TrustAnchors(Vec<u8>),
    /// RFC 9849 section 5.
    EncryptedClientHello(EncryptedClientHello),
    /// The `renegotiated_connection` of RFC 5746 section 3.2: empty in a first handshake.
    RenegotiationInfo(Vec<u8>),
    /// Any other type, GREASE among them, with its body as it is.
    Opaque(u16, Vec<u8>),
}

impl Extension {
    /// The extension's type, as IANA numbers it.
    pub const fn kind(&self) -> u16 {
        match self {
            Extension::ServerName(_) => kind::SERVER_NAME,
            Extension::StatusRequest(_) => kind::STATUS_REQUEST,
            Extension::SupportedGroups(_) => kind::SUPPORTED_GROUPS,
            Extension::EcPointFormats(_) => kind::EC_POINT_FORMATS,
            Extension::SignatureAlgorithms(_) => kind::SIGNATURE_ALGORITHMS,
            Extension::Alpn(_) => kind::ALPN,
            Extension::SignedCertificateTimestamp => kind::SIGNED_CERTIFICATE_TIMESTAMP,
            Extension::Padding(_) => kind::PADDING,
            Extension::EncryptThenMac => kind::ENCRYPT_THEN_MAC,
            Extension::ExtendedMasterSecret => kind::EXTENDED_MASTER_SECRET,
            Extension::CompressCertificate(_) => kind::COMPRESS_CERTIFICATE,
            Extension::RecordSizeLimit(_) => kind::RECORD_SIZE_LIMIT,
            Extension::DelegatedCredentials(_) => kind::DELEGATED_CREDENTIALS,
            Extension::SessionTicket(_) => kind::SESSION_TICKET,
            Extension::PreSharedKey(_) => kind::PRE_SHARED_KEY,
            Extension::EarlyData => kind::EARLY_DATA,
            Extension::SupportedVersions(_) => kind::SUPPORTED_VERSIONS,
            Extension::Cookie(_) => kind::COOKIE,
            Extension::PskKeyExchangeModes(_) => kind::PSK_KEY_EXCHANGE_MODES,
            Extension::PostHandshakeAuth => kind::POST_HANDSHAKE_AUTH,
            Extension::SignatureAlgorithmsCert(_) => kind::SIGNATURE_ALGORITHMS_CERT,
            Extension::KeyShare(_) => kind::KEY_SHARE,
            Extension::ApplicationSettingsOld(_) => kind::APPLICATION_SETTINGS_OLD,
            Extension::ApplicationSettings(_) => kind::APPLICATION_SETTINGS,
            Extension::TrustAnchors(_) => kind::TRUST_ANCHORS,
            Extension::EncryptedClientHello(_) => kind::ENCRYPTED_CLIENT_HELLO,
            Extension::RenegotiationInfo(_) => kind::RENEGOTIATION_INFO,
            Extension::Opaque(kind, _) => *kind,
        }
    }

    /// Reads the body of an extension of type `kind`, which is all of `body`.
    ///
    /// # Errors
    /// [`HelloError`] if a type that has a variant has a body of another form. Offsets count from the body's first byte.
    pub fn from_body(kind: u16, body: &[u8]) -> Result<Self> {
        Extension::read(kind, Reader::new(body, 0))
    }

    /// The extension's body, without its type and length.
    ///
    /// # Errors
    /// [`HelloError::TooLong`] if a list does not fit its length prefix.
    pub fn body(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::default();
        self.write_body(&mut writer)?;
        Ok(writer.into_bytes())
    }

    pub(super) fn read(kind: u16, mut r: Reader<'_>) -> Result<Self> {
        let extension = match kind {
            kind::SERVER_NAME => Extension::ServerName(r.vec16("server_name")?.items(ServerName::read)?),
            kind::STATUS_REQUEST => Extension::StatusRequest(StatusRequest::read(&mut r)?),
            kind::SUPPORTED_GROUPS => Extension::SupportedGroups(codes16(&mut r, "supported_groups")?),
            kind::EC_POINT_FORMATS => Extension::EcPointFormats(r.opaque8("ec_point_formats")?),
            kind::SIGNATURE_ALGORITHMS => {
                Extension::SignatureAlgorithms(codes16(&mut r, "signature_algorithms")?)
            }
            kind::ALPN => Extension::Alpn(names(&mut r, "application_layer_protocol_negotiation")?),
            kind::SIGNED_CERTIFICATE_TIMESTAMP => Extension::SignedCertificateTimestamp,
            kind::PADDING => Extension::Padding(zeros(&mut r)?),
            kind::ENCRYPT_THEN_MAC => Extension::EncryptThenMac,
            kind::EXTENDED_MASTER_SECRET => Extension::ExtendedMasterSecret,
            kind::COMPRESS_CERTIFICATE => {
                Extension::CompressCertificate(codes8(&mut r, "compress_certificate")?)
            }
            kind::RECORD_SIZE_LIMIT => Extension::RecordSizeLimit(r.u16("record_size_limit")?),
            kind::DELEGATED_CREDENTIALS => {
                Extension::DelegatedCredentials(codes16(&mut r, "delegated_credentials")?)
            }
            kind::SESSION_TICKET => Extension::SessionTicket(r.remainder().to_vec()),
            kind::PRE_SHARED_KEY => Extension::PreSharedKey(PreSharedKey::read(&mut r)?),
            kind::EARLY_DATA => Extension::EarlyData,
            kind::SUPPORTED_VERSIONS => Extension::SupportedVersions(codes8(&mut r, "supported_versions")?),
            kind::COOKIE => Extension::Cookie(r.opaque16("cookie")?),
            kind::PSK_KEY_EXCHANGE_MODES => {
                Extension::PskKeyExchangeModes(r.opaque8("psk_key_exchange_modes")?)
            }
            kind::POST_HANDSHAKE_AUTH => Extension::PostHandshakeAuth,
            kind::SIGNATURE_ALGORITHMS_CERT => {
                Extension::SignatureAlgorithmsCert(codes16(&mut r, "signature_algorithms_cert")?)
            }
            kind::KEY_SHARE => Extension::KeyShare(r.vec16("key_share")?.items(KeyShare::read)?),
            kind::APPLICATION_SETTINGS_OLD => {
                Extension::ApplicationSettingsOld(names(&mut r, "application_settings")?)
            }
            kind::APPLICATION_SETTINGS => {
                Extension::ApplicationSettings(names(&mut r, "application_settings")?)
            }
            kind::TRUST_ANCHORS => {
                let list = r.vec16("trust_anchors")?;
                Extension::TrustAnchors(list_of_names(list, "trust_anchors")?.to_vec())
            }
            kind::ENCRYPTED_CLIENT_HELLO => {
                Extension::EncryptedClientHello(EncryptedClientHello::read(&mut r)?)
            }
            kind::RENEGOTIATION_INFO => Extension::RenegotiationInfo(r.opaque8("renegotiation_info")?),
            other => Extension::Opaque(other, r.remainder().to_vec()),
        };
        r.end("the extension's content")?;
        Ok(extension)
    }

    pub(super) fn write_body(&self, w: &mut Writer) -> Result {
        match self {
            Extension::ServerName(names) => {
                w.vec16("server_name", |w| names.iter().try_for_each(|name| name.write(w)))
            }
            Extension::StatusRequest(request) => request.write(w),
            Extension::SupportedGroups(codes) => w.codes16("supported_groups", codes),
            Extension::SignatureAlgorithms(codes) => w.codes16("signature_algorithms", codes),
            Extension::DelegatedCredentials(codes) => w.codes16("delegated_credentials", codes),
            Extension::SignatureAlgorithmsCert(codes) => w.codes16("signature_algorithms_cert", codes),
            Extension::CompressCertificate(codes) => w.vec8("compress_certificate", |w| w.codes(codes)),
            Extension::SupportedVersions(codes) => w.vec8("supported_versions", |w| w.codes(codes)),
            Extension::EcPointFormats(bytes) => w.opaque8("ec_point_formats", bytes),
            Extension::PskKeyExchangeModes(bytes) => w.opaque8("psk_key_exchange_modes", bytes),
            Extension::RenegotiationInfo(bytes) => w.opaque8("renegotiation_info", bytes),
            Extension::Alpn(names) => write_names(w, "application_layer_protocol_negotiation", names),
            Extension::ApplicationSettingsOld(names) | Extension::ApplicationSettings(names) => {
                write_names(w, "application_settings", names)
            }
            Extension::TrustAnchors(list) => {
                list_of_names(Reader::new(list, 0), "trust_anchors")?;
                w.opaque16("trust_anchors", list)
            }
            Extension::PreSharedKey(keys) => keys.write(w),
            Extension::KeyShare(shares) => w.vec16("key_share", |w| {
                shares.iter().try_for_each(|share| share.write(w))
            }),
            Extension::EncryptedClientHello(hello) => hello.write(w),
            Extension::Cookie(bytes) => w.opaque16("cookie", bytes),
            Extension::RecordSizeLimit(limit) => {
                w.u16(*limit);
                Ok(())
            }
            Extension::Padding(len) => {
                w.bytes(&vec![0; usize::from(*len)]);
                Ok(())
            }
            Extension::SessionTicket(bytes) | Extension::Opaque(_, bytes) => {
                w.bytes(bytes);
                Ok(())
            }
            Extension::SignedCertificateTimestamp
            | Extension::EncryptThenMac
            | Extension::ExtendedMasterSecret
            | Extension::EarlyData
            | Extension::PostHandshakeAuth => Ok(()),
        }
    }
}

fn codes16(r: &mut Reader<'_>, field: &'static str) -> Result<Vec<u16>> {
    r.vec16(field)?.codes(field)
}

fn codes8(r: &mut Reader<'_>, field: &'static str) -> Result<Vec<u16>> {
    r.vec8(field)?.codes(field)
}

/// Short names, each behind its length in one byte.
fn names(r: &mut Reader<'_>, field: &'static str) -> Result<Vec<Vec<u8>>> {
    r.vec16(field)?.items(|r| r.opaque8(field))
}

/// The same as they stand.
fn list_of_names<'a>(list: Reader<'a>, field: &'static str) -> Result<&'a [u8]> {
    let mut names = list;
    while !names.is_empty() {
        names.vec8(field)?;
    }
    Ok(list.rest())
}

fn zeros(r: &mut Reader<'_>) -> Result<u16> {
    let start = r.at();
    let bytes = r.remainder();
    if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
        let found = bytes[index].into();
        return Err(HelloError::Value {
            field: "padding",
            at: start + index,
            found,
        });
    }
    let len = bytes.len();
    let limit = u16::MAX;
    u16::try_from(len).map_err(|_| HelloError::TooLong {
        field: "padding",
        len,
        limit: limit.into(),
    })
}

fn write_names(w: &mut Writer, field: &'static str, names: &[Vec<u8>]) -> Result {
    w.vec16(field, |w| {
        names.iter().try_for_each(|name| w.opaque8(field, name))
    })
}
