//! A spec and the cryptography that serves it: what all connections of one shape share.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{ClientConfig, NamedGroup, SignatureScheme, SupportedCipherSuite};

use super::aead::ShapedAead;
use super::certs::decompressors;
use super::error::Rejected;
use super::hash::ShapedHash;
use super::hello::{Served, TLS12, TLS13};
use super::kx::ShapedGroup;
use super::signer::ShapedResolver;
use crate::error::ConfigError;
use crate::fault::planted;
use crate::fingerprint::{Code, Draws, Extension, HelloSpec, Slot, kind};
use crate::sync::StaticMutex;

const X25519: u16 = 0x001d;

/// A spec, and what serves it.
pub(crate) struct Shaper {
    spec: HelloSpec,
    /// As it was given: nothing of it is wrapped.
    plain: CryptoProvider,
    /// The groups of the shares that go out in a first hello, in order.
    shares: Vec<u16>,
    suites: Vec<u16>,
    versions: Vec<u16>,
    groups: Vec<u16>,
    /// The schemes that somebody else knows who must agree, if there is anybody.
    agreed: Option<Vec<SignatureScheme>>,
}

impl Shaper {
    /// A shaper of `spec` with the cryptography of `provider`.
    ///
    /// # Errors
    /// Names what the provider lacks: ring has no ML-KEM.
    pub(crate) fn new(spec: &HelloSpec, provider: &CryptoProvider) -> Result<Self, ConfigError> {
        let mut shaper = Shaper {
            spec: spec.clone(),
            plain: provider.clone(),
            shares: Vec::new(),
            suites: Vec::new(),
            versions: Vec::new(),
            groups: Vec::new(),
            agreed: None,
        };
        for slot in spec.slots() {
            match slot {
                Slot::KeyShares(codes) => shaper.shares = plain(codes).collect(),
                Slot::Groups(codes) => {
                    shaper.groups = plain(codes).filter(|code| shaper.kx(*code).is_some()).collect();
                }
                Slot::Versions(codes) => {
                    shaper.versions = plain(codes)
                        .filter(|code| [TLS12, TLS13].contains(code))
                        .collect();
                }
                _ => {}
            }
        }
        if shaper.versions.is_empty() {
            shaper.versions.push(TLS12);
        }
        let known: Vec<u16> = provider
            .cipher_suites
            .iter()
            .map(|suite| suite.suite().into())
            .collect();
        shaper.suites = plain(spec.cipher_suites())
            .filter(|code| known.contains(code))
            .collect();
        shaper.check()?;
        Ok(shaper)
    }

    /// The same where somebody else must agree to what servers sign, who knows these schemes alone.
    pub(crate) fn agreeing(self, schemes: Vec<SignatureScheme>) -> Self {
        Shaper {
            agreed: Some(schemes),
            ..self
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let lacking = self.shares.iter().find(|group| !self.groups.contains(group));
        if let Some(group) = lacking {
            return Err(ConfigError::new(
                "profile",
                format!(
                    "sends a key share of group {group:#06x}, which this cryptography provider lacks (ring has no ML-KEM)"
                ),
            ));
        }
        if self.groups.is_empty() || self.suites.is_empty() {
            return Err(ConfigError::new(
                "profile",
                "offers no cipher suite or no group that this cryptography provider has",
            ));
        }
        if self.spec.sends_public_key() && self.kx(X25519).is_none() {
            return Err(ConfigError::new(
                "profile",
                "sends a public key in encrypted_client_hello, for which this cryptography provider lacks X25519",
            ));
        }
        Ok(())
    }

    /// The provider that a configuration needs for connections to be shaped: whatever is not on offer left out, and the rest wrapped, so that it
    /// follows the connection whose handshake is running. Without one it does what the plain one does.
    pub(crate) fn provider(&self) -> CryptoProvider {
        let mut groups = self.groups.clone();
        // rustls sends a share of the first, and none of another but a hybrid's component.
        if let Some(place) = self
            .shares
            .first()
            .and_then(|first| groups.iter().position(|one| one == first))
        {
            groups[..=place].rotate_right(1);
        }
        CryptoProvider {
            cipher_suites: self
                .plain
                .cipher_suites
                .iter()
                .filter(|suite| self.suites.contains(&suite.suite().into()))
                .map(|suite| wrapped_suite(*suite))
                .collect(),
            kx_groups: groups
                .iter()
                .filter_map(|code| self.kx(*code))
                .map(wrapped_group)
                .collect(),
            ..self.plain.clone()
        }
    }

    /// The versions to offer.
    pub(crate) fn versions(&self) -> Vec<&'static rustls::SupportedProtocolVersion> {
        let version = |code: &u16| match *code {
            TLS13 => &rustls::version::TLS13,
            _ => &rustls::version::TLS12,
        };
        self.versions.iter().map(version).collect()
    }

