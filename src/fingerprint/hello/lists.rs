//! The lists of a ClientHello that fingerprints and specs are made of.

use super::{ClientHello, Extension, KeyShare, kind};

impl ClientHello {
    /// The groups of supported_groups; empty without it.
    pub fn supported_groups(&self) -> &[u16] {
        match self.extension(kind::SUPPORTED_GROUPS) {
            Some(Extension::SupportedGroups(groups)) => groups,
            _ => &[],
        }
    }

    /// The formats of ec_point_formats; empty without it.
    pub fn ec_point_formats(&self) -> &[u8] {
        match self.extension(kind::EC_POINT_FORMATS) {
            Some(Extension::EcPointFormats(formats)) => formats,
            _ => &[],
        }
    }

    /// The schemes of signature_algorithms; empty without it.
    pub fn signature_algorithms(&self) -> &[u16] {
        match self.extension(kind::SIGNATURE_ALGORITHMS) {
            Some(Extension::SignatureAlgorithms(schemes)) => schemes,
            _ => &[],
        }
    }

    /// The protocols of ALPN; empty without it.
    pub fn alpn_protocols(&self) -> &[Vec<u8>] {
        match self.extension(kind::ALPN) {
            Some(Extension::Alpn(protocols)) => protocols,
            _ => &[],
        }
    }

    /// The versions of supported_versions. Without it the legacy version is the highest offered.
    pub fn supported_versions(&self) -> Option<&[u16]> {
        match self.extension(kind::SUPPORTED_VERSIONS) {
            Some(Extension::SupportedVersions(versions)) => Some(versions),
            _ => None,
        }
    }

    /// The shares of key_share; empty without it.
    pub fn key_shares(&self) -> &[KeyShare] {
        match self.extension(kind::KEY_SHARE) {
            Some(Extension::KeyShare(shares)) => shares,
            _ => &[],
        }
    }

    /// The first name of server_name, as it stands.
    pub fn host_name(&self) -> Option<&[u8]> {
        match self.extension(kind::SERVER_NAME) {
            Some(Extension::ServerName(names)) => names.first().map(|name| name.name.as_slice()),
            _ => None,
        }
    }
}
