//! The parts that a TLS setup is made of: how they are compared, and the configuration they make.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::{ClientConfig, RootCertStore};

use super::Revocation;
use super::provider::default_provider;
use super::shape::{OnShapeRejected, Shaper};
use super::trust::Trust;
use crate::error::ConfigError;
use crate::fault::planted;
use crate::fingerprint::Profile;

/// What a caller said of TLS; what is none has its default.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) roots: Option<RootCertStore>,
    pub(super) verifier: Option<Arc<dyn ServerCertVerifier>>,
    pub(super) client: Option<ClientIdentity>,
    pub(super) revocation: Option<Revocation>,
    pub(super) provider: Option<Arc<CryptoProvider>>,
    pub(super) resumption: Option<bool>,
    /// One that says anything.
    pub(super) profile: Option<Profile>,
    pub(super) on_shape_rejected: OnShapeRejected,
    pub(super) whole: Option<Arc<ClientConfig>>,
}

/// Who the client says it is. Its key stays here to be compared: two that differ in nothing else are two identities.
pub(super) struct ClientIdentity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Parts {
    /// Brings to one form what may be said in several: a default that was named is that default, and the order of roots means nothing.
    pub(super) fn canonical(mut self) -> Self {
        // A whole configuration may have had its sessions turned off, which it cannot be asked.
        self.resumption.get_or_insert(self.whole.is_none());
        self.profile = self.profile.filter(|profile| !profile.is_plain());
        if self.profile.is_none() {
            self.on_shape_rejected = OnShapeRejected::default();
        }
        if self.whole.is_none() {
            let roots = &mut self.roots.get_or_insert_with(mozilla).roots;
            roots.sort_by(|a, b| in_bytes(a).cmp(&in_bytes(b)));
            roots.dedup();
        }
        self
    }

