//! Building a pool.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::HotConnPool;
use crate::clock::{Clock, SystemClock};
use crate::config::PoolConfig;
use crate::dial::Dialler;
use crate::dns::{HickoryResolver, Resolve};
use crate::error::ConfigError;
use crate::manager::Inner;
use crate::tls::{Connector, TlsParts};

/// What a pool is made of. Everything has a default.
#[derive(Default)]
#[must_use]
pub struct Builder {
    config: PoolConfig,
    tls: TlsParts,
    resolver: Option<Arc<dyn Resolve>>,
    clock: Option<Arc<dyn Clock>>,
}

impl Builder {
    /// The settings. Default: [`PoolConfig::default`].
    pub fn config(mut self, config: PoolConfig) -> Self {
        self.config = config;
        self
    }

    /// The certificate authorities to trust. Default: Mozilla's.
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.tls.roots = Some(roots);
        self
    }

    /// The certificate chain and key to show to servers that ask for one. Default: none.
    pub fn client_identity(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        self.tls.client_identity = Some((chain, key));
        self
    }

    /// The cryptography. Default: aws-lc-rs if that feature is on, else ring. The process-wide default is never used.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.tls.provider = Some(provider);
        self
    }

    /// A whole TLS configuration, in place of roots, client identity and provider. Its ALPN list is replaced and 0-RTT is turned off.
    ///
    /// rustls looks sessions up by host name alone, so its session store serves one kind of connection: those that offer both protocols, to
    /// the first port that the pool dials. The others do without resumption. Its verifier
    /// is its own, so a self-signed certificate is told apart from one of an unknown issuer only if that verifier does.
    pub fn tls_config(mut self, config: impl Into<Arc<ClientConfig>>) -> Self {
        self.tls.whole = Some(config.into());
        self
    }

    /// Who turns names into addresses. Default: [`HickoryResolver`].
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// What time it is. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Checks everything and makes the pool. Needs no runtime and starts no task.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn build(self) -> Result<HotConnPool, ConfigError> {
        self.config.validate()?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let dialler = Dialler {
            connector: Connector::new(self.tls)?,
            resolver: self.resolver.unwrap_or_else(|| Arc::new(HickoryResolver::new())),
            clock: Arc::clone(&clock),
            reuse_check: self.config.reuse_check,
        };
        Ok(HotConnPool::new(Inner::new(
            self.config,
            clock,
            Box::new(dialler),
        )))
    }
}

/// Names what was set, and shows no secret.
impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
