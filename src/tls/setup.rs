//! A TLS setup as callers hold it, and how it is made.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};

use super::parts::{ClientIdentity, Parts};
use super::shape::{OnShapeRejected, Shaper};
use super::tickets::{Room, Tickets};
use super::trust::Trust;
use super::{Dress, Revocation};
use crate::error::ConfigError;
use crate::fingerprint::{H2Spec, Profile};

/// Whom to trust and whom to be: everything about TLS that decides whether two callers may share a connection.
///
/// Immutable; a clone costs one reference count. Two of them are equal if all their parts are: roots, certificates, the client's key and revocation lists
/// by their content; verifiers, providers and whole configurations only if they are the same object.
///
/// A pool has one of its own ([`Builder`](crate::Builder)), which [`HotConnPool::update_tls`](crate::HotConnPool::update_tls) replaces; a
/// call may bring another ([`GetOptions::tls`](crate::GetOptions::tls)). Make it once and clone it: what it is made of is checked and
/// parsed at every [`build`](TlsBuilder::build).
///
/// ```no_run
/// use hotpool::rustls::RootCertStore;
/// use hotpool::rustls::pki_types::pem::PemObject;
/// use hotpool::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
/// use hotpool::fingerprint::Profile;
/// use hotpool::{GetOptions, HotConnPool, OnShapeRejected, Revocation, Tls};
///
/// let mut roots = RootCertStore::empty();
/// roots.add(CertificateDer::from_pem_file("ca.pem")?)?;
/// let chain = CertificateDer::pem_file_iter("client.pem")?.collect::<Result<Vec<_>, _>>()?;
/// let key = PrivateKeyDer::from_pem_file("client.key")?;
/// let lists = Revocation::new([CertificateRevocationListDer::from_pem_file("ca.crl")?]);
///
/// let tls = Tls::builder()
///     .roots(roots.clone())
///     .client_identity(chain.clone(), key.clone_key())
///     .revocation(lists.end_entity_only().allow_unknown().enforce_expiry())
///     .profile(Profile::firefox())
///     .on_shape_rejected(OnShapeRejected::RetryUnshaped)
///     .resumption(false)
///     .build()?;
/// let pool = HotConnPool::builder().tls(tls.clone()).build()?; // or part by part:
/// let same = HotConnPool::builder().roots(roots).client_identity(chain, key).build()?;
///
/// let for_this_call = GetOptions::new().tls(tls.clone());
/// pool.update_tls(tls); // new certificates: what rests on the old ones is used no more
/// # let _ = (same, for_this_call);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls(Arc<Setup>);

struct Setup {
    parts: Parts,
    base: ClientConfig,
    /// What brings `base` into the shape of a profile.
    shaper: Option<Arc<Shaper>>,
    /// The configuration without a shape, if connections may fall back to that.
    unshaped: Option<ClientConfig>,
    /// None if the configuration came whole: its verifier cannot be asked for.
    trust: Option<Trust>,
    /// Equal setups have equal ones.
    digest: u64,
}

/// What a [`Tls`] is made of. Everything has a default.
///
/// ```
/// # #[cfg(feature = "aws-lc-rs")] {
/// use std::sync::Arc;
///
/// use hotpool::rustls::client::WebPkiServerVerifier;
/// use hotpool::rustls::crypto::aws_lc_rs;
/// use hotpool::rustls::{ClientConfig, RootCertStore};
/// use hotpool::{HotConnPool, Tls};
///
/// let provider = Arc::new(aws_lc_rs::default_provider());
/// let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
/// let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone()).build()?;
/// let tls = Tls::builder().provider(provider.clone()).verifier(verifier).build()?;
/// let pool = HotConnPool::builder().tls(tls).build()?;
///
/// // A provider alone, or a whole configuration, as it is for rustls.
/// let ours = HotConnPool::builder().provider(provider.clone()).build()?;
/// let config = ClientConfig::builder_with_provider(provider)
///     .with_safe_default_protocol_versions()?
///     .with_root_certificates(roots)
///     .with_no_client_auth();
/// let whole = HotConnPool::builder().tls_config(config).build()?;
/// # let _ = (pool, ours, whole);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct TlsBuilder(Parts);

impl Tls {
    /// What a setup is made of.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// What shapes its connections.
    pub(super) fn shaper(&self) -> Option<&Arc<Shaper>> {
        self.0.shaper.as_ref()
    }

    /// Whom its connections look like, if anybody.
    pub(crate) fn profile(&self, dress: Dress) -> Option<&Profile> {
        let profile = self.0.parts.profile.as_ref();
        profile.filter(|_| dress != Dress::Unshaped)
    }

    /// How its connections open HTTP/2, if not h2's own way.
    pub(crate) fn h2(&self, dress: Dress) -> Option<&H2Spec> {
        self.profile(dress).and_then(Profile::h2)
    }

    /// Whether connections whose shape is the trouble may go without.
    pub(super) fn falls_back(&self) -> bool {
        self.0.unshaped.is_some()
    }