    /// Completes a configuration that was built on [`provider`](Self::provider) and [`versions`](Self::versions): what certificates may be compressed
    /// with, and keys that sign what was on the wire.
    pub(crate) fn complete(&self, config: &mut ClientConfig) {
        config.cert_decompressors = decompressors(&self.compressions());
        let resolver = Arc::clone(&config.client_auth_cert_resolver);
        config.client_auth_cert_resolver = Arc::new(ShapedResolver(resolver));
    }

    /// Whether sessions are resumed: where the client does it, and, as tickets of TLS 1.3 may be offered only so, beside psk_key_exchange_modes (RFC 8446
    /// section 4.2.9).
    pub(crate) fn resumes(&self) -> bool {
        let may = !self.versions.contains(&TLS13) || self.raw(kind::PSK_KEY_EXCHANGE_MODES).is_some();
        may && self.spec.resumes()
    }

    /// The compressions of certificates that are on offer.
    fn compressions(&self) -> Vec<u16> {
        let raw = self.raw(kind::COMPRESS_CERTIFICATE);
        match raw.map(|body| Extension::from_body(kind::COMPRESS_CERTIFICATE, body)) {
            Some(Ok(Extension::CompressCertificate(algorithms))) => algorithms,
            _ => Vec::new(),
        }
    }

    /// The body of an extension that is the same on every connection.
    fn raw(&self, wanted: u16) -> Option<&[u8]> {
        self.spec.slots().iter().find_map(|slot| match slot {
            Slot::Raw { kind, body } if *kind == wanted => Some(body.as_slice()),
            _ => None,
        })
    }

    /// Whether the hello offers to take certificates that are signed so (RFC 8446 section 4.2.3).
    pub(super) fn offers_for_certificates(&self, code: u16) -> bool {
        let raw = self.raw(kind::SIGNATURE_ALGORITHMS_CERT);
        let of_certificates = raw.map(|body| Extension::from_body(kind::SIGNATURE_ALGORITHMS_CERT, body));
        match of_certificates {
            Some(Ok(Extension::SignatureAlgorithmsCert(schemes))) => schemes.contains(&code),
            _ => self
                .spec
                .slots()
                .iter()
                .any(|slot| matches!(slot, Slot::Signatures(codes) if codes.contains(&Code::Plain(code)))),
        }
    }

    pub(super) fn spec(&self) -> &HelloSpec {
        &self.spec
    }

    pub(super) fn shares(&self) -> &[u16] {
        &self.shares
    }

    /// This group's own implementation.
    pub(super) fn kx(&self, group: u16) -> Option<&'static dyn SupportedKxGroup> {
        let mut all = self.plain.kx_groups.iter();
        all.find(|one| one.name() == NamedGroup::from(group)).copied()
    }

    pub(super) fn draw(&self) -> Result<Draws, Rejected> {
        let random = self.plain.secure_random;
        let fill = |buffer: &mut [u8]| {
            let lacking = |_| Rejected::Provider("no random bytes".to_owned());
            random.fill(buffer).map_err(lacking)
        };
        self.spec.draw(|| self.public_key(), fill)
    }

    /// A fresh public key of X25519, whose private key nobody has.
    fn public_key(&self) -> Result<[u8; 32], Rejected> {
        let group = self.kx(X25519);
        let key = group
            .ok_or_else(|| Rejected::Provider("no X25519".to_owned()))?
            .start()?;
        let no_key = |_| Rejected::Provider("X25519's key is none".to_owned());
        key.pub_key().try_into().map_err(no_key)
    }
}

impl Served for Shaper {
    fn suite(&self, code: u16) -> bool {
        self.suites.contains(&code)
    }

    fn version(&self, code: u16) -> bool {
        self.versions.contains(&code)
    }

