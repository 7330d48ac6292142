//! Certificate verification: webpki's, with one more distinction in its errors, and whoever else must agree.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

/// The stock verifier, and another beside it that can only refuse. Among the stock one's refusals, tells self-signed certificates apart.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    stock: Arc<WebPkiServerVerifier>,
    extra: Option<Arc<dyn ServerCertVerifier>>,
}

impl Trust {
    pub(super) fn new(stock: Arc<WebPkiServerVerifier>, extra: Option<Arc<dyn ServerCertVerifier>>) -> Self {
        Trust { stock, extra }
    }
}

/// The cause inside a certificate error: it names itself as its issuer.
#[derive(Debug)]
pub(super) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate names itself as its issuer")
    }
}

impl std::error::Error for SelfSigned {}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .stock
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| refine(error, end_entity))?;
        match &self.extra {
            None => Ok(verified),
            Some(extra) => {
                extra.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = self.stock.verify_tls12_signature(message, cert, dss)?;
        match &self.extra {
            None => Ok(verified),
            Some(extra) => extra.verify_tls12_signature(message, cert, dss),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = self.stock.verify_tls13_signature(message, cert, dss)?;
        match &self.extra {
            None => Ok(verified),
            Some(extra) => extra.verify_tls13_signature(message, cert, dss),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.stock.supported_verify_schemes();
        if let Some(extra) = &self.extra {
            let known = extra.supported_verify_schemes();
            schemes.retain(|scheme| known.contains(scheme));
        }
        schemes
    }
}

/// No path to a root (or, for a certificate that is also an authority, a wrong use) plus issuer = subject: self-signed.
fn refine(error: rustls::Error, end_entity: &CertificateDer<'_>) -> rustls::Error {
    let rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)) =
        error
    else {
        return error;
    };
    match webpki::EndEntityCert::try_from(end_entity) {
        Ok(cert) if cert.issuer() == cert.subject() => {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(SelfSigned))))
        }
        _ => error,
    }
}