    /// A new store for sessions, which are kept in `room`. None if they are not resumed.
    pub(super) fn sessions(&self, shaper: Option<&Shaper>, room: &Arc<Room>) -> Option<Arc<Tickets>> {
        let may = shaper.is_none_or(Shaper::resumes);
        let resumes = self.0.parts.resumption == Some(true) && may;
        resumes.then(|| Arc::new(Tickets::new(shaper.is_none(), room)))
    }

    /// The configuration, shaped or not, with a verifier and a certificate resolver that no other has: rustls resumes a session only under the
    /// very same two.
    pub(super) fn config(&self, shaper: Option<&Shaper>) -> ClientConfig {
        let base = match (shaper, &self.0.unshaped) {
            (None, Some(unshaped)) => unshaped,
            _ => &self.0.base,
        };
        let mut config = base.clone();
        if let Some(trust) = &self.0.trust {
            // rustls's word for any verifier of one's own: it is the one that stands there already.
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(trust.clone()));
        }
        config.client_auth_cert_resolver = Arc::new(Own(config.client_auth_cert_resolver));
        if let Some(shaper) = shaper {
            shaper.complete(&mut config);
        }
        config
    }
}

impl TlsBuilder {
    /// The certificate authorities to trust. Default: Mozilla's.
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.0.roots = Some(roots);
        self
    }

    /// Somebody else who must agree, too. Certificates and signatures are accepted only if the roots vouch for them *and* this verifier
    /// accepts them. Only schemes that it knows are offered; but under a [`profile`](Self::profile) the hello has the profile's, known to it or not, and a
    /// server that signs with one that it does not know ends as with any choice that cannot be served. Default: none.
    pub fn verifier(mut self, verifier: Arc<dyn ServerCertVerifier>) -> Self {
        self.0.verifier = Some(verifier);
        self
    }

    /// The certificate chain and key to show to servers that ask for one. Default: none.
    pub fn client_identity(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        self.0.client = Some(ClientIdentity { chain, key });
        self
    }

    /// The lists in which certificates are looked up. Default: none.
    pub fn revocation(mut self, revocation: Revocation) -> Self {
        self.0.revocation = Some(revocation);
        self
    }

    /// The cryptography. Default: aws-lc-rs if that feature is on, else ring. The process-wide default is never used.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.0.provider = Some(provider);
        self
    }

    /// Whether sessions are remembered and resumed, each within its identity, host and port. Default: yes; no with a whole
    /// [`config`](Self::config), which may have had them turned off and does not tell.
    pub fn resumption(mut self, resumption: bool) -> Self {
        self.0.resumption = Some(resumption);
        self
    }

    /// Whom connections look like. Default: [`Profile::rustls`], nobody else.
    ///
    /// A profile's hello is sent under rustls, which serves of it what it can: a server that chooses something else ends in an
    /// error of kind [`Shape`](crate::ErrorKind::Shape) that names the choice, or in what [`on_shape_rejected`](Self::on_shape_rejected) says. Its
    /// HTTP/2 is stock h2's, with the profile's frames below; a connection that falls back from its hello has none of that either.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.0.profile = Some(profile);
        self
    }

    /// What becomes of connections whose shape is the trouble. Default: [`OnShapeRejected::Fail`].
    pub fn on_shape_rejected(mut self, act: OnShapeRejected) -> Self {
        self.0.on_shape_rejected = act;
        self
    }

    /// A whole configuration, in place of roots, verifier, client identity, revocation, provider and profile.
    ///
    /// Its ALPN list is replaced, 0-RTT is turned off, and its session store is never used, because rustls looks sessions up there by the server's
    /// name alone. Its verifier is its own, so a self-signed certificate is told apart from one of an unknown issuer only if that verifier does.
    pub fn config(mut self, config: impl Into<Arc<ClientConfig>>) -> Self {
        self.0.whole = Some(config.into());
        self
    }

    /// Checks everything and makes the setup.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn build(self) -> Result<Tls, ConfigError> {
        let parts = self.0.canonical();
        let shaper = parts.shaper()?;
        let (base, trust) = parts.assemble(shaper.as_ref())?;
        let unshaped = match parts.on_shape_rejected {
            OnShapeRejected::Fail => None,
            OnShapeRejected::RetryUnshaped => Some(parts.assemble(None)?.0),
        };
        Ok(Tls(Arc::new(Setup {
            digest: parts.digest(),
            parts,
            base,
            shaper: shaper.map(Arc::new),
            unshaped,
            trust,
        })))
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.parts == other.0.parts
    }
}

impl Eq for Tls {}

impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.digest);
    }
}

/// Says what it is made of, and shows no secret.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.parts.fmt(f)
    }
}

/// Says what it was given, and shows no secret.
impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A resolver under an address of its own.
#[derive(Debug)]
struct Own(Arc<dyn ResolvesClientCert>);

impl ResolvesClientCert for Own {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.resolve(root_hint_subjects, schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.0.has_certs()
    }
}
