//! Client certificates in TLS 1.2, where rustls signs its own record of the messages rather than their hash.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use super::scope;
use super::wire::CLIENT_HELLO;
use crate::fault::planted;

/// A resolver whose keys sign what was on the wire.
#[derive(Debug)]
pub(super) struct ShapedResolver(pub(super) Arc<dyn ResolvesClientCert>);

impl ResolvesClientCert for ShapedResolver {
    fn resolve(&self, roots: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let found = self.0.resolve(roots, schemes)?;
        let mut shaped = CertifiedKey::new(found.cert.clone(), Arc::new(ShapedKey(Arc::clone(&found.key))));
        shaped.ocsp.clone_from(&found.ocsp);
        Some(Arc::new(shaped))
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.0.has_certs()
    }
}

#[derive(Debug)]
struct ShapedKey(Arc<dyn SigningKey>);

impl SigningKey for ShapedKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(ShapedSigner(self.0.choose_scheme(offered)?)))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct ShapedSigner(Box<dyn Signer>);

impl Signer for ShapedSigner {
    /// What TLS 1.3 signs begins with spaces and holds a hash that is the wire's already.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let shaping = scope::current().filter(|_| message.first() == Some(&CLIENT_HELLO));
        match shaping {
            Some(shaping) if !planted("signs_what_rustls_has") => {
                let mut real = Vec::new();
                shaping.real(message, |piece| real.extend_from_slice(piece));
                self.0.sign(&real)
            }
            _ => self.0.sign(message),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}
