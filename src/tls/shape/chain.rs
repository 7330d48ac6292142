//! What certificates are signed with, where the profile offers it and TLS cannot verify it.

use std::io;

use rustls::CertificateError;

use super::error::Rejected;
use super::shaper::Shaper;

/// Algorithms by their object identifiers (RFC 5758, RFC 8017, RFC 8410, RFC 9881), and the schemes that offer them for certificates.
const ALGORITHMS: [(&[u8], &[u16]); 17] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], &[0x0203]),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1], &[0x0303]),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[0x0403]),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], &[0x0503]),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], &[0x0603]),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], &[0x0201]),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14], &[0x0301]),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], &[0x0401]),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], &[0x0501]),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], &[0x0601]),
    // Its hash is one of its parameters.
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10],
        &[0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b],
    ),
    (&[0x2b, 0x65, 0x70], &[0x0807]),
    (&[0x2b, 0x65, 0x71], &[0x0808]),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3], &[0x0202]),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17], &[0x0904]),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18], &[0x0905]),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19], &[0x0906]),
];

/// Why a handshake failed, if that is a signature in the server's chain of certificates that the profile offers to take.
pub(super) fn unserved(error: &io::Error, shaper: &Shaper) -> Option<Rejected> {
    let tls = error.get_ref()?.downcast_ref()?;
    let rustls::Error::InvalidCertificate(
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: id,
            ..
        }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: id,
            ..
        },
    ) = tls
    else {
        return None;
    };
    let code = schemes(id)?
        .iter()
        .find(|code| shaper.offers_for_certificates(**code))?;
    Some(Rejected::Unserved {
        what: "a certificate signed by scheme",
        code: *code,
    })
}

/// The schemes of what an AlgorithmIdentifier begins with: its object identifier, in DER.
fn schemes(id: &[u8]) -> Option<&'static [u16]> {
    const OBJECT_IDENTIFIER: u8 = 6;
    let [OBJECT_IDENTIFIER, len, rest @ ..] = id else {
        return None;
    };
    let known = rest.get(..usize::from(*len))?;
    let found = ALGORITHMS.iter().find(|(algorithm, _)| *algorithm == known);
    found.map(|(_, schemes)| *schemes)
}
