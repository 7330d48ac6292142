//! What a failed handshake means.

use std::io;

use rustls::{CertificateError, OtherError};

use super::shape::Rejected;
use super::trust::SelfSigned;
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;

/// The error of a handshake that tokio-rustls reports: rustls's own stands inside the `io::Error`.
pub(super) fn handshake_error(error: io::Error) -> Error {
    if let Some(why) = error.get_ref().and_then(|inner| inner.downcast_ref::<Rejected>()) {
        return Error::new(ErrorKind::Shape, Phase::Tls).with_source(why.clone());
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    tls.map(told).unwrap_or_else(|| Error::from_io(Phase::Tls, error))
}

/// By what a session has failed, if it has. In TLS 1.3 a server judges its client's certificate when the handshake is over here: what it says of that is among what comes first.
pub(crate) fn failure_of(session: &mut rustls::ClientConnection) -> Option<Error> {
    let failed = session.process_new_packets().err(); // once it has, it says the same each time
    failed
        .filter(|_| !planted("what_tls_says_late_is_lost"))
        .as_ref()
        .map(told)
}

fn told(error: &rustls::Error) -> Error {
    Error::new(kind(error), Phase::Tls).with_source(error.clone())
}

/// Code of the setup's owner has panicked in a handshake: a verifier, a signer, whatever chooses certificates, a provider.
#[derive(Debug, thiserror::Error)]
#[error("the TLS setup panicked")]
pub(crate) struct Panicked;

impl From<Panicked> for Error {
    fn from(panicked: Panicked) -> Self {
        Error::new(ErrorKind::Tls, Phase::Tls).with_source(panicked)
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
