//! The parts a TLS configuration is made of, checked once when the pool is built.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::provider::default_provider;
use super::trust::Trust;
use crate::error::ConfigError;

/// What the builder was told about TLS.
#[derive(Default)]
pub(crate) struct TlsParts {
    pub(crate) roots: Option<RootCertStore>,
    pub(crate) client_identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    pub(crate) provider: Option<Arc<CryptoProvider>>,
    pub(crate) whole: Option<Arc<ClientConfig>>,
}

impl TlsParts {
    /// The configuration that every identity's own is derived from.
    pub(super) fn into_config(self) -> Result<ClientConfig, ConfigError> {
        let Some(whole) = self.whole else {
            return self.assemble();
        };
        for (given, field) in [
            (self.roots.is_some(), "roots"),
            (self.client_identity.is_some(), "client_identity"),
            (self.provider.is_some(), "provider"),
        ] {
            if given {
                return Err(ConfigError::new(
                    field,
                    "cannot be combined with a whole tls_config, which has its own",
                ));
            }
        }
        Ok((*whole).clone())
    }

    fn assemble(self) -> Result<ClientConfig, ConfigError> {
        let provider = self.provider.or_else(default_provider).ok_or_else(|| {
            ConfigError::new(
                "provider",
                "none given, and neither `aws-lc-rs` nor `ring` is enabled",
            )
        })?;
        let roots = self.roots.unwrap_or_else(mozilla);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| ConfigError::new("roots", error.to_string()))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("provider", error.to_string()))?
            .dangerous() // rustls's word for any verifier of one's own; this one only adds to webpki's errors
            .with_custom_certificate_verifier(Arc::new(Trust::new(verifier)));
        match self.client_identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| ConfigError::new("client_identity", error.to_string())),
        }
    }
}

fn mozilla() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}
