//! Building a pool.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::HotConnPool;
use crate::access::{AccessPolicy, AddressPolicy};
use crate::clock::{Clock, SystemClock};
use crate::config::PoolConfig;
use crate::dial::{ByProxy, Dialler};
use crate::dialer::{Dial, DialedBy};
use crate::dns::{DnsSnapshot, HickoryResolver, Names, Resolve};
use crate::error::ConfigError;
use crate::fault::planted;
use crate::fingerprint::Profile;
use crate::identity::Own;
use crate::manager::{CleanupPolicy, Owners, Validator};
use crate::proxy::{Proxy, ProxyNames};
use crate::source::SourcePolicy;
use crate::tls::{Connector, Identities, Tls, TlsBuilder};

/// What a pool is made of. Everything has a default.
#[derive(Default)]
#[must_use]
pub struct Builder {
    config: PoolConfig,
    tls: TlsBuilder,
    /// Whether anything was said of `tls`.
    in_parts: bool,
    setup: Option<Tls>,
    resolver: Option<Arc<dyn Resolve>>,
    policy: AddressPolicy,
    access: AccessPolicy,
    sources: Option<SourcePolicy>,
    proxy: Option<Proxy>,
    dial: Option<DialedBy>,
    names: DnsSnapshot,
    clock: Option<Arc<dyn Clock>>,
    cleanup: Option<Box<dyn CleanupPolicy>>,
    validator: Option<Box<dyn Validator>>,
}

impl Builder {
    /// The settings. Default: [`PoolConfig::default`].
    pub fn config(mut self, config: PoolConfig) -> Self {
        self.config = config;
        self
    }

    /// The certificate authorities to trust. Default: Mozilla's.
    pub fn roots(self, roots: RootCertStore) -> Self {
        self.part(|tls| tls.roots(roots))
    }

    /// The certificate chain and key to show to servers that ask for one. Default: none.
    pub fn client_identity(self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        self.part(|tls| tls.client_identity(chain, key))
    }

    /// The cryptography. Default: aws-lc-rs if that feature is on, else ring. The process-wide default is never used.
    pub fn provider(self, provider: Arc<CryptoProvider>) -> Self {
        self.part(|tls| tls.provider(provider))
    }

    /// Whom connections look like: see [`TlsBuilder::profile`]. Default: [`Profile::rustls`], nobody else.
    pub fn profile(self, profile: Profile) -> Self {
        self.part(|tls| tls.profile(profile))
    }

    /// A whole TLS configuration, in place of roots, client identity, provider and profile: see [`TlsBuilder::config`], also on what becomes of its
    /// sessions.
    pub fn tls_config(self, config: impl Into<Arc<ClientConfig>>) -> Self {
        self.part(|tls| tls.config(config))
    }

    /// The pool's own TLS setup, in place of what the methods above say in parts. Default: what they say.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.setup = Some(tls);
        self
    }

    fn part(mut self, say: impl FnOnce(TlsBuilder) -> TlsBuilder) -> Self {
        self.tls = say(self.tls);
        self.in_parts = true;
        self
    }

    /// Who turns names into addresses. Default: [`HickoryResolver`].
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Which addresses may be connected to, whoever names them. Default: [`AddressPolicy::allow_all`].
    pub fn address_policy(mut self, policy: AddressPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What may be connected to that no block and no allowance names: see [`ConnectionManager::block`](crate::ConnectionManager::block). Default:
    /// [`AccessPolicy::OpenUnlessBlocked`], everything.
    ///
    /// [`address_policy`](Builder::address_policy) is the other gate, and stands whatever this one allows: it is for good, and for addresses alone.
    pub fn access(mut self, access: AccessPolicy) -> Self {
        self.access = access;
        self
    }

    /// Where connections come from, unless a call says otherwise. Default: what the system chooses. What an address says to one source, a 403 say, bars it to all: see
    /// [`SourcePolicy`].
    pub fn sources(mut self, sources: SourcePolicy) -> Self {
        self.sources = Some(sources);
        self
    }

    /// The proxy that every connection goes through. Default: none.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// How the byte streams below TLS come to be, unless a call says otherwise: see [`dialer`](crate::dialer). Default: the pool's own TCP.
    pub fn dial(mut self, dial: impl Dial) -> Self {
        self.dial = Some(DialedBy(Arc::new(dial)));
        self
    }

    /// Names that are known from before, as far as they still hold: see [`HotConnPool::dns_snapshot`]. Default: none.
    pub fn dns_snapshot(mut self, snapshot: DnsSnapshot) -> Self {
        self.names = snapshot;
        self
    }

    /// Which connections stay that nobody uses, beside what their ages say. Default: all.
    pub fn cleanup_policy(mut self, policy: impl CleanupPolicy) -> Self {
        self.cleanup = Some(Box::new(policy));
        self
    }

    /// Who judges each connection that is dialled, over the connection itself, before anybody gets it. Default: nobody.
    pub fn validator(mut self, validator: impl Validator) -> Self {
        self.validator = Some(Box::new(validator));
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
    pub fn build(mut self) -> Result<HotConnPool, ConfigError> {
        self.config.validate()?;
        let tls = match self.setup {
            None => self.tls.build()?,
            Some(_) if self.in_parts => {
                let problem =
                    "cannot be combined with roots, client_identity, provider, profile or tls_config";
                return Err(ConfigError::new("tls", problem));
            }
            Some(setup) => setup,
        };
        let unseen = |proxy: &Proxy| proxy.resolver() == ProxyNames::Remote;
        if self.policy != AddressPolicy::allow_all()
            && self.proxy.as_ref().is_some_and(unseen)
            && !planted("policies_do_not_see_through_proxies")
        {
            let problem = "resolves names where no address policy sees what they are: use ProxyNames::Local";
            return Err(ConfigError::new("proxy", problem));
        }
        let login = self.proxy.as_mut().map(Proxy::take_login).transpose()?.flatten();
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let resolver = self.resolver.unwrap_or_else(|| Arc::new(HickoryResolver::new()));
        let names = Names::new(resolver, Arc::clone(&clock));
        names.restore(&self.names);
        let dialler = Dialler {
            connector: Connector::default(),
            names,
            policy: self.policy,
            sources: Arc::default(),
            proxy: self.proxy.map(ByProxy::new),
            clock: Arc::clone(&clock),
        };
        let own = Own {
            sources: self.sources,
            login,
            dial: self.dial,
        };
        let owners = Owners {
            access: self.access,
            cleanup: self.cleanup,
            validator: self.validator,
        };
        Ok(HotConnPool::new(
            self.config,
            Identities::new(tls, own),
            clock,
            Box::new(dialler),
            owners,
        ))
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
