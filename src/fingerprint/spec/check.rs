//! What a spec must be for TLS to go through with whatever a server chooses from it.

use super::super::hello::{Extension, HelloError, StatusRequest, kind};
use super::super::{is_grease, is_grease_psk_mode};
use super::sample::{X25519, X25519MLKEM768, share_len};
use super::{Code, HelloSpec, Slot, SpecError};
use crate::fault::planted;

type Result<T = ()> = std::result::Result<T, SpecError>;

const TLS13: Code = Code::Plain(0x0304);
const TLS12: Code = Code::Plain(0x0303);

/// What rustls implements of TLS 1.3: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
const SUITES_13: [u16; 3] = [0x1301, 0x1302, 0x1303];
/// What rustls implements of TLS 1.2: ECDHE with ECDSA or RSA and the same ciphers.
const SUITES_12: [u16; 6] = [0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9];

/// The mode of psk_key_exchange_modes that has a key exchange, the only one that rustls resumes with.
const PSK_DHE: u8 = 1;
/// zlib, brotli and zstd.
const COMPRESSIONS: [u16; 3] = [1, 2, 3];
/// The least record_size_limit (RFC 8449 section 4).
const LEAST_RECORD: u16 = 64;

impl HelloSpec {
    pub(super) fn check(&self) -> Result {
        check_grease("cipher_suites", &self.cipher_suites)?;
        if self
            .slots
            .iter()
            .filter(|slot| matches!(slot, Slot::Grease(_)))
            .count()
            > 2
        {
            return Err(SpecError::Grease("extensions"));
        }
        self.slots.iter().try_for_each(Slot::check)?;
        // Whatever stands twice or does not fit its length does not pass the writer.
        self.sample(true).to_message().map_err(|error| match error {
            HelloError::Duplicate { kind, .. } => SpecError::Duplicate(kind),
            other => SpecError::Hello(other),
        })?;
        if !self.slots.contains(&Slot::Native(kind::SERVER_NAME)) {
            return Err(SpecError::NoServerName);
        }
        self.check_versions()?;
        self.check_shares()?;
        self.check_settings()?;
        let (start, end) = (self.permuted.start, self.permuted.end);
        if start > end || end > self.slots.len() {
            return Err(SpecError::Permuted { start, end });
        }
        Ok(())
    }

    fn check_versions(&self) -> Result {
        let versions = self.slots.iter().find_map(|slot| match slot {
            Slot::Versions(versions) => Some(versions.as_slice()),
            _ => None,
        });
        let modern = versions.is_some_and(|versions| versions.contains(&TLS13));
        if !modern && versions.is_some_and(|versions| !versions.contains(&TLS12)) {
            return Err(SpecError::NoVersion);
        }
        let suites = if modern { &SUITES_13[..] } else { &SUITES_12 };
        if !suites
            .iter()
            .any(|suite| self.cipher_suites.contains(&Code::Plain(*suite)))
        {
            return Err(SpecError::NoCipherSuite);
        }
        let has = |wanted: fn(&Slot) -> bool| self.slots.iter().any(wanted);
        let shares = has(|slot| matches!(slot, Slot::KeyShares(_)));
        if shares != modern {
            return Err(SpecError::Needs(kind::KEY_SHARE));
        }
        if !has(|slot| matches!(slot, Slot::Groups(_))) {
            return Err(SpecError::Needs(kind::SUPPORTED_GROUPS));
        }
        if !has(|slot| matches!(slot, Slot::Signatures(_))) {
            return Err(SpecError::Needs(kind::SIGNATURE_ALGORITHMS));
        }
        Ok(())
    }

    /// Settings go with a protocol that is offered: for another they would be left out.
    fn check_settings(&self) -> Result {
        let offered = self.slots.iter().any(|slot| match slot {
            Slot::Alpn(protocols) => protocols.iter().any(|name| name == "h2"),
            _ => false,
        });
        let has = |slot: &Slot| slot.kind() == Some(kind::APPLICATION_SETTINGS);
        match offered || !self.slots.iter().any(has) {
            true => Ok(()),
            false => Err(SpecError::Content(kind::APPLICATION_SETTINGS)),
        }
    }

