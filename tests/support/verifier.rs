//! A verifier of another's, which must agree beside the usual one.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Agrees to everything but what it is told to refuse.
#[derive(Debug)]
pub struct Second {
    pub refuses_certificates: bool,
    pub refuses_signatures: bool,
    pub schemes: Vec<SignatureScheme>,
}

impl Second {
    /// Agrees to everything, and knows these schemes.
    pub fn knowing(schemes: impl Into<Vec<SignatureScheme>>) -> Self {
        Second {
            refuses_certificates: false,
            refuses_signatures: false,
            schemes: schemes.into(),
        }
    }

    fn signature(&self) -> Result<HandshakeSignatureValid, Error> {
        match self.refuses_signatures {
            false => Ok(HandshakeSignatureValid::assertion()),
            true => Err(Error::General("not this signature".into())),
        }
    }
}

impl ServerCertVerifier for Second {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.refuses_certificates {
            false => Ok(ServerCertVerified::assertion()),
            true => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature()
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
