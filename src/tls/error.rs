//! What a failed handshake means.

use std::io;

use rustls::{CertificateError, OtherError};

use super::shape::Rejected;
use super::trust::SelfSigned;
use crate::error::{Error, ErrorKind, Phase};

/// The error of a handshake that tokio-rustls reports: rustls's own stands inside the `io::Error`.
pub(super) fn handshake_error(error: io::Error) -> Error {
    if let Some(why) = error.get_ref().and_then(|inner| inner.downcast_ref::<Rejected>()) {
        return Error::new(ErrorKind::Shape, Phase::Tls).with_source(why.clone());
    }
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(tls) => Error::new(kind(tls), Phase::Tls).with_source(tls.clone()),
        None => Error::from_io(Phase::Tls, error),
    }
}

fn kind(error: &rustls::Error) -> ErrorKind {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate_kind(error),
        rustls::Error::NoApplicationProtocol => ErrorKind::Protocol,
        rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol) => ErrorKind::Protocol,
        _ => ErrorKind::Tls,
    }
}

fn certificate_kind(error: &CertificateError) -> ErrorKind {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ErrorKind::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ErrorKind::CertificateNotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ErrorKind::CertificateName
        }
        CertificateError::UnknownIssuer => ErrorKind::CertificateIssuer,
        CertificateError::Other(OtherError(cause)) if cause.is::<SelfSigned>() => {
            ErrorKind::CertificateSelfSigned
        }
        _ => ErrorKind::CertificateInvalid,
    }
}