    /// Each share must be of a group that is offered, in the same order (RFC 8446 section 4.2.8).
    fn check_shares(&self) -> Result {
        let mut groups = self.slots.iter().find_map(|slot| match slot {
            Slot::Groups(groups) => Some(groups.iter()),
            _ => None,
        });
        let shares = self.slots.iter().filter_map(|slot| match slot {
            Slot::KeyShares(shares) => Some(shares),
            _ => None,
        });
        let shares: Vec<&Code> = shares.flatten().collect();
        if self.reuses_x25519 {
            let first = shares.iter().find(|share| ***share != Code::Grease);
            if first != Some(&&Code::Plain(X25519MLKEM768)) {
                return Err(SpecError::Share(X25519MLKEM768));
            }
            if !shares.contains(&&Code::Plain(X25519)) {
                return Err(SpecError::Share(X25519));
            }
        }
        for share in shares {
            let offered = groups
                .as_mut()
                .is_some_and(|groups| groups.any(|group| group == share));
            match share {
                Code::Grease if !offered => return Err(SpecError::Grease("key_share")),
                Code::Plain(group) if !offered || share_len(*group).is_none() => {
                    return Err(SpecError::Share(*group));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Slot {
    fn check(&self) -> Result {
        match self {
            Slot::Native(kind::SERVER_NAME | kind::SESSION_TICKET)
            | Slot::NativeOrEmpty(kind::SESSION_TICKET)
            | Slot::EchGrease(_)
            | Slot::Grease(_)
            | Slot::Padding => Ok(()),
            Slot::Native(kind) | Slot::NativeOrEmpty(kind) => Err(SpecError::Extension(*kind)),
            Slot::Raw { kind, body } => check_raw(&Extension::from_body(*kind, body)?),
            Slot::Groups(codes) => check_list(kind::SUPPORTED_GROUPS, "supported_groups", codes),
            Slot::Signatures(codes) => check_list(kind::SIGNATURE_ALGORITHMS, "signature_algorithms", codes),
            Slot::Versions(codes) => check_list(kind::SUPPORTED_VERSIONS, "supported_versions", codes),
            Slot::KeyShares(codes) => check_list(kind::KEY_SHARE, "key_share", codes),
            Slot::Alpn(protocols) => {
                match !protocols.is_empty() && protocols.iter().all(|name| is_spoken(name)) {
                    true => Ok(()),
                    false => Err(SpecError::Content(kind::ALPN)),
                }
            }
        }
    }
}

/// Another protocol would stand in the fingerprints of the spec and never go out: only what is spoken is offered.
fn is_spoken(protocol: &str) -> bool {
    ["h2", "http/1.1"].contains(&protocol) || planted("any_protocol_is_offered")
}

/// Extensions whose answers are known: rustls understands them, they can be taken out of what it sees, or there are none.
fn check_raw(extension: &Extension) -> Result {
    let servable = match extension {
        // Extensions of the request are there for a nonce (RFC 8954), which is not sent twice.
        Extension::StatusRequest(StatusRequest::Ocsp { extensions, .. }) if !extensions.is_empty() => {
            return Err(SpecError::Drawn(kind::STATUS_REQUEST));
        }
        Extension::StatusRequest(StatusRequest::Ocsp { .. })
        | Extension::SignedCertificateTimestamp
        | Extension::EncryptThenMac
        | Extension::ExtendedMasterSecret
        // A server that makes use of it loses the connection, as one that asks unasked would.
        | Extension::PostHandshakeAuth
        | Extension::TrustAnchors(_) => true,
        // No list that is sent as it is may have a value that is drawn.
        Extension::DelegatedCredentials(list) if list.iter().any(|code| is_grease(*code)) => {
            return Err(SpecError::Grease("delegated_credentials"));
        }
        Extension::SignatureAlgorithmsCert(list) if list.iter().any(|code| is_grease(*code)) => {
            return Err(SpecError::Grease("signature_algorithms_cert"));
        }
        Extension::PskKeyExchangeModes(modes) if modes.iter().any(|mode| is_grease_psk_mode(*mode)) => {
            return Err(SpecError::Grease("psk_key_exchange_modes"));
        }
        Extension::DelegatedCredentials(_) | Extension::SignatureAlgorithmsCert(_) => true,
        Extension::EcPointFormats(formats) => formats.contains(&0),
        Extension::CompressCertificate(list) => list.iter().all(|one| COMPRESSIONS.contains(one)),
        Extension::RecordSizeLimit(limit) => *limit >= LEAST_RECORD,
        Extension::PskKeyExchangeModes(modes) => modes.contains(&PSK_DHE),
        // Settings are answered for HTTP/2 alone.
        Extension::ApplicationSettings(protocols) => protocols.iter().all(|name| name == b"h2"),
        Extension::RenegotiationInfo(data) => data.is_empty(),
        Extension::StatusRequest(StatusRequest::Other(..)) => false,
        other => return Err(SpecError::Extension(other.kind())),
    };
    if servable {
        Ok(())
    } else {
        Err(SpecError::Content(extension.kind()))
    }
}

fn check_list(kind: u16, name: &'static str, codes: &[Code]) -> Result {
    if !codes.iter().any(|code| matches!(code, Code::Plain(_))) {
        return Err(SpecError::Content(kind));
    }
    check_grease(name, codes)
}

/// A list draws one GREASE value, and none is written as it is.
fn check_grease(name: &'static str, codes: &[Code]) -> Result {
    let drawn = codes.iter().filter(|code| **code == Code::Grease).count();
    let fixed = codes
        .iter()
        .any(|code| matches!(code, Code::Plain(code) if is_grease(*code)));
    if drawn > 1 || fixed {
        return Err(SpecError::Grease(name));
    }
    Ok(())
}