    fn group(&self, code: u16, version: u16) -> bool {
        let usable = |group: &dyn SupportedKxGroup| group.usable_for_version(version.into());
        self.groups.contains(&code) && self.kx(code).is_some_and(usable)
    }

    /// In TLS 1.3 neither PKCS #1 nor DSA, nor a hash before SHA-256 (RFC 8446 section 4.2.3).
    fn scheme(&self, code: u16, version: u16) -> bool {
        let [hash, kind] = code.to_be_bytes();
        let known = self.plain.signature_verification_algorithms.supported_schemes();
        let agreed = self.agreed.as_ref();
        let agreed = agreed.is_none_or(|schemes| schemes.contains(&code.into()));
        let agreed = agreed || planted("the_other_verifier_is_not_asked");
        agreed && known.contains(&code.into()) && (version != TLS13 || hash > 3 && kind > 2)
    }

    fn alias(&self, group: u16) -> Option<u16> {
        let component = self.component()?;
        let further = self.shares.iter().skip(1).filter(|one| **one != component);
        further.into_iter().find(|one| **one == group).map(|_| component)
    }
}

impl Shaper {
    /// The group that rustls is told to be the component of the first share's: its real one if that has a share, else that of the second share.
    pub(super) fn component(&self) -> Option<u16> {
        const X25519MLKEM768: u16 = 0x11ec;
        let (first, further) = self.shares.split_first()?;
        if *first == X25519MLKEM768 && further.contains(&X25519) {
            return Some(X25519);
        }
        further.first().copied()
    }
}

impl std::fmt::Debug for Shaper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shaper")
            .field("ja4", &self.spec.ja4().to_string())
            .finish_non_exhaustive()
    }
}

fn plain(codes: &[Code]) -> impl Iterator<Item = u16> {
    codes.iter().filter_map(|code| match code {
        Code::Plain(code) => Some(*code),
        Code::Grease => None,
    })
}

/// The wrapped suites. rustls wants its suites for ever; theirs are statics, of which there are few, and each is wrapped once.
static SUITES: StaticMutex<Vec<(SupportedCipherSuite, SupportedCipherSuite)>> = StaticMutex::new(Vec::new());
static GROUPS: StaticMutex<Vec<(&'static dyn SupportedKxGroup, &'static ShapedGroup)>> =
    StaticMutex::new(Vec::new());

fn wrapped_suite(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    let mut known = SUITES.lock();
    // The very same one: suites of two providers that have a code in common are equal to rustls.
    if let Some((_, wrapped)) = known.iter().find(|(one, _)| same_suite(*one, suite)) {
        return *wrapped;
    }
    let wrapped = match suite {
        SupportedCipherSuite::Tls13(inner) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(rustls::Tls13CipherSuite {
                common: ShapedHash::common(&inner.common),
                hkdf_provider: inner.hkdf_provider,
                aead_alg: Box::leak(Box::new(ShapedAead(inner.aead_alg))),
                quic: inner.quic,
            })))
        }
        SupportedCipherSuite::Tls12(inner) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(rustls::Tls12CipherSuite {
                common: ShapedHash::common(&inner.common),
                prf_provider: inner.prf_provider,
                kx: inner.kx,
                sign: inner.sign,
                aead_alg: inner.aead_alg,
            })))
        }
    };
    known.push((suite, wrapped));
    wrapped
}

fn same_suite(one: SupportedCipherSuite, other: SupportedCipherSuite) -> bool {
    match (one, other) {
        (SupportedCipherSuite::Tls13(one), SupportedCipherSuite::Tls13(other)) => std::ptr::eq(one, other),
        (SupportedCipherSuite::Tls12(one), SupportedCipherSuite::Tls12(other)) => std::ptr::eq(one, other),
        _ => false,
    }
}

fn wrapped_group(group: &'static dyn SupportedKxGroup) -> &'static dyn SupportedKxGroup {
    let mut known = GROUPS.lock();
    let same = |one: &&'static dyn SupportedKxGroup| {
        // Groups without any content may share an address; their names tell them apart.
        std::ptr::addr_eq(*one, group) && one.name() == group.name()
    };
    if let Some((_, wrapped)) = known.iter().find(|(one, _)| same(one)) {
        return *wrapped;
    }
    let wrapped: &'static ShapedGroup = Box::leak(Box::new(ShapedGroup(group)));
    known.push((group, wrapped));
    wrapped
}