    /// A hash of the parts that a program may have in many forms, and of no secret. Only to find candidates by: comparing decides.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let chain = self.client.as_ref().map(|client| &client.chain);
        if !planted("verifier_is_not_compared") {
            address(&self.verifier).hash(&mut hasher);
        }
        if !planted("whole_configuration_is_not_compared") {
            address(&self.whole).hash(&mut hasher);
        }
        if !planted("client_chain_is_not_compared") {
            chain.hash(&mut hasher);
        }
        if !planted("roots_are_not_compared") {
            anchors(&self.roots).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What serves the profile, if there is one.
    ///
    /// # Errors
    /// Names what the provider lacks.
    pub(super) fn shaper(&self) -> Result<Option<Shaper>, ConfigError> {
        let Some(hello) = self.profile.as_ref().and_then(Profile::hello) else {
            return Ok(None);
        };
        if self.whole.is_some() {
            return Ok(None); // refused elsewhere
        }
        let shaper = Shaper::new(hello, &*self.cryptography()?)?;
        Ok(Some(match &self.verifier {
            Some(verifier) => shaper.agreeing(verifier.supported_verify_schemes()),
            None => shaper,
        }))
    }

    /// The configuration, in the shape of `shaper`, and the verifier in it unless it came whole.
    ///
    /// # Errors
    /// Names the field.
    pub(super) fn assemble(
        &self,
        shaper: Option<&Shaper>,
    ) -> Result<(ClientConfig, Option<Trust>), ConfigError> {
        let Some(whole) = &self.whole else {
            let (config, trust) = self.put_together(shaper)?;
            return Ok((config, Some(trust)));
        };
        for (given, field) in [
            (self.roots.is_some(), "roots"),
            (self.verifier.is_some(), "verifier"),
            (self.client.is_some(), "client_identity"),
            (self.revocation.is_some(), "revocation"),
            (self.provider.is_some(), "provider"),
            (self.profile.is_some(), "profile"),
        ] {
            if given {
                return Err(ConfigError::new(
                    field,
                    "cannot be combined with a whole configuration, which has its own",
                ));
            }
        }
        Ok(((**whole).clone(), None))
    }

    fn cryptography(&self) -> Result<Arc<CryptoProvider>, ConfigError> {
        self.provider.clone().or_else(default_provider).ok_or_else(|| {
            ConfigError::new(
                "provider",
                "none given, and neither `aws-lc-rs` nor `ring` is enabled",
            )
        })
    }

    fn put_together(&self, shaper: Option<&Shaper>) -> Result<(ClientConfig, Trust), ConfigError> {
        let provider = self.cryptography()?;
        let trust = self.trust(&provider)?;
        let (provider, versions) = match shaper {
            Some(shaper) => (Arc::new(shaper.provider()), shaper.versions()),
            None => (provider, rustls::DEFAULT_VERSIONS.to_vec()),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| ConfigError::new("provider", error.to_string()))?
            .dangerous() // rustls's word for any verifier of one's own; this one only adds to webpki's refusals
            .with_custom_certificate_verifier(Arc::new(trust.clone()));
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(ClientIdentity { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| ConfigError::new("client_identity", error.to_string()))?,
        };
        Ok((config, trust))
    }

    fn trust(&self, provider: &Arc<CryptoProvider>) -> Result<Trust, ConfigError> {
        let roots = Arc::new(self.roots.clone().unwrap_or_else(mozilla));
        let mut builder =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
        let mut field = "roots";
        if let Some(revocation) = &self.revocation {
            if revocation.is_empty() {
                return Err(ConfigError::new(
                    "revocation",
                    "has no list to look anything up in",
                ));
            }
            if !roots.is_empty() {
                field = "revocation";
            }
            builder = revocation.apply(builder);
        }
        let verifier = builder
            .build()
            .map_err(|error| ConfigError::new(field, error.to_string()))?;
        Ok(Trust::new(verifier, self.verifier.clone()))
    }
}

fn mozilla() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// Taken apart without `..`: a part that is added does not compile until it is compared, too. Code is equal only to itself; everything else by its
/// content, what costs most last.
impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        let Parts {
            roots,
            verifier,
            client,
            revocation,
            provider,
            resumption,
            profile,
            on_shape_rejected,
            whole,
        } = self;
        (*resumption == other.resumption || planted("resumption_is_not_compared"))
            && (*profile == other.profile || planted("profile_is_not_compared"))
            && (*on_shape_rejected == other.on_shape_rejected || planted("shape_fallback_is_not_compared"))
            && (same(verifier, &other.verifier) || planted("verifier_is_not_compared"))
            && (same(provider, &other.provider) || planted("provider_is_not_compared"))
            && (same(whole, &other.whole) || planted("whole_configuration_is_not_compared"))
            && *client == other.client
            && *revocation == other.revocation
            && (anchors(roots) == anchors(&other.roots) || planted("roots_are_not_compared"))
    }
}

impl Eq for Parts {}

impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        let ClientIdentity { chain, key } = self;
        (*chain == other.chain || planted("client_chain_is_not_compared"))
            && (*key == other.key || planted("client_key_is_not_compared"))
    }
}

fn same<T: ?Sized>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

fn address<T: ?Sized>(part: &Option<Arc<T>>) -> Option<*const ()> {
    part.as_ref().map(|part| Arc::as_ptr(part).cast())
}

fn in_bytes<'a>(anchor: &'a TrustAnchor<'_>) -> [&'a [u8]; 3] {
    let TrustAnchor {
        subject,
        subject_public_key_info,
        name_constraints,
    } = anchor;
    [
        subject,
        subject_public_key_info,
        name_constraints.as_deref().unwrap_or_default(),
    ]
}

fn anchors(roots: &Option<RootCertStore>) -> Option<&[TrustAnchor<'static>]> {
    roots.as_ref().map(|store| store.roots.as_slice())
}

/// Says what there is, and shows nothing of it: no key, and no certificate that names somebody.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            roots,
            verifier,
            client,
            revocation,
            provider,
            resumption,
            profile,
            on_shape_rejected,
            whole,
        } = self;
        f.debug_struct("Tls")
            .field("roots", &roots.as_ref().map(RootCertStore::len))
            .field("verifier", &verifier.is_some())
            .field("client_identity", &client.is_some())
            .field("revocation", &revocation.is_some())
            .field("provider", &provider.is_some())
            .field("resumption", resumption)
            .field("profile", profile)
            .field("on_shape_rejected", on_shape_rejected)
            .field("whole", &whole.is_some())
            .finish()
    }
}
